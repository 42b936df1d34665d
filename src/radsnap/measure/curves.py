"""ROC curves, operating points and thresholds. A study is called positive when score >= threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from radsnap.errors import UsageError
from radsnap.measure.doors import Floats, binary_and_real, binary_pair, real, same_length
from radsnap.measure.doors import binary as binary_column
from radsnap.measure.scores import counts, one_class
from radsnap.measure.values import Undefined

Rule = Literal["youden", "mcc", "sensitivity", "specificity"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A ROC curve from (0, 0) to (1, 1): one point a threshold, from infinity down."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    threshold: Floats


def roc_curve(truth: ArrayLike, score: ArrayLike) -> Curve | Undefined:
    """Draw the ROC curve through every distinct score."""
    positive, values = binary_and_real(truth, score)
    reason = one_class(positive)
    if reason is not None:
        return reason
    order = np.argsort(-values, kind="stable")
    ranked, marks = values[order], positive[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    true = np.concatenate([[0], np.cumsum(marks)[last]])
    false = np.concatenate([[0], np.cumsum(~marks)[last]])
    return Curve(false / false[-1], true / true[-1], np.concatenate([[np.inf], ranked[last]]))


@dataclass(frozen=True)
class OperatingPoint:
    """Where decisions lie in the ROC plane."""

    sensitivity: float
    specificity: float


def operating_point(truth: ArrayLike, decision: ArrayLike) -> OperatingPoint | Undefined:
    """Give the sensitivity and specificity of decisions."""
    positive, _ = binary_pair(truth, decision)
    reason = one_class(positive)
    if reason is not None:
        return reason
    found = counts(truth, decision)
    return OperatingPoint(float(found.tp / found.positives), float(found.tn / found.negatives))


def lies_under(point: OperatingPoint, curve: Curve) -> bool:
    """Say whether a point lies strictly under a ROC curve, straight between the curve's points."""
    rates, heights = curve.false_positive_rate, curve.true_positive_rate
    fpr = 1 - point.specificity
    # Where the curve climbs, several points share one rate: on it the highest of them counts, and the way to
    # it from the left ends at the lowest.
    left = int(np.searchsorted(rates, fpr + 1e-12, side="right")) - 1
    right = min(left + 1, len(rates) - 1)
    step = rates[right] - rates[left]
    share = max(fpr - rates[left], 0.0) / step if step > 0 else 0.0
    height = heights[left] + share * (heights[right] - heights[left])
    return bool(point.sensitivity < height - 1e-12)


@dataclass(frozen=True)
class Threshold:
    """A threshold, and the range (low, high] in which every threshold decides alike."""

    value: float
    low: float
    high: float


def decide(score: ArrayLike, threshold: float) -> np.ndarray:
    """Call positive what reaches the threshold. Returns bool, the shape of the scores."""
    return np.asarray(np.asarray(score, dtype=np.float64) >= threshold)


def implied_threshold(score: ArrayLike, decision: ArrayLike) -> Threshold | Undefined:
    """Find the thresholds that give these decisions from these scores.

    Takes the middle of their range. Undefined where no threshold gives them, or where they leave it
    open (nothing, or everything, called positive).
    """
    values, called = real(score, "score"), binary_column(decision, "decisions")
    same_length(values, called)
    if len(values) == 0:
        return Undefined("no studies")
    if not called.any():
        return Undefined(f"nothing called positive; any threshold above {values.max():.6g} gives that")
    if called.all():
        return Undefined(f"everything called positive; any threshold up to {values.min():.6g} gives that")
    low, high = float(values[~called].max()), float(values[called].min())
    if low < high:
        middle = low + (high - low) / 2
        return Threshold(middle if low < middle <= high else high, low, high)
    wrong = _fewest_wrong(values, called)
    return Undefined(
        f"no threshold gives the decisions: a study of score {low:.6g} is called negative and one of "
        f"{high:.6g} positive; the best threshold is wrong on {wrong} of {len(values)} studies"
    )


def _fewest_wrong(values: Floats, called: np.ndarray) -> int:
    order = np.argsort(values, kind="stable")
    ranked, marks = values[order], called[order]
    cut = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1], [True]]))
    below = np.concatenate([[0], np.cumsum(marks)])[cut]  # called positive, yet under the cut
    above = np.concatenate([[0], np.cumsum(~marks)])
    return int((below + above[-1] - above[cut]).min())


def choose_threshold(
    truth: ArrayLike, score: ArrayLike, rule: Rule, at_least: float | None = None
) -> float | Undefined:
    """Choose a threshold on a validation set.

    rule: `youden` and `mcc` take the maximum (the highest threshold among equals); `sensitivity` takes the
    highest threshold, `specificity` the lowest, that reaches `at_least`.
    """
    if (rule in ("sensitivity", "specificity")) != (at_least is not None):
        raise UsageError(f"the rule '{rule}' {'needs' if at_least is None else 'takes no'} at_least")
    curve = roc_curve(truth, score)
    if isinstance(curve, Undefined):
        return curve
    tpr, fpr = curve.true_positive_rate, curve.false_positive_rate
    if rule == "youden":
        return float(curve.threshold[1:][np.argmax((tpr - fpr)[1:])])
    if rule == "mcc":
        return _best_mcc(curve, np.asarray(truth))
    wanted = float(at_least) if at_least is not None else 0.0
    reached = (tpr if rule == "sensitivity" else 1 - fpr) >= wanted - 1e-12
    places = np.flatnonzero(reached[1:]) + 1
    if len(places) == 0:
        return Undefined(f"no threshold has a {rule} of {wanted:g} or more")
    return float(curve.threshold[places[0] if rule == "sensitivity" else places[-1]])


def _best_mcc(curve: Curve, truth: np.ndarray) -> float | Undefined:
    share = float(np.mean(truth))
    tpr, fpr = curve.true_positive_rate[1:], curve.false_positive_rate[1:]
    called = share * tpr + (1 - share) * fpr
    spread = called * (1 - called)
    usable = spread > 0
    if not usable.any():
        return Undefined("all scores are equal")
    with np.errstate(invalid="ignore", divide="ignore"):
        mcc = np.where(usable, (tpr - fpr) * np.sqrt(share * (1 - share)) / np.sqrt(spread), -np.inf)
    return float(curve.threshold[1:][np.argmax(mcc)])
