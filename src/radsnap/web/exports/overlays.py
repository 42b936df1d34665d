"""The picture of a case with the heat of its foremost finding."""

from __future__ import annotations

import cv2
import numpy as np

from radsnap.errors import UnreadableImage
from radsnap.reading.heatmaps import ByteArray, overlay, upsample
from radsnap.web.exports.exported import Exported


def picture_of(given: Exported) -> ByteArray:
    """Decode the stored picture: RGB uint8 (H, W, 3)."""
    decoded = cv2.imdecode(np.frombuffer(given.picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise UnreadableImage("the stored picture is broken; restore it from a backup, or delete the case")
    return np.asarray(decoded, dtype=np.uint8)


def foremost(given: Exported) -> str | None:
    """Name the finding whose heat is shown: the highest likely one, else possible; None without."""
    named = [*given.case.said("likely"), *given.case.said("possible")]
    return next((name for name in named if name in given.heat), None)


def with_heat(given: Exported) -> tuple[ByteArray, str | None]:
    """Lay the foremost finding's heat over the picture; gives the finding's name too."""
    picture, name = picture_of(given), foremost(given)
    if name is None:
        return picture, None
    heat = given.heat[name].astype(np.float32) / np.float32(255)
    return overlay(picture, upsample(heat, *picture.shape[:2]), 0.5), name
