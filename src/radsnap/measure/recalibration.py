"""Set a finding's probabilities and operating point anew from few images, and say whether they were enough.

Everything that is chosen is judged out of fold: patients are dealt into folds, each fold is read with what the others
give. So a map with more freedom wins only where it predicts images it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from radsnap.errors import UsageError
from radsnap.measure.bootstrap import estimate, replicate, resample, summarise
from radsnap.measure.calibration import Isotonic, Platt, fit_isotonic, fit_platt
from radsnap.measure.curves import choose_threshold
from radsnap.measure.doors import Bools, Floats, Ints, Weights, binary_and_real
from radsnap.measure.scores import sensitivity, specificity
from radsnap.measure.values import Estimate, Undefined
from radsnap.seeds import stream

Map = Platt | Isotonic
MapName = Literal["kept", "offset", "temperature", "platt", "isotonic"]
PointName = Literal["kept", "moved", "youden"]
Verdict = Literal["better", "no gain shown", "new", "too few"]
T = TypeVar("T")
# With fewer of either class nothing is fitted.
FEWEST = 5
# An isotonic map of fewer images is mostly noise.
_FEWEST_FOR_STEPS = 200
_FOLDS = 10
_POSSIBLE = 0.9  # the sensitivity that the lower bar, 'possible', reaches
_EDGE = 1e-4  # a probability is taken as at least this far from 0 and 1


@dataclass(frozen=True)
class Setting:
    """What turns a logit into a probability, and the score (sigmoid of the logit) from which a finding is called."""

    map: Map
    threshold: float | None = None


@dataclass(frozen=True)
class Recalibration:
    """A finding's new setting, which candidates it came from, and what it gains on images it was not fitted to.

    possible: the highest score, no higher than the threshold, that reaches a sensitivity of 0.9.
    log_loss_gain: old minus new mean log loss; youden_gain: new minus old sensitivity + specificity; both out of fold,
    with intervals over patients, Undefined where there was no old setting. verdict: `better` where one gain's interval
    lies above 0 and the other's not below it; `no gain shown` otherwise; `new` where there was nothing before.
    """

    setting: Setting
    possible: float
    map_name: MapName
    point_name: PointName
    log_loss_gain: Estimate | Undefined
    youden_gain: Estimate | Undefined
    sensitivity: Estimate | Undefined
    specificity: Estimate | Undefined
    positives: int
    negatives: int
    verdict: Verdict


def recalibrate(
    logits: ArrayLike,
    truth: ArrayLike,
    patients: ArrayLike,
    old: Setting | None,
    replicates: int = 2000,
    seed: int = 0,
) -> Recalibration | Undefined:
    """Choose among maps and operating points by grouped cross-validation. All arguments (n,).

    Maps: the old one, the old one moved (offset), one slope (temperature), Platt's sigmoid, and steps (isotonic, from
    200 images on). Points: the old one, the score that has the old point's probability under the new map (moved),
    and Youden's. Undefined with fewer than 5 images of either class.
    """
    positive, values = binary_and_real(truth, logits)
    if not np.isfinite(values).all():
        raise UsageError("a recalibration needs finite logits, got an infinite one")
    counts = int(positive.sum()), int((~positive).sum())
    if min(counts) < FEWEST:
        return Undefined(
            f"{counts[0]} positive and {counts[1]} negative images; {FEWEST} of each are needed at least"
        )
    names = np.unique(np.asarray(patients), return_inverse=True)[1]
    folds = _folds(positive, names, seed)
    maps = _map_candidates(old, len(values))
    losses = {
        name: _log_loss(positive, _out_of_fold(folds, values, positive, fit, _apply))
        for name, fit in maps.items()
    }
    map_name = min(losses, key=lambda name: float(losses[name].mean()))
    points = _point_candidates(old, maps[map_name])
    called = {name: _out_of_fold(folds, values, positive, fit, _call) > 0 for name, fit in points.items()}
    point_name = max(called, key=lambda name: _youden(positive, called[name]))
    new = called[point_name]
    gains: tuple[Estimate | Undefined, Estimate | Undefined] = (Undefined("no setting before"),) * 2
    if old is not None:
        gains = (
            _mean_gain(losses["kept"] - losses[map_name], names, replicates, seed),
            _youden_gain(positive, called.get("kept"), new, names, replicates, seed),
        )
    threshold = points[point_name](values, positive)
    reached = choose_threshold(positive, expit(values), "sensitivity", _POSSIBLE)
    return Recalibration(
        Setting(maps[map_name](values, positive), threshold),
        threshold if isinstance(reached, Undefined) else min(threshold, reached),
        map_name,
        point_name,
        *gains,
        estimate(sensitivity, positive, new, names, replicates, seed),
        estimate(specificity, positive, new, names, replicates, seed),
        *counts,
        _verdict(old, *gains),
    )


def _verdict(old: Setting | None, *gains: Estimate | Undefined) -> Verdict:
    if old is None:
        return "new"
    known = [gain for gain in gains if isinstance(gain, Estimate)]
    better, worse = any(gain.low > 0 for gain in known), any(gain.high < 0 for gain in known)
    return "better" if better and not worse else "no gain shown"


def _folds(positive: Bools, patients: Ints, seed: int) -> Ints:
    """Deal patients into folds, those with a positive image first, so that every fold has some of both."""
    count = int(patients.max()) + 1
    has = np.zeros(count, dtype=bool)
    np.logical_or.at(has, patients, positive)
    order = stream(seed, "folds").permutation(count)
    order = order[np.argsort(~has[order], kind="stable")]
    dealt = np.empty(count, dtype=np.int64)
    dealt[order] = np.arange(count) % min(_FOLDS, count)
    return dealt[patients]


def _out_of_fold(
    folds: Ints,
    values: Floats,
    positive: Bools,
    fit: Callable[[Floats, Bools], T],
    read: Callable[[T, Floats], Floats],
) -> Floats:
    """Read each fold with what the others give; what one class is absent from is read with what all give."""
    result = np.empty(len(values))
    for fold in np.unique(folds):
        inside = folds == fold
        rest = ~inside if 0 < positive[~inside].sum() < (~inside).sum() else np.ones_like(inside)
        result[inside] = read(fit(values[rest], positive[rest]), values[inside])
    return result


def _apply(fitted: Map, values: Floats) -> Floats:
    return fitted.apply(values)


def _call(threshold: float, values: Floats) -> Floats:
    return np.asarray(expit(values) >= threshold, dtype=np.float64)


def _map_candidates(old: Setting | None, n: int) -> dict[MapName, Callable[[Floats, Bools], Map]]:
    candidates: dict[MapName, Callable[[Floats, Bools], Map]] = {}
    if old is not None:
        kept = old.map
        candidates["kept"] = lambda values, positive: kept
        if isinstance(kept, Platt):
            candidates["offset"] = lambda values, positive: _moved(kept, values, positive)
    candidates["temperature"] = _softened
    candidates["platt"] = fit_platt
    if n >= _FEWEST_FOR_STEPS:
        candidates["isotonic"] = fit_isotonic
    return candidates


def _moved(kept: Platt, values: Floats, positive: Bools) -> Platt:
    """Keep the slope, fit the offset."""
    found = minimize_scalar(
        lambda b: float(_log_loss(positive, expit(kept.a * values + kept.b + b)).mean()),
        bounds=(-10, 10),
        method="bounded",
    )
    return Platt(kept.a, kept.b + float(found.x))


def _softened(values: Floats, positive: Bools) -> Platt:
    """One slope between 0.01 and 100, no offset. Source: Guo et al. 2017."""
    found = minimize_scalar(
        lambda log_a: float(_log_loss(positive, expit(np.exp(log_a) * values)).mean()),
        bounds=(-np.log(100), np.log(100)),
        method="bounded",
    )
    return Platt(float(np.exp(found.x)), 0.0)


def _point_candidates(
    old: Setting | None, fit: Callable[[Floats, Bools], Map]
) -> dict[PointName, Callable[[Floats, Bools], float]]:
    def best(values: Floats, positive: Bools) -> float:
        found = choose_threshold(positive, expit(values), "youden")
        return 0.5 if isinstance(found, Undefined) else found

    if old is None or old.threshold is None:
        return {"youden": best}
    threshold = old.threshold
    (probability,) = old.map.apply(np.array([logit(np.clip(threshold, _EDGE, 1 - _EDGE))])).clip(
        _EDGE, 1 - _EDGE
    )

    def same_probability(values: Floats, positive: Bools) -> float:
        fitted = fit(values, positive)
        if isinstance(fitted, Platt):
            return float(expit((logit(probability) - fitted.b) / fitted.a)) if fitted.a > 0 else threshold
        reached = np.flatnonzero(np.array(fitted.probabilities) >= probability)
        return float(expit(fitted.scores[reached[0]])) if len(reached) else 1.0

    return {"kept": lambda values, positive: threshold, "moved": same_probability, "youden": best}


def _log_loss(positive: Bools, probability: Floats) -> Floats:
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    return -np.where(positive, np.log(p), np.log1p(-p))


def _youden(positive: Bools, called: Bools) -> float:
    return float(called[positive].mean() - called[~positive].mean())


def _mean_gain(gain: Floats, patients: Ints, replicates: int, seed: int) -> Estimate:
    plan = resample(patients, replicates, seed)
    drawn = replicate([lambda weights: (gain @ weights) / weights.sum(axis=0)], plan.blocks())[:, 0]
    return summarise(float(gain.mean()), drawn, plan, len(gain))


def _youden_gain(
    positive: Bools, old: Bools | None, new: Bools, patients: Ints, replicates: int, seed: int
) -> Estimate | Undefined:
    if old is None:
        return Undefined("no operating point before")
    step = new.astype(np.float64) - old
    plan = resample(patients, replicates, seed)

    def gain(weights: Weights) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(
                (step[positive] @ weights[positive]) / weights[positive].sum(axis=0)
                - (step[~positive] @ weights[~positive]) / weights[~positive].sum(axis=0)
            )

    drawn = replicate([gain], plan.blocks())[:, 0]
    return summarise(_youden(positive, new) - _youden(positive, old), drawn, plan, len(new))
