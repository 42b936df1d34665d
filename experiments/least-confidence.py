"""From which confidence on does a photo read better straightened? By how far logits lie from the digital x-ray's.

    python experiments/least-confidence.py experiments/flatten-won-back.toml

Reads the photos of validation rows that experiments/flatten-won-back.py made, of every domain in the plan, whatever the
confidence of what is found; prints a line for each range of it below 0.5. `radsnap.flatten.quad.POSSIBLE` was chosen by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from labbook import labelled, opened

from radsnap.flatten import corners, find, straighten
from radsnap.imaging import Photo, Radiograph, read_image
from radsnap.jobs.predict import score_manifest
from radsnap.models.preprocess import seen, to_input
from radsnap.models.runtime import Network, load
from radsnap.tables import read_manifest

RANGES = ((0, 0.05), (0.05, 0.2), (0.2, 0.3), (0.3, 0.5))


def main() -> None:
    """Read and print."""
    plan, _ = opened(__doc__ or "")
    network = load(plan["card"])
    place = network.card.head("findings").classes.index(plan["label"])
    val, _ = labelled(plan, plan["source"], "val")
    said = score_manifest(network, val)
    digital = dict(zip(said.image_ids, said.logits[:, place], strict=True))
    corners.POSSIBLE = 0.0  # every end
    away = []
    for told in plan["domains"].values():
        name = f"{plan['source']}-{told['recipe']}-{told['level']}-val"
        photos = read_manifest(Path(plan["photos"]) / name / "manifest.csv")
        for path, image_id in photos.frame[["path", "source_image_id"]].to_numpy():
            photo = read_image(photos.root / path)
            quad = find(photo) if isinstance(photo, Photo) else None
            if quad is None or quad.cropped_already or quad.confidence >= RANGES[-1][1]:
                continue
            shown = (photo, straighten(photo, quad, 768).radiograph)
            logits = [logit(network, picture, place) for picture in shown]
            away.append((quad.confidence, *np.abs(np.array(logits) - digital[image_id])))
    table = np.array(away)
    for low, high in RANGES:
        within = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if not len(within):
            continue
        plain, flat = within[:, 1], within[:, 2]
        print(f"confidence {low} to {high}: {len(within)} photos, logit away by {plain.mean():.2f} as they are, "
              f"{flat.mean():.2f} straightened; nearer on {(flat < plain).sum()}")  # fmt: skip


def logit(network: Network, picture: Photo | Radiograph, place: int) -> float:
    """Read one picture."""
    spec = network.card.input
    return float(network.run(to_input(seen(picture, spec), spec)[None])["logits"][0, place])


if __name__ == "__main__":
    main()
