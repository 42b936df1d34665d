"""From matter to a picture: Beer-Lambert attenuation, scatter, noise, the viewer's curve, collimation, letters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage, Provenance, Radiograph
from radsnap.phantom.paths import soften
from radsnap.phantom.shapes import Box, Frame, Mask, Points

Shades = tuple[float, float]
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
    low, high = (math.log(8e3), 0.08, 0.2, 0.2, 2.6), (math.log(2e5), 0.28, 0.9, 1.3, 5.0)
    log_photons, scatter, blur_px, detail, steepness = rng.uniform(low, high).tolist()
    return Exposure(math.exp(log_photons), scatter, blur_px, detail, steepness, rng.normal(0.2, 0.2))


def attenuate(water_cm: FloatImage, bone_cm: FloatImage) -> FloatImage:
    """Add up the attenuation along each ray. Returns the negative log of what passes."""
    return np.asarray(WATER_PER_CM * water_cm + BONE_PER_CM * bone_cm)


def window(matter: FloatImage, dark: float, bright: float) -> Shades:
    """Choose the shades shown as dark and bright, as a workstation does: quantiles of the exposed body."""
    sample = matter[::4, ::4]
    low, high = np.quantile(sample[sample > min(0.35, sample.max() / 2)], (dark, bright)).tolist()
    return low - 0.34 * (high - low), high + 0.16 * (high - low)


def picture(
    rng: Generator, matter: FloatImage, shown: Shades, exposure: Exposure, frame: Frame, body: str, view: str
) -> Radiograph:
    """Expose matter at the frame's size, add what a department adds, and say where it comes from."""
    matter = np.asarray(cv2.resize(matter, frame.shape[::-1], interpolation=cv2.INTER_CUBIC))
    pixels = mark(rng, expose(rng, matter, shown, exposure))
    spacing_mm = (10 / frame.cm_px, 10 / frame.cm_px)
    return Radiograph(pixels, spacing_mm, Provenance("phantom", "phantom", "DX", body, view))


def expose(rng: Generator, matter: FloatImage, shown: Shades, exposure: Exposure) -> FloatImage:
    """Take the picture. matter: from `attenuate`; shown: from `window`. Returns (H, W) in [0, 1], bone bright."""
    scale, (low, high) = max(matter.shape) / 1024, shown
    sharp = np.exp(-soften(np.maximum(matter, 0), exposure.blur_px * scale))
    beam = sharp + exposure.scatter * soften(sharp, 55 * scale)
    beam += np.sqrt(beam / exposure.photons) * rng.standard_normal(matter.shape, np.float32)
    grey = np.clip((-np.log(np.maximum(beam, 1e-5)) - low) / (high - low), -1, 2)
    grey += exposure.detail * (grey - soften(grey, 14 * scale))
    # the S-curve of film and viewers: 0 and 1 nearly keep their places, beyond is compressed
    curve = 1 / (1 + np.exp(-exposure.steepness * (grey - 0.5)))
    floor = 1 / (1 + math.exp(exposure.steepness * 0.62))
    toned = np.clip((curve - floor) / (1 - 2 * floor), 0, 1)
    return np.asarray(cv2.pow(toned, 1 / (1 + exposure.brightness)), np.float32)


def mark(rng: Generator, pixels: FloatImage) -> FloatImage:
    """Collimate the picture and put letters on it. pixels (H, W) in [0, 1]; a new picture comes back."""
    height, width = pixels.shape
    if rng.random() < 0.35:
        inside = soften(Frame((height, width)).fill(quad(rng, (width, height), -0.02, 0.07)), 0.7)
        border = 1.0 if rng.random() < 0.06 else rng.uniform(0, 0.08)
        pixels = border + (pixels - border) * inside
    if rng.random() < 0.8:
        side, text = (-1, "R") if rng.random() < 0.25 else (1, "L")
        at, height = (0.5 + side * rng.uniform(0.33, 0.44), rng.uniform(0.04, 0.2)), rng.uniform(0.02, 0.045)
        pixels = letters(rng, pixels, text, at, height, rng.normal(0, 18))
    for _ in range(rng.choice((0, 1, 2), p=(0.7, 0.15, 0.15))):
        at = (rng.uniform(0.12, 0.88), rng.choice((0.03, 0.06, 0.95)))
        pixels = letters(rng, pixels, str(rng.choice(_WORDS)), at, rng.uniform(0.012, 0.022))
    return np.asarray(np.clip(pixels, 0, 1), np.float32)


def letters(
    rng: Generator, pixels: FloatImage, text: str, at: tuple[float, float], height: float, turn_deg: float = 0
) -> FloatImage:
    """Write letters, as of lead or burned in; at and height are fractions of the picture's sides."""
    ink, tall, font = np.zeros(pixels.shape, np.uint8), height * max(pixels.shape), cv2.FONT_HERSHEY_SIMPLEX
    x, y = round(at[0] * pixels.shape[1]), round(at[1] * pixels.shape[0])
    thick = max(1, round(tall * rng.uniform(0.12, 0.22)))
    (wide, _), _ = cv2.getTextSize(text, font, tall / 21, thick)
    cv2.putText(ink, text, (x - wide // 2, y + round(tall / 2)), font, tall / 21, 255, thick, cv2.LINE_AA)
    if len(text) == 1 and rng.random() < 0.3:
        cv2.circle(ink, (x, y), round(tall), 255, max(1, thick // 2), cv2.LINE_AA)
    turned = cv2.warpAffine(ink, cv2.getRotationMatrix2D((x, y), turn_deg, 1), pixels.shape[::-1])
    return pixels + (rng.uniform(0.85, 1) - pixels) * (turned * np.float32(rng.uniform(0.75, 1) / 255))


def quad(rng: Generator, size: tuple[int, int], least: float, most: float) -> Points:
    """Draw four corners near those of a picture (width, height), shifted inwards by fractions of its sides."""
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    return np.asarray((corners + rng.uniform(least, most, (4, 2)) * (1 - 2 * corners)) * size)
