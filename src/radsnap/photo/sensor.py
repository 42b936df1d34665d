"""Effects of the sensor and the file: noise and JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.homography import resizing
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas, Matrix, Size, strips

_BANK = 1 << 20
_SAMPLING = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


@dataclass(frozen=True)
class Noise:
    """Normal noise of variance read² + shot² · v / 255, in grey levels; colour noise differs by channel."""

    read: float
    shot: float
    colour: bool
    seed: int


@dataclass(frozen=True)
class Jpeg:
    """One trip through a JPEG file. quality 1 to 100; subsampling 4:4:4, 4:2:2 or 4:2:0."""

    quality: int
    subsampling: str = "4:2:0"


@dataclass(frozen=True)
class Messenger:
    """What a messenger does: the longer side to at most long_px, then JPEG."""

    long_px: int
    jpeg: Jpeg


def sample_noise(rng: Generator, level: int, canvas: Canvas) -> Noise:
    read, shot = rng.uniform(0, 1.5 * level), rng.uniform(0, 2.0 * level)
    return Noise(float(read), float(shot), bool(rng.random() < 0.5), int(rng.integers(2**32)))


def sample_jpeg(rng: Generator, level: int, canvas: Canvas) -> Jpeg:
    return Jpeg(int(rng.integers(98 - 15 * level, 99 - 8 * level)), "4:2:0")


def apply_noise(image: ByteImage, noise: Noise) -> ByteImage:
    """Add noise whose strength follows the pixel, by a table of strengths."""
    if noise.read <= 0 and noise.shot <= 0:
        return image.copy()
    ramp = np.arange(256, dtype=np.float32)
    strength = np.sqrt(np.float32(noise.read**2) + np.float32(noise.shot**2 / 255) * ramp)
    channels = image.shape[2] if image.ndim == 3 else 1
    field = normal_field(image.shape if noise.colour else image.shape[:2], noise.seed)
    result = np.empty_like(image)
    for rows in strips(image, channels):
        grain = field[rows] if noise.colour or channels == 1 else cv2.merge([field[rows]] * channels)
        added = cv2.multiply(cv2.LUT(image[rows], strength), grain)
        result[rows] = cv2.add(image[rows], added, dtype=cv2.CV_8U)
    return result


def normal_field(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Give a field of standard normal noise, the same for the same shape and seed.

    Draws are read from a bank of a million, from a place that the seed says; they repeat in a large
    picture, far apart and at another column. A hundred times faster than drawing anew.
    """
    count = int(np.prod(shape))
    start = int(np.random.PCG64(seed % 2**64).random_raw() % _BANK)
    if count <= _BANK:
        return _bank()[start : start + count].reshape(shape)
    return np.resize(_bank()[start : start + _BANK], shape)


@cache
def _bank() -> NDArray[np.float32]:
    """Draw the bank once a process, twice in a row, so that a run of it starts anywhere."""
    return np.tile(np.random.Generator(np.random.PCG64(20190711)).standard_normal(_BANK, np.float32), 2)


def apply_jpeg(image: ByteImage, jpeg: Jpeg) -> ByteImage:
    flag = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR_RGB
    return np.asarray(cv2.imdecode(encode(image, jpeg), flag), np.uint8)


def sample_messenger(rng: Generator, level: int, canvas: Canvas) -> Messenger:
    return Messenger(1600, Jpeg(int(rng.integers(86 - 9 * level, 90 - 5 * level)), "4:2:0"))


def messenger_size(messenger: Messenger, size: Size) -> Size:
    shrink = min(messenger.long_px / max(size), 1.0)
    return max(round(size[0] * shrink), 1), max(round(size[1] * shrink), 1)


def messenger_matrix(messenger: Messenger, size: Size) -> Matrix:
    out = messenger_size(messenger, size)
    return resizing((size[1], size[0]), (out[1], out[0]))


def apply_messenger(image: ByteImage, messenger: Messenger) -> ByteImage:
    size = messenger_size(messenger, (image.shape[0], image.shape[1]))
    if size != image.shape[:2]:
        image = np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
    return apply_jpeg(image, messenger.jpeg)


def encode(image: ByteImage, jpeg: Jpeg) -> NDArray[np.uint8]:
    """Encode grey or RGB pixels. Raises UsageError for a quality or subsampling that JPEG lacks."""
    if not 1 <= jpeg.quality <= 100 or jpeg.subsampling not in _SAMPLING:
        raise UsageError(
            f"JPEG takes quality 1 to 100 and subsampling {', '.join(_SAMPLING)}, got {jpeg.quality} and "
            f"{jpeg.subsampling!r}"
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg.quality]
    if image.ndim == 2:
        return np.asarray(cv2.imencode(".jpg", image, options)[1], np.uint8)
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING[jpeg.subsampling]]
    return np.asarray(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1], np.uint8)
