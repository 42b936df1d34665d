"""What is measured to either side of a border, on pictures whose grey values are known."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.flatten import corners
from radsnap.flatten.corners import probability
from radsnap.flatten.quad import POSSIBLE, SURE
from radsnap.flatten.rims import rims

SQUARE = np.array([(60, 60), (240, 60), (240, 240), (60, 240)], np.float64)
ALL = (True, True, True, True)


def photo(outside: float, inside: float, noise: float = 0.0) -> np.ndarray:
    grey = np.full((300, 300), outside) + noise * np.random.default_rng(0).normal(size=(300, 300))
    grey[61:240, 61:240] = inside
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_an_xray_on_a_black_viewer_has_dark_surroundings() -> None:
    darkest, mean, faint, dark_inside, even = rims(photo(0, 120), SQUARE, ALL)

    assert (darkest, mean, even) == (1, 1, 1)
    assert (faint, dark_inside) == (0, 0)


def test_an_xray_on_a_light_box_has_not() -> None:
    assert rims(photo(230, 30), SQUARE, ALL) == pytest.approx([0, 0, 0, 0.5, 1])


def test_a_border_that_does_not_show_is_told() -> None:
    black = rims(photo(0, 0), SQUARE, ALL)

    assert tuple(black[2:4]) == (1, 1)


def test_one_dark_side_counts_in_the_greatest_and_a_quarter_in_the_mean() -> None:
    made = photo(200, 120)
    made[:60] = 0

    darkest, mean, *_ = rims(made, SQUARE, ALL)

    assert (darkest, mean) == (1, pytest.approx(0.25, abs=0.05))


def test_varied_surroundings_are_not_even() -> None:
    assert rims(photo(128, 60, noise=40), SQUARE, ALL)[4] == 0


def test_sides_out_of_view_and_places_outside_of_the_photo_do_not_count() -> None:
    made = photo(200, 120)
    made[:60] = 0

    assert rims(made, SQUARE, (False, True, True, True))[0] < 1
    assert not rims(made, SQUARE, (False,) * 4).any()
    assert not rims(photo(0, 0), np.array([(0, 0), (299, 0), (299, 299), (0, 299)], np.float64), ALL).any()


def test_probability_is_a_logistic_curve_of_a_quadratic_form() -> None:
    weights = np.array([[0.0, 1.0, 0.0], [1.0, -3.0, 0.0], [0.0, 0.0, 0.5]])

    # 2 · 0.5 · 0.25 − 3 · 0.25² + 0.5 = 0.5625
    assert probability(np.array([0.5, 0.25]), weights) == pytest.approx(1 / (1 + np.exp(-0.5625)))


def test_the_confidence_was_fitted_to_the_features_there_are() -> None:
    weights = corners._fitted()
    assert (weights == weights.T).all()
    assert probability(np.zeros(len(weights) - 1), weights) > SURE  # nothing is doubtful
    assert probability(np.ones(len(weights) - 1), weights) < POSSIBLE
