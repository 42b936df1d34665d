"""A lateral chest: simple, for the stage that tells it from a frontal one.

Units: 1 is the lungs' height; x to the front from 0 at the lungs' back; y down from the apices.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import grain, shade, soften, solid
from radsnap.phantom.picture import Phantom, attenuate, picture, sample_exposure, window
from radsnap.phantom.shapes import Frame, Points, moved, outline, outlines, spline, stroke
from radsnap.seeds import stream


def lateral_chest(seed: int, key: str | int = 0, size_px: int = 1024) -> Phantom:
    """Make a lateral chest of this seed and key; the longer side has size_px pixels. Mask: 'lungs'."""
    rng, lung = stream(seed, "lateral", key), outlines("lateral")["lung"]
    shape = (size_px, round(size_px * rng.uniform(0.72, 1.0)))
    unit, mirror = size_px * rng.uniform(0.62, 0.78), float(rng.choice([-1, 1]))
    centre = (shape[1] / 2 - mirror * 0.33 * unit, size_px * rng.uniform(0.1, 0.18))
    frame = Frame(shape, centre, (unit * mirror * rng.uniform(0.9, 1.1), unit), float(rng.normal(0, 0.03)))
    near = outline(lung + rng.normal(0, 0.008, (len(lung), 2)))
    far = moved(near * (1, 0.96), 0.012)
    rows = [(list(map(outline, bone["drawn"])), bone["shade"]) for bone in outlines("lateral_bones").values()]
    bones = np.sum([shade(frame, drawn, *cast) for drawn, cast in rows], 0)
    matter = attenuate(_matter(rng, frame, near, far), bones)
    shown = window(matter, 0.06, 0.97)
    made = picture(rng, matter, shown, sample_exposure(rng), unit / 26, shape, "chest", "LL")
    return Phantom(made, "chest_lateral", "LL", "chest", masks={"lungs": frame.fill(near, far) > 0})


def _matter(rng: Generator, frame: Frame, near: Points, far: Points) -> FloatImage:
    """Give the trunk's path in cm of water: both lungs hollow, with heart, aorta, hila, windpipe and vessels."""
    unit, thick, shape = frame.unit_px[1], np.float32(30 * rng.normal(1, 0.08)), outlines("lateral")
    air = np.float32(0.3) * thick * (solid(frame, 0.2, near) + solid(frame, 0.2, far))
    for name, path_cm, radius, blur in (
        ("heart", 8.5, 0.2, 0.008), ("aorta", 1.6, 0.035, 0.004), ("hila", 5, 0.001, 0.03),
    ):  # fmt: skip
        air -= soften(np.float32(path_cm) * solid(frame, radius, outline(shape[name])), blur * unit)
    air *= 1 + np.float32(0.06) * grain(rng, frame.shape, 0.006 * unit, 5, 0.8)
    body, pipe = solid(frame, 0.4, outline(shape["body"])), solid(frame, 0.022, outline(shape["windpipe"]))
    water = thick * body - np.maximum(air, 0) - np.float32(1.6) * pipe
    water += np.float32(0.25) * grain(rng, frame.shape, unit / 20, 3) * (body > 0)
    vessels = np.zeros(frame.shape, np.uint8)
    for angle in rng.uniform(0, 2 * np.pi, 70):
        reach = rng.uniform(0.08, 0.42) * np.array((np.cos(angle), np.sin(angle)))
        line = moved(spline([0 * reach, reach / 2 + rng.normal(0, 0.02, 2), reach], 8), 0.33, 0.4)
        wide_px = unit * rng.uniform(0.002, 0.009)
        stroke(vessels, frame.px(line), int(rng.integers(40, 170)), wide_px)
    blood = soften(vessels, 0.002 * unit) * np.float32(1.5 / 255)
    return np.asarray(np.maximum(water + blood * (air > 1), 0), np.float32)
