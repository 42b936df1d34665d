#!/usr/bin/env python3
"""Time effects and recipes: `python bench/photograph.py [--image FILE] [--width 1245 --height 1031]`.

One process, one thread. Effects are timed on the decoded picture; recipes from JPEG bytes to JPEG bytes
(quality 95, the file, draws included). Prints milliseconds of processor time and of wall time (best and
median of the rounds), and for the published ones the ratio to the published generator's time on the
same class of machine: 1,195 ms for glare, moiré and tilt together, without decoding and encoding.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.photo import EFFECTS, LEVELS, RECIPES, Canvas, apply_recipe, sample_recipe
from radsnap.seeds import stream

PUBLISHED_MS = {"moire": 1100.0, "glare_matte": 82.0, "tilt": 63.0, "chexphoto-photographic": 1200.0}
BAR = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, help="an x-ray to use (default: one drawn by a formula)")
    parser.add_argument("--width", type=int, default=1245)
    parser.add_argument("--height", type=int, default=1031)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    image = load(options.image, options.width, options.height)
    photo = resize(image, 1024, 1024)
    print(f"{options.width}×{options.height} px; screen and film: 1024 px in; ms, best of {options.rounds}")
    print(f"{'':<36}{'cpu':>8}{'wall':>8}{'median':>8}{'ratio':>8}")
    worst = float("inf")
    for name, call in rows(image, photo):
        cpu, wall, median = clock(call, options.rounds)
        published = PUBLISHED_MS.get(name.split("@")[0])
        ratio = f"{published / cpu:8.1f}" if published else ""
        if name.startswith("chexphoto-photographic") and published:
            worst = min(worst, published / cpu)
        print(f"{name:<36}{cpu:8.2f}{wall:8.2f}{median:8.2f}{ratio}")
    print(f"photographic: at least {worst:.1f} times the published generator's speed (the bar is {BAR:.0f})")
    return 0 if worst >= BAR else 1


def load(path: Path | None, width: int, height: int) -> NDArray[np.uint8]:
    """Read an x-ray, or draw something as smooth, at the size wanted."""
    if path is not None:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            sys.exit(f"{path} is not a picture")
    else:
        y, x = np.mgrid[0:512, 0:512] / 512
        waves = (
            120
            + 80 * np.sin(9 * x) * np.cos(7 * y)
            + 6 * np.random.default_rng(1).standard_normal((512, 512))
        )
        image = waves.clip(0, 255).astype(np.uint8)
    return resize(np.asarray(image, np.uint8), width, height)


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def rows(image: NDArray[np.uint8], photo: NDArray[np.uint8]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give every row of the table: its name and what to time."""
    data = encode(image)
    yield "decode and encode alone", lambda: encode(decode(data))
    for name, effect in EFFECTS.items():
        subject = photo if name in ("screen", "film") else image
        for level in LEVELS:
            canvas = Canvas(subject.shape[0], subject.shape[1])
            params = effect.sample(stream(1, name), level, canvas)
            yield f"{name}@{level}", partial(effect.apply, subject, params)
    for name in RECIPES:
        subject = photo if name in ("screen", "film") else image
        source = encode(subject)
        for level in LEVELS:
            yield f"{name}@{level} file to file", partial(whole, source, name, level)


def whole(data: NDArray[np.uint8], name: str, level: int) -> object:
    """Do all that a job does for one image, but for the disk."""
    image = decode(data)
    recipe = sample_recipe(name, level, (image.shape[0], image.shape[1]), stream(7, name, level))
    return encode(apply_recipe(image, recipe)[0])


def decode(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def encode(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], np.uint8)


def clock(call: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Give the best processor time, the best and the median wall time, in ms."""
    call()
    cpu, wall = [], []
    for _ in range(rounds):
        start, busy = time.perf_counter(), time.process_time()
        call()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - busy))
    return min(cpu), min(wall), float(np.median(wall))


if __name__ == "__main__":
    sys.exit(main())
