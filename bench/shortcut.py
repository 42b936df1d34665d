"""How far findings can be told from size, aspect and sharpness alone, beside the network.

usage: python bench/shortcut.py MANIFEST [--source cxr_nih] [--model findings]

A ridge-regularised logistic regression reads each image's width, height, aspect ratio, bytes per pixel and radial
power spectrum (24 bands), is fitted on the manifest's training rows and scored on its test rows, inside one source.
A network that does not beat it may be reading the file and not the chest.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radsnap.imaging import grey_level, read_image
from radsnap.jobs.predict import score_manifest
from radsnap.jobs.progress import silent
from radsnap.measure import Estimate, auroc, estimate
from radsnap.models.runtime import load
from radsnap.tables import labels, paths, read_manifest, sources

BANDS = 24


def shortcuts(path: Path) -> np.ndarray:
    """Everything about a file that has nothing to do with the chest: (BANDS + 4,)."""
    grey = grey_level(read_image(path))
    height, width = grey.shape
    small = cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA)
    power = np.abs(np.fft.fftshift(np.fft.fft2(small - small.mean()))) ** 2
    radius = np.hypot(*np.meshgrid(*[np.arange(256) - 128] * 2))
    band = np.minimum((radius / 128 * BANDS).astype(int), BANDS - 1)
    spectrum = np.bincount(band.ravel(), power.ravel()) / np.bincount(band.ravel())
    return np.array(
        [width, height, width / height, path.stat().st_size / grey.size, *np.log(spectrum + 1e-9)]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("RADSNAP_TEST_DATA", "../shared/data"))
    parser.add_argument("manifest", nargs="?", type=Path)
    parser.add_argument("--source", default="cxr_nih")
    parser.add_argument("--model", default="findings")
    options = parser.parse_args()
    manifest = _manifest(options.manifest, default)
    if manifest is None:
        print(f"no manifest given and no images at {default}: skipped")
        return
    network = load(options.model)
    names = network.card.head("findings").classes
    manifest = manifest.rows((sources(manifest) == options.source).to_numpy())
    parts = {split: manifest.where(split=split) for split in ("train", "test")}
    features = {split: np.stack([shortcuts(path) for path in paths(part)]) for split, part in parts.items()}
    truth = {split: labels(part, names, uncertain="ignore") for split, part in parts.items()}
    logits = score_manifest(network, parts["test"], silent).logits[:, network.card.span("findings")]
    patients = parts["test"].frame["patient_id"].to_numpy()
    print(
        f"{options.source}: AUROC on {len(parts['test'])} test images\n{'finding':22s} {'n+':>4s}  shortcut              network"
    )
    means: dict[str, list[float]] = {"shortcut": [], "network": []}
    for k, name in enumerate(names):
        fit, seen = (~np.isnan(truth[split][:, k]) for split in ("train", "test"))
        if truth["test"][seen, k].sum() < 10 or len(np.unique(truth["train"][fit, k])) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        model.fit(features["train"][fit], truth["train"][fit, k])
        said = {"shortcut": model.decision_function(features["test"][seen]), "network": logits[seen, k]}
        row = {}
        for who, scores in said.items():
            row[who] = estimate(auroc, truth["test"][seen, k], scores, patients[seen], replicates=1000)
            assert isinstance(row[who], Estimate)
            means[who].append(row[who].value)
        print(f"{name:22s} {int(truth['test'][seen, k].sum()):4d}  {row['shortcut']}  {row['network']}")
    print(
        f"{'mean':22s}       {np.mean(means['shortcut']):.3f}                 {np.mean(means['network']):.3f}"
    )


def _manifest(given: Path | None, default: Path):
    if given is not None:
        return read_manifest(given)
    if not (default / "manifest.csv").exists():
        return None
    from radsnap.collections import import_collection

    return import_collection("gathered", default)


if __name__ == "__main__":
    main()
