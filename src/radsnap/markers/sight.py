"""Find markers in a photo, and read the codes beside them.

Markers are searched in a reduced picture, their corners then refined in the full one. Where a band's markers
are, its codes must be: each is cut out upright and its modules sampled on their known grid, against white and
dark as they are seen around this very code. That reads codes that no search would find. What a grid gives goes
to the reader as a clean picture; only when this fails is the cut-out given to the reader as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError
from radsnap.extras import need
from radsnap.imaging.homography import Matrix, Points, homography, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.markers.draw import DICTIONARY
from radsnap.markers.identity import Claim, read_code
from radsnap.markers.layout import CODE_MODULES, Band, unit_bands

_SEARCH_PX = (1400, 2800, 900)  # longer sides of the picture that is searched, the next only when one fails
_SCALE_PX = 8  # a module's side in a cut-out
_RIM = 2  # modules around a code that are cut out with it
FloatPlane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """Markers (id → corners (4, 2) in the photo) and the codes that were read: (band, index of its code) → claim."""

    markers: dict[int, Points]
    codes: dict[tuple[str, int], Claim]


def look(grey: ByteImage) -> Seen:
    """Find markers and codes in a photo, uint8 (H, W). Looks again at other sizes while codes are missing."""
    markers: dict[int, Points] = {}
    codes: dict[tuple[str, int], Claim] = {}
    for longer in _searched(max(grey.shape)):
        found = find_markers(grey, longer)
        for marker, corners in found.items():
            markers.setdefault(marker, corners)
        for place, claim in read_codes(grey, markers, codes).items():
            codes.setdefault(place, claim)
        if len(codes) >= _expected(markers):
            break
    if not codes:
        codes = dict(_search_codes(grey))
    return Seen(markers, codes)


def find_markers(grey: ByteImage, longer_px: int) -> dict[int, Points]:
    """Find our markers; corners (4, 2) in pixels of the full picture, refined there."""
    scale = min(longer_px / max(grey.shape), 1.0)
    small = grey
    if scale < 1:
        size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
        small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    quads, ids, _ = _detector().detectMarkers(small)
    if not len(quads):
        return {}
    step = np.array([grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]])
    found: dict[int, Points] = {}
    double = set()
    for quad, name in zip(quads, ids.ravel(), strict=True):
        marker = int(name)
        if marker in found:
            double.add(marker)
        found[marker] = _refined(grey, (quad.reshape(4, 2).astype(np.float64) + 0.5) * step - 0.5)
    ours = {box.marker for band in unit_bands().values() for box in band.cells}
    # a marker that is there twice belongs to two pictures; neither can be trusted
    return {marker: corners for marker, corners in found.items() if marker in ours - double}


def read_codes(
    grey: ByteImage, markers: dict[int, Points], known: dict[tuple[str, int], Claim]
) -> dict[tuple[str, int], Claim]:
    """Read the codes of every band of which a marker was found, but those that are known."""
    found: dict[tuple[str, int], Claim] = {}
    for name, band in unit_bands().items():
        to_photo = band_pose(band, markers)
        if to_photo is None:
            continue
        for index, box in enumerate(box for box in band.cells if box.marker is None):
            if (name, index) in known:
                continue
            claim = _read_cell(grey, project(to_photo, band.corners(box)))
            if claim is not None:
                found[name, index] = claim
    return found


def band_pose(band: Band, markers: dict[int, Points]) -> Matrix | None:
    """Give the map from a band's own units to the photo, from those of its markers that were found."""
    boxes = [box for box in band.cells if box.marker in markers]
    if not boxes:
        return None
    places = np.concatenate([band.marker_corners(box) for box in boxes])
    points = np.concatenate([markers[box.marker] for box in boxes if box.marker is not None])
    try:
        return homography(places, points)
    except ImageError:
        return None


def _searched(longer: int) -> Iterator[int]:
    sizes = [min(size, longer) for size in _SEARCH_PX]
    yield from dict.fromkeys(sizes)


def _expected(markers: dict[int, Points]) -> int:
    """Say how many codes should be readable: those of the bands that are there, but two at least."""
    bands = [band for band in unit_bands().values() if any(box.marker in markers for box in band.cells)]
    return max(2 * len(bands), 2)


def _detector() -> cv2.aruco.ArucoDetector:
    settings = cv2.aruco.DetectorParameters()
    settings.adaptiveThreshWinSizeMin = 5
    settings.adaptiveThreshWinSizeMax = 45
    settings.adaptiveThreshWinSizeStep = 20
    settings.minMarkerPerimeterRate = 0.02
    settings.maxMarkerPerimeterRate = 1.2
    settings.perspectiveRemovePixelPerCell = 8
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    return cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(DICTIONARY), settings)


def _refined(grey: ByteImage, corners: Points) -> Points:
    """Move corners onto the edges around them, in a window that stays within the marker's rim."""
    module = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).min()) / 6
    reach = int(np.clip(0.6 * module, 2, 25))
    low = np.floor(corners.min(axis=0) - 3 * reach).astype(int).clip(0)
    high = np.ceil(corners.max(axis=0) + 3 * reach).astype(int)
    part = np.ascontiguousarray(grey[low[1] : high[1] + 1, low[0] : high[0] + 1])
    if min(part.shape) < 2 * reach + 6:
        return corners
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 0.01)
    given = (corners - low).astype(np.float32).reshape(-1, 1, 2)
    moved = cv2.cornerSubPix(part, given.copy(), (reach, reach), (-1, -1), rule).reshape(4, 2) + low
    near = np.hypot(*(moved - corners).T) <= reach
    return np.where(near[:, None], moved, corners)


def _read_cell(grey: ByteImage, corners: Points) -> Claim | None:
    """Read a code whose cell has these corners in the photo."""
    side = (CODE_MODULES + 2 * _RIM) * _SCALE_PX
    inner = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * CODE_MODULES * _SCALE_PX + _RIM * _SCALE_PX - 0.5
    if not np.isfinite(corners).all():
        return None
    height, width = grey.shape
    inside = (corners > -0.5).all() and (corners < [width - 0.5, height - 0.5]).all()
    edges = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    if not inside or edges.min() < 2 * CODE_MODULES:
        return None
    try:
        matrix = homography(corners, inner)
    except ImageError:
        return None
    cut = _cut(grey, corners, matrix, side, float(edges.max()))
    for modules in _sampled(cut):
        claim = _decode(np.where(np.kron(modules, np.ones((3, 3))) > 0, 0, 255).astype(np.uint8), pure=True)
        if claim is not None:
            return claim
    return _decode(cut, pure=False)


def _cut(grey: ByteImage, corners: Points, matrix: Matrix, side: int, edge: float) -> ByteImage:
    """Cut a code out upright; where it has more pixels than the cut-out, they are averaged first."""
    shrink = int(edge // (CODE_MODULES * _SCALE_PX))
    if shrink >= 2:
        low = np.floor(corners.min(axis=0) - edge / 4).astype(int).clip(0)
        high = np.ceil(corners.max(axis=0) + edge / 4).astype(int)
        part = grey[low[1] : high[1], low[0] : high[0]]
        grey = np.asarray(cv2.blur(part, (shrink, shrink)), np.uint8)
        matrix = matrix @ np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1.0]])
    return np.asarray(
        cv2.warpPerspective(
            grey, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


def _sampled(cut: ByteImage) -> Iterator[NDArray[np.uint8]]:
    """Give the modules (18, 18) of a cut-out, 1 dark, by the best of a few small shifts first."""
    smooth = cv2.blur(cut, (_SCALE_PX // 2, _SCALE_PX // 2)).astype(np.float32)
    tried = []
    for dy in (-3, 0, 3):
        for dx in (-3, 0, 3):
            start = _RIM * _SCALE_PX + _SCALE_PX // 2
            rows = start + dy + np.arange(CODE_MODULES) * _SCALE_PX
            columns = start + dx + np.arange(CODE_MODULES) * _SCALE_PX
            grid = smooth[np.ix_(rows, columns)]
            tried.append((_fit(grid), grid))
    tried.sort(key=lambda one: -one[0])
    for score, grid in tried[:3]:
        if score > 0:
            yield _thresholded(grid)


def _pattern() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Give what every code has: the white rim and the finder's white modules, and its dark ones."""
    white = np.zeros((CODE_MODULES, CODE_MODULES), bool)
    dark = np.zeros_like(white)
    white[[0, -1], :] = white[:, [0, -1]] = True
    dark[1:-1, 1] = dark[-2, 1:-1] = True  # the solid L
    dark[1, 1:-1:2] = True  # the dashes on top start dark, those on the right end dark
    white[1, 2:-1:2] = True
    dark[2:-1:2, -2] = True
    white[1:-2:2, -2] = True
    return white, dark


_WHITE, _DARK = _pattern()


def _fit(grid: FloatPlane) -> float:
    """Say how far the finder pattern stands out: 0 is not at all."""
    contrast = float(grid[_WHITE].mean() - grid[_DARK].mean())
    spread = float(grid[_WHITE].std() + grid[_DARK].std())
    return contrast / (spread + 4.0) if contrast > 6 else 0.0


def _thresholded(grid: FloatPlane) -> NDArray[np.uint8]:
    """Tell dark from white by planes through the finder's modules of each kind: light is uneven."""
    y, x = np.mgrid[:CODE_MODULES, :CODE_MODULES] / CODE_MODULES
    terms = np.stack([np.ones_like(x), x, y], axis=-1)
    planes = [
        terms @ np.linalg.lstsq(terms[mask], grid[mask].astype(np.float64), rcond=None)[0]
        for mask in (_WHITE, _DARK)
    ]
    modules = np.asarray(grid < (planes[0] + planes[1]) / 2, np.uint8)
    modules[_WHITE], modules[_DARK] = 0, 1
    return modules


def _decode(picture: ByteImage, pure: bool) -> Claim | None:
    zxing = need("zxingcpp", "web")
    for barcode in zxing.read_barcodes(
        picture, formats=zxing.BarcodeFormat.DataMatrix, is_pure=pure, try_rotate=not pure, try_invert=False
    ):
        claim = read_code(barcode.text)
        if claim is not None:
            return claim
    return None


def _search_codes(grey: ByteImage) -> Iterator[tuple[tuple[str, int], Claim]]:
    """Search the whole picture for codes, where no marker led to one."""
    zxing = need("zxingcpp", "web")
    scale = min(2000 / max(grey.shape), 1.0)
    size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    found = zxing.read_barcodes(small, formats=zxing.BarcodeFormat.DataMatrix, try_invert=False)
    for index, barcode in enumerate(found):
        claim = read_code(barcode.text)
        if claim is not None:
            yield ("search", index), claim
