"""How far probabilities can be believed, and maps that make scores into probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import expit

from radsnap.errors import UsageError
from radsnap.measure.doors import Bools, Floats, Ints, Weights, binary_and_real
from radsnap.measure.scores import Weighted, one_class
from radsnap.measure.values import Undefined

BINS = 10


def _not_probabilities(values: Floats) -> Undefined | None:
    if len(values) == 0:
        return Undefined("no studies")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        return Undefined(f"scores run from {low:.3g} to {high:.3g}; calibration needs probabilities")
    return None


def brier(truth: ArrayLike, probability: ArrayLike) -> float | Undefined:
    """Measure the mean squared distance of probabilities from the truth."""
    positive, values = binary_and_real(truth, probability)
    return _not_probabilities(values) or float(np.mean((values - positive) ** 2))


def ece(truth: ArrayLike, probability: ArrayLike) -> float | Undefined:
    """Measure the expected calibration error over ten bins of equal width.

    The mean over studies of |share of positives - mean probability| in the study's bin.
    Source: Naeini, Cooper & Hauskrecht 2015.
    """
    positive, values = binary_and_real(truth, probability)
    reason = _not_probabilities(values)
    if reason is not None:
        return reason
    gaps = np.bincount(_bins(values), weights=values - positive, minlength=BINS)
    return float(np.abs(gaps).sum() / len(values))


def _bins(values: Floats) -> Ints:
    return np.minimum((values * BINS).astype(np.int64), BINS - 1)


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability curve: per filled bin the mean probability, the share of positives and the studies."""

    probability: Floats
    share: Floats
    n: Ints


def reliability(truth: ArrayLike, probability: ArrayLike) -> Reliability | Undefined:
    """Draw the reliability curve over ten bins of equal width; empty bins are left out."""
    positive, values = binary_and_real(truth, probability)
    reason = _not_probabilities(values)
    if reason is not None:
        return reason
    bins = _bins(values)
    n = np.bincount(bins, minlength=BINS)
    filled = n > 0
    sums = (np.bincount(bins, weights=column, minlength=BINS)[filled] for column in (values, positive))
    mean, share = (column / n[filled] for column in sums)
    return Reliability(mean, share, n[filled].astype(np.int64))


def weighted_brier(truth: ArrayLike, probability: ArrayLike) -> Weighted:
    """Prepare the Brier score for a matrix of weights."""
    positive, values = binary_and_real(truth, probability)
    loss = (values - positive) ** 2
    return lambda weights: loss @ weights.astype(np.float64) / weights.sum(axis=0, dtype=np.float64)


def weighted_ece(truth: ArrayLike, probability: ArrayLike) -> Weighted:
    """Prepare the expected calibration error for a matrix of weights."""
    positive, values = binary_and_real(truth, probability)
    gaps = np.where(np.arange(BINS)[:, None] == _bins(values), values - positive, 0.0)

    def at(weights: Weights) -> Floats:
        total = weights.sum(axis=0, dtype=np.float64)
        return np.asarray(np.abs(gaps @ weights.astype(np.float64)).sum(axis=0) / total)

    return at


@dataclass(frozen=True)
class Platt:
    """A sigmoid map: probability = 1 / (1 + exp(-(a score + b)))."""

    a: float
    b: float

    def apply(self, score: ArrayLike) -> Floats:
        """Turn scores of any shape into probabilities."""
        return np.asarray(expit(self.a * np.asarray(score, dtype=np.float64) + self.b))


@dataclass(frozen=True)
class Temperature:
    """A softening map of logits: probability = 1 / (1 + exp(-logit / t))."""

    t: float

    def apply(self, logit: ArrayLike) -> Floats:
        """Turn logits of any shape into probabilities."""
        return np.asarray(expit(np.asarray(logit, dtype=np.float64) / self.t))


@dataclass(frozen=True)
class Isotonic:
    """A rising map through knots, linear between them and flat outside."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def apply(self, score: ArrayLike) -> Floats:
        """Turn scores of any shape into probabilities."""
        return np.interp(np.asarray(score, dtype=np.float64), self.scores, self.probabilities)


def _fit_pair(score: ArrayLike, truth: ArrayLike) -> tuple[Floats, Bools]:
    positive, values = binary_and_real(truth, score)
    reason = one_class(positive)
    if reason is not None:
        raise UsageError(f"a calibration needs both classes, got {reason.reason}")
    if not np.isfinite(values).all():
        raise UsageError("a calibration needs finite scores, got an infinite one")
    return values, positive


def fit_platt(score: ArrayLike, truth: ArrayLike) -> Platt:
    """Fit a sigmoid by maximum likelihood with Platt's smoothed targets (finite on separable data too).

    Raises UsageError when a class is absent. Source: Platt 1999; Lin, Lin & Weng 2007 (Newton steps).
    """
    values, positive = _fit_pair(score, truth)
    pos = int(positive.sum())
    target = np.where(positive, (pos + 1) / (pos + 2), 1 / (len(values) - pos + 2))
    # Standardised scores keep the Hessian well conditioned whatever the scale of the scores.
    centre = float(values.mean())
    scale = float(values.std()) or 1.0
    columns = np.stack([(values - centre) / scale, np.ones_like(values)])
    slope, offset = _newton(columns, target)
    return Platt(slope / scale, offset - slope * centre / scale)


def _newton(columns: Floats, target: Floats) -> tuple[float, float]:
    """Minimise the log loss of sigmoid(theta @ columns): damped Newton steps, a convex problem."""
    theta = np.zeros(2)

    def loss(at: Floats) -> float:
        logit = at @ columns
        return float(np.sum(np.logaddexp(0, logit) - target * logit))

    for _ in range(100):
        p = expit(theta @ columns)
        gradient = columns @ (p - target)
        hessian = (columns * (p * (1 - p))) @ columns.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        if float(gradient @ step) < 1e-18 * len(target):
            break
        here, size = loss(theta), 1.0
        while loss(theta - size * step) > here and size > 1e-8:
            size /= 2
        theta = theta - size * step
    return float(theta[0]), float(theta[1])


def fit_temperature(logit: ArrayLike, truth: ArrayLike) -> Temperature:
    """Fit a temperature by maximum likelihood, between 0.01 and 100. Source: Guo et al. 2017."""
    values, positive = _fit_pair(logit, truth)

    def loss(log_t: float) -> float:
        scaled = values * np.exp(-log_t)
        return float(np.mean(np.logaddexp(0, scaled) - positive * scaled))

    bound = float(np.log(100))
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-10})
    return Temperature(float(np.exp(found.x)))


def fit_isotonic(score: ArrayLike, truth: ArrayLike) -> Isotonic:
    """Fit the rising step map of least squares (pool adjacent violators); equal scores are pooled first."""
    values, positive = _fit_pair(score, truth)
    knots, place, n = np.unique(values, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=positive) / n
    fitted = isotonic_regression(share, weights=n.astype(np.float64)).x
    # Inner knots of a flat stretch add nothing.
    keep = np.ones(len(knots), dtype=bool)
    keep[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Isotonic(tuple(knots[keep].tolist()), tuple(fitted[keep].tolist()))
