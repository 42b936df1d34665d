"""How good a photo of a page is: blur from the markers' edges, blown-out light, likeness to what was shown."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging.homography import Matrix, Points, homography
from radsnap.imaging.radiograph import ByteImage

_BLOWN = 253
_BRIGHT = 235
_LOOK_PX = 256


def blur_px(grey: ByteImage, markers: dict[int, Points]) -> float | None:
    """Measure the standard deviation of the photo's blur, in its pixels, across the edges of markers' borders.

    Each border is black inside its white rim over a known length: the mean profile across it rises from 10 to 90 %
    over 2.56 standard deviations. None when no border can be measured. The median of all markers counts.
    """
    widths = [width for corners in markers.values() for width in _edge_widths(grey, corners)]
    return float(np.median(widths)) if widths else None


def _edge_widths(grey: ByteImage, corners: Points) -> list[float]:
    module = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).mean()) / 6
    scale = int(np.clip(np.ceil(2 * module), 4, 48))
    side = 8 * scale
    inner = np.array([[1, 1], [7, 1], [7, 7], [1, 7]]) * scale - 0.5
    low = np.floor(corners.min(axis=0) - 2 * module).astype(int).clip(0)
    high = np.ceil(corners.max(axis=0) + 2 * module).astype(int) + 1
    part = np.ascontiguousarray(grey[low[1] : high[1], low[0] : high[0]])
    if min(part.shape) < 8:
        return []
    patch = np.asarray(cv2.warpPerspective(part, homography(corners - low, inner), (side, side)), np.float64)
    widths = []
    for turn in range(4):
        # across the left border: half a module of rim, half a module of black; clear of the corners
        strip = np.rot90(patch, turn)[2 * scale : 6 * scale, round(0.2 * scale) : round(1.8 * scale)]
        width = _rise(strip.mean(axis=0))
        if width is not None:
            widths.append(width * module / scale)
    return widths


def _rise(profile: NDArray[np.float64]) -> float | None:
    count = max(len(profile) // 6, 1)
    white, black = float(profile[:count].mean()), float(profile[-count:].mean())
    if white - black < 12:
        return None
    level = (profile - black) / (white - black)
    crossings = []
    for want in (0.9, 0.1):
        below = np.flatnonzero(level < want)
        if not len(below) or below[0] == 0:
            return None
        at = int(below[0])
        crossings.append(at - 1 + (level[at - 1] - want) / (level[at - 1] - level[at]))
    return max(float(crossings[1] - crossings[0]) / 2.563, 0.0)


def rectified(grey: ByteImage, to_photo: Matrix, size_px: tuple[int, int]) -> ByteImage:
    """Cut the x-ray out of a photo, straight, at a size (width, height) of a few hundred pixels.

    to_photo: from pixels of that size to the photo's. Light is averaged where the photo has more pixels.
    """
    middle = np.array([[size_px[0] / 2, size_px[1] / 2]])
    steps = _project(
        to_photo, np.concatenate([middle, middle + np.array([[1, 0]]), middle + np.array([[0, 1]])])
    )
    dense = int(max(np.hypot(*(steps[1] - steps[0])), np.hypot(*(steps[2] - steps[0]))))
    if dense >= 2:
        scale = 1 / dense
        size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        shrink = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1.0]])
        to_photo = shrink @ to_photo
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(grey, to_photo, size_px, flags=flags), np.uint8)


def look_size(width: int, height: int) -> tuple[int, int]:
    """Give the size at which light and likeness are judged: the longer side 256 px."""
    scale = _LOOK_PX / max(width, height)
    return max(round(width * scale), 16), max(round(height * scale), 16)


def blown_frac(seen: ByteImage, shown: ByteImage | None) -> float:
    """Give the share of the x-ray (h, w) that the photo shows as plain white where the x-ray is not."""
    blown = seen >= _BLOWN
    if shown is not None:
        blown &= cv2.GaussianBlur(shown, (0, 0), 1.5) < _BRIGHT
    return float(blown.mean())


def likeness(seen: ByteImage, shown: ByteImage) -> float:
    """Compare what a photo shows with what was shown, both (h, w): -1 to 1, 1 for the same.

    The correlation of local structure: what is larger than a rib space is taken out (light, tint, glare, and all
    that chests have in common), what is finer is smoothed (noise, moiré).
    """
    first, second = (_structure(image) for image in (seen, shown))
    strength = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / strength) if strength > 1e-9 else 0.0


def _structure(image: ByteImage) -> NDArray[np.float32]:
    longer = max(image.shape)
    plain = image.astype(np.float32)
    fine = cv2.GaussianBlur(plain, (0, 0), 0.006 * longer)
    coarse = cv2.GaussianBlur(plain, (0, 0), 0.03 * longer)
    band = fine - coarse
    power = cv2.GaussianBlur(band**2, (0, 0), 0.06 * longer)
    return np.asarray(band / np.sqrt(power + 4.0), np.float32)


def _project(matrix: Matrix, points: Points) -> Points:
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])
