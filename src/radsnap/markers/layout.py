"""Where things lie on a page: the x-ray in the middle, a band of markers and codes on two of its sides.

A band is as long as the x-ray's side beside it: marker, code, marker, code, marker. Everything in a band is
measured in its own length, so that a band is read before it is known which x-ray lies beside it. Both bands
say the same: a hidden corner, a hand or a reflection on one of them does no harm.

Coordinates are page pixels, pixel (0, 0) with its centre at (0, 0). On "columns" the bands stand left and
right of the x-ray, on "rows" above and below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.homography import Points

Side = Literal["columns", "rows"]
CELL = 0.17  # the side of a marker or code with its white rim, of the band's length
GAP = 0.03  # between x-ray and band
MARKER_MODULES, CODE_MODULES = 8, 18  # with a white rim of one module
_SLOTS = 5
_MARKERS, _CODES = (0, 2, 4), (1, 3)
_FIRST_ID = {"columns": 0, "rows": 6}
TAG_ID = 12
_TAG_SLOTS = ("marker", "code", "code", "marker")


@dataclass(frozen=True)
class Box:
    """A square cell in a band: its place along the band (0 to 1) and the id of its marker; a code has none."""

    start: float
    marker: int | None


@dataclass(frozen=True)
class Band:
    """A row of cells. origin: the corner of the first cell; along, across: steps of one band length."""

    origin: tuple[float, float]
    along: tuple[float, float]
    across: tuple[float, float]
    cells: tuple[Box, ...]
    cell: float

    def corners(self, box: Box, inset: float = 0.0) -> Points:
        """Give a cell's corners (4, 2), as it is printed: top-left first, clockwise; inset of its side."""
        rim = inset * self.cell
        low, high = rim, self.cell - rim
        square = np.array([[low, low], [high, low], [high, high], [low, high]])
        if self.along[0] == 0:  # the band runs down: along is y
            points = square + np.array([0, box.start])
            return np.asarray(np.array(self.origin) + points * np.array([self.across[0], self.along[1]]))
        points = square + np.array([box.start, 0])
        return np.asarray(np.array(self.origin) + points * np.array([self.along[0], self.across[1]]))

    def marker_corners(self, box: Box) -> Points:
        """Give the black square's corners: where detectors look."""
        return self.corners(box, 1 / MARKER_MODULES)


@dataclass(frozen=True)
class Frame:
    """A page: its size, the x-ray's box in it (left, top, width, height; whole pixels), and the two bands."""

    page_px: tuple[int, int]
    xray_px: tuple[int, int, int, int]
    side: Side
    bands: tuple[Band, ...]

    @property
    def corners(self) -> Points:
        """The x-ray's outer corners on the page (4, 2)."""
        left, top, width, height = self.xray_px
        right, bottom = left + width, top + height
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - 0.5


def place(page_px: tuple[int, int], xray_px: tuple[int, int], share: float) -> Frame:
    """Lay out a page. page_px, xray_px: (width, height); share: of the page that x-ray and frame take, 0.2 to 1.

    The bands go where the x-ray comes out larger. Raises UsageError for a page too small for readable codes.
    """
    if not 0.2 <= share <= 1:
        raise UsageError(f"the frame takes 0.2 to 1 of the page, got {share}")
    if min(*page_px, *xray_px) < 1:
        raise UsageError(f"page and x-ray have pixels, got {page_px} and {xray_px}")
    (page_w, page_h), (width, height) = page_px, xray_px
    grow = 2 * (CELL + GAP)
    scales: dict[Side, float] = {
        "columns": min(share * page_w / (width + grow * height), share * page_h / height),
        "rows": min(share * page_w / width, share * page_h / (height + grow * width)),
    }
    side: Side = "columns" if scales["columns"] >= scales["rows"] else "rows"
    w, h = (max(round(n * scales[side]), 1) for n in xray_px)
    left, top = (page_w - w) // 2, (page_h - h) // 2
    length = h if side == "columns" else w
    if CELL * length < 2 * CODE_MODULES:
        raise UsageError(
            f"on a page of {page_w} × {page_h} px the codes of this x-ray would have {CELL * length:.0f} px; "
            f"they need {2 * CODE_MODULES}: use a larger window or share"
        )
    return Frame(page_px, (left, top, w, h), side, _bands(left, top, w, h, side))


def place_tag(origin: tuple[float, float], length: float) -> Band:
    """Lay out a lone band of two markers and two codes, to stand beside a film or a picture of another viewer."""
    cell = 1 / len(_TAG_SLOTS)
    cells = tuple(Box(i * cell, {0: TAG_ID, 3: TAG_ID + 1}.get(i)) for i in range(len(_TAG_SLOTS)))
    return Band(origin, (length, 0.0), (0.0, length), cells, cell)


def unit_bands() -> dict[str, Band]:
    """Give the bands that may be seen, in units of their own length: each is found without knowing its page."""
    bands = {}
    for side in ("columns", "rows"):
        for index in (0, 1):
            bands[f"{side}{index}"] = _band((0.0, 0.0), 1.0, side, index)
    return {**bands, "tag": place_tag((0.0, 0.0), 1.0)}


def to_page(band: Band) -> NDArray[np.float64]:
    """Give the map (3, 3) from a band's own units to the page."""
    step = band.along[0] + band.along[1]
    return np.array([[step, 0, band.origin[0]], [0, step, band.origin[1]], [0, 0, 1.0]])


def _bands(left: int, top: int, w: int, h: int, side: Side) -> tuple[Band, ...]:
    starts: tuple[tuple[float, float], ...]
    if side == "columns":
        starts = ((left - (CELL + GAP) * h, top), (left + w + GAP * h, top))
        length = h
    else:
        starts = ((left, top - (CELL + GAP) * w), (left, top + h + GAP * w))
        length = w
    return tuple(_band((x - 0.5, y - 0.5), float(length), side, index) for index, (x, y) in enumerate(starts))


def _band(origin: tuple[float, float], length: float, side: str, index: int) -> Band:
    step = (1 - CELL) / (_SLOTS - 1)
    first = _FIRST_ID[side] + len(_MARKERS) * index
    ids = {slot: first + i for i, slot in enumerate(_MARKERS)}
    cells = tuple(Box(slot * step, ids.get(slot)) for slot in range(_SLOTS))
    if side == "columns":
        return Band(origin, (0.0, length), (length, 0.0), cells, CELL)
    return Band(origin, (length, 0.0), (0.0, length), cells, CELL)
