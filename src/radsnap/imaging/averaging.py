"""Large pictures made small, quickly."""

from __future__ import annotations

import cv2
import numpy as np

from radsnap.imaging.radiograph import ByteImage


def averaged(pixels: ByteImage, size: tuple[int, int]) -> ByteImage:
    """Average a picture (H, W) or (H, W, 3) down to (width, height), at most its own size.

    Halves it first as often as that goes, which is ten times as quick as OpenCV's INTER_AREA by other ratios; of a photo
    of 12 megapixels the whole takes half the time. On average about a level from what INTER_AREA gives at once; at sharp
    edges further off.
    """
    return np.asarray(cv2.resize(halved(pixels, size), size, interpolation=cv2.INTER_AREA), np.uint8)


def halved(pixels: ByteImage, least: tuple[int, int]) -> ByteImage:
    """Halve a picture (H, W) or (H, W, 3) while it keeps `least` (width, height), and its sides are even."""
    height, width = pixels.shape[:2]
    while width >= 2 * least[0] and height >= 2 * least[1] and width % 2 == 0 and height % 2 == 0:
        width, height = width // 2, height // 2
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return pixels
