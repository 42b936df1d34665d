"""Labels: 1 is present, 0 absent, -1 uncertain, blank unknown; what uncertain means is the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import ManifestError, UsageError

if TYPE_CHECKING:
    from radsnap.tables.manifest import Manifest

Uncertain = Literal["ones", "zeros", "ignore"]
LabelArray = NDArray[np.float32]

_POLICIES = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}
_VALUES = {
    **dict.fromkeys(("1", "1.0"), 1.0),
    **dict.fromkeys(("0", "0.0", "-0.0"), 0.0),
    **dict.fromkeys(("-1", "-1.0"), -1.0),
    **dict.fromkeys(("", "nan"), np.nan),
}


def labels(
    manifest: Manifest,
    findings: Sequence[str],
    *,
    uncertain: Uncertain,
    absent: Literal["refuse", "unknown"] = "refuse",
) -> LabelArray:
    """Give the labels of findings as an array (N, K), in their order; NaN is unknown.

    uncertain: what -1 becomes: "ones", "zeros", or "ignore" (unknown). There is no default, because each choice
    makes another task (Irvin et al. 2019, CheXpert, section 3.1). Any column with label values can be a finding.
    absent: what a column that the manifest lacks means. Raises ManifestError for it unless it is "unknown",
    UsageError for an unknown policy.
    """
    if uncertain not in _POLICIES:
        raise UsageError(f"uncertain labels are 'ones', 'zeros' or 'ignore', got '{uncertain}'")
    table = np.empty((len(manifest.frame), len(findings)), dtype=np.float32)
    for k, name in enumerate(findings):
        if name not in manifest.frame.columns:
            if absent == "unknown":
                table[:, k] = np.nan
                continue
            raise ManifestError(
                f"the manifest has no column '{name}'; its findings are {', '.join(manifest.findings) or 'none'}"
            )
        table[:, k] = parse_labels(manifest.frame[name], name)
    table[table == -1.0] = _POLICIES[uncertain]
    return table


def parse_labels(column: pd.Series, name: str) -> LabelArray:
    """Read a column of 1, 0, -1 and blank, as numbers or text, to float32 (N,) with NaN for blank.

    Raises ManifestError for the first other value, naming row (from 1) and column.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float32, na_value=np.nan)
        bad = ~(np.isnan(values) | np.isin(values, (1.0, 0.0, -1.0)))
    else:
        codes, texts = pd.factorize(column.fillna(""))
        read = [_VALUES.get(str(text).strip().lower()) for text in texts]
        known = np.array([value is not None for value in read], dtype=bool)
        numbers = np.array([np.nan if value is None else value for value in read], dtype=np.float32)
        values, bad = numbers[codes], ~known[codes]
    if bad.any():
        row = int(bad.argmax())
        raise ManifestError(
            f"row {row + 1}, column '{name}' has '{column.iloc[row]}'; a label is 1, 0, -1 (uncertain) or blank "
            f"(unknown){f' ({int(bad.sum())} rows like it)' if bad.sum() > 1 else ''}"
        )
    return np.asarray(values, dtype=np.float32)
