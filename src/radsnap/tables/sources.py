"""What a row is and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from radsnap.tables.manifest import Manifest

NO_XRAY = "none"


def is_xray(manifest: Manifest) -> NDArray[np.float32]:
    """Say which rows are x-rays (N,): 1, 0 where `body` is none, NaN where it is blank."""
    body = manifest.frame["body"]
    return np.where(body == "", np.nan, (body != NO_XRAY).astype(np.float32)).astype(np.float32)


def sources(manifest: Manifest) -> pd.Series:
    """Name where each row comes from: its `kind` where a collection mixes sources, else its collection.

    Sources differ in more than their findings (sharpness, marks, prevalence), so findings are balanced and
    scored inside each.
    """
    collection = manifest.frame["collection"]
    if "kind" not in manifest.frame.columns:
        return collection
    return manifest.frame["kind"].where(manifest.frame["kind"] != "", collection)
