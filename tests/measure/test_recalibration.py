"""Recalibration from few images: it finds a shift that is there, and leaves alone what it cannot better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from radsnap.measure import Platt, Recalibration, Setting, Undefined, recalibrate

OLD = Setting(Platt(1.0, 0.0), 0.5)


def images(n: int, shift: float, slope: float = 1.0, seed: int = 0):
    """Logits whose true probability is sigmoid(slope · logit + shift), as a photo moves a network's logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-shift / slope, 2.0, n)
    return logits, (rng.random(n) < expit(slope * logits + shift)).astype(float), np.arange(n)


def found(*arguments) -> Recalibration:
    result = recalibrate(*arguments, replicates=300)
    assert isinstance(result, Recalibration)
    return result


def test_a_shift_is_found_and_shown_to_gain():
    one = found(*images(300, 2.5), OLD)
    assert one.verdict == "better"
    assert one.log_loss_gain.low > 0
    assert isinstance(one.setting.map, Platt)
    assert -one.setting.map.b / one.setting.map.a == pytest.approx(-2.5, abs=0.6)
    # the old point was a probability of 0.5, which now lies 2.5 lower on the logit's scale
    assert one.setting.threshold == pytest.approx(expit(-2.5), abs=0.12)
    assert one.youden_gain.value > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_gained_where_nothing_is_wrong(seed):
    one = found(*images(120, 0.0, seed=seed), OLD)
    assert one.verdict == "no gain shown"
    assert one.log_loss_gain.low <= 0


def test_steps_are_taken_only_with_many_images():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 3000)
    truth = (rng.random(3000) < np.where(logits > 1, 0.9, 0.1)).astype(float)  # no sigmoid
    assert found(logits, truth, np.arange(3000), OLD).map_name == "isotonic"
    assert found(logits[:150], truth[:150], np.arange(150), OLD).map_name != "isotonic"


def test_too_few_images_say_so():
    logits, truth = np.arange(20.0), np.r_[np.ones(4), np.zeros(16)]
    assert recalibrate(logits, truth, np.arange(20), OLD) == Undefined(
        "4 positive and 16 negative images; 5 of each are needed at least"
    )


def test_a_first_calibration_is_new():
    one = found(*images(80, 1.0), None)
    assert one.verdict == "new"
    assert isinstance(one.log_loss_gain, Undefined)
    assert one.point_name == "youden"


def test_a_patient_is_never_on_both_sides_of_a_fold():
    """Twenty copies of each patient's image: out of fold they help as little as one."""
    rng = np.random.default_rng(5)
    logits, truth = rng.normal(0, 1, 12), np.r_[np.ones(6), np.zeros(6)]  # no relation at all
    copies = found(np.repeat(logits, 20), np.repeat(truth, 20), np.repeat(np.arange(12), 20), OLD)
    assert copies.map_name != "isotonic"
    assert copies.verdict != "better" or copies.log_loss_gain.low > 0
    leaked = found(np.repeat(logits, 20), np.repeat(truth, 20), np.arange(240), OLD)
    assert leaked.log_loss_gain.value > copies.log_loss_gain.value


def test_the_same_seed_gives_the_same():
    arguments = (*images(60, 1.0), OLD)
    assert found(*arguments) == found(*arguments)
