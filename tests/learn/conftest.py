"""A tiny collection of phantoms with labels and splits, and a tiny network, for the tests of learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radsnap.jobs.phantom import write_collection
from radsnap.tables import Manifest, build_manifest, write_manifest


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 phantom chests of 64 px: 16 train, 8 val."""
    folder = tmp_path_factory.mktemp("phantoms")
    made = write_collection(folder, 24, seed=1, size_px=64)
    frame = made.frame.copy()
    frame["split"] = np.where(np.arange(len(frame)) < 16, "train", "val")
    write_manifest(build_manifest(frame, folder), folder / "labelled.csv")
    return folder / "labelled.csv"


@pytest.fixture
def manifest(phantoms: Path) -> Manifest:
    from radsnap.tables import read_manifest

    return read_manifest(phantoms)
