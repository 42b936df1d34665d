"""Named phones, monitors, light boxes and rooms: what the simulations of screen and film draw from.

The numbers are classes of devices, not measurements of single ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from radsnap.errors import UsageError
from radsnap.photo.camera import Camera
from radsnap.photo.effect import Presets, Size, unknown
from radsnap.photo.geometry import Rgb
from radsnap.photo.scene import Flicker, Patch, Room


@dataclass(frozen=True)
class Phone:
    """A class of phones. read and shot: noise at level 1; awb and its error; blur at best, in pixels."""

    aspect: float
    read: float
    shot: float
    awb: float
    cast: float
    tone: float
    sharpen: float
    distortion: float
    blur_px: float


@dataclass(frozen=True)
class MonitorClass:
    """A class of monitors: pixels along the x-ray's height (low, high), and how it shines."""

    pixels_tall: tuple[int, int]
    gamma: tuple[float, float]
    black: tuple[float, float]
    warmth: float
    duty: float
    fill: float
    angle_loss: float


@dataclass(frozen=True)
class RoomClass:
    """A class of rooms: how bright against a monitor's white, how warm, how many mirrored lights."""

    haze: tuple[float, float]
    warmth: tuple[float, float]
    lights: tuple[int, int]
    glow: tuple[float, float]
    walls: tuple[float, float]


PHONES: dict[str, Phone] = {
    "budget": Phone(4 / 3, 0.003, 0.008, 0.55, 0.07, 0.35, 0.7, 0.012, 0.68),
    "mid-range": Phone(4 / 3, 0.002, 0.005, 0.7, 0.05, 0.45, 0.9, 0.006, 0.5),
    "flagship": Phone(4 / 3, 0.001, 0.003, 0.8, 0.03, 0.55, 0.7, -0.004, 0.42),
    "wide-screen": Phone(16 / 9, 0.0022, 0.006, 0.65, 0.05, 0.4, 0.8, 0.01, 0.52),
    "old-tablet": Phone(4 / 3, 0.005, 0.012, 0.4, 0.1, 0.25, 0.4, 0.018, 0.8),
}
MONITORS: dict[str, MonitorClass] = {
    "office-fhd": MonitorClass((820, 1060), (2.0, 2.4), (0.002, 0.012), 0.10, 0.28, 0.86, 0.35),
    "laptop": MonitorClass((620, 860), (1.9, 2.3), (0.003, 0.02), 0.12, 0.27, 0.82, 0.6),
    "wide-qhd": MonitorClass((1000, 1400), (2.1, 2.3), (0.001, 0.006), 0.06, 0.29, 0.88, 0.25),
    "medical-3mp": MonitorClass((1500, 2048), (2.2, 2.5), (0.0005, 0.003), 0.04, 0.3, 0.9, 0.2),
    "old-tn": MonitorClass((700, 1024), (1.8, 2.2), (0.006, 0.035), 0.18, 0.26, 0.8, 0.9),
}
ROOMS: dict[str, RoomClass] = {
    "reading-room": RoomClass((0.0003, 0.004), (0.6, 1.0), (0, 1), (0.01, 0.04), (0.01, 0.05)),
    "office": RoomClass((0.002, 0.014), (0.2, 0.7), (0, 2), (0.02, 0.12), (0.06, 0.3)),
    "ward": RoomClass((0.003, 0.022), (-0.1, 0.4), (1, 3), (0.03, 0.2), (0.08, 0.4)),
    "by-the-window": RoomClass((0.006, 0.045), (-0.6, -0.1), (1, 3), (0.06, 0.35), (0.1, 0.6)),
}


# The presets that a simulation draws, by its effect; the others have none.
DRAWN: dict[str, tuple[str, ...]] = {"screen": ("phone", "place", "monitor"), "film": ("phone", "place")}
NAMES: dict[str, Iterable[str]] = {"phone": PHONES, "place": ROOMS, "monitor": MONITORS}


def pick(rng: Generator, names: Iterable[str], preset: str | None = None) -> str:
    """Draw a name, or take the preset. The stream moves on alike: a preset that would be drawn changes nothing."""
    known = list(names)
    drawn = known[int(rng.integers(len(known)))]
    return drawn if preset is None else preset


def check_presets(presets: Presets, effects: Iterable[str]) -> None:
    """Raise UsageError for a preset whose name is unknown, or that none of a recipe's effects draws."""
    drawn = {kind for effect in effects for kind in DRAWN.get(effect, ())}
    for kind, known in NAMES.items():
        name = getattr(presets, kind)
        if name is not None and name not in known:
            raise unknown(kind, name, known)
        if name is not None and kind not in drawn:
            able = " or ".join(effect for effect, kinds in DRAWN.items() if kind in kinds)
            raise UsageError(f"a {kind} is chosen for a recipe with {able} in it; this one has none")


def light_colour(warmth: float, strength: float) -> Rgb:
    """Give light between cold (-1) and warm (1)."""
    return (
        strength * (1 + 0.25 * warmth),
        strength * (1 + 0.02 * warmth),
        strength * (1 - 0.35 * warmth),
    )


def sample_camera(rng: Generator, level: int, phone: Phone, size: Size) -> Camera:
    """Draw how a phone takes this one photo; size is (height, width)."""
    height, width = size
    poor = 0.6 + 0.4 * level
    # most errors of the white balance are small, some are gross: blue and violet photos are common
    shift = rng.normal(0, phone.cast * (0.5 + 0.25 * level), 3) * (1, 0.6, 1.2)
    if rng.random() < 0.35:
        cold = abs(rng.normal(0, 7 * phone.cast * (0.5 + 0.25 * level)))
        shift = shift + cold * np.array([-1, -0.8 * rng.random(), 0.4])
    # a third is in perfect focus, and may show moiré; the others miss it by more or less
    focus = 1.0 if rng.random() < 0.35 else float(rng.uniform(1.1, 2.0 + 0.5 * level))
    cast = np.exp(shift)
    r, g, b = (cast / cast.mean()).clip(0.4, 1.9).tolist()
    return Camera(
        width_px=width,
        height_px=height,
        distortion=float(phone.distortion * rng.uniform(-0.3, 1.2)),
        blur_px=float(phone.blur_px * rng.uniform(0.85, 1.1) * focus),
        read=float(phone.read * poor * rng.uniform(0.5, 1.2)),
        shot=float(phone.shot * poor * rng.uniform(0.5, 1.2)),
        awb=float(np.clip(phone.awb * rng.uniform(0.2, 1.2), 0, 1)),
        cast_rgb=(r, g, b),
        target=float(0.30 * np.exp(rng.normal(0, 0.35 + 0.1 * level))),
        tone=float(phone.tone * rng.uniform(-0.7, 0.6)),
        calm_px=float(rng.uniform(0.8, 2.5)),
        sharpen=float(phone.sharpen * rng.uniform(0.3, 1.2)),
        seed=int(rng.integers(2**32)),
        black=float(rng.uniform(0.2, 0.9)),
    )


def sample_room(rng: Generator, level: int, kind: RoomClass, body_rgb: Rgb, body_frac: float) -> Room:
    """Draw a room of a class; more light falls on the glass at higher levels."""
    warmth = float(rng.uniform(*kind.warmth))
    much = 0.3 + 0.35 * level
    haze = light_colour(warmth, float(rng.uniform(*kind.haze)) * much)
    count = int(rng.integers(kind.lights[0], kind.lights[1] + 1))
    patches = [_lamp(rng, warmth, float(rng.uniform(*kind.glow)) * much) for _ in range(count)]
    if rng.random() < 0.3:
        patches = [*patches, *_silhouette(rng)]
    walls = float(rng.uniform(*kind.walls))
    colour = np.array(light_colour(warmth, walls)) * (1 + rng.normal(0, 0.07, 3)).clip(0.6, 1.4)
    near, far = (_rgb(colour * rng.uniform(0.4, 1.2)) for _ in range(2))
    texture, seed = float(rng.uniform(0.01, 0.08)), int(rng.integers(2**32))
    body = _rgb(np.array(body_rgb) * (walls * 2 + 0.02))
    return Room(haze, tuple(patches), near, far, texture, seed, body, body_frac)


def sample_flicker(rng: Generator, level: int, chance: float, most: float) -> Flicker:
    """Draw the bands of a pulsing light, mostly none."""
    if rng.random() > chance:
        return Flicker(0.0, 0.0, 0.0)
    depth = float(rng.uniform(0.01, most * (0.4 + 0.2 * level)))
    return Flicker(depth, float(rng.uniform(0.8, 7)), float(rng.random()))


def photo_size(rng: Generator, aspect: float, xray: Size) -> Size:
    """Give (height, width): twice the x-ray's longer side, 512 to 2048 px, upright or lying."""
    long = int(np.clip(2 * max(xray), 512, 2048)) // 2 * 2
    short = round(long / aspect / 2) * 2
    wide = xray[1] > xray[0] * 1.05 or (xray[0] <= xray[1] * 1.05 and rng.random() < 0.5)
    return (short, long) if wide else (long, short)


def _lamp(rng: Generator, warmth: float, glow: float) -> Patch:
    x, y = rng.uniform(-0.05, 1.05), rng.uniform(-0.05, 1.05)
    window = rng.random() < 0.6
    half_w, half_h = rng.uniform(0.03, 0.2), rng.uniform(0.02, 0.22)
    if not window:
        half_w, half_h = rng.uniform(0.01, 0.05), rng.uniform(0.01, 0.05)
    soft = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    angle, colour = float(rng.normal(0, 8)), light_colour(warmth + float(rng.normal(0, 0.3)), glow)
    return Patch(float(x), float(y), float(half_w), float(half_h), angle, soft, colour, not window)


def _silhouette(rng: Generator) -> list[Patch]:
    """Draw the photographer: head, body and phone take away what the glass would mirror."""
    x, y, size = float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.07, 0.14))
    dark = (-0.8, -0.8, -0.8)
    head = Patch(x, y, size, 1.25 * size, 0.0, 0.03, dark, True)
    body = Patch(x, y + 3.2 * size, 2.2 * size, 2.1 * size, 0.0, 0.05, dark, True)
    return [head, body]


def _rgb(values: object) -> Rgb:
    r, g, b = (float(v) for v in np.asarray(values))
    return r, g, b
