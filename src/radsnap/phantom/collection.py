"""A collection of phantoms on disk: images, masks and a manifest, for demos, tests and trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.errors import UsageError
from radsnap.imaging.files import write_image
from radsnap.imaging.radiograph import Photo
from radsnap.phantom.frontal import DEFAULT_CHANCES, FINDINGS_DRAWN, sample_chest
from radsnap.phantom.lateral import lateral_chest
from radsnap.phantom.limbs import LIMBS, limb
from radsnap.phantom.others import ct_slice, document, scene
from radsnap.phantom.picture import Phantom
from radsnap.seeds import stream
from radsnap.tables import Manifest, build_manifest, write_manifest

CHESTS_ONLY: Mapping[str, float] = {"chest": 1.0}
MIXED: Mapping[str, float] = {
    "chest": 0.4, "lateral": 0.06, "hand": 0.06, "knee": 0.06, "elbow": 0.06, "foot": 0.06,
    "document": 0.1, "scene": 0.1, "ct_slice": 0.1,
}  # fmt: skip
_NOT_XRAYS = {"document": document, "scene": scene, "ct_slice": ct_slice}


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


def draw(
    what: str, seed: int, key: str | int, size_px: int, chances: Mapping[str, float] = DEFAULT_CHANCES
) -> Phantom | Photo:
    """Make a picture by its name in MIXED."""
    if what in _NOT_XRAYS:
        return _NOT_XRAYS[what](seed, key, size_px)
    if what in LIMBS:
        return limb(what, seed, key, size_px)
    if what == "lateral":
        return lateral_chest(seed, key, size_px)
    return sample_chest(seed, key, size_px, chances)


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
