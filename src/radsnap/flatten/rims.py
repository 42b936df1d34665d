"""What lies to either side of an x-ray's borders: where it is dark there, the last border may lie further out, unseen."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.quad import Points, diagonal
from radsnap.imaging.radiograph import ByteImage

# How far from a border grey values are read, of the diagonal, and at how many places along it.
_AWAY = np.array([0.006, 0.012, 0.02, 0.03, 0.04])
_ALONG = np.linspace(0.04, 0.96, 48)
_LEAST_PLACES = 20
# Grey values (of 255): black up to here; a border shows by such a step; surroundings that vary by so much are no empty viewer.
_BLACK, _STEP, _VARIED = 60.0, 5.0, 20.0


def rims(photo: ByteImage, corners: Points, seen: tuple[bool, ...]) -> NDArray[np.float64]:
    """Measure both sides of the borders in view of a quadrilateral in a photo (H, W, 3).

    Gives five numbers in [0, 1]: how dark it is outside of the darkest border, and on average; how little of the faintest
    border shows as a step; how dark it is inside the darkest; how even it is outside the most even. All 0 where nothing is in view.
    """
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    outside, inside, steps, varied = [], [], [], []
    for side in np.flatnonzero(seen):
        out, within = _beside(grey, corners, int(side))
        seen_out, seen_within = out[np.isfinite(out)], within[np.isfinite(within)]
        if min(len(seen_out), len(seen_within)) < _LEAST_PLACES:
            continue
        outside.append(np.median(seen_out))
        inside.append(np.median(seen_within))
        step = np.abs(out[0] - within[0])
        steps.append(float((step >= _STEP).sum() / max(int(np.isfinite(step).sum()), 1)))
        varied.append(np.std(seen_out))
    if not outside:
        return np.zeros(5)
    dark, dark_inside = (1 - np.clip(np.array(values) / _BLACK, 0, 1) for values in (outside, inside))
    even = 1 - np.clip(np.array(varied) / _VARIED, 0, 1)
    return np.array([dark.max(), dark.mean(), 1 - min(steps), dark_inside.max(), even.max()])


def _beside(grey: ByteImage, corners: Points, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read grey values outside and inside of a side, from near to far (places, along); NaN outside of the photo."""
    start, end = corners[side], corners[(side + 1) % 4]
    run = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    outward = np.array([run[1], -run[0]])
    feet = start + _ALONG[:, None] * (end - start)
    away = _AWAY[:, None, None] * diagonal(corners) * outward
    return _read(grey, feet + away), _read(grey, feet - away)


def _read(grey: ByteImage, places: Points) -> NDArray[np.float64]:
    height, width = grey.shape
    x, y = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    values = cv2.remap(grey, x, y, cv2.INTER_LINEAR).astype(np.float64)
    in_photo = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return np.where(in_photo, values, np.nan)
