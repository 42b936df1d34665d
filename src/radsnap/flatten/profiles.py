"""The line that a map's columns agree on, each a distribution of where it meets a side."""

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


def line_of(ridge: FloatArray, low: float, high: float) -> Line | None:
    """Fit the line that most profiles agree on.

    ridge: (64, 64), each column the probabilities of where one profile meets the side; low, high: the first
    and last column that count. None where hardly a column is left.
    """
    columns = np.arange(max(int(np.ceil(low)), 0), min(int(np.floor(high)), ridge.shape[1] - 1) + 1)
    if len(columns) < 6:
        return None
    share = (columns - columns[0]) / (columns[-1] - columns[0])
    scores = np.log(ridge[:, columns] + _FLOOR)
    ends = np.arange(ridge.shape[0], dtype=np.float64)
    # half of the profiles tell where to look
    rough = 2 * (_lines(ridge.shape[0], len(columns)) @ scores.ravel()).reshape(len(ends), len(ends))
    start, end = np.unravel_index(int(rough.argmax()), rough.shape)
    odds = np.exp((rough - rough.max()) * _TRUST)
    odds /= odds.sum()
    away = np.hypot(ends[:, None] - ends[start], ends[None, :] - ends[end])
    spread = float(np.sqrt((odds * away**2).sum() / 2))
    rows, clear = _settled(ridge[:, columns], ends[start] + share * (ends[end] - ends[start]), share)
    return Line(np.array([columns[0], rows[0], columns[-1], rows[-1]]), spread, clear)


def _settled(
    ridge: FloatArray, rows: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Move a line into the middle of the ridge around it: weighted least squares of each profile's own mean."""
    weight = np.zeros(len(rows))
    for _ in range(4):
        cells = np.rint(rows).astype(int)[None, :] + np.arange(-_NEAR, _NEAR + 1)[:, None]
        within = (cells >= 0) & (cells < ridge.shape[0])
        near = np.where(within, ridge[cells.clip(0, ridge.shape[0] - 1), np.arange(len(rows))], 0)
        weight = near.sum(axis=0)
        means = (near * cells).sum(axis=0) / np.maximum(weight, 1e-9)
        fade = weight * np.exp(-0.5 * ((means - rows) / _NEAR) ** 2) + 1e-6
        total = fade.sum()
        middle, height = (fade @ share) / total, (fade @ means) / total
        away = share - middle
        rows = height + (fade @ (away * means)) / (fade @ away**2) * away
    return rows, float(weight.mean())


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
