"""Make a collection of phantoms on disk, with splits, for a first training, a tutorial or a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import UsageError
from radsnap.imaging import Photo, write_image
from radsnap.phantom import CHESTS_ONLY, DEFAULT_CHANCES, FINDINGS_DRAWN, MIXED, Phantom, draw
from radsnap.seeds import stream
from radsnap.tables import Manifest, build_manifest, split_by_patient, write_manifest

_MIXES = {"chests": CHESTS_ONLY, "mixed": MIXED}


class PhantomConfig(BaseModel):
    """What `radsnap phantom` is told. `mixed` adds lateral views, limbs and pictures that are no x-rays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path
    n: int = Field(ge=1)
    seed: int = 0
    size_px: int = Field(default=512, ge=32, le=2048)
    mix: Literal["chests", "mixed"] = "chests"


def phantom(config: PhantomConfig) -> Manifest:
    """Draw phantoms into a folder, with `manifest.csv` split 70, 10, 20 into train, val and test."""
    made = write_collection(
        config.output, config.n, config.seed, config.size_px, _MIXES[config.mix], suffix=".jpg"
    )
    split = split_by_patient(made, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=config.seed)
    write_manifest(split, config.output / "manifest.csv")
    return split


def write_collection(
    folder: str | Path,
    n: int,
    seed: int,
    size_px: int = 512,
    mix: Mapping[str, float] = CHESTS_ONLY,
    chances: Mapping[str, float] = DEFAULT_CHANCES,
    suffix: str = ".png",
) -> Manifest:
    """Write n phantoms, their masks and `manifest.csv` into a folder; image k is the same whatever n is.

    mix: share of each kind of picture (see MIXED). Chests have every drawable finding as 1 or 0 and `No Finding`;
    anything else leaves them blank. `body` is "none" for what is no x-ray. Further columns: body_part, boxes_xywh
    ("Name:x,y,w,h;..." in pixels), severities (JSON), mask and heart_mask (paths). Splits are left blank.
    Raises UsageError for a mix that names an unknown picture.
    """
    unknown = set(mix) - set(MIXED)
    if unknown or not mix or n < 1:
        raise UsageError(
            f"a mix names kinds among {', '.join(MIXED)} and n is at least 1, got {dict(mix)}, {n}"
        )
    names, root = sorted(mix), Path(folder)
    shares = np.array([mix[name] for name in names]) / sum(mix.values())
    rows = []
    for index in range(n):
        what = str(stream(seed, "mix", index).choice(names, p=shares))
        made = draw(what, seed, index, size_px, chances)
        rows.append(_write(root, f"{what}_{index:06d}", made, suffix))
    manifest = build_manifest(pd.DataFrame(rows), root)
    write_manifest(manifest, root / "manifest.csv")
    return manifest


def _write(root: Path, name: str, made: Phantom | Photo, suffix: str) -> dict[str, object]:
    """Write one picture with its masks and return its row."""
    row: dict[str, object] = dict.fromkeys(("image_id", "study_id", "patient_id"), name)
    row |= {"path": f"images/{name}{suffix}", "origin": "synthetic", "collection": "phantom"}
    if isinstance(made, Photo):
        write_image(root / str(row["path"]), made)
        return row | {"body": "none", "body_part": name.rsplit("_", 1)[0]}
    grey = np.rint(made.radiograph.pixels * 255).astype(np.uint8)
    write_image(root / str(row["path"]), grey)
    row |= {"body": made.kind, "body_part": made.body, "view": made.view, "domain": "digital"}
    for mask, column in (("lungs", "mask"), ("heart", "heart_mask")):
        if mask in made.masks:
            row[column] = f"masks/{name}_{mask}.png"
            write_image(root / str(row[column]), made.masks[mask].astype(np.uint8) * 255)
    if made.kind == "chest_frontal":
        row |= {finding: int(finding in made.findings) for finding in FINDINGS_DRAWN}
        row["No Finding"] = int(not made.findings)
        row["severities"] = json.dumps(made.findings)
        boxes = [(finding, box) for finding, found in made.boxes.items() for box in found]
        row["boxes_xywh"] = ";".join(f"{finding}:{','.join(f'{v:g}' for v in box)}" for finding, box in boxes)
    return row
