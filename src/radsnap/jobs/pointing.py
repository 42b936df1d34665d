"""Does the heat map point where a radiologist drew a box? The pointing game (Zhang et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import read_image
from radsnap.models.preprocess import resize, seen, to_input
from radsnap.models.runtime import Network
from radsnap.tables import Manifest, parse_boxes, paths

# Grad-CAM is coarse; its peak is looked for on this grid, as it is shown.
_GRID_PX = 256


@dataclass(frozen=True, eq=False)
class Pointing:
    """One entry an image with boxes. hit: the peak lies in a box; chance: the boxes' share of the picture."""

    hit: NDArray[np.bool_]
    chance: NDArray[np.float64]
    patients: NDArray[np.str_]


def pointing_game(network: Network, manifest: Manifest, finding: str) -> Pointing:
    """Look for the heat map's peak in the boxes of a finding, over all rows that have such boxes."""
    output = network.card.span("findings").start + network.card.head("findings").classes.index(finding)
    hits, chances, patients = [], [], []
    for row, path in enumerate(paths(manifest)):
        drawn = parse_boxes(manifest.frame["boxes_xywh"].iloc[row])
        boxes = [box for name, box in drawn if name == finding]
        if not boxes:
            continue
        picture = seen(read_image(path), network.card.input)
        heat = network.run(to_input(picture, network.card.input)[None])["heat_maps"][0, output]
        mask = _mask(boxes, picture.shape[:2], network.card.input.fit)
        fine = cv2.resize(heat, (_GRID_PX, _GRID_PX), interpolation=cv2.INTER_CUBIC)
        hits.append(bool(mask[np.unravel_index(int(fine.argmax()), fine.shape)]))
        chances.append(float(mask.mean()))
        patients.append(manifest.frame["patient_id"].iloc[row])
    return Pointing(np.array(hits, bool), np.array(chances), np.array(patients, np.str_))


def _mask(
    boxes: list[tuple[float, float, float, float]], shape: tuple[int, ...], fit: str
) -> NDArray[np.bool_]:
    """Draw boxes on the grid of the heat map, which sees what the network was given of the picture."""
    mask = np.zeros(shape, dtype=np.float32)
    for x, y, width, height in boxes:
        mask[round(y) : round(y + height), round(x) : round(x + width)] = 1
    return np.asarray(resize(mask, _GRID_PX, fit)) >= 0.5
