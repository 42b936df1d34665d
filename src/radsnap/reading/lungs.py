"""Where the lungs are: a network's maps become a mask with two sides, areas, and what the picture cuts off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.models.card import Card
from radsnap.reading.diagnosis import Remark
from radsnap.reading.heatmaps import HeatMaps
from radsnap.reading.stages import Runner

FloatArray = NDArray[np.float32]
Bools = NDArray[np.bool_]
Labels = NDArray[np.uint8]
ImageSide = Literal["left", "right"]
HEAD = "masks"

# A region below this share of the largest is a speck, not a lung; and below this share of the picture no lung at all.
_SPECK = 0.1
_NO_LUNG = 0.005
# Two lungs that touch are parted where they are thinnest: eroded to a half at most, into parts of a fifth at least.
_LESSER_LUNG = 0.2
_ERODED_TO = 0.5
# A lung that covers this share of a border's length goes on behind it. Of 290 human masks 17 do.
CUT_OFF_SHARE = 0.05
# Human masks fill 24 to 49 % of nine x-rays in ten; in photos from afar it is much less.
SMALL_SHARE = 0.05
# Heat maps are coarse: a picture this long is fine enough to compare them with a mask.
_COMPARED_AT_PX = 256


@dataclass(frozen=True, eq=False)
class Chest:
    """What a network saw of a chest, at its own resolution and over the part of the picture that it saw.

    lungs and heart: logits (h, w), specks taken out; heart is None where the network does not know it. sides:
    uint8 (h, w), for every place the nearest lung: 1 the one on the image's left, 2 on its right, 0 where the sides
    are not told apart, for the `reason`.
    """

    lungs: FloatArray
    heart: FloatArray | None
    sides: Labels
    reason: str | None
    fit: str = "stretch"

    def mask(self, height: int, width: int) -> Bools:
        """The lungs at a picture's size: bool (height, width)."""
        return _enlarged(self.lungs, height, width, self.fit) > 0

    def heart_mask(self, height: int, width: int) -> Bools | None:
        """The heart at a picture's size, or None."""
        return None if self.heart is None else _enlarged(self.heart, height, width, self.fit) > 0

    def labels(self, height: int, width: int) -> Labels:
        """The lungs at a picture's size by the image's side: 1 left, 2 right, 0 outside or not told apart."""
        size = _seen(height, width, self.fit)
        near = cv2.resize(self.sides, size[::-1], interpolation=cv2.INTER_NEAREST)
        return np.asarray(_placed(near, height, width) * self.mask(height, width), dtype=np.uint8)


@dataclass(frozen=True)
class Lung:
    """One lung: where it is in the image, whose side that is when the image is not mirrored, and its area."""

    image_side: ImageSide
    patient_side: ImageSide
    share: float
    area_px: int
    area_mm2: float | None


@dataclass(frozen=True)
class Measures:
    """What is measured of the lungs in a picture.

    share: of the picture's area. sides is empty, and the cardiothoracic ratio None, for the reasons beside them.
    cut_off: the picture's borders that a lung goes over. mm² where the picture knows its spacing.
    """

    area_px: int
    area_mm2: float | None
    share: float
    sides: tuple[Lung, ...]
    sides_reason: str | None
    cardiothoracic_ratio: float | None
    ratio_reason: str | None
    cut_off: tuple[str, ...]


_SIDES: tuple[tuple[int, ImageSide, ImageSide], ...] = ((1, "left", "right"), (2, "right", "left"))


def read_lungs(network: Runner, image: FloatArray) -> Chest:
    """Ask a network where lungs and heart are in an input (channels, size, size)."""
    maps = network.run(image[None])["logits"][0]
    return chest_of(maps, network.card)


def chest_of(maps: FloatArray, card: Card) -> Chest:
    """Make a chest of a network's maps, logits (classes, h, w). Raises WeightsError when it knows no lungs."""
    classes = card.head(HEAD).classes
    lungs = _without_specks(maps[classes.index("lungs")], most=2)
    heart = _without_specks(maps[classes.index("heart")], most=1) if "heart" in classes else None
    sides, reason = tell_apart(lungs > 0)
    return Chest(lungs, heart, sides, reason, card.input.fit)


def measure(chest: Chest, height: int, width: int, spacing_mm: tuple[float, float] | None = None) -> Measures:
    """Measure the lungs at a picture's size. spacing_mm: (row, column) of a pixel of that size."""
    labels, mask = chest.labels(height, width), chest.mask(height, width)
    pixel_mm2 = None if spacing_mm is None else spacing_mm[0] * spacing_mm[1]

    def mm2(area_px: int) -> float | None:
        return None if pixel_mm2 is None else area_px * pixel_mm2

    area = int(mask.sum())
    sides = []
    if chest.reason is None:
        # the viewer faces the patient: the image's left is the patient's right, unless somebody mirrored it
        for label, here, there in _SIDES:
            pixels = int((labels == label).sum())
            sides.append(Lung(here, there, pixels / mask.size, pixels, mm2(pixels)))
    ratio, why_not = cardiothoracic_ratio(chest)
    return Measures(
        area, mm2(area), area / mask.size, tuple(sides), chest.reason, ratio, why_not, cut_off(chest)
    )


def cardiothoracic_ratio(chest: Chest) -> tuple[float | None, str | None]:
    """Give the heart's width over that of both lungs with what lies between, or None and the reason."""
    if chest.heart is None:
        return None, "the model does not know the heart"
    if chest.reason is not None:
        return None, chest.reason
    if not (chest.heart > 0).any():
        return None, "no heart was found"
    if set(cut_off(chest)) & {"left", "right"}:
        return None, "the picture cuts the lungs off at its side"
    heart, lungs = (np.flatnonzero((part > 0).any(axis=0)) for part in (chest.heart, chest.lungs))
    return float((heart[-1] - heart[0] + 1) / (lungs[-1] - lungs[0] + 1)), None


def cut_off(chest: Chest) -> tuple[str, ...]:
    """Name the borders of the picture that the lungs go over: top, bottom, left, right."""
    inside = chest.lungs > 0
    borders = {"top": inside[0], "bottom": inside[-1], "left": inside[:, 0], "right": inside[:, -1]}
    return tuple(name for name, border in borders.items() if border.mean() > CUT_OFF_SHARE)


def tell_apart(inside: Bools) -> tuple[Labels, str | None]:
    """Say for every place (h, w) which lung is nearest: 1 on the image's left, 2 on its right.

    Zeros, and a reason, where there are not two lungs side by side.
    """
    nothing = np.zeros(inside.shape, np.uint8)
    if not inside.any():
        return nothing, "no lungs were found"
    seeds = _two_seeds(inside)
    if seeds is None:
        return nothing, "one lung was found, not two"
    (x_1, y_1), (x_2, y_2) = (_centre(seed) for seed in seeds)
    if abs(x_1 - x_2) < abs(y_1 - y_2):
        return nothing, "no two lungs lie side by side: one is missing, or the picture is turned"
    left, right = seeds if x_1 < x_2 else seeds[::-1]
    away_left, away_right = (_distance(seed) for seed in (left, right))
    return np.where(away_left <= away_right, 1, 2).astype(np.uint8), None


def heat_inside(chest: Chest, heat_maps: HeatMaps, height: int, width: int) -> dict[str, dict[str, float]]:
    """Give the share of each finding's heat that lies in the lungs, and in the chest that they span.

    The chest is the convex hull of the lungs: heart and mediastinum are in it. height and width are the
    picture's. Findings without heat are left out.
    """
    scale = _COMPARED_AT_PX / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    lungs = chest.mask(rows, columns).astype(np.uint8)
    regions = {"lungs": lungs, "chest": _hull(lungs)}
    shares = {}
    covered: dict[tuple[int, ...], dict[str, FloatArray]] = {}  # the maps of a network have one shape
    for name, heat in heat_maps.maps.items():
        total = float(heat.sum())
        if total <= 0:
            continue
        if heat.shape not in covered:
            covered[heat.shape] = {
                region: _cells(mask, (heat.shape[0], heat.shape[1]), heat_maps.fit)
                for region, mask in regions.items()
            }
        shares[name] = {
            region: float((heat * cells).sum()) / total for region, cells in covered[heat.shape].items()
        }
    return shares


def lung_remarks(measures: Measures) -> tuple[Remark, ...]:
    """Say what of the lungs the picture leaves out."""
    if measures.share < _NO_LUNG:
        return (
            Remark(
                "no lungs", "No lungs were found; take the whole chest into the picture, upright.",
                measures.share, _NO_LUNG,
            ),
        )  # fmt: skip
    found = []
    if measures.cut_off:
        borders = " and ".join(measures.cut_off)
        found.append(
            Remark(
                "cut off", f"The lungs are cut off ({borders}); take the whole chest into the picture.",
                float(len(measures.cut_off)), 0.0,
            )
        )  # fmt: skip
    if measures.share < SMALL_SHARE:
        found.append(
            Remark(
                "far", f"The lungs fill {measures.share:.0%} of the picture; go closer.",
                measures.share, SMALL_SHARE,
            )
        )  # fmt: skip
    return tuple(found)


def to_json(measures: Measures) -> dict[str, Any]:
    """Give what JSON holds of measures: shares of the picture, areas by side, the ratio, what is cut off."""
    return {
        "share": round(measures.share, 4),
        "area_px": measures.area_px,
        "area_mm2": _whole(measures.area_mm2),
        "sides": [
            {
                "image": lung.image_side,
                "patient": lung.patient_side,
                "share": round(lung.share, 4),
                "area_px": lung.area_px,
                "area_mm2": _whole(lung.area_mm2),
            }
            for lung in measures.sides
        ],
        "sides_reason": measures.sides_reason,
        "cardiothoracic_ratio": measures.cardiothoracic_ratio and round(measures.cardiothoracic_ratio, 3),
        "ratio_reason": measures.ratio_reason,
        "cut_off": list(measures.cut_off),
    }


def in_diagnosis(chest: Chest, heat_maps: HeatMaps | None, height: int, width: int) -> Coverage:
    """Judge how a picture of this size covers the lungs, and how much of each heat map lies in them.

    Areas are given as shares: they are measured on a small picture, which costs a millisecond.
    """
    scale = _COMPARED_AT_PX / max(height, width)
    measures = measure(chest, max(1, round(height * scale)), max(1, round(width * scale)))
    said = to_json(measures)
    for part in (said, *said["sides"]):
        del part["area_px"], part["area_mm2"]
    inside = None
    if heat_maps is not None:
        inside = {
            name: {region: round(share, 3) for region, share in shares.items()}
            for name, shares in heat_inside(chest, heat_maps, height, width).items()
        }
    return Coverage({**said, "heat_inside": inside}, lung_remarks(measures))


@dataclass(frozen=True)
class Coverage:
    """What a diagnosis says of the lungs, as JSON's types, and the remarks that follow from it."""

    said: Mapping[str, Any]
    remarks: tuple[Remark, ...]


def _whole(area: float | None) -> int | None:
    return None if area is None else round(area)


def _without_specks(logits: FloatArray, most: int) -> FloatArray:
    """Keep the largest regions above zero, at most so many; fill their holes."""
    inside = (logits > 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = logits.astype(np.float32, copy=True)
    if count == 1 or areas.max() < _NO_LUNG * inside.size:
        return np.minimum(kept, np.float32(-1))
    largest = np.argsort(areas)[::-1][:most]
    good = [int(place) + 1 for place in largest if areas[place] >= _SPECK * areas.max()]
    lungs = np.isin(labels, good)
    kept[(labels > 0) & ~lungs] = -1
    kept[_holes(lungs)] = 1
    return kept


def _holes(inside: Bools) -> Bools:
    """What a region encloses: places outside it that no path joins with the border."""
    outside = np.pad((~inside).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return np.asarray(outside[1:-1, 1:-1] == 1)


def _two_seeds(inside: Bools) -> tuple[Bools, Bools] | None:
    """The two regions, or one that falls into two, each a fair part of it, when it is eroded; else None."""
    regions = _regions(inside)
    if len(regions) > 1:
        return regions[0], regions[1]
    eroded, left, whole = inside.astype(np.uint8), int(inside.sum()), int(inside.sum())
    while left > _ERODED_TO * whole:
        # what lies beyond the picture counts as outside: a mask of the whole picture shrinks too
        eroded = np.asarray(cv2.erode(eroded, np.ones((3, 3), np.uint8), borderValue=0), dtype=np.uint8)
        left = int(eroded.sum())
        regions = _regions(eroded > 0)
        if len(regions) > 1 and regions[1].sum() >= _LESSER_LUNG * left:
            return regions[0], regions[1]
    return None


def _regions(inside: Bools) -> list[Bools]:
    """The connected regions, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=4)
    order = np.argsort(stats[1:, cv2.CC_STAT_AREA])[::-1] + 1
    return [labels == label for label in order[: count - 1]]


def _centre(region: Bools) -> tuple[float, float]:
    rows, columns = np.nonzero(region)
    return float(columns.mean()), float(rows.mean())


def _distance(region: Bools) -> FloatArray:
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)


def _hull(inside: Labels) -> Labels:
    hull = np.zeros_like(inside)
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows):
        # a hull's corners are the first or last place of their row; among all places OpenCV takes 2 ms to find them
        first = inside[rows].argmax(axis=1)
        last = inside.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
        ends = np.stack([np.concatenate([first, last]), np.tile(rows, 2)], axis=1)
        cv2.fillConvexPoly(hull, cv2.convexHull(ends.astype(np.int32)), 1)
    return hull


def _cells(mask: Labels, shape: tuple[int, int], fit: str) -> FloatArray:
    """The share of each cell that a mask (H, W) covers, in a grid over the part of the picture that `fit` sees."""
    height, width = _seen(mask.shape[0], mask.shape[1], fit)
    top, left = (mask.shape[0] - height) // 2, (mask.shape[1] - width) // 2
    seen = mask[top : top + height, left : left + width].astype(np.float32)
    return np.asarray(cv2.resize(seen, shape[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)


def _seen(height: int, width: int, fit: str) -> tuple[int, int]:
    side = min(height, width)
    return (side, side) if fit == "crop" else (height, width)


def _placed(seen: NDArray[Any], height: int, width: int, outside: float = 0) -> NDArray[Any]:
    """Put what the network saw into its place in the picture."""
    if seen.shape == (height, width):
        return seen
    top, left = (height - seen.shape[0]) // 2, (width - seen.shape[1]) // 2
    whole = np.full((height, width), outside, dtype=seen.dtype)
    whole[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return whole


def _enlarged(logits: FloatArray, height: int, width: int, fit: str) -> FloatArray:
    size = _seen(height, width, fit)
    large = np.asarray(cv2.resize(logits, size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return np.asarray(_placed(large, height, width, -1.0), dtype=np.float32)
