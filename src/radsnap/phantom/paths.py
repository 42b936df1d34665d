"""The path an x-ray takes through shapes, and tissue's grain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.shapes import Frame


def depth(mask: NDArray[np.uint8]) -> FloatImage:
    """Measure each pixel's distance to the edge of its shape, in pixels."""
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32)


def round_path(edge_px: FloatImage, radius_px: float) -> FloatImage:
    """Give the path through a body that is rounded over radius_px at its edge, as a fraction of the full path."""
    inward = np.maximum(edge_px * np.float32(-1 / max(radius_px, 1e-3)) + np.float32(1), 0)
    return np.asarray(cv2.sqrt(1 - inward * inward), np.float32)


def shell_path(edge_px: FloatImage, radius_px: float, cortex_px: float, marrow: float) -> FloatImage:
    """Give the path through a hollow bone: cortex in full, the marrow's trabeculae as a fraction of it.

    In units of the bone's diameter; brightest just inside the edge, where the ray grazes the cortex.
    """
    inner = round_path(np.maximum(edge_px - np.float32(cortex_px), 0), max(radius_px - cortex_px, 1e-3))
    hollow = max(1 - cortex_px / max(radius_px, 1e-3), 0) * (1 - marrow)
    return np.asarray(round_path(edge_px, radius_px) - np.float32(hollow) * inner, np.float32)


def solid(frame: Frame, radius: float, *drawn: ArrayLike) -> FloatImage:
    """Give `round_path` through outlines in body units, rounded over `radius` of them."""
    return round_path(depth(frame.fill(*drawn)), abs(radius * frame.unit_px[0]))


def shade(
    frame: Frame, drawn: Sequence[ArrayLike], path_cm: float, radius: float, cortex: float, marrow: float
) -> FloatImage:
    """Give the shadow of bones of one kind; all lengths but path_cm (of compact bone, in all) in body units."""
    unit, edge = abs(frame.unit_px[0]), depth(frame.fill(*drawn))
    return np.float32(path_cm) * shell_path(edge, radius * unit, cortex * unit, marrow)


def grain(
    rng: Generator, shape: tuple[int, int], finest_px: float, octaves: int = 4, gain: float = 0.6
) -> FloatImage:
    """Draw cloudy noise of unit variance whose finest detail is about finest_px wide."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cells = [max(2, round(side / (finest_px * 2**octave)) + 1) for side in shape]
        cloud = cv2.resize(rng.standard_normal(cells, np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
        total += np.float32(gain ** (octaves - octave)) * cloud
    return np.asarray(total / np.float32(max(float(total.std()), 1e-6)))


def soften(image: NDArray[Any], sigma_px: float) -> FloatImage:
    """Blur; a wide blur is done on a smaller copy, whose error no eye sees."""
    image = np.asarray(image, np.float32)
    if sigma_px < 0.2:
        return image
    step = int(min(sigma_px / 3, min(image.shape) / 8))
    if step < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)
    small = cv2.resize(image, (image.shape[1] // step, image.shape[0] // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / step)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
