"""From a photo and its quad to a picture like the digital x-ray: straight, upright, grey, glare marked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten import moire
from radsnap.flatten.orientation import Orientation, orientation, upright
from radsnap.flatten.quad import Points, Quad
from radsnap.imaging import Photo, Radiograph, averaged, compose, corners_of, homography, project, resizing
from radsnap.imaging.radiograph import ByteImage

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
LONGEST_PX = 2048
_GLARE_FROM = 250
# A phone's main camera sees about 70 degrees: its focal length is 0.75 of the photo's longer side; more after a crop.
FOCAL_FRAC = 0.9
# Weaker moiré moves readings by an eighth at most; photos without any measure 0.002 at most (bench/flatten_moire.py).
MOIRE_FROM = 0.02


@dataclass(frozen=True, eq=False)
class Straight:
    """A photo's x-ray, straightened.

    radiograph: its pixels, bone bright; homography: 3×3 from pixels of the photo to pixels of the
    radiograph; glare: (H, W), true where light hides the x-ray; lies: how it lay before (None where that
    was not asked); turned: whether it was put upright; moire: how strong it was before it was reduced.
    """

    radiograph: Radiograph
    homography: NDArray[np.float64]
    glare: Mask
    lies: Orientation | None
    turned: bool
    moire: float = 0.0


def rectify(photo: Photo, quad: Quad) -> Radiograph:
    """Straighten a photo's x-ray: right aspect ratio, upright, grey, less moiré. See `straighten` for all that is known of it."""
    return straighten(photo, quad).radiograph


def straighten(photo: Photo, quad: Quad, longest_px: int = LONGEST_PX, turn: bool = True) -> Straight:
    """Straighten a photo's x-ray to at most longest_px, and put it upright when sure how it lies.

    turn: whether it may be turned; leave that out for other x-rays than frontal chests.
    """
    corners = quad.corners_px
    height, width = photo.pixels.shape[:2]
    size = size_of(corners, (width, height), longest_px)
    flat, matrix = cut_out(photo, corners, size)
    grey = np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), np.uint8)
    lies = orientation(grey.astype(np.float32) / np.float32(255)) if turn else None
    turned = lies is not None and lies.sure and not lies.upright
    if turned and lies is not None:
        back = _turning(lies, size)
        grey, flat = _turned(grey, lies), _turned(flat, lies)
        matrix = compose(matrix, back)
    glare = glare_of(flat)
    pixels = toned(grey, glare)
    strength = moire.strength(moire.shrunk(pixels))
    striped = strength >= MOIRE_FROM
    done = "straightened from a photo" + ", turned upright" * turned + ", moire reduced" * striped
    radiograph = Radiograph(
        moire.reduced(pixels) if striped else pixels,
        None,
        replace(photo.provenance, steps=(*photo.provenance.steps, done)),
    )
    return Straight(radiograph, matrix, glare, lies, turned, strength)


def cut_out(photo: Photo, corners: Points, size: tuple[int, int]) -> tuple[ByteImage, NDArray[np.float64]]:
    """Cut a quadrilateral out of a photo as a picture of (width, height), its first corner at the upper left.

    Gives the homography from the photo's pixels to the picture's too. What lies outside repeats the edge.
    """
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    smaller, shrink = shrunk_around(photo, corners, max(size) / float(edges.max()))
    onto = homography(project(shrink, corners), corners_of(size))
    return _warped(smaller, onto, size), compose(shrink, onto)


def size_of(corners: Points, photo_size: tuple[int, int], longest_px: int = LONGEST_PX) -> tuple[int, int]:
    """Give the (width, height) at which a quadrilateral of a photo (width, height) loses no detail."""
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    wide, tall = float(max(edges[0], edges[2])), float(max(edges[1], edges[3]))
    aspect = aspect_of(corners, photo_size)
    # keep the area that the photo shows
    side = float(np.sqrt(wide * tall))
    width, height = side * np.sqrt(aspect), side / np.sqrt(aspect)
    scale = min(1.0, longest_px / max(width, height))
    return max(round(width * scale), 8), max(round(height * scale), 8)


def aspect_of(corners: Points, photo_size: tuple[int, int]) -> float:
    """Give a rectangle's width over its height from its four corners in a photo (width, height).

    The columns of K⁻¹H are the rectangle's sides before the camera (Hartley & Zisserman, 8.1.1). K's focal
    length is taken for a phone's: to find it from the corners (Zhang and He, Whiteboard scanning and image
    enhancement, 2007) was worse on simulated photos, whose perspective is mostly weak.
    """
    width, height = photo_size
    focal = FOCAL_FRAC * max(width, height)
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    sides = np.linalg.inv(camera) @ homography(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float), corners)
    return float(np.linalg.norm(sides[:, 0]) / np.linalg.norm(sides[:, 1]))


def glare_of(flat: ByteImage) -> Mask:
    """Mark where light hides the x-ray in RGB (H, W, 3): all colours burnt out, and a seam around."""
    longer = max(flat.shape[:2])
    red, green, blue = cv2.split(flat)  # NumPy is slow where the last axis has three steps
    burnt = (cv2.min(cv2.min(red, green), blue) >= _GLARE_FROM).astype(np.uint8)
    side = max(round(longer / 100), 1)
    solid = cv2.morphologyEx(burnt, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    seam = cv2.dilate(solid, np.ones((2 * side + 1, 2 * side + 1), np.uint8))
    return np.asarray(seam > 0)


def toned(grey: ByteImage, glare: Mask) -> FloatArray:
    """Stretch grey (H, W) from its darkest to its brightest trustworthy pixels: float32 in [0, 1]."""
    small = grey[:: max(grey.shape[0] // 256, 1), :: max(grey.shape[1] // 256, 1)]
    hidden = glare[:: max(grey.shape[0] // 256, 1), :: max(grey.shape[1] // 256, 1)]
    kept = small[~hidden] if (~hidden).mean() > 0.2 else small
    low, high = (float(v) for v in np.percentile(kept, [0.5, 99.5]))
    if high - low < 8:
        low, high = 0.0, 255.0
    table = ((np.arange(256, dtype=np.float32) - low) / (high - low)).clip(0, 1)
    return np.asarray(cv2.LUT(grey, table.astype(np.float32)), np.float32)


def shrunk_around(
    photo: Photo,
    corners: Points,
    scale: float,
    shown: Callable[[ByteImage], ByteImage] = lambda pixels: pixels,
) -> tuple[ByteImage, NDArray[np.float64]]:
    """Average what lies around a quadrilateral of a photo down by `scale`, where that is much smaller.

    shown: what is made of its pixels before. Gives the map from the photo's pixels to the result's too.
    """
    height, width = photo.pixels.shape[:2]
    pixels = photo.halved((math.ceil(width * scale), math.ceil(height * scale))).pixels
    rows, columns = pixels.shape[:2]
    halving = resizing((width, height), (columns, rows))
    scale *= width / columns
    if scale > 0.7:
        return shown(pixels), halving
    corners, seam = project(halving, corners), 4 / scale
    left, right = _span(corners[:, 0].min() - seam, corners[:, 0].max() + seam, columns)
    top, bottom = _span(corners[:, 1].min() - seam, corners[:, 1].max() + seam, rows)
    size = (right - left, bottom - top)
    small = (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1))
    moved = np.array([(1, 0, -left), (0, 1, -top), (0, 0, 1)], np.float64)
    return averaged(shown(pixels[top:bottom, left:right]), small), compose(
        halving, moved, resizing(size, small)
    )


def _span(first: float, last: float, end: int) -> tuple[int, int]:
    """Give the pixels of 0 to `end` from first to last, a few more where that makes them a multiple of 8, which is quick to halve."""
    stop = min(max(int(-(-last // 8)) * 8, 1), end)
    start = stop + int((max(first, 0) - stop) // 8) * 8
    return min(max(start, 0), stop - 1), stop


def _warped(pixels: ByteImage, matrix: NDArray[np.float64], size: tuple[int, int]) -> ByteImage:
    # what was cropped away repeats the edge: black there would pass for a border of the film
    made = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.uint8)


def _turned(picture: ByteImage, lies: Orientation) -> ByteImage:
    """Undo a turn, then a mirroring."""
    back = np.rot90(picture, lies.quarter_turns)
    return np.ascontiguousarray(back[:, ::-1] if lies.mirrored else back)


def _turning(lies: Orientation, size: tuple[int, int]) -> NDArray[np.float64]:
    """Give the map from a picture of (width, height) to itself put upright."""
    own = corners_of(size)
    turned_size = size if lies.quarter_turns % 2 == 0 else (size[1], size[0])
    return homography(upright(own, lies), corners_of(turned_size))
