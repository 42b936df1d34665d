"""Photograph x-rays of every kind, and pictures that are none, for the gate to learn and to be measured on.

    python experiments/gate-photos.py runs/gathered.csv runs/other-pictures/manifest.csv --split train -o runs/gate-photos

FOLDER/SPLIT/manifest.csv (FOLDER/SPLIT-SEED for another seed than 0) lists COUNT photos of screens and films, levels 1 to 4 in equal shares. Half of them are made
by `radsnap photograph`, and half of those are cut to the x-ray; the other half stand in surroundings (viewers, pages, desks,
several films: `radsnap.learn.corner_scenes`), where a screen shows other pictures in their colours. Column `level` holds
the level, `kind` the source's kind after `simulated_`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.corner_bank import KINDS, read_colour, read_grey
from radsnap.learn.corner_scenes import Stock, cropped, drawn_from, shrunk, take
from radsnap.learn.tasks import draw_weights
from radsnap.photo import LEVELS
from radsnap.seeds import stream
from radsnap.tables import NO_XRAY, Manifest, build_manifest, combine, read_manifest, sources, write_manifest

LONG_PX = 384
# Of the photos so many show no x-ray: a photo of a screen is not an x-ray for that.
OTHERS_SHARE = 0.4
Row = dict[str, str]


def main() -> None:
    """Draw what to photograph, make both halves, and write their manifest."""
    options = parsed()
    seed = options.seed
    folder = options.output / (f"{options.split}-{seed}" if seed else options.split)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = combine(*(read_manifest(path) for path in options.data)).where(split=options.split)
    # a split of its own: nothing that another split shows lies beside or behind an x-ray
    chosen = drawn(manifest, options.count, stream(seed, "gate photos", options.split))
    half = len(chosen) // 2
    rows = [
        *by_recipe(manifest, chosen[:half], folder, seed),
        *in_scenes(manifest, chosen[half:], folder, seed),
    ]
    table = pd.DataFrame(rows)
    write_manifest(build_manifest(table, folder), folder / "manifest.csv")
    print(table.groupby(["domain", "level", table["body"] == NO_XRAY]).size().unstack().to_string())


def drawn(manifest: Manifest, count: int, rng: Generator) -> NDArray[np.int64]:
    """Draw rows, without those that are photos: kinds and bodies nearly evenly, x-rays and other pictures by share."""
    frame = manifest.frame
    none = frame["body"] == NO_XRAY
    chances = draw_weights(sources(manifest) + "/" + frame["body"], none, 0.25)
    usable = ~frame["domain"].isin(("screen", "film")) & (frame["body"] != "")
    chances = chances * np.where(none, OTHERS_SHARE, 1 - OTHERS_SHARE) * usable
    return rng.choice(len(frame), size=count, p=chances / chances.sum())


def by_recipe(manifest: Manifest, chosen: NDArray[np.int64], folder: Path, seed: int) -> Iterator[Row]:
    """Photograph rows by `radsnap photograph`, each recipe and level a part; every second photo is cut to the x-ray."""
    looks = list(product(KINDS, LEVELS))
    for number, (recipe, level) in enumerate(looks):
        part = folder / f"{recipe}-{level}"
        listed = manifest.frame.iloc[np.unique(chosen[number :: len(looks)])].drop(
            columns=["mask"], errors="ignore"
        )
        listed.to_csv(folder / f"{part.name}.csv", index=False)
        command = [
            "radsnap",
            "photograph",
            f"{part}.csv",
            str(part),
            "--root",
            str(manifest.root),
            "--jobs",
            "1",
        ]
        subprocess.run(
            [*command, "--recipe", recipe, "--level", str(level), "--seed", str(level + 10 * seed)],
            check=True,
        )
        made = read_manifest(part / "manifest.csv")
        origin = listed.set_index("image_id")
        for place, photo in enumerate(made.frame.to_dict("records")):
            rng = stream(seed, "cut", part.name, str(photo["image_id"]))
            pixels = np.array(Image.open(made.root / photo["path"]).convert("RGB"), np.uint8)
            if place % 2:
                pixels, _ = cropped(rng, pixels, np.array(json.loads(photo["corners_px"])))
            source = origin.loc[photo["source_image_id"]]
            yield kept(
                folder, f"{part.name}-{place}", pixels, source, str(photo["source_image_id"]), recipe, level
            )


def in_scenes(manifest: Manifest, chosen: NDArray[np.int64], folder: Path, seed: int) -> Iterator[Row]:
    """Photograph rows in surroundings, each row a look in turn."""
    frame, root = manifest.frame, manifest.root
    kinds = sources(manifest)
    around = [
        read_colour(root / path)
        for path in frame.loc[kinds.isin(("nonxray_photo", "nonxray_document")), "path"]
    ]
    xrays = frame[frame["body"] != NO_XRAY].sample(
        min(300, int((frame["body"] != NO_XRAY).sum())), random_state=seed
    )
    ground = drawn_from(around, "photo or document")
    beside = drawn_from([read_grey(root / path) for path in xrays["path"]], "x-ray")
    stock = Stock(beside, ground, ground)
    # no x-ray may lie beside what is to be called none
    without = Stock(drawn_from([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in around]), ground, ground)
    looks = list(product(LEVELS, KINDS))
    for number, row in enumerate(chosen):
        source = frame.iloc[row]
        level, kind = looks[number % len(looks)]
        path = root / source["path"]
        none = source["body"] == NO_XRAY
        picture = half_size(read_colour(path)) if none else read_grey(path)
        photo, _ = take(stream(seed, "scene", number), without if none else stock, picture, level, kind)
        yield kept(folder, f"scene-{number}", photo, source, str(source["image_id"]), kind, level)


def half_size(picture: ByteImage) -> ByteImage:
    """Bring a picture to the size that scenes have their x-rays at."""
    return shrunk(picture, np.full((4, 2), np.nan), 256)[0]


def kept(
    folder: Path, name: str, pixels: ByteImage, source: pd.Series, source_id: str, kind: str, level: int
) -> Row:
    """Write a photo and give its row."""
    small, _, _ = shrunk(pixels, np.full((4, 2), np.nan), min(LONG_PX, max(pixels.shape[:2])))
    path = Path("photos") / f"{name}.jpg"
    (folder / path).parent.mkdir(exist_ok=True)
    Image.fromarray(small).save(folder / path, quality=90)
    shown = {name: str(source[name]) for name in ("study_id", "patient_id", "view", "body", "split")}
    return shown | {
        "image_id": f"simulated/{folder.name}/{name}", "path": str(path), "domain": kind, "origin": "synthetic",
        "collection": "gate-photos", "kind": f"simulated_{source.get('kind') or source['collection']}",
        "source": "photos simulated by radsnap of the other rows", "source_image_id": source_id, "level": str(level),
    }  # fmt: skip


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="manifests of x-rays and of other pictures")
    parser.add_argument("--split", default="train", choices=("train", "val", "test"))
    parser.add_argument("--count", type=int, default=3200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gate-photos"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
