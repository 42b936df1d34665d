"""Propose which x-ray a photo without codes shows, by what is in it. A person decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radsnap.errors import ImageError
from radsnap.imaging import read_radiograph
from radsnap.imaging.homography import corners_of, is_convex, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.jobs.capturing.intake import PHOTO_BOUNDS
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.progress import Progress, Report, silent

_XRAY_PX, _PHOTO_PX = 512, 1200
_POINTS = 800
_NEARER = 0.8  # a match is nearer than the next best by this much (Lowe 2004, 7.1)
_LEAST = 12
_BEST = 3


@dataclass(frozen=True)
class Likeness:
    """A guess: the photo may show this picture. matches: points that lie where one plane puts them."""

    file: Path
    number: int
    image_id: str
    matches: int
    corners_px: list[list[float]]


class Likenesses:
    """Compares photos with x-rays by their local features (SIFT) under one homography."""

    def __init__(self, session: Session, numbers: Sequence[int]) -> None:
        self.session, self.numbers = session, list(numbers)
        self.find: Any = cv2.SIFT.create(nfeatures=_POINTS)
        self._rows: dict[int, tuple[Any, Any, tuple[int, int]]] = {}

    def propose(self, files: Sequence[Path], report: Report = silent) -> list[Likeness]:
        """Give up to three guesses a photo, the best first; none where nothing fits."""
        found = []
        for done, path in enumerate(files):
            found += self.of(path)
            report(Progress(done + 1, len(files), "comparing photos without codes"))
        return found

    def of(self, path: Path) -> list[Likeness]:
        """Guess one photo."""
        try:
            grey = np.rint(read_radiograph(path, PHOTO_BOUNDS, at_least_px=_PHOTO_PX).pixels * 255)
        except ImageError:
            return []
        photo, scale = _reduced(grey.astype(np.uint8), _PHOTO_PX)
        points, marks = self.find.detectAndCompute(photo, None)
        if marks is None:
            return []
        guesses = []
        seen: set[int] = set()
        for number in self.numbers:
            row, _ = self.session.place_of(number)
            if row in seen:
                continue  # another condition of the same x-ray looks the same
            seen.add(row)
            fitted = self._fit(row, points, marks)
            if fitted is not None:
                matches, corners = fitted
                at = ((corners + 0.5) / scale - 0.5).round(1)
                guesses.append(Likeness(path, number, self.session.image_id(number), matches, at.tolist()))
        return sorted(guesses, key=lambda one: -one.matches)[:_BEST]

    def _xray(self, row: int) -> tuple[Any, Any, tuple[int, int]]:
        if row not in self._rows:
            xray, _ = _reduced(self.session.xray(row), _XRAY_PX)
            points, marks = self.find.detectAndCompute(xray, None)
            self._rows[row] = (points, marks, (xray.shape[1], xray.shape[0]))
        return self._rows[row]

    def _fit(self, row: int, points: Any, marks: Any) -> tuple[int, Any] | None:
        try:
            theirs, their_marks, size = self._xray(row)
        except ImageError:
            return None
        if their_marks is None or len(their_marks) < _LEAST or len(marks) < 2:
            return None
        pairs = cv2.BFMatcher().knnMatch(their_marks, marks, k=2)
        near = [best for best, other in pairs if best.distance < _NEARER * other.distance]
        if len(near) < _LEAST:
            return None
        source = np.array([theirs[match.queryIdx].pt for match in near])
        target = np.array([points[match.trainIdx].pt for match in near])
        matrix, mask = cv2.findHomography(source, target, cv2.RANSAC, 5.0)
        matches = 0 if mask is None else int(mask.sum())
        if matrix is None or matches < _LEAST:
            return None
        corners = project(matrix, corners_of(size))
        return (matches, corners) if np.isfinite(corners).all() and is_convex(corners) else None


def _reduced(image: ByteImage, longer_px: int) -> tuple[ByteImage, float]:
    scale = min(longer_px / max(image.shape), 1.0)
    if scale == 1.0:
        return image, 1.0
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale
