"""Find the x-ray in a photo: one small network sees it, another looks closer, the picture's own edges place it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.closer import Closer, look_closer
from radsnap.flatten.edges import Refined, refine
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
_LOOKS = 3
# A look that moves the corners by less than this, of the diagonal, is the last.
_SETTLED = 0.004


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network says of a photo: probabilities of nothing, framed and filling, of sides in view, and maps."""

    views: NDArray[np.float64]
    sides: NDArray[np.float64]
    maps: FloatArray


@dataclass(frozen=True, eq=False)
class Trail:
    """How corners were come by: the first look, the closer ones in turn, and the edges."""

    sight: Sight
    coarse: Coarse
    looks: tuple[Closer, ...]
    refined: Refined
    corners: Points


def find(photo: Photo, model: str | Path = "corners", closer: str | Path = "borders") -> Quad | None:
    """Find the x-ray in a photo. None where there is none, or none that a straight-sided quadrilateral fits.

    Raises WeightsError when the model cannot be loaded.
    """
    height, width = photo.pixels.shape[:2]
    if min(height, width) < _LEAST_PX or max(height, width) > _LONGEST_ASPECT * min(height, width):
        return None
    network, second = _kept(str(model)), _kept_closer(str(closer))
    pixels = _reduced(photo.pixels)
    quad = placed(pixels, look(network, pixels), second)
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


def placed(pixels: ByteImage, sight: Sight, closer: Network) -> Quad | None:
    """Turn what the first network saw into a quad of a photo (H, W, 3), with closer looks by the second."""
    height, width = pixels.shape[:2]
    nothing, framed, filling = (float(v) for v in sight.views)
    if filling > max(nothing, framed):
        return Quad(corners_of((width, height)), filling, cropped_already=True)
    if nothing > 0.5:
        return None
    trail = followed(pixels, sight, closer)
    if trail is None:
        return None
    sure = confidence(trail)
    if sure < POSSIBLE:
        return None
    return Quad(trail.corners, sure, False, trail.looks[-1].seen, trail.coarse.beside > 0.25)


def followed(pixels: ByteImage, sight: Sight, closer: Network) -> Trail | None:
    """Follow an x-ray from the first look to its edges. None where it is lost on the way."""
    coarse = quad_of(sight.maps, sight.sides > 0.5)
    if coarse is None:
        return None
    height, width = pixels.shape[:2]
    corners = project(resizing((sight.maps.shape[2], sight.maps.shape[1]), (width, height)), coarse.corners)
    looks: list[Closer] = []
    for _ in range(_LOOKS):
        found = look_closer(closer, pixels, corners)
        if found is None:
            return None
        looks.append(found)
        corners = found.corners
        if found.moved < _SETTLED:
            break
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    refined = refine(grey, corners, looks[-1].seen, onto_dark=False)
    if refined.moved <= _MOVED_AT_MOST:
        corners = refined.corners
    return Trail(sight, coarse, tuple(looks), refined, corners)


def features(trail: Trail) -> NDArray[np.float64]:
    """Give what confidence is judged by: each about 0 for a good quad, at most 1 for a doubtful one."""
    sight, last, first = trail.sight, trail.looks[-1], trail.looks[0]
    return np.array(
        [
            np.sqrt(max(1 - trail.coarse.agreement, 0)),
            _decades(1 - float(sight.views[1]), 4),
            np.sqrt(min(first.moved, 0.2) / 0.2),
            np.sqrt(min(last.moved, 0.02) / 0.02),
            min(last.spread, 0.1) / 0.1,
            _decades(1 - last.clear, 3),
            _decades(2 * last.doubt, 4),
            np.sqrt(min(trail.refined.moved, 0.04) / 0.04),
            1 - trail.refined.held,
            sum(not seen for seen in last.seen) / 4,
        ]
    )


def _decades(doubt: float, count: int) -> float:
    """Tell a doubt of a thousandth from one of a hundredth: 0 at 10^-count, 1 at 1."""
    return float(np.clip(1 + np.log10(max(doubt, 0.0) + 10.0**-count) / count, 0, 1))


# Fitted by bench/flatten_accuracy.py --fit on photos of the split val.
_WEIGHTS = np.array([-0.69, -0.15, -0.97, -0.7, -0.27, -2.3, -1.4, -0.73, -1.82, -0.14])
_BIAS = 4.62


def confidence(trail: Trail) -> float:
    """Give the probability that no corner is off by more than 3 % of the diagonal: a logistic curve of `features`."""
    return float(1 / (1 + np.exp(-(features(trail) @ _WEIGHTS + _BIAS))))


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


@cache
def _kept_closer(model: str) -> Network:
    network = load(model)
    network.card.head("sides")
    return network
