"""A stored picture's x-ray, straightened to be looked at; and its heat maps, straightened with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UnreadableImage
from radsnap.flatten.straightening import cut_out
from radsnap.imaging import Photo, corners_of, encode_jpeg, homography, warp
from radsnap.reading.heatmaps import ByteArray

LONGEST_PX = 2048
Outline = Mapping[str, Any]  # an Outline's JSON


def straightened(picture: bytes, outline: Outline) -> bytes:
    """Cut the x-ray out of a stored picture (a JPEG's bytes), straight and upright, as a JPEG."""
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise UnreadableImage("the stored picture is broken; restore it from a backup, or delete the case")
    pixels = np.asarray(decoded, np.uint8)
    corners = _corners_px(outline, pixels)
    return encode_jpeg(cut_out(Photo(pixels), corners, _size(corners, outline, LONGEST_PX))[0], 90)


def straightened_heat(heat: ByteArray, outline: Outline) -> ByteArray:
    """Cut the x-ray's part out of a heat map over the whole picture: uint8 (h, w), dark where there is none."""
    corners = _corners_px(outline, heat)
    size = _size(corners, outline, max(heat.shape))
    return warp(heat, homography(corners, corners_of(size)), size, "linear", "constant")


def _corners_px(outline: Outline, pixels: ByteArray) -> NDArray[np.float64]:
    return np.asarray(outline["corners"], np.float64) * (pixels.shape[1], pixels.shape[0]) - 0.5


def _size(corners: NDArray[np.float64], outline: Outline, longest_px: int) -> tuple[int, int]:
    """Give the (width, height) that keeps the detail of a picture's x-ray in the x-ray's own aspect."""
    edge = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).max())
    longest, aspect = min(max(edge, 16.0), longest_px), float(outline["aspect"])
    wide, tall = (longest, longest / aspect) if aspect > 1 else (longest * aspect, longest)
    return max(round(wide), 1), max(round(tall), 1)
