"""Straighten the photos of a manifest as `radsnap diagnose` does, sure or not, for the gate to learn what it is asked of.

    python experiments/straightened.py runs/gate-photos/train/manifest.csv -o runs/gate-photos/train-straightened

Lists a grey picture of each photo that an x-ray is found in with its surroundings, or what was taken for one: a straightened
picture of a skin lesion is no x-ray. Column `domain` is empty, `kind` is the photo's after `straightened_`.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from radsnap.imaging import Radiograph, read_image
from radsnap.jobs.scale import Scale, spread
from radsnap.reading.flattening import flattened
from radsnap.tables import build_manifest, read_manifest, write_manifest

LONG_PX = 384


def main() -> None:
    """Straighten every photo and write the manifest."""
    options = parsed()
    manifest = read_manifest(options.manifest)
    (options.output / "pictures").mkdir(parents=True, exist_ok=True)
    work = partial(straighten_one, manifest.root, options.output)
    items = enumerate(manifest.frame["path"])
    done = dict(item for item, found in spread(work, items, Scale(options.jobs)) if found is True)
    rows = manifest.frame.iloc[sorted(done)]
    table = rows.assign(
        path=[picture(number) for number in sorted(done)],
        image_id=rows["image_id"] + "/straightened",
        kind="straightened_" + rows["kind"].str.removeprefix("simulated_"),
        domain="",
    )
    write_manifest(build_manifest(table, options.output), options.output / "manifest.csv")
    print(f"{len(table)} of {len(manifest)} photos straightened")


def picture(number: int) -> str:
    """Name the picture of a row."""
    return f"pictures/{number:05d}.jpg"


def straighten_one(root: Path, folder: Path, item: tuple[int, str]) -> bool:
    """Write the picture that is cut out of a photo; False where nothing is."""
    number, path = item
    photo = read_image(root / path)
    if isinstance(photo, Radiograph):
        return False
    _, flat = flattened(photo)
    if flat is None:
        return False
    grey = np.rint(flat.straight.radiograph.pixels * 255).astype(np.uint8)
    small = Image.fromarray(grey)
    small.thumbnail((LONG_PX, LONG_PX))
    small.save(folder / picture(number), quality=90)
    return True


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, help="a manifest of photos")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--jobs", type=int, default=None, help="processes; as many as there are CPUs by default"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
