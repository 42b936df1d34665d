"""What is not an x-ray: documents, scenes and slices of a tomograph."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.imaging.radiograph import Photo, Provenance
from radsnap.phantom.paths import depth, grain, round_path, soften
from radsnap.phantom.picture import quad
from radsnap.phantom.shapes import Frame, blob, tables
from radsnap.seeds import stream

_SYLLABLES = ("ra", "to", "men", "sul", "pa", "ke", "lin", "or", "ta", "vi", "dos", "en", "ma", "cor", "bel")


def document(seed: int, key: str | int = 0, size_px: int = 1024) -> Photo:
    """Make a photo of a printed page or a receipt on a table."""
    rng = stream(seed, "document", key)
    width, height = size = round(size_px * rng.uniform(0.6, 1.0)), size_px
    page = np.full((height, width, 3), rng.uniform(215, 250, 3) * (1, 1, rng.uniform(0.94, 1.0)), np.uint8)
    y, scale, end = height * 0.08, size_px * rng.uniform(0.0004, 0.0008), height * rng.uniform(0.8, 0.95)
    while y < end:
        tall, ink = scale * (1.8 if rng.random() < 0.1 else 1.0), [rng.uniform(10, 90)] * 3
        words = ["".join(rng.choice(_SYLLABLES, rng.integers(1, 5))) for _ in range(rng.integers(2, 11))]
        text = " ".join(words) + (f"  {rng.uniform(1, 400):.2f}" if rng.random() < 0.4 else "")
        place, thick = (round(width * 0.07), round(y)), max(1, round(tall * 2))
        cv2.putText(page, text, place, cv2.FONT_HERSHEY_SIMPLEX, tall, ink, thick, cv2.LINE_AA)
        y += 34 * tall * (2.2 if rng.random() < 0.15 else 1.1)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    laid = cv2.getPerspectiveTransform(corners, quad(rng, size, -0.03, 0.13).astype(np.float32))
    table = rng.uniform(30, 190, 3) + 14 * grain(rng, (height, width), size_px / 150)[..., None]
    shown = np.clip(table, 0, 255).astype(np.uint8)
    cv2.warpPerspective(page, laid, size, shown, borderMode=cv2.BORDER_TRANSPARENT)
    return _photo(rng, shown, "document")


def scene(seed: int, key: str | int = 0, size_px: int = 1024) -> Photo:
    """Make a photo-like scene: sky, land and lit objects before it, in colour."""
    rng = stream(seed, "scene", key)
    height, width = shape = round(size_px * rng.uniform(0.65, 1.0)), size_px
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = (1 - down) * rng.uniform(60, 255, 3) + down * rng.uniform(60, 255, 3)
    shown = np.repeat(sky.astype(np.float32), width, axis=1)
    texture = 1 + 0.18 * grain(rng, shape, size_px / 300, 5, 0.8)
    hills = rng.uniform((0, 0.9, 0.5, 0.1), (1, 1.2, 0.9, 0.5), (2, 4))
    things = rng.uniform((0, 0.3, 0.03, 0.03), (1, 1, 0.2, 0.25), (rng.integers(3, 8), 4))
    for place in np.concatenate([hills, things]) * (width, height, size_px, size_px):
        # every 24th point of an outline makes a box of it
        mask = Frame(shape).fill(blob(rng, place, 0.03)[:: rng.choice((1, 1, 16, 24))]) > 0
        light = texture * (0.45 + 0.7 * round_path(depth(mask), 0.8 * min(place[2:])))
        shown[mask] = light[mask][:, None] * rng.uniform(20, 230, 3)
    return _photo(rng, shown, "scene")


def ct_slice(seed: int, key: str | int = 0, size_px: int = 512) -> Photo:
    """Make a picture like a slice of a tomograph, through a chest, a belly or a head."""
    rng = stream(seed, "ct", key)
    unit, centre = size_px * rng.uniform(0.36, 0.46), size_px * rng.normal(0.5, 0.02)
    frame = Frame((size_px, size_px), (centre, size_px / 2), (unit, unit))
    level = np.zeros(frame.shape, np.float32)
    for x, y, wide, high, grey in tables("slice")[str(rng.choice(("chest", "belly", "head")))]:
        place = rng.normal(1, 0.04, 4) * (x, y, wide, high)
        level[frame.fill(blob(rng, place, 0.02)) > 0] = grey * rng.normal(1, 0.08)
    noise = rng.uniform(0.01, 0.05) * grain(rng, frame.shape, 1.6, 2) * (level > 0)
    shown = np.clip((soften(level, size_px / 350) + noise) * 255, 0, 255).astype(np.uint8)
    return Photo(np.repeat(shown[..., None], 3, axis=2), Provenance("phantom", "phantom", "CT"))


def _photo(rng: Generator, shown: NDArray[np.float32 | np.uint8], what: str) -> Photo:
    """Light the picture unevenly and take it with a camera."""
    light = 1 + 0.12 * grain(rng, shown.shape[:2], max(shown.shape) / 4, 2)
    noise = rng.uniform(1, 5) * rng.standard_normal((*shown.shape[:2], 1), np.float32)
    lit = cv2.GaussianBlur(shown * light[..., None], (0, 0), rng.uniform(0.5, 1.3))
    return Photo(np.clip(lit + noise, 0, 255).astype(np.uint8), Provenance("phantom", "phantom", None, what))
