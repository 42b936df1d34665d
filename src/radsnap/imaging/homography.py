"""Plane to plane: homographies from corners, and warping by them.

Points are (x, y) in pixels. Pixel (0, 0) has its centre at (0.0, 0.0), so an image of width w and
height h reaches from (-0.5, -0.5) to (w - 0.5, h - 0.5). Corners come in the order top-left,
top-right, bottom-right, bottom-left. Source: Hartley & Zisserman, Multiple View Geometry, 2.3 and 4.4.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from radsnap.errors import ImageError, UsageError

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Pixels = TypeVar("Pixels", bound=np.generic)

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "replicate": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
}
_LONGEST_SIDE_PX = 32_766  # OpenCV's warp addresses its source in 16 bits


def corners_of(size: tuple[int, int]) -> Points:
    """Give the four outer corners of an image of (width, height), half a pixel outside the pixel centres."""
    width, height = size
    if width < 1 or height < 1:
        raise UsageError(f"an image has at least one pixel, got the size {width} × {height}")
    right, bottom = width - 0.5, height - 0.5
    return np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])


def homography(src: ArrayLike, dst: ArrayLike) -> Matrix:
    """Find the 3×3 map that takes the points src to dst, (N, 2) each, N ≥ 4; its last element is 1.

    Four points are met exactly, more in the least-squares sense of the normalised direct linear
    transform (Hartley & Zisserman, algorithm 4.2). Raises ImageError when three of four points lie
    on a line, since no homography then exists.
    """
    source, target = _points(src), _points(dst)
    if source.shape != target.shape or len(source) < 4:
        raise UsageError(
            f"a homography needs at least 4 points and as many targets, got {len(source)} and {len(target)}"
        )
    from_unit, to_unit = _normalisation(source), _normalisation(target)
    (x, y), (u, v) = project(from_unit, source).T, project(to_unit, target).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], axis=1)
    rows_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], axis=1)
    system = np.concatenate([rows_u, rows_v])
    _, strengths, basis = np.linalg.svd(system, full_matrices=len(source) == 4)
    unit_map = basis[8].reshape(3, 3).astype(np.float64)
    # Three points on a line leave the answer open (in src) or flatten the plane (in dst).
    if strengths[7] < 1e-9 * strengths[0] or np.linalg.cond(unit_map) > 1e9:
        raise ImageError("no homography: three of the four corners lie on a line; give the corners again")
    return _scaled(np.linalg.inv(to_unit) @ unit_map @ from_unit)


def resizing(src_size: tuple[int, int], dst_size: tuple[int, int]) -> Matrix:
    """Give the map from pixels of an image to those of its resized copy; sizes are (width, height)."""
    corners_of(src_size), corners_of(dst_size)  # refuse empty sizes
    x_scale, y_scale = dst_size[0] / src_size[0], dst_size[1] / src_size[1]
    return np.array([[x_scale, 0, (x_scale - 1) / 2], [0, y_scale, (y_scale - 1) / 2], [0, 0, 1]])


def project(matrix: ArrayLike, points: ArrayLike) -> Points:
    """Map points (N, 2) by a 3×3 homography; a point that goes to infinity becomes NaN."""
    given = _points(points)
    mapped = given @ _matrix(matrix)[:, :2].T + _matrix(matrix)[:, 2]
    depth = mapped[:, 2:]
    return mapped[:, :2] / np.where(np.abs(depth) < 1e-300, np.nan, depth)


def compose(*matrices: ArrayLike) -> Matrix:
    """Chain maps in the order in which they act: compose(a, b) is first a, then b."""
    total = np.eye(3)
    for matrix in matrices:
        total = _matrix(matrix) @ total
    return _scaled(total)


def inverse(matrix: ArrayLike) -> Matrix:
    """Give the way back. Raises ImageError for a map that flattens the plane to a line."""
    given = _matrix(matrix)
    try:
        back = np.linalg.inv(given)
    except np.linalg.LinAlgError as error:
        raise ImageError("this homography has no inverse; give the corners again") from error
    return _scaled(back)


def is_convex(corners: ArrayLike) -> bool:
    """Tell whether four corners, in order, bound a strictly convex quadrilateral (either way round)."""
    given = _points(corners)
    if given.shape != (4, 2):
        raise UsageError(f"a quadrilateral has 4 corners, got {len(given)}")
    edges = np.roll(given, -1, axis=0) - given
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    # Four turns the same way: a bow tie turns twice each way, a dart once against the rest.
    return bool((turns > 0).all() or (turns < 0).all())


def warp(
    image: NDArray[Pixels],
    matrix: ArrayLike,
    size: tuple[int, int],
    interpolation: Literal["nearest", "linear", "cubic", "lanczos"] = "linear",
    border: Literal["constant", "replicate", "reflect"] = "constant",
    value: float | tuple[float, ...] = 0.0,
) -> NDArray[Pixels]:
    """Warp an image (H, W) or (H, W, C) to `size` (width, height) by the map from its pixels to the new ones.

    uint8, uint16, int16, float32 and float64 keep their type; `value` fills a constant border. Nothing
    is averaged: to shrink by more than 2, resize by area first. Cubic and Lanczos overshoot floats.
    """
    corners_of(size)
    height, width = image.shape[:2]
    if max(height, width, *size) > _LONGEST_SIDE_PX:
        raise ImageError(
            f"cannot warp {width} × {height} to {size[0]} × {size[1]} px: a side is over {_LONGEST_SIDE_PX:,} px; make it smaller first"
        )
    fill = value if isinstance(value, tuple) else (float(value),) * 4
    warped: Any = cv2.warpPerspective(
        np.ascontiguousarray(image),
        _matrix(matrix),
        size,
        flags=_INTERPOLATIONS[interpolation],
        borderMode=_BORDERS[border],
        borderValue=fill,
    )
    return np.asarray(warped, dtype=image.dtype).reshape(size[1], size[0], *image.shape[2:])


def _points(points: ArrayLike) -> Points:
    given = np.asarray(points, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 2:
        raise UsageError(f"points are an array (N, 2) of x and y, got the shape {given.shape}")
    return given


def _matrix(matrix: ArrayLike) -> Matrix:
    given = np.asarray(matrix, dtype=np.float64)
    if given.shape != (3, 3) or not np.isfinite(given).all():
        raise UsageError(f"a homography is a finite 3×3 matrix, got the shape {given.shape}")
    return given


def _scaled(matrix: NDArray[np.floating[Any]]) -> Matrix:
    # The last element can be 0 (the origin goes to infinity); then the largest one sets the scale.
    last, largest = matrix[2, 2], matrix.flat[np.abs(matrix).argmax()]
    return np.asarray(matrix / (last if abs(last) > 1e-12 * abs(largest) else largest), dtype=np.float64)


def _normalisation(points: Points) -> Matrix:
    """Shift the points' mean to the origin and their mean distance to √2."""
    if not np.isfinite(points).all():
        raise ImageError("no homography: a corner is not a finite number; give the corners again")
    centre = points.mean(axis=0)
    spread = float(np.hypot(*(points - centre).T).mean())
    if spread == 0.0:
        raise ImageError("no homography: all corners are one point; give the corners again")
    scale = np.sqrt(2) / spread
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])
