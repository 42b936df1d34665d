#!/usr/bin/env python3
"""Compare our photos with real ones as distributions: `python bench/photo_statistics.py XRAYS REAL... [--figure OUT.png]`.

XRAYS is a folder of digital x-rays, of which `screen` and `film` make photos; REAL are folders of real
photos of x-rays. Everything is reduced to 512 px first. Prints the quartiles of colour cast, black,
contrast, noise, spectral slope and the strongest spectral peak (moiré), and draws them when asked.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.photo import apply_recipe, sample_recipe
from radsnap.seeds import stream

SUFFIXES = {".jpg", ".jpeg", ".png"}
LONG_PX = 512
UNITS = {
    "red/green": "log2 of means",
    "blue/green": "log2 of means",
    "black": "1st percentile, grey level",
    "mean": "grey level",
    "contrast": "5th to 95th percentile, grey levels",
    "noise": "grey levels, at 512 px",
    "slope": "of log power over log frequency",
    "peak": "log10 above its ring",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("RADSNAP_TEST_DATA", "../shared/data"))
    parser.add_argument("xrays", type=Path, nargs="?", default=data / "cxr_nih")
    parser.add_argument("real", type=Path, nargs="*", default=[data / "photo_chest", data / "photo_nonchest"])
    parser.add_argument("--count", type=int, default=40, help="photos of each recipe")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if not options.xrays.exists():
        print(f"no folders given and no images at {data}: skipped")
        return 0
    cv2.setNumThreads(1)
    groups = {"real": [measure(read(file)) for folder in options.real for file in files(folder)]}
    groups |= {
        name: [measure(p) for p in make(options.xrays, name, options.count)] for name in ("screen", "film")
    }
    names = list(groups["real"][0])
    print(f"{'':<14}" + "".join(f"{f'{g} ({len(rows)})':>28}" for g, rows in groups.items()))
    for name in names:
        cells = []
        for rows in groups.values():
            low, middle, high = np.percentile([row[name] for row in rows], (25, 50, 75))
            cells.append(f"{middle:12.3f} [{low:.3f}, {high:.3f}]")
        print(f"{name:<14}" + "".join(f"{cell:>28}" for cell in cells))
    if options.figure:
        draw(groups, names, options.figure)
    return 0


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def read(file: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
    if image is None:
        sys.exit(f"{file} is not a picture")
    return np.asarray(image, np.uint8)


def make(folder: Path, name: str, count: int) -> list[NDArray[np.uint8]]:
    """Make photos at all levels in turn."""
    photos = []
    for k, file in enumerate(files(folder)[:count]):
        xray = np.asarray(cv2.cvtColor(read(file), cv2.COLOR_RGB2GRAY), np.uint8)
        recipe = sample_recipe(name, 1 + k % 4, (xray.shape[0], xray.shape[1]), stream(5, name, k))
        photos.append(apply_recipe(xray, recipe)[0])
    return photos


def measure(photo: NDArray[np.uint8]) -> dict[str, float]:
    """Measure one photo at 512 px. Casts are log2 ratios of the means; noise in grey levels."""
    scale = LONG_PX / max(photo.shape)
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = np.asarray(small.mean(axis=2), np.float32)
    red, green, blue = (float(small[..., c].mean()) + 1 for c in range(3))
    low, high = np.percentile(grey, (5, 95))
    fine = cv2.filter2D(grey, cv2.CV_32F, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6)
    slope, peak = spectrum(grey)
    return {
        "red/green": float(np.log2(red / green)),
        "blue/green": float(np.log2(blue / green)),
        "black": float(np.percentile(grey, 1)),
        "mean": float(grey.mean()),
        "contrast": float(high - low),
        "noise": 1.4826 * float(np.median(np.abs(fine))),
        "slope": slope,
        "peak": peak,
    }


def spectrum(grey: NDArray[np.float32]) -> tuple[float, float]:
    """Give the slope of the radial spectrum (log power by log frequency) and its strongest outlier (log10)."""
    side = min(grey.shape)
    square = grey[:side, :side] - grey.mean()
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fftshift(np.fft.fft2(square * window))) ** 2
    axis = np.fft.fftshift(np.fft.fftfreq(side))
    radius = np.hypot(axis[:, None], axis[None])
    ring = np.rint(radius * side).astype(int)
    level = np.bincount(ring.ravel(), np.log10(power.ravel() + 1e-3)) / np.bincount(ring.ravel())
    at = np.arange(side // 32, side // 3)
    slope = float(np.polyfit(np.log10(at / side), level[at], 1)[0])
    band = (radius > 0.06) & (radius < 0.5) & (np.abs(axis[:, None]) > 0.01) & (np.abs(axis[None]) > 0.01)
    excess = np.log10(power + 1e-3) - level[ring]
    return slope, float(np.percentile(excess[band], 99.98))


def draw(groups: dict[str, list[dict[str, float]]], names: list[str], out: Path) -> None:
    """Draw a box for each group and measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(13, 5.5), layout="constrained")
    for axis, name in zip(axes.ravel(), names, strict=True):
        axis.boxplot(
            [[row[name] for row in rows] for rows in groups.values()],
            tick_labels=[f"{group} ({len(rows)})" for group, rows in groups.items()],
        )
        axis.set_title(f"{name} ({UNITS[name]})", fontsize=9)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
