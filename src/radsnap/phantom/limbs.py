"""Limbs: bones and flesh laid on a table, in cm. Simple, but with cortex, joints and a hand's many parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import depth, grain, round_path, shell_path
from radsnap.phantom.picture import Phantom, attenuate, picture, sample_exposure, window
from radsnap.phantom.shapes import Frame, Points, ellipse, moved, outline, outlines, ribbon, spline, turned
from radsnap.seeds import stream


@dataclass
class Parts:
    """Outlines in cm. bones: with their cortex in cm; flesh: those of one thickness in cm, which is given."""

    bones: list[tuple[Points, float]]
    flesh: list[tuple[list[Points], float]]


def laid_out(part: str, broad: float = 1.0) -> Parts:
    """Lay out a part of a limb from its outlines; broad: its flesh by what is usual."""
    shape = outlines(part)
    bones = [(outline(points), cortex) for cortex, points in shape["bones"]]
    bones += [_shaft(*numbers) for numbers in shape["shafts"]]
    flesh = [([outline(np.array(knots) * (1, 1, broad))], thick) for thick, knots in shape["flesh"]]
    return Parts(bones, flesh)


def _shaft(start: ArrayLike, end: ArrayLike, halves: ArrayLike, bow: float) -> tuple[Points, float]:
    """Outline a long bone between two points; its half-widths in cm are of start, middle and end."""
    a, b, (first, middle, last) = np.asarray(start), np.asarray(end), np.asarray(halves)
    across = bow * np.array([(a - b)[1], (b - a)[0]])
    arc = ((0, 0), (0.25, 0.7), (0.5, 1), (0.75, 0.7), (1, 0))
    axis = spline([a + t * (b - a) + share * across for t, share in arc], 12)
    t = np.linspace(-1, 1, len(axis))
    half = middle + (np.where(t < 0, first, last) - middle) * np.abs(t) ** 3.5
    return ribbon(axis, half * np.sqrt(np.maximum(1 - np.abs(t) ** 24, 0.02))), 0.32 * middle


def _ray(parts: Parts, ray: dict[str, Any], headings: ArrayLike, ends: Sequence[Any], thick: float) -> Points:
    """Add a finger or toe, bone by bone, each with its heading. Returns its joints, from the base to the tip."""
    ahead = np.stack([np.sin(headings), -np.cos(headings)], 1)
    joints = np.cumsum([ray["base"], *(ahead * np.array(ray["lengths"])[:, None])], 0)
    for i, (half, step) in enumerate(zip(ray["halves"], ahead * 0.1, strict=True)):
        parts.bones.append(_shaft(joints[i] + step, joints[i + 1] - step, half * np.array(ends[i]), 0.0))
    axis = [0.4 * joints[0] + 0.6 * joints[1], *joints[1:-1], joints[-1] + 2.5 * step]
    parts.flesh.append(([outline(np.column_stack([axis, ray["flesh"]]))], thick))
    return np.asarray(joints)


def hand(rng: Generator) -> Parts:
    """Lay out a hand from behind: forearm below, fingers up, origin at the wrist."""
    parts, shape, spread = laid_out("hand"), outlines("hand"), rng.uniform(0.6, 1.5)
    palm = list(shape["palm"])
    for ray, shift in zip(shape["rays"], rng.normal(0, 0.03, 5), strict=True):
        turn, bones = ray["turn"] * spread + shift, len(ray["lengths"])
        curl = np.cumsum([0, *rng.normal(0, 0.04, bones)])[:-1]
        ends = [(1, 0.55, 0.85)] * (bones - 1) + [(0.55, 0.3, 0.42)]
        palm.append(_ray(parts, ray, turn * np.array([0.75, 1, 1, 1][:bones]) + curl, ends, 1.7)[1])
    parts.flesh.append(([spline(palm, 8, closed=True)], 3.2))
    for place in shape["pebbles"]:
        ring = ellipse((0, 0), place[2:], rng.normal(0, 0.3))[::4] * (1 + 0.06 * rng.normal(size=(12, 1)))
        parts.bones.append((spline(ring + place[:2], 5, closed=True), 0.13))
    return parts


def knee(rng: Generator) -> Parts:
    """Lay out a knee from the front, origin in the joint's space."""
    bow, aside, high = rng.normal(0, (0.3, 0.2, 0.5))
    parts = laid_out("knee", rng.uniform(0.9, 1.2))
    femur, cortex = parts.bones[0]
    parts.bones[0] = (moved(femur, bow), cortex)
    parts.bones.append((ellipse((bow + aside, high - 2.3), (2.0, 2.2)), 0.15))
    return parts


def elbow(rng: Generator) -> Parts:
    """Lay out an elbow, straight from the front or bent from the side, origin in the joint."""
    bend = rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(1.1, 1.65)])
    parts, forearm = laid_out("elbow"), laid_out("forearm")
    humerus, cortex = parts.bones[0]
    parts.bones[0] = (humerus * (1.0 if bend < 1 else 0.55, 1.0), cortex)
    parts.bones += [(turned(outline, bend), cortex) for outline, cortex in forearm.bones]
    parts.flesh[0][0].extend([turned(forearm.flesh[0][0][0], bend), ellipse((0, 0), (4.25, 4.25))])
    return parts


def foot(rng: Generator) -> Parts:
    """Lay out a foot from above, toes up, origin at the middle of the tarsus."""
    parts, shape = laid_out("foot"), outlines("foot")
    for ray in shape["rays"]:
        headings = (ray["turn"] + rng.normal(0, 0.02)) * 0.6 ** np.arange(len(ray["lengths"]))
        _ray(parts, ray, headings, [(1, 0.55, 0.9)] * 4, 2.0)
    for place in shape["pebbles"]:
        ring = ellipse(place[:2], place[2:])[::4] + rng.normal(0, 0.05, (12, 2))
        parts.bones.append((spline(ring, 5, closed=True), 0.16))
    return parts


LIMBS: dict[str, tuple[str, Callable[[Generator], Parts], float, tuple[float, float]]] = {
    # name: kind, parts, cm from the lower to the upper border of the picture, place of the origin on it
    "hand": ("hand_wrist", hand, 24.0, (0.5, 0.78)),
    "knee": ("knee_leg", knee, 30.0, (0.5, 0.5)),
    "elbow": ("elbow_forearm", elbow, 26.0, (0.5, 0.45)),
    "foot": ("foot_ankle", foot, 26.0, (0.5, 0.55)),
}


def limb(name: str, seed: int, key: str | int = 0, size_px: int = 1024) -> Phantom:
    """Make a hand, knee, elbow or foot of this seed and key; the longer side has size_px pixels. No masks."""
    kind, lay_out, tall_cm, origin = LIMBS[name]
    rng = stream(seed, "limb", name, key)
    parts, width = lay_out(rng), round(size_px * rng.uniform(0.68, 0.95))
    cm_px = size_px / (tall_cm * rng.uniform(0.85, 1.25))
    centre = (width * (origin[0] + rng.normal(0, 0.03)), size_px * (origin[1] + rng.normal(0, 0.02)))
    mirror = float(rng.choice([-1, 1]))
    frame = Frame((size_px, width), centre, (cm_px * mirror, cm_px), float(rng.normal(0, 0.07)))
    shade = attenuate(_flesh(rng, frame, parts), _bones(rng, frame, parts))
    shown = window(shade, 0.02, 0.985)
    made = picture(rng, shade, shown, sample_exposure(rng), cm_px, frame.shape, name, "AP")
    return Phantom(made, kind, "AP", name)


def _flesh(rng: Generator, frame: Frame, parts: Parts) -> FloatImage:
    path, cm_px = np.zeros(frame.shape, np.float32), frame.unit_px[1]
    for drawn, thick in parts.flesh:
        round_cm = np.float32(thick) * round_path(depth(frame.fill(*drawn)), 0.55 * thick * cm_px)
        path = np.maximum(path, round_cm)
    return path * (1 + np.float32(0.02) * grain(rng, frame.shape, 0.25 * cm_px))


def _bones(rng: Generator, frame: Frame, parts: Parts) -> FloatImage:
    """Shade each bone on its own, within its box, so that neighbours keep their edges; trabeculae by grain."""
    path, cm_px = np.zeros(frame.shape, np.float32), frame.unit_px[1]
    for drawn, cortex in parts.bones:
        ring = frame.px(drawn)
        low = np.clip(np.floor(ring.min(0)) - 2, 0, frame.shape[::-1]).astype(int)
        high = np.clip(np.ceil(ring.max(0)) + 3, 0, frame.shape[::-1]).astype(int)
        if (high - low).min() < 2:
            continue
        box = Frame((high[1] - low[1], high[0] - low[0]))
        edge = depth(box.fill(ring - low))
        radius = max(float(np.quantile(edge[edge > 0], 0.9)) if (edge > 0).any() else 1.0, 1.0)
        thick_cm = np.float32(1.5 * radius / cm_px)
        path[low[1] : high[1], low[0] : high[0]] += thick_cm * shell_path(edge, radius, cortex * cm_px, 0.45)
    return path * (1 + np.float32(0.06) * grain(rng, frame.shape, 0.045 * cm_px, 3, 0.8))
