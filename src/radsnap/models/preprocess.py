"""From a picture to a network's input: one implementation for training and reading."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import Photo, Radiograph, grey_level
from radsnap.models.card import InputSpec

FloatArray = NDArray[np.float32]
# An image of one grey has no deviation; below this (about a fifth of an 8-bit step) it counts as flat.
_FLAT = 1e-3


def seen(image: Radiograph | Photo, spec: InputSpec) -> NDArray[np.generic]:
    """Give the pixels that a network is shown: grey (H, W) in [0, 1], or where it reads `rgb` a photo's bytes (H, W, 3)."""
    return image.pixels if spec.pixels == "rgb" else grey_level(image)


def resize(picture: NDArray[np.generic], size_px: int, fit: str = "stretch") -> NDArray[np.generic]:
    """Bring (H, W) or (H, W, 3) to (size_px, size_px): `stretch` gives up the aspect ratio, `crop` the long ends."""
    height, width = picture.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture = picture[top : top + side, left : left + side]
        height = width = side
    shrinks = size_px < min(height, width)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cast(Any, picture), (size_px, size_px), interpolation=method))


def normalise(picture: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Scale pixels in [0, 1] (or uint8) as the card says; float32 of the same shape.

    Grey (H, W) as the first channel is; colours (H, W, 3) each by its own `fixed` numbers, or by `image` all by one
    mean and deviation, which keeps the cast and gives a grey picture what its grey gives.
    """
    pixels = _unit(picture)
    if spec.normalisation == "fixed":
        channels = _of_channels(spec) if pixels.ndim == 3 else _of_channels(spec)[:1]
        centre, spread = (np.array(one, dtype=np.float32) for one in zip(*channels, strict=True))
        return np.asarray((pixels - centre) / spread)
    mean, deviation = cv2.meanStdDev(pixels.reshape(len(pixels), -1))
    return (pixels - np.float32(mean[0, 0])) / np.float32(max(float(deviation[0, 0]), _FLAT))


def to_input(picture: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Make a network's input (channels, size_px, size_px) from what it has `seen`, float in [0, 1] or uint8."""
    small = resize(picture, spec.size_px, spec.fit)
    if small.ndim == 3:
        return np.ascontiguousarray(normalise(small, spec).transpose(2, 0, 1))
    if spec.channels == 1 or spec.normalisation == "image":
        return np.repeat(normalise(small, spec)[None], spec.channels, axis=0)
    pixels = _unit(small)
    return np.stack([(pixels - mean) / deviation for mean, deviation in _of_channels(spec)])


def _unit(picture: NDArray[np.generic]) -> FloatArray:
    pixels = picture.astype(np.float32)
    if picture.dtype == np.uint8:
        pixels /= 255.0
    return pixels


def _of_channels(spec: InputSpec) -> list[tuple[np.float32, np.float32]]:
    """Give (mean, deviation) of each channel."""
    means, deviations = (
        value if isinstance(value, tuple) else (value,) * spec.channels
        for value in (spec.mean, spec.deviation)
    )
    return [(np.float32(m), np.float32(d)) for m, d in zip(means, deviations, strict=True)]
