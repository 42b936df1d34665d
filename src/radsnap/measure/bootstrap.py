"""Intervals by resampling patients: one matrix of weights, shared by all that is compared.

A resample with replacement is a row of counts: how often each patient was drawn. Every model, reader,
domain and finding of a study is scored under the same counts, so that differences are paired. Weights
are made in blocks of bounded size, the same numbers whatever the size of a block.
Source: Efron & Tibshirani, An Introduction to the Bootstrap, chapters 13 and 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from radsnap.errors import UsageError
from radsnap.measure import agreement, calibration, classes, readers, scores
from radsnap.measure.doors import Floats, Ints, Weights, same_length
from radsnap.measure.scores import Metric, Weighted
from radsnap.measure.values import Estimate, Undefined
from radsnap.seeds import stream

Interval = Literal["percentile", "bca"]

WEIGHTED: dict[Metric, Callable[[ArrayLike, ArrayLike], Weighted]] = {
    scores.auroc: scores.weighted_auroc,
    scores.average_precision: scores.weighted_average_precision,
    scores.mcc: scores.weighted_counts("mcc"),
    scores.sensitivity: scores.weighted_counts("sensitivity"),
    scores.specificity: scores.weighted_counts("specificity"),
    scores.ppv: scores.weighted_counts("ppv"),
    scores.npv: scores.weighted_counts("npv"),
    scores.f1: scores.weighted_counts("f1"),
    scores.positive_rate: scores.weighted_counts("positive_rate"),
    classes.accuracy: classes.weighted_accuracy,
    classes.balanced_accuracy: classes.weighted_balanced_accuracy,
    calibration.brier: calibration.weighted_brier,
    calibration.ece: calibration.weighted_ece,
    agreement.cohen_kappa: agreement.weighted_cohen_kappa,
    readers.count_under: readers.weighted_count_under,
}

_BLOCK = 1 << 18  # weights at a time: a megabyte of float32, which stays in a core's cache


def _width(units: int) -> int:
    return max(32, min(1024, _BLOCK // max(units, 1)))


@dataclass(frozen=True, eq=False)
class Resamples:
    """The resamples of one study.

    cluster: (n,) the patient of each study as 0, 1, ...; strata: (patients,) within which patients are
    drawn, or None. The resamples follow from these and the seed alone.
    """

    cluster: Ints
    replicates: int
    seed: int
    strata: Ints | None = None

    @property
    def clusters(self) -> int:
        return int(self.cluster.max()) + 1 if len(self.cluster) else 0

    def blocks(self, size: int | None = None) -> Iterator[Weights]:
        """Give the weights (n, B) of all replicates, B at a time."""
        units = self.clusters
        members = _members(self.strata, units)
        streams = [stream(self.seed, "bootstrap", i) for i in range(len(members))]
        step = size or _width(units)
        for start in range(0, self.replicates, step):
            width = min(step, self.replicates - start)
            counts = np.zeros((units, width), dtype=np.float32)
            for of_stratum, rng in zip(members, streams, strict=True):
                counts[of_stratum] = _draw(rng, len(of_stratum), width)
            yield self._of_studies(counts)

    def leave_one_out(self) -> Iterator[Weights]:
        """Give the weights of the jackknife: each patient left out in turn."""
        units = self.clusters
        step = _width(units)
        for start in range(0, units, step):
            width = min(step, units - start)
            counts = np.ones((units, width), dtype=np.float32)
            counts[start + np.arange(width), np.arange(width)] = 0
            yield self._of_studies(counts)

    def _of_studies(self, counts: Weights) -> Weights:
        alone = len(self.cluster) == self.clusters and bool((np.diff(self.cluster) == 1).all())
        return counts if alone else counts[self.cluster]

    def words(self) -> str:
        """Say what was resampled."""
        many = self.clusters < len(self.cluster)
        unit = (
            f"{self.clusters} patients of {len(self.cluster)} studies" if many else f"{self.clusters} studies"
        )
        return f"{self.replicates} resamples of {unit}" + self._strata_words()

    def _strata_words(self) -> str:
        return "" if self.strata is None else f", stratified ({len(np.unique(self.strata))} strata)"


def _members(strata: Ints | None, units: int) -> list[Ints]:
    if strata is None:
        return [np.arange(units)]
    return [np.flatnonzero(strata == value) for value in np.unique(strata)]


def _draw(rng: np.random.Generator, units: int, width: int) -> Weights:
    """Draw `units` of `units` with replacement, `width` times; counts (units, width)."""
    drawn = rng.integers(0, units, size=(width, units), dtype=np.int32).astype(np.int64)
    drawn *= width
    drawn += np.arange(width)[:, None]
    return np.bincount(drawn.ravel(), minlength=units * width).reshape(units, width).astype(np.float32)


def resample(
    clusters: ArrayLike | int, replicates: int = 2000, seed: int = 0, strata: ArrayLike | None = None
) -> Resamples:
    """Plan the resamples of a study.

    clusters: the patient of each study (any names), or the number of studies when each stands alone.
    strata: a class per study; a patient belongs to the highest class among its studies.
    """
    if replicates < 1:
        raise UsageError(f"replicates must be at least 1, got {replicates}")
    names: NDArray[Any] = np.arange(clusters) if isinstance(clusters, int) else np.asarray(clusters)
    if names.ndim != 1 or len(names) == 0:
        raise UsageError(f"resampling needs at least one study, got clusters of shape {names.shape}")
    _, cluster = np.unique(names, return_inverse=True)
    if strata is None:
        return Resamples(cluster, replicates, seed)
    _, stratum = np.unique(np.asarray(strata), return_inverse=True)
    same_length(names, stratum)
    highest = np.zeros(int(cluster.max()) + 1, dtype=np.int64)
    np.maximum.at(highest, cluster, stratum)
    return Resamples(cluster, replicates, seed, highest)


def label_strata(truth: ArrayLike, clusters: ArrayLike, smallest: int = 10) -> Ints:
    """Put studies whose patients have the same findings into one stratum, for several findings at once.

    truth: (n, K) of 1, 0, NaN (unknown); a patient has a finding that one of its studies has. Patterns of fewer
    patients than `smallest` form one stratum together: alone they would be drawn nearly the same each time, and
    intervals be too narrow. Returns a stratum per study, 0 for the patterns put together.
    """
    table = np.asarray(truth, dtype=np.float64)
    names: NDArray[Any] = np.asarray(clusters)
    same_length(table, names)
    _, cluster = np.unique(names, return_inverse=True)
    labels = np.full((int(cluster.max()) + 1, table.shape[1]), -1.0)
    np.maximum.at(labels, cluster, np.where(np.isnan(table), -1.0, table))
    _, pattern, sizes = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    pattern = np.where(sizes[pattern.ravel()] < smallest, 0, pattern.ravel() + 1)
    return np.asarray(pattern[cluster], dtype=np.int64)


def weighted(metric: Metric, truth: ArrayLike, score: ArrayLike) -> Weighted:
    """Prepare a metric for weights: all resamples at once where it is one of ours, else one by one."""
    if metric in WEIGHTED:
        return WEIGHTED[metric](truth, score)
    true, values = np.asarray(truth), np.asarray(score)

    def one(column: Weights) -> float:
        rows = np.repeat(np.arange(len(true)), column.astype(np.int64))
        found = metric(true[rows], values[rows])
        return float("nan") if isinstance(found, Undefined) else found

    return lambda weights: np.array([one(column) for column in weights.T])


def replicate(statistics: Sequence[Weighted], blocks: Iterator[Weights]) -> Floats:
    """Score every statistic under every block of weights. Returns (replicates, statistics)."""
    return np.concatenate([np.stack([at(weights) for at in statistics], axis=1) for weights in blocks])


def bounds(
    value: float,
    replicates: Floats,
    confidence: float = 0.95,
    jackknife: Floats | None = None,
) -> tuple[float, float]:
    """Give the ends of the interval: percentile, or BCa when the jackknife's values come along.

    Undefined replicates (NaN) are left out; NaN, NaN when none is defined.
    """
    kept = replicates[~np.isnan(replicates)]
    if len(kept) == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    levels = np.array([tail, 1 - tail])
    lean = None if jackknife is None else _bias_and_acceleration(value, kept, jackknife)
    if lean is not None:
        bias, acceleration = lean
        shifted = bias + ndtri(levels)
        levels = np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(kept, levels)
    return float(low), float(high)


def _bias_and_acceleration(value: float, kept: Floats, jackknife: Floats) -> tuple[float, float] | None:
    """Say how far BCa corrects a percentile interval; None where all replicates lie on one side. Source: Efron 1987."""
    below = (np.mean(kept < value) + np.mean(kept <= value)) / 2
    if not 0 < below < 1:
        return None
    left_out = jackknife[~np.isnan(jackknife)]
    lean = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    spread = float(np.sum(lean**2))
    acceleration = float(np.sum(lean**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    return float(ndtri(below)), acceleration


def two_sided_p(differences: Floats, value: float | None = None, jackknife: Floats | None = None) -> float:
    """Give the two-sided bootstrap p-value of a difference from 0.

    It is the smallest 1 - confidence at which the interval leaves 0 out: the percentile interval, or BCa's
    when the difference itself and the jackknife's come along. Never below 2 / (R + 1) for R resamples.
    """
    kept = differences[~np.isnan(differences)]
    if len(kept) == 0:
        return float("nan")
    low, high = ((1 + int(side.sum())) / (1 + len(kept)) for side in (kept <= 0, kept >= 0))
    lean = None if value is None or jackknife is None else _bias_and_acceleration(value, kept, jackknife)
    if lean is not None:
        low = _uncorrected(min(low, 1 - 1 / (1 + len(kept))), *lean)
        high = 1 - _uncorrected(max(1 - high, 1 / (1 + len(kept))), *lean)
    return min(1.0, 2 * max(min(low, high), 1 / (1 + len(kept))))


def _uncorrected(level: float, bias: float, acceleration: float) -> float:
    """Give the level that BCa turns into this one."""
    reach = float(ndtri(level)) - bias
    return float(ndtr(reach / max(1 + acceleration * reach, 1e-9) - bias))


def method_words(resamples: Resamples, replicates: Floats, confidence: float, interval: Interval) -> str:
    """Say how an interval was made, and how many resamples left it undefined."""
    name = {"percentile": "percentile", "bca": "BCa"}[interval]
    undefined = int(np.isnan(replicates).sum())
    gap = f", {undefined} undefined" if undefined else ""
    return f"{name} bootstrap {100 * confidence:g} %, {resamples.words()}{gap}"


def summarise(
    value: float,
    replicates: Floats,
    resamples: Resamples,
    n: int,
    *,
    confidence: float = 0.95,
    jackknife: Floats | None = None,
    difference: bool = False,
) -> Estimate:
    """Make an Estimate of a value and its replicates; with a p-value when it is a difference."""
    if resamples.clusters < 2:
        return Estimate(value, float("nan"), float("nan"), n, "no interval: one patient only")
    low, high = bounds(value, replicates, confidence, jackknife)
    method = method_words(resamples, replicates, confidence, "percentile" if jackknife is None else "bca")
    p = two_sided_p(replicates, value, jackknife) if difference else None
    return Estimate(value, low, high, n, method, p)


def estimate(
    metric: Metric,
    truth: ArrayLike,
    score: ArrayLike,
    clusters: ArrayLike | None = None,
    replicates: int = 2000,
    seed: int = 0,
    *,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
    interval: Interval = "percentile",
) -> Estimate | Undefined:
    """Measure with an interval: `estimate(auroc, truth, score, clusters=patient_ids, seed=1)`.

    metric: a function of this package, or any of the same shape (then slower). score: what the metric
    takes: scores, decisions or classes. clusters: the patient of each study; None when each study is
    one. Returns Undefined where the metric is undefined on the data themselves.
    """
    value = metric(truth, score)
    if isinstance(value, Undefined):
        return value
    n = len(np.asarray(truth))
    plan = resample(n if clusters is None else clusters, replicates, seed, strata)
    same_length(np.asarray(truth), plan.cluster)
    at = weighted(metric, truth, score)
    drawn = replicate([at], plan.blocks())[:, 0]
    left_out = replicate([at], plan.leave_one_out())[:, 0] if interval == "bca" else None
    return summarise(value, drawn, plan, n, confidence=confidence, jackknife=left_out)
