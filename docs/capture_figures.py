#!/usr/bin/env python3
"""Draw the figures of capture.md: the set-up from the side and from above, and a page as a phone sees it.

usage: python docs/capture_figures.py     # writes docs/capture-setup.svg and docs/capture-page.jpg
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from radsnap.imaging import Photo, write_image
from radsnap.markers import Identity, draw_page, place, write_code
from radsnap.phantom import sample_chest
from radsnap.photo import photograph

HERE = Path(__file__).parent
INK, SOFT, LIGHT, ACCENT = "#1f2937", "#6b7280", "#e5e7eb", "#2563eb"


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = INK, size: int = 13) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{words}</text>'


def line(
    x1: float, y1: float, x2: float, y2: float, colour: str = SOFT, dash: str = "", width: float = 1.5
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" stroke-width="{width}" fill="none"{dashed}/>'


def box(x: float, y: float, w: float, h: float, fill: str, radius: float = 3) -> str:
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" fill="{fill}"/>'


def measure(x1: float, x2: float, y: float, words: str) -> str:
    ticks = line(x1, y - 5, x1, y + 5) + line(x2, y - 5, x2, y + 5)
    return line(x1, y, x2, y) + ticks + text((x1 + x2) / 2, y - 8, words, colour=SOFT)


def side() -> str:
    """The set-up from the side: phone on a stand at the height of the x-ray's middle."""
    parts = [text(230, 22, "from the side", size=15)]
    parts += [box(20, 262, 430, 8, LIGHT)]  # the desk
    parts += [
        box(56, 60, 10, 150, INK),
        box(66, 66, 3, 138, ACCENT),
        box(50, 210, 22, 52, SOFT),
    ]  # the monitor
    parts += [
        line(372, 150, 372, 262, INK, width=4),
        line(346, 262, 372, 220, INK, width=3),
        line(398, 262, 372, 220, INK, width=3),
    ]
    parts += [box(364, 92, 10, 86, INK, 4)]  # the phone
    parts += [
        line(69, 66, 364, 135, ACCENT, "4 4"),
        line(69, 204, 364, 135, ACCENT, "4 4"),
        line(69, 135, 364, 135, SOFT, "2 4"),
    ]
    parts += [text(61, 50, "monitor"), text(372, 82, "phone on a stand")]
    parts += [measure(69, 364, 300, "1.5 to 3 widths of the x-ray (40 to 80 cm)")]
    parts += [text(185, 152, "level with the x-ray’s middle", colour=SOFT)]
    return "".join(parts)


def above() -> str:
    """The set-up from above: lamps and windows where the glass does not mirror them into the phone."""
    parts = [text(700, 22, "from above", size=15)]
    parts += [box(590, 60, 220, 10, INK), box(596, 70, 208, 3, ACCENT), text(700, 50, "monitor")]
    parts += [box(670, 236, 60, 9, INK, 4), text(700, 266, "phone")]
    parts += [line(596, 73, 700, 236, ACCENT, "4 4"), line(804, 73, 700, 236, ACCENT, "4 4")]
    parts += [
        f'<circle cx="530" cy="110" r="13" fill="#fde68a" stroke="{INK}"/>',
        text(530, 142, "lamp: beside,"),
        text(530, 158, "or behind the screen"),
    ]
    parts += [
        f'<circle cx="800" cy="262" r="13" fill="#fecaca" stroke="{INK}"/>',
        line(790, 272, 810, 252, "#b91c1c", width=2.5),
    ]
    parts += [text(818, 290, "no lamp or window"), text(818, 306, "behind the phone")]
    parts += [text(700, 110, "frame fills most", colour=SOFT), text(700, 126, "of the picture", colour=SOFT)]
    return "".join(parts)


def setup() -> str:
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 910 325" role="img" font-family="system-ui, sans-serif">'
    title = "<title>A phone on a stand before a monitor, from the side and from above, with distances and lamps</title>"
    return f'{head}{title}<rect width="910" height="325" fill="#fff"/>{side()}{above()}</svg>\n'


def page() -> np.ndarray:
    """A page with a phantom chest on the screen, and a simulated photo of it."""
    xray = np.rint(sample_chest(1, 0, 768).radiograph.pixels * 255).astype(np.uint8)
    frame = place((1280, 720), (768, 768), 0.8)
    shown = draw_page(xray, frame, write_code(Identity(1234567, 41), b"sixteen bytes or more"))
    rgb = np.repeat(shown[..., None], 3, axis=2)
    photo = photograph(Photo(rgb), "screen", seed=6, image_id="figure", level=2).photo.pixels
    height = 480
    pictures = [
        cv2.resize(one, (round(one.shape[1] * height / one.shape[0]), height), interpolation=cv2.INTER_AREA)
        for one in (rgb, photo)
    ]
    return np.concatenate([pictures[0], np.full((height, 12, 3), 255, np.uint8), pictures[1]], axis=1)


if __name__ == "__main__":
    (HERE / "capture-setup.svg").write_text(setup(), encoding="utf-8")
    write_image(HERE / "capture-page.jpg", page(), 85)
