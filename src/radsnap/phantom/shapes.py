"""Shapes in a body's own units, and their place on the image."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from radsnap.imaging.radiograph import FloatImage

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]


@cache
def outlines(part: str) -> dict[str, Any]:
    """Read the points (x, y) that a part of the body is drawn from, in its own units, from outlines.json."""
    tables = json.loads(files("radsnap.phantom").joinpath("outlines.json").read_text("utf-8"))
    return dict(tables[part])


@dataclass(frozen=True)
class Frame:
    """Put a body's own coordinates on the image: unit lengths in pixels, the origin, and a tilt."""

    shape: tuple[int, int]
    origin_px: tuple[float, float] = (0.0, 0.0)
    unit_px: tuple[float, float] = (1.0, 1.0)
    tilt_rad: float = 0.0

    def px(self, points: ArrayLike) -> Points:
        """Map (N, 2) points (x, y) from body units to pixels."""
        cos, sin = np.cos(self.tilt_rad), np.sin(self.tilt_rad)
        turned = np.asarray(points, np.float64) * self.unit_px @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned + self.origin_px)

    def grid(self) -> tuple[FloatImage, FloatImage]:
        """Give every pixel's body coordinates as two images, x and y."""
        xs = np.arange(self.shape[1], dtype=np.float32)[None] - np.float32(self.origin_px[0])
        ys = np.arange(self.shape[0], dtype=np.float32)[:, None] - np.float32(self.origin_px[1])
        cos, sin = np.float32(np.cos(self.tilt_rad)), np.float32(np.sin(self.tilt_rad))
        x, y = (xs * cos + ys * sin) / self.unit_px[0], (ys * cos - xs * sin) / self.unit_px[1]
        return np.asarray(x, np.float32), np.asarray(y, np.float32)

    def fill(self, *drawn: ArrayLike) -> NDArray[np.uint8]:
        """Fill outlines given in body units. Returns uint8 (H, W): 1 inside, else 0."""
        canvas = np.zeros(self.shape, np.uint8)
        for outline in drawn:
            cv2.fillPoly(canvas, [np.rint(self.px(outline) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        return canvas

    def reduced(self, step: int) -> Frame:
        """Give the same frame on an image that is `step` times smaller."""
        origin, unit = ((x / step, y / step) for x, y in (self.origin_px, self.unit_px))
        shape = (-(-self.shape[0] // step), -(-self.shape[1] // step))
        return replace(self, shape=shape, origin_px=origin, unit_px=unit)


def spline(points: ArrayLike, steps: int = 8, closed: bool = False) -> Points:
    """Draw a Catmull-Rom curve through (N, 2) or (N, 3) control points, `steps` points to each of them."""
    knots = np.asarray(points, np.float64)
    ring = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    a, b, c, d = ring[:-3, None], ring[1:-2, None], ring[2:-1, None], ring[3:, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.reshape(-1, knots.shape[1])
    return curve if closed else np.concatenate([curve, knots[-1:]])


def ribbon(axis: Points, half_width: ArrayLike) -> Points:
    """Give the outline of a band along an axis (N, 2); half_width: one number or N."""
    along = np.gradient(axis, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    offset = normal * np.broadcast_to(np.asarray(half_width, np.float64), (len(axis),))[:, None]
    return np.concatenate([axis + offset, (axis - offset)[::-1]])


def outline(numbers: ArrayLike) -> Points:
    """Outline a shape of outlines.json: five numbers are an ellipse (centre, radii, turn in rad), (N, 2) points a
    closed curve, (N, 3) a band of which the third numbers are half-widths."""
    knots = np.asarray(numbers, np.float64)
    if knots.ndim == 1:
        return ellipse(knots[:2], knots[2:4], knots[4])
    if knots.shape[1] == 2:
        return spline(knots, 6, closed=True)
    curve = spline(knots, 10)
    return ribbon(curve[:, :2], curve[:, 2])


def ellipse(centre: ArrayLike, radii: ArrayLike, angle_rad: float = 0.0) -> Points:
    """Give the outline of an ellipse, 48 points."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
    ring = np.concatenate([np.cos(t), np.sin(t)], 1) * np.asarray(radii, np.float64)
    return turned(ring, angle_rad) + np.asarray(centre, np.float64)


def moved(points: ArrayLike, x: float, y: float = 0.0) -> Points:
    """Move body points by (x, y)."""
    return np.asarray(np.asarray(points, np.float64) + np.array((x, y)))


def turned(points: ArrayLike, angle_rad: float) -> Points:
    """Turn points about the origin."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.asarray(np.asarray(points, np.float64) @ np.array([[cos, sin], [-sin, cos]]))


def stroke(canvas: NDArray[np.uint8], line_px: Points, grey: float, width_px: float) -> None:
    """Draw a line in place, at least one pixel wide."""
    points = np.rint(line_px * 16).astype(np.int32)
    cv2.polylines(canvas, [points], False, grey, max(1, round(width_px)), cv2.LINE_AA, 4)
