"""A cheap stand-in for moiré on colour screens: three waves, one a channel, slightly out of step.

For training. The published moiré is in moire.py, and the one that sampling makes by itself in camera.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas, as_rgb, strips


@dataclass(frozen=True)
class Stripes:
    """A wave of `depth` (0 to 1). Cycles count over the longer side; bend adds to them across the picture.

    phase_rgb sets the channels against each other, in turns: equal phases give grey stripes.
    """

    cycles_x: float
    cycles_y: float
    bend_x: float
    bend_y: float
    depth: float
    phase_rgb: tuple[float, float, float]


def sample_stripes(rng: Generator, level: int, canvas: Canvas) -> Stripes:
    cycles = float(np.exp(rng.uniform(np.log(4), np.log(90))))
    angle = rng.uniform(0, np.pi)
    bend = rng.normal(0, 0.15 * cycles, 2)
    depth = float(rng.uniform(0.01, 0.01 + 0.045 * level))
    start, spread = rng.random(), rng.uniform(0, 0.33)
    phases = (float(start), float(start + spread), float(start + 2 * spread))
    x, y = float(cycles * np.cos(angle)), float(cycles * np.sin(angle))
    return Stripes(x, y, float(bend[0]), float(bend[1]), depth, phases)


def apply_stripes(image: ByteImage, stripes: Stripes) -> ByteImage:
    """Multiply by the waves: cos(a(x) + b(y)) is cos a · cos b - sin a · sin b, two outer products."""
    if stripes.depth <= 0:
        return image.copy()
    height, width = image.shape[:2]
    longer = max(height, width)
    x, y = (np.arange(n) / longer for n in (width, height))
    a = 2 * np.pi * (stripes.cycles_x * x + stripes.bend_x * x * x)
    b = 2 * np.pi * (stripes.cycles_y * y + stripes.bend_y * y * y)
    row = np.stack([np.cos(a), np.sin(a)]).astype(np.float32)
    turns = [2 * np.pi * phase for phase in stripes.phase_rgb]
    cosines = [(stripes.depth * np.cos(b + turn)).astype(np.float32) for turn in turns]
    sines = [(stripes.depth * np.sin(b + turn)).astype(np.float32) for turn in turns]
    image = as_rgb(image)
    result = np.empty_like(image)
    for rows in strips(image, 3):
        waves = [
            np.multiply.outer(c[rows], row[0]) - np.multiply.outer(s[rows], row[1])
            for c, s in zip(cosines, sines, strict=True)
        ]
        factor = cv2.merge(waves) + np.float32(1 - stripes.depth / 2)
        result[rows] = cv2.multiply(image[rows], factor, dtype=cv2.CV_8U)
    return result
