from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.learn.operating import FEWEST, domain_settings  # noqa: E402
from radsnap.models.card import Head  # noqa: E402

HEADS = (Head(name="findings", classes=("Edema", "Mass"), activation="sigmoid"),)


def said(n: int, rng: np.random.Generator):
    truth = rng.integers(0, 2, size=(n, 2)).astype(np.float32)
    return (rng.normal(size=(n, 2)) + 1.5 * truth).astype(np.float32), truth


def test_the_bar_is_youdens_and_possible_reaches_its_sensitivity():
    logits, truth = said(400, np.random.default_rng(0))
    point = domain_settings(HEADS, {"digital": (logits, truth)})["digital"].operating_points["Edema"]
    score, positive = expit(logits[:, 0].astype(float)), truth[:, 0] == 1
    bars = np.unique(score)
    youden = [(score[positive] >= bar).mean() - (score[~positive] >= bar).mean() for bar in bars]
    assert point.score == pytest.approx(bars[int(np.argmax(youden))])
    assert (score[positive] >= point.possible).mean() >= 0.9
    assert point.possible <= point.score
    assert point.n == 400


def test_too_few_positives_set_no_operating_point():
    logits, truth = said(100, np.random.default_rng(1))
    truth[:, 1] = 0
    truth[: FEWEST - 1, 1] = 1
    found = domain_settings(HEADS, {"digital": (logits, truth)})["digital"]
    assert list(found.operating_points) == ["Edema"]
    assert list(found.calibration) == ["Edema"]


def test_unknown_labels_take_no_part():
    logits, truth = said(200, np.random.default_rng(2))
    more_logits = np.concatenate([logits, np.full((50, 2), 9, np.float32)])
    more_truth = np.concatenate([truth, np.full((50, 2), np.nan, np.float32)])
    assert domain_settings(HEADS, {"any": (logits, truth)}) == domain_settings(
        HEADS, {"any": (more_logits, more_truth)}
    )


def test_calibrated_probabilities_have_the_prevalence_as_their_mean():
    logits, truth = said(3000, np.random.default_rng(3))
    platt = domain_settings(HEADS, {"any": (logits, truth)})["any"].calibration["Edema"]
    probability = expit(platt.slope * logits[:, 0] + platt.intercept)
    assert probability.mean() == pytest.approx(truth[:, 0].mean(), abs=0.01)
