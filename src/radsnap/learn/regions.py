"""Where a finding can be: human lung masks and boxes of a manifest, to guide heat maps by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ManifestError
from radsnap.findings import known
from radsnap.imaging import grey_level, read_image
from radsnap.models.preprocess import resize
from radsnap.tables import Manifest, parse_boxes

Mask = NDArray[np.uint8]
# What shows as shadow inside the lungs, so that lung masks say where it can be.
IN_LUNGS = ("Lung Opacity", "Pneumonia", "Consolidation")
# A mask ends at the lung's edge; a coarse heat map may reach a little over it.
_GROW = 0.03


@dataclass(frozen=True, eq=False)
class Regions:
    """Masks (side_px, side_px) uint8, 255 inside, by row; and for which outputs each one counts (outputs,)."""

    side_px: int
    masks: dict[int, Mask]
    outputs: dict[int, NDArray[np.bool_]]


def read_regions(
    manifest: Manifest, classes: tuple[str, ...], side_px: int, left_out: Collection[int] = ()
) -> Regions:
    """Read boxes (`boxes_xywh`, in pixels of the file) and lung masks (`mask`) of a manifest.

    A row with boxes is guided by them, for the findings that they name; a row with a lung mask by that, for findings
    that lie in the lungs. left_out: rows that guide nothing, since their picture cannot be read. Raises ManifestError
    when the manifest has neither column, or boxes that are not written as such.
    """
    frame = manifest.frame
    if not {"mask", "boxes_xywh"} & set(frame.columns):
        raise ManifestError(
            "guiding heat maps needs a column 'mask' or 'boxes_xywh', which the manifest does not have"
        )
    masks, outputs = {}, {}
    for row in sorted(set(range(len(frame))) - set(left_out)):
        boxes = frame["boxes_xywh"].iloc[row] if "boxes_xywh" in frame.columns else ""
        lungs = frame["mask"].iloc[row] if "mask" in frame.columns else ""
        if boxes:
            masks[row], names = _boxes(boxes, _size(manifest, row), side_px)
        elif lungs:
            masks[row], names = (
                _lungs([manifest.root / part for part in lungs.split("|")], side_px),
                set(IN_LUNGS),
            )
        else:
            continue
        outputs[row] = np.array([name in names for name in classes])
    return Regions(side_px, masks, outputs)


def _size(manifest: Manifest, row: int) -> tuple[int, int]:
    height, width = grey_level(read_image(manifest.root / manifest.frame["path"].iloc[row])).shape
    return width, height


def _lungs(files: list[Path], side_px: int) -> Mask:
    union = np.maximum.reduce([resize(grey_level(read_image(file)), side_px) for file in files])
    grown = cv2.dilate(
        (union > 0.5).astype(np.uint8) * 255, np.ones((3, 3)), iterations=round(_GROW * side_px / 2)
    )
    return np.asarray(grown, dtype=np.uint8)


def _boxes(text: str, size: tuple[int, int], side_px: int) -> tuple[Mask, set[str]]:
    mask, names = np.zeros((side_px, side_px), np.uint8), set()
    across, down = side_px / size[0], side_px / size[1]
    for name, (x, y, width, height) in parse_boxes(text):
        mask[
            round(y * down) : round((y + height) * down), round(x * across) : round((x + width) * across)
        ] = 255
        names.add(known(name) or name)
    return mask, names
