"""What the camera sees: a lit panel (monitor or light box) in a pose, in a room that it reflects."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.homography import inverse, project
from radsnap.photo.camera import FloatPlane
from radsnap.photo.effect import Matrix, Size
from radsnap.photo.geometry import Quad, Rgb, as_quad, span_corners

_AMBIENT_STEP = 4  # the room is drawn at a quarter of the photo's size: nothing in it is sharp


@dataclass(frozen=True)
class Patch:
    """A light in the room as the glass mirrors it (or a dark shape: the photographer, with negative light).

    Centre and half sizes as fractions of the photo's longer side; round or a box with a cross-bar or not.
    """

    x_frac: float
    y_frac: float
    half_width_frac: float
    half_height_frac: float
    angle_deg: float
    soft_frac: float
    light_rgb: Rgb
    round: bool


@dataclass(frozen=True)
class Room:
    """The room's light. Lights are relative to the panel's white (1).

    haze_rgb: what the glass scatters everywhere; ground_rgb and far_rgb: desk or wall behind, near and
    far; body_rgb: the panel's bezel or housing; body_frac: its width of the panel's longer side.
    """

    haze_rgb: Rgb
    patches: tuple[Patch, ...]
    ground_rgb: Rgb
    far_rgb: Rgb
    texture: float
    texture_seed: int
    body_rgb: Rgb
    body_frac: float


@dataclass(frozen=True)
class Flicker:
    """Bands of a rolling shutter under pulsing light: 1 + depth · cos(2π · (cycles · row / height + phase))."""

    depth: float
    cycles: float
    phase: float


@dataclass(frozen=True)
class Subpixels:
    """A monitor's grid: pixels of it per pixel of the panel's picture, and what of each shines.

    Stripes of red, green, blue take `duty` of a pixel's width each and `fill` of its height; `upright`
    is false on a monitor turned by 90 degrees.
    """

    per_pixel: float
    duty: float
    fill: float
    upright: bool


@dataclass(frozen=True, eq=False)
class PanelScene:
    """A lit panel and the room around it; a Scene for the camera.

    planes: the panel's light, one (h, w) a channel, times gain_rgb; matrix: from the photo to the panel's pixels;
    ambient: the room, one a channel, at a quarter of the size; swing: strength of the sub-pixels'
    first and second wave across and along, after lens and photosite.
    """

    planes: tuple[FloatPlane, FloatPlane, FloatPlane]
    matrix: Matrix
    ambient: tuple[FloatPlane, FloatPlane, FloatPlane]
    subpixels: Subpixels | None
    swing: tuple[float, float, float]
    flicker: Flicker
    height_px: int
    gain_rgb: Rgb = (1.0, 1.0, 1.0)

    def light(self, channel: int, x: FloatPlane, y: FloatPlane) -> FloatPlane:
        """Look the panel up, put the sub-pixels on it, add the room."""
        u, v = _map(self.matrix, x, y)
        plane = self.planes[channel]
        shine: FloatPlane = np.asarray(
            cv2.remap(plane, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        )
        if self.gain_rgb[channel] != 1:
            shine *= self.gain_rgb[channel]
        if self.subpixels is not None and max(self.swing) > 0.002:
            shine *= self._grid(channel, u, v)
        if self.flicker.depth > 0:
            turn = np.float32(2 * np.pi * self.flicker.cycles / self.height_px)
            wave = np.cos(y[:, :1] * turn + np.float32(2 * np.pi * self.flicker.phase))
            shine *= np.asarray(1 + np.float32(self.flicker.depth) * wave, np.float32)
        step = np.float32(1 / _AMBIENT_STEP)
        shift = np.float32(0.5 / _AMBIENT_STEP - 0.5)
        room = cv2.remap(
            self.ambient[channel],
            x * step + shift,
            y * step + shift,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        shine += np.asarray(room, np.float32)
        return shine

    def _grid(self, channel: int, u: FloatPlane, v: FloatPlane) -> FloatPlane:
        """Give the stripes' light where a photosite of this colour looks: 1 on the mean.

        A stripe of width d repeats every pixel: 1 + Σ 2 sinc(kd) cos(2πk(u - phase)), of which lens and
        photosite leave the first two terms.
        """
        assert self.subpixels is not None
        across, along = (u, v) if self.subpixels.upright else (v, u)
        turn = np.float32(2 * np.pi * self.subpixels.per_pixel)
        phase = np.float32(2 * np.pi * (channel - 1) / 3)
        first, second, rows = (np.float32(s) for s in self.swing)
        wave = np.cos(across * turn - phase)
        grid = wave * (first + 2 * second * wave) + (1 - second)  # cos 2a = 2 cos² a - 1
        if rows > 0.002:
            grid *= 1 + rows * np.cos(along * turn)
        return np.asarray(grid, np.float32)


def swing_of(grid: Subpixels, matrix: Matrix, size: Size, blur_px: float) -> tuple[float, float, float]:
    """Work out what lens (Gaussian) and photosite (square) leave of the sub-pixels' waves.

    matrix: from the photo to the panel's pixels; size: the photo's. Taken at the photo's middle.
    """
    middle = np.array([size[1], size[0]]) / 2
    points = project(matrix, middle + np.array([(0, 0), (1, 0), (0, 1)]))
    slopes = (points[1:] - points[0]) * grid.per_pixel  # rows: along x and y of the photo; columns: u, v
    across, along = (slopes[:, 0], slopes[:, 1]) if grid.upright else (slopes[:, 1], slopes[:, 0])

    def left(wave: NDArray[np.float64]) -> float:
        lens = np.exp(-2 * np.pi**2 * blur_px**2 * float(wave @ wave))
        return float(lens * abs(np.sinc(wave[0]) * np.sinc(wave[1])))

    first = 2 * float(np.sinc(grid.duty)) * left(across)
    second = 2 * float(np.sinc(2 * grid.duty)) * left(2 * across)
    return first, second, 2 * float(np.sinc(grid.fill)) * left(along)


def draw_room(
    room: Room, size: Size, panel_corners: NDArray[np.float64]
) -> tuple[FloatPlane, FloatPlane, FloatPlane]:
    """Draw what is not the panel's own light, at a quarter of the size (height, width).

    panel_corners: the panel's outer corners in the photo.
    """
    height, width = (-(-n // _AMBIENT_STEP) for n in size)
    corners = (panel_corners + 0.5) / _AMBIENT_STEP - 0.5
    run = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ground = np.array(room.ground_rgb, np.float32) * run + np.array(room.far_rgb, np.float32) * (1 - run)
    rng = np.random.Generator(np.random.PCG64(room.texture_seed))
    grain = cv2.resize(
        rng.standard_normal((max(height // 6, 2), max(width // 6, 2))).astype(np.float32), (width, height)
    )
    scene = ground * (1 + np.float32(room.texture) * grain[..., None])
    middle = corners.mean(axis=0)
    body = middle + (corners - middle) * (1 + 2 * room.body_frac)
    scene *= 1 - 0.45 * _shadow(middle + (corners - middle) * (1 + 3.4 * room.body_frac), (height, width))
    _fill(scene, body, room.body_rgb)
    glass = cv2.resize(_glass(room, (-(-height // 2), -(-width // 2))), (width, height))
    _fill(scene, corners, np.asarray(glass, np.float32))
    soft = cv2.GaussianBlur(scene, (0, 0), 0.8)
    red, green, blue = cv2.split(np.maximum(soft, 0))
    return np.asarray(red), np.asarray(green), np.asarray(blue)


def _shadow(corners: NDArray[np.float64], size: Size) -> NDArray[np.float32]:
    """Draw the panel's soft shadow on what is behind it: (h, w, 1), 1 in the dark; at a quarter, for speed."""
    height, width = size
    small = np.zeros((max(height // 4, 1), max(width // 4, 1)), np.uint8)
    points = np.rint((corners / 4).clip(-8000, 8000) * 16).astype(np.int32)
    cv2.fillConvexPoly(small, points, 255, cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(small, (0, 0), max(height / 160, 0.5))
    return np.asarray(cv2.resize(soft, (width, height)) / np.float32(255), np.float32)[..., None]


def _glass(room: Room, size: Size) -> NDArray[np.float32]:
    """Draw the haze and the mirrored lights, at half the room's size: they are soft."""
    height, width = size
    longer = max(size)
    y, x = (np.arange(n, dtype=np.float32) / longer for n in size)
    haze = np.array(room.haze_rgb, np.float32)
    glass = np.broadcast_to(haze, (height, width, 3)).copy()
    for patch in room.patches:
        a = np.deg2rad(patch.angle_deg)
        dx, dy = x[None, :] - patch.x_frac, y[:, None] - patch.y_frac
        p = np.abs(np.cos(a) * dx + np.sin(a) * dy) / patch.half_width_frac
        q = np.abs(np.cos(a) * dy - np.sin(a) * dx) / patch.half_height_frac
        reach = np.hypot(p, q) if patch.round else np.maximum(p, q)
        soft = max(patch.soft_frac / min(patch.half_width_frac, patch.half_height_frac), 0.02)
        inside = 1 / (1 + np.exp(((reach - 1) * 4 / soft).clip(-30, 30)))
        light = np.array(patch.light_rgb, np.float32)
        # a dark shape takes haze away, a light one adds to it
        glass *= 1 + inside[..., None] * np.minimum(light, 0)
        glass += inside[..., None] * np.maximum(light, 0)
    return glass.astype(np.float32)


def sample_pose(rng: Generator, level: int, photo: Size, aspect: float) -> Quad:
    """Draw where a picture of this aspect (width / height) lands: mostly filling the photo, a little askew.

    Perspective comes from a pinhole: the plane turns about two axes before it is projected.
    """
    height, width = photo
    fill = float(rng.normal(1.06 - 0.03 * level, 0.05 + 0.03 * level))
    tall = min(height, width / aspect) * np.clip(fill, 0.5, 1.25)
    yaw, pitch = np.deg2rad(rng.normal(0, 1.5 + 3.0 * level, 2).clip(-32, 32))
    roll = np.deg2rad(rng.normal(0, 0.6 + 0.9 * level))
    corners = (span_corners((1, 1)) - 0.5) * (tall * aspect, tall)
    far = 1.25 * max(height, width)
    plane = np.column_stack([corners, np.zeros(4)])
    turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_roll = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turned = plane @ (turn_roll @ turn_pitch @ turn_yaw).T
    flat = turned[:, :2] * (far / (far + turned[:, 2:]))
    shift = rng.normal(0, 0.01 + 0.012 * level, 2) * (width, height)
    return as_quad(flat + np.array([width / 2, height / 2]) + shift)


def panel_matrix(quad_to_photo: Matrix, offset: tuple[float, float], scale: float) -> Matrix:
    """Give the map from the photo to the panel's pixels, of which the x-ray is a part.

    quad_to_photo: from the x-ray's pixels; offset: of the x-ray in the panel, after `scale`.
    """
    into = np.array(
        [[scale, 0, offset[0] + (scale - 1) / 2], [0, scale, offset[1] + (scale - 1) / 2], [0, 0, 1]]
    )
    return into @ inverse(quad_to_photo)


def _map(matrix: Matrix, x: FloatPlane, y: FloatPlane) -> tuple[FloatPlane, FloatPlane]:
    """Apply a homography to planes of coordinates."""
    m = (matrix / matrix[2, 2]).astype(np.float32)
    depth = x * m[2, 0]
    depth += y * m[2, 1]
    depth += 1
    np.reciprocal(depth, out=depth)
    u, v = x * m[0, 0], x * m[1, 0]
    u += y * m[0, 1]
    v += y * m[1, 1]
    u += m[0, 2]
    v += m[1, 2]
    u *= depth
    v *= depth
    return u, v


def _fill(scene: NDArray[np.float32], corners: NDArray[np.float64], fill: NDArray[np.float32] | Rgb) -> None:
    """Fill a quadrilateral with a colour or a picture, its edges smoothed."""
    mask = np.zeros(scene.shape[:2], np.uint8)
    points = np.rint(corners.clip(-30000, 30000) * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, shift=4)
    weight = (mask.astype(np.float32) / 255)[..., None]
    scene += weight * (np.asarray(fill, np.float32) - scene)
