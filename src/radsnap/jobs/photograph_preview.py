"""Show effects and recipes: a list in words, and a contact sheet of every one at every level."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import Radiograph, read_radiograph
from radsnap.imaging.bounds import Bounds
from radsnap.jobs.photograph_source import list_xrays
from radsnap.photo import EFFECTS, LEVELS, RECIPES, photograph
from radsnap.photo.devices import NAMES

ByteImage = NDArray[np.uint8]
_LONGER_PX, _TILE_PX, _GAP_PX, _NAME_PX = 1024, 150, 4, 190
_INK, _PAPER = (30, 30, 30), 245


def preview_xray(source: str | None, root: str | None = None) -> Radiograph:
    """Give the first x-ray of a list, at most 1024 px on its longer side, or a phantom chest without a list."""
    if source is None:
        from radsnap.phantom import sample_chest

        return Radiograph(np.asarray(sample_chest(1, "preview", _LONGER_PX).radiograph.pixels, np.float32))
    xrays = list_xrays(source, root)
    name = str(xrays.rows["path"].iloc[0])
    pixels = read_radiograph(xrays.store.image(name, Bounds()), name=name).pixels
    shrink = _LONGER_PX / max(pixels.shape)
    if shrink < 1:
        size = (max(round(pixels.shape[1] * shrink), 1), max(round(pixels.shape[0] * shrink), 1))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32).clip(0, 1)
    return Radiograph(pixels)


def contact_sheet(xray: Radiograph, seed: int = 0) -> ByteImage:
    """Draw every effect and recipe at levels 1 to 4: RGB (H, W, 3), two columns of rows of four."""
    names = [*EFFECTS, *(name for name in RECIPES if name not in EFFECTS)]
    strips = [_strip(xray, name, seed) for name in names]
    blank = np.full_like(strips[0], _PAPER)
    half = -(-len(strips) // 2)
    columns = (strips[:half], [*strips[half:], *[blank] * (2 * half - len(strips))])
    return np.ascontiguousarray(np.hstack([np.vstack([_header(blank), *column]) for column in columns]))


def _strip(xray: Radiograph, name: str, seed: int) -> ByteImage:
    tiles = [_tile(photograph(xray, name, seed, "preview", level).photo.pixels) for level in LEVELS]
    text = np.full((_TILE_PX + _GAP_PX, _NAME_PX, 3), _PAPER, np.uint8)
    for line, word in enumerate(name.split("-")):
        _write(text, word, (10, _TILE_PX // 2 + 18 * line))
    return np.hstack([text, *tiles])


def _tile(picture: ByteImage) -> ByteImage:
    height, width = picture.shape[:2]
    shrink = _TILE_PX / max(height, width)
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    tile = np.full((_TILE_PX + _GAP_PX, _TILE_PX + _GAP_PX, 3), _PAPER, np.uint8)
    top, left = (_TILE_PX - size[1]) // 2, (_TILE_PX - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _header(blank: ByteImage) -> ByteImage:
    header = blank[:30].copy()
    for column, level in enumerate(LEVELS):
        _write(header, f"level {level}", (_NAME_PX + column * (_TILE_PX + _GAP_PX) + 45, 20))
    return header


def _write(image: ByteImage, text: str, at: tuple[int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)


def explain() -> str:
    """List recipes and effects in words, a line each."""
    lines = ["Recipes (levels 1 to 4):"]
    for name, parts in RECIPES.items():
        chain = " → ".join(f"{p.effect}{f' ({p.chance:.0%})' if p.chance < 1 else ''}" for p in parts)
        lines.append(f"  {name:<24} {chain}")
    lines.append(
        "Effects (a chain is a recipe too: --recipe blur+moire@3, where @3 sets one effect's level):"
    )
    for name, effect in EFFECTS.items():
        doc = (effect.params.__doc__ or "").strip().splitlines()
        lines.append(f"  {name:<24} {doc[0] if doc else ''}")
    lines.append(
        "Presets, drawn where not chosen (of recipes with screen or film; a monitor of screen alone):"
    )
    lines += [f"  --{kind:<22} {', '.join(names)}" for kind, names in NAMES.items()]
    return "\n".join(lines)
