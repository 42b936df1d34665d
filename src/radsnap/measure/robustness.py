"""How much is lost over a sweep of effects and levels. Source of the ratios: Hendrycks & Dietterich 2019."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from radsnap.errors import UsageError
from radsnap.measure.doors import Floats, binary_pair, same_length
from radsnap.measure.values import Undefined


@dataclass(frozen=True, eq=False)
class Drops:
    """Losses of one model against clean images. absolute and relative: (effects, levels).

    Relative losses are shares of the clean value. mean: (effects,) absolute, over the levels.
    """

    absolute: Floats
    relative: Floats
    mean: Floats


def _sweep(values: ArrayLike, clean: float) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise UsageError(f"a sweep is a table (effects, levels), got shape {table.shape}")
    if np.isnan(clean) or np.isnan(table).any():
        raise UsageError("a sweep has no undefined cell; leave the effect out that has one")
    return table


def drops(clean: float, values: ArrayLike) -> Drops:
    """Measure what a model loses. values: its score (effects, levels), higher is better."""
    table = _sweep(values, clean)
    absolute = clean - table
    relative = absolute / clean if clean != 0 else np.full(table.shape, np.nan)
    return Drops(absolute, relative, absolute.mean(axis=1))


def corruption_error(values: ArrayLike, baseline: ArrayLike) -> tuple[Floats, float] | Undefined:
    """Compare a model's errors (1 - score) with a baseline model's over the same sweep.

    Per effect the ratio of the errors summed over levels, and the mean of the ratios; below 1 is better
    than the baseline. Undefined where the baseline makes no error.
    """
    own, base = 1 - _sweep(values, 1.0), 1 - _sweep(baseline, 1.0)
    return _ratios(own, base)


def relative_corruption_error(
    clean: float, values: ArrayLike, clean_baseline: float, baseline: ArrayLike
) -> tuple[Floats, float] | Undefined:
    """Compare a model's losses against clean images with a baseline model's losses, as above."""
    return _ratios(drops(clean, values).absolute, drops(clean_baseline, baseline).absolute)


def _ratios(own: Floats, base: Floats) -> tuple[Floats, float] | Undefined:
    if own.shape != base.shape:
        raise UsageError(f"both sweeps need the same effects and levels, got {own.shape} and {base.shape}")
    below = base.sum(axis=1)
    if (below <= 0).any():
        return Undefined("the baseline loses nothing on at least one effect")
    ratios = own.sum(axis=1) / below
    return ratios, float(ratios.mean())


@dataclass(frozen=True)
class Flips:
    """How many decisions turn from one picture of a study to another."""

    to_positive: int
    to_negative: int
    studies: int
    patients: int
    patients_flipped: int

    @property
    def share(self) -> float:
        """The share of studies whose decision turns."""
        return (self.to_positive + self.to_negative) / self.studies

    @property
    def patient_share(self) -> float:
        """The share of patients with at least one decision that turns."""
        return self.patients_flipped / self.patients


def flips(before: ArrayLike, after: ArrayLike, clusters: ArrayLike | None = None) -> Flips | Undefined:
    """Count the decisions that turn, per study and per patient."""
    first, second = binary_pair(before, after)
    if len(first) == 0:
        return Undefined("no studies")
    turned = first != second
    patients = np.arange(len(first)) if clusters is None else np.asarray(clusters)
    same_length(first, patients)
    return Flips(
        to_positive=int((~first & second).sum()),
        to_negative=int((first & ~second).sum()),
        studies=len(first),
        patients=len(np.unique(patients)),
        patients_flipped=len(np.unique(patients[turned])),
    )
