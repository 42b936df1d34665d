"""From a picture to a network's input: one implementation for training and reading."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import Photo, Radiograph, grey_level
from radsnap.imaging.radiograph import ByteImage
from radsnap.models.card import InputSpec

FloatArray = NDArray[np.float32]
# An image of one grey has no deviation; below this (about a fifth of an 8-bit step) it counts as flat.
_FLAT = 1e-3
# Bytes are summed in float32: above so many that would take memory and win hardly any time.
_FEW_BYTES = 8_000_000


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
    if shrinks and picture.dtype == np.float32:
        return shrunk(cast(FloatArray, picture), size_px, size_px)
    whole_ratio = height % size_px == 0 and width % size_px == 0
    if shrinks and picture.dtype == np.uint8 and picture.size <= _FEW_BYTES and not whole_ratio:
        return np.rint(shrunk(cast(ByteImage, picture), size_px, size_px)).astype(np.uint8)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cast(Any, picture), (size_px, size_px), interpolation=method))


def shrunk(picture: FloatArray | ByteImage, height: int, width: int) -> FloatArray:
    """Bring (H, W) or (H, W, 3) to fewer rows and columns, each pixel the mean of the area that it stands for, unrounded.

    To rounding what OpenCV's INTER_AREA gives, in less than half of its time where the ratio is no whole number.
    """
    before, colours = picture.shape[:2], picture.shape[2:]
    rows = _areas(before[0], height) @ picture.reshape(before[0], -1)
    # OpenCV's transpose: NumPy's takes three times as long
    turned = cv2.transpose(rows.reshape(height, before[1], *colours)).reshape(before[1], -1)
    columns = _areas(before[1], width) @ turned
    return np.asarray(cv2.transpose(columns.reshape(width, height, *colours)))


@lru_cache(maxsize=64)
def _areas(before: int, after: int) -> Any:
    """Give the sparse matrix (after, before) that averages `before` pixels down to `after`."""
    from scipy.sparse import csr_array

    edges = np.linspace(0, before, after + 1)
    first, last = np.floor(edges[:-1] + 1e-9).astype(int), np.ceil(edges[1:] - 1e-9).astype(int)
    starts = np.concatenate([[0], np.cumsum(last - first)])
    row = np.repeat(np.arange(after), last - first)
    column = np.arange(starts[-1]) - starts[row] + first[row]
    covered = np.minimum(edges[row + 1], column + 1) - np.maximum(edges[row], column)
    return csr_array(((covered * after / before).astype(np.float32), column, starts), shape=(after, before))


def normalise(picture: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Scale pixels in [0, 1] (or uint8) as the card says; float32 of the same shape.

    Grey (H, W) as the first channel is; colours (H, W, 3) each by its own `fixed` numbers, or by `image` all by one
    mean and deviation, which keeps the cast and gives a grey picture what its grey gives.
    """
    if picture.ndim == 2:
        return np.asarray(_normalised(picture[None], spec)[0])
    return _normalised(picture.transpose(2, 0, 1), spec).transpose(1, 2, 0)


def to_input(picture: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Make a network's input (channels, size_px, size_px) from what it has `seen`, float in [0, 1] or uint8."""
    small = resize(picture, spec.size_px, spec.fit)
    if small.ndim == 3:
        # plane by plane: NumPy is slow where the last axis has three steps
        return _normalised(np.stack(cv2.split(cast(Any, small))), spec)
    if spec.normalisation == "image":
        return np.repeat(_normalised(small[None], spec), spec.channels, axis=0)
    return _normalised(np.repeat(small[None], spec.channels, axis=0), spec)


def _normalised(planes: NDArray[np.generic], spec: InputSpec) -> FloatArray:
    """Scale (channels, H, W) as the card says."""
    pixels = _unit(planes)
    if spec.normalisation == "fixed":
        for plane, (mean, deviation) in enumerate(_of_channels(spec)[: len(pixels)]):
            pixels[plane] -= mean
            pixels[plane] /= deviation
        return pixels
    centre, spread = cv2.meanStdDev(pixels.reshape(-1, pixels.shape[-1]))
    pixels -= np.float32(centre[0, 0])
    pixels /= np.float32(max(float(spread[0, 0]), _FLAT))
    return pixels


def _unit(picture: NDArray[np.generic]) -> FloatArray:
    """Give a copy in float32, bytes in [0, 1]."""
    pixels = np.array(picture, dtype=np.float32, order="C")
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
