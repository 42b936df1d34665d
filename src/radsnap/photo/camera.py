"""A phone's camera: lens, colour-filter mosaic, noise, automatic exposure and white balance, tone, sharpening.

The scene is asked for its light only where a photosite is, and only in the photosite's colour. So moiré
needs no drawing: a monitor's sub-pixels are sampled through the mosaic (red and blue at every second
pixel), and what the sampling folds down is demosaiced into colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.sensor import normal_field

FloatPlane = NDArray[np.float32]
_MOSAIC = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))  # row, column, channel: RGGB
_SITES = 1 << 15  # photosites of one colour at a time
_LARGEST_PX = 8192


@dataclass(frozen=True)
class Camera:
    """A camera and how it was held. Lengths in pixels of the photo.

    distortion: the lens takes a point at r (of half the diagonal) from r · (1 + distortion · r²);
    blur_px: standard deviation of lens and focus; noise of a photosite at light v (1 is white) has
    variance read² + shot² · v; awb: 0 leaves the light's colour, 1 makes the mean grey; cast_rgb: the
    white balance's error; target: the mean grey after exposure (linear); tone: the strength of the
    S-curve (below 0 it lifts shadows); calm_px: standard deviation of the smoothing of colour noise;
    sharpen: of the unsharp mask; seed: of the noise; black: the share of the darkest light that the
    phone takes for stray light and subtracts.
    """

    width_px: int
    height_px: int
    distortion: float
    blur_px: float
    read: float
    shot: float
    awb: float
    cast_rgb: tuple[float, float, float]
    target: float
    tone: float
    calm_px: float
    sharpen: float
    seed: int
    black: float = 0.0


class Scene(Protocol):
    """What stands before the camera, in coordinates of the photo without distortion."""

    def light(self, channel: int, x: FloatPlane, y: FloatPlane) -> FloatPlane:
        """Give the linear light of a channel at points x, y; arrays of one shape."""


def ideal(camera: Camera, x: FloatPlane, y: FloatPlane) -> tuple[FloatPlane, FloatPlane]:
    """Take points of the photo to where an ideal lens would have put them."""
    if camera.distortion == 0:
        return x, y
    half = _half(camera)
    centre_x, centre_y = np.float32((camera.width_px - 1) / 2), np.float32((camera.height_px - 1) / 2)
    dx, dy = x - centre_x, y - centre_y
    swell = dx * dx
    swell += dy * dy
    swell *= np.float32(camera.distortion / half**2)
    return x + dx * swell, y + dy * swell


def distort(camera: Camera, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take ideal points (N, 2) to the photo: the inverse of `ideal`, by Newton's method on the radius."""
    centre = np.array([(camera.width_px - 1) / 2, (camera.height_px - 1) / 2])
    away = (points - centre) / _half(camera)
    want = np.maximum(np.hypot(*away.T), 1e-12)
    radius = want.copy()
    for _ in range(30):
        error = radius * (1 + camera.distortion * radius**2) - want
        radius -= error / np.maximum(1 + 3 * camera.distortion * radius**2, 0.1)
    return np.asarray(centre + away * (radius / want)[:, None] * _half(camera))


def capture(scene: Scene, camera: Camera) -> ByteImage:
    """Take the photo: uint8 (height, width, 3)."""
    width, height = camera.width_px, camera.height_px
    if not (16 <= width <= _LARGEST_PX and 16 <= height <= _LARGEST_PX) or width % 2 or height % 2:
        raise UsageError(f"a photo has even sides of 16 to {_LARGEST_PX} px, got {width}×{height}")
    gains, black = _meter(scene, camera)
    mosaic = np.empty((height, width), np.uint16)
    rows = max(_SITES // (width // 2), 1)
    noise = normal_field((4, height // 2, width // 2), camera.seed)
    for start in range(0, height // 2, rows):
        end = min(start + rows, height // 2)
        for site, (row, column, channel) in enumerate(_MOSAIC):
            ys = np.arange(2 * start + row, 2 * end, 2, dtype=np.float32)
            xs = np.arange(column, width, 2, dtype=np.float32)
            x, y = ideal(camera, np.tile(xs, (len(ys), 1)), np.repeat(ys[:, None], len(xs), axis=1))
            value = scene.light(channel, x, y) * np.float32(gains[channel])
            mosaic[2 * start + row : 2 * end : 2, column::2] = _read_out(
                value, camera, noise[site, start:end]
            )
    colour = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)
    photo = cv2.LUT(colour, _tone_table(camera.tone, black))
    return _sharpen(_calm(np.asarray(photo, np.uint8), camera.calm_px), camera.sharpen)


def _half(camera: Camera) -> float:
    return float(np.hypot(camera.width_px, camera.height_px)) / 2


def _meter(scene: Scene, camera: Camera) -> tuple[NDArray[np.float64], float]:
    """Set exposure and white balance (a gain a channel) and the black point, from a coarse look.

    The middle counts most, as phones weigh it.
    """
    ys, xs = np.mgrid[0 : camera.height_px : 48j, 0 : camera.width_px : 64j].astype(np.float32)
    weight = np.exp(-2 * ((xs / camera.width_px - 0.5) ** 2 + (ys / camera.height_px - 0.5) ** 2) / 0.25)
    looks = [scene.light(c, xs, ys) for c in range(3)]
    means = np.array([float((look * weight).sum() / weight.sum()) for look in looks]).clip(1e-6)
    bright = float(np.percentile(looks[1], 97))
    balance = (means[1] / means) ** camera.awb * np.array(camera.cast_rgb)
    exposure = min(camera.target / float((means * balance).mean()), 1.05 / max(bright, 1e-6))
    dark = float(np.percentile(sum(g * look for g, look in zip(balance, looks, strict=True)), 2)) / 3
    return np.asarray(exposure * balance, np.float64), min(camera.black * exposure * dark, 0.5)


def _read_out(value: FloatPlane, camera: Camera, noise: FloatPlane) -> NDArray[np.uint16]:
    """Add shot and read noise and turn light into numbers of 16 bits."""
    strength = np.maximum(value, 0)
    strength *= np.float32(camera.shot**2)
    strength += np.float32(camera.read**2)
    np.sqrt(strength, out=strength)
    strength *= noise
    strength += value
    strength *= np.float32(65535)
    return np.clip(strength, 0, 65535, out=strength).astype(np.uint16)


def _tone_table(tone: float, black: float) -> NDArray[np.uint8]:
    """Make sRGB's curve above `black` (linear) with an S of strength `tone` on top, from 16 to 8 bits."""
    v = np.maximum(np.arange(1 << 16) / 65535 - black, 0) / (1 - black)
    code = np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)
    code = code + tone * (code * code * (3 - 2 * code) - code)
    return np.asarray(np.rint(255 * code.clip(0, 1)), np.uint8)


def _calm(photo: ByteImage, sigma: float) -> ByteImage:
    """Smooth the colour, at half the size, and leave the brightness: what every phone does to its noise."""
    if sigma <= 0:
        return photo
    height, width = photo.shape[:2]
    bright, red, blue = cv2.split(cv2.cvtColor(photo, cv2.COLOR_RGB2YCrCb))
    smooth = []
    for colour in (red, blue):
        half = cv2.resize(colour, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        half = cv2.GaussianBlur(half, (0, 0), sigma / 2)
        smooth.append(cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.cvtColor(cv2.merge([bright, *smooth]), cv2.COLOR_YCrCb2RGB), np.uint8)


def _sharpen(photo: ByteImage, strength: float) -> ByteImage:
    if strength <= 0:
        return photo
    soft = cv2.GaussianBlur(photo, (5, 5), 1.1)
    return np.asarray(cv2.addWeighted(photo, 1 + strength, soft, -strength, 0), np.uint8)
