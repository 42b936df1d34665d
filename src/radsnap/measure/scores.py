"""Scores of one column against its truth: plain functions, arrays in, a float or the reason out.

A truth is 0 or 1. A score is any real number, higher meaning more likely; a decision is 0 or 1.
`weighted` gives the same scores for a whole matrix of resampling weights at once (see bootstrap.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from radsnap.measure.doors import Bools, Floats, Weights, binary_and_real, binary_pair
from radsnap.measure.values import Undefined

Metric = Callable[[ArrayLike, ArrayLike], float | Undefined]
"""A truth and what is scored against it in, a value or the reason for none out."""

Weighted = Callable[[Weights], Floats]
"""Weights (n studies, B resamples) in, one value a resample out, NaN where it is undefined."""


def one_class(positive: Bools) -> Undefined | None:
    """Say why a ranking cannot be scored: there is only one class."""
    if len(positive) == 0:
        return Undefined("no studies")
    if not positive.any():
        return Undefined(f"no positives among {len(positive)} studies")
    if positive.all():
        return Undefined(f"no negatives among {len(positive)} studies")
    return None


def auroc(truth: ArrayLike, score: ArrayLike) -> float | Undefined:
    """Measure the area under the ROC curve; ties count one half (midranks). Source: Hanley & McNeil 1982."""
    positive, values = binary_and_real(truth, score)
    reason = one_class(positive)
    if reason is not None:
        return reason
    pos = int(positive.sum())
    neg = len(positive) - pos
    rank_sum = float(rankdata(values)[positive].sum())
    return (rank_sum - pos * (pos + 1) / 2) / (pos * neg)


def average_precision(truth: ArrayLike, score: ArrayLike) -> float | Undefined:
    """Measure the average precision: the step-wise area under precision against recall, ties as one step."""
    positive, values = binary_and_real(truth, score)
    if not positive.any():
        return one_class(positive) or Undefined("no studies")
    order, last = _falling_steps(values)
    true = np.cumsum(positive[order])[last]
    called = last + 1
    return float(np.sum(np.diff(true, prepend=0) * true / called) / true[-1])


def _falling_steps(values: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Order scores from high to low, and say where each run of equal scores ends."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives; floats, or arrays with one entry a resample."""

    tp: Floats
    fp: Floats
    fn: Floats
    tn: Floats

    @property
    def positives(self) -> Floats:
        return self.tp + self.fn

    @property
    def negatives(self) -> Floats:
        return self.tn + self.fp

    @property
    def called(self) -> Floats:
        return self.tp + self.fp

    @property
    def uncalled(self) -> Floats:
        return self.tn + self.fn


def counts(truth: ArrayLike, decision: ArrayLike) -> Counts:
    """Count true and false positives and negatives."""
    positive, called = binary_pair(truth, decision)
    cells = (positive & called, ~positive & called, positive & ~called, ~positive & ~called)
    return Counts(*(np.asarray(cell.sum(), dtype=np.float64) for cell in cells))


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mcc(c: Counts) -> Floats:
    # Two roots of two products: a perfect table gives exactly 1, and no product grows beyond 2**53.
    root = np.sqrt(c.called * c.positives) * np.sqrt(c.negatives * c.uncalled)
    return _ratio(c.tp * c.tn - c.fp * c.fn, root)


_BY_COUNTS: dict[str, Callable[[Counts], Floats]] = {
    "mcc": _mcc,
    "sensitivity": lambda c: _ratio(c.tp, c.positives),
    "specificity": lambda c: _ratio(c.tn, c.negatives),
    "ppv": lambda c: _ratio(c.tp, c.called),
    "npv": lambda c: _ratio(c.tn, c.uncalled),
    "f1": lambda c: _ratio(2 * c.tp, c.called + c.positives),
    "positive_rate": lambda c: _ratio(c.called, c.called + c.uncalled),
}
_MARGINS = {
    "positives": "no positives",
    "negatives": "no negatives",
    "called": "nothing called positive",
    "uncalled": "nothing called negative",
}
_NEEDS = {  # the margins without which a measure is undefined
    "mcc": tuple(_MARGINS),
    "sensitivity": ("positives",),
    "specificity": ("negatives",),
    "ppv": ("called",),
    "npv": ("uncalled",),
    "f1": ("positives",),
    "positive_rate": (),
}


def _by_counts(name: str, truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    found = counts(truth, decision)
    value = float(_BY_COUNTS[name](found))
    if not np.isnan(value):
        return value
    total = int(found.called + found.uncalled)
    if total == 0:
        return Undefined("no studies")
    empty = next(margin for margin in _NEEDS[name] if getattr(found, margin) == 0)
    return Undefined(f"{_MARGINS[empty]} among {total} studies")


def mcc(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure Matthews' correlation. Undefined where a margin of the table is empty (others say 0)."""
    return _by_counts("mcc", truth, decision)


def sensitivity(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the share of positives called positive."""
    return _by_counts("sensitivity", truth, decision)


def specificity(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the share of negatives called negative."""
    return _by_counts("specificity", truth, decision)


def ppv(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the share of positives among those called positive (precision)."""
    return _by_counts("ppv", truth, decision)


def npv(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the share of negatives among those called negative."""
    return _by_counts("npv", truth, decision)


def f1(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the harmonic mean of sensitivity and PPV."""
    return _by_counts("f1", truth, decision)


def positive_rate(truth: ArrayLike, decision: ArrayLike) -> float | Undefined:
    """Measure the share of studies called positive, whatever their truth."""
    return _by_counts("positive_rate", truth, decision)


def weighted_counts(name: str) -> Callable[[ArrayLike, ArrayLike], Weighted]:
    """Prepare a measure of the four counts for a matrix of weights."""

    def prepare(truth: ArrayLike, decision: ArrayLike) -> Weighted:
        positive, called = binary_pair(truth, decision)
        cells = np.stack([positive & called, ~positive & called, positive & ~called, ~positive & ~called])
        table = cells.astype(np.float32)  # counts below 2**24 are exact in float32
        return lambda weights: _BY_COUNTS[name](Counts(*(table @ weights).astype(np.float64)))

    return prepare


# Beyond this many pairs a study, ranked sums are quicker than the product of a matrix (bench/measure.py).
_PAIRS_PER_STUDY = 300


def weighted_average_precision(truth: ArrayLike, score: ArrayLike) -> Weighted:
    """Prepare the average precision for a matrix of weights.

    Only the scores of positives matter as thresholds; how many studies reach each of them is one product
    of matrices for few studies, and running sums of ranked rows for many.
    """
    positive, values = binary_and_real(truth, score)
    steps = np.unique(values[positive])[::-1]
    if len(steps) > _PAIRS_PER_STUDY:
        return _precision_by_running_sums(positive, values)
    reached = (values >= steps[:, None]).astype(np.float32)
    of_pos = np.ascontiguousarray(reached[:, positive])

    def at(weights: Weights) -> Floats:
        true = (of_pos @ weights[positive]).astype(np.float64)
        called = (reached @ weights).astype(np.float64)
        return _area_of_steps(true, called, weights.shape[1])

    return at


def _precision_by_running_sums(positive: Bools, values: Floats) -> Weighted:
    order, last = _falling_steps(values)
    marks = positive[order].astype(np.float32)[:, None]

    def at(weights: Weights) -> Floats:
        ranked = weights[order]
        called = np.cumsum(ranked, axis=0)[last].astype(np.float64)
        true = np.cumsum(ranked * marks, axis=0)[last].astype(np.float64)
        return _area_of_steps(true, called, weights.shape[1])

    return at


def _area_of_steps(true: Floats, called: Floats, width: int) -> Floats:
    """Sum precision times gain of recall over steps (steps, B) from the highest score down."""
    if len(true) == 0:
        return np.full(width, np.nan)
    gain = np.diff(true, axis=0, prepend=0.0)
    gain *= true
    area = np.divide(gain, called, out=gain, where=called > 0).sum(axis=0)
    return _ratio(area, true[-1])


def weighted_auroc(truth: ArrayLike, score: ArrayLike) -> Weighted:
    """Prepare the AUROC for a matrix of weights.

    The area is a quadratic form: the weights of positives, times who beats whom, times the weights of
    negatives. For few studies that is one product of matrices; for many, running sums of ranked rows.
    """
    positive, values = binary_and_real(truth, score)
    pos, neg = np.flatnonzero(positive), np.flatnonzero(~positive)
    if len(pos) * len(neg) > _PAIRS_PER_STUDY * len(positive):
        return _by_running_sums(values, pos, neg)
    return _by_product(values, pos, neg)


def _by_product(values: Floats, pos: np.ndarray, neg: np.ndarray) -> Weighted:
    higher = values[neg][:, None] < values[pos][None, :]
    wins = (higher + 0.5 * (values[neg][:, None] == values[pos][None, :])).astype(np.float32)

    def at(weights: Weights) -> Floats:
        of_pos, of_neg = weights[pos], weights[neg]
        # Halves of integers: exact in float32, since each entry stays below 2**23.
        beaten = wins @ of_pos
        beaten *= of_neg
        return _ratio(beaten.sum(axis=0, dtype=np.float64), _mass(of_pos) * _mass(of_neg))

    return at


def _by_running_sums(values: Floats, pos: np.ndarray, neg: np.ndarray) -> Weighted:
    ranked = neg[np.argsort(values[neg], kind="stable")]
    below = np.searchsorted(values[ranked], values[pos], side="left")
    not_above = np.searchsorted(values[ranked], values[pos], side="right")

    def at(weights: Weights) -> Floats:
        sums = np.zeros((len(ranked) + 1, weights.shape[1]), dtype=np.float32)
        np.cumsum(weights[ranked], axis=0, out=sums[1:])
        of_pos = weights[pos]
        beaten = sums[below]
        beaten += sums[not_above]
        won = 0.5 * np.einsum("pb,pb->b", beaten, of_pos, dtype=np.float64)
        return _ratio(won, _mass(of_pos) * sums[-1].astype(np.float64))

    return at


def _mass(weights: Weights) -> Floats:
    return np.asarray(weights.sum(axis=0, dtype=np.float64))
