"""An x-ray film on a light box, photographed: `film`. There is no published recipe for film; this is ours.

Light passes the film by 10 ** -density; the base is blue, green or clear; tubes behind the glass are
uneven; the film mirrors the room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.homography import inverse, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.camera import Camera, FloatPlane, capture
from radsnap.photo.devices import (
    PHONES,
    ROOMS,
    light_colour,
    photo_size,
    pick,
    sample_camera,
    sample_flicker,
    sample_room,
)
from radsnap.photo.effect import Canvas, Matrix, Size
from radsnap.photo.geometry import Quad, Rgb, quad_matrix, span_corners
from radsnap.photo.light import UnevenLight
from radsnap.photo.scene import Flicker, PanelScene, Patch, Room, draw_room, panel_matrix, sample_pose
from radsnap.photo.screen import panel_scale, pixels_per_photo_pixel, seen_matrix

BASES: dict[str, Rgb] = {
    "blue": (0.42, 0.72, 0.95),
    "pale-blue": (0.68, 0.86, 0.98),
    "green": (0.62, 0.92, 0.78),
    "clear": (0.95, 0.96, 0.95),
}
# No side or view: a wrong R, L, AP or PA would contradict the x-ray
_NOTES = ("12/3", "Bed 4", "17-08", "No 7", "Ward 2", "08:15", "copy")


@dataclass(frozen=True)
class Sheet:
    """The film: density from dark (p = 0) to clear (p = 1), and the base's colour.

    density = clear + (dark - clear) · (1 - p) ** gamma; margin_frac: its black rim, of the longer side.
    """

    base: str
    base_rgb: Rgb
    dark: float
    clear: float
    gamma: float
    margin_frac: float


@dataclass(frozen=True)
class Box:
    """The light box: bare glass around the film (fractions of its longer side), its colour and evenness."""

    left_frac: float
    top_frac: float
    right_frac: float
    bottom_frac: float
    rgb: Rgb
    light: UnevenLight
    neighbours: bool
    neighbour_seed: int


@dataclass(frozen=True)
class Stroke:
    """Something on the film: tape (a pale strip), a finger (dark, thick), from one point to another.

    Points and thickness are fractions of the film's width, height and longer side; lets: the light
    that passes; glow: what it reflects itself.
    """

    from_xy: tuple[float, float]
    to_xy: tuple[float, float]
    thick_frac: float
    lets: float
    glow_rgb: Rgb


@dataclass(frozen=True)
class Note:
    """Handwriting or a marker: text at a fraction of the film, `lets` the light that passes (1: clear)."""

    text: str
    x_frac: float
    y_frac: float
    height_frac: float
    lets: float


@dataclass(frozen=True)
class Curl:
    """How a film bulges off the glass between two of its edges, which lie flat: so the corners stay put.

    A point on it, at height z = lift_frac · sin²(πs), is seen where its line of sight meets the glass: pushed away
    from the camera's foot by z / (distance - z). s runs from one flat edge to the other, across the film or, with
    `upright`, down it. Lift, foot and distance are fractions of the film's longer side.
    """

    upright: bool
    lift_frac: float
    foot_x_frac: float
    foot_y_frac: float
    distance_frac: float


@dataclass(frozen=True)
class Film:
    """A photo of a film. corners_px: where the x-ray's corners would land without lens distortion."""

    phone: str
    place: str
    sheet: Sheet
    box: Box
    strokes: tuple[Stroke, ...]
    notes: tuple[Note, ...]
    room: Room
    flicker: Flicker
    corners_px: Quad
    camera: Camera
    curl: Curl | None = None


def sample_film(rng: Generator, level: int, canvas: Canvas) -> Film:
    """Draw film, box, what lies on it, room, pose and camera by level."""
    size = (canvas.height_px, canvas.width_px)
    phone, place = pick(rng, PHONES, canvas.presets.phone), pick(rng, ROOMS, canvas.presets.place)
    photo = photo_size(rng, PHONES[phone].aspect, size)
    shade = float(rng.uniform(0.3, 0.9))
    room = sample_room(rng, level, ROOMS[place], (shade, shade, shade), float(rng.uniform(0.02, 0.08)))
    camera = sample_camera(rng, level, PHONES[phone], photo)
    # Light boxes fool the exposure: much bare glass, or a phone that holds to the film
    camera = replace(camera, target=float(np.clip(camera.target * rng.uniform(0.8, 1.5), 0.1, 0.55)))
    return Film(
        phone,
        place,
        _sample_sheet(rng, level),
        _sample_box(rng, level),
        _sample_strokes(rng, level),
        _sample_notes(rng),
        replace(room, patches=(*room.patches, *_sample_gloss(rng, level))),
        sample_flicker(rng, level, 0.35, 0.2),
        sample_pose(rng, level, photo, size[1] / size[0]),
        camera,
        _sample_curl(rng, level),
    )


def apply_film(image: ByteImage, film: Film) -> ByteImage:
    """Take the photo. image: uint8 (H, W) or (H, W, 3); uint8 (height, width, 3) of the camera out."""
    camera = film.camera
    size, photo = (image.shape[0], image.shape[1]), (camera.height_px, camera.width_px)
    pose = quad_matrix(size, film.corners_px)
    scale = panel_scale(pose, size)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image, np.uint8)
    planes, offset = _light_up(grey, film, scale)
    matrix = panel_matrix(pose, offset, scale)
    blur = camera.blur_px * pixels_per_photo_pixel(matrix, photo)
    if blur > 0.3:
        for plane in planes:
            cv2.GaussianBlur(plane, (0, 0), blur, plane, borderType=cv2.BORDER_REPLICATE)
    outline = project(inverse(matrix), span_corners((planes[0].shape[0], planes[0].shape[1])) - 0.5)
    ambient = draw_room(film.room, photo, outline)
    none = (0.0, 0.0, 0.0)
    return capture(PanelScene(planes, matrix, ambient, None, none, film.flicker, camera.height_px), camera)


def film_matrix(film: Film, size: Size) -> Matrix:
    """Give the homography through the x-ray's four corners as the lens draws them."""
    return seen_matrix(film.corners_px, film.camera, size)


def film_size(film: Film, size: Size) -> Size:
    return film.camera.height_px, film.camera.width_px


def _light_up(
    grey: NDArray[np.uint8], film: Film, scale: float
) -> tuple[tuple[FloatPlane, FloatPlane, FloatPlane], tuple[float, float]]:
    """Give the box's face with the film on it as light, a plane a channel, and where the x-ray lies."""
    if scale < 1:
        h, w = (max(round(n * scale), 1) for n in grey.shape)
        grey = np.asarray(cv2.resize(grey, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    sheet, box, (h, w) = film.sheet, film.box, grey.shape
    longer = max(h, w)
    fractions = (box.left_frac, box.top_frac, box.right_frac, box.bottom_frac)
    rim = round(sheet.margin_frac * longer)
    left, top, right, bottom = (round(f * longer) + rim for f in fractions)
    ramp = np.arange(256, dtype=np.float64) / 255
    density = sheet.clear + (sheet.dark - sheet.clear) * (1 - ramp) ** sheet.gamma
    table = (10.0**-density).astype(np.float32)
    face = np.ones((top + h + bottom, left + w + right), np.float32)
    on_film = np.zeros(face.shape, bool)
    if box.neighbours:
        _lay_neighbours(face, on_film, (left - rim, left + w + rim), longer, table, box.neighbour_seed)
    film_area = (slice(top - rim, top + h + rim), slice(left - rim, left + w + rim))
    on_film[film_area] = True
    face[film_area] = table[0]
    face[top : top + h, left : left + w] = cv2.LUT(grey, table)
    for note in film.notes:
        _write(face[top : top + h, left : left + w], note, longer)
    if film.curl is not None:
        face, on_film = _bulge(face, on_film, film.curl, (left, top), (h, w))
    face *= _evenness(box.light, face.shape[0], face.shape[1])
    planes = [
        np.where(on_film, face * np.float32(g * b), face * np.float32(g))
        for g, b in zip(box.rgb, sheet.base_rgb, strict=True)
    ]
    for stroke in film.strokes:
        _lay(planes, stroke, (left, top), (h, w))
    red, green, blue = planes
    return (red, green, blue), (float(left), float(top))


def _bulge(
    face: FloatPlane, on_film: NDArray[np.bool_], curl: Curl, offset: tuple[int, int], size: Size
) -> tuple[FloatPlane, NDArray[np.bool_]]:
    """Take the face to what is seen of it with the film at `offset`, of `size`, off the glass as `curl` says."""
    height, width = size
    longer = max(size)
    x = np.arange(face.shape[1], dtype=np.float32)[None, :] - offset[0] + np.float32(0.5)
    y = np.arange(face.shape[0], dtype=np.float32)[:, None] - offset[1] + np.float32(0.5)
    s = (y / height if curl.upright else x / width).clip(0, 1)  # beyond its flat edges the film stays flat
    lift = np.float32(curl.lift_frac) * np.sin(np.float32(np.pi) * s) ** 2
    push = lift / np.float32(
        curl.distance_frac
    )  # looked up where it is seen: z / d, to first order z / (d - z)
    u = x - push * (x - np.float32(width / 2 + curl.foot_x_frac * longer))
    v = y - push * (y - np.float32(height / 2 + curl.foot_y_frac * longer))
    u, v = (np.broadcast_to(n, face.shape) + np.float32(o - 0.5) for n, o in zip((u, v), offset, strict=True))
    moved = cv2.remap(face, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.remap(on_film.view(np.uint8), u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32), np.asarray(covered).view(np.bool_)


def _evenness(light: UnevenLight, height: int, width: int) -> FloatPlane:
    u, v = (np.linspace(-1, 1, n, dtype=np.float32) for n in (width, height))
    row = light.slope_x * u - light.falloff / 2 * u * u
    column = 1 + light.slope_y * v - light.falloff / 2 * v * v
    wave = light.ripple * np.cos(2 * np.pi * (light.cycles * (u if light.upright else v) + light.phase))
    row, column = (row + wave, column) if light.upright else (row, column + wave)
    return np.add.outer(column, row).astype(np.float32).clip(0.15, 2)


def _lay_neighbours(
    face: FloatPlane,
    on_film: NDArray[np.bool_],
    span: tuple[int, int],
    longer: int,
    table: FloatPlane,
    seed: int,
) -> None:
    """Lay films to the left and right: soft shapes of their own, as one sees them at the photo's edge."""
    rng = np.random.Generator(np.random.PCG64(seed))
    gap = round(longer * float(rng.uniform(0.01, 0.05)))
    for start, end in ((0, span[0] - gap), (span[1] + gap, face.shape[1])):
        if end - start < 8:
            continue
        codes = cv2.resize(
            rng.uniform(0, 200, (5, 4)).astype(np.float32),
            (end - start, face.shape[0]),
            interpolation=cv2.INTER_CUBIC,
        )
        face[:, start:end] = table[codes.clip(0, 255).astype(np.uint8)]
        on_film[:, start:end] = True


def _write(film: FloatPlane, note: Note, longer: int) -> None:
    """Write on the film: clear letters pass light, ink stops it."""
    mask = np.zeros(film.shape, np.uint8)
    at = (round(note.x_frac * film.shape[1]), round(note.y_frac * film.shape[0]))
    size = note.height_frac * longer / 22
    font = cv2.FONT_HERSHEY_SCRIPT_SIMPLEX if note.lets < 0.5 else cv2.FONT_HERSHEY_DUPLEX
    cv2.putText(mask, note.text, at, font, size, 255, max(round(size * 1.6), 1), cv2.LINE_AA)
    ys, xs = slice(max(at[1] - round(size * 40), 0), at[1] + round(size * 15) + 1), slice(at[0], None)
    weight = mask[ys, xs].astype(np.float32) / 255
    film[ys, xs] = film[ys, xs] * (1 - weight) + note.lets * weight


def _lay(planes: list[FloatPlane], stroke: Stroke, offset: tuple[int, int], size: Size) -> None:
    """Lay a strip or a finger over the film: it stops light and reflects some of the room's."""
    mask = np.zeros(planes[0].shape, np.uint8)
    ends = [
        (round(offset[0] + x * size[1]), round(offset[1] + y * size[0]))
        for x, y in (stroke.from_xy, stroke.to_xy)
    ]
    thick = max(round(stroke.thick_frac * max(size)), 1)
    cv2.line(mask, ends[0], ends[1], 255, thick, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(mask)
    if not w:
        return
    part = (slice(y, y + h), slice(x, x + w))
    weight = cv2.GaussianBlur(mask[part], (0, 0), max(thick / 30, 0.8)).astype(np.float32) / 255
    for plane, glow in zip(planes, stroke.glow_rgb, strict=True):
        plane[part] *= 1 - (1 - stroke.lets) * weight
        plane[part] += glow * weight


def _sample_sheet(rng: Generator, level: int) -> Sheet:
    base = pick(rng, list(BASES))
    r, g, b = (np.array(BASES[base]) * (1 + rng.normal(0, 0.04, 3))).clip(0.2, 1).tolist()
    clear, dark = float(rng.uniform(0.08, 0.35)), float(rng.uniform(1.6, 3.0 - 0.2 * level))
    return Sheet(base, (r, g, b), dark, clear, float(rng.uniform(0.8, 1.4)), float(rng.uniform(0, 0.025)))


def _sample_box(rng: Generator, level: int) -> Box:
    left, right = rng.uniform(0, 0.3, 2).tolist()
    top, bottom = rng.uniform(0, 0.15, 2).tolist()
    r, g, b = (
        np.array(light_colour(float(rng.normal(-0.1, 0.25)), 1.0)) * (1 + rng.normal(0, 0.02, 3))
    ).tolist()
    slope_x, slope_y = rng.normal(0, 0.04 * level, 2).clip(-0.4, 0.4).tolist()
    light = UnevenLight(
        slope_x,
        slope_y,
        float(rng.uniform(0, 0.09 * level)),
        float(rng.uniform(0, 0.03 * level)),
        float(rng.uniform(0.5, 2)),
        float(rng.random()),
        bool(rng.random() < 0.5),
    )
    return Box(
        left, top, right, bottom, (r, g, b), light, bool(rng.random() < 0.35), int(rng.integers(2**32))
    )


def _sample_strokes(rng: Generator, level: int) -> tuple[Stroke, ...]:
    strokes = []
    for _ in range(int(rng.integers(0, 2 + level // 2))):  # tape at the corners
        x, y = float(rng.choice([0.02, 0.98])), float(rng.choice([0.01, 0.99]))
        dx, dy = rng.normal(0, 0.05, 2).tolist()
        glow = float(rng.uniform(0.02, 0.12))
        strokes.append(
            Stroke(
                (x - dx, y - dy),
                (x + dx, y + dy),
                float(rng.uniform(0.02, 0.05)),
                0.55,
                (glow, glow, 0.9 * glow),
            )
        )
    if rng.random() < 0.05 * level:  # fingers that hold the film
        side = float(rng.choice([-0.15, 1.15]))
        y = float(rng.uniform(0.5, 0.98))
        inward = float(rng.uniform(0.02, 0.1))
        skin = float(rng.uniform(0.03, 0.2))
        for k in range(int(rng.choice([1, 1, 3]))):
            reach = inward if side < 0 else 1 - inward
            at = y + 0.085 * k
            strokes.append(
                Stroke(
                    (side, at + 0.06), (reach - 0.02 * k, at), 0.08, 0.02, (skin, 0.66 * skin, 0.52 * skin)
                )
            )
    return tuple(strokes)


def _sample_notes(rng: Generator) -> tuple[Note, ...]:
    notes = []
    for _ in range(int(rng.integers(0, 4))):
        x, y = float(rng.choice([0.03, 0.72])) + float(rng.uniform(0, 0.1)), float(rng.uniform(0.06, 0.97))
        text = _NOTES[int(rng.integers(len(_NOTES)))]
        lets = float(rng.uniform(0.5, 0.9)) if rng.random() < 0.6 else float(rng.uniform(0.0, 0.1))
        notes.append(Note(text, x, y, float(rng.uniform(0.015, 0.035)), lets))
    return tuple(notes)


def _sample_gloss(rng: Generator, level: int) -> tuple[Patch, ...]:
    """Draw the long highlight of a film that does not lie flat."""
    if rng.random() > 0.15 + 0.1 * level:
        return ()
    upright, glow = bool(rng.random() < 0.5), float(rng.uniform(0.01, 0.03 + 0.03 * level))
    x, y = rng.uniform(0.05, 0.95, 2).tolist()
    half_w, half_h = (0.02, 0.6) if upright else (0.6, 0.02)
    return (Patch(x, y, half_w, half_h, float(rng.normal(0, 6)), 0.05, (glow, glow, glow), False),)


def _sample_curl(rng: Generator, level: int) -> Curl | None:
    if rng.random() > 0.1 + 0.15 * level:
        return None
    lift = float(rng.uniform(0.0, 0.012 * level))
    foot_x, foot_y = rng.normal(0, 0.15 + 0.1 * level, 2).tolist()
    return Curl(bool(rng.random() < 0.5), lift, foot_x, foot_y, float(rng.uniform(1.0, 1.6)))
