"""How a training picture is varied: pose and tone here, everything a photo does by `radsnap.photo`."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.photo import apply_recipe, camera_sees, sample_recipe

Picture = NDArray[np.uint8]
# Labels and marks on x-rays are mostly grey, some are printed in colour.
_COLOURED_BLOTS = 0.3
# What films, light boxes and screens do to white: blue, cyan, green, violet, yellow. Not pink: that is skin.
_CASTS = ((0.5, 0.8, 1), (0.75, 0.92, 1), (0.8, 1, 0.95), (0.62, 0.9, 0.85), (0.85, 0.78, 1), (1, 0.97, 0.8))


@dataclass(frozen=True)
class Augmentation:
    """How much a picture is varied. Shares are chances; `photo` lists recipes to draw from, each with its chance.

    flip and invert: mirrored left to right; bone dark. blot: a box at the border in black, white or grey, and
    soften: resolution and sharpness of another source. Both keep a network from reading marks and file history.
    implant: bright shapes with sharp edges, as metal has in an x-ray. tint and fade are for colours: a hue over the
    whole picture, and at last all colours gone, so that colour alone tells neither a photo nor what it shows.
    pairs: keep the picture before its photo too.
    """

    rotation_deg: float = 12.0
    smallest_area: float = 0.6
    aspect: float = 1.25
    flip: float = 0.5
    invert: float = 0.0
    tone: float = 0.8
    soften: float = 0.4
    blot: float = 0.3
    implant: float = 0.0
    tint: float = 0.0
    fade: float = 0.0
    photo: tuple[tuple[str, float], ...] = (("screen-lite", 0.25), ("film-lite", 0.25))
    pairs: bool = False

    def __post_init__(self) -> None:
        if sum(share for _, share in self.photo) > 1.0:
            raise UsageError(f"the chances of photo recipes add up to more than 1: {self.photo}")


@dataclass(frozen=True, eq=False)
class Varied:
    """A varied picture, what the camera saw (digital, screen, film), and the homography from it to the source.

    before: the same picture without the photo, where pairs are asked for.
    """

    picture: Picture
    domain: str
    to_source: NDArray[np.float64]
    before: Picture | None = None


def augment(source: Picture, rng: Generator, plan: Augmentation, size_px: int) -> Varied:
    """Vary a picture, grey (S, S) or RGB (S, S, 3), and give it at (size_px, size_px)."""
    pose = _pose(source.shape[0], rng, plan, size_px)
    picture = _take(source, pose, size_px)
    if rng.random() < plan.blot:
        picture = _blot(picture, rng)
    if plan.implant and rng.random() < plan.implant:
        picture = _implant(picture, rng)
    if rng.random() < plan.soften:
        picture = _soften(picture, rng)
    if rng.random() < plan.tone:
        picture = _tone(picture, rng)
    if picture.ndim == 3 and rng.random() < plan.tint:
        picture = _tint(picture, rng)
    taken = photographed(picture, rng, plan.photo)
    dark_bone = rng.random() < plan.invert
    before = (255 - picture if dark_bone else picture) if plan.pairs else None
    picture = 255 - taken.picture if dark_bone else taken.picture
    if picture.ndim == 3 and rng.random() < plan.fade:
        picture, before = _faded(picture), None if before is None else _faded(before)
    return Varied(picture, taken.domain, pose @ taken.to_source, before)


def photographed(picture: Picture, rng: Generator, recipes: tuple[tuple[str, float], ...]) -> Varied:
    """Photograph a picture by at most one of the recipes, each with its chance, at a level of 1 to 4.

    RGB gives the photo's colours, grey its luma.
    """
    draw = rng.random()
    for name, share in recipes:
        if draw < share:
            size_hw = (picture.shape[0], picture.shape[1])
            recipe = sample_recipe(name, int(rng.integers(1, 5)), size_hw, rng)
            photo, to_photo = apply_recipe(picture, recipe)
            return Varied(
                photo if picture.ndim == 3 else _to_grey(photo),
                camera_sees(name),
                np.asarray(np.linalg.inv(to_photo), dtype=np.float64),
            )
        draw -= share
    return Varied(picture, "digital", np.eye(3))


def follow(mask: Picture, varied: Varied) -> Picture:
    """Move a mask of the source picture the way the picture was moved."""
    size = (varied.picture.shape[1], varied.picture.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(mask, varied.to_source, size, flags=flags), dtype=np.uint8)


def _pose(side: int, rng: Generator, plan: Augmentation, size_px: int) -> NDArray[np.float64]:
    """Draw a crop, turn, stretch and mirror: 3×3, from pixels of the result to pixels of the picture (side, side)."""
    crop = np.sqrt(rng.uniform(plan.smallest_area, 1.0)) * side
    stretch = np.exp(rng.uniform(-1, 1) * np.log(plan.aspect) / 2)
    width, height = min(crop * stretch, side), min(crop / stretch, side)
    centre = np.array([rng.uniform(width / 2, side - width / 2), rng.uniform(height / 2, side - height / 2)])
    centre -= 0.5  # pixel centres have whole coordinates
    angle = np.deg2rad(rng.uniform(-plan.rotation_deg, plan.rotation_deg))
    mirror = -1.0 if rng.random() < plan.flip else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = turn @ np.diag([mirror * width / size_px, height / size_px])
    offset = centre - scale @ np.array([(size_px - 1) / 2, (size_px - 1) / 2])
    return np.vstack([np.column_stack([scale, offset]), [0, 0, 1]])


def _take(picture: Picture, pose: NDArray[np.float64], size_px: int) -> Picture:
    # at half the side and less, linear sampling would leave pixels out
    source = cv2.blur(picture, (2, 2)) if np.hypot(pose[0, 0], pose[1, 0]) > 1.8 else picture
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, pose[:2], (size_px, size_px), flags=flags), dtype=np.uint8)


def _blot(source: Picture, rng: Generator) -> Picture:
    """Cover a box at one border, as collimation, labels and burned-in text do."""
    height, width = source.shape[:2]
    long, short = rng.uniform(0.15, 1.0), rng.uniform(0.03, 0.16)
    start = rng.uniform(0, 1 - long)
    value = rng.choice([0, 0, 255, int(rng.integers(0, 256))])
    if source.ndim == 3 and rng.random() < _COLOURED_BLOTS:
        value = rng.integers(0, 256, 3)
    picture = source.copy()
    low, high, depth = start, start + long, short
    match int(rng.integers(4)):
        case 0:
            picture[: int(depth * height), int(low * width) : int(high * width)] = value
        case 1:
            picture[int((1 - depth) * height) :, int(low * width) : int(high * width)] = value
        case 2:
            picture[int(low * height) : int(high * height), : int(depth * width)] = value
        case _:
            picture[int(low * height) : int(high * height), int((1 - depth) * width) :] = value
    return picture


def _implant(source: Picture, rng: Generator) -> Picture:
    """Lay one to three bright polygons over the picture, rounded or not: screws, plates, joints."""
    side = min(source.shape[:2])
    picture = source.copy()
    for _ in range(int(rng.integers(1, 4))):
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        radius = side * rng.uniform(0.03, 0.18) * rng.uniform(0.5, 1.0, len(angles))
        stretch = np.array([1.0, np.exp(rng.uniform(-1.2, 1.2))])
        centre = rng.uniform(0.2, 0.8, 2) * (source.shape[1], source.shape[0])
        points = centre + stretch * np.column_stack([np.cos(angles), np.sin(angles)]) * radius[:, None]
        bright = (int(rng.integers(225, 256)),) * 3
        cv2.fillPoly(picture, [np.rint(points).astype(np.int32)], bright, cv2.LINE_AA)
    return picture


def _soften(picture: Picture, rng: Generator) -> Picture:
    """Take a picture through a lower resolution, or sharpen it, so that sharpness tells no source."""
    height, width = picture.shape[:2]
    if rng.random() < 0.3:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        return np.asarray(cv2.addWeighted(picture, 1.8, soft, -0.8, 0))
    factor = rng.uniform(0.35, 0.95)
    small = cv2.resize(picture, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
    back = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (width, height), interpolation=back))


def _tone(picture: Picture, rng: Generator) -> Picture:
    """Another window: a gamma, a stretch of contrast and a shift, as one table."""
    ramp = np.linspace(0, 1, 256)
    gamma = np.exp(rng.uniform(-0.5, 0.5))
    contrast, shift = np.exp(rng.uniform(-0.35, 0.35)), rng.uniform(-0.12, 0.12)
    table = np.clip((ramp**gamma - 0.5) * contrast + 0.5 + shift, 0, 1)
    return np.asarray(cv2.LUT(picture, np.rint(table * 255).astype(np.uint8)))


def _tint(rgb: Picture, rng: Generator) -> Picture:
    """Draw a colour for white, one for black and a gamma a channel: a film's base, a lamp, a white balance.

    Half of the pictures lose their own colours first, as an old photo has.
    """
    source = _faded(rgb) if rng.random() < 0.5 else rgb
    white = np.array(_CASTS[int(rng.integers(len(_CASTS)))]) ** rng.uniform(0, 1.3) * (
        1 + rng.normal(0, 0.03, 3)
    )
    white /= white.max()
    black = rng.uniform(0, 0.25) * white * (1 + rng.normal(0, 0.15, 3))
    ramp = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.1, 3))
    table = black + (white - black) * ramp
    return np.asarray(cv2.LUT(source, np.rint(table.clip(0, 1) * 255).astype(np.uint8)[:, None]))


def _faded(rgb: Picture) -> Picture:
    return np.repeat(_to_grey(rgb)[..., None], 3, axis=2)


def _to_grey(photo: Picture) -> Picture:
    return photo if photo.ndim == 2 else np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
