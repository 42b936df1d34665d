"""Lay what is found in photos side by side, to be looked at: no label says whether a real photo was straightened well.

python bench/flatten_photos.py PHOTO_OR_FOLDER... -o FOLDER

Writes sheet-1.png and on (each photo with its corners, green where sure, beside its straightened x-ray) and prints a
CSV line a photo: file, what became of it, confidence, sides out of view, how the chest lies. The verdicts in
docs/results/flatten-real-photos.csv were given by eye on these sheets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from radsnap.flatten import Quad, find, straighten
from radsnap.flatten.quad import SIDES
from radsnap.imaging import Photo, Radiograph, find_images, read_image, to_photo
from radsnap.jobs.flatten import draw_quad

TILE_PX, ACROSS, DOWN = 360, 3, 4


def main() -> None:
    """Print the lines and write the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if not options.paths or options.output is None:
        print("skipped: needs PATHS and -o FOLDER")
        return
    options.output.mkdir(parents=True, exist_ok=True)
    tiles = []
    print("file,status,confidence,cropped,lies")
    for file in find_images(options.paths):
        image = read_image(file)
        photo = to_photo(image) if isinstance(image, Radiograph) else image
        quad = find(photo)
        straight = None if quad is None or quad.cropped_already else straighten(photo, quad, 768)
        lies = "" if straight is None or straight.lies is None else way(straight.lies, straight.turned)
        print(
            f"{file.name},{status(quad)},{0 if quad is None else quad.confidence:.3f},{unseen(quad)},{lies}"
        )
        flat = None if straight is None else np.rint(straight.radiograph.pixels * 255).astype(np.uint8)
        tiles.append(tile(file.name, photo, quad, flat))
    for number, start in enumerate(range(0, len(tiles), ACROSS * DOWN), start=1):
        part = tiles[start : start + ACROSS * DOWN]
        part += [np.zeros_like(part[0])] * (-len(part) % ACROSS)
        rows = [np.hstack(part[at : at + ACROSS]) for at in range(0, len(part), ACROSS)]
        cv2.imwrite(str(options.output / f"sheet-{number}.png"), np.vstack(rows)[..., ::-1])


def status(quad: Quad | None) -> str:
    """Say in two words what became of a photo."""
    if quad is None:
        return "nothing found"
    return "left alone" if quad.cropped_already else "sure" if quad.sure else "not sure"


def unseen(quad: Quad | None) -> str:
    """Name the sides out of view."""
    if quad is None or quad.cropped_already:
        return ""
    return " ".join(side for side, seen in zip(SIDES, quad.sides_seen, strict=True) if not seen)


def way(lies: object, turned: bool) -> str:
    """Say how a chest lies, and whether it was turned."""
    said = f"{90 * lies.quarter_turns}{' mirrored' * lies.mirrored} {lies.confidence:.2f}"  # type: ignore[attr-defined]
    return said + " turned" * turned


def tile(name: str, photo: Photo, quad: Quad | None, flat: np.ndarray | None) -> np.ndarray:
    """Lay a photo with its corners beside its straightened x-ray."""
    made = np.zeros((TILE_PX + 18, 2 * TILE_PX, 3), np.uint8)
    put(made, draw_quad(photo, quad, TILE_PX), 0)
    if flat is not None:
        put(made, np.repeat(flat[..., None], 3, axis=2), TILE_PX)
    said = f"{name[:12]} {status(quad)} {0 if quad is None else quad.confidence:.2f}"
    cv2.putText(made, said, (4, TILE_PX + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return made


def put(canvas: np.ndarray, picture: np.ndarray, left: int) -> None:
    """Scale a picture into a square of the canvas."""
    scale = TILE_PX / max(picture.shape[:2])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    canvas[: size[1], left : left + size[0]] = small


if __name__ == "__main__":
    main()
