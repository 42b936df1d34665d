"""Find the x-ray in a photo: one small network sees it, another looks along its sides, wide and then narrow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.lines import Coarse, box_of, overlap, quad_of
from radsnap.flatten.quad import POSSIBLE, SURE, Points, Quad, diagonal
from radsnap.flatten.rims import rims
from radsnap.flatten.strips import COARSE, FINE, Look, comfortable, look_closer
from radsnap.imaging import Photo, averaged, corners_of, project, resizing
from radsnap.imaging.radiograph import ByteImage
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network, load
from radsnap.models.scores import head_scores, sigmoid

FloatArray = NDArray[np.float32]
# A photo is halved down to this size before anything is looked for: a phone's twelve megapixels are three times as long.
_ENOUGH_PX = 1280
_LEAST_PX = 32
_LONGEST_ASPECT = 4.0
# A wide look that moves the corners by less than _NEAR, of the diagonal, is the last, and a narrow one by less than _SETTLED.
_NEAR, _SETTLED = 0.03, 0.002
# How far the sides of the first look are drawn in for a further start.
_DRAWN_IN = 0.9
# Wide looks that end nearer to one another than this, of the diagonal, lead to the same end: the narrow one reaches further.
_SAME = 0.01


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network says of a photo: probabilities of nothing, framed and filling, of sides in view, of domains, and maps."""

    views: NDArray[np.float64]
    sides: NDArray[np.float64]
    domain: Mapping[str, float]
    maps: FloatArray


@dataclass(frozen=True, eq=False)
class Trail:
    """How corners were come by, in pixels of the photo: the first look, the last wide look along the sides, the last narrow one.

    agreement: the overlap (intersection over union) of the first look's mask and the quadrilateral at the end; rims: what lies to
    either side of its borders (see `rims`).
    """

    sight: Sight
    coarse: Coarse
    wide: Look
    last: Look
    agreement: float
    rims: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Survey:
    """What a photo shows: the x-ray's quad, None where there is none, and the scores of `digital`, `screen` and `film`.

    The scores are empty for a picture of a shape that nothing is looked for in.
    """

    quad: Quad | None
    domain: Mapping[str, float]


def find(photo: Photo, model: str | Path = "corners", closer: str | Path = "borders") -> Quad | None:
    """Find the x-ray in a photo. None where there is none, or none that a straight-sided quadrilateral fits.

    Raises WeightsError when the model cannot be loaded.
    """
    return survey(photo, model, closer).quad


def survey(photo: Photo, model: str | Path = "corners", closer: str | Path = "borders") -> Survey:
    """Find the x-ray in a photo, and say whether the picture is digital or a photo of a screen or a film.

    Raises WeightsError when the model cannot be loaded.
    """
    height, width = photo.pixels.shape[:2]
    if min(height, width) < _LEAST_PX or max(height, width) > _LONGEST_ASPECT * min(height, width):
        return Survey(None, {})
    network, second = _kept(str(model)), _kept_closer(str(closer))
    longer = max(height, width)
    enough = (width * _ENOUGH_PX // longer, height * _ENOUGH_PX // longer)
    small = photo.halved(enough)
    if small.pixels.shape[1] >= 2 * enough[0]:  # odd sides are not halved
        small = Photo(averaged(small.pixels, enough))
    sight = look(network, small)
    quad = placed(small, sight, second)
    if quad is None:
        return Survey(None, sight.domain)
    size = (small.pixels.shape[1], small.pixels.shape[0])
    corners = project(resizing(size, (width, height)), quad.corners_px)
    return Survey(replace(quad, corners_px=corners), sight.domain)


def look(network: Network, photo: Photo) -> Sight:
    """Show a photo to the network."""
    card = network.card
    small = photo.halved((2 * card.input.size_px, 2 * card.input.size_px)).pixels
    made = network.run(to_input(small, card.input)[None])
    views, sides, domain = (
        head_scores(card, made["logits"][0], card.head(name)) for name in ("view", "sides", "domain")
    )
    return Sight(np.array(list(views.values())), np.array(list(sides.values())), domain, made["heat_maps"][0])


def placed(photo: Photo, sight: Sight, closer: Network) -> Quad | None:
    """Turn what the first network saw into a quad of a photo, with closer looks by the second."""
    height, width = photo.pixels.shape[:2]
    nothing, framed, filling = (float(v) for v in sight.views)
    if filling > max(nothing, framed):
        return Quad(corners_of((width, height)), filling, cropped_already=True)
    if nothing > 0.5:
        return None
    trail = followed(photo, sight, closer)
    if trail is None:
        return None
    sure = confidence(trail)
    if sure < POSSIBLE:
        return None
    return Quad(trail.last.corners, sure, False, trail.last.seen, trail.coarse.beside > 0.25)


def followed(photo: Photo, sight: Sight, closer: Network) -> Trail | None:
    """Follow an x-ray from the first look to its borders, from further starts while the end is not sure; gives the surest.

    None where it is lost on the way.
    """
    best, surest = None, -1.0
    for trail in trails(photo, sight, closer):
        sure = confidence(trail)
        if sure > surest:
            best, surest = trail, sure
        if sure >= SURE:
            break
    return best


def trails(photo: Photo, sight: Sight, closer: Network) -> Iterator[Trail]:
    """Follow an x-ray to its borders from one start after the other: the first look's sides, the box around its mask, and those
    sides drawn in. A start from which the wide look ends where an earlier one did is left."""
    coarse = quad_of(sight.maps, sight.sides > 0.5)
    if coarse is None:
        return
    size, cells = (photo.pixels.shape[1], photo.pixels.shape[0]), (sight.maps.shape[2], sight.maps.shape[1])
    small, _ = comfortable(photo, project(resizing(cells, size), coarse.corners))
    small_size = (small.shape[1], small.shape[0])
    onto, back = resizing(cells, small_size), resizing(small_size, size)
    middle = coarse.corners.mean(axis=0)
    ended: list[Points] = []
    for start in (coarse.corners, box_of(sight.maps[0]), middle + _DRAWN_IN * (coarse.corners - middle)):
        wide = None if start is None else _looked(closer, small, project(onto, start), COARSE, _NEAR, ended)
        if wide is None:
            continue
        ended.append(wide.corners)
        last = _looked(closer, small, wide.corners, FINE, _SETTLED)
        if last is None:
            continue
        agreement, _ = overlap(sight.maps[0], project(np.linalg.inv(onto), last.corners))
        beside = rims(small, last.corners, last.seen)
        wide, last = (replace(look, corners=project(back, look.corners)) for look in (wide, last))
        yield Trail(sight, coarse, wide, last, agreement, beside)


def _looked(
    closer: Network,
    photo: ByteImage,
    corners: Points,
    reach: float,
    settled: float,
    ended: Sequence[Points] = (),
) -> Look | None:
    """Look along the sides, and once more where that moved a corner by more than `settled`, of the diagonal.

    None where nothing is found, or where earlier looks `ended`.
    """
    found = look_closer(closer, photo, corners, reach)
    if found is not None and found.moved > settled and not _is_among(found, ended):
        found = look_closer(closer, photo, found.corners, reach)
    return None if found is None or _is_among(found, ended) else found


def _is_among(found: Look, ended: Sequence[Points]) -> bool:
    return any(corner_error(found.corners, end) < _SAME for end in ended)


def features(trail: Trail) -> NDArray[np.float64]:
    """Give what confidence is judged by: each about 0 for a good quad, at most 1 for a doubtful one."""
    sight, wide, last = trail.sight, trail.wide, trail.last
    return np.array(
        [
            np.sqrt(max(1 - trail.coarse.agreement, 0)),
            np.sqrt(max(1 - trail.agreement, 0)),
            _decades(1 - float(sight.views[1]), 4),
            np.sqrt(min(wide.moved, 0.2) / 0.2),
            np.sqrt(min(last.moved, 0.02) / 0.02),
            min(wide.spread, 0.1) / 0.1,
            np.sqrt(min(last.spread, 0.03) / 0.03),
            _decades(1 - wide.clear, 3),
            _decades(1 - last.clear, 3),
            _decades(2 * wide.doubt, 4),
            _decades(2 * last.doubt, 4),
            sum(not seen for seen in last.seen) / 4,
            *trail.rims,
        ]
    )


def _decades(doubt: float, count: int) -> float:
    """Tell a doubt of a thousandth from one of a hundredth: 0 at 10^-count, 1 at 1."""
    return float(np.clip(1 + np.log10(max(doubt, 0.0) + 10.0**-count) / count, 0, 1))


def confidence(trail: Trail) -> float:
    """Give the probability that no corner is off by more than 3 % of the diagonal."""
    return probability(features(trail), _fitted())


def probability(features: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Give the logistic curve of a quadratic form of n features and 1, (n + 1, n + 1): what is doubtful before a black viewer
    need not be on a light box."""
    known = np.append(features, 1.0)
    return float(sigmoid(known @ weights @ known))


@cache
def _fitted() -> NDArray[np.float64]:
    """Read what `bench/flatten_accuracy.py --fit` wrote, of photos of the split val."""
    return np.array(json.loads(files(__package__).joinpath("confidence.json").read_text("utf-8"))["weights"])


def corner_error(found: Points, truth: Points) -> float:
    """Give the greatest distance of a corner from its truth, of the truth's diagonal; whatever corner is named first."""
    ways = [np.roll(turned, shift, axis=0) for turned in (found, found[::-1]) for shift in range(4)]
    return min(float(np.linalg.norm(way - truth, axis=1).max()) for way in ways) / diagonal(truth)


@cache
def _kept(model: str) -> Network:
    network = load(model)
    for head in ("view", "sides", "domain"):
        network.card.head(head)  # raises for another kind of network
    return network


@cache
def _kept_closer(model: str) -> Network:
    network = load(model)
    network.card.head("sides")
    return network
