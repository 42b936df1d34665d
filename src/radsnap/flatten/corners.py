"""Find the x-ray in a photo: a small network sees it, the picture's own edges place it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.edges import refine
from radsnap.flatten.lines import Coarse, quad_of
from radsnap.flatten.quad import POSSIBLE, Points, Quad, diagonal
from radsnap.imaging import Photo, corners_of, project, resizing
from radsnap.imaging.radiograph import ByteImage
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network, load

FloatArray = NDArray[np.float32]
# Edges are looked for in a photo of this size: finer than the corners' error, coarse enough for moiré to fade.
_EDGES_AT_PX = 1280
_LEAST_PX = 32
_LONGEST_ASPECT = 4.0
# What the edges may move a corner by, of the diagonal, before the network's own corners are kept.
_MOVED_AT_MOST = 0.03


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network says of a photo: probabilities of nothing, framed and filling, of sides in view, and maps."""

    views: NDArray[np.float64]
    sides: NDArray[np.float64]
    maps: FloatArray


def find(photo: Photo, model: str | Path = "corners") -> Quad | None:
    """Find the x-ray in a photo. None where there is none, or none that a straight-sided quadrilateral fits.

    Raises WeightsError when the model cannot be loaded.
    """
    height, width = photo.pixels.shape[:2]
    if min(height, width) < _LEAST_PX or max(height, width) > _LONGEST_ASPECT * min(height, width):
        return None
    network = _kept(str(model))
    pixels = _reduced(photo.pixels)
    sight = look(network, pixels)
    quad = placed(pixels, sight)
    if quad is None:
        return None
    size = (pixels.shape[1], pixels.shape[0])
    corners = project(resizing(size, (width, height)), quad.corners_px)
    return Quad(corners, quad.confidence, quad.cropped_already, quad.sides_seen, quad.others)


def look(network: Network, pixels: ByteImage) -> Sight:
    """Show a photo (H, W, 3) to the network."""
    made = network.run(to_input(pixels, network.card.input)[None])
    logits = made["logits"][0].astype(np.float64)
    powers = np.exp(logits[:3] - logits[:3].max())
    return Sight(powers / powers.sum(), 1 / (1 + np.exp(-logits[3:7])), made["heat_maps"][0])


def placed(pixels: ByteImage, sight: Sight) -> Quad | None:
    """Turn what the network saw into a quad of a photo (H, W, 3)."""
    height, width = pixels.shape[:2]
    nothing, framed, filling = (float(v) for v in sight.views)
    if filling > max(nothing, framed):
        return Quad(corners_of((width, height)), filling, cropped_already=True)
    if nothing > 0.5:
        return None
    coarse = quad_of(sight.maps, sight.sides > 0.5)
    if coarse is None:
        return None
    cells = resizing((sight.maps.shape[2], sight.maps.shape[1]), (width, height))
    corners = project(cells, coarse.corners)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    refined = refine(grey, corners, coarse.seen)
    if refined.moved <= _MOVED_AT_MOST:
        corners = refined.corners
    sure = confidence(sight, coarse, refined.moved, refined.held)
    if sure < POSSIBLE:
        return None
    return Quad(corners, sure, False, coarse.seen, coarse.beside > 0.25)


def features(sight: Sight, coarse: Coarse, moved: float, held: float) -> NDArray[np.float64]:
    """Give what confidence is judged by: each about 0 for a good quad, larger for a doubtful one."""
    doubt_sides = float(np.minimum(sight.sides, 1 - sight.sides).max())
    return np.array(
        [
            1 - coarse.agreement,
            1 - coarse.support,
            min(coarse.spread_cells, 6) / 6,
            1 - float(sight.views[1]),
            doubt_sides,
            min(moved, 0.06) / 0.06,
            1 - held,
            sum(not seen for seen in coarse.seen) / 4,
        ]
    )


# Fitted by bench/flatten_accuracy.py --fit on photos of the split val.
_WEIGHTS = np.array([-0.14, -2.85, -0.3, -0.2, -0.61, -3.03, -2.14, 0.0])
_BIAS = 3.09


def confidence(sight: Sight, coarse: Coarse, moved: float, held: float) -> float:
    """Give the probability that no corner is off by more than 3 % of the diagonal: a logistic curve of `features`."""
    return float(1 / (1 + np.exp(-(features(sight, coarse, moved, held) @ _WEIGHTS + _BIAS))))


def corner_error(found: Points, truth: Points) -> float:
    """Give the greatest distance of a corner from its truth, of the truth's diagonal; whatever corner is named first."""
    ways = [np.roll(turned, shift, axis=0) for turned in (found, found[::-1]) for shift in range(4)]
    return min(float(np.linalg.norm(way - truth, axis=1).max()) for way in ways) / diagonal(truth)


def _reduced(pixels: ByteImage) -> ByteImage:
    height, width = pixels.shape[:2]
    scale = _EDGES_AT_PX / max(height, width)
    if scale >= 1:
        return pixels
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _kept(model: str) -> Network:
    network = load(model)
    network.card.head("view"), network.card.head("sides")  # raise for another kind of network
    return network
