"""The lines that maps' columns agree on, each column a distribution of where it meets a side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.quad import Points

FloatArray = NDArray[np.float32]
_FLOOR = 0.004  # of a profile's probability: what a finger over the side may cost at most
_NEAR = 2  # cells to either side of a line that belong to its ridge
_TRUST = 0.35  # neighbouring profiles see the same edge: that many of them count as independent


@dataclass(frozen=True, eq=False)
class Line:
    """A side in a map: (4,) x, y, x, y of two of its points in cells, how sure and how clear.

    spread_cells: the deviation of where else it may lie; clear: the mean share of a profile that lies near it.
    """

    ends: Points
    spread_cells: float
    clear: float


def lines_of(ridges: FloatArray, low: float, high: float) -> list[Line]:
    """Fit to each of several maps (N, 64, columns) the line that most of its profiles agree on.

    A column holds the probabilities of where one profile meets the side; low, high: the first and the last column that count.
    """
    columns = np.arange(max(int(np.ceil(low)), 0), min(int(np.floor(high)), ridges.shape[2] - 1) + 1)
    share = (columns - columns[0]) / (columns[-1] - columns[0])
    counted = ridges[:, :, columns]
    scores = np.log(counted + _FLOOR).reshape(len(ridges), -1)
    ends = np.arange(ridges.shape[1], dtype=np.float64)
    # half of the profiles tell where to look
    rough = np.ascontiguousarray((_lines(len(ends), len(columns)) @ scores.T).T) * np.float32(2)
    start, end = np.divmod(rough.argmax(axis=1), len(ends))
    odds = np.exp((rough - rough.max(axis=1, keepdims=True)) * np.float32(_TRUST)).reshape(
        len(ridges), len(ends), len(ends)
    )
    # by its two ends a line lies so far, squared, from the best one
    away = ((ends - ends[start, None]) ** 2)[:, :, None] + ((ends - ends[end, None]) ** 2)[:, None, :]
    spreads = np.sqrt((odds * away).sum(axis=(1, 2)) / odds.sum(axis=(1, 2)) / 2)
    rows, clears = _settled(counted, start[:, None] + share * (end - start)[:, None], share)
    return [
        Line(np.array([columns[0], row[0], columns[-1], row[-1]]), float(spread), float(clear))
        for row, spread, clear in zip(rows, spreads, clears, strict=True)
    ]


def _settled(
    ridges: FloatArray, rows: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move lines (N, columns) into the middle of the ridges around them: weighted least squares of each profile's own mean."""
    last, columns = ridges.shape[1] - 1, np.arange(ridges.shape[2])
    maps, around = np.arange(len(ridges))[:, None, None], np.arange(-_NEAR, _NEAR + 1)[:, None]
    weight = np.zeros(rows.shape)
    for _ in range(4):
        cells = np.rint(rows).astype(np.intp)[:, None, :] + around
        kept = cells.clip(0, last)
        near = np.where(kept == cells, ridges[maps, kept, columns], 0)
        weight = near.sum(axis=1)
        means = (near * cells).sum(axis=1) / np.maximum(weight, 1e-9)
        fade = weight * np.exp(-0.5 * ((means - rows) / _NEAR) ** 2) + 1e-6
        total = fade.sum(axis=1)
        middle, height = (fade @ share) / total, (fade * means).sum(axis=1) / total
        away = share - middle[:, None]
        slope = (fade * away * means).sum(axis=1) / (fade * away**2).sum(axis=1)
        rows = height[:, None] + slope[:, None] * away
    return rows, weight.mean(axis=1)


@lru_cache(maxsize=16)
def _lines(count: int, across: int) -> Any:
    """Give the sparse matrix (count², count · across) that adds up scores along the line from each row to each row.

    Every second profile counts; between two rows a line takes its share of both.
    """
    from scipy.sparse import csr_array

    columns = np.arange(0, across, 2)
    ends = np.arange(count, dtype=np.float64)
    share = columns / (across - 1)
    rows = ends[:, None, None] * (1 - share) + ends[None, :, None] * share
    rows = rows.clip(0, count - 1.001).reshape(count**2, -1)
    low = rows.astype(np.int64)
    weights = np.stack([1 - (rows - low), rows - low], axis=2)
    places = np.stack([low, low + 1], axis=2) * across + columns[:, None]
    ends_at = np.arange(count**2 + 1) * 2 * len(columns)
    shape = (count**2, count * across)
    return csr_array((weights.ravel().astype(np.float32), places.ravel(), ends_at), shape=shape)
