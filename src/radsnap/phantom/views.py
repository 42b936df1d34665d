"""The other x-rays: lateral chests, and limbs laid on a table. Simple, for the stage that tells what an x-ray shows.

Units: a lateral chest's is the height of the lungs, x to the front from 0 at their back and y down from their apices;
a limb's is a centimetre.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.paths import grain, grow_vessels, shade
from radsnap.phantom.picture import Phantom, attenuate, picture, sample_exposure, window
from radsnap.phantom.shapes import Frame, Part, Points, outline, parts, tables
from radsnap.seeds import stream

# how the stage 'kind' names them
LIMBS = {"hand": "hand_wrist", "knee": "knee_leg", "elbow": "elbow_forearm", "foot": "foot_ankle"}


def lateral_chest(seed: int, key: str | int = 0, size_px: int = 1024) -> Phantom:
    """Make a lateral chest of this seed and key; the longer side has size_px pixels. Mask: 'lungs'."""
    rng, knots = stream(seed, "lateral", key), np.array(tables("lateral")["lung"])
    frame = _frame(rng, "lateral", size_px)
    near = outline(knots + rng.normal(0, 0.008, knots.shape))
    lungs, coarse = (near, near * (0.98, 0.96) + np.array((0.015, 0))), frame.coarse()
    bones = shade(coarse, *parts("lateral").values(), *parts("lateral_spine").values())
    matter = attenuate(_trunk(rng, coarse, lungs), bones)
    made = picture(rng, matter, window(matter, 0.06, 0.97), sample_exposure(rng), frame, "chest", "LL")
    return Phantom(made, "chest_lateral", "LL", "chest", masks={"lungs": frame.fill(*lungs) > 0})


def limb(name: str, seed: int, key: str | int = 0, size_px: int = 1024) -> Phantom:
    """Make a hand, knee, elbow or foot of this seed and key; the longer side has size_px pixels. No masks."""
    rng = stream(seed, "limb", name, key)
    frame, (bones, flesh) = _frame(rng, name, size_px), _laid_out(rng, name)
    bone = shade(frame, *bones) * (1 + 0.06 * grain(rng, frame.shape, 0.045 * frame.cm_px, 3, 0.8))
    water = np.max([shade(frame, part) for part in flesh], 0)
    water *= 1 + 0.02 * grain(rng, frame.shape, 0.25 * frame.cm_px)
    matter = attenuate(water, bone)
    made = picture(rng, matter, window(matter, 0.02, 0.985), sample_exposure(rng), frame, name, "AP")
    return Phantom(made, LIMBS[name], "AP", name)


def _frame(rng: Generator, body: str, size_px: int) -> Frame:
    """Lay a body on an upright picture: larger or smaller, a little tilted, from either side."""
    place = tables(body)["place"]
    width, unit = round(size_px * rng.uniform(*place["wide"])), size_px / rng.uniform(*place["tall"])
    (x, y), mirror = rng.normal(place["at"], 0.025).tolist(), float(rng.choice([-1, 1]))
    centre = (width * (0.5 + mirror * (x - 0.5)), size_px * y)
    return Frame((size_px, width), centre, (mirror * unit, unit), rng.normal(0, 0.05), place["unit_cm"])


def _trunk(rng: Generator, frame: Frame, lungs: tuple[Points, Points]) -> FloatImage:
    """Give the trunk's path in cm of water: both lungs hollow, with heart, aorta, hila, windpipe and vessels."""
    thick, unit, shape = 30 * rng.normal(1, 0.08), frame.unit, frame.shape
    soft, hollow = parts("lateral", "soft"), [Part((lung,), 0.3 * thick, 0.2) for lung in lungs]
    air = shade(frame, *hollow) - shade(frame, soft["heart"], soft["aorta"], soft["hila"])
    air = np.maximum(air, 0) * (1 + 0.06 * grain(rng, shape, 0.006 * unit, 5, 0.8))
    fan = rng.uniform(0, 2 * np.pi, 18)
    start = np.stack([0.33 + 0.03 * np.cos(fan), 0.4 + 0.03 * np.sin(fan)], 1)
    blood = grow_vessels(rng, frame, start, fan, 0.38) * (air > 1)
    body = shade(frame, soft["trunk"])
    body = thick * body + 0.25 * grain(rng, shape, unit / 20, 3) * (body > 0)
    return np.asarray(np.maximum(body - air - shade(frame, soft["windpipe"]) + blood, 0))


def _laid_out(rng: Generator, name: str) -> tuple[list[Part], list[Part]]:
    """Lay out a limb piece by piece, such as finger by finger, each turned about its origin: bones and flesh."""
    bones, flesh = list[Part](), list[Part]()
    for piece in tables(name)["pieces"]:
        turn, scale = rng.uniform(*rng.choice(tables(piece)["turns"])), rng.normal(1, 0.03)
        bones += [part.placed((scale, scale), rng.normal(0, 0.04, 2), turn) for part in parts(piece).values()]
        flesh += [part.placed((scale, scale), turn_rad=turn) for part in parts(piece, "flesh").values()]
    return bones, flesh
