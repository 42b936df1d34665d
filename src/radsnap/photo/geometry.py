"""Effects that move pixels. Pixel (0, 0) has its centre at (0, 0); the picture's corner is (-0.5, -0.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.homography import homography, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas, Matrix, Size, as_rgb

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]
Rgb = tuple[float, float, float]
Warp = tuple[Matrix, Size]
"""A homography from pixels of the input to pixels of the output, and the output's size."""
_LARGEST_PX = 8192


@dataclass(frozen=True)
class Tilt:
    """Where the input's corners go, in units where the picture spans 0 to width and 0 to height.

    Order: top-left, top-right, bottom-right, bottom-left.
    """

    corners_px: Quad


@dataclass(frozen=True)
class Rotation:
    """Turn counter-clockwise about the centre; the canvas grows to hold the picture."""

    angle_deg: float


@dataclass(frozen=True)
class Translation:
    """Shrink into a black frame of frame_px and move right and down; what leaves the canvas is lost."""

    x_px: float
    y_px: float
    frame_px: float = 100.0


@dataclass(frozen=True)
class Frame:
    """A border around the x-ray: its widths as fractions of the x-ray's longer side, and its colour."""

    left_frac: float
    top_frac: float
    right_frac: float
    bottom_frac: float
    rgb: Rgb


@dataclass(frozen=True)
class Place:
    """The x-ray inside a scene: frames around it (inner first), a pose, and a textured ground behind.

    corners_px are where the x-ray's outer corners go, in a canvas (width, height) of canvas_px whose
    own corners are (0, 0) and (width, height). ground_far_rgb is the ground's colour at the bottom.
    """

    canvas_px: tuple[int, int]
    corners_px: Quad
    frames: tuple[Frame, ...]
    ground_rgb: Rgb
    ground_far_rgb: Rgb
    texture: float
    texture_seed: int


def sample_tilt(rng: Generator, level: int, canvas: Canvas) -> Tilt:
    w, h = canvas.width_px, canvas.height_px
    inward = rng.uniform(0, 0.05 * level, (4, 2)) * (w, h)
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    return Tilt(as_quad(span_corners((h, w)) + signs * inward))


def sample_rotation(rng: Generator, level: int, canvas: Canvas) -> Rotation:
    return Rotation(5.0 * level * (1 if rng.random() < 0.5 else -1))


def sample_translation(rng: Generator, level: int, canvas: Canvas) -> Translation:
    """Draw two signs. The published frame of 100 px would swallow a small picture: at most a quarter of it."""
    fit = min(canvas.scale, min(canvas.width_px, canvas.height_px) / 400)
    x, y = (20.0 * level * fit * (1 if rng.random() < 0.5 else -1) for _ in range(2))
    return Translation(x, y, 100.0 * fit)


def span_corners(size: Size) -> NDArray[np.float64]:
    """Give the corners (0, 0), (w, 0), (w, h), (0, h): pixel edges counted from the picture's corner."""
    h, w = size
    return np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64)


def quad_matrix(size: Size, corners_px: Quad) -> Matrix:
    """Give the homography, in pixel centres, that takes a picture's outer corners to corners counted from 0."""
    return homography(span_corners(size) - 0.5, np.array(corners_px) - 0.5)


def tilt_matrix(tilt: Tilt, size: Size) -> Matrix:
    return quad_matrix(size, tilt.corners_px)


def apply_tilt(image: ByteImage, tilt: Tilt) -> ByteImage:
    """Warp with a bicubic kernel that sees the edge pixels repeated, then cut outside with a hard edge."""
    size = (image.shape[0], image.shape[1])
    matrix = tilt_matrix(tilt, size)
    if np.allclose(matrix, np.eye(3), atol=1e-12):
        return image.copy()
    return apply_warps(image, [(matrix, size)])


def apply_warps(image: ByteImage, warps: Sequence[Warp]) -> ByteImage:
    """Do warps that follow each other as one, so that the picture is interpolated once.

    Black is what lies outside the picture, or left the canvas of a warp in between.
    """
    canvases = _to_end((image.shape[0], image.shape[1]), warps)
    # Two repeated pixels are all that a bicubic kernel reaches; OpenCV's own repeating border is slow.
    padded = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    shift = np.array([[1, 0, -2], [0, 1, -2], [0, 0, 1]])
    (height, width), whole = warps[-1][1], canvases[0][0] @ shift
    warped = np.asarray(cv2.warpPerspective(padded, whole, (width, height), flags=cv2.INTER_CUBIC), np.uint8)
    for matrix, size in canvases:
        blacken_outside(warped, matrix, size)
    return warped


def one_warp(size: Size, warps: Sequence[Warp]) -> bool:
    """Tell whether warps may be done as one: each canvas stays before the camera, and is not mirrored."""
    for matrix, canvas in _to_end(size, warps):
        depth = np.column_stack([span_corners(canvas) - 0.5, np.ones(4)]) @ matrix[2] * matrix[2, 2]
        if (depth <= 0).any() or np.linalg.det(matrix / matrix[2, 2]) <= 0:
            return False
    return True


def _to_end(size: Size, warps: Sequence[Warp]) -> list[Warp]:
    """Give the way to the last canvas from the picture (of a size), and from each canvas in between."""
    ways = list(accumulate((matrix for matrix, _ in reversed(warps)), np.matmul))
    return list(zip(reversed(ways), (size, *(canvas for _, canvas in warps)), strict=False))


def blacken_outside(warped: ByteImage, matrix: Matrix, size: Size) -> None:
    """Black out pixels whose centre is not in the warped picture of `size` (a convex quadrilateral)."""
    height, width = warped.shape[:2]
    corners = project(matrix, span_corners(size) - 0.5)
    y = np.arange(height)
    first, last = np.full(height, -np.inf), np.full(height, np.inf)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            (first if x1 < x0 else last)[y > y0 if x1 < x0 else y < y0] = np.inf if x1 < x0 else -np.inf
            continue
        x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        if y1 > y0:  # clockwise on the screen: edges going down bound it on the right
            np.minimum(last, x, out=last)
        else:
            np.maximum(first, x, out=first)
    starts = np.ceil(first.clip(0, width)).astype(int)
    ends = np.maximum(np.floor(last.clip(-1, width - 1)).astype(int) + 1, starts)
    for row, start, end in zip(warped, starts.tolist(), ends.tolist(), strict=True):
        row[:start] = 0
        row[end:] = 0


def rotated_size(rotation: Rotation, size: Size) -> Size:
    """Give the grown canvas: the turned picture's bounding box, cut to whole pixels."""
    h, w = size
    cosine, sine = abs(np.cos(np.deg2rad(rotation.angle_deg))), abs(np.sin(np.deg2rad(rotation.angle_deg)))
    return int(h * cosine + w * sine), int(h * sine + w * cosine)


def rotation_matrix(rotation: Rotation, size: Size) -> Matrix:
    """Turn about pixel (w // 2, h // 2), which lands at half the new canvas, as published."""
    (h, w), (oh, ow) = size, rotated_size(rotation, size)
    if rotation.angle_deg == 0:
        return np.eye(3)
    turn = np.asarray(cv2.getRotationMatrix2D((w // 2, h // 2), rotation.angle_deg, 1.0), np.float64)
    turn[:, 2] += (ow / 2 - w // 2, oh / 2 - h // 2)
    return np.vstack([turn, (0, 0, 1)])


def apply_rotation(image: ByteImage, rotation: Rotation) -> ByteImage:
    if rotation.angle_deg == 0:
        return image.copy()
    h, w = image.shape[:2]
    oh, ow = rotated_size(rotation, (h, w))
    matrix = rotation_matrix(rotation, (h, w))
    return cv2.warpAffine(image, matrix[:2], (ow, oh), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def translation_matrix(translation: Translation, size: Size) -> Matrix:
    return quad_matrix(size, _framed(translation, size))


def apply_translation(image: ByteImage, translation: Translation) -> ByteImage:
    return apply_tilt(image, Tilt(_framed(translation, (image.shape[0], image.shape[1]))))


def _framed(translation: Translation, size: Size) -> Quad:
    frame, (h, w) = translation.frame_px, size
    if 2 * frame >= min(size):
        raise UsageError(f"a frame of {frame} px leaves nothing of a picture of {w}×{h} px; give less")
    inward = np.array([(frame, frame), (-frame, frame), (-frame, -frame), (frame, -frame)])
    return as_quad(span_corners(size) + inward + (translation.x_px, translation.y_px))


def place_matrix(place: Place, size: Size) -> Matrix:
    return quad_matrix(size, place.corners_px)


def place_size(place: Place, size: Size) -> Size:
    return place.canvas_px[1], place.canvas_px[0]


def apply_place(image: ByteImage, place: Place) -> ByteImage:
    """Draw the ground, then the frames from the outermost in, then the x-ray, in the same pose."""
    size = image.shape[:2]
    if not all(1 <= side <= _LARGEST_PX for side in place.canvas_px):
        raise UsageError(f"a canvas has sides of 1 to {_LARGEST_PX} px, got {place.canvas_px}")
    image = as_rgb(image)
    matrix = place_matrix(place, size)
    scene = paint_ground(place)
    for outline, frame in reversed(list(zip(frame_outlines(place, size), place.frames, strict=True))):
        corners = project(matrix, outline)
        corners = corners.clip(-8 * max(place.canvas_px), 8 * max(place.canvas_px))
        points = np.rint(corners * 16).astype(np.int32)
        colour = tuple(float(v) for v in frame.rgb)
        cv2.fillConvexPoly(scene, points, colour, lineType=cv2.LINE_AA, shift=4)
    cv2.warpPerspective(image, matrix, place.canvas_px, scene, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return scene


def frame_outlines(place: Place, size: Size) -> list[NDArray[np.float64]]:
    """Give the outer corners of each frame in the x-ray's pixels."""
    longer = max(size)
    box = np.array([-0.5, -0.5, size[1] - 0.5, size[0] - 0.5])
    outlines = []
    for f in place.frames:
        box = box + longer * np.array([-f.left_frac, -f.top_frac, f.right_frac, f.bottom_frac])
        x0, y0, x1, y1 = box
        outlines.append(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))
    return outlines


def paint_ground(place: Place) -> ByteImage:
    """Paint a vertical run between two colours with a soft texture."""
    width, height = place.canvas_px
    run = np.linspace(0, 1, 24)[:, None, None]
    small = np.array(place.ground_rgb) * (1 - run) + np.array(place.ground_far_rgb) * run
    noise = np.random.Generator(np.random.PCG64(place.texture_seed)).standard_normal((24, 24, 1))
    small = small * (1 + place.texture * noise)
    return cv2.resize(  # type: ignore[return-value]
        small.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR
    )


def as_quad(corners: NDArray[np.float64]) -> Quad:
    a, b, c, d = ((float(x), float(y)) for x, y in corners)
    return a, b, c, d


def sample_place(rng: Generator, level: int, canvas: Canvas) -> Place:
    """Draw a dark frame on a desk: a generic scene."""
    return scene_around(rng, level, canvas, (random_frame(rng, 0.1, (12, 12, 14)),), (120, 100, 80), 0.08)


def random_frame(rng: Generator, most_frac: float, rgb: Rgb) -> Frame:
    left, top, right, bottom = rng.uniform(0, most_frac, 4).tolist()
    return Frame(left, top, right, bottom, rgb)


def scene_around(
    rng: Generator, level: int, canvas: Canvas, frames: tuple[Frame, ...], ground: Rgb, texture: float
) -> Place:
    """Draw a pose. Most people fill the picture with the x-ray, so the quad overflows about as often as not."""
    w, h = canvas.width_px, canvas.height_px
    zoom = 1 + float(rng.normal(-0.02 * level, 0.04 + 0.025 * level))
    angle = np.deg2rad(rng.normal(0, 0.8 * level))
    middle = np.array([w, h]) * (0.5 + rng.normal(0, 0.012 * level, 2))
    corners = (span_corners((h, w)) - [w / 2, h / 2]) * np.clip(zoom, 0.45, 1.35)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = corners @ turn + middle + rng.uniform(-0.012, 0.012, (4, 2)) * level * (w, h)
    r, g, b = (np.array(ground) * rng.uniform(0.4, 1.1)).tolist()
    far = (np.array([r, g, b]) * rng.uniform(0.5, 1.1)).tolist()
    seed = int(rng.integers(2**32))
    return Place((w, h), as_quad(corners), frames, (r, g, b), (far[0], far[1], far[2]), texture, seed)
