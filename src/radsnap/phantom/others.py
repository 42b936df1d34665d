"""What is not an x-ray: documents, scenes and slices of a tomograph."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from radsnap.imaging.radiograph import FloatImage, Photo, Provenance
from radsnap.phantom.paths import depth, grain, round_path, soften
from radsnap.phantom.shapes import Frame, Mask, ellipse, spline
from radsnap.seeds import stream

_SYLLABLES = [
    "ra", "to", "men", "sul", "pa", "ke", "lin", "or", "ta", "vi", "dos", "en", "ma", "cor", "ti", "bel",
]  # fmt: skip


def document(seed: int, key: str | int = 0, size_px: int = 1024) -> Photo:
    """Make a photo of a printed page or a receipt on a table."""
    rng = stream(seed, "document", key)
    width, height = round(size_px * rng.uniform(0.6, 1.0)), size_px
    page = np.full((height, width, 3), rng.uniform(215, 250, 3) * (1, 1, rng.uniform(0.94, 1.0)), np.uint8)
    y, scale, left = height * 0.08, size_px * rng.uniform(0.0004, 0.0008), round(width * 0.07)
    while y < height * rng.uniform(0.8, 0.95):
        size = scale * (1.8 if rng.random() < 0.1 else 1.0)
        words = ["".join(rng.choice(_SYLLABLES, rng.integers(1, 5))) for _ in range(rng.integers(2, 11))]
        text = " ".join(words) + (f"  {rng.uniform(1, 400):.2f}" if rng.random() < 0.4 else "")
        ink, thick = [float(rng.uniform(10, 90))] * 3, max(1, round(size * 2))
        cv2.putText(page, text, (left, round(y)), cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)
        y += 34 * size * (2.2 if rng.random() < 0.15 else 1.1)
        if rng.random() < 0.06:
            row = round(y - 14 * size)
            cv2.line(page, (left, row), (width - left, row), (60, 60, 60), 2)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    inset = rng.uniform(-0.03, 0.13, (4, 2)) * (width, height) * [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    turn = cv2.getPerspectiveTransform(corners, (corners + inset).astype(np.float32))
    table = rng.uniform(30, 190, 3) + 14 * grain(rng, (height, width), size_px / 150)[..., None]
    inside = cv2.warpPerspective(np.ones((height, width), np.float32), turn, (width, height))[..., None]
    shown = cv2.warpPerspective(page, turn, (width, height)) * inside + table * (1 - inside)
    return _photo(rng, shown.astype(np.float32), "document")


def scene(seed: int, key: str | int = 0, size_px: int = 1024) -> Photo:
    """Make a photo-like scene: sky, land and lit objects before it, in colour."""
    rng = stream(seed, "scene", key)
    height, width = round(size_px * rng.uniform(0.65, 1.0)), size_px
    frame, down = Frame((height, width)), np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = ((1 - down) * rng.uniform(60, 255, 3) + down * rng.uniform(60, 255, 3)).astype(np.float32)
    shown = np.repeat(sky, width, axis=1)
    texture = 1 + 0.18 * grain(rng, frame.shape, size_px / 300, 5, 0.8)
    for layer in range(int(rng.integers(1, 4))):
        wave = grain(rng, (8, width), width / 12)[0]
        land = np.arange(height)[:, None] > height * (rng.uniform(0.35, 0.6) + 0.13 * layer + 0.05 * wave)
        shown[land] = texture[land][:, None] * rng.uniform(20, 170, 3)
    for _ in range(int(rng.integers(2, 12))):
        centre, reach = rng.uniform((0, 0.3), (1, 1)) * (width, height), size_px * rng.uniform(0.03, 0.2)
        ring = ellipse((0, 0), (reach, reach * rng.uniform(0.5, 1.6)), rng.uniform(0, 3))
        ring = ring[:: rng.choice([12, 6, 4])] + centre
        mask = frame.fill(spline(ring, 6, closed=True) if rng.random() < 0.6 else ring)
        light = (0.45 + 0.7 * round_path(depth(mask), reach * 0.8)) * texture
        shown[mask > 0] = light[mask > 0][:, None] * rng.uniform(20, 230, 3)
    return _photo(rng, shown, "scene")


def ct_slice(seed: int, key: str | int = 0, size_px: int = 512) -> Photo:
    """Make a picture like a slice of a tomograph: of a trunk with organs, or of a head with a bright skull."""
    rng = stream(seed, "ct", key)
    shape, unit = (size_px, size_px), size_px * rng.uniform(0.36, 0.46)
    frame = Frame(shape, (size_px / 2 + rng.normal(0, 0.02) * size_px, size_px / 2), (unit, unit))

    def organ(x: float, y: float, wide: float, high: float) -> Mask:
        ring = ellipse((x, y), (wide, high), rng.normal(0, 0.2))[::4] * (1 + 0.05 * rng.normal(size=(12, 1)))
        return frame.fill(spline(ring, 5, closed=True)) > 0

    head = rng.random() < 0.4
    body = organ(0, 0, 0.8, 1.0) if head else organ(0, 0, 1.05, 0.75)
    edge = depth(body.astype(np.uint8)) / unit
    level = (body * rng.uniform(0.3, 0.45)).astype(np.float32)
    if head:
        level[(edge > 0.02) & (edge < 0.1)] = 0.95
        level[(np.abs(grain(rng, shape, size_px / 22, 2)) < 0.22) & (edge > 0.12)] -= 0.13
        for side in (-1, 1):
            level[organ(side * 0.13, -0.05, 0.07, 0.3)] = 0.12
    else:
        level[edge < rng.uniform(0.03, 0.09)] *= 0.5
        for side in (-1, 1):
            grey = 0.04 if rng.random() < 0.6 else 0.5
            level[organ(side * 0.48, 0.0, 0.36, 0.48) & (edge > 0.09)] = grey
        for _ in range(9):
            grey, place = rng.uniform(0.3, 0.65), rng.uniform((-0.6, -0.4, 0.05, 0.05), (0.6, 0.3, 0.2, 0.2))
            level[organ(*place) & (edge > 0.1)] = grey
        level[organ(0, 0.45, 0.13, 0.12)] = 0.9
        for angle in rng.uniform(0, 6.28, 12):
            level[organ(0.93 * np.cos(angle), 0.64 * np.sin(angle), 0.06, 0.025)] = 0.85
    noise = np.float32(rng.uniform(0.01, 0.05)) * grain(rng, shape, 1.6, 2)
    shown = np.clip((soften(level, size_px / 350) + noise * body) * 255, 0, 255).astype(np.uint8)
    return Photo(np.repeat(shown[..., None], 3, axis=2), Provenance("phantom", "phantom", "CT"))


def _photo(rng: Generator, shown: FloatImage, what: str) -> Photo:
    """Light the picture unevenly and take it with a camera."""
    light = 1 + np.float32(0.12) * grain(rng, shown.shape[:2], max(shown.shape) / 4, 2)
    lit = cv2.GaussianBlur(shown * light[..., None], (0, 0), rng.uniform(0.5, 1.3))
    lit = lit + rng.uniform(1, 5) * rng.standard_normal((*shown.shape[:2], 1), np.float32)
    return Photo(np.clip(lit, 0, 255).astype(np.uint8), Provenance("phantom", "phantom", None, what))
