"""Comparisons: paired differences under the same resamples, families of tests, non-inferiority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from radsnap.errors import UsageError
from radsnap.measure.bootstrap import Interval, replicate, resample, summarise, weighted
from radsnap.measure.doors import Floats, same_length
from radsnap.measure.scores import Metric
from radsnap.measure.values import Estimate, Undefined


def paired_difference(
    metric: Metric,
    truth: ArrayLike,
    score: ArrayLike,
    other: ArrayLike,
    clusters: ArrayLike | None = None,
    replicates: int = 2000,
    seed: int = 0,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    interval: Interval = "percentile",
) -> Estimate | Undefined:
    """Estimate metric(score) - metric(other) on the same studies, both under the same resamples."""
    first, second = metric(truth, score), metric(truth, other)
    if isinstance(first, Undefined):
        return first
    if isinstance(second, Undefined):
        return second
    n = len(np.asarray(truth))
    plan = resample(n if clusters is None else clusters, replicates, seed, strata)
    same_length(np.asarray(truth), plan.cluster)
    pair = [weighted(metric, truth, score), weighted(metric, truth, other)]
    drawn = replicate(pair, plan.blocks())
    left_out = replicate(pair, plan.leave_one_out()) if interval == "bca" else None
    return summarise(
        first - second,
        drawn[:, 0] - drawn[:, 1],
        plan,
        n,
        confidence=confidence,
        jackknife=None if left_out is None else left_out[:, 0] - left_out[:, 1],
        difference=True,
    )


def holm(p_values: ArrayLike) -> Floats:
    """Correct the p-values of one family of tests. NaN stays NaN and does not count. Source: Holm 1979."""
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    outside = known[(p[known] < 0) | (p[known] > 1)]
    if len(outside):
        raise UsageError(f"a p-value lies in [0, 1], got {p[outside[0]]}")
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


@dataclass(frozen=True)
class NonInferiority:
    """What an interval says about a margin, in words: superior, non-inferior, inferior or open."""

    margin: float
    verdict: str


def non_inferiority(difference: Estimate, margin: float) -> NonInferiority:
    """Judge a difference (new - old, higher is better) against a margin stated beforehand.

    `non-inferior`: the whole interval lies above -margin; `superior`: above 0; `inferior`: below
    -margin; `open` otherwise. A two-sided 95 % interval is a one-sided test at 2.5 %.
    """
    if not margin > 0:
        raise UsageError(f"a margin of non-inferiority is above 0, got {margin}")
    if np.isnan(difference.low):
        return NonInferiority(margin, "open")
    if difference.low > 0:
        return NonInferiority(margin, "superior")
    if difference.low > -margin:
        return NonInferiority(margin, "non-inferior")
    return NonInferiority(margin, "inferior" if difference.high < -margin else "open")


def mean_value(values: Sequence[float | Undefined], names: Sequence[str]) -> float | Undefined:
    """Give the mean of values; undefined, naming which, as soon as one of them is."""
    missing = [name for name, value in zip(names, values, strict=True) if isinstance(value, Undefined)]
    if missing:
        return Undefined(f"undefined for {', '.join(missing)}")
    if not values:
        return Undefined("nothing to take the mean of")
    return float(np.mean([value for value in values if not isinstance(value, Undefined)]))
