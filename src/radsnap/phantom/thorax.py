"""One patient's chest from the front, as matter in layers: lungs, vessels, heart, trunk, gas, bones.

Body units: x runs over the lungs' width from -0.5 to 0.5 (the patient's left is on the viewer's right, +x),
y from 0 at the apices to 1 at the costophrenic angles. Paths through matter are in cm.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import depth, grain, grow_vessels, round_path, shade, soften
from radsnap.phantom.picture import Exposure, sample_exposure
from radsnap.phantom.shapes import Frame, Mask, Part, Points, fitted, parts, tables
from radsnap.seeds import stream


@dataclass(frozen=True)
class Anatomy:
    """One patient in front of one detector.

    seed: names everything that is not spelled out here (vessels, grain, noise); thickness_cm: of the trunk;
    aspect: width of the lungs by their height; heart_ratio: heart by thorax; inspiration: 0 shallow to 1 deep;
    rotation_deg: positive turns the sternum to the viewer's right; tilt_deg: of the picture; view_width: width of the
    image by the width of the lungs; top: level of the upper image border, in lung heights above the apices.
    """

    seed: int = 0
    sex: str = "F"
    child: bool = False
    view: str = "PA"
    thickness_cm: float = 22.0
    aspect: float = 1.18
    heart_ratio: float = 0.45
    inspiration: float = 0.7
    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    view_width: float = 1.25
    top: float = 0.15
    image_aspect: float = 1.0
    exposure: Exposure = field(default_factory=Exposure)

    @property
    def lung_width_cm(self) -> float:
        """Width of both lungs together."""
        return 15.0 if self.child else 28.0 if self.sex == "M" else 25.5

    @property
    def turn(self) -> float:
        """Sine of the rotation: how far a point drifts sideways by its depth."""
        return float(np.sin(np.deg2rad(self.rotation_deg)))

    def frame(self, size_px: int) -> Frame:
        """Place the patient on the image; the longer side has size_px pixels."""
        width, height = round(size_px * min(self.image_aspect, 1)), round(size_px / max(self.image_aspect, 1))
        unit, centre = width / self.view_width, width * stream(self.seed, "place").normal(0.5, 0.012)
        tall = min(unit / self.aspect, height * 0.97 / (1 + self.top))
        tilt = float(np.deg2rad(self.tilt_deg))
        return Frame((height, width), (centre, self.top * tall), (unit, tall), tilt, self.lung_width_cm)


def sample_anatomy(rng: Generator, child_share: float = 0.2) -> Anatomy:
    """Draw a patient, how they stand, and how the picture is taken."""
    child, male, supine, square = (rng.random(4) < (child_share, 0.55, 0.35, 0.5)).tolist()
    usual = tables("patients")["child" if child else "supine" if supine else "erect"]
    sizes = {name: float(np.clip(rng.normal(*row[:2]), *row[2:])) for name, row in usual.items()}
    tall, wide = (1 + sizes["top"] + sizes.pop("below")) / sizes["aspect"], sizes.pop("view_width")
    shape = (max(1.02, tall), 1.0) if square else (wide, min(max(wide / tall, 0.75), 1.35))
    sizes |= dict(zip(("view_width", "image_aspect"), shape, strict=True))
    seed, sex, view = int(rng.integers(2**31)), "M" if male else "F", "AP" if child or supine else "PA"
    return Anatomy(seed, sex, child, view, exposure=sample_exposure(rng), **sizes)


def _habitus(anatomy: Anatomy, side: int) -> Points:
    """Draw what sets one side of a chest apart: girth, breath, and the diaphragm's dome."""
    return stream(anatomy.seed, "lung", side).normal(0, (0.025, 0.008, 0.025))


def lung_outline(anatomy: Anatomy, side: int) -> Points:
    """Outline a lung with the part behind the heart, in body units. side: -1 the patient's right, +1 the left."""
    girth, breath, dome = _habitus(anatomy, side)
    down = (breath + 0.03 * (0.6 - anatomy.inspiration), abs(dome))
    return fitted(tables("lungs")["left" if side > 0 else "right"], (girth,), down) * (side, 1)


def heart_outline(anatomy: Anatomy, heart_ratio: float) -> Points:
    """Outline the heart, in body units, `heart_ratio` of the thorax wide."""
    rng, wide = stream(anatomy.seed, "heart"), heart_ratio / 0.45
    across, down = wide * rng.normal(1, (0.03, 0.05)), rng.normal((0.48 - 0.05 * wide, 0.97), (0.01, 0.02))
    return fitted(tables("heart")["outline"], across, down, 0.25 * anatomy.turn)


@dataclass
class Layers:
    """The matter that a lesion may change, in cm, and the shapes it refers to. Made fresh for every image."""

    anatomy: Anatomy
    frame: Frame
    air: FloatImage
    tissue: FloatImage
    bone: FloatImage
    vessels: FloatImage
    lungs: dict[int, Mask]

    def water(self) -> FloatImage:
        """Give the path through water: tissue, less the lungs' air, plus their vessels."""
        return np.asarray(np.maximum(self.tissue - np.maximum(self.air - self.vessels, 0), 0), np.float32)


def build(anatomy: Anatomy, frame: Frame, heart: Points) -> Layers:
    """Stack the patient's matter without lesions; the heart's outline is given, for it may be enlarged."""
    xs, ys = frame.grid()
    lungs = {side: frame.fill(lung_outline(anatomy, side)) > 0 for side in (-1, 1)}
    deep = _air(anatomy, frame, lungs[-1] | lungs[1], xs, ys) - _mediastinum(anatomy, frame, heart)
    air = anatomy.thickness_cm * np.maximum(deep, 0)
    vessels = _vessels(anatomy, frame) * np.minimum(air / 3, 1)
    air *= 1 - 0.025 * grain(stream(anatomy.seed, "grain"), frame.shape, frame.unit / 400, 5, 1.0)
    bone = _skeleton(anatomy, frame, xs, ys) + _leads(anatomy, frame)
    return Layers(anatomy, frame, air, _trunk(anatomy, frame, xs, ys), bone, vessels, lungs)


def _air(anatomy: Anatomy, frame: Frame, lungs: Mask, xs: FloatImage, ys: FloatImage) -> FloatImage:
    """Give the lungs' depth by the trunk's: rounded, shallower to the apices, a rest behind the diaphragm."""
    edge, unit = depth(lungs | frame.fill(tables("lungs")["between"])), frame.unit
    profile = 0.3 * round_path(edge, 0.05 * unit) + 0.7 * round_path(edge, 0.3 * unit)
    recess = 0.22 * soften(lungs, 0.05 * unit) * np.clip(6 * ys - 4.3, 0, 1) * (1 - np.minimum(edge, 1))
    taper = np.clip(0.5 + 1.1 * ys, 0.5, 1) * np.clip(1.5 - 0.6 * ys, 0.8, 1)
    taper *= 0.2 + 0.8 * np.minimum(np.abs(xs) / 0.17, 1) ** 1.5  # the spine keeps the lungs apart
    return np.asarray((0.62 + 0.1 * anatomy.inspiration) * (profile + recess) * taper)


def _mediastinum(anatomy: Anatomy, frame: Frame, heart: Points) -> FloatImage:
    """Give the depth of heart, great vessels and hila by the trunk's: what they take from the lungs."""
    rng = stream(anatomy.seed, "mediastinum")
    broad = rng.normal(0.45 if anatomy.child else 0.1 if anatomy.view == "AP" else 0.0, 0.07)
    knob = 0.0 if anatomy.child else rng.uniform(0.005, 0.035)  # of the aorta
    vessels = fitted(tables("trunk")["great_vessels"], (knob, broad), aside=0.12 * anatomy.turn)
    both = (Part((vessels,), 0.52, 0.08), Part((heart,), 0.5, 0.2))
    path = np.maximum(*(shade(frame, part) for part in both))
    return soften(path, 0.006 * frame.unit) + shade(frame, parts("trunk", "soft")["hila"])


def _trunk(anatomy: Anatomy, frame: Frame, xs: FloatImage, ys: FloatImage) -> FloatImage:
    """Give the body with its airway and gas, without its bones and before the lungs are hollowed, in cm."""
    rng, unit, thick = stream(anatomy.seed, "trunk"), frame.unit, anatomy.thickness_cm
    fat = (thick - (13 if anatomy.child else 22)) / 40
    neck, side, arm = rng.normal((0.17, 0.575 + max(fat, -0.01), 0.74 + fat), (0.015, 0.01, 0.03)).tolist()
    gap = (arm - side) * (1.0 if anatomy.view == "PA" else 0.45)  # between arm and flank
    half = fitted(tables("trunk")["half"], (neck, arm))
    wedge = fitted(tables("trunk")["beside_arm"], (side, gap))
    body = frame.fill(half, half * (-1, 1)) & ~frame.fill(wedge, wedge * (-1, 1))
    # by width, not by the distance to an edge: the flanks may lie outside the picture
    halves = np.interp(ys, (-0.1, 0.3, 0.6), (0.4, side - 0.035, side), left=1e-3).astype(np.float32)
    trunk = np.sqrt(np.maximum(1 - np.abs(xs / halves) ** 2.8, 0) * np.clip(7 * ys + 0.7, 0, 1))
    trunk *= np.clip(0.72 + 0.9 * ys, 0.5, 1.06)
    total = thick * soften(np.maximum(0.7 * round_path(depth(body), 0.14 * unit), trunk), 0.006 * unit)
    total += 0.014 * thick * grain(rng, frame.shape, unit / 30, 4, 0.75) * (total > 1)
    soft = parts("trunk", "soft")
    if anatomy.sex == "F" and not anatomy.child:
        size, level = rng.uniform(0.7, 1.15), rng.uniform(0.66, 0.8)
        breasts = shade(frame, soft["breasts"].placed((size, size), (0, level)))
        total += breasts * np.clip((ys - level) / (0.36 * size) + 0.6, 0, 1)  # a clear lower edge alone
    wide, tall = rng.uniform(0.7, 1.2, 2).tolist()
    gas = replace(soft["gas"], drawn=soft["gas"].drawn[rng.integers(6) :])
    gas = gas.placed((wide, tall), rng.normal(0, 0.08, 2), rng.normal(0, 0.1))
    return np.asarray(total - shade(frame, soft["airway"], gas) * (thick / 22))


def _vessels(anatomy: Anatomy, frame: Frame) -> FloatImage:
    """Grow the lungs' vessels from both hila, in cm of blood."""
    rng, side = stream(anatomy.seed, "vessels"), np.repeat((-1, 1), 9)
    fan = np.tile(np.linspace(-1.35, 1.5, 9), 2) + rng.normal(0, 0.1, 18)
    start = np.stack([side * (0.1 + 0.025 * np.cos(fan)), 0.41 - 0.02 * side + 0.07 * np.sin(fan)], 1)
    heading, wide_cm = np.where(side > 0, fan, np.pi - fan), 0.25 if anatomy.child else 0.42
    return grow_vessels(rng, frame, start, heading, wide_cm)


def _leads(anatomy: Anatomy, frame: Frame) -> FloatImage:
    """Lay ECG leads across some trunks. Returns cm of bone that would shade as much."""
    rng, leads = stream(anatomy.seed, "leads"), []
    worn = 0.5 if rng.random() < (0.35 if anatomy.view == "AP" else 0.06) else 0.0
    for lead in (lead for lead in parts("leads").values() if rng.random() < worn):
        scale = (rng.choice((-1, 1)) * rng.uniform(0.6, 1.1), 1.0)
        leads.append(lead.placed(scale, rng.normal(0, 0.1, 2), rng.normal(0, 0.2)))
    return shade(frame, *leads)


def _skeleton(anatomy: Anatomy, frame: Frame, xs: FloatImage, ys: FloatImage) -> FloatImage:
    """Give the bones' shadows, in cm of compact bone."""
    rng, away, turn = stream(anatomy.seed, "bones"), np.abs(xs), anatomy.turn
    # rays run along a rib where it turns forwards; the diaphragm and the spine hide most of it
    wall = 0.7 + 0.6 * np.minimum(away * 2, 1) ** 5
    shown = {
        "posterior": wall * np.clip(3.1 - 2.9 * ys, 0.12, 1) * np.clip(7 * away - 0.15, 0.2, 1),
        "anterior": wall * np.clip(3.0 - 2.9 * ys, 0.1, 1) * np.clip(6 * away - 1.08, 0, 1),
    }
    # the shoulders of who stands, and of who lies
    up, out = (0.0, 0.03) if anatomy.view == "PA" else (-0.05, -0.03)
    bend, high, aside = rng.normal((0, up, out), (0.012, 0.02, 0.01)).tolist()
    pitch = rng.normal(1.07 - 0.14 * anatomy.inspiration, 0.02)
    total, others = np.zeros(frame.shape, np.float32), []
    for side in (-1, 1):
        girth = 1 + _habitus(anatomy, side)[0]
        for name, rib in parts("ribs").items():
            total += shown[name] * shade(frame, rib.placed((side * girth, pitch), (rib.drift * turn, 0)))
        for bone in parts("girdle").values():
            others.append(bone.placed((side, 1), (side * aside + bone.drift * turn, high)))
    others += [bone.placed(shift=(bone.drift * turn, 0), turn_rad=bend) for bone in parts("spine").values()]
    strength = (0.55 if anatomy.child else 1.0) * rng.normal(1.1, 0.2)
    return soften(total + shade(frame, *others), 0.0012 * frame.unit) * strength
