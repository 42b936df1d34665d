"""Test-time averaging: views of the same images, whose logits are averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Average = Literal["none", "flip", "crops"]
AVERAGES: tuple[Average, ...] = get_args(Average)
# The side of a crop, as a share of the image's.
_CROP = 0.9


def views(images: FloatArray, average: Average) -> list[FloatArray]:
    """Give the views of images (N, channels, H, W), each of the same shape; the first is the images themselves.

    none: nothing else. flip: also mirrored left to right. crops: also the four corners and the middle, each with
    sides of 0.9, enlarged again.
    """
    match average:
        case "none":
            return [images]
        case "flip":
            return [images, np.ascontiguousarray(images[..., ::-1])]
        case "crops":
            return [images, *(_crop(images, down, across) for down, across in _PLACES)]


_PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))


def _crop(images: FloatArray, down: float, across: float) -> FloatArray:
    height, width = images.shape[2:]
    tall, wide = round(height * _CROP), round(width * _CROP)
    top, left = round((height - tall) * down), round((width - wide) * across)
    part = images[:, :, top : top + tall, left : left + wide]
    grown = [
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        for plane in part.reshape(-1, tall, wide)
    ]
    return np.asarray(np.stack(grown).reshape(images.shape), np.float32)


def averaged(run: Callable[[FloatArray], FloatArray], images: FloatArray, average: Average) -> FloatArray:
    """Run all views and average what they give: (N, channels, H, W) → (N, outputs)."""
    said = [run(view) for view in views(images, average)]
    return said[0] if len(said) == 1 else np.asarray(np.mean(said, axis=0), dtype=np.float32)
