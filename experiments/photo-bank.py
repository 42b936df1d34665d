"""Photograph x-rays of one source and split before a training: the full simulation is too slow for a loader.

    python experiments/photo-bank.py runs/gathered.csv --source cxr_paediatric -o runs/photo-bank

Screen and film, levels 1 to 4, each of another draw of patients; FOLDER/manifest.csv is what `radsnap train ... --data`
takes beside the x-rays' own manifest. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import pandas as pd

from radsnap.tables import Manifest, read_manifest, sources, write_manifest

RECIPES = ("screen", "film")
LEVELS = (1, 2, 3, 4)


def main() -> None:
    """Write the bank's list of x-rays, then its photos."""
    options = parsed()
    manifest = read_manifest(options.data)
    wanted = (sources(manifest) == options.source) & (manifest.frame["split"] == options.split)
    chosen = manifest.rows(wanted.to_numpy())
    # a photo keeps its x-ray's collection, and so its source
    rows = chosen.frame.assign(collection=options.source).drop(columns="kind", errors="ignore")
    patients = rows["patient_id"].nunique()
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "x-rays.csv"
    rows.to_csv(table, index=False)
    parts = []
    for recipe in RECIPES:
        for level in LEVELS:
            name = f"{recipe}-{level}"
            command = ["radsnap", "photograph", str(table), str(options.output / name)]
            command += ["--root", str(manifest.root), "--recipe", recipe, "--level", str(level)]
            command += ["--patients", str(min(options.patients, patients)), "--seed", str(level)]
            print(" ".join(command), flush=True)
            subprocess.run(command, check=True)
            made = read_manifest(options.output / name / "manifest.csv").frame
            # an x-ray may be photographed at several levels
            parts.append(made.assign(image_id=f"{name}/" + made["image_id"], path=f"{name}/" + made["path"]))
    write_manifest(
        Manifest(pd.concat(parts, ignore_index=True), options.output), options.output / "manifest.csv"
    )


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="manifest of the x-rays")
    parser.add_argument("--source", default="cxr_paediatric")
    parser.add_argument("--split", default="train", choices=("train", "val"))
    parser.add_argument("--patients", type=int, default=600, help="patients of each recipe and level")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/photo-bank"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
