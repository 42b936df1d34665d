"""Draw pages: an x-ray on black with its bands, and lone tags."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from radsnap.errors import UsageError
from radsnap.extras import need
from radsnap.imaging.radiograph import ByteImage
from radsnap.markers.layout import Band, Frame, place_tag

DICTIONARY = cv2.aruco.DICT_4X4_50
_PAPER = 215  # less than white: a phone's automatic exposure should see the x-ray, not the rims
_OVERSAMPLE = 4


def draw_page(xray: ByteImage, frame: Frame, code: str | None) -> ByteImage:
    """Draw a page: uint8 (H, W) grey. xray: uint8 (h, w) of any size; code: 24 digits, or None for no markers.

    The x-ray is resized to its box, by area where it shrinks.
    """
    if xray.ndim != 2 or xray.dtype != np.uint8:
        raise UsageError(f"a page shows uint8 grey pixels (H, W), got {xray.dtype} {xray.shape}")
    left, top, width, height = frame.xray_px
    page = np.zeros(frame.page_px[::-1], np.uint8)
    shrinks = width < xray.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    page[top : top + height, left : left + width] = cv2.resize(xray, (width, height), interpolation=method)
    if code is not None:
        for band in frame.bands:
            _draw_band(page, band, code)
    return page


def draw_tag(code: str, length_px: int) -> ByteImage:
    """Draw a lone tag: uint8 (length / 4, length), markers at its ends and the code twice between them."""
    band = place_tag((-0.5, -0.5), float(length_px))
    tag = np.full((round(length_px * band.cell), length_px), 255, np.uint8)
    _draw_band(tag, band, code, paper=255)
    return tag


def _draw_band(page: ByteImage, band: Band, code: str, paper: int = _PAPER) -> None:
    for box in band.cells:
        modules = marker_modules(box.marker) if box.marker is not None else code_modules(code)
        _stamp(page, band.corners(box), modules, paper)


def _stamp(page: ByteImage, corners: np.ndarray, modules: ByteImage, paper: int) -> None:
    """Put a grid of modules (1 is dark) into its box; edges between pixels become grey, so that none moves."""
    (x0, y0), (x1, y1) = corners[0] + 0.5, corners[2] + 0.5
    left, top = int(np.floor(x0)), int(np.floor(y0))
    right, bottom = int(np.ceil(x1)), int(np.ceil(y1))
    fine = _OVERSAMPLE
    xs = (np.arange((right - left) * fine) + 0.5) / fine + left
    ys = (np.arange((bottom - top) * fine) + 0.5) / fine + top
    count = modules.shape[0]
    columns = np.floor((xs - x0) / (x1 - x0) * count).astype(int)
    rows = np.floor((ys - y0) / (y1 - y0) * count).astype(int)
    inside = np.outer((rows >= 0) & (rows < count), (columns >= 0) & (columns < count))
    picture = np.where(modules[np.ix_(rows.clip(0, count - 1), columns.clip(0, count - 1))] > 0, 0, paper)
    light = np.where(inside, picture, 0).reshape(bottom - top, fine, right - left, fine).mean(axis=(1, 3))
    cover = inside.reshape(bottom - top, fine, right - left, fine).mean(axis=(1, 3))
    # what hangs over the page's edge is cut off
    rows_in = slice(max(top, 0), min(bottom, page.shape[0]))
    columns_in = slice(max(left, 0), min(right, page.shape[1]))
    part = (
        slice(rows_in.start - top, rows_in.stop - top),
        slice(columns_in.start - left, columns_in.stop - left),
    )
    below = page[rows_in, columns_in]
    page[rows_in, columns_in] = np.rint(below * (1 - cover[part]) + light[part]).astype(np.uint8)


@lru_cache(maxsize=64)
def marker_modules(marker: int) -> ByteImage:
    """Give a marker's modules (8, 8) with the white rim; 1 is dark."""
    drawn = cv2.aruco.getPredefinedDictionary(DICTIONARY).generateImageMarker(marker, 6, borderBits=1)
    return np.pad(np.asarray(drawn < 128, np.uint8), 1)


@lru_cache(maxsize=64)
def code_modules(code: str) -> ByteImage:
    """Give the Data Matrix (18, 18) of 24 digits with the white rim; 1 is dark."""
    zxing = need("zxingcpp", "web")
    picture = np.array(zxing.create_barcode(code, zxing.BarcodeFormat.DataMatrix).to_image())
    modules = np.asarray(picture < 128, np.uint8)
    if modules.shape == (16, 16):
        modules = np.pad(modules, 1)
    if modules.shape != (18, 18):
        raise UsageError(f"a code is 24 digits, got {len(code)} characters that need {modules.shape} modules")
    return modules
