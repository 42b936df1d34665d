"""Homographies, against OpenCV's and SciPy's own answers and against geometry."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from radsnap.errors import ImageError, UsageError
from radsnap.imaging import compose, corners_of, homography, inverse, is_convex, project, resizing, warp

SQUARE = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 80.0], [0.0, 80.0]])


@st.composite
def quads(draw: st.DrawFn) -> NDArray[np.float64]:
    """Convex quadrilaterals: a rectangle whose corners move by less than a quarter of its sides."""
    shift = draw(st.lists(st.floats(-0.24, 0.24), min_size=8, max_size=8))
    scale = draw(st.floats(5, 5000))
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + np.reshape(shift, (4, 2))
    return np.asarray(unit * scale + draw(st.floats(-3000, 3000)))


def test_corners_lie_half_a_pixel_outside_the_pixel_centres() -> None:
    assert corners_of((4, 3)).tolist() == [[-0.5, -0.5], [3.5, -0.5], [3.5, 2.5], [-0.5, 2.5]]


@settings(max_examples=60, deadline=None)
@given(quads(), quads())
def test_four_points_are_met_and_opencv_agrees(src: NDArray[np.float64], dst: NDArray[np.float64]) -> None:
    ours = homography(src, dst)
    size = np.ptp(dst)
    assert np.abs(project(ours, src) - dst).max() < 1e-8 * size + 1e-9 * np.abs(dst).max()
    theirs = cv2.getPerspectiveTransform(src.astype(np.float32), dst.astype(np.float32))
    inside = src.mean(axis=0, keepdims=True)
    assert np.abs(project(ours, inside) - project(theirs, inside)).max() < 1e-2 * size


@settings(max_examples=60, deadline=None)
@given(quads(), quads(), quads())
def test_maps_chain_and_go_back(a: Any, b: Any, c: Any) -> None:
    first, second = homography(a, b), homography(b, c)
    assert np.abs(project(compose(first, second), a) - c).max() < 1e-6 * (1 + np.abs(c).max())
    assert np.abs(project(compose(first, inverse(first)), a) - a).max() < 1e-6 * (1 + np.abs(a).max())


def test_more_than_four_points_are_fitted_in_the_least_squares_sense() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[1.1, 0.1, 5], [-0.05, 0.9, 8], [1e-4, -2e-4, 1]])
    src = rng.uniform(0, 300, (60, 2))
    fitted = homography(src, project(truth, src) + rng.normal(0, 0.1, (60, 2)))
    assert np.abs(project(fitted, src) - project(truth, src)).max() < 0.15
    np.testing.assert_allclose(homography(src, project(truth, src)), truth, atol=1e-9)


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ([[0, 0], [1, 0], [2, 0], [0, 1]], "three of the four corners lie on a line"),
        ([[5, 5]] * 4, "all corners are one point"),
        ([[0, 0], [1, 0], [1, np.nan], [0, 1]], "not a finite number"),
    ],
)
def test_corners_without_a_homography_are_refused(corners: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        homography(SQUARE, corners)
    with pytest.raises(ImageError, match=message):
        homography(corners, SQUARE)


def test_wrong_shapes_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"at least 4 points and as many targets, got 3 and 3"):
        homography(SQUARE[:3], SQUARE[:3])
    with pytest.raises(UsageError, match=r"points are an array \(N, 2\)"):
        project(np.eye(3), [1, 2, 3])
    with pytest.raises(UsageError, match="a finite 3×3 matrix"):
        project(np.eye(2), SQUARE)
    with pytest.raises(ImageError, match="has no inverse"):
        inverse(np.zeros((3, 3)))
    with pytest.raises(UsageError, match="at least one pixel"):
        corners_of((0, 3))


def test_a_point_at_infinity_becomes_nan() -> None:
    assert np.isnan(project([[1, 0, 0], [0, 1, 0], [1, 0, 0]], [[0, 3]])).all()


def test_resizing_is_the_homography_between_the_corners() -> None:
    expected = homography(corners_of((640, 480)), corners_of((97, 31)))
    np.testing.assert_allclose(resizing((640, 480), (97, 31)), expected, atol=1e-12)


@pytest.mark.parametrize("shift_px", [(0.0, 0.0), (3.25, -1.5)])
def test_warp_agrees_with_scipy_on_every_pixel(shift_px: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.random((40, 50), dtype=np.float32), (0, 0), 2)
    bent = np.array([[2, 1], [-4, 3], [-1, -5], [3, -2]])
    target = corners_of((50, 40)) + bent + np.array(shift_px)
    matrix = homography(corners_of((50, 40)), target)
    warped = warp(image, matrix, (60, 45))
    columns, rows = np.meshgrid(np.arange(60.0), np.arange(45.0))
    x, y = project(inverse(matrix), np.stack([columns.ravel(), rows.ravel()], axis=1)).T
    inside = (x > 0) & (x < 49) & (y > 0) & (y < 39)
    expected = map_coordinates(image.astype(np.float64), [y, x], order=1)
    # OpenCV rounds positions to 1/32 px, so the bar is a 1/32 of the steepest step between pixels.
    steepest = max(float(np.abs(np.diff(image, axis=axis)).max()) for axis in (0, 1))
    assert np.abs(warped.ravel() - expected)[inside].max() <= steepest / 16
    assert inside.sum() > 1000


def test_warp_shifts_pixels_exactly_and_keeps_the_type() -> None:
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    moved = warp(image, [[1, 0, 2], [0, 1, 1], [0, 0, 1]], (8, 6), border="constant", value=7)
    assert moved.dtype == np.uint8
    assert (moved[1:, 2:] == image).all()
    assert (moved[0] == 7).all()
    assert (moved[:, :2] == 7).all()
    edge = warp(image.astype(np.uint16), [[1, 0, 2], [0, 1, 1], [0, 0, 1]], (8, 6), border="replicate")
    assert edge.dtype == np.uint16
    assert (edge[0, 2:] == image[0]).all()


def test_warp_refuses_sides_that_opencv_cannot_address() -> None:
    with pytest.raises(ImageError, match="a side is over 32,766 px"):
        warp(np.zeros((2, 2), np.uint8), np.eye(3), (40_000, 2))


@pytest.mark.parametrize(
    ("corners", "convex"),
    [
        (SQUARE, True),
        (SQUARE[::-1], True),
        (SQUARE[[0, 2, 1, 3]], False),
        ([[0, 0], [10, 0], [2, 2], [0, 10]], False),
        ([[0, 0], [5, 0], [10, 0], [0, 10]], False),
        ([[0, 0], [1, 0], [np.nan, 1], [0, 1]], False),
    ],
)
def test_convex_is_told_from_bow_tie_dart_and_line(corners: Any, convex: bool) -> None:
    assert is_convex(corners) is convex
