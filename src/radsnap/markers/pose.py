"""Where the page lies in a photo: a homography, and how the lens bends it.

Every corner of every marker that was found takes part; corners that disagree with the others do not count.
A lens takes a point at r (of half the diagonal) from r · (1 + k · r²): one number, found with the homography.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError
from radsnap.imaging.homography import Matrix, Points, homography, project
from radsnap.markers.layout import Frame

_BENDS = np.linspace(-0.04, 0.04, 33)
_MISS_FRAC = 0.004  # of the photo's diagonal: a corner further off is no corner of this page
_BEND_NEEDS = 12  # corners, so that the lens is not bent to fit the noise


@dataclass(frozen=True, eq=False)
class Pose:
    """The way from the page to the photo. matrix: page to an ideal photo; bend: the lens's k.

    size_px: the photo's (width, height); corners: how many marker corners agree; miss_px: their root mean square;
    bands: on how many of the x-ray's sides they lie. From one side the other is a guess.
    """

    matrix: Matrix
    bend: float
    size_px: tuple[int, int]
    corners: int
    miss_px: float
    bands: int

    def to_photo(self, points: Points) -> Points:
        """Take points of the page (N, 2) to the photo."""
        return _bent(project(self.matrix, points), self.bend, self.size_px)


def find_pose(frame: Frame, markers: dict[int, Points], size_px: tuple[int, int]) -> Pose | None:
    """Find the pose of a page from markers that were seen; None when fewer than two of them agree."""
    pages, photos, sides = [], [], []
    for side, band in enumerate(frame.bands):
        for box in band.cells:
            if box.marker is not None and box.marker in markers:
                pages.append(band.marker_corners(box))
                photos.append(markers[box.marker])
                sides += 4 * [side]
    if len(pages) < 2:
        return None
    page, photo = np.concatenate(pages), np.concatenate(photos)
    miss = max(_MISS_FRAC * float(np.hypot(*size_px)), 2.0)
    _, mask = cv2.findHomography(page, photo, cv2.RANSAC, miss)
    agree = np.zeros(len(page), bool) if mask is None else mask.ravel() > 0
    if agree.sum() < 8:
        return None
    page, photo = page[agree], photo[agree]
    try:
        return _fit(page, photo, size_px, len(set(np.array(sides)[agree].tolist())))
    except ImageError:
        return None


def _fit(page: Points, photo: Points, size_px: tuple[int, int], bands: int) -> Pose:
    def at(bend: float) -> tuple[float, Matrix]:
        matrix = homography(page, _straight(photo, bend, size_px))
        off = _bent(project(matrix, page), bend, size_px) - photo
        return float(np.sqrt((off**2).sum(axis=1).mean())), matrix

    plain, matrix = at(0.0)
    bend, miss = 0.0, plain
    if len(page) >= _BEND_NEEDS and bands > 1:
        misses = np.array([at(float(k))[0] for k in _BENDS])
        best = int(misses.argmin())
        fine = np.linspace(_BENDS[max(best - 1, 0)], _BENDS[min(best + 1, len(_BENDS) - 1)], 17)
        finer = min((at(float(k))[0], float(k)) for k in fine)
        # the bend must explain something; else straight lines stay straight
        if finer[0] < 0.9 * plain:
            miss, bend = finer
            matrix = at(bend)[1]
    return Pose(matrix, bend, size_px, len(page), miss, bands)


def _straight(points: Points, bend: float, size_px: tuple[int, int]) -> Points:
    """Take points of the photo to where an ideal lens would have put them."""
    middle, half = _centre(size_px)
    away = points - middle
    return np.asarray(middle + away * (1 + bend * (away**2).sum(axis=1, keepdims=True) / half**2))


def _bent(points: Points, bend: float, size_px: tuple[int, int]) -> Points:
    """Take ideal points to the photo: the inverse of `_straight`, by Newton's method on the radius."""
    if bend == 0:
        return points
    middle, half = _centre(size_px)
    away = (points - middle) / half
    want = np.maximum(np.hypot(*away.T), 1e-12)
    radius = want.copy()
    for _ in range(20):
        radius -= (radius * (1 + bend * radius**2) - want) / np.maximum(1 + 3 * bend * radius**2, 0.1)
    return np.asarray(middle + away * (radius / want)[:, None] * half)


def _centre(size_px: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    return (np.array(size_px) - 1) / 2, float(np.hypot(*size_px)) / 2


@dataclass(frozen=True)
class View:
    """How the camera stood: turn from the page's normal in degrees, and distance in widths of the x-ray."""

    tilt_deg: float
    yaw_deg: float
    pitch_deg: float
    distance_widths: float


def view_of(pose: Pose, frame: Frame, focal_frac: float | None = None) -> View:
    """Work out angle and distance from a pose.

    focal_frac: focal length over the photo's diagonal (35 mm equivalent / 43.3); by default 0.62, that of most
    phones' main camera. Distance scales with it, the angle hardly.
    """
    focal = (0.62 if focal_frac is None else focal_frac) * float(np.hypot(*pose.size_px))
    middle = (np.array(pose.size_px) - 1) / 2
    left, top, width, height = frame.xray_px
    # the page in units of the x-ray's width, its origin in the x-ray's middle
    page = np.array([[width, 0, left + (width - 1) / 2], [0, width, top + (height - 1) / 2], [0, 0, 1.0]])
    camera = np.array([[1 / focal, 0, -middle[0] / focal], [0, 1 / focal, -middle[1] / focal], [0, 0, 1.0]])
    h = camera @ pose.matrix @ page
    h = h / ((np.linalg.norm(h[:, 0]) + np.linalg.norm(h[:, 1])) / 2)
    if h[2, 2] < 0:
        h = -h
    normal = np.cross(h[:, 0], h[:, 1])
    normal = normal / np.linalg.norm(normal)
    yaw = float(np.degrees(np.arctan2(normal[0], normal[2])))
    pitch = float(np.degrees(np.arctan2(normal[1], normal[2])))
    tilt = float(np.degrees(np.arccos(np.clip(normal[2], -1, 1))))
    return View(tilt, yaw, pitch, float(np.linalg.norm(h[:, 2])))
