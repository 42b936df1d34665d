"""A closer look at a quadrilateral: its surroundings laid square, and a line fitted to each side seen there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.lines import completed
from radsnap.flatten.quad import Points, area, diagonal, meet
from radsnap.imaging import compose, corners_of, homography, project, resizing
from radsnap.imaging.radiograph import ByteImage
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network

FloatArray = NDArray[np.float32]
INPUT_PX = 256
MAP_PX = 64
_CELL_PX = INPUT_PX // MAP_PX
# What of the quadrilateral's own side is shown beyond it: the first look is rarely farther off.
MARGIN = 0.2
# Nothing in a photo looks like this: it stands for what lies outside of the photo.
OUTSIDE = (255, 0, 255)
_FLOOR = 0.004  # of a profile's probability: what a finger over the side may cost at most
_NEAR = 2  # cells to either side of a line that belong to its ridge
_TRUST = 0.35  # neighbouring profiles see the same edge: that many of them count as independent


@dataclass(frozen=True, eq=False)
class Closer:
    """What a closer look found, in pixels of the photo.

    corners: (4, 2); seen: the sides in view; spread: the greatest deviation of where else a seen side may
    lie, of the diagonal; clear: the least mean share of a seen side's profiles that lies near it; doubt: how near a side came
    to being taken for seen or unseen, 0 to 0.5; moved: by how much the corners moved at most, of the diagonal.
    """

    corners: Points
    seen: tuple[bool, bool, bool, bool]
    spread: float
    clear: float
    doubt: float
    moved: float


@dataclass(frozen=True, eq=False)
class Line:
    """A side in the square picture: (4,) x, y, x, y of two of its points in cells, how sure and how clear.

    spread_cells: the deviation of where else it may lie; clear: the mean share of a profile that lies near it.
    """

    ends: Points
    spread_cells: float
    clear: float


def look_closer(network: Network, photo: ByteImage, corners: Points) -> Closer | None:
    """Look at a quadrilateral of a photo (H, W, 3) and its surroundings. None where no sound quadrilateral is there."""
    picture, onto = square_up(photo, corners)
    made = network.run(to_input(picture, network.card.input)[None])
    in_view = 1 / (1 + np.exp(-made["logits"][0].astype(np.float64)))
    ridges = made["heat_maps"][0]
    height, width = photo.shape[:2]
    frame = (project(onto, corners_of((width, height))) + 0.5) / _CELL_PX - 0.5
    cells = (MAP_PX - 1) / 2 + (corners_of((MAP_PX, MAP_PX)) - (MAP_PX - 1) / 2) / (1 + 2 * MARGIN)
    fitted: dict[int, Line] = {}
    for _ in range(2):  # once as far as the supposed corners reach, then between the found ones
        fitted = {s: line for s in range(4) if in_view[s] > 0.5 and (line := _side(ridges[s], cells, s))}
        found = _corners(fitted, frame)
        if found is None:
            return None
        cells = found
    away = project(np.linalg.inv(onto), (cells + 0.5) * _CELL_PX - 0.5)
    if not np.isfinite(away).all() or area(away) < 0.2 * abs(area(corners)):
        return None
    one, two, three, four = (s in fitted for s in range(4))
    return Closer(
        away,
        (one, two, three, four),
        max(line.spread_cells for line in fitted.values()) / diagonal(cells),
        min(line.clear for line in fitted.values()),
        float(np.minimum(in_view, 1 - in_view).max()),
        float(np.linalg.norm(away - corners, axis=1).max()) / diagonal(corners),
    )


def _side(ridge: FloatArray, cells: Points, side: int) -> Line | None:
    """Fit a side between two corners: top and bottom by columns, right and left by rows."""
    along = side % 2
    low, high = sorted((float(cells[side, along]), float(cells[(side + 1) % 4, along])))
    return line_of(ridge if along == 0 else ridge.T, low + 0.5, high - 0.5)


def _corners(fitted: dict[int, Line], frame: Points) -> Points | None:
    """Let the fitted sides meet, the photo's edges (frame, in cells) standing for the others."""
    if not fitted:
        return None
    lines, seen = np.full((4, 3), np.nan), np.zeros(4, bool)
    for side, line in fitted.items():
        points = line.ends.reshape(2, 2) if side % 2 == 0 else line.ends.reshape(2, 2)[:, ::-1]
        start, end = points if side < 2 else points[::-1]
        along = (end - start) / np.linalg.norm(end - start)
        normal = np.array([along[1], -along[0]])
        lines[side], seen[side] = (*normal, float(normal @ start)), True
    corners = meet(completed(lines, seen, frame))
    if corners is None or not np.isfinite(corners).all() or area(corners) < MAP_PX:
        return None
    return corners


def square_up(photo: ByteImage, corners: Points) -> tuple[ByteImage, NDArray[np.float64]]:
    """Lay a quadrilateral of a photo (H, W, 3) and its margin square; gives the picture and the map from the photo."""
    height, width = photo.shape[:2]
    inner = corners_of((INPUT_PX, INPUT_PX))
    middle = (INPUT_PX - 1) / 2
    onto = homography(corners, middle + (inner - middle) / (1 + 2 * MARGIN))
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    scale = INPUT_PX / (1 + 2 * MARGIN) / float(edges.max())
    if scale < 0.7:  # average down first: to skip pixels would show moiré that is not there
        size = (max(round(width * scale), 8), max(round(height * scale), 8))
        photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
        step = compose(resizing(size, (width, height)), onto)
    else:
        step = onto
    made = cv2.warpPerspective(
        photo,
        step,
        (INPUT_PX, INPUT_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=OUTSIDE,
    )
    return np.asarray(made, np.uint8), onto


def line_of(ridge: FloatArray, low: float, high: float) -> Line | None:
    """Fit the line that most profiles agree on.

    ridge: (64, 64), each column the probabilities of where one profile meets the side; low, high: the first
    and last column that count. None where hardly a column is left.
    """
    columns = np.arange(max(int(np.ceil(low)), 0), min(int(np.floor(high)), ridge.shape[1] - 1) + 1)
    if len(columns) < 6:
        return None
    share = (columns - columns[0]) / (columns[-1] - columns[0])
    count = ridge.shape[0]
    scores = np.log(ridge[:, columns] + _FLOOR)
    every = slice(None, None, 2)
    ends = np.arange(count, dtype=np.float64)
    rough = _scored(scores[:, every], share[every], ends, ends) * 2
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
        slope, height = np.polyfit(share, means, 1, w=np.sqrt(fade))
        rows = height + slope * share
    return rows, float(weight.mean())


def _scored(
    scores: FloatArray, share: NDArray[np.float64], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the score (starts, ends) of the lines from each start to each end, between the rows where they fall."""
    rows = starts[:, None, None] * (1 - share) + ends[None, :, None] * share
    rows = rows.clip(0, scores.shape[0] - 1.001)
    low = rows.astype(int)
    part = rows - low
    columns = np.arange(scores.shape[1])
    return np.asarray(((1 - part) * scores[low, columns] + part * scores[low + 1, columns]).sum(axis=2))
