#!/usr/bin/env python3
"""Time our effects beside the nearest ones of albumentations and augraphy: `python bench/photo_peers.py [--image FILE]`.

One process, one thread, the same picture, round by round in turns. Prints a table of milliseconds of processor
time (the best of the rounds, after a call that warms caches and compilers up), and how often ours fits into
theirs. A peer that is not installed is said to be, and left out; they need no place in a user's environment:

    python -m venv peers; peers/bin/pip install albumentations==2.0.8 augraphy
    peers/bin/pip install --no-deps -e .; peers/bin/python bench/photo_peers.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.photo import EFFECTS, Canvas
from radsnap.seeds import stream

Image = NDArray[np.uint8]
Call = Callable[[Image], object]
PEERS = ("albumentations", "augraphy")
# What we time (effect, level), and the nearest of each peer: its class and settings of about that strength.
ROWS: tuple[tuple[str, int, tuple[str, dict[str, Any]] | None, tuple[str, dict[str, Any]] | None], ...] = (
    ("moire", 1, None, ("Moire", {})),
    ("stripes", 2, None, ("LCDScreenPattern", {"pattern_type": "Vertical"})),
    (
        "glare_matte",
        2,
        ("RandomSunFlare", {"flare_roi": (0, 0, 1, 1), "src_radius": 250}),
        ("LightingGradient", {}),
    ),
    ("reflection", 2, ("Illumination", {"mode": "gaussian"}), ("ReflectedLight", {})),
    ("tilt", 2, ("Perspective", {"scale": (0.1, 0.1), "interpolation": cv2.INTER_CUBIC}), None),
    (
        "rotation",
        2,
        ("Affine", {"rotate": (10, 10), "fit_output": True}),
        ("Geometric", {"rotate_range": (10, 10)}),
    ),
    ("blur", 2, ("GaussianBlur", {"sigma_limit": (3, 3), "blur_limit": 0}), None),
    ("motion", 2, ("MotionBlur", {"blur_limit": (11, 11), "angle_range": (0, 0)}), None),
    (
        "random_digital",
        2,
        ("RandomBrightnessContrast", {"brightness_limit": (0.4, 0.4), "contrast_limit": (0.4, 0.4)}),
        ("Brightness", {"brightness_range": (1.4, 1.4)}),
    ),
    ("jpeg", 2, ("ImageCompression", {"quality_range": (70, 80)}), ("Jpeg", {"quality_range": (70, 80)})),
    ("noise", 2, ("ISONoise", {}), ("LowLightNoise", {})),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, help="an x-ray to use (default: one drawn by a formula)")
    parser.add_argument("--width", type=int, default=1245)
    parser.add_argument("--height", type=int, default=1031)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    peers = find_peers()
    cv2.setNumThreads(1)
    grey = load(options.image, options.width, options.height)
    colour = np.dstack([grey] * 3)
    print(f"{options.width}×{options.height} px, RGB; load of the machine {os.getloadavg()[0]:.1f}; ms")
    print(f"{'':<18}{'grey':>8}{'ours':>8}" + "".join(f"{name:>36}{'ratio':>8}" for name in peers))
    for name, level, *nearest in ROWS:
        ours = our_call(name, level, grey)
        calls = {"grey": partial(ours, grey), "ours": partial(ours, colour)}
        for peer, other in zip(PEERS, nearest, strict=True):
            if other and peer in peers:
                calls[peer] = partial(peer_call(peer, peers[peer], *other), colour)
        took = in_turns(calls, options.rounds)
        cells = f"{took['grey']:8.2f}{took['ours']:8.2f}"
        for peer, other in zip(PEERS, nearest, strict=True):
            if peer in peers:
                cells += (
                    f"{other[0]:>26}{took[peer]:10.2f}{took[peer] / took['ours']:8.1f}"
                    if other
                    else f"{'none':>26}{'':18}"
                )
        print(f"{f'{name}@{level}':<18}{cells}")
    return 0


def find_peers() -> dict[str, Any]:
    """Import the peers that are there; say which are not."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version
    peers = {}
    for name in PEERS:
        if find_spec(name) is None:
            print(f"{name} is not installed: pip install albumentations augraphy")
            continue
        peers[name] = import_module(name)
        print(f"{name} {metadata.version(name)}")
    return peers


def load(path: Path | None, width: int, height: int) -> Image:
    """Read an x-ray, or draw something as smooth, at the size wanted."""
    if path is not None:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            sys.exit(f"{path} is not a picture")
    else:
        y, x = np.mgrid[0:512, 0:512] / 512
        grain = 6 * np.random.default_rng(1).standard_normal((512, 512))
        image = (120 + 80 * np.sin(9 * x) * np.cos(7 * y) + grain).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def our_call(name: str, level: int, image: Image) -> Call:
    """Give our effect, its draws included, as theirs include them."""
    effect, canvas, rng = EFFECTS[name], Canvas(image.shape[0], image.shape[1]), stream(1, name)
    return lambda given: effect.apply(given, effect.sample(rng, level, canvas))


def peer_call(peer: str, module: Any, kind: str, settings: dict[str, Any]) -> Call:
    """Give a peer's effect, made to happen every time."""
    effect = getattr(module, kind)(**settings, p=1)
    if peer == "albumentations":
        return lambda given: effect(image=given)["image"]
    return lambda given: effect(given)


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Give the best processor time of each in ms, measured in turns, after a call that does not count."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                took[name].append(1e3 * (time.process_time() - start))
    return {name: min(times) for name, times in took.items()}


if __name__ == "__main__":
    sys.exit(main())
