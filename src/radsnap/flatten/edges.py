"""Move a quadrilateral's sides onto the picture's edges, to a fraction of a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.quad import Points, diagonal, meet

FloatArray = NDArray[np.float32]
_PROFILES = 120
_REACH = 0.03  # of the diagonal, to either side of the line
_PRIOR = 0.012
_TILTS = 15
_GREY_STEP = 0.4  # of 255: what rounding alone makes


@dataclass(frozen=True, eq=False)
class Refined:
    """Corners moved onto the edges; moved: by how much at most, of the diagonal; held: the least share of a side on its edge."""

    corners: Points
    moved: float
    held: float


def refine(
    grey: FloatArray, corners: Points, seen: tuple[bool, bool, bool, bool], onto_dark: bool = True
) -> Refined:
    """Fit each seen side to the edge near it in grey (H, W); a side without a clear edge stays where it is.

    onto_dark: whether a side may move onto an edge that is darker within. A film's black rim makes such
    an edge, a little outside of the x-ray's own border.
    """
    reach = _REACH * diagonal(corners)
    lines, shares = np.empty((4, 3)), []
    for side in range(4):
        start, end = corners[side], corners[(side + 1) % 4]
        found = _fitted(grey, start, end, reach) if seen[side] else None
        if found is None or (found[2] > 0 and not onto_dark):
            lines[side] = _through(start, end)
        else:
            lines[side] = found[0]
        if seen[side]:
            shares.append(0.0 if found is None else found[1])
    made = meet(lines)
    if made is None:
        return Refined(corners, 0.0, 0.0)
    moved = float(np.linalg.norm(made - corners, axis=1).max()) / diagonal(corners)
    return Refined(made, moved, min(shares, default=0.0))


def _through(start: Points, end: Points) -> Points:
    """Give the line through two corners, its normal to the outside of a clockwise polygon."""
    along = (end - start) / np.linalg.norm(end - start)
    normal = np.array([along[1], -along[0]])
    return np.array([*normal, float(normal @ start)])


def _fitted(grey: FloatArray, start: Points, end: Points, reach: float) -> tuple[Points, float, float] | None:
    """Find the straight edge nearest to a side: its line, the share of the side's profiles that lie on it, and 1 where it is brighter outside, else -1."""
    length = float(np.linalg.norm(end - start))
    normal = _through(start, end)[:2]
    share = np.linspace(0.04, 0.96, _PROFILES)
    feet = start + share[:, None] * (end - start)
    inside = ((feet > 1) & (feet < np.array(grey.shape[::-1]) - 2)).all(axis=1)
    if inside.sum() < _PROFILES // 5 or length < 16:
        return None
    steps = max(int(np.ceil(reach)), 4)
    step_px = reach / steps
    offsets = np.arange(-steps - 1, steps + 2) * step_px
    at = (feet[:, None, :] + offsets[None, :, None] * normal).astype(np.float32)
    profiles = np.asarray(
        cv2.remap(grey, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
    profiles = cv2.GaussianBlur(profiles, (5, 5), 1.0)
    slope = (profiles[:, 2:] - profiles[:, :-2])[inside]
    places = share[inside] - 0.5
    best, sign = _vote(slope, places, steps, float(_PRIOR / _REACH))
    sharp = (
        None if best is None else _sharpened(slope * sign, places, best, steps, step_px, feet[inside], normal)
    )
    return None if sharp is None else (*sharp, sign)


def _vote(
    slope: FloatArray, places: NDArray[np.float64], steps: int, prior: float
) -> tuple[tuple[float, float] | None, float]:
    """Choose offset and tilt (in steps) of the straight edge that most profiles share, one sign for all of it."""
    # a profile says where its edge is, not how strong: a few bright letters must not outvote a faint border
    level = np.abs(slope).mean(axis=1, keepdims=True) + np.median(np.abs(slope)) + _GREY_STEP
    votes = np.tanh(slope / (2.5 * level))
    count = slope.shape[1]
    tilts = np.linspace(-0.8, 0.8, _TILTS) * steps
    # far tilts and offsets cost: the network is rarely wrong by more than a cell
    cost = np.exp(-0.5 * ((np.arange(count) - steps) / (prior * steps)) ** 2)
    best, choice, sign = 0.0, None, 1.0
    rows = np.arange(len(places))[:, None]
    for tilt in tilts:
        columns = np.rint(np.arange(count)[None, :] + tilt * places[:, None]).astype(int)
        within = (columns >= 0) & (columns < count)
        moved = np.where(within, votes[rows, columns.clip(0, count - 1)], 0)
        total = moved.mean(axis=0) * (0.15 + 0.85 * cost) * (1 - 0.25 * abs(tilt) / steps)
        place = int(np.abs(total).argmax())
        if abs(total[place]) > best:
            best, choice, sign = (
                float(abs(total[place])),
                (float(place), float(tilt)),
                float(np.sign(total[place])),
            )
    return (choice if best > 0.12 else None), sign


def _sharpened(
    slope: FloatArray,
    places: NDArray[np.float64],
    best: tuple[float, float],
    steps: int,
    step_px: float,
    feet: Points,
    normal: Points,
) -> tuple[Points, float] | None:
    """Fit the line through each profile's own edge near the voted one; twice, since the vote's steps are coarse."""
    count, near = slope.shape[1], max(2, round(steps / 12))
    centre = best[0] + best[1] * places
    line, held = None, 0.0
    for _ in range(2):
        columns = np.rint(centre[:, None]).astype(int) + np.arange(-near, near + 1)[None, :]
        within = (columns >= 0) & (columns < count)
        local = np.where(within, slope[np.arange(len(places))[:, None], columns.clip(0, count - 1)], 0).clip(
            0
        )
        weight = local.sum(axis=1)
        if float((weight > 0).mean()) < 0.3:
            return None
        held = float((local.max(axis=1) > 0.5 * np.abs(slope).max(axis=1)).mean())
        place = (local * columns).sum(axis=1) / np.maximum(weight, 1e-9)
        points = feet + ((place - steps) * step_px)[:, None] * normal
        line = _fit(points, np.minimum(weight, np.median(weight[weight > 0])), 1.2 * step_px * near, normal)
        if line is None:
            return None
        centre = steps + (line[2] - feet @ line[:2]) / (normal @ line[:2]) / step_px
    return None if line is None else (line, held)


def _fit(points: Points, trust: NDArray[np.float64], reach_px: float, normal: Points) -> Points | None:
    """Fit a line (normal, offset) by weighted total least squares, outliers fading out."""
    weight, line = trust, None
    for _ in range(4):
        if weight.sum() < 1e-9:
            return None
        middle = (points * weight[:, None]).sum(axis=0) / weight.sum()
        centred = points - middle
        _, axes = np.linalg.eigh((centred * weight[:, None]).T @ centred)
        across = axes[:, 0] if axes[:, 0] @ normal > 0 else -axes[:, 0]
        weight = trust * np.exp(-0.5 * (centred @ across / reach_px) ** 2)
        line = np.array([*across, float(across @ middle)])
    return line
