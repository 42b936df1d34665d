"""Splits: every patient on one side, the findings spread alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import ManifestError, UsageError
from radsnap.seeds import stream
from radsnap.tables.manifest import SPLITS, Manifest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_CLASSES = 64
SWEEPS = 2


def split_by_patient(
    manifest: Manifest,
    fractions: Mapping[str, float],
    seed: int,
    stratify: Sequence[str] | None = None,
    keep: Sequence[str] = (),
) -> Manifest:
    """Fill the column `split` anew so that no patient is on two sides and columns are spread alike.

    fractions: share of images for train, val and test; they add up to 1. stratify: finding columns, or text
    columns with few values such as `body`; by default all findings of the manifest. keep: splits that stay as
    they are (an official test set); their rows take no part. The same patients and seed give the same split,
    whatever the order of rows. Raises UsageError. After Sechidis, Tsoumakas & Vlahavas 2011, On the
    stratification of multi-label data, with patients as units and all traits of a patient weighed at once.
    """
    _check_fractions(fractions)
    columns = manifest.findings if stratify is None else tuple(stratify)
    free = ~manifest.frame["split"].isin(list(keep)).to_numpy()
    part = manifest.rows(free)
    patients, rows = np.unique(part.frame["patient_id"].to_numpy(dtype=str), return_inverse=True)
    traits = _traits(part, columns)
    counts = np.zeros((len(patients), traits.shape[1] + 1))
    np.add.at(counts[:, :-1], rows, traits)
    counts[:, -1] = np.bincount(rows, minlength=len(patients))
    shares = np.array([fractions[name] for name in fractions])
    places = _deal(counts, shares, stream(seed, "split"))
    frame = manifest.frame.copy()
    frame.loc[free, "split"] = np.array(list(fractions), dtype=object)[places][rows]
    return Manifest(frame, manifest.root).validate()


def _check_fractions(fractions: Mapping[str, float]) -> None:
    unknown = [name for name in fractions if name not in SPLITS]
    if unknown:
        raise UsageError(f"splits are {', '.join(SPLITS)}, got '{unknown[0]}'")
    if any(not 0 <= share <= 1 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        given = ", ".join(f"{name} {share}" for name, share in fractions.items())
        raise UsageError(f"shares lie in 0 to 1 and add up to 1, got {given or 'none'}")


def _traits(manifest: Manifest, columns: Sequence[str]) -> FloatArray:
    """One column a trait (N, T): positives and uncertain of each finding, each value of a text column."""
    parts: list[FloatArray] = []
    for column in columns:
        if column in manifest.findings:
            values = manifest.frame[column].to_numpy()[:, None]
            parts.append(values == [1.0, -1.0])  # whatever policy comes later
            continue
        if column not in manifest.frame.columns:
            raise ManifestError(f"cannot stratify by '{column}': the manifest has no such column")
        codes, classes = pd.factorize(manifest.frame[column], sort=True)
        if len(classes) > MAX_CLASSES:
            raise UsageError(
                f"cannot stratify by '{column}': it has {len(classes)} values, {MAX_CLASSES} at most; "
                "name a finding or a column of classes"
            )
        parts.append(codes[:, None] == np.arange(len(classes)))
    return np.hstack([np.zeros((len(manifest), 0)), *parts]).astype(np.float64)


def _deal(counts: FloatArray, shares: FloatArray, rng: Generator) -> IntArray:
    """Give each patient a place: those with the rarest trait first, each to where its traits are wanted most.

    counts: (P, T + 1), images of each patient with each trait, in the last column all its images. A place is
    chosen to shrink most the sum of squares of what is still wanted, each trait as a fraction of its total
    and each place by its share (so all places fill at the same pace); once all are dealt, each may move
    again.
    """
    total = counts.sum(axis=0)
    usable = np.flatnonzero(shares > 0)
    wanted = total[:, None] * shares[usable]
    weight = 1.0 / np.maximum(total, 1.0) ** 2
    own = (counts**2 @ weight) / 2
    rarest = np.where(counts > 0, total, np.inf).min(axis=1)
    dice = rng.random(len(counts))
    places = np.full(len(counts), -1, dtype=np.int64)
    order = np.lexsort((dice, -counts[:, -1], rarest))
    for _ in range(SWEEPS):
        for patient in order:
            if places[patient] >= 0:
                wanted[:, places[patient]] += counts[patient]
            # rounded, so that ties are ties on every machine
            gain = np.round(((counts[patient] * weight) @ wanted - own[patient]) / shares[usable], 12)
            best = np.flatnonzero(gain == gain.max())
            if places[patient] not in best:
                places[patient] = best[int(dice[patient] * len(best))]
            wanted[:, places[patient]] -= counts[patient]
    return usable[places]
