"""A closer look at a quadrilateral's sides: a strip of the photo along each, and where in it the x-ray's border lies."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.lines import completed
from radsnap.flatten.profiles import lines_of
from radsnap.flatten.quad import Points, area, diagonal, meet
from radsnap.imaging import Photo, averaged, corners_of, project, resizing
from radsnap.imaging.radiograph import ByteImage
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network

# Four strips, one below the other, make one square picture: 256 px along the side, 64 across it.
LONG_PX, WIDE_PX = 256, 64
CELLS, COLUMNS = 64, 32
ALONG_PX = LONG_PX // COLUMNS
# How far a strip reaches beyond either end of its side, of the side's length.
BEYOND = 0.1
# How far strips reach to either side of the border, of the diagonal: first wide, then narrow.
COARSE, FINE = 0.14, 0.045
# Strips are cut from a photo in which the x-ray's diagonal has no more pixels than this: a pixel is a fifth of a hundredth.
_DIAGONAL_PX = 450.0
# Nothing in a photo looks like this: it stands for what lies outside of the photo.
OUTSIDE = (255, 0, 255)


@dataclass(frozen=True, eq=False)
class Look:
    """What a closer look found, in pixels of the photo.

    corners: (4, 2); seen: the sides in view; spread: the greatest deviation of where else a seen side may
    lie, of the diagonal; clear: the least mean share of a seen side's profiles that lies near it; doubt: how near a side
    came to being taken for seen or unseen, 0 to 0.5; moved: by how much the corners moved at most, of the diagonal.
    """

    corners: Points
    seen: tuple[bool, bool, bool, bool]
    spread: float
    clear: float
    doubt: float
    moved: float


def look_closer(network: Network, photo: ByteImage, corners: Points, reach: float) -> Look | None:
    """Look along the sides of a quadrilateral of a photo (H, W, 3), so far to either side (of its diagonal).

    None where no sound quadrilateral is there.
    """
    placed = placements(corners, reach)
    made = network.run(to_input(laid(photo, placed), network.card.input)[None])
    in_view = 1 / (1 + np.exp(-made["logits"][0].astype(np.float64)))
    size = diagonal(corners)
    lines, seen = np.full((4, 3), np.nan), in_view > 0.5
    if not seen.any():
        return None
    sides = np.flatnonzero(seen)
    found = lines_of(made["heat_maps"][0, sides], *_own_cells())
    for side, line in zip(sides, found, strict=True):
        ends = project(np.linalg.inv(placed[side]), _in_px(line.ends))
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        normal = np.array([along[1], -along[0]])
        lines[side] = (*normal, float(normal @ ends[0]))
    height, width = photo.shape[:2]
    away = meet(completed(lines, seen, corners_of((width, height))))
    if away is None or not np.isfinite(away).all() or area(away) < 0.2 * abs(area(corners)):
        return None
    one, two, three, four = (bool(s) for s in seen)
    return Look(
        away,
        (one, two, three, four),
        max(line.spread_cells for line in found) * 2 * reach / CELLS,
        min(line.clear for line in found),
        float(np.minimum(in_view, 1 - in_view).max()),
        float(np.linalg.norm(away - corners, axis=1).max()) / size,
    )


def comfortable(photo: Photo, corners: Points) -> tuple[ByteImage, Points]:
    """Bring a photo to where a quadrilateral's diagonal has at most 450 px, its corners with it: pixels (H, W, 3) and corners."""
    scale = _DIAGONAL_PX / diagonal(corners)
    if scale > 0.9:
        return photo.pixels, corners
    height, width = photo.pixels.shape[:2]
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    return averaged(photo.halved(size).pixels, size), project(resizing((width, height), size), corners)


def placements(corners: Points, reach: float) -> NDArray[np.float64]:
    """Give the maps (4, 3, 3) from a photo to the strip along each side, outside up and the side along its middle row."""
    made = np.empty((4, 3, 3))
    far = reach * diagonal(corners)
    for side in range(4):
        start, end = corners[side], corners[(side + 1) % 4]
        run = end - start
        along = run / max(float(np.linalg.norm(run)), 1e-9)
        inward = np.array([-along[1], along[0]])
        at = np.stack([start - BEYOND * run, end + BEYOND * run]).astype(np.float32)
        at = np.stack([at[0] - far * inward, at[1] - far * inward, at[0] + far * inward]).astype(np.float32)
        onto = np.array([(-0.5, -0.5), (LONG_PX - 0.5, -0.5), (-0.5, WIDE_PX - 0.5)], np.float32)
        made[side] = np.vstack([cv2.getAffineTransform(at, onto), (0, 0, 1)])
    return made


def laid(photo: ByteImage, placed: NDArray[np.float64]) -> ByteImage:
    """Cut the strips of four maps out of a photo (H, W, 3), one below the other: (256, 256, 3)."""
    strips = [
        cv2.warpAffine(
            photo,
            onto[:2],
            (LONG_PX, WIDE_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=OUTSIDE,
        )
        for onto in placed
    ]
    return np.asarray(np.vstack(strips), np.uint8)


def _own_cells() -> tuple[float, float]:
    """Give the first and the last column of a strip's map that lie on the side itself."""
    share = BEYOND / (1 + 2 * BEYOND)
    return share * COLUMNS, (1 - share) * COLUMNS - 1


def _in_px(ends: Points) -> Points:
    """Bring a line's ends from cells (column, row, column, row) to pixels of the strip (2, 2)."""
    cells = ends.reshape(2, 2)
    return np.asarray((cells + 0.5) * (ALONG_PX, WIDE_PX // CELLS) - 0.5)
