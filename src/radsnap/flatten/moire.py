"""Moiré in a straightened picture: how strong it is, and less of it.

Anatomy's spectrum falls along every direction; moiré is a peak that rises above it. So in each tile of the picture a
frequency counts as moiré by what it has more than half of it has (the largest of the 3 × 3 bins around), and more than
the other directions at the same frequency have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

MEASURED_AT_PX = 512
_TILE_PX = 64
_SLOWEST = 5  # waves a tile; what is slower looks like ribs
_FASTEST = _TILE_PX // 2
_REACH = _FASTEST // 2 + 2  # of the spectrum's middle, where half the frequencies lie
_CHANNELS = 100  # planes that OpenCV dilates at once


@dataclass(frozen=True, eq=False)
class _Bins:
    """Places of the fast waves in a tile's half spectrum (64, 33), flat.

    fast: (N,); half: (N,) of the bin at half the frequency, in the spectrum's middle; ring: (N,) whole frequency; mean: (N, rings), a column
    gives the mean of a ring; weight: (N,), 2 where the other half of the spectrum has the same.
    """

    fast: NDArray[np.intp]
    half: NDArray[np.intp]
    ring: NDArray[np.intp]
    mean: FloatArray
    weight: FloatArray
    window: FloatArray


def strength(grey: FloatArray) -> float:
    """Give the deviation that moiré adds over that of the picture: (H, W) at most 512 px long; 0 where it has none.

    Pictures of less than 64 px show none.
    """
    height, width = grey.shape
    deviation = float(cv2.meanStdDev(grey)[1][0, 0])
    if min(height, width) < _TILE_PX or deviation < 1e-3:
        return 0.0
    rows, columns = (np.linspace(0, n - _TILE_PX, max(n // _TILE_PX, 1)).astype(int) for n in (height, width))
    tiles = np.stack([grey[y : y + _TILE_PX, x : x + _TILE_PX] for y in rows for x in columns])
    bins = _bins()
    power = _power(_waves((tiles - tiles.mean(axis=(1, 2), keepdims=True)) * bins.window))
    here, slower, around = _compared(power, bins)
    more = np.maximum(here - 2 * slower - 10 * around, 0) @ bins.weight
    share = float(more.mean()) / (float((bins.window**2).sum()) * _TILE_PX**2)
    return float(np.sqrt(share)) / deviation


def reduced(grey: FloatArray) -> FloatArray:
    """Take moiré's peaks out of (H, W) in [0, 1], tile by overlapping tile; what is longer than 512 px keeps its finest waves."""
    small = shrunk(grey)
    taken = _notched(small) - small
    if small.shape != grey.shape:
        size = (grey.shape[1], grey.shape[0])
        taken = np.asarray(cv2.resize(taken, size, interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray((grey + taken).clip(0, 1), np.float32)


def shrunk(grey: FloatArray) -> FloatArray:
    """Bring grey (H, W) to at most 512 px."""
    height, width = grey.shape
    scale = MEASURED_AT_PX / max(height, width)
    if scale >= 1:
        return grey
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def _notched(grey: FloatArray) -> FloatArray:
    """Bring peaks down to what is around them; tiles overlap by half, and their windows' squares add up to 1."""
    height, width = grey.shape
    step, bins = _TILE_PX // 2, _bins()
    padded = cv2.copyMakeBorder(
        grey, step, step + -height % step, step, step + -width % step, cv2.BORDER_REFLECT
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, (_TILE_PX, _TILE_PX))[::step, ::step]
    tiles = views.reshape(-1, _TILE_PX, _TILE_PX)
    window = np.sqrt(bins.window)
    means = tiles.mean(axis=(1, 2), keepdims=True)
    waves = _waves((tiles - means) * window)
    made = (_back(waves * _gains(_power(waves), bins)) + means * window) * window
    result = np.zeros(padded.shape, np.float32)
    for place, tile in enumerate(made):
        y, x = (step * n for n in divmod(place, views.shape[1]))
        result[y : y + _TILE_PX, x : x + _TILE_PX] += tile
    return result[step : step + height, step : step + width]


def _gains(power: FloatArray, bins: _Bins) -> FloatArray:
    """Say what to leave of each wave: 1 beside peaks and their neighbours."""
    here, slower, around = _compared(power, bins)
    peak = here > np.maximum(slower, 3 * around)
    left = np.where(peak, np.sqrt(0.5 * around / np.maximum(here, 1e-12)).clip(0, 1), 1)
    gains = np.ones(power.shape, np.float32)
    gains.reshape(len(power), -1)[:, bins.fast] = left
    # a peak's skirts go with it; rows of a spectrum go round
    round_it = np.concatenate([gains[:, -1:], gains, gains[:, :1]], axis=1)
    return -_dilated(-round_it)[:, 1:-1]


def _compared(power: FloatArray, bins: _Bins) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give (tiles, N): the fast waves' power, that of half their frequency, and that of their ring (squared mean amplitude)."""
    flat = power.reshape(len(power), -1)
    here = flat[:, bins.fast]
    centre = np.concatenate([power[:, -_REACH:, : _REACH + 1], power[:, : _REACH + 1, : _REACH + 1]], axis=1)
    slower = _dilated(centre).reshape(len(power), -1)[:, bins.half]
    around = ((np.sqrt(here) @ bins.mean) ** 2)[:, bins.ring]
    return here, slower, np.asarray(around, np.float32)


def _dilated(planes: FloatArray) -> FloatArray:
    """Give each bin of (tiles, H, W) the largest of the 3 × 3 around it."""
    kernel, parts = np.ones((3, 3), np.uint8), []
    for start in range(0, len(planes), _CHANNELS):
        part = np.ascontiguousarray(planes[start : start + _CHANNELS].transpose(1, 2, 0))
        parts.append(cv2.dilate(part, kernel).reshape(part.shape))
    return np.asarray(np.concatenate(parts, axis=2).transpose(2, 0, 1), np.float32)


def _waves(tiles: FloatArray) -> NDArray[np.complex64]:
    from scipy.fft import rfft2  # NumPy's takes nine times as long for float32

    return np.asarray(rfft2(tiles, overwrite_x=True), np.complex64)


def _back(waves: NDArray[np.complex64]) -> FloatArray:
    from scipy.fft import irfft2

    return np.asarray(irfft2(waves, s=(_TILE_PX, _TILE_PX), overwrite_x=True), np.float32)


def _power(waves: NDArray[np.complex64]) -> FloatArray:
    return np.asarray(waves.real**2 + waves.imag**2, np.float32)


@cache
def _bins() -> _Bins:
    side, columns = _TILE_PX, _TILE_PX // 2 + 1
    fy = np.fft.fftfreq(side, 1 / side)[:, None] + np.zeros((1, columns))
    fx = np.zeros((side, 1)) + np.arange(columns)
    radius = np.hypot(fy, fx)
    inside = (radius >= _SLOWEST) & (radius <= _FASTEST)
    half = (np.rint(fy / 2) + _REACH) * (_REACH + 1) + np.rint(fx / 2)
    ring = np.rint(radius[inside]).astype(np.intp) - _SLOWEST
    member = np.zeros((len(ring), int(ring.max()) + 1), np.float32)
    member[np.arange(len(ring)), ring] = 1
    hann = np.hanning(side + 1)[:side].astype(np.float32)
    return _Bins(
        np.flatnonzero(inside),
        half[inside].astype(np.intp),
        ring,
        member / member.sum(axis=0),
        np.where((fx == 0) | (fx == side // 2), 1, 2)[inside].astype(np.float32),
        np.outer(hann, hann),
    )
