"""One patient's chest from the front, as matter in layers: lungs, vessels, heart, trunk, gas, bones.

Body units: x runs over the lungs' width from -0.5 to 0.5 (the patient's left is on the viewer's right, +x),
y from 0 at the apices to 1 at the costophrenic angles. Paths through matter are in cm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import depth, grain, round_path, shade, soften, solid
from radsnap.phantom.picture import Exposure, sample_exposure
from radsnap.phantom.shapes import (
    Frame,
    Mask,
    Points,
    ellipse,
    moved,
    outline,
    outlines,
    ribbon,
    spline,
    stroke,
)
from radsnap.seeds import stream

_DROP = (0.1, 0.2, 0.27, 0.32, 0.36, 0.39, 0.42, 0.44, 0.44, 0.42, 0.36)  # of each rib, from spine to side
_SPINE = ("bodies", "plates", "pedicles", "spinous")


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
        width = round(size_px * min(self.image_aspect, 1))
        height = round(size_px / max(self.image_aspect, 1))
        unit = width / self.view_width
        centre = width * (0.5 + float(stream(self.seed, "place").normal(0, 0.012)))
        tall = min(unit / self.aspect, height * 0.97 / (1 + self.top))
        return Frame((height, width), (centre, self.top * tall), (unit, tall), np.deg2rad(self.tilt_deg))


def sample_anatomy(rng: Generator, child_share: float = 0.2) -> Anatomy:
    """Draw a patient, how they stand, and how the picture is taken."""
    child, male = bool(rng.random() < child_share), bool(rng.random() < 0.55)
    supine = child or rng.random() < 0.35
    inspiration = float(rng.beta(2, 3) if supine else rng.beta(4, 2))
    aspect = float(np.clip(rng.normal(1.36 if child else 1.30 - 0.22 * inspiration, 0.08), 0.9, 1.6))
    top = float(np.clip(rng.normal(0.16, 0.06), 0.03, 0.4))
    tall = (1 + top + float(np.clip(rng.normal(0.22, 0.12), 0.02, 0.6))) / aspect
    wide = float(np.clip(1.02 + rng.gamma(2.2, 0.09), 1.02, 1.7))
    square = bool(rng.random() < 0.5)
    return Anatomy(
        seed=int(rng.integers(2**31)),
        sex="M" if male else "F",
        child=child,
        view="AP" if supine else "PA",
        thickness_cm=float(rng.normal(13, 1) if child else rng.normal(22, 2.2)),
        aspect=aspect,
        heart_ratio=float(np.clip(rng.normal(0.49 if supine else 0.44, 0.03), 0.36, 0.52)),
        inspiration=inspiration,
        rotation_deg=float(rng.normal(0, 4 if supine else 2)),
        tilt_deg=float(rng.normal(0, 2.0 if supine else 0.8)),
        view_width=max(1.02, tall) if square else wide,
        top=top,
        image_aspect=1.0 if square else float(np.clip(wide / tall, 0.75, 1.35)),
        exposure=sample_exposure(rng),
    )


def lung_outline(anatomy: Anatomy, side: int) -> Points:
    """Outline a lung with the part behind the heart, in body units. side: -1 the patient's right, +1 the left."""
    rng, shape = stream(anatomy.seed, "lung", side), outlines("lungs")
    lateral, base = np.array(shape["lateral"]), np.array(shape["base_left" if side > 0 else "base_right"])
    base[:, 1] += 0.03 * (0.6 - anatomy.inspiration) + rng.normal(0, 0.008)
    base[:, 1] -= abs(rng.normal(0, 0.025)) * np.array([0.1, 0.6, 1, 0.9, 0.8])
    lateral[1:-1, 0] *= 1 + rng.normal(0, 0.02) + 0.04 * rng.normal() * (lateral[1:-1, 1] - 0.6)
    lateral[:, 0] += 0.018 - (0.02 * (1 - lateral[:, 1]) if not anatomy.child else 0)
    return spline(np.concatenate([lateral, base, shape["medial"]]) * (side, 1), 6, closed=True)


def heart_outline(anatomy: Anatomy, heart_ratio: float) -> Points:
    """Outline the heart, in body units, `heart_ratio` of the thorax wide."""
    rng = stream(anatomy.seed, "heart")
    wide = heart_ratio / 0.45
    left, right = wide * rng.normal(1, 0.03), wide * rng.normal(1, 0.05)
    top = 0.43 - 0.05 * (wide - 1) + rng.normal(0, 0.01)
    low = 0.97 + 0.02 * rng.normal()
    points = [(0.0, top - 0.04), (0.07, top - 0.02), (0.115, top + 0.02), (0.165 * left, top + 0.1),
              (0.235 * left, top + 0.2), (0.295 * left, top + 0.3), (0.315 * left, top + 0.37),
              (0.27 * left, low + 0.02), (0.12, low + 0.03), (-0.03, low), (-0.1 * right, low - 0.03),
              (-0.135 * right, top + 0.28), (-0.138 * right, top + 0.2), (-0.12 * right, top + 0.1),
              (-0.085, top)]  # fmt: skip
    return outline(moved(points, 0.25 * anatomy.turn))


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
    # the spine and the great vessels keep the lungs apart
    middle = 0.2 + 0.8 * np.minimum(np.abs(xs) / 0.17, 1) ** 1.5
    filled = _mediastinum(anatomy, frame, heart)
    air = np.maximum(_air(anatomy, frame, lungs[-1] | lungs[1], ys) * middle - filled, 0)
    vessels = _vessels(anatomy, frame) * np.minimum(air * np.float32(1 / 3), 1)
    cloud = grain(stream(anatomy.seed, "grain"), frame.shape, frame.unit_px[0] / 400, 5, 1.0)
    air *= 1 - np.float32(0.025) * cloud
    tissue = _trunk(anatomy, frame, xs, ys) - _gas(anatomy, frame)
    bone = skeleton(anatomy, frame, xs, ys) + _cables(anatomy, frame)
    return Layers(anatomy, frame, air, tissue, bone, vessels, lungs)


def _mediastinum(anatomy: Anatomy, frame: Frame, heart: Points) -> FloatImage:
    """Give the path through heart, great vessels and hila, in cm of air they take from the lungs."""
    rng, shape = stream(anatomy.seed, "mediastinum"), outlines("trunk")
    unit, size = frame.unit_px[0], anatomy.thickness_cm / 22
    broad = (1.35 if anatomy.child else 1.0) * rng.normal(1, 0.07) * (1.1 if anatomy.view == "AP" else 1)
    left = np.array(shape["vessels_left"])
    left[5:7, 0] += 0.0 if anatomy.child else rng.uniform(0.005, 0.035)  # the aorta's knob
    edge = np.concatenate([shape["vessels_right"], left]) * (broad, 1)
    path = np.float32(11.5 * size) * solid(frame, 0.08, outline(moved(edge, 0.12 * anatomy.turn)))
    path = soften(np.maximum(path, np.float32(11 * size) * solid(frame, 0.2, heart)), 0.006 * unit)
    for side, y in ((-1, 0.46), (1, 0.42)):
        hilum = frame.fill(ellipse((side * 0.115, y), (0.03, 0.075), -side * 0.25))
        path += soften(hilum, 0.022 * unit) * np.float32(3.4 * size)
    return path


def _air(anatomy: Anatomy, frame: Frame, lungs: Mask, ys: FloatImage) -> FloatImage:
    """Give the lungs' depth in cm: rounded at their edges, shallower to the apices, a rest behind the diaphragm."""
    deep, unit = anatomy.thickness_cm * (0.62 + 0.1 * anatomy.inspiration), frame.unit_px[0]
    edge = depth(lungs | frame.fill(outlines("lungs")["between"]))
    profile = 0.3 * round_path(edge, 0.05 * unit) + 0.7 * round_path(edge, 0.3 * unit)
    recess = 0.22 * soften(lungs, 0.05 * unit) * np.clip(6 * ys - 4.3, 0, 1) * (1 - np.minimum(edge, 1))
    taper = np.clip(0.5 + 1.1 * ys, 0.5, 1) * np.clip(1.5 - 0.6 * ys, 0.8, 1)
    return np.asarray(np.float32(deep) * (profile + recess) * taper, np.float32)


def _trunk(anatomy: Anatomy, frame: Frame, xs: FloatImage, ys: FloatImage) -> FloatImage:
    """Give the body without its bones and before the lungs are hollowed, in cm."""
    rng, unit, thick = stream(anatomy.seed, "trunk"), frame.unit_px[0], anatomy.thickness_cm
    fat = (thick - (13 if anatomy.child else 22)) / 40
    neck = 0.17 + rng.normal(0, 0.015)
    side = 0.575 + max(fat, -0.01) + rng.normal(0, 0.01)
    arm = 0.74 + fat + rng.normal(0, 0.03)
    half = [(neck + 0.03, -0.6), (neck, -0.32), (neck + 0.03, -0.2), (0.3, -0.13), (0.5, -0.1), (arm - 0.06, -0.04),
            (arm + 0.03, 0.12), (arm + 0.08, 0.4), (arm + 0.12, 3.0)]  # fmt: skip
    outer = spline(half, 6)
    gap = (arm - side) * (1.0 if anatomy.view == "PA" else 0.45)  # between arm and flank
    wedge = [(side + 0.004, 0.28), (side + 0.016 + 0.3 * gap, 0.42), (side + 0.03 + 0.75 * gap, 0.7),
             (side + 0.05 + gap * 1.2, 3.0), (side, 3.0), (side + 0.012, 0.9), (side + 0.003, 0.6)]  # fmt: skip
    wedges = [outline(wedge) * (sign, 1) for sign in (-1, 1)]
    body = frame.fill(np.concatenate([outer, outer[::-1] * (-1, 1)])) * (1 - frame.fill(*wedges))
    limbs = np.float32(thick * 0.7) * round_path(depth(body), 0.14 * unit)
    # by width, not by the distance to an edge: the flanks may lie outside the picture
    flank = spline([(0.4, -0.1), (side - 0.035, 0.3), (side, 0.6), (side + 0.01, 0.85), (side, 3.0)], 6)
    halves = np.interp(ys, flank[:, 1], flank[:, 0], left=1e-3)
    trunk = thick * np.sqrt(np.maximum(1 - np.abs(xs / halves) ** 2.8, 0) * np.clip(7 * ys + 0.7, 0, 1))
    total = soften(np.maximum(limbs, trunk * np.clip(0.72 + 0.9 * ys, 0.5, 1.06)), 0.006 * unit)
    total += np.float32(thick * 0.014) * grain(rng, frame.shape, unit / 30, 4, 0.75) * (total > 1)
    if anatomy.sex == "M" or anatomy.child:
        return total
    size, level = rng.uniform(0.7, 1.15), rng.uniform(0.66, 0.8)
    fading = np.clip((ys - level) / (0.36 * size) + 0.6, 0, 1) * np.float32(thick * 0.16 * size)
    for sign in (-1, 1):  # breasts: fading upwards, a clear lower edge
        disc = ellipse((sign * 0.3, level), (0.25 * size, 0.22 * size), sign * 0.25)
        total += fading * solid(frame, 0.2 * size, disc)
    return total


def _gas(anatomy: Anatomy, frame: Frame) -> FloatImage:
    """Give windpipe, main bronchi, stomach bubble and gut gas, in cm of air."""
    rng, shape = stream(anatomy.seed, "gas"), outlines("trunk")
    drift = rng.normal(0.008, 0.006)
    pipe = ribbon(spline([(0.0, -0.6), (drift, 0.0), (drift + 0.01, 0.2), (0.01, 0.36)], 6), 0.03)
    bronchi = solid(frame, 0.022, outline(shape["left_bronchus"]), outline(shape["right_bronchus"]))
    airway = np.maximum(np.float32(1.7) * solid(frame, 0.03, pipe), bronchi)
    stomach = rng.uniform((0.18, 0.95, 0.04, 0.025), (0.32, 1.05, 0.12, 0.055))
    blobs = [stomach] * int(rng.random() < 0.6)
    for x, y in rng.uniform((-0.4, 1.1), (0.4, 1.6), (rng.integers(0, 7), 2)):
        blobs.append(np.array((x, y, 0.02 + 0.05 * rng.random(), rng.uniform(0.015, 0.05))))
    rings = []
    for place in blobs:
        ring = (1 + 0.12 * rng.normal(size=(12, 1))) * ellipse((0, 0), place[2:], rng.normal(0, 0.3))[::4]
        rings.append(outline(moved(ring, place[0], place[1])))
    bubble = solid(frame, 0.04, *rings) * np.float32(rng.uniform(1, 4))
    return soften(airway + bubble, 0.004 * frame.unit_px[0]) * np.float32(anatomy.thickness_cm / 22)


def _vessels(anatomy: Anatomy, frame: Frame) -> FloatImage:
    """Grow the lungs' vessels from the hila. Returns cm of blood; twigs halve until they are finer than a pixel."""
    canvas, cm_px = np.zeros(frame.shape, np.uint8), frame.unit_px[0] / anatomy.lung_width_cm
    strokes: list[tuple[float, Points]] = []
    for side, level in ((-1, 0.43), (1, 0.39)):
        rng = stream(anatomy.seed, "vessels", side)
        fan = np.linspace(-1.35, 1.5, 9) + rng.normal(0, 0.1, 9)
        place = np.stack([0.1 + 0.025 * np.cos(fan), level + 0.07 * np.sin(fan)], 1)
        width = 0.5 * rng.uniform(0.6, 1.1, 9) * (1 + 0.25 * np.sin(fan)) * (0.6 if anatomy.child else 1)
        for generation in range(7):
            steps = 0.021 * 0.9**generation * rng.uniform(0.7, 1.3, len(fan))
            path = [place]
            for _ in range(5):
                fan = fan + rng.normal(0, 0.09, len(fan))
                path.append(path[-1] + steps[:, None] * np.stack([np.cos(fan), np.sin(fan) * 0.9], 1))
            lines = frame.px((np.stack(path, 1) * (side, 1)).reshape(-1, 2)).reshape(len(fan), -1, 2)
            strokes += zip(width.tolist(), lines, strict=True)
            split = rng.uniform(0.12, 0.5, (2, len(fan))) * [[-1], [1]]
            fan, place = np.concatenate([fan + split[0], fan + split[1]]), np.tile(path[-1], (2, 1))
            width = np.tile(width, 2) * rng.uniform(0.62, 0.88, len(fan))
    for width_cm, line_px in sorted(strokes, key=lambda one: one[0]):
        grey = 230 * (width_cm / 0.62) ** 0.55 * min(1.0, max(width_cm * cm_px, 0.3))
        stroke(canvas, line_px, min(255.0, grey), width_cm * cm_px)
    return soften(canvas, 0.001 * frame.unit_px[0]) * np.float32(1.5 / 230)


def _cables(anatomy: Anatomy, frame: Frame) -> FloatImage:
    """Lay ECG cables with electrodes across some trunks. Returns cm of bone that would shade as much."""
    rng, canvas = stream(anatomy.seed, "cables"), np.zeros(frame.shape, np.uint8)
    worn, cm_px = rng.random() < (0.35 if anatomy.view == "AP" else 0.06), frame.unit_px[0] / 28
    for _ in range(int(rng.integers(1, 6)) if worn else 0):
        start, end = rng.uniform((-0.45, 0.1), (0.45, 0.9)), rng.uniform((-0.7, 0.9), (0.7, 1.5))
        bends = [start + t * (end - start) + rng.normal(0, 0.07, 2) for t in (0.35, 0.7)]
        line = frame.px(spline([start, *bends, end], 12))
        stroke(canvas, line, int(rng.integers(30, 90)), 0.14 * cm_px)
        if rng.random() < 0.7:
            spot = np.rint(line[0] * 16).astype(int).tolist()
            for radius_cm, grey in ((0.55, 70), (0.25, 220)):
                cv2.circle(canvas, spot, round(16 * radius_cm * cm_px), grey, -1, cv2.LINE_AA, 4)
    return canvas * np.float32(2.2 / 255)


def skeleton(anatomy: Anatomy, frame: Frame, xs: FloatImage, ys: FloatImage) -> FloatImage:
    """Give the bones' shadows, in cm of compact bone."""
    strength = (0.55 if anatomy.child else 1.0) * float(stream(anatomy.seed, "bone").normal(1.1, 0.2))
    # rays run along a rib where it turns forwards; the diaphragm and the spine hide most of it
    out, (posterior, anterior) = np.abs(xs), _ribs(anatomy)
    wall = 0.7 + 0.6 * np.minimum(out * 2, 1) ** 5
    back = wall * np.clip(3.1 - 2.9 * ys, 0.12, 1.0) * np.clip(7 * out - 0.15, 0.2, 1)
    front = wall * np.clip((out - 0.18) * 6, 0, 1) * np.clip(3.0 - 2.9 * ys, 0.1, 1)
    total = back * shade(frame, posterior, 1.0, 0.0145, 0.0036, 0.22)
    total += front * shade(frame, anterior, 0.85, 0.016, 0.0034, 0.2)
    spine = np.zeros(frame.shape, np.float32)
    for name, drawn in _placed(anatomy).items():
        onto = spine if name in _SPINE else total
        onto += shade(frame, drawn, *outlines("chest_bones")[name]["shade"])
    total += soften(spine, 0.0045 * frame.unit_px[0])
    return soften(total, 0.0012 * frame.unit_px[0]) * np.float32(strength)


def _ribs(anatomy: Anatomy) -> tuple[list[Points], list[Points]]:
    """Outline the ribs' posterior and anterior arcs: tilted rings in space, cut at the chest wall."""
    rng = stream(anatomy.seed, "ribs")
    pitch = (0.087 - 0.012 * (anatomy.inspiration - 0.5)) * rng.normal(1, 0.02)
    walls = {side: lung_outline(anatomy, side)[:54] * (side, 1) for side in (-1, 1)}
    posterior, anterior = [], []
    for i, side in ((i, side) for i in range(len(_DROP)) for side in (-1, 1)):
        level = -0.035 + pitch * i + rng.normal(0, 0.003)
        slope = _DROP[i] * (1.18 - 0.25 * anatomy.inspiration) * rng.normal(1, 0.03)
        wide = float(np.interp(level + 0.6 * slope, walls[side][:, 1], walls[side][:, 0])) - 0.006
        angle = np.linspace(np.arcsin(0.055 / wide), np.pi * (0.86 if i < 7 else 0.72), 40)
        x = side * wide * np.sin(angle) ** 0.9 - 0.2 * anatomy.turn * np.cos(angle) * wide
        y = level + slope * ((1 - np.cos(angle)) / 2) ** 0.66
        y -= 0.012 * np.sin(2 * np.clip(angle, 0, np.pi / 2))
        axis, past = np.stack([x, y], 1), angle - np.pi / 2  # past the side, where the back becomes the front
        half = 0.0145 * rng.normal(1, 0.06) * (1 + 0.18 * np.sin(angle * 2.2 + i))
        half = half * (1 - 0.4 * np.exp(-((past / 0.35) ** 2)))
        ends = np.sqrt(np.clip(np.minimum((0.3 - past) / 0.3, (angle - angle[0]) / 0.08), 0, 1))
        starts = 1.12 * np.sqrt(np.clip((past + 0.25) / 0.3, 0, 1))
        posterior.append(ribbon(axis[past < 0.3], (half * ends)[past < 0.3]))
        anterior.append(ribbon(axis[past > -0.25], (half * starts)[past > -0.25]))
    return posterior, anterior


def _placed(anatomy: Anatomy) -> dict[str, list[Points]]:
    """Outline the other bones, where this patient's posture puts them."""
    rng, placed = stream(anatomy.seed, "clavicle"), {}
    high = rng.normal(0.0, 0.025) - (0.05 if anatomy.view == "AP" else 0.0)
    aside = (0.03 if anatomy.view == "PA" else -0.03) + stream(anatomy.seed, "shoulder").normal(0, 0.01)
    bend = 0.008 * stream(anatomy.seed, "spine").normal(size=4)
    for name, table in outlines("chest_bones").items():
        rings = [outline(numbers) for numbers in table["drawn"]]
        if name == "clavicles":
            shifts = {side: (0.3 * anatomy.turn, high + rng.normal(0, 0.01)) for side in (-1, 1)}
            placed[name] = [moved(ring * (side, 1), *shifts[side]) for ring in rings for side in shifts]
        elif name in _SPINE:
            turn = -0.08 * anatomy.turn if name == "spinous" else 0.0
            levels = [np.interp(ring[:, 1].mean(), (-0.5, 0.2, 0.8, 1.7), bend) for ring in rings]
            placed[name] = [moved(ring, x + turn) for ring, x in zip(rings, levels, strict=True)]
        else:
            placed[name] = [moved(ring, aside) * (side, 1) for ring in rings for side in (-1, 1)]
    return placed
