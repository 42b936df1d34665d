"""What about a picture may spoil its reading, judged from its pixels alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.judging import sharpness
from radsnap.imaging import Provenance
from radsnap.models.preprocess import shrunk
from radsnap.reading.diagnosis import Remark

__all__ = ["file_remarks", "remarks", "sharpness"]
FloatArray = NDArray[np.float32]

# The bars lie outside 99 of 100 of about 900 public x-rays and photos of x-rays (512 px and less).
SHORT_SIDE_PX = 200
DARK_MEAN = 0.10
BRIGHT_MEAN = 0.85
FLAT_RANGE = 0.25
CLIPPED_SHARE = 0.10
# A Gaussian blur of 0.4 % of the longer side brings sharp x-rays from 0.19 (median) to 0.03.
BLURRED_BELOW = 0.05

_CLIPPED_FROM = 0.98
_MEASURED_AT_PX = 512


def remarks(grey: FloatArray, size_px: tuple[int, int]) -> tuple[Remark, ...]:
    """Judge grey pixels (H, W) in [0, 1]; size_px is the file's own (width, height)."""
    small = _shrunk(grey)
    mean, spread = float(small.mean()), _range(small)
    clipped = float((small >= _CLIPPED_FROM).mean())
    sharp = sharpness(small)
    short_px = min(size_px)
    judged = (
        (short_px < SHORT_SIDE_PX, "small", float(short_px), float(SHORT_SIDE_PX),
         f"The shorter side has only {short_px} px; fine findings need {SHORT_SIDE_PX} or more."),
        (mean < DARK_MEAN, "dark", mean, DARK_MEAN,
         "The picture is very dark; photograph it again with a longer exposure."),
        (mean > BRIGHT_MEAN, "bright", mean, BRIGHT_MEAN,
         "The picture is very bright; photograph it again with a shorter exposure."),
        (spread < FLAT_RANGE, "flat", spread, FLAT_RANGE,
         "There is little contrast; dim the room's light, or send the original file."),
        (clipped > CLIPPED_SHARE, "clipped", clipped, CLIPPED_SHARE,
         f"{clipped:.0%} of the picture is burnt out to white; look for glare."),
        (sharp < BLURRED_BELOW, "blurred", sharp, BLURRED_BELOW,
         "The picture is blurred; hold the camera still and focus on the film."),
    )  # fmt: skip
    return tuple(Remark(name, sentence, value, bar) for given, name, value, bar, sentence in judged if given)


def file_remarks(provenance: Provenance) -> tuple[Remark, ...]:
    """Say that a file is partly broken, in its decoder's words."""
    if provenance.damage is None:
        return ()
    sentence = f"The file is damaged ({provenance.damage}), so part of the picture may be wrong; get it again from its source."
    return (Remark("damaged", sentence, 1.0, 0.0),)


def _range(grey: FloatArray) -> float:
    low, high = np.percentile(grey[::4, ::4], [5, 95])  # a sixteenth of the pixels says as much
    return float(high - low)


def _shrunk(grey: FloatArray) -> FloatArray:
    height, width = grey.shape
    scale = _MEASURED_AT_PX / max(height, width)
    if scale >= 1:
        return grey
    return shrunk(grey, max(1, round(height * scale)), max(1, round(width * scale)))
