"""Effects of the lens and the hand: defocus and motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas

_RADII_PX = (1.5, 3.0, 6.0, 10.0)
_LENGTHS_PX = (2, 10, 25, 45)
_LONGEST_PX = 2000


@dataclass(frozen=True)
class Blur:
    """A Gaussian of standard deviation radius_px; 0 leaves the picture alone."""

    radius_px: float


@dataclass(frozen=True)
class Motion:
    """A horizontal box of length_px; below 2 the picture stays as it is."""

    length_px: int


def sample_blur(rng: Generator, level: int, canvas: Canvas) -> Blur:
    return Blur(_RADII_PX[level - 1] * canvas.scale)


def sample_motion(rng: Generator, level: int, canvas: Canvas) -> Motion:
    return Motion(max(round(_LENGTHS_PX[level - 1] * canvas.scale), 1))


def apply_blur(image: ByteImage, blur: Blur) -> ByteImage:
    if blur.radius_px > _LONGEST_PX:
        raise UsageError(f"a blur's radius is at most {_LONGEST_PX} px, got {blur.radius_px}")
    if blur.radius_px <= 0:
        return image.copy()
    return cv2.GaussianBlur(image, (0, 0), blur.radius_px, borderType=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def apply_motion(image: ByteImage, motion: Motion) -> ByteImage:
    """Average along rows. Row (n-1)//2 of an n×n kernel anchored at n//2: an even n also moves by a row."""
    n = motion.length_px
    if n > _LONGEST_PX:
        raise UsageError(f"a motion is at most {_LONGEST_PX} px long, got {n}")
    if n < 2:
        return image.copy()
    if n % 2 == 0:  # the filled row lies above the anchor: the picture moves down by a row
        image = np.concatenate([image[1:2] if image.shape[0] > 1 else image[:1], image[:-1]])
    row = np.full((1, n), 1 / n, np.float32)
    return cv2.filter2D(image, -1, row, anchor=(n // 2, 0), borderType=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]
