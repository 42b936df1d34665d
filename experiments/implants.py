"""Draw metal into x-rays of limbs, hips and spines, for the gate to learn that an x-ray with an implant is one.

    python experiments/implants.py runs/gathered.csv --split train -o runs/implants

Collections of normal and broken bones show hardly any, clinics many: nails, plates with screws, prostheses and their cement,
wires. Each x-ray of the split that is neither of a chest nor of teeth is drawn COUNT times with one to three of these on the
brighter half of its middle, near white and with sharp edges, as what lets no ray through. `kind` is `implant_` and the
x-ray's collection; patients and splits are those of the x-rays.

With --replaced N, each knee is drawn N times instead with a large prosthesis in its middle, as white as the picture can be over
bones darkened, which is how such knees are exposed; `kind` is then `replaced_`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from radsnap.learn.corner_bank import read_grey
from radsnap.seeds import stream
from radsnap.tables import build_manifest, read_manifest, write_manifest

Floats = NDArray[np.float32]
Points = NDArray[np.float64]
BONES = (
    "elbow_forearm",
    "foot_ankle",
    "hand_wrist",
    "hip_pelvis",
    "knee_leg",
    "shoulder_humerus",
    "spine",
    "other",
)
_FINE = 4  # drawn so many times as large: OpenCV's shapes have hard borders


def main() -> None:
    """Draw into every x-ray, and write the manifest."""
    options = parsed()
    manifest = read_manifest(options.manifest).where(split=options.split)
    kind, names, bones, draw, count = "implant", "implants", BONES, with_metal, options.count
    if options.replaced:
        kind = names = "replaced"
        bones, draw, count = ("knee_leg",), with_new_joint, options.replaced
    rows = manifest.frame[manifest.frame["body"].isin(bones)].to_dict("records")
    (options.output / "pictures").mkdir(parents=True, exist_ok=True)
    listed = []
    for place, row in enumerate(rows):
        grey = read_grey(manifest.root / row["path"])
        for number in range(count):
            name = f"pictures/{place:04d}-{number}.jpg"
            rng = stream(number, names, row["image_id"])
            Image.fromarray(draw(rng, grey)).save(options.output / name, quality=90)
            kept = {key: row[key] for key in ("study_id", "patient_id", "view", "body", "split", "licence")}
            source = f"implants drawn by radsnap into {row['source']}"
            listed.append(
                kept
                | {
                    "image_id": f"{names}/{place}/{number}",
                    "path": name,
                    "domain": "digital",
                    "source": source,
                }
                | {"origin": "synthetic", "collection": "implants", "kind": f"{kind}_{row['collection']}"}
            )
    write_manifest(build_manifest(pd.DataFrame(listed), options.output), options.output / "manifest.csv")
    print(f"{len(listed)} pictures of {len(rows)} x-rays")


def with_metal(rng: Generator, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw one to three pieces of metal into an x-ray (H, W)."""
    shape, shown = grey.shape, grey.astype(np.float32) / 255
    white = max(float(np.percentile(shown, 99.5)), 0.6)
    for _ in range(rng.integers(1, 4)):
        centre, along = spot(rng, shown), rng.normal(np.pi / 2, 0.5) + rng.integers(0, 2) * rng.normal(0, 1)
        piece = PIECES[rng.integers(len(PIECES))]
        drawn = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
        piece(rng, drawn, centre * _FINE, float(along), float(max(shape)) * _FINE)
        dense = cv2.resize(drawn, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        dense = cv2.GaussianBlur(dense, (0, 0), rng.uniform(0.4, 1.2))
        level = min(white * rng.uniform(0.92, 1.15), 1.0)
        shown += dense * np.maximum(level - shown, 0) * (1 if piece is not cement else rng.uniform(0.3, 0.8))
    return np.asarray(np.rint(shown * 255).clip(0, 255), np.uint8)


def with_new_joint(rng: Generator, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a large prosthesis into the middle of an x-ray (H, W), whose own greys are darkened."""
    (high, wide), shown = grey.shape, grey.astype(np.float32)
    shown *= rng.uniform(0.3, 0.9) / max(float(np.percentile(shown, 99.5)), 1)
    centre = np.array([wide * rng.normal(0.5, 0.06), high * rng.normal(0.5, 0.08)]) * _FINE
    along = float(rng.normal(np.pi / 2, 0.3) + np.pi * rng.integers(0, 2))
    size = float(max(high, wide) * _FINE * rng.uniform(0.8, 1.9))
    drawn = np.zeros((high * _FINE, wide * _FINE), np.uint8)
    prosthesis(rng, drawn, centre, along, size)
    if rng.random() < 0.3:  # a stem in the bone above, too
        ends = turned(np.array([(-0.1 * size, 0), (-size * rng.uniform(0.2, 0.5), 0)]), centre, along)
        line(drawn, ends, size * rng.uniform(0.03, 0.06))
    dense = cv2.resize(drawn, (wide, high), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    dense = cv2.GaussianBlur(dense, (0, 0), rng.uniform(0.4, 1.5))
    shown += dense * (rng.uniform(0.85, 1.0) - shown)
    shown += rng.uniform(0, 0.15) * cv2.GaussianBlur(dense, (0, 0), max(high, wide) / 25)  # stray light
    return np.asarray(np.rint(shown * 255).clip(0, 255), np.uint8)


def spot(rng: Generator, shown: Floats) -> Points:
    """Choose a place (x, y) in the middle of a picture, among its brighter half."""
    high, wide = shown.shape
    middle = np.zeros_like(shown)
    middle[high // 6 : high - high // 6, wide // 5 : wide - wide // 5] = 1
    bright = cv2.GaussianBlur(shown, (0, 0), max(high, wide) / 60)
    bright = (bright >= np.median(bright[middle > 0])) * middle
    y, x = np.unravel_index(int((bright * rng.random(shown.shape)).argmax()), shown.shape)
    return np.array([x, y], np.float64)


def turned(points: Points, centre: Points, along: float) -> NDArray[np.int32]:
    """Lay points (N, 2), x along the piece, at a place and an angle."""
    turn = np.array([(np.cos(along), np.sin(along)), (-np.sin(along), np.cos(along))])
    return np.asarray(np.rint(points @ turn + centre), np.int32)


def line(drawn: NDArray[np.uint8], ends: NDArray[np.int32], wide: float) -> None:
    """Draw a line with round ends."""
    cv2.line(drawn, ends[0].tolist(), ends[1].tolist(), 255, max(round(wide), 1), cv2.LINE_AA)


def nail(rng: Generator, drawn: NDArray[np.uint8], centre: Points, along: float, size: float) -> None:
    """Draw a nail in a bone's canal, and a bolt or two across it."""
    reach, wide = size * rng.uniform(0.15, 0.5), size * rng.uniform(0.012, 0.05)
    line(drawn, turned(np.array([(-reach, 0), (reach, 0)]), centre, along), wide)
    for at in rng.uniform(0.6, 0.95, rng.integers(0, 3)) * rng.choice([-1, 1]) * reach:
        line(drawn, turned(np.array([(at, -2.5 * wide), (at, 2.5 * wide)]), centre, along), wide / 2.5)


def plate(rng: Generator, drawn: NDArray[np.uint8], centre: Points, along: float, size: float) -> None:
    """Draw a plate with its screws, seen from the side or from before."""
    reach, wide = size * rng.uniform(0.08, 0.3), size * rng.uniform(0.01, 0.035)
    line(drawn, turned(np.array([(-reach, 0), (reach, 0)]), centre, along), wide)
    long, side = size * rng.uniform(0.02, 0.12), rng.choice([-1, 1])
    for at in np.linspace(-0.9, 0.9, rng.integers(3, 9)) * reach:
        tip = (at + long * rng.normal(0, 0.15), side * long)
        line(drawn, turned(np.array([(at, 0), tip]), centre, along), wide * rng.uniform(0.25, 0.5))


def prosthesis(rng: Generator, drawn: NDArray[np.uint8], centre: Points, along: float, size: float) -> None:
    """Draw a joint's two parts: a rounded one with a notch, a tray with a stem."""
    wide, gap = size * rng.uniform(0.07, 0.22), size * rng.uniform(0.01, 0.04)
    turn = np.linspace(0, np.pi, 24)
    bend = 1 + 0.15 * rng.normal(size=4) @ np.cos(np.outer(np.arange(1, 5), turn))
    head = np.stack([-gap - wide * rng.uniform(0.6, 1.1) * np.sin(turn) * bend, wide * np.cos(turn)], axis=1)
    if rng.random() < 0.5:  # seen from the side it is a shell
        inner = head * (0.5, 0.72) - (wide * 0.12, 0)
        head = np.concatenate([head, inner[::-1]])
    cv2.fillPoly(drawn, [turned(head, centre, along)], 255, cv2.LINE_AA)
    thick, stem = wide * rng.uniform(0.1, 0.3), wide * rng.uniform(0.8, 2.5)
    broad, narrow = wide * rng.uniform(0.15, 0.45), wide * rng.uniform(0.08, 0.2)
    tray = np.array([(gap, -wide), (gap, wide), (gap + thick, wide), (gap + thick, broad), (gap + stem, narrow),
                     (gap + stem, -narrow), (gap + thick, -broad), (gap + thick, -wide)])  # fmt: skip
    if rng.random() < 0.8:
        cv2.fillPoly(drawn, [turned(tray, centre, along)], 255, cv2.LINE_AA)


def cement(rng: Generator, drawn: NDArray[np.uint8], centre: Points, along: float, size: float) -> None:
    """Draw a lump of cement."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bend = 1 + 0.2 * rng.normal(size=6) @ np.cos(np.outer(np.arange(1, 7), turn) + rng.uniform(0, 6, (6, 1)))
    reach = size * rng.uniform(0.03, 0.13) * np.maximum(bend, 0.2)
    lump = np.stack([reach * np.cos(turn), reach * np.sin(turn) * rng.uniform(0.4, 1)], axis=1)
    cv2.fillPoly(drawn, [turned(lump, centre, along)], 255, cv2.LINE_AA)


def wires(rng: Generator, drawn: NDArray[np.uint8], centre: Points, along: float, size: float) -> None:
    """Draw wires: bent pins, or loops around a bone."""
    thin = max(round(size * rng.uniform(0.003, 0.009)), 2)
    for _ in range(rng.integers(1, 5)):
        place = centre + rng.normal(0, size * 0.04, 2)
        if rng.random() < 0.5:
            axes = (round(size * rng.uniform(0.02, 0.08)), round(size * rng.uniform(0.01, 0.03)))
            cv2.ellipse(drawn, np.rint(place).astype(int).tolist(), axes, float(np.rad2deg(along)) + 90, 0, 360, 255, thin, cv2.LINE_AA)  # fmt: skip
        else:
            reach = size * rng.uniform(0.08, 0.25)
            line(drawn, turned(np.array([(-reach, 0), (reach, 0)]), place, along + rng.normal(0, 0.4)), thin)


PIECES: tuple[Callable[[Generator, NDArray[np.uint8], Points, float, float], None], ...] = (
    nail,
    plate,
    prosthesis,
    prosthesis,
    cement,
    wires,
)


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=3, help="pictures of each x-ray (3)")
    parser.add_argument(
        "--replaced",
        type=int,
        default=0,
        metavar="N",
        help="instead N pictures of each knee, with a new joint",
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
