"""Time the phantoms at 1024 px on one thread, and draw a contact sheet: python bench/phantom.py [SHEET.png]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from radsnap.imaging.files import write_image
from radsnap.imaging.radiograph import Photo
from radsnap.phantom import MIXED, Phantom, draw, sample_chest

COUNT, TILE = 12, 320


def timed(what: str) -> tuple[float, float]:
    """Give median and 90th percentile of CPU milliseconds per picture (one thread; a busy machine disturbs little)."""
    draw(what, 0, 0, 1024)
    spent = []
    for key in range(COUNT):
        start = time.process_time()
        draw(what, 0, key, 1024)
        spent.append(1000 * (time.process_time() - start))
    return float(np.median(spent)), float(np.quantile(spent, 0.9))


def tile(made: Phantom | Photo) -> np.ndarray:
    """Shrink a picture into a square tile, RGB."""
    pixels = (
        made.pixels if isinstance(made, Photo) else np.rint(made.radiograph.pixels * 255).astype(np.uint8)
    )
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    scale = TILE / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:TILE, :TILE]
    square = np.zeros((TILE, TILE, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return square


def main(target: Path) -> None:
    """Print ms per picture of each kind; write 16 chests and two of each other kind."""
    cv2.setNumThreads(1)
    for what in MIXED:
        median, slow = timed(what)
        print(f"{what:10s} 1024 px: median {median:5.0f} CPU ms, 90% below {slow:5.0f} ms")
    made: list[Phantom | Photo] = [sample_chest(1, key, 640) for key in range(16)]
    made += [draw(what, 1, key, 640) for what in MIXED if what != "chest" for key in range(2)]
    rows = [np.hstack([tile(one) for one in made[i : i + 8]]) for i in range(0, len(made), 8)]
    write_image(target, np.vstack(rows))
    print(f"contact sheet: {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "phantoms.png"))
