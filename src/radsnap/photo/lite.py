"""What makes the training's pictures look like phone photos: light versions of screen and film.

The looks (casts, raised blacks, close crops) follow what real photos of screens and light boxes show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from radsnap.photo.effect import Canvas
from radsnap.photo.geometry import Frame, Place, Rgb, random_frame, scene_around
from radsnap.photo.light import GlareMatte, Reflection, UnevenLight, sample_reflection, sample_uneven_light
from radsnap.photo.optics import Blur
from radsnap.photo.sensor import Jpeg, Noise
from radsnap.photo.stripes import Stripes, sample_stripes
from radsnap.photo.tone import Tint, make_tint


@dataclass(frozen=True)
class Part:
    """An effect in a recipe, with a sampler of the recipe's own, and the chance that it takes part.

    sees: what the camera sees by the recipe's own sampler, where the effect's `sees` would not do.
    """

    effect: str
    sample: Callable[[Generator, int, Canvas], Any] | None = None
    chance: float = 1.0
    sees: str | None = None


# Casts of real photos, as gains of red, green and blue: neutral, cold, violet, warm, greenish
_SCREEN_CASTS = ((1, 1, 1), (0.86, 0.96, 1.05), (0.85, 0.72, 1.1), (1.05, 1, 0.9), (0.95, 0.97, 1))
_FILM_CASTS = (
    (0.5, 0.8, 1),
    (0.75, 0.92, 1),
    (0.8, 1, 0.95),
    (1.02, 1, 0.92),
    (0.95, 0.97, 1),
    (0.62, 0.9, 0.85),
)


def screen_tint(rng: Generator, level: int, canvas: Canvas) -> Tint:
    """Draw a screen's tone: gamma, raised blacks from the backlight and the room, a cast."""
    return _tint(rng, level, _SCREEN_CASTS, black_most=0.05)


def film_tint(rng: Generator, level: int, canvas: Canvas) -> Tint:
    """Draw a film's tone: a coloured base on a light box, blacks that let light through."""
    return _tint(rng, level, _FILM_CASTS, black_most=0.07)


def _tint(rng: Generator, level: int, casts: tuple[tuple[float, ...], ...], black_most: float) -> Tint:
    cast = np.array(casts[int(rng.integers(len(casts)))]) ** (0.25 + 0.3 * level * rng.random())
    gain = cast * (1 + rng.normal(0, 0.012 * level, 3))
    gain *= rng.uniform(1.02 - 0.09 * level, 1.1) / gain.max()
    black = rng.uniform(0, black_most * level) * (0.5 * gain / gain.max() + rng.uniform(0.3, 0.6, 3))
    # dark greys take more of the cast than light ones, as in the photos
    gamma = np.exp(rng.normal(0, 0.09 * level)) * gain.max() / np.maximum(gain, 0.3) ** rng.uniform(-0.3, 0.8)
    return make_tint(black, gain, gamma)


def screen_place(rng: Generator, level: int, canvas: Canvas) -> Place:
    """Draw a viewer's black window (and at times its grey bar), a bezel, a desk or a wall."""
    window = random_frame(rng, 0.12, _grey(rng, 0, 30))
    bar = Frame(0, 0.05 * rng.random(), 0, 0.08 * rng.random(), _grey(rng, 40, 210))
    bezel = random_frame(rng, 0.1, _grey(rng, 5, 60))
    frames = (window, bar, bezel) if rng.random() < 0.5 else (window, bezel)
    ground = _colour(rng, 30, 190, 30)
    return scene_around(rng, level, canvas, frames, ground, float(rng.uniform(0, 0.12)))


def film_place(rng: Generator, level: int, canvas: Canvas) -> Place:
    """Draw the film's unexposed or blackened margin, the box's bright face, a dark room."""
    edge = float(rng.uniform(0, 0.02))
    margin = Frame(edge, edge, edge, edge, _grey(rng, 0, 40))
    glow = np.array(_colour(rng, 170, 255, 18)) * (0.92, 1, 1.04)
    face = random_frame(rng, 0.3, _rgb(glow.clip(0, 255)))
    housing = random_frame(rng, 0.12, _grey(rng, 40, 200))
    return scene_around(rng, level, canvas, (margin, face, housing), _colour(rng, 5, 90, 15), 0.05)


def screen_stripes(rng: Generator, level: int, canvas: Canvas) -> Stripes:
    return sample_stripes(rng, level, canvas)


def film_light(rng: Generator, level: int, canvas: Canvas) -> UnevenLight:
    """Draw a light box: tubes behind the glass and darker edges."""
    light = sample_uneven_light(rng, level, canvas)
    ripple = float(rng.uniform(0, 0.03 + 0.03 * level))
    return UnevenLight(
        light.slope_x, light.slope_y, light.falloff, ripple, light.cycles, light.phase, light.upright
    )


def film_reflection(rng: Generator, level: int, canvas: Canvas) -> Reflection:
    return sample_reflection(rng, level, canvas)


def soft_glare(rng: Generator, level: int, canvas: Canvas) -> GlareMatte:
    """Draw a highlight that covers a part of the picture, whatever its size."""
    longer = max(canvas.height_px, canvas.width_px)
    mean = (float(rng.uniform(0, canvas.width_px)), float(rng.uniform(0, canvas.height_px)))
    peak = float(rng.uniform(30, 60 + 35 * level))
    return GlareMatte(mean, float(longer * rng.uniform(0.04, 0.06 + 0.03 * level)), peak, 230.0)


def soft_blur(rng: Generator, level: int, canvas: Canvas) -> Blur:
    """Draw a focus error that grows with the picture: a fraction of its longer side."""
    longer = max(canvas.height_px, canvas.width_px)
    return Blur(float(longer * rng.uniform(0.0005, 0.001 + 0.0016 * level)))


def photo_noise(rng: Generator, level: int, canvas: Canvas) -> Noise:
    read, shot = rng.uniform(0, 0.8 + 1.2 * level), rng.uniform(0, 1 + 1.4 * level)
    return Noise(float(read), float(shot), bool(rng.random() < 0.6), int(rng.integers(2**32)))


def messenger_jpeg(rng: Generator, level: int, canvas: Canvas) -> Jpeg:
    return Jpeg(int(rng.integers(90 - 13 * level, 97 - 4 * level)), "4:2:0")


def _grey(rng: Generator, low: float, high: float) -> Rgb:
    return _rgb((rng.uniform(low, high) * (1 + rng.normal(0, 0.03, 3))).clip(0, 255))


def _colour(rng: Generator, low: float, high: float, spread: float) -> Rgb:
    return _rgb((rng.uniform(low, high) + rng.normal(0, spread, 3)).clip(0, 255))


def _rgb(values: Any) -> Rgb:
    r, g, b = (float(v) for v in values)
    return r, g, b


SCREEN_LITE = (
    Part("tint", screen_tint),
    Part("stripes", screen_stripes, 0.6),
    Part("uneven_light", None, 0.8),
    Part("place", screen_place),
    Part("reflection", None, 0.45),
    Part("blur", soft_blur),
    Part("noise", photo_noise),
    Part("jpeg", messenger_jpeg),
)
FILM_LITE = (
    Part("tint", film_tint),
    Part("place", film_place, sees="film"),
    Part("uneven_light", film_light),
    Part("reflection", film_reflection, 0.5),
    Part("glare_matte", soft_glare, 0.2),
    Part("blur", soft_blur),
    Part("noise", photo_noise),
    Part("jpeg", messenger_jpeg),
)
