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
from radsnap.phantom.paths import depth, grain, round_path, soften
from radsnap.phantom.picture import Phantom, attenuate, picture, window
from radsnap.phantom.shapes import Box, Frame, Mask, moved, ribbon, spline
from radsnap.phantom.thorax import Anatomy, Layers, build, heart_outline, lung_outline, sample_anatomy
from radsnap.seeds import stream


@dataclass(frozen=True)
class Lesion:
    """One finding to draw. side: -1 the patient's right, +1 the left; findings of both sides ignore it."""

    finding: str
    severity: float = 0.6
    side: int = 1


def _flood(layers: Layers, share: FloatImage) -> None:
    """Fill a share of the lungs' air, 0 to 1 a pixel, with water; vessels drown in it."""
    layers.air *= 1 - share
    layers.vessels *= 1 - share


def _spot(layers: Layers, lesion: Lesion, rng: Generator, low: float, high: float) -> tuple[float, float]:
    """Choose a place inside the lung of the lesion's side, between two levels, where there is air to replace."""
    free = layers.lungs[lesion.side] & (layers.air > 3)
    for _ in range(50):
        x, y = lesion.side * rng.uniform(0.13, 0.42), rng.uniform(low, high)
        column, row = np.rint(layers.frame.px([(x, y)])[0]).astype(int)
        if 0 <= row < free.shape[0] and 0 <= column < free.shape[1] and free[row, column]:
            break
    return x, y


def effusion(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Fill the pleural space from below, with a meniscus that climbs the lateral wall."""
    xs, ys = layers.frame.grid()
    outward = np.clip((xs * lesion.side - 0.12) / 0.36, 0, 1.2)
    level = 0.85 - 0.6 * lesion.severity - 0.13 * outward**3 + 0.02 * rng.normal() - 0.05 * (outward < 0.02)
    wet = np.clip((ys - level) / (0.05 + 0.05 * lesion.severity) + 0.3, 0, 1) * layers.lungs[lesion.side]
    share = soften(wet, 0.004 * layers.frame.unit_px[0])
    _flood(layers, share * np.float32(0.95))
    layers.bone *= 1 - np.float32(0.5) * share  # stray light from so much water veils the ribs


def consolidation(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Fill alveoli in a patch with a cloudy border; bronchi stay faintly open."""
    x, y = _spot(layers, lesion, rng, 0.25, 0.8)
    (xs, ys), unit, radius = layers.frame.grid(), layers.frame.unit_px[0], 0.07 + 0.15 * lesion.severity
    away = np.hypot((xs - x) / radius, (ys - y) / (radius * layers.anatomy.aspect * rng.uniform(0.8, 1.2)))
    cloud = grain(rng, layers.frame.shape, unit / 55, 4, 0.8)
    share = np.clip(1.15 - away + 0.28 * cloud * np.clip(1.7 - away, 0, 1), 0, 1) * layers.lungs[lesion.side]
    _flood(layers, soften(share, 0.006 * unit) * np.float32(0.35 + 0.45 * lesion.severity))


def edema(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Haze both lungs from the hila like a bat's wings, swell the vessels and blur them."""
    (xs, ys), unit = layers.frame.grid(), layers.frame.unit_px[0]
    wings = np.exp(-(((np.abs(xs) - 0.16) / 0.17) ** 2) - ((ys - 0.5) / 0.3) ** 2)
    cloud = grain(rng, layers.frame.shape, unit / 90, 4, 0.7)
    share = wings * np.clip(0.75 + 0.3 * cloud, 0, 1.2) * (layers.lungs[-1] | layers.lungs[1])
    layers.vessels += np.float32(lesion.severity) * (
        1.9 * soften(layers.vessels, 0.004 * unit) - layers.vessels
    )
    layers.air *= 1 - np.float32(0.25 + 0.45 * lesion.severity) * np.minimum(share, 1)


def atelectasis(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Collapse plates of a lower lobe: narrow bands, and a haze below them."""
    frame, unit, share = layers.frame, layers.frame.unit_px[0], np.zeros(layers.frame.shape, np.float32)
    for _ in range(1 + round(2 * lesion.severity)):
        x, y = _spot(layers, lesion, rng, 0.55, 0.8)
        half, slope = rng.uniform(0.05, 0.11) * (0.7 + lesion.severity), rng.normal(0.1, 0.25) * lesion.side
        bend = (x, y + rng.normal(0, 0.008))
        axis = spline([(x - half, y - half * slope), bend, (x + half, y + half * slope)], 8)
        width = (0.004 + 0.008 * lesion.severity) * (1 - np.linspace(-1, 1, len(axis)) ** 4 * 0.8)
        band = soften(frame.fill(ribbon(axis, width)), 0.004 * unit)
        haze = soften(frame.fill(ribbon(moved(axis, 0, 0.04), width + 0.03)), 0.02 * unit)
        share = np.maximum(share, band * np.float32(0.2 + 0.25 * lesion.severity))
        share += haze * np.float32(0.1 + 0.25 * lesion.severity) * (1 - share)
    _flood(layers, np.minimum(share, 0.85) * layers.lungs[lesion.side])


def pneumothorax(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Draw the lung back from the wall towards its hilum: no vessels outside, a thin line at its edge."""
    frame, lung, fine_px = layers.frame, layers.lungs[lesion.side], 0.0015 * layers.frame.unit_px[0]
    outline, hilum = lung_outline(layers.anatomy, lesion.side), np.array((lesion.side * 0.1, 0.5))
    outward = np.clip((outline[:, 0] * lesion.side - 0.1) / 0.36, 0, 1) + np.clip(
        0.21 - 0.7 * outline[:, 1], 0, 1
    )
    shrink = np.clip(outward * (0.12 + 0.5 * lesion.severity) * (1 + 0.06 * rng.normal()), 0, 0.75)
    collapsed = outline + (hilum - outline) * shrink[:, None]
    inner, edge = frame.fill(collapsed) > 0, np.zeros(frame.shape, np.uint8)
    cv2.polylines(edge, [np.rint(frame.px(collapsed) * 16).astype(np.int32)], True, 255, 1, cv2.LINE_AA, 4)
    wall = depth(lung.astype(np.uint8)) > 8 * fine_px
    free = soften(lung & ~inner, fine_px)
    layers.vessels *= 1 - free
    layers.air *= 1 + np.float32(0.12) * free - np.float32(0.3 * lesion.severity) * (inner & lung)
    layers.tissue += soften(edge, fine_px) * (wall & lung) * np.float32(1.4 / 255)


def nodule(layers: Layers, lesion: Lesion, rng: Generator) -> None:
    """Put a round solid mass of 0.5 to 2.2 cm radius into a lung."""
    frame, cm_px = layers.frame, layers.frame.unit_px[0] / layers.anatomy.lung_width_cm
    centre = frame.px([_spot(layers, lesion, rng, 0.15, 0.75)])
    radius_px = (0.5 + 1.7 * lesion.severity**1.5) * cm_px * (0.6 if layers.anatomy.child else 1)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)[:, None]
    ring = np.concatenate([np.cos(angle), np.sin(angle)], 1) * radius_px * rng.normal(1, 0.07, (14, 1))
    disc = Frame(frame.shape).fill(spline(centre + ring, 5, closed=True))
    ball = soften(round_path(depth(disc), radius_px), 0.08 * radius_px) * np.float32(1.7 * radius_px / cm_px)
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
    fine = anatomy.frame(size_px)
    coarse = 2 if size_px >= 768 else 1  # matter at half resolution is as sharp as a detector sees it
    enlarged = max((item.severity for item in lesions if item.finding == "Cardiomegaly"), default=0.0)
    large = max(anatomy.heart_ratio, 0.45) + 0.06 + 0.16 * enlarged
    heart = heart_outline(anatomy, large if enlarged else anatomy.heart_ratio)
    layers = build(anatomy, fine.reduced(coarse), heart)
    # chosen before the lesions, so that they alone change the picture
    shown = window(attenuate(layers.water(), layers.bone), 0.06, 0.96)
    lungs = fine.fill(*(lung_outline(anatomy, side) for side in (-1, 1))) > 0
    masks = {"lungs": lungs, "heart": fine.fill(heart) > 0}
    boxes: dict[str, tuple[Box, ...]] = {}
    for lesion in lesions:
        found = _draw(layers, lesion, coarse) if lesion.finding in LESIONS else _boxes(masks["heart"])
        boxes[lesion.finding] = boxes.get(lesion.finding, ()) + found
    shade, cm_px = attenuate(layers.water(), layers.bone), fine.unit_px[0] / anatomy.lung_width_cm
    rng = stream(anatomy.seed, "picture")
    made = picture(rng, shade, shown, anatomy.exposure, cm_px, fine.shape, "chest", anatomy.view)
    severities = {item.finding: item.severity for item in lesions}
    return Phantom(made, "chest_frontal", anatomy.view, "chest", severities, masks, boxes)


def _draw(layers: Layers, lesion: Lesion, coarse: int) -> tuple[Box, ...]:
    """Draw one lesion and box what it changed, each lung on its own."""
    before = layers.water()
    rng = stream(layers.anatomy.seed, "lesion", lesion.finding, lesion.side)
    LESIONS[lesion.finding](layers, lesion, rng)
    changed = np.abs(layers.water() - before) > _NOTICEABLE_CM
    return _boxes(changed & layers.lungs[-1], coarse) + _boxes(changed & layers.lungs[1], coarse)


def _boxes(mask: Mask, step: int = 1) -> tuple[Box, ...]:
    """Give the smallest box (x, y, width, height) around a mask, times step; none when it is empty."""
    if not mask.any():
        return ()
    rows, columns = np.flatnonzero(mask.any(1)) * step, np.flatnonzero(mask.any(0)) * step
    size = (columns[-1] - columns[0] + step, rows[-1] - rows[0] + step)
    return ((float(columns[0]), float(rows[0]), float(size[0]), float(size[1])),)


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
