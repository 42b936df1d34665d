"""Effects of light on the picture: glare, boxes of light, uneven light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas, Size, as_rgb, strips

PLACES = ("top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right")


@dataclass(frozen=True)
class GlareMatte:
    """A white Gaussian highlight: alpha is min(cap, peak · g), both of 255, g = 1 at its brightest pixel."""

    mean_px: tuple[float, float]
    sigma_px: float
    alpha_peak: float
    alpha_cap: float


@dataclass(frozen=True)
class GlareGlossy:
    """A white box, as of a window; x, y is its top-left. alpha in [0, 1]."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float
    alpha: float
    place: str = ""


@dataclass(frozen=True)
class Reflection:
    """A blurred patch of light: centre, half sizes and softness as fractions of the longer side; gain of 255."""

    x_frac: float
    y_frac: float
    half_width_frac: float
    half_height_frac: float
    soft_frac: float
    gain_rgb: tuple[float, float, float]


@dataclass(frozen=True)
class UnevenLight:
    """Light that falls off: across the picture (slopes), towards its edges (falloff), with tubes (ripple).

    The factor is 1 + slope_x · u + slope_y · v - falloff · (u² + v²) / 2 + ripple · cos(2π · (cycles · v +
    phase)) with u and v from -1 to 1; when `upright` the tubes stand (the cosine runs along u).
    """

    slope_x: float
    slope_y: float
    falloff: float
    ripple: float
    cycles: float
    phase: float
    upright: bool


def sample_glare_matte(rng: Generator, level: int, canvas: Canvas) -> GlareMatte:
    mean = (float(rng.uniform(0, canvas.width_px)), float(rng.uniform(0, canvas.height_px)))
    return GlareMatte(mean, 50.0 * level * canvas.scale, 100.0 * level, 150.0 + 20 * level)


def sample_glare_glossy(rng: Generator, level: int, canvas: Canvas) -> GlareGlossy:
    place = PLACES[int(rng.integers(9))]
    sides = [(0.1 * level + rng.uniform(0, 0.05)) * n for n in (canvas.width_px, canvas.height_px)]
    along = rng.uniform(0.3, 0.7, 2)
    alpha = int(150 + 20 * level + rng.uniform(0, 20)) / 255
    return box_at(
        place, (sides[0], sides[1]), (along[0], along[1]), alpha, (canvas.height_px, canvas.width_px)
    )


def box_at(
    place: str, sides_px: tuple[float, float], along: tuple[float, float], alpha: float, size: Size
) -> GlareGlossy:
    """Put a box (width, height) at a place; along: its middle (x, y) as fractions where the place leaves it free.

    Rounded as published: sides are cut to whole pixels at the edges, both ends where it is free.
    """

    def span(free: bool, far: bool, side: float, middle: float, length: int) -> tuple[int, int]:
        if free:
            return int(middle * length - side / 2), int(middle * length + side / 2)
        return (length - int(side), length) if far else (0, int(side))

    height, width = size
    x0, x1 = span(not ("left" in place or "right" in place), "right" in place, sides_px[0], along[0], width)
    y0, y1 = span(not ("top" in place or "bottom" in place), "bottom" in place, sides_px[1], along[1], height)
    return GlareGlossy(float(x0), float(y0), float(x1 - x0), float(y1 - y0), alpha, place)


def sample_reflection(rng: Generator, level: int, canvas: Canvas) -> Reflection:
    tall = rng.random() < 0.5
    long, short = rng.uniform(0.08, 0.12 + 0.08 * level), rng.uniform(0.02, 0.04 + 0.02 * level)
    gain = rng.uniform(0.05, 0.08 + 0.07 * level) * (1 + rng.normal(0, 0.08, 3))
    r, g, b = gain.clip(0, 0.9).tolist()
    x, y = rng.uniform(0, 1, 2).tolist()
    half = (short, long) if tall else (long, short)
    soft = float(np.exp(rng.uniform(np.log(0.008), np.log(0.15))))
    return Reflection(x, y, float(half[0]), float(half[1]), soft, (r, g, b))


def sample_uneven_light(rng: Generator, level: int, canvas: Canvas) -> UnevenLight:
    slope_x, slope_y = rng.normal(0, 0.06 * level, 2).clip(-0.5, 0.5).tolist()
    falloff = float(rng.uniform(0, 0.1 * level))
    ripple = float(rng.uniform(0, 0.05 * level)) if rng.random() < 0.4 else 0.0
    cycles, phase = float(rng.uniform(0.5, 3)), float(rng.random())
    return UnevenLight(slope_x, slope_y, falloff, ripple, cycles, phase, bool(rng.random() < 0.5))


def apply_glare_matte(image: ByteImage, glare: GlareMatte) -> ByteImage:
    """Lay the highlight on. A Gaussian of two coordinates is the outer product of two of one coordinate."""
    result = image.copy()
    if glare.sigma_px <= 0 or glare.alpha_peak <= 0:
        return result
    column = _bell(image.shape[0], glare.mean_px[1], glare.sigma_px) * np.float32(glare.alpha_peak)
    row = _bell(image.shape[1], glare.mean_px[0], glare.sigma_px)
    lit_y, lit_x = (np.flatnonzero(side * glare.alpha_peak >= 1) for side in (column / glare.alpha_peak, row))
    box = slice(lit_y[0], lit_y[-1] + 1), slice(lit_x[0], lit_x[-1] + 1)  # alphas below 1 are 0
    _whiten(result[box], column[box[0]], row[box[1]], np.float32(glare.alpha_cap))
    return result


def _whiten(part: ByteImage, column: NDArray[np.float32], row: NDArray[np.float32], cap: np.float32) -> None:
    """Blend with white in place by alpha = floor(min(cap, column · row)) of 255."""
    channels = part.shape[2] if part.ndim == 3 else 1
    for rows in strips(part, channels):
        alpha = np.minimum(np.multiply.outer(column[rows], row), cap)
        np.floor(alpha, out=alpha)
        here = part[rows]
        weight = alpha if channels == 1 else cv2.merge([alpha] * channels)
        rest = np.subtract(255, here, dtype=np.float32)
        cv2.multiply(rest, weight, rest, 1 / 255)
        here[:] = cv2.add(here, rest, dtype=cv2.CV_8U)


def apply_glare_glossy(image: ByteImage, box: GlareGlossy) -> ByteImage:
    result = image.copy()
    x0, y0 = max(round(box.x_px), 0), max(round(box.y_px), 0)
    x1, y1 = round(box.x_px + box.width_px), round(box.y_px + box.height_px)
    ramp = np.arange(256, dtype=np.float64)
    table = np.rint(ramp + np.clip(box.alpha, 0, 1) * (255 - ramp)).astype(np.uint8)
    part = result[y0 : max(y1, 0), x0 : max(x1, 0)]
    if part.size:
        part[:] = table[part]
    return result


def apply_reflection(image: ByteImage, patch: Reflection) -> ByteImage:
    """Add light: a box with soft edges is the outer product of two soft steps."""
    height, width = image.shape[:2]
    longer = max(height, width)
    soft = max(patch.soft_frac * longer, 0.5)
    row = _soft_box(width, patch.x_frac * width, patch.half_width_frac * longer, soft)
    column = _soft_box(height, patch.y_frac * height, patch.half_height_frac * longer, soft)
    if np.asarray(patch.gain_rgb).max() <= 0:
        return image.copy()
    result = as_rgb(image) if image.ndim == 2 else image.copy()
    gain = 255 * np.repeat(row[:, None], 3, axis=1) * np.array(patch.gain_rgb, np.float32)
    for rows in strips(result, 3):
        light = np.multiply.outer(column[rows], gain.astype(np.float32))
        result[rows] = cv2.add(result[rows], light, dtype=cv2.CV_8U)
    return result


def apply_uneven_light(image: ByteImage, light: UnevenLight) -> ByteImage:
    """Multiply by the light. The factor is a sum of one function of x and one of y."""
    height, width = image.shape[:2]
    u, v = (np.linspace(-1, 1, n, dtype=np.float32) for n in (width, height))
    row = light.slope_x * u - light.falloff / 2 * u * u
    column = 1 + light.slope_y * v - light.falloff / 2 * v * v
    along = u if light.upright else v
    wave = light.ripple * np.cos(2 * np.pi * (light.cycles * along + light.phase))
    row, column = (row + wave, column) if light.upright else (row, column + wave)
    result, channels = np.empty_like(image), image.shape[2] if image.ndim == 3 else 1
    for rows in strips(image, channels):
        factor = np.add.outer(column[rows], row).astype(np.float32).clip(0.05, 2)
        weight = factor if channels == 1 else cv2.merge([factor] * channels)
        result[rows] = cv2.multiply(image[rows], weight, dtype=cv2.CV_8U)
    return result


def _bell(length: int, mean: float, sigma: float) -> NDArray[np.float32]:
    """Sample a Gaussian at whole pixels, scaled so that its largest sample is 1."""
    square = ((np.arange(length) - mean) / sigma) ** 2
    return np.asarray(np.exp(-0.5 * (square - square.min())), np.float32)


def _soft_box(length: int, centre: float, half: float, soft: float) -> NDArray[np.float32]:
    at = (np.abs(np.arange(length) - centre) - half) / soft
    return np.asarray(1 / (1 + np.exp(4 * np.clip(at, -6, 6))), np.float32)
