"""From matter to a picture: Beer-Lambert attenuation, scatter, noise, the viewer's curve, collimation, letters."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage, Provenance, Radiograph
from radsnap.phantom.paths import soften
from radsnap.phantom.shapes import Box, Mask

WATER_PER_CM = 0.19  # attenuation at the 100 to 120 kV of chest radiographs
BONE_PER_CM = 0.55
_WORDS = ("PORTABLE", "AP", "SUPINE", "ERECT", "SEMI-UPRIGHT", "PA", "10:42", "AP PORT", "ICU", "2014-03-07")


@dataclass(frozen=True, eq=False)
class Phantom:
    """A made radiograph and the truth about it.

    kind: as the stage 'kind' names it; findings: name → severity in (0, 1]; masks: 'lungs', 'heart' → bool (H, W);
    boxes: finding → boxes (x, y, width, height) in pixels, around every pixel the finding changes noticeably.
    """

    radiograph: Radiograph
    kind: str
    view: str
    body: str
    findings: dict[str, float] = field(default_factory=dict)
    masks: dict[str, Mask] = field(default_factory=dict)
    boxes: dict[str, tuple[Box, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Exposure:
    """How the picture was taken and shown.

    photons: quanta in a pixel of the open beam; scatter: stray light's fraction of the local mean; blur_px:
    sigma at 1024 px; detail: gain of the viewer's unsharp mask; steepness: of the curve; brightness: above 0 lifts the middle greys.
    """

    photons: float = 60_000.0
    scatter: float = 0.2
    blur_px: float = 0.9
    detail: float = 0.3
    steepness: float = 3.6
    brightness: float = 0.2


def sample_exposure(rng: Generator) -> Exposure:
    """Draw an exposure as departments differ in them: soft to hard, old film scans to sharpened digital."""
    low, high = (np.log(8e3), 0.08, 0.2, 0.2, 2.6), (np.log(2e5), 0.28, 0.9, 1.3, 5.0)
    log_photons, scatter, blur_px, detail, steepness = rng.uniform(low, high).tolist()
    brightness = float(rng.normal(0.2, 0.2))
    return Exposure(float(np.exp(log_photons)), scatter, blur_px, detail, steepness, brightness)


def attenuate(water_cm: FloatImage, bone_cm: FloatImage) -> FloatImage:
    """Add up the attenuation along each ray. Returns the negative log of what passes."""
    return np.asarray(np.float32(WATER_PER_CM) * water_cm + np.float32(BONE_PER_CM) * bone_cm, np.float32)


def window(shade: FloatImage, dark: float, bright: float) -> tuple[float, float]:
    """Choose the shades shown as dark and bright, as a workstation does: quantiles of the exposed body."""
    sample = shade[::4, ::4]
    low, high = np.quantile(sample[sample > 0.35] if (sample > 0.35).any() else sample, (dark, bright))
    return float(low - 0.34 * (high - low)), float(high + 0.16 * (high - low))


def expose(rng: Generator, shade: FloatImage, shown: tuple[float, float], exposure: Exposure) -> FloatImage:
    """Take the picture. shade: from `attenuate`; shown: from `window`. Returns (H, W) in [0, 1], bone bright."""
    scale = max(shade.shape) / 1024
    sharp = np.exp(-soften(np.maximum(shade, 0), exposure.blur_px * scale))
    beam = sharp + np.float32(exposure.scatter) * soften(sharp, 55 * scale)
    noise = rng.standard_normal(shade.shape, np.float32)
    beam += np.sqrt(beam * np.float32(1 / exposure.photons)) * noise
    grey = -np.log(np.maximum(beam, np.float32(1e-5))) - np.float32(shown[0])
    grey = np.clip(grey * np.float32(1 / (shown[1] - shown[0])), -1, 2)
    grey += np.float32(exposure.detail) * (grey - soften(grey, 14 * scale))
    # the S-curve of film and viewers: 0 and 1 nearly keep their places, beyond is compressed
    curve = 1 / (1 + np.exp(np.float32(-exposure.steepness) * (grey - np.float32(0.5))))
    floor = np.float32(1 / (1 + np.exp(exposure.steepness * 0.62)))
    toned = np.clip((curve - floor) / (1 - 2 * floor), 0, 1)
    return np.asarray(cv2.pow(toned, 1 / (1 + exposure.brightness)), np.float32)


def picture(
    rng: Generator, shade: FloatImage, shown: tuple[float, float], exposure: Exposure, cm_px: float,
    shape: tuple[int, int], body: str, view: str,
) -> Radiograph:  # fmt: skip
    """Expose matter at the picture's shape, add what a department adds, and say where it comes from."""
    if shade.shape != shape:
        shade = np.asarray(cv2.resize(shade, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    pixels = mark(rng, expose(rng, shade, shown, exposure))
    return Radiograph(pixels, (10 / cm_px, 10 / cm_px), Provenance("phantom", "phantom", "DX", body, view))


def mark(rng: Generator, pixels: FloatImage) -> FloatImage:
    """Collimate the picture and put letters on it. pixels (H, W) in [0, 1]; a new picture comes back."""
    height, width = pixels.shape
    out = pixels.copy()
    if rng.random() < 0.35:
        inset = rng.uniform(-0.02, 0.07, (4, 2)) * (width, height) * [(1, 1), (-1, 1), (-1, -1), (1, -1)]
        corners = inset + np.array([(0, 0), (width, 0), (width, height), (0, height)])
        inside = cv2.fillConvexPoly(np.zeros(pixels.shape, np.uint8), np.rint(corners).astype(np.int32), 255)
        inside = cv2.blur(inside, (3, 3)).astype(np.float32) / 255
        border = np.float32(1.0 if rng.random() < 0.06 else rng.uniform(0, 0.08))
        out = np.asarray(out * inside + border * (1 - inside), np.float32)
    if rng.random() < 0.8:
        side = -1 if rng.random() < 0.25 else 1
        at = (0.5 + side * rng.uniform(0.33, 0.44), rng.uniform(0.04, 0.2))
        out = letters(rng, out, "L" if side > 0 else "R", at, rng.uniform(0.02, 0.045), rng.normal(0, 18))
    for _ in range(int(rng.integers(1, 3)) if rng.random() < 0.3 else 0):
        at = (rng.uniform(0.12, 0.88), rng.choice([0.03, 0.06, 0.95]))
        out = letters(rng, out, str(rng.choice(_WORDS)), at, rng.uniform(0.012, 0.022), 0.0)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def letters(
    rng: Generator, pixels: FloatImage, text: str, at: tuple[float, float], height: float, angle_deg: float
) -> FloatImage:
    """Write letters, as of lead or burned in; at and height are fractions of the picture's sides."""
    tall, ink = height * max(pixels.shape), np.zeros(pixels.shape, np.uint8)
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX]))
    thick = max(1, round(tall * rng.uniform(0.12, 0.22)))
    (wide, _), _ = cv2.getTextSize(text, font, tall / 21, thick)
    x, y = at[0] * pixels.shape[1], at[1] * pixels.shape[0]
    place = (round(x - wide / 2), round(y + tall / 2))
    cv2.putText(ink, text, place, font, tall / 21, 255, thick, cv2.LINE_AA)
    if len(text) == 1 and rng.random() < 0.3:
        cv2.circle(ink, (round(x), round(y)), round(tall), 255, max(1, thick // 2), cv2.LINE_AA)
    turned = cv2.warpAffine(ink, cv2.getRotationMatrix2D((x, y), angle_deg, 1.0), pixels.shape[::-1])
    alpha = turned.astype(np.float32) * np.float32(rng.uniform(0.75, 1) / 255)
    return np.asarray(pixels + (np.float32(rng.uniform(0.85, 1)) - pixels) * alpha, np.float32)
