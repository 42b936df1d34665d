#!/usr/bin/env python3
"""Time what a training's loader does to a picture: `python bench/loader.py [--size 320]`.

One process, one thread: crop and pose, tone, a photo by a recipe, size and normalisation, from a picture
kept in memory to the network's input; the same once more from a JPEG file of 1024 px. Prints ms an image
(processor time, the mean of many) beside a training step's, measured apart: DenseNet-121 at 320 px in bf16
takes 1000 / 7.8 ms an image on both cores of the machine class, or --step MS. Exits 1 when a loader on one
core is slower than the step.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from radsnap.learn.augment import Augmentation, augment
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import normalise, resize
from radsnap.phantom import sample_chest
from radsnap.photo import RECIPES
from radsnap.seeds import stream

STEP_MS = 1000 / 7.8
MARGIN = 1.15
HALVES = (("screen-lite", 0.25), ("film-lite", 0.25))
# A simulation of a photo of 2048 px belongs in a bank made beforehand by `radsnap photograph`
TOO_SLOW = ("screen", "film")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=320, help="side of the network's input")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--step", type=float, default=STEP_MS, help="a training step, ms an image")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    spec = InputSpec(size_px=options.size)
    side = round(options.size * MARGIN)
    large = np.rint(sample_chest(1, 1, 1024).radiograph.pixels * 255).astype(np.uint8)
    file = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    kept = resize(large, side)

    def decoded() -> np.ndarray:
        return resize(np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8), side)

    plans: dict[str, tuple[tuple[str, float], ...]] = {"no photo": ()}
    plans |= {name: ((name, 1.0),) for name in RECIPES if name not in TOO_SLOW}
    plans["half of them photos"] = HALVES
    print(f"{options.size} px; load {os.getloadavg()[0]:.1f}; a step takes {options.step:.0f} ms an image")
    print(f"{'':<26}{'kept':>8}{'file':>8}{'of a step':>12}")
    slowest = 0.0
    for name, photo in plans.items():
        plan = Augmentation(photo=photo)

        def example(give: Callable[[], np.ndarray], number: int, plan: Augmentation = plan) -> object:
            varied = augment(give(), stream(1, "augment", number), plan, options.size)
            return normalise(resize(varied.picture, options.size, spec.fit), spec)

        memory, disk = (clock(example, give, options.images) for give in (lambda: kept, decoded))
        slowest = max(slowest, disk)
        print(f"{name:<26}{memory:8.2f}{disk:8.2f}{disk / options.step:12.3f}")
    print(f"one core loads at least {options.step / slowest:.1f} times as fast as the step takes")
    return 0 if slowest < options.step else 1


def clock(
    example: Callable[[Callable[[], np.ndarray], int], object], give: Callable[[], np.ndarray], count: int
) -> float:
    """Give ms of processor time an image."""
    example(give, 0)
    start = time.process_time()
    for number in range(1, count + 1):
        example(give, number)
    return 1e3 * (time.process_time() - start) / count


if __name__ == "__main__":
    sys.exit(main())
