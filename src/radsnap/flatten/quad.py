"""The x-ray's four corners in a photo, with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
SIDES = ("top", "right", "bottom", "left")

# Of 3,976 simulated photos of validation x-rays 17 % reached it, 0.5 % of these wrong by more than 3 % (docs/flatten.md).
SURE = 0.985
# Below this a quad is not worth reading: off by 5 to 15 %, as most of less than 0.2 are, it still reads better than the
# photo as it is (docs/flatten.md).
POSSIBLE = 0.05


@dataclass(frozen=True, eq=False)
class Quad:
    """Where an x-ray lies in a photo.

    corners_px: (4, 2), x and y in pixel centres, clockwise as the photo shows them from its upper left;
    they may lie outside the photo. confidence: the probability, in [0, 1], that no corner is off by more
    than 3 % of the x-ray's diagonal. cropped_already: the photo shows nothing but the x-ray, and the
    corners are the photo's own. sides_seen: top, right, bottom, left; a side that is not seen was cropped
    away, and the photo's edge stands for it. others: further x-rays beside this one.
    """

    corners_px: Points
    confidence: float
    cropped_already: bool = False
    sides_seen: tuple[bool, bool, bool, bool] = (True, True, True, True)
    others: bool = False

    @property
    def sure(self) -> bool:
        """Whether the quad may be used without asking a person."""
        return self.confidence >= SURE

    def to_json(self) -> dict[str, object]:
        """Give the quad as JSON's types."""
        return {
            "corners_px": [[round(float(v), 2) for v in corner] for corner in self.corners_px],
            "confidence": round(self.confidence, 4),
            "cropped_already": self.cropped_already,
            "sides_seen": dict(zip(SIDES, self.sides_seen, strict=True)),
            "others": self.others,
        }


def cross(a: Points, b: Points) -> NDArray[np.float64]:
    """Give the third component of the cross product of plane vectors (..., 2)."""
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def meet(lines: Points) -> Points | None:
    """Give the corners where each of four lines (normal x, normal y, offset) meets the one before; None if two are parallel."""
    before = np.roll(lines, 1, axis=0)
    depth = cross(before[:, :2], lines[:, :2])
    if (np.abs(depth) < 1e-3).any():
        return None
    x = (before[:, 2] * lines[:, 1] - lines[:, 2] * before[:, 1]) / depth
    y = (before[:, 0] * lines[:, 2] - lines[:, 0] * before[:, 2]) / depth
    return np.stack([x, y], axis=1)


def area(corners: Points) -> float:
    """Give a polygon's area, positive where it runs clockwise on a picture (y down)."""
    return float(cross(corners, np.roll(corners, -1, axis=0)).sum()) / 2


def diagonal(corners: Points) -> float:
    """Give the mean length of a quadrilateral's diagonals."""
    return float(np.linalg.norm(corners[2] - corners[0]) + np.linalg.norm(corners[3] - corners[1])) / 2
