"""From the network's maps to a quadrilateral: a line through each side, and what stands for a side out of view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.quad import Points, area, cross, meet

FloatArray = NDArray[np.float32]
_WEAK = 0.15
_REACH_CELLS = 1.5
_LEAST_CELLS = 20
_OUTWARD = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)], np.float64)


@dataclass(frozen=True, eq=False)
class Coarse:
    """A quadrilateral in cells of the maps, and how well the maps agree on it.

    corners: (4, 2); seen: the sides in view; agreement: the overlap (intersection over union) of mask and
    quadrilateral; support: the least mean of a seen side's map along it; spread_cells: the greatest
    deviation of a side's map from its line; beside: the mask's share outside the quadrilateral.
    """

    corners: Points
    seen: tuple[bool, bool, bool, bool]
    agreement: float
    support: float
    spread_cells: float
    beside: float


def quad_of(maps: FloatArray, seen: NDArray[np.bool_]) -> Coarse | None:
    """Fit a quadrilateral to maps (5, h, w) in [0, 1]: mask, top, right, bottom, left. None where there is none."""
    height, width = maps.shape[1:]
    lines, spreads, seen = np.full((4, 3), np.nan), np.zeros(4), seen.copy()
    for side in range(4):
        fitted = _line(maps[1 + side], _OUTWARD[side]) if seen[side] else None
        if fitted is None:
            seen[side] = False
        else:
            lines[side], spreads[side] = fitted
    if not seen.any():
        return None
    frame = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
    lines = completed(lines, seen, frame)
    corners = meet(lines)
    if corners is None or not np.isfinite(corners).all() or not _is_sound(corners, (height, width)):
        return None
    agreement, beside = overlap(maps[0], corners)
    support = min(_support(maps[1 + s], corners[s], corners[(s + 1) % 4]) for s in range(4) if seen[s])
    one, two, three, four = (bool(s) for s in seen)
    return Coarse(corners, (one, two, three, four), agreement, support, float(spreads.max()), beside)


def _line(heat: FloatArray, outward: Points) -> tuple[Points, float] | None:
    """Fit a line (normal outward, offset) to a map by weighted total least squares, outliers fading out."""
    ys, xs = np.nonzero(heat > _WEAK)
    if len(xs) < 6:
        return None
    points = np.stack([xs, ys], axis=1).astype(np.float64)
    weight = heat[ys, xs].astype(np.float64) ** 2
    fade = weight
    normal, offset = outward, 0.0
    for _ in range(5):
        middle = (points * fade[:, None]).sum(axis=0) / fade.sum()
        centred = points - middle
        _, axes = np.linalg.eigh((centred * fade[:, None]).T @ centred)
        normal = axes[:, 0]
        away = centred @ normal
        fade = weight * np.exp(-0.5 * (away / _REACH_CELLS) ** 2)
        if fade.sum() < 1.5:
            return None
    if normal @ outward < 0:
        normal = -normal
    offset = float(normal @ ((points * fade[:, None]).sum(axis=0) / fade.sum()))
    spread = float(np.sqrt((weight * (points @ normal - offset) ** 2).sum() / weight.sum()))
    return np.array([*normal, offset]), spread


def completed(lines: Points, seen: NDArray[np.bool_], frame: Points) -> Points:
    """Put a line for each side that is not seen: parallel to its opposite (or square to a neighbour), as far out as the photo reaches."""
    lines = lines.copy()
    visible = frame
    for side in np.flatnonzero(seen):
        visible = _clip(visible, lines[side])
    for side in np.flatnonzero(~seen):
        opposite = (side + 2) % 4
        if seen[opposite]:
            normal = -lines[opposite, :2]
        else:
            near = next((n for n in ((side + 1) % 4, (side + 3) % 4) if seen[n]), None)
            normal = _OUTWARD[side] if near is None else _square_to(lines[near, :2], _OUTWARD[side])
        reach = (visible if len(visible) else frame) @ normal
        lines[side] = (*normal, float(reach.max()))
    return lines


def _square_to(normal: Points, outward: Points) -> Points:
    turned = np.array([-normal[1], normal[0]])
    return turned if turned @ outward > 0 else -turned


def _clip(polygon: Points, line: Points) -> Points:
    """Keep what of a polygon lies inside a line (Sutherland and Hodgman)."""
    kept: list[Points] = []
    away = polygon @ line[:2] - line[2]
    for i in range(len(polygon)):
        j = (i + 1) % len(polygon)
        if away[i] <= 0:
            kept.append(polygon[i])
        if (away[i] < 0 < away[j]) or (away[j] < 0 < away[i]):
            share = away[i] / (away[i] - away[j])
            kept.append(polygon[i] + share * (polygon[j] - polygon[i]))
    return np.array(kept).reshape(-1, 2)


def _is_sound(corners: Points, size: tuple[int, int]) -> bool:
    """Tell whether corners run clockwise, turn the same way at each, and bound neither a sliver nor a plain."""
    edges = np.roll(corners, -1, axis=0) - corners
    turns = cross(edges, np.roll(edges, -1, axis=0))
    lengths = np.linalg.norm(edges, axis=1)
    whole = size[0] * size[1]
    return bool((turns > 0).all() and lengths.min() > 3 and 0.01 * whole < area(corners) < 6 * whole)


def box_of(mask: FloatArray) -> Points | None:
    """Give the corners, in cells, of the smallest box around a mask's largest piece, from the upper left. None for hardly any mask."""
    pieces, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    piece = max(pieces, key=cv2.contourArea, default=None)
    if piece is None or cv2.contourArea(piece) < _LEAST_CELLS:
        return None
    corners = np.asarray(cv2.boxPoints(cv2.minAreaRect(piece)), np.float64)
    edges = np.roll(corners, -1, axis=0) - corners
    return np.asarray(np.roll(corners, -int(np.argmax(edges[:, 0] / np.linalg.norm(edges, axis=1))), axis=0))


def overlap(mask: FloatArray, corners: Points) -> tuple[float, float]:
    """Give the overlap (intersection over union) of a mask and a quadrilateral, and the mask's share outside it."""
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.rint(corners.clip(-2000, 2000) * 16).astype(np.int32), 1, shift=4)
    inside, wanted = drawn > 0, mask > 0.5
    both, either = int((inside & wanted).sum()), int((inside | wanted).sum())
    spare = int((wanted & ~inside).sum())
    return both / max(either, 1), spare / max(int(wanted.sum()), 1)


def _support(heat: FloatArray, start: Points, end: Points) -> float:
    """Give the mean of a side's map along the side, where it is in view."""
    at = start + np.linspace(0.04, 0.96, 48)[:, None] * (end - start)
    within = ((at >= 0) & (at <= np.array(heat.shape[::-1]) - 1)).all(axis=1)
    if not within.any():
        return 0.0
    cells = np.rint(at[within]).astype(int)
    return float(heat[cells[:, 1], cells[:, 0]].mean())
