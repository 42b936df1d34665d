"""The path an x-ray takes through shapes, and what has no outline: tissue's grain, vessels, blur."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.radiograph import FloatImage
from radsnap.phantom.shapes import Frame, Part, Points, Shape


def depth(mask: NDArray[Any]) -> FloatImage:
    """Measure each pixel's distance to the edge of its shape, in pixels."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3), np.float32)


def round_path(edge_px: FloatImage, radius_px: float) -> FloatImage:
    """Give the path through a body that is rounded over radius_px at its edge, as a fraction of the full path."""
    inward = np.maximum(1 - edge_px / max(radius_px, 1e-3), 0)
    return np.asarray(cv2.sqrt(1 - inward * inward), np.float32)


def shade(frame: Frame, *stack: Part) -> FloatImage:
    """Add up the path through parts, in cm of their matter; bones are brightest where the ray grazes their cortex."""
    path = np.zeros(frame.shape, np.float32)
    for part in stack:
        radius, cortex, blur = (size * frame.unit for size in (part.radius, part.cortex, part.blur))
        rings, margin = [frame.px(ring) for ring in part.drawn], 3 + 3 * blur
        every = np.concatenate(rings)
        # within their box: most parts are small
        corners = np.concatenate([every.min(0) - margin, every.max(0) + margin])
        left, top, right, bottom = np.clip(corners, 0, frame.shape[::-1] * 2).astype(int).tolist()
        if left < right and top < bottom:
            edge = depth(Frame((bottom - top, right - left)).fill(*(ring - (left, top) for ring in rings)))
            marrow = round_path(np.maximum(edge - cortex, 0), radius - cortex)
            hollow = (1 - part.marrow) * max(1 - cortex / radius, 0)
            within = part.cm * (round_path(edge, radius) - hollow * marrow)
            path[top:bottom, left:right] += soften(within, blur)
    return path


def grain(rng: Generator, shape: Shape, finest_px: float, octaves: int = 4, gain: float = 0.6) -> FloatImage:
    """Draw cloudy noise of unit variance whose finest detail is about finest_px wide."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cells = [max(2, round(side / (finest_px * 2**octave)) + 1) for side in shape]
        cloud = cv2.resize(rng.standard_normal(cells, np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
        total += gain ** (octaves - octave) * cloud
    return np.asarray(total / max(float(total.std()), 1e-6))


def soften(image: NDArray[Any], sigma_px: float) -> FloatImage:
    """Blur; a wide blur is done on a smaller copy, whose error no eye sees."""
    image, (height, width) = np.asarray(image, np.float32), image.shape
    if sigma_px < 0.2:
        return image
    step = max(1, int(min(sigma_px / 3, width / 8, height / 8)))
    small = cv2.resize(image, (width // step, height // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / step)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def grow_vessels(rng: Generator, frame: Frame, start: Points, heading: Points, wide_cm: float) -> FloatImage:
    """Grow vessels, each forking six times until they are finer than a pixel. Returns the path in cm of blood.

    start: (N, 2) in body units; heading: N angles in rad, from +x to +y; wide_cm: of the first, on average.
    """
    grown, canvas = [], np.zeros(frame.shape, np.uint8)
    for generation in range(7):
        bends = heading + np.cumsum(rng.normal(0, 0.09, (5, len(heading))), 0)
        steps = np.stack([np.cos(bends), 0.9 * np.sin(bends)], -1) * rng.uniform(0.7, 1.3, (len(heading), 1))
        path = np.concatenate([start[None], start + 0.021 * 0.9**generation * np.cumsum(steps, 0)])
        for odd, share in ((0, 0.8), (1, 1.2)):  # every second one is thicker
            grown.append((path[:, odd::2], wide_cm * share * 0.75**generation))
        heading = (bends[-1] + rng.uniform(0.12, 0.5, (2, len(heading))) * [[-1], [1]]).ravel()
        start = np.tile(path[-1], (2, 1))
    for path, wide_cm in reversed(grown):  # the thick over the thin
        lines, wide_px = np.rint(16 * frame.px(path.swapaxes(0, 1))).astype(np.int32), wide_cm * frame.cm_px
        grey = min(300 * wide_cm**0.55 * min(max(wide_px, 0.3), 1), 255)
        cv2.polylines(canvas, list(lines), False, grey, max(1, round(wide_px)), cv2.LINE_AA, 4)
    return soften(canvas, 0.001 * frame.unit) * (1.5 / 230)
