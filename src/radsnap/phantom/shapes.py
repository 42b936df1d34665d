"""Shapes in a body's own units, the tables that hold them, and their place on the image."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from radsnap.imaging.radiograph import FloatImage

Shape = tuple[int, int]
Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """Put a body's own coordinates on the image: unit lengths in pixels, the origin, a tilt; and what a unit is in cm."""

    shape: Shape
    origin_px: tuple[float, float] = (0.0, 0.0)
    unit_px: tuple[float, float] = (1.0, 1.0)
    tilt_rad: float = 0.0
    unit_cm: float = 1.0

    @property
    def unit(self) -> float:
        """Pixels of one unit across, whether the body is mirrored or not."""
        return abs(self.unit_px[0])

    @property
    def cm_px(self) -> float:
        """Pixels of a centimetre."""
        return self.unit / self.unit_cm

    def px(self, points: ArrayLike) -> Points:
        """Map points (..., 2) from body units, x and y, to pixels."""
        return turned(np.asarray(points, np.float64) * self.unit_px, self.tilt_rad) + self.origin_px

    def grid(self) -> tuple[FloatImage, FloatImage]:
        """Give every pixel's body coordinates as two images, x and y."""
        rows, columns = np.indices(self.shape, np.float32, sparse=True)
        x, y = columns - self.origin_px[0], rows - self.origin_px[1]
        cos, sin = float(np.cos(self.tilt_rad)), float(np.sin(self.tilt_rad))
        across, down = x * cos + y * sin, y * cos - x * sin
        return np.asarray(across / self.unit_px[0]), np.asarray(down / self.unit_px[1])

    def fill(self, *drawn: ArrayLike) -> NDArray[np.uint8]:
        """Fill outlines given in body units. Returns uint8 (H, W): 1 inside, else 0."""
        canvas = np.zeros(self.shape, np.uint8)
        for ring in drawn:
            cv2.fillPoly(canvas, [np.rint(self.px(ring) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
        return canvas

    def coarse(self) -> Frame:
        """Give the frame to stack matter in: of large pictures at half the size, as sharp as a detector sees it."""
        step = 2 if max(self.shape) >= 768 else 1
        (height, width), (x, y), (wide, tall) = self.shape, self.origin_px, self.unit_px
        shape = (-(-height // step), -(-width // step))
        return replace(self, shape=shape, origin_px=(x / step, y / step), unit_px=(wide / step, tall / step))


@dataclass(frozen=True)
class Part:
    """What is alike in a body, in its units: outlines, rounded over `radius` to a path of `cm` through their matter.

    Bones are hollow: `cortex` is their wall, and their marrow holds this fraction of it. blur: sigma of the shadow;
    drift: how far it goes aside when the body turns by a radian.
    """

    drawn: tuple[Points, ...]
    cm: float
    radius: float
    cortex: float = 0.0
    marrow: float = 1.0
    blur: float = 0.0
    drift: float = 0.0

    def placed(self, scale: tuple[float, float] = (1, 1), shift: ArrayLike = 0, turn_rad: float = 0) -> Part:
        """Scale, turn and shift the outlines; what is narrower is thinner, too."""
        wide, by = abs(scale[0]), np.asarray(shift, np.float64)
        drawn = tuple(turned(ring * scale, turn_rad) + by for ring in self.drawn)
        sizes = (self.cm * wide, self.radius * wide, self.cortex * wide)
        return Part(drawn, *sizes, self.marrow, self.blur, self.drift)


@cache
def tables(body: str) -> dict[str, Any]:
    """Read what a part of the body is drawn from, in its own units, from outlines.json."""
    return dict(json.loads(files(__package__).joinpath("outlines.json").read_text("utf-8"))[body])


@cache
def parts(body: str, group: str = "bones") -> dict[str, Part]:
    """Read a group of parts from a body's table; levels (x, y, width) repeat what is drawn once, as a spine does."""
    found, levels = {}, tables(body).get("levels", [(0, 0, 1)])
    for name, part in tables(body)[group].items():
        rings = [outline(one) for one in part["drawn"]]
        drawn = tuple(ring * (wide, 1) + shift for *shift, wide in levels for ring in rings)
        found[name] = Part(**part | {"drawn": drawn})
    return found


def outline(knots: ArrayLike) -> Points:
    """Outline a shape of the tables: five numbers are an ellipse (centre, radii, turn in rad), (N, 2) points a
    closed curve, (N, 3) a band of which the third numbers are half-widths."""
    table = np.asarray(knots, np.float64)
    if table.ndim == 1:
        t = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
        return turned(table[2:4] * np.concatenate([np.cos(t), np.sin(t)], 1), table[4]) + table[:2]
    if table.shape[1] == 2:
        return spline(table, closed=True)
    band = spline(table)
    along = np.gradient(band[:, :2], axis=0)
    across = np.stack([-along[:, 1], along[:, 0]]) / np.maximum(np.hypot(*along.T), 1e-9) * band[:, 2]
    return np.concatenate([band[:, :2] + across.T, (band[:, :2] - across.T)[::-1]])


def fitted(rows: ArrayLike, across: ArrayLike, down: ArrayLike = (), aside: float = 0.0) -> Points:
    """Outline a shape fitted to a body's sizes, and shifted aside. rows: x, y of the closed curve's knots, then how far
    x goes with each size across, and y with each size down."""
    table, sizes = np.asarray(rows, np.float64), np.asarray(across, np.float64)
    x_by, y_by = np.split(table[:, 2:], [len(sizes)], axis=1)
    return outline(table[:, :2] + np.stack([x_by @ sizes + aside, y_by @ np.asarray(down, np.float64)], 1))


def spline(knots: Points, closed: bool = False) -> Points:
    """Draw a Catmull-Rom curve through (N, 2) or (N, 3) knots, eight points to each."""
    ring = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    a, b, c, d = ring[:-3, None], ring[1:-2, None], ring[2:-1, None], ring[3:, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([*curve, *([] if closed else [knots[-1:]])])


def blob(rng: Generator, place: ArrayLike, rough: float = 0.06) -> Points:
    """Outline a lump: an ellipse (centre, radii), a little turned, its knots scattered by a fraction `rough`."""
    x, y, wide, tall = np.asarray(place, np.float64)
    knots = outline((0, 0, wide, tall, rng.normal(0, 5 * rough)))[::4] * rng.normal(1, rough, (12, 1))
    return outline(knots + np.array((x, y)))


def turned(points: Points, angle_rad: float) -> Points:
    """Turn points (..., 2) about the origin."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))
