"""Calibration maps against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from radsnap import measure
from radsnap.errors import UsageError


def simulate(seed, scale=1.0, shift=0.0, n=400):
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n) * 2
    truth = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    return logit * scale + shift, truth


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.01, 3.0), (1e4, -1e5)])
def test_platt_equals_scikit_learn_whatever_the_scale(scale, shift):
    score, truth = simulate(1, scale, shift)
    found = measure.fit_platt(score, truth)
    oracle = _SigmoidCalibration().fit((score - shift) / scale, truth)
    assert found.apply(score) == pytest.approx(oracle.predict((score - shift) / scale), abs=2e-4)
    # and better than the oracle's own stopping rule: the gradient is nil
    pos = truth.sum()
    target = np.where(truth, (pos + 1) / (pos + 2), 1 / (len(truth) - pos + 2))
    residual = found.apply(score) - target
    assert abs(residual.sum()) < 1e-7
    assert abs((residual * (score - shift) / scale).sum()) < 1e-7


def test_platt_is_finite_on_separable_and_on_equal_scores():
    separable = measure.fit_platt([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert 0 < separable.apply(0.1) < 0.5 < separable.apply(0.9) < 1
    equal = measure.fit_platt([0.5, 0.5, 0.5], [0, 1, 1])
    assert equal.apply(0.5) == pytest.approx((2 * 3 / 4 + 1 / 3) / 3, abs=1e-6)


def test_temperature_minimises_the_log_loss():
    logit, truth = simulate(2, scale=3.0)
    found = measure.fit_temperature(logit, truth)

    def loss(t):
        return np.mean(np.logaddexp(0, logit / t[0]) - truth * logit / t[0])

    assert found.t == pytest.approx(minimize(loss, [1.0], method="Nelder-Mead").x[0], abs=1e-3)
    assert 2.0 < found.t < 4.5  # the logits were blown up three times


def test_isotonic_equals_scikit_learn():
    score, truth = simulate(3)
    score = np.round(score, 1)  # ties
    found = measure.fit_isotonic(score, truth)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(score, truth)
    at = np.linspace(-9, 9, 200)
    assert found.apply(at) == pytest.approx(oracle.predict(at), abs=1e-12)
    assert (np.diff(found.apply(np.sort(score))) >= 0).all()


def test_recalibration_lowers_ece_and_keeps_the_ranking():
    score, truth = simulate(4, scale=4.0)
    raw = 1 / (1 + np.exp(-score))
    for fit in (measure.fit_platt, measure.fit_temperature):
        mended = fit(score, truth).apply(score)
        assert measure.ece(truth, mended) < 0.6 * measure.ece(truth, raw)
        assert measure.auroc(truth, mended) == pytest.approx(measure.auroc(truth, score), abs=1e-9)


@pytest.mark.parametrize("fit", [measure.fit_platt, measure.fit_temperature, measure.fit_isotonic])
def test_a_calibration_needs_both_classes_and_finite_scores(fit):
    with pytest.raises(
        UsageError, match="a calibration needs both classes, got no positives among 2 studies"
    ):
        fit([0.1, 0.2], [0, 0])
    with pytest.raises(UsageError, match="finite scores"):
        fit([0.1, np.inf], [0, 1])
