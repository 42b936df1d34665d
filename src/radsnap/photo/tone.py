"""Effects on the tone of single pixels: each is one look-up table."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas, as_rgb

_STEPS = (0.5, 2.0, 3.0, 4.0)
_RAMP = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Brightness:
    """Blend with black: 1 leaves the picture alone, less darkens, more brightens."""

    factor: float


@dataclass(frozen=True)
class Contrast:
    """Blend with the picture's mean grey: 1 leaves it alone, less flattens, more stretches."""

    factor: float


@dataclass(frozen=True)
class RandomDigital:
    """Contrast, then brightness."""

    contrast: float
    brightness: float


@dataclass(frozen=True)
class Exposure:
    """A sigmoid: 1 / (1 + exp(gain · (cutoff - v))), v in [0, 1]."""

    cutoff: float
    gain: float


@dataclass(frozen=True)
class Tint:
    """The colour of light and sensor: channel c becomes black + (gain - black) · v ** gamma, v in [0, 1]."""

    black_rgb: tuple[float, float, float]
    gain_rgb: tuple[float, float, float]
    gamma_rgb: tuple[float, float, float]


def apply_table(image: ByteImage, table: NDArray[np.uint8]) -> ByteImage:
    """Look every pixel up. table: uint8 (256,), or (256, 3) for one a channel."""
    if table.ndim == 2 and image.ndim == 2:
        image = as_rgb(image)
    return cv2.LUT(image, table if table.ndim == 1 else table[None])  # type: ignore[return-value]


def blend_table(grey: float, factor: float) -> NDArray[np.uint8]:
    """Make Pillow's enhancement as a table: grey + factor · (v - grey), clipped, then truncated."""
    low = np.float32(grey)
    return np.asarray(np.clip(low + np.float32(factor) * (_RAMP - low), 0, 255), np.uint8)


def mean_grey(image: ByteImage) -> int:
    """Give the mean grey that contrast turns about, rounded as Pillow's enhancer does."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return int(cv2.mean(grey)[0] + 0.5)


def sample_brightness_up(rng: Generator, level: int, canvas: Canvas) -> Brightness:
    return Brightness(_factor_up(rng, level))


def sample_brightness_down(rng: Generator, level: int, canvas: Canvas) -> Brightness:
    return Brightness(_factor_down(rng, level))


def sample_contrast_up(rng: Generator, level: int, canvas: Canvas) -> Contrast:
    return Contrast(_factor_up(rng, level))


def sample_contrast_down(rng: Generator, level: int, canvas: Canvas) -> Contrast:
    return Contrast(_factor_down(rng, level))


def sample_random_digital(rng: Generator, level: int, canvas: Canvas) -> RandomDigital:
    contrast = _factor_up(rng, level) if rng.random() < 0.5 else _factor_down(rng, level)
    brightness = _factor_up(rng, level) if rng.random() < 0.5 else _factor_down(rng, level)
    return RandomDigital(contrast, brightness)


def sample_exposure(rng: Generator, level: int, canvas: Canvas) -> Exposure:
    return Exposure(cutoff=0.5, gain=5.0)


def sample_tint(rng: Generator, level: int, canvas: Canvas) -> Tint:
    """Draw a colour cast between warm and cold with raised blacks."""
    cast = rng.normal(0, 0.04 * level)
    green = rng.normal(0, 0.015 * level)
    gain = np.array([1 + cast, 1 + green, 1 - cast])
    gain *= rng.uniform(1 - 0.06 * level, 1) / gain.max()
    black = rng.uniform(0, 0.03 * level) * gain
    gamma = np.exp(rng.normal(0, 0.06 * level)) * (1 + rng.normal(0, 0.02 * level, 3))
    return make_tint(black, gain, gamma)


def make_tint(black: NDArray[np.float64], gain: NDArray[np.float64], gamma: NDArray[np.float64]) -> Tint:
    """Put three triples into parameters, kept within what the formula allows."""
    b, g, e = (
        np.clip(v, lo, hi).tolist() for v, lo, hi in ((black, 0, 0.6), (gain, 0.05, 1.3), (gamma, 0.3, 3))
    )
    return Tint((b[0], b[1], b[2]), (g[0], g[1], g[2]), (e[0], e[1], e[2]))


def apply_brightness(image: ByteImage, brightness: Brightness) -> ByteImage:
    return apply_table(image, blend_table(0, brightness.factor))


def apply_contrast(image: ByteImage, contrast: Contrast) -> ByteImage:
    return apply_table(image, blend_table(mean_grey(image), contrast.factor))


def apply_random_digital(image: ByteImage, both: RandomDigital) -> ByteImage:
    first = blend_table(mean_grey(image), both.contrast)
    return apply_table(image, blend_table(0, both.brightness)[first])


def apply_exposure(image: ByteImage, exposure: Exposure) -> ByteImage:
    sigmoid = 1 / (1 + np.exp(exposure.gain * (exposure.cutoff - _RAMP / 255)))
    return apply_table(image, (255 * sigmoid).astype(np.uint8))


def apply_tint(image: ByteImage, tint: Tint) -> ByteImage:
    black, gain = np.array(tint.black_rgb), np.array(tint.gain_rgb)
    table = black + (gain - black) * (_RAMP[:, None] / 255) ** np.array(tint.gamma_rgb)
    return apply_table(image, np.rint(255 * table.clip(0, 1)).astype(np.uint8))


def _factor_up(rng: Generator, level: int) -> float:
    return 1 + 0.2 * _STEPS[level - 1] + float(rng.uniform(-0.01, 0.01))


def _factor_down(rng: Generator, level: int) -> float:
    return 1 / (1 + 0.4 * _STEPS[level - 1] + float(rng.uniform(-0.01, 0.01)))
