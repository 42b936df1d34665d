"""Frontal chests with findings, their masks and their boxes.

A finding's severity runs from 0 (none) to 1 (as severe as films show).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.errors import UsageError
from radsnap.findings import canonical
from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import depth, grain, shade, soften
from radsnap.phantom.picture import Phantom, attenuate, picture, window
from radsnap.phantom.shapes import Box, Mask, Part, Shape, blob, outline
from radsnap.phantom.thorax import Anatomy, Layers, build, heart_outline, lung_outline, sample_anatomy
from radsnap.seeds import stream


@dataclass(frozen=True)
class Lesion:
    """One finding to draw. side: -1 the patient's right, +1 the left; findings of both sides ignore it."""

    finding: str
    severity: float = 0.6
    side: int = 1


def _flood(layers: Layers, lesion: Lesion, share: FloatImage) -> FloatImage:
    """Fill a share, 0 to 1 a pixel, of one lung's air with water; vessels drown in it. Returns the share in the lung."""
    share = soften(share * layers.lungs[lesion.side], 0.003 * layers.frame.unit)
    layers.air *= 1 - share
    layers.vessels *= 1 - share
    return share


def _spot(layers: Layers, lesion: Lesion, rng: Generator, low: float, high: float) -> tuple[float, float]:
    """Choose a place inside the lung of the lesion's side, between two levels, where there is air to replace."""
    xs, ys = layers.frame.grid()
    free = layers.lungs[lesion.side] & (layers.air > 3) & (np.abs(xs) < 0.42) & (ys > low) & (ys < high)
    place = np.argmax(free * rng.random(free.shape, np.float32))
    return float(xs.flat[place]), float(ys.flat[place])


def effusion(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Fill the pleural space from below, with a meniscus that climbs the lateral wall."""
    xs, ys = layers.frame.grid()
    outward = np.clip((xs * lesion.side - 0.12) / 0.36, 0, 1.2)
    level = 0.85 - 0.6 * lesion.severity - 0.13 * outward**3 + 0.02 * rng.normal() - 0.05 * (outward < 0.02)
    wet = np.clip((ys - level) / (0.05 + 0.05 * lesion.severity) + 0.3, 0, 0.95)
    layers.bone *= 1 - 0.5 * _flood(layers, lesion, wet)  # stray light from so much water veils the ribs


def consolidation(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Fill alveoli in a patch with a cloudy border; bronchi stay faintly open."""
    x, y = _spot(layers, lesion, rng, 0.25, 0.8)
    (xs, ys), radius = layers.frame.grid(), 0.07 + 0.15 * lesion.severity
    away = np.hypot((xs - x) / radius, (ys - y) / (radius * layers.anatomy.aspect * rng.uniform(0.8, 1.2)))
    cloud = grain(rng, layers.frame.shape, layers.frame.unit / 55, 4, 0.8)
    share = np.clip(1.15 - away + 0.28 * cloud * np.clip(1.7 - away, 0, 1), 0, 1)
    _flood(layers, lesion, share * (0.35 + 0.45 * lesion.severity))


def edema(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Haze both lungs from the hila like a bat's wings, swell the vessels and blur them."""
    (xs, ys), unit = layers.frame.grid(), layers.frame.unit
    wings = np.exp(-(((np.abs(xs) - 0.16) / 0.17) ** 2) - ((ys - 0.5) / 0.3) ** 2)
    cloud = 0.75 + 0.3 * grain(rng, layers.frame.shape, unit / 90, 4, 0.7)
    share = np.clip(wings * cloud, 0, 1) * (layers.lungs[-1] | layers.lungs[1])
    layers.vessels += lesion.severity * (1.9 * soften(layers.vessels, 0.004 * unit) - layers.vessels)
    layers.air *= 1 - (0.25 + 0.45 * lesion.severity) * share


def atelectasis(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Collapse plates of a lower lobe: narrow bands, and a haze below them."""
    frame, severity = layers.frame, lesion.severity
    for _ in range(1 + round(2 * severity)):
        x, y = _spot(layers, lesion, rng, 0.55, 0.8)
        reach, slope = rng.uniform(0.05, 0.11) * (0.7 + severity), lesion.side * rng.normal(0.1, 0.25)
        for fog, wide, below, blur in ((0.2, 0.004 + 0.008 * severity, 0, 0.004), (0.1, 0.04, 0.04, 0.02)):
            band = frame.fill(outline((x, y + below, reach, wide, slope)))
            _flood(layers, lesion, (fog + 0.25 * severity) * soften(band, blur * frame.unit))


def pneumothorax(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Draw the lung back from the wall towards its hilum: no vessels outside, a thin line at its edge."""
    lung, fine_px = layers.lungs[lesion.side], 0.0015 * layers.frame.unit
    wall, hilum = lung_outline(layers.anatomy, lesion.side), np.array((lesion.side * 0.1, 0.5))
    far = np.clip((np.abs(wall[:, :1]) - 0.1) / 0.36, 0, 1) + np.clip(0.21 - 0.7 * wall[:, 1:], 0, 1)
    shrink = np.clip(far * (0.12 + 0.5 * lesion.severity) * rng.normal(1, 0.06), 0, 0.75)
    inner = layers.frame.fill(wall + (hilum - wall) * shrink) > 0
    free, edge = soften(lung & ~inner, fine_px), soften(inner & (depth(inner) < 1.5), fine_px)
    layers.vessels *= 1 - free
    layers.air *= 1 + 0.12 * free - 0.3 * lesion.severity * (inner & lung)
    layers.tissue += 1.4 * edge * (depth(lung) > 8 * fine_px)


def nodule(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Put a round solid mass of 0.5 to 2.2 cm radius into a lung."""
    frame, anatomy = layers.frame, layers.anatomy
    radius_cm = (0.5 + 1.7 * lesion.severity**1.5) * (0.6 if anatomy.child else 1)
    wide = radius_cm / anatomy.lung_width_cm
    place = (*_spot(layers, lesion, rng, 0.15, 0.75), wide, wide * frame.unit / frame.unit_px[1])
    ball = shade(frame, Part((blob(rng, place, 0.07),), 1.7 * radius_cm, wide, blur=0.08 * wide))
    layers.air -= np.minimum(ball, layers.air)


# how each is drawn; an enlarged heart is not: the chest is built around it
LESIONS: dict[str, Callable[[Layers, Lesion, Generator], None]] = {
    "Atelectasis": atelectasis, "Consolidation": consolidation, "Edema": edema, "Nodule": nodule,
    "Pleural Effusion": effusion, "Pneumothorax": pneumothorax,
}  # fmt: skip
FINDINGS_DRAWN = ("Cardiomegaly", *LESIONS)
DEFAULT_CHANCES: Mapping[str, float] = dict.fromkeys(FINDINGS_DRAWN, 0.14)
_NOTICEABLE_CM = 0.2  # of water; about half a percent of the display's range


def chest(anatomy: Anatomy | Generator, lesions: Sequence[Lesion] = (), size_px: int = 1024) -> Phantom:
    """Make a frontal chest of a patient (or of one drawn from a generator) with these lesions.

    The longer side has size_px pixels (at least 32). The same anatomy without a lesion differs from it by the lesion
    only. Raises UsageError for a finding that cannot be drawn, a severity outside (0, 1] or a size too small.
    """
    if isinstance(anatomy, Generator):
        anatomy = sample_anatomy(anatomy)
    lesions = [_checked(lesion) for lesion in lesions]
    if size_px < 32:
        raise UsageError(f"a phantom needs at least 32 px, got {size_px}; ask for a larger size_px")
    frame = anatomy.frame(size_px)
    enlarged = max((item.severity for item in lesions if item.finding == "Cardiomegaly"), default=0.0)
    large = max(anatomy.heart_ratio, 0.45) + 0.06 + 0.16 * enlarged
    heart = heart_outline(anatomy, large if enlarged else anatomy.heart_ratio)
    lungs = frame.fill(*(lung_outline(anatomy, side) for side in (-1, 1)))
    masks = {"lungs": lungs > 0, "heart": frame.fill(heart) > 0}
    layers = build(anatomy, frame.coarse(), heart)
    # chosen before the lesions, so that they alone change the picture
    shown = window(attenuate(layers.water(), layers.bone), 0.06, 0.96)
    boxes: dict[str, tuple[Box, ...]] = {}
    for lesion in lesions:
        changed = [masks["heart"]] if lesion.finding == "Cardiomegaly" else _draw(layers, lesion)
        found = tuple(_box(mask, frame.shape) for mask in changed if mask.any())
        boxes[lesion.finding] = boxes.get(lesion.finding, ()) + found
    matter, rng = attenuate(layers.water(), layers.bone), stream(anatomy.seed, "picture")
    made = picture(rng, matter, shown, anatomy.exposure, frame, "chest", anatomy.view)
    severities = {item.finding: item.severity for item in lesions}
    return Phantom(made, "chest_frontal", anatomy.view, "chest", severities, masks, boxes)


def _draw(layers: Layers, lesion: Lesion) -> list[Mask]:
    """Draw one lesion and mask what it changed, each lung on its own."""
    before, rng = layers.water(), stream(layers.anatomy.seed, "lesion", lesion.finding, lesion.side)
    LESIONS[lesion.finding](layers, lesion, rng)
    changed = np.abs(layers.water() - before) > _NOTICEABLE_CM
    return [changed & layers.lungs[side] for side in (-1, 1)]


def _box(mask: Mask, shape: Shape) -> Box:
    """Give the smallest box (x, y, width, height) around a mask, in pixels of an image of this shape."""
    down, across = np.divide(shape, mask.shape).tolist()
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (x * across, y * down, width * across, height * down)


def _checked(lesion: Lesion) -> Lesion:
    """Check a lesion and spell its finding as the house does."""
    name, severity, side = canonical(lesion.finding), lesion.severity, lesion.side
    if name not in FINDINGS_DRAWN:
        raise UsageError(f"a phantom cannot show '{name}'; it can show: {', '.join(FINDINGS_DRAWN)}")
    if not 0 < severity <= 1 or side not in (-1, 1):
        raise UsageError(f"a lesion needs a severity in (0, 1] and side -1 or 1, got {severity}, {side}")
    return replace(lesion, finding=name)


def sample_chest(
    seed: int, name: str | int, size_px: int = 1024, chances: Mapping[str, float] = DEFAULT_CHANCES
) -> Phantom:
    """Make the frontal chest of this seed and name; chances: probability of each finding, drawn independently."""
    rng = stream(seed, "chest", name)
    anatomy, lesions = sample_anatomy(rng), []
    for finding in FINDINGS_DRAWN:
        hit, severity, side = rng.random(), rng.uniform(0.1, 1), rng.choice([-1, 1])
        if hit < chances.get(finding, 0.0):
            lesions.append(Lesion(finding, float(severity), int(side)))
    return chest(anatomy, lesions, size_px)
