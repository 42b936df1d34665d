"""Draw the web app's icons: `python docs/make_icons.py`. A film on a light box, as SVG and as PNG, from one set of points."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ICONS = Path(__file__).parents[1] / "src" / "radsnap" / "web" / "static" / "icons"
ROOM, LAMP, BONE = "#080b0d", "#cfe3ef", "#10202b"
GRID = 32  # the drawing's own units
FILM, RADIUS = (5, 2.5, 27, 29.5), 4.5
STROKE = 1.9
SPINE = ((16, 7), (16, 25))
# One side's ribs: cubic curves of four points; the other side is their mirror image.
RIBS = (
    ((16, 10.5), (12.8, 9.9), (10.4, 10.8), (9.4, 12.9)),
    ((16, 15), (12.4, 14.4), (9.8, 15.4), (8.8, 17.6)),
    ((16, 19.5), (12.8, 18.9), (10.4, 19.8), (9.4, 21.9)),
)
FINE = 8  # drawn this many times as large, then shrunk


def main() -> None:
    ICONS.mkdir(parents=True, exist_ok=True)
    (ICONS / "icon.svg").write_text(svg())
    for name, size_px, share, ground in (
        ("icon-192", 192, 1.0, None),
        ("icon-512", 512, 1.0, None),
        ("icon-180", 180, 0.78, ROOM),  # iPhones round the corners and show no transparency
        ("icon-maskable-512", 512, 0.66, ROOM),  # Android cuts everything but the middle 80 %
    ):
        draw(size_px, share, ground).save(ICONS / f"{name}.png", optimize=True)


def svg() -> str:
    """Give the icon as SVG."""
    (left, top, right, bottom), lines = FILM, []
    lines += [f"M{SPINE[0][0]} {SPINE[0][1]}V{SPINE[1][1]}"]
    for rib in (*RIBS, *map(mirror, RIBS)):
        (x, y), *rest = rib
        lines.append(f"M{x:g} {y:g}C{' '.join(f'{a:g} {b:g}' for a, b in rest)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {GRID} {GRID}">'
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top:g}" rx="{RADIUS}" fill="{LAMP}"/>'
        f'<path d="{"".join(lines)}" fill="none" stroke="{BONE}" stroke-width="{STROKE}" stroke-linecap="round"/></svg>\n'
    )


def draw(size_px: int, share: float, ground: str | None) -> Image.Image:
    """Draw the icon with its film over `share` of the square; without a ground it is transparent."""
    side = size_px * FINE
    image = Image.new("RGBA", (side, side), ground or (0, 0, 0, 0))
    pen, scale = ImageDraw.Draw(image), side * share / GRID
    shift = side * (1 - share) / 2

    def placed(point: tuple[float, float]) -> tuple[float, float]:
        return (point[0] * scale + shift, point[1] * scale + shift)

    pen.rounded_rectangle((*placed(FILM[:2]), *placed(FILM[2:])), RADIUS * scale, LAMP)
    for line in (SPINE, *(curve(rib) for rib in (*RIBS, *map(mirror, RIBS)))):
        for x, y in map(placed, dense(line)):
            half = STROKE * scale / 2
            pen.ellipse((x - half, y - half, x + half, y + half), BONE)
    return image.resize((size_px, size_px), Image.Resampling.LANCZOS)


def curve(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Follow a cubic Bézier curve."""
    at = np.linspace(0, 1, 60)[:, None]
    a, b, c, d = (np.array(point) for point in points)
    path = (1 - at) ** 3 * a + 3 * (1 - at) ** 2 * at * b + 3 * (1 - at) * at**2 * c + at**3 * d
    return [(float(x), float(y)) for x, y in path]


def dense(line) -> list[tuple[float, float]]:
    """Put points so close on a line that discs on them make a stroke."""
    points = np.array(line)
    steps = [
        np.linspace(one, other, 1 + round(20 * float(np.hypot(*(other - one)))), endpoint=False)
        for one, other in pairwise(points)
    ]
    return [(float(x), float(y)) for x, y in np.concatenate([*steps, points[-1:]])]


def mirror(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    return tuple((GRID - x, y) for x, y in points)


if __name__ == "__main__":
    main()
