"""An x-ray on a monitor, photographed: `screen`.

The monitor shows the viewer's window with the x-ray in it: its code values become light by gamma and
black level, and sub-pixels of red, green and blue stand side by side. The camera samples them through
its mosaic, so the moiré is nature's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.homography import homography, inverse, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.camera import Camera, FloatPlane, capture, distort
from radsnap.photo.devices import (
    MONITORS,
    PHONES,
    ROOMS,
    MonitorClass,
    light_colour,
    photo_size,
    pick,
    sample_camera,
    sample_flicker,
    sample_room,
)
from radsnap.photo.effect import Canvas, Matrix, Size
from radsnap.photo.geometry import Quad, Rgb, quad_matrix, span_corners
from radsnap.photo.scene import (
    Flicker,
    PanelScene,
    Room,
    Subpixels,
    draw_room,
    panel_matrix,
    sample_pose,
    swing_of,
)

_WORDS = (
    "W 2048 L 1024",
    "Se: 1/2",
    "Im: 1/1",
    "CHEST",
    "Zoom 92%",
    "KV 120",
    "Acc 0417",
    "08:15",
    "512 x 512",
)


@dataclass(frozen=True)
class Monitor:
    """A monitor. Light = black + (1 - black) · v ** gamma, times white_rgb.

    pixels_tall: of the monitor along the x-ray's height; view_x, view_y: how much darker one side is
    than the other, seen at an angle; duty and fill: see Subpixels.
    """

    kind: str
    pixels_tall: int
    gamma: float
    black: float
    white_rgb: Rgb
    view_x: float
    view_y: float
    duty: float
    fill: float
    upright: bool


@dataclass(frozen=True)
class Window:
    """The viewer around the x-ray: margins as fractions of its longer side, grey levels, lines of text."""

    left_frac: float
    top_frac: float
    right_frac: float
    bottom_frac: float
    grey: int
    bar_frac: float
    bar_grey: int
    words: tuple[str, ...]
    word_grey: int


@dataclass(frozen=True)
class Screen:
    """A photo of a monitor. corners_px: where the x-ray's corners would land without lens distortion."""

    phone: str
    place: str
    monitor: Monitor
    window: Window
    room: Room
    flicker: Flicker
    corners_px: Quad
    camera: Camera


def sample_screen(rng: Generator, level: int, canvas: Canvas) -> Screen:
    """Draw monitor, room, pose and camera by level."""
    size = (canvas.height_px, canvas.width_px)
    presets = canvas.presets
    phone, place = pick(rng, PHONES, presets.phone), pick(rng, ROOMS, presets.place)
    kind = pick(rng, MONITORS, presets.monitor)
    photo = photo_size(rng, PHONES[phone].aspect, size)
    monitor = _sample_monitor(rng, level, kind, MONITORS[kind])
    window = _sample_window(rng)
    dark = float(rng.uniform(0.05, 0.5)) if rng.random() < 0.8 else 0.8
    room = sample_room(rng, level, ROOMS[place], (dark, dark, dark), float(rng.uniform(0.02, 0.06)))
    flicker = sample_flicker(rng, level, 0.25, 0.12)
    corners = sample_pose(rng, level, photo, size[1] / size[0])
    return Screen(
        phone, place, monitor, window, room, flicker, corners, sample_camera(rng, level, PHONES[phone], photo)
    )


def apply_screen(image: ByteImage, screen: Screen) -> ByteImage:
    """Take the photo. image: uint8 (H, W) or (H, W, 3); uint8 (height, width, 3) of the camera out."""
    monitor, camera = screen.monitor, screen.camera
    size = (image.shape[0], image.shape[1])
    photo = (camera.height_px, camera.width_px)
    pose = quad_matrix(size, screen.corners_px)
    scale = panel_scale(pose, size)
    shown, offset = show_window(image, screen.window, scale)
    matrix = panel_matrix(pose, offset, scale)
    planes = _shine(shown, monitor, camera.blur_px * pixels_per_photo_pixel(matrix, photo))
    grid = Subpixels(monitor.pixels_tall / (size[0] * scale), monitor.duty, monitor.fill, monitor.upright)
    outline = project(inverse(matrix), span_corners((shown.shape[0], shown.shape[1])) - 0.5)
    scene = PanelScene(
        planes,
        matrix,
        draw_room(screen.room, photo, outline),
        grid,
        swing_of(grid, matrix, photo, camera.blur_px),
        screen.flicker,
        camera.height_px,
        monitor.white_rgb,
    )
    return capture(scene, camera)


def screen_matrix(screen: Screen, size: Size) -> Matrix:
    """Give the homography through the x-ray's four corners as the lens draws them."""
    return seen_matrix(screen.corners_px, screen.camera, size)


def screen_size(screen: Screen, size: Size) -> Size:
    return screen.camera.height_px, screen.camera.width_px


def seen_matrix(corners_px: Quad, camera: Camera, size: Size) -> Matrix:
    """Give the homography whose corners are exact; inside, lens distortion bends it by a few pixels."""
    corners = span_corners(size) - 0.5
    return homography(corners, distort(camera, np.array(corners_px) - 0.5))


def panel_scale(pose: Matrix, size: Size) -> float:
    """Say by how much to reduce an x-ray that has more pixels than the photo shows of it."""
    corners = project(pose, span_corners(size) - 0.5)
    edges = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    shrink = float(edges.max()) / max(size)
    return min(1.0, 1.1 * shrink)


def pixels_per_photo_pixel(matrix: Matrix, photo: Size) -> float:
    """Give the panel's pixels per pixel of the photo at its middle."""
    middle = np.array([photo[1], photo[0]]) / 2
    a, b = project(matrix, middle + np.array([(-0.5, -0.5), (0.5, 0.5)]))
    return float(np.hypot(*(b - a)) / np.sqrt(2))


def show_window(image: ByteImage, window: Window, scale: float) -> tuple[ByteImage, tuple[float, float]]:
    """Draw the viewer's window with the x-ray; returns it and where the x-ray's first pixel lies."""
    if scale < 1:
        h, w = (max(round(n * scale), 1) for n in image.shape[:2])
        image = np.asarray(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
    longer = max(image.shape[:2])
    left, top, right, bottom = (
        round(f * longer) for f in (window.left_frac, window.top_frac, window.right_frac, window.bottom_frac)
    )
    bar = round(window.bar_frac * longer)
    grey = (window.grey,) * 3
    shown = cv2.copyMakeBorder(image, top + bar, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
    shown[:bar] = window.bar_grey
    size = longer / 1100
    colour = (window.word_grey,) * 3
    for i, word in enumerate(window.words):
        side, row = i % 2, i // 2
        x = round(0.012 * longer) if side == 0 else shown.shape[1] - round(0.17 * longer)
        y = bar + round((0.03 + 0.028 * row) * longer)
        cv2.putText(shown, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6 * size, colour, 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8), (float(left), float(top + bar))


def _shine(shown: ByteImage, monitor: Monitor, blur: float) -> tuple[FloatPlane, FloatPlane, FloatPlane]:
    """Turn code values into light, blur it as the lens will, darken what is seen at an angle."""
    ramp = np.arange(256, dtype=np.float64) / 255
    table = (monitor.black + (1 - monitor.black) * ramp**monitor.gamma).astype(np.float32)
    height, width = shown.shape[:2]
    u, v = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in (width, height))
    angle = np.add.outer(1 + monitor.view_y * v, monitor.view_x * u).astype(np.float32)

    def one(codes: NDArray[np.uint8]) -> FloatPlane:
        light = cv2.LUT(codes, table)
        if blur > 0.3:
            light = cv2.GaussianBlur(light, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.multiply(light, angle, light), np.float32)

    if shown.ndim == 2:
        plane = one(shown)
        return plane, plane, plane
    red, green, blue = (one(np.asarray(c, np.uint8)) for c in cv2.split(shown))
    return red, green, blue


def _sample_monitor(rng: Generator, level: int, name: str, kind: MonitorClass) -> Monitor:
    white = np.array(light_colour(float(rng.normal(-0.1, kind.warmth * 2)), 1.0))
    tint = white * (1 + rng.normal(0, 0.012 * level, 3))
    r, g, b = (tint / tint.max()).tolist()
    loss = kind.angle_loss * 0.12 * level
    view_x, view_y = rng.normal(0, loss, 2).clip(-0.8, 0.8).tolist()
    return Monitor(
        name,
        int(rng.integers(kind.pixels_tall[0], kind.pixels_tall[1] + 1)),
        float(rng.uniform(*kind.gamma)),
        float(rng.uniform(*kind.black)) * (0.5 + 0.5 * level),
        (r, g, b),
        view_x,
        view_y,
        kind.duty,
        kind.fill,
        bool(rng.random() < 0.8),
    )


def _sample_window(rng: Generator) -> Window:
    left, right = rng.uniform(0, 0.25, 2).tolist()
    top, bottom = rng.uniform(0, 0.08, 2).tolist()
    grey = int(rng.integers(0, 25)) if rng.random() < 0.85 else int(rng.integers(25, 90))
    bar = float(rng.uniform(0.02, 0.06)) if rng.random() < 0.5 else 0.0
    count = int(rng.integers(0, 7))
    words = tuple(_WORDS[int(i)] for i in rng.integers(0, len(_WORDS), count))
    return Window(
        left, top, right, bottom, grey, bar, int(rng.integers(40, 230)), words, int(rng.integers(120, 250))
    )
