"""Readers: their operating points beside a model's curve, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from radsnap.measure.curves import OperatingPoint, lies_under, operating_point, roc_curve
from radsnap.measure.doors import Floats, Ints, Weights, binary_and_real
from radsnap.measure.scores import Metric, Weighted
from radsnap.measure.values import Undefined


def readers_under(truth: ArrayLike, score: ArrayLike, readers: Sequence[ArrayLike]) -> int | Undefined:
    """Count the readers whose operating point lies strictly under the model's ROC curve."""
    curve = roc_curve(truth, score)
    if isinstance(curve, Undefined):
        return curve
    points = [operating_point(truth, reader) for reader in readers]
    return sum(isinstance(point, OperatingPoint) and lies_under(point, curve) for point in points)


def count_under(truth: ArrayLike, columns: ArrayLike) -> float | Undefined:
    """Count the readers under the curve, as a metric. columns: (n, 1 + readers), the score first.

    A reader whose column is all NaN has not read this finding and is left out.
    """
    score, readers = _score_and_readers(columns)
    found = readers_under(truth, score, readers)
    return found if isinstance(found, Undefined) else float(found)


def _score_and_readers(columns: ArrayLike) -> tuple[Floats, list[Floats]]:
    table = np.asarray(columns, dtype=np.float64)
    return table[:, 0], [column for column in table.T[1:] if not np.isnan(column).all()]


def weighted_count_under(truth: ArrayLike, columns: ArrayLike) -> Weighted:
    """Prepare the count of readers under the curve for a matrix of weights."""
    score, readers = _score_and_readers(columns)
    positive, values = binary_and_real(truth, score)
    order = np.argsort(-values, kind="stable")
    pos, neg = order[positive[order]], order[~positive[order]]
    steps = np.unique(values)[::-1]
    # How many positives and negatives each point of the curve has passed, from (0, 0) on.
    climbed, crossed = (
        np.concatenate([[0], np.searchsorted(-values[side], -steps, side="right")]) for side in (pos, neg)
    )
    marks = [mark for reader in readers for mark in (positive & (reader == 1), ~positive & (reader == 1))]
    said = np.array(marks, dtype=np.float32).reshape(-1, len(positive))

    def at(weights: Weights) -> Floats:
        true, false = (_running(weights[side]) for side in (pos, neg))
        hits, alarms = (said[first::2] @ weights for first in (0, 1))
        under = np.zeros(weights.shape[1])
        for hit, alarm in zip(hits, alarms, strict=True):
            under += hit < _height(true, false, climbed, crossed, alarm) - 1e-12 * true[-1]
        return np.where((true[-1] > 0) & (false[-1] > 0), under, np.nan)

    return at


def _running(ranked: Weights) -> Weights:
    """Sum weights from the highest score down, from 0 on: (1 + n, B). Counts are exact in float32."""
    sums = np.zeros((len(ranked) + 1, ranked.shape[1]), dtype=np.float32)
    np.cumsum(ranked, axis=0, out=sums[1:])
    return sums


def _height(true: Weights, false: Weights, climbed: Ints, crossed: Ints, alarm: Weights) -> Floats:
    """Give the true positives on each column's curve where it has so many false ones."""
    columns = np.arange(len(alarm))
    low, high = np.zeros(len(columns), dtype=np.int64), np.full(len(columns), len(crossed))
    while (high - low > 1).any():  # halving: the last point of the curve with no more false positives
        middle = (low + high) // 2
        reached = false[crossed[middle], columns] <= alarm
        low, high = np.where(reached, middle, low), np.where(reached, high, middle)
    right = np.minimum(low + 1, len(crossed) - 1)
    before, after = (false[crossed[place], columns].astype(np.float64) for place in (low, right))
    step = after - before
    share = np.divide(alarm - before, step, out=np.zeros(len(step)), where=step > 0)
    here, there = (true[climbed[place], columns].astype(np.float64) for place in (low, right))
    return np.asarray(here + share * (there - here))


def mean_reader(truth: ArrayLike, readers: Sequence[ArrayLike]) -> OperatingPoint | Undefined:
    """Give the mean of the readers' sensitivities and of their specificities."""
    if len(readers) == 0:
        return Undefined("no readers")
    points = [operating_point(truth, reader) for reader in readers]
    kept = [point for point in points if isinstance(point, OperatingPoint)]
    if len(kept) < len(points):
        return next(point for point in points if isinstance(point, Undefined))
    return OperatingPoint(
        float(np.mean([point.sensitivity for point in kept])),
        float(np.mean([point.specificity for point in kept])),
    )


def readers_mean(metric: Metric, truth: ArrayLike, readers: Sequence[ArrayLike]) -> float | Undefined:
    """Give the mean of a metric over readers; undefined as soon as it is for one of them."""
    if len(readers) == 0:
        return Undefined("no readers")
    values = [metric(truth, reader) for reader in readers]
    missing = [value for value in values if isinstance(value, Undefined)]
    if missing:
        return Undefined(f"{len(missing)} of {len(values)} readers: {missing[0].reason}")
    return float(np.mean([value for value in values if not isinstance(value, Undefined)]))
