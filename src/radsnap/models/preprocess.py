"""From grey pixels to a network's input: one implementation for training and reading."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.models.card import InputSpec

FloatArray = NDArray[np.float32]
# An image of one grey has no deviation; below this (about a fifth of an 8-bit step) it counts as flat.
_FLAT = 1e-3


def resize(grey: NDArray[np.generic], size_px: int, fit: str = "stretch") -> NDArray[np.generic]:
    """Bring grey (H, W) to (size_px, size_px): `stretch` gives up the aspect ratio, `crop` the long ends."""
    height, width = grey.shape
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        grey = grey[top : top + side, left : left + side]
        height = width = side
    shrinks = size_px < min(height, width)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cast(Any, grey), (size_px, size_px), interpolation=method))


def normalise(grey: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Scale grey in [0, 1] (or uint8) as the card says, for its first channel; float32 of the same shape."""
    pixels = _unit(grey)
    if spec.normalisation == "fixed":
        centre, spread = _of_channels(spec)[0]
        return (pixels - centre) / spread
    mean, deviation = cv2.meanStdDev(pixels)
    return (pixels - np.float32(mean[0, 0])) / np.float32(max(float(deviation[0, 0]), _FLAT))


def to_input(grey: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Make a network's input (channels, size_px, size_px) from grey (H, W), float in [0, 1] or uint8."""
    small = resize(grey, spec.size_px, spec.fit)
    if spec.channels == 1 or spec.normalisation == "image":
        return np.repeat(normalise(small, spec)[None], spec.channels, axis=0)
    pixels = _unit(small)
    return np.stack([(pixels - mean) / deviation for mean, deviation in _of_channels(spec)])


def _unit(grey: NDArray[np.generic]) -> FloatArray:
    pixels = grey.astype(np.float32)
    if grey.dtype == np.uint8:
        pixels /= 255.0
    return pixels


def _of_channels(spec: InputSpec) -> list[tuple[np.float32, np.float32]]:
    """Give (mean, deviation) of each channel."""
    means, deviations = (
        value if isinstance(value, tuple) else (value,) * spec.channels
        for value in (spec.mean, spec.deviation)
    )
    return [(np.float32(m), np.float32(d)) for m, d in zip(means, deviations, strict=True)]
