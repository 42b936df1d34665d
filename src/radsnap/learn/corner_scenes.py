"""Photos to learn corners from: x-rays on monitors and light boxes before hard backgrounds, with exact corners.

The simulation of `radsnap.photo` shows one x-ray on a plain window. Here stand what photos show besides:
viewers with several pictures, pages of text, several films on one light box, desks, fingers, and things
that are no x-ray at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import ManifestError
from radsnap.imaging.homography import corners_of, homography, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.tasks import DOMAINS
from radsnap.photo.camera import distort
from radsnap.photo.effect import Canvas, Matrix, as_rgb
from radsnap.photo.effects import EFFECTS
from radsnap.photo.film import Film, apply_film, sample_film
from radsnap.photo.geometry import as_quad, quad_matrix
from radsnap.photo.screen import Screen, apply_screen, sample_screen

View = Literal["nothing", "framed", "filling"]
VIEWS: tuple[View, ...] = ("nothing", "framed", "filling")
Corners = NDArray[np.float64]
Draw = Callable[[Generator], ByteImage]
Drawn = TypeVar("Drawn")

# A photo that shows less than this share of something else is already cropped; up to twice as much
# nobody can say, and no training asks.
CROPPED_BELOW = 0.015
# So many of the photos show no more than the recipes do.
_AS_RECIPE = 0.25


@dataclass(frozen=True, eq=False)
class Stock:
    """What scenes are made of, each a draw from its own pictures: grey x-rays (H, W), RGB pictures (H, W, 3).

    ground: what may lie behind (photos, documents); other: whatever is no x-ray (those, and CT, MRI ...); digital: the
    x-rays again, as large as the photos of them become; None takes `xray`.
    """

    xray: Draw
    ground: Draw
    other: Draw
    digital: Draw | None = None


@dataclass(frozen=True, eq=False)
class CornerScene:
    """A photo (H, W, 3), what it shows, and the x-ray's corners (4, 2) in pixel centres, which may lie outside.

    corners_px are those of the x-ray's own upper left, upper right, lower right and lower left; NaN where
    there is no x-ray. domain: what the camera saw of an x-ray, a place in DOMAINS; -1 where there is none.
    """

    photo: ByteImage
    view: View
    corners_px: Corners
    domain: int


@dataclass(frozen=True, eq=False)
class _Shown:
    """A picture that a monitor or a box shows, and the box (left, top, right, bottom) of the x-ray in it."""

    pixels: ByteImage
    box: tuple[int, int, int, int]


def draw_scene(rng: Generator, stock: Stock, level: int, kind: Literal["screen", "film"]) -> CornerScene:
    """Draw a photo: mostly an x-ray in its surroundings, sometimes cropped to it, sometimes none."""
    what = rng.random()
    if what < 0.10:
        return CornerScene(_no_xray(rng, stock, level, kind), "nothing", np.full((4, 2), np.nan), -1)
    if what < 0.16:
        return digital(rng, stock)
    photo, corners = take(rng, stock, stock.xray(rng), level, kind)
    if what < 0.26:
        photo, corners = cropped(rng, photo, corners)
    return CornerScene(photo, view_of(photo.shape[:2], corners) or "framed", corners, DOMAINS.index(kind))


def take(
    rng: Generator, stock: Stock, picture: ByteImage, level: int, kind: Literal["screen", "film"]
) -> tuple[ByteImage, Corners]:
    """Photograph a picture (H, W) or (H, W, 3) in surroundings; gives the photo and the picture's corners."""
    if rng.random() < _AS_RECIPE:
        return _as_recipe(rng, picture, level, kind)
    shown = _screen_shown(rng, stock, picture) if kind == "screen" else _film_shown(rng, stock, picture)
    size = (picture.shape[0], picture.shape[1])
    canvas = Canvas(*size)
    drawn: Screen | Film
    drawn = sample_screen(rng, level, canvas) if kind == "screen" else sample_film(rng, level, canvas)
    frame = (drawn.camera.height_px, drawn.camera.width_px)
    target = _posed(rng, np.array(drawn.corners_px), frame)
    matrix = quad_matrix(size, as_quad(target))
    box = shown.box
    span = corners_of((shown.pixels.shape[1], shown.pixels.shape[0]))
    place = project(matrix, span - (box[0], box[1])) + 0.5
    if isinstance(drawn, Screen):
        tall = round(drawn.monitor.pixels_tall * shown.pixels.shape[0] / size[0])
        window = replace(
            drawn.window, left_frac=0, top_frac=0, right_frac=0, bottom_frac=0, bar_frac=0, words=()
        )
        drawn = replace(drawn, monitor=replace(drawn.monitor, pixels_tall=tall), window=window,
                        corners_px=as_quad(place))  # fmt: skip
        photo = apply_screen(shown.pixels, drawn)
    else:
        drawn = replace(drawn, corners_px=as_quad(place))
        if shown.pixels.shape[:2] != size:  # several films: the box is part of the picture
            bare = replace(drawn.box, left_frac=0, top_frac=0, right_frac=0, bottom_frac=0, neighbours=False)
            drawn = replace(drawn, box=bare, sheet=replace(drawn.sheet, margin_frac=0))
        photo = apply_film(shown.pixels, drawn)
    corners = distort(drawn.camera, project(matrix, corners_of((size[1], size[0]))))
    if rng.random() < 0.65:
        outline = _outline(drawn, place)
        photo = _before(rng, photo, distort(drawn.camera, outline), stock.ground(rng))
    if rng.random() < 0.12:
        photo = _finger(rng, photo, corners)
    if rng.random() < 0.6:
        photo, corners = _sent(rng, photo, corners, level)
    return photo, corners


def _as_recipe(
    rng: Generator, picture: ByteImage, level: int, kind: Literal["screen", "film"]
) -> tuple[ByteImage, Corners]:
    """Photograph a picture as `radsnap photograph` does: with the simulation's own window or box, room and pose."""
    effect, size = EFFECTS[kind], (picture.shape[0], picture.shape[1])
    params = effect.sample(rng, level, Canvas(*size))
    corners = project(effect.moved(params, size), corners_of((size[1], size[0])))
    return _sent(rng, effect.apply(picture, params), corners, level)


def view_of(size: tuple[int, int], corners: Corners) -> View | None:
    """Say whether an x-ray fills a photo of (height, width) or is framed by something; None where it is a toss-up."""
    besides = 1 - share_inside(size, corners)
    if besides < CROPPED_BELOW:
        return "filling"
    return "framed" if besides > 2 * CROPPED_BELOW else None


def share_inside(size: tuple[int, int], corners: Corners) -> float:
    """Give the share of a photo (height, width) that a quadrilateral covers."""
    frame = corners_of((size[1], size[0])).astype(np.float32)
    area, _ = cv2.intersectConvexConvex(frame, corners.astype(np.float32))
    return float(area) / (size[0] * size[1])


def _posed(rng: Generator, corners: Corners, frame: tuple[int, int]) -> Corners:
    """Move a drawn pose about: nearer or farther, turned, off the middle; a third stays as drawn."""
    if rng.random() < 0.33:
        return corners
    middle = np.array([frame[1], frame[0]]) / 2
    grow = float(rng.uniform(0.4, 1.1)) if rng.random() < 0.85 else float(rng.uniform(1.1, 1.35))
    turn = (
        np.deg2rad(float(rng.normal(0, 5))) if rng.random() < 0.8 else np.deg2rad(float(rng.uniform(-25, 25)))
    )
    matrix = grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    free = max(0.03, (1 - grow) / 2.2)
    shift = rng.uniform(-free, free, 2) * (frame[1], frame[0])
    return np.asarray((corners - middle) @ matrix.T + middle + shift)


def _screen_shown(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    """Lay out what the monitor shows around the x-ray."""
    layouts = (_plain, _viewer, _page, _desktop)
    layout = layouts[int(rng.choice(4, p=(0.35, 0.35, 0.15, 0.15)))]
    return layout(rng, stock, as_rgb(picture))


def _margins(rng: Generator, picture: ByteImage, most: float) -> tuple[int, int, int, int]:
    longer = max(picture.shape[:2])
    left, top, right, bottom = (rng.uniform(0, most, 4) * longer).astype(int).tolist()
    return left, top, right, bottom


def _canvas(
    picture: ByteImage, margins: tuple[int, int, int, int], colour: NDArray[np.int64] | tuple[int, int, int]
) -> tuple[ByteImage, tuple[int, int, int, int]]:
    left, top, right, bottom = margins
    h, w = picture.shape[:2]
    canvas = np.empty((top + h + bottom, left + w + right, 3), np.uint8)
    canvas[:] = np.asarray(colour, np.uint8)
    canvas[top : top + h, left : left + w] = picture
    return canvas, (left, top, left + w, top + h)


def _plain(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    grey = int(rng.integers(0, 25)) if rng.random() < 0.7 else int(rng.integers(25, 256))
    canvas, box = _canvas(picture, _margins(rng, picture, 0.35), (grey, grey, grey))
    _letters(rng, canvas, int(rng.integers(0, 8)), 200 if grey < 128 else 40)
    return _Shown(canvas, box)


def _viewer(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    """A PACS window: tools above, small pictures at one side, another x-ray beside."""
    grey = rng.integers(0, 70, 3) if rng.random() < 0.2 else np.full(3, int(rng.integers(0, 50)))
    h, w = picture.shape[:2]
    left, top, right, bottom = _margins(rng, picture, 0.25)
    top += int(0.06 * h)
    beside = rng.random() < 0.45
    if beside and rng.random() < 0.5:
        left += int(0.75 * w)
    elif beside:
        right += int(0.75 * w)
    canvas, box = _canvas(picture, (left, top, right, bottom), grey)
    gap = int(rng.integers(0, max(w // 12, 2)))
    if beside:
        other = as_rgb(stock.xray(rng))
        at = (box[2] + gap, canvas.shape[1]) if right > left else (0, box[0] - gap)
        _fit(canvas, other, (at[0], box[1], at[1], box[3]))
    elif left > 0.1 * w:
        for row in range(int(rng.integers(1, 5))):
            side = int(0.8 * left)
            y = box[1] + row * int(1.15 * side)
            _fit(canvas, as_rgb(stock.xray(rng)), (int(0.1 * left), y, int(0.1 * left) + side, y + side))
    bar = rng.integers(20, 235, 3) if rng.random() < 0.3 else np.full(3, int(rng.integers(30, 230)))
    canvas[: int(0.05 * h)] = bar.astype(np.uint8)
    for icon in range(int(rng.integers(0, 14))):
        x = int((0.02 + 0.05 * icon) * w)
        cv2.rectangle(
            canvas,
            (x, int(0.01 * h)),
            (x + int(0.03 * w), int(0.04 * h)),
            rng.integers(0, 256, 3).tolist(),
            -1,
        )
    if rng.random() < 0.3:
        cv2.rectangle(canvas, (box[0] - 1, box[1] - 1), (box[2], box[3]), rng.integers(0, 256, 3).tolist(), 1)
    _letters(rng, canvas, int(rng.integers(0, 14)), 220)
    return _Shown(canvas, box)


def _page(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    """A paper or a web page with the x-ray as a figure."""
    paper = int(rng.integers(200, 256))
    canvas, box = _canvas(picture, _margins(rng, picture, 0.5), (paper, paper, paper))
    h, w = canvas.shape[:2]
    line = max(int(0.03 * h), 4)
    for y in range(line, h - line, line):
        for start, end in ((0, box[0]), (box[2], w)) if box[1] - line < y < box[3] + line else ((0, w),):
            if end - start > 20 and rng.random() < 0.8:
                cv2.line(canvas, (start + 8, y), (end - 8 - int(rng.uniform(0, 0.3) * (end - start)), y),
                         (int(rng.integers(0, 140)),) * 3, max(line // 4, 1))  # fmt: skip
    return _Shown(canvas, box)


def _desktop(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    """A window on a desktop's picture, or a picture viewer with its own frame."""
    grey = int(rng.integers(0, 256))
    inner, box = _canvas(picture, _margins(rng, picture, 0.12), (grey, grey, grey))
    canvas, outer = _canvas(inner, _margins(rng, picture, 0.35), (0, 0, 0))
    wall = cv2.resize(stock.ground(rng), (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_AREA)
    wall[outer[1] : outer[3], outer[0] : outer[2]] = inner
    return _Shown(
        np.asarray(wall, np.uint8),
        (box[0] + outer[0], box[1] + outer[1], box[2] + outer[0], box[3] + outer[1]),
    )


def _film_shown(rng: Generator, stock: Stock, picture: ByteImage) -> _Shown:
    """One film as the simulation lays it, or several on one box with bare glass between them."""
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    h, w = picture.shape[:2]
    if rng.random() < 0.6:
        return _Shown(picture, (0, 0, w, h))
    rim = int(rng.uniform(0, 0.03) * max(h, w))
    framed = cv2.copyMakeBorder(picture, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=0)
    sides = rng.random(2) < 0.65
    room = [int((rng.uniform(0.5, 0.95) if side else rng.uniform(0, 0.3)) * w) for side in sides]
    top, bottom = (rng.uniform(0, 0.25, 2) * h).astype(int).tolist()
    glass = int(rng.integers(225, 256))
    canvas = np.full((h + 2 * rim + top + bottom, w + 2 * rim + sum(room)), glass, np.uint8)
    box = (room[0] + rim, top + rim, room[0] + rim + w, top + rim + h)
    gap = int(rng.uniform(-0.01, 0.08) * w)
    for side, (start, end) in zip(
        sides, ((0, room[0] - gap), (box[2] + rim + gap, canvas.shape[1])), strict=True
    ):
        if side and end - start > 10:
            other = stock.xray(rng)
            tall = int(rng.uniform(0.7, 1.2) * h)
            scaled = cv2.resize(
                other, (int(tall * other.shape[1] / other.shape[0]), tall), interpolation=cv2.INTER_AREA
            )
            y = int(rng.uniform(0, 0.15) * h)
            part = (
                scaled[: canvas.shape[0] - y, : end - start]
                if start
                else scaled[: canvas.shape[0] - y, -(end - start) :]
            )
            x = start if start else end - part.shape[1]
            canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    canvas[top : top + h + 2 * rim, room[0] : room[0] + w + 2 * rim] = framed
    return _Shown(canvas, box)


def _fit(canvas: ByteImage, picture: ByteImage, box: tuple[int, int, int, int]) -> None:
    """Lay a picture into a box, cut at its edges."""
    left, top, right, bottom = (
        max(box[0], 0),
        max(box[1], 0),
        min(box[2], canvas.shape[1]),
        min(box[3], canvas.shape[0]),
    )
    if right - left < 4 or bottom - top < 4:
        return
    scale = max((right - left) / picture.shape[1], (bottom - top) / picture.shape[0])
    size = (
        max(round(picture.shape[1] * scale), right - left),
        max(round(picture.shape[0] * scale), bottom - top),
    )
    canvas[top:bottom, left:right] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[
        : bottom - top, : right - left
    ]


def _letters(rng: Generator, canvas: ByteImage, count: int, grey: int) -> None:
    for _ in range(count):
        text = "".join(rng.choice(list("ABCDEHILMNRST0123456789 :/."), int(rng.integers(3, 14))))
        at = (int(rng.uniform(0, 0.85) * canvas.shape[1]), int(rng.uniform(0.05, 0.99) * canvas.shape[0]))
        cv2.putText(
            canvas,
            text,
            at,
            cv2.FONT_HERSHEY_SIMPLEX,
            float(rng.uniform(0.25, 0.5)),
            (grey,) * 3,
            1,
            cv2.LINE_AA,
        )


def _outline(drawn: Screen | Film, place: Corners) -> Corners:
    """Give the outline of monitor or box with its housing, in pixels of an ideal lens."""
    box = place - 0.5
    if isinstance(drawn, Film):  # the bare glass around the film belongs to the box
        longer = float(np.linalg.norm(box[3] - box[0]))
        frac = drawn.sheet.margin_frac
        right, down = ((box[1] - box[0]) / np.linalg.norm(box[1] - box[0]), (box[3] - box[0]) / longer)
        glass = (drawn.box.left_frac, drawn.box.top_frac, drawn.box.right_frac, drawn.box.bottom_frac)
        west, north, east, south = (longer * (share + frac) for share in glass)
        away = ((-west, -north), (east, -north), (east, south), (-west, south))
        box = box + np.array([x * right + y * down for x, y in away])
    middle = box.mean(axis=0)
    return np.asarray(middle + (box - middle) * (1 + 2 * drawn.room.body_frac))


def _before(rng: Generator, photo: ByteImage, outline: Corners, behind: ByteImage) -> ByteImage:
    """Put a photographed thing before another picture, with a soft shadow."""
    height, width = photo.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(
        mask, np.rint(outline.clip(-8000, 8000) * 16).astype(np.int32), 255, cv2.LINE_AA, shift=4
    )
    if int(mask.min()) == 255:
        return photo
    scale = max(width / behind.shape[1], height / behind.shape[0])
    size = (max(round(behind.shape[1] * scale), width), max(round(behind.shape[0] * scale), height))
    ground = cv2.resize(behind, size, interpolation=cv2.INTER_LINEAR)[:height, :width].astype(np.float32)
    light = float(np.exp(rng.uniform(np.log(0.25), np.log(1.1))))
    shade = (
        1
        - float(rng.uniform(0, 0.5))
        * cv2.GaussianBlur(mask, (0, 0), height / 60).astype(np.float32)[..., None]
        / 255
    )
    weight = mask.astype(np.float32)[..., None] / 255
    made = photo * weight + (ground * light * shade) * (1 - weight)
    return np.asarray(made.clip(0, 255), np.uint8)


def _finger(rng: Generator, photo: ByteImage, corners: Corners) -> ByteImage:
    """Hold the thing: a finger from the photo's edge over one of the x-ray's sides."""
    height, width = photo.shape[:2]
    side = int(rng.integers(4))
    a, b = corners[side], corners[(side + 1) % 4]
    tip = a + (b - a) * float(rng.uniform(0.1, 0.9))
    out = tip - corners.mean(axis=0)
    tip = tip - out * float(rng.uniform(0, 0.15))
    skin = (np.array([200, 150, 125]) * rng.uniform(0.15, 1.0)).tolist()
    made = photo.copy()
    thick = int(rng.uniform(0.04, 0.11) * max(height, width))
    ends = [tuple(np.rint(p.clip(-4000, 4000)).astype(int).tolist()) for p in (tip, tip + out * 3)]
    cv2.line(made, ends[0], ends[1], skin, thick, cv2.LINE_AA)
    return made


def _sent(rng: Generator, photo: ByteImage, corners: Corners, level: int) -> tuple[ByteImage, Corners]:
    """Send the photo by messenger: smaller, compressed."""
    effect = EFFECTS["messenger"]
    size = (photo.shape[0], photo.shape[1])
    params = effect.sample(rng, level, Canvas(*size))
    made = effect.apply(photo, params)
    return made, project(effect.moved(params, size), corners)


def cropped(rng: Generator, photo: ByteImage, corners: Corners) -> tuple[ByteImage, Corners]:
    """Crop to the x-ray, as phones and viewers do: straightened or not, a little too tight or too wide."""
    wide, tall = (int(np.clip(np.linalg.norm(corners[k] - corners[0]), 64, 512)) for k in (1, 3))
    slack = rng.normal(-0.004, 0.006, (4, 2)).clip(-0.03, 0.006) * (wide, tall)
    slack = slack * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * -1
    target = corners_of((wide, tall)) + slack
    matrix = homography(corners, target)
    made = cv2.warpPerspective(
        photo, matrix, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(made, np.uint8), target


def digital(rng: Generator, stock: Stock) -> CornerScene:
    """A digital x-ray as it is, a thin even border at most."""
    picture = as_rgb((stock.digital or stock.xray)(rng))
    corners = corners_of((picture.shape[1], picture.shape[0]))
    if rng.random() < 0.3:
        top, bottom, left, right = rng.integers(0, max(picture.shape[0] // 40, 2), 4).tolist()
        grey = int(rng.choice([0, 0, 0, 20, 255]))
        rimmed = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(grey,) * 3)
        picture = np.asarray(rimmed, np.uint8)
        corners = corners_of((picture.shape[1], picture.shape[0]))  # nothing worth cutting away
    return CornerScene(picture, "filling", corners, DOMAINS.index("digital"))


def _no_xray(rng: Generator, stock: Stock, level: int, kind: Literal["screen", "film"]) -> ByteImage:
    """Something else: a thing as it is, or one on a screen or light box."""
    other = stock.other(rng)
    if rng.random() < 0.55:
        return other
    scale = 256 / max(other.shape[:2])
    small = cv2.resize(other, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey: Draw = lambda r: np.asarray(cv2.cvtColor(stock.other(r), cv2.COLOR_RGB2GRAY), np.uint8)  # noqa: E731
    nothing = Stock(grey, stock.ground, stock.other)
    if kind == "film" and rng.random() < 0.4:
        small = np.full_like(small, 255)  # an empty light box
    return take(rng, nothing, np.asarray(small, np.uint8), level, kind)[0]


def shrunk(photo: ByteImage, corners: Corners, long_px: int) -> tuple[ByteImage, Corners, Matrix]:
    """Bring a photo's longer side to so many pixels, its corners with it; gives the map too."""
    height, width = photo.shape[:2]
    scale = long_px / max(height, width)
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    matrix = homography(corners_of((width, height)), corners_of(size))
    moved = corners if np.isnan(corners).any() else project(matrix, corners)
    return np.asarray(cv2.resize(photo, size, interpolation=method), np.uint8), moved, matrix


def drawn_from(pictures: Sequence[Drawn], what: str = "picture") -> Callable[[Generator], Drawn]:
    """Make a draw from a list of pictures. Raises ManifestError for an empty one, by what it should hold."""
    if not pictures:
        raise ManifestError(
            f"scenes need at least one {what}; see the columns 'kind' and 'split', "
            "or make the splits with 'radsnap data split'"
        )
    return lambda rng: pictures[int(rng.integers(len(pictures)))]
