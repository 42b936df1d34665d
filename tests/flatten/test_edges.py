"""A roughly placed quadrilateral moves onto the picture's edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from radsnap.flatten.edges import refine
from radsnap.flatten.quad import diagonal

TRUE = np.array([(110.4, 92.7), (505.1, 121.3), (480.6, 602.2), (88.9, 570.5)])
ALL = (True, True, True, True)
LOWER = np.array([0.0, 4.0])


def photo(noise: float = 4.0, inside: float = 110, outside: float = 30) -> np.ndarray:
    """Draw an evenly grey quadrilateral with grain, its edges blurred by the lens."""
    big = np.full((700 * 4, 600 * 4), outside, np.float32)
    cv2.fillConvexPoly(big, np.rint((TRUE + 0.5) * 4 * 16 - 8).astype(np.int32), inside, cv2.LINE_AA, shift=4)
    small = cv2.GaussianBlur(cv2.resize(big, (600, 700), interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    return (small + np.random.default_rng(0).normal(0, noise, small.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_corners_off_by_a_hundredth_come_to_a_thousandth_of_the_diagonal(seed: int) -> None:
    off = np.random.default_rng(seed).uniform(-0.007, 0.007, (4, 2)) * diagonal(TRUE)
    found = refine(photo(), TRUE + off, ALL)
    assert np.linalg.norm(found.corners - TRUE, axis=1).max() < 0.0012 * diagonal(TRUE)
    assert found.held > 0.8


def test_a_dark_picture_on_a_bright_ground_works_too() -> None:
    found = refine(photo(inside=40, outside=220), TRUE + 4.0, ALL)
    assert np.linalg.norm(found.corners - TRUE, axis=1).max() < 0.0012 * diagonal(TRUE)


def test_without_edges_the_corners_stay() -> None:
    found = refine(np.full((700, 600), 80, np.float32), TRUE, ALL)
    assert np.allclose(found.corners, TRUE)
    assert found.moved == pytest.approx(0.0, abs=1e-9)
    assert found.held == 0.0


def test_a_finger_over_a_side_does_not_bend_it() -> None:
    picture = photo()
    cv2.line(picture, (0, 330), (140, 300), 160, 60)
    found = refine(picture, TRUE + 3.0, ALL)
    assert np.linalg.norm(found.corners - TRUE, axis=1).max() < 0.003 * diagonal(TRUE)


def test_a_side_out_of_view_is_left_where_it_is() -> None:
    found = refine(photo(), TRUE + LOWER, (False, True, True, True))
    top = found.corners[:2]
    line = (TRUE + LOWER)[:2]
    along = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
    assert np.abs((top - line[0]) @ np.array([-along[1], along[0]])).max() < 1e-6


def test_a_films_black_rim_does_not_draw_the_border_out() -> None:
    rim = refine(photo(inside=40, outside=220), TRUE + 4.0, ALL, onto_dark=False)
    assert np.allclose(rim.corners, TRUE + 4.0)
    assert rim.held > 0.8  # the edge is there, and says how sure the quadrilateral is
    bright = refine(photo(), TRUE + 4.0, ALL, onto_dark=False)
    assert np.linalg.norm(bright.corners - TRUE, axis=1).max() < 0.0012 * diagonal(TRUE)
