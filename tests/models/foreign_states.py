"""State dicts as others name them, filled from seeds: the same numbers in any environment with numpy.

`tests/goldens/make_foreign.py` fills the real classes of torchxrayvision, timm and transformers with these.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SEED = 20
Shape = tuple[int, ...]
BLOCKS = (6, 12, 24, 16)
GROWTH = 32


def densenet_shapes(channels: int, outputs: int, *, old: bool = False) -> Iterator[tuple[str, Shape]]:
    """Names and shapes of a DenseNet-121 in torchvision's naming; `old` writes norm.1 for norm1."""
    dot = "." if old else ""
    yield "features.conv0.weight", (64, channels, 7, 7)
    yield from _norm("features.norm0", 64)
    width = 64
    for block, layers in enumerate(BLOCKS, start=1):
        for layer in range(1, layers + 1):
            place = f"features.denseblock{block}.denselayer{layer}"
            yield from _norm(f"{place}.norm{dot}1", width)
            yield f"{place}.conv{dot}1.weight", (4 * GROWTH, width, 1, 1)
            yield from _norm(f"{place}.norm{dot}2", 4 * GROWTH)
            yield f"{place}.conv{dot}2.weight", (GROWTH, 4 * GROWTH, 3, 3)
            width += GROWTH
        if block < len(BLOCKS):
            yield from _norm(f"features.transition{block}.norm", width)
            yield f"features.transition{block}.conv.weight", (width // 2, width, 1, 1)
            width //= 2
    yield from _norm("features.norm5", width)
    yield "classifier.weight", (outputs, width)
    yield "classifier.bias", (outputs,)


def _norm(place: str, width: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{place}.{part}", (width,)
    yield f"{place}.num_batches_tracked", ()


def filled(name: str, shape: Shape) -> NDArray[np.float32]:
    """Numbers for a tensor, by its name: scaled so that signals neither die nor explode in a deep network."""
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    if name.endswith("num_batches_tracked"):
        return np.array(1, dtype=np.float32)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        centre = 1.0 if name.endswith("weight") else 0.0
        return (centre + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (rng.standard_normal(shape) * np.sqrt(1.6 / fan_in)).astype(np.float32)


def images(count: int, channels: int, size_px: int, low: float, high: float) -> NDArray[np.float32]:
    """Smooth random images (count, channels, size, size) between low and high."""
    rng = np.random.default_rng([SEED, count, channels, size_px])
    rows = np.cumsum(rng.standard_normal((count, channels, size_px, size_px)), axis=2)
    both = np.cumsum(rows, axis=3)
    both -= both.min(axis=(2, 3), keepdims=True)
    both /= both.max(axis=(2, 3), keepdims=True)
    return (low + (high - low) * both).astype(np.float32)
