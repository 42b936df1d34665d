"""Lateral chests, limbs and not-x-rays; and a collection on disk that the tables read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import Photo
from radsnap.jobs.phantom import write_collection
from radsnap.phantom import LIMBS, MIXED, Phantom, draw, lateral_chest, limb, sample_chest
from radsnap.tables import labels, paths, read_manifest

KINDS = {"hand_wrist", "elbow_forearm", "foot_ankle", "knee_leg"}


@pytest.mark.parametrize("what", sorted(MIXED))
def test_every_kind_is_the_same_from_the_same_seed_and_differs_from_the_next(what: str) -> None:
    one, two, other = (draw(what, 4, key, 96) for key in (0, 0, 1))
    pixels = [
        made.pixels if isinstance(made, Photo) else made.radiograph.pixels for made in (one, two, other)
    ]
    assert np.array_equal(pixels[0], pixels[1])
    assert pixels[0].shape != pixels[2].shape or (pixels[0] != pixels[2]).mean() > 0.05
    assert max(pixels[0].shape) == 96


@pytest.mark.parametrize("name", sorted(LIMBS))
def test_bones_are_brighter_than_flesh_and_flesh_than_air(name: str) -> None:
    made = limb(name, 0, 0, 192)
    pixels = made.radiograph.pixels
    assert made.kind in KINDS
    assert np.quantile(pixels, 0.1) < 0.25 < 0.5 < np.quantile(pixels, 0.98)


def test_a_lateral_chest_is_labelled_so_and_its_lungs_are_darker() -> None:
    made = lateral_chest(0, 0, 256)
    pixels, lungs = made.radiograph.pixels, made.masks["lungs"]
    assert (made.kind, made.view) == ("chest_lateral", "LL")
    below = np.zeros_like(lungs)
    below[np.flatnonzero(lungs.any(1))[-1] :, lungs.any(0)] = True
    assert np.median(pixels[lungs]) + 0.1 < np.median(pixels[below])


def test_collection_is_read_back_by_the_tables_with_masks_and_findings(tmp_path: Path) -> None:
    write_collection(tmp_path, 14, seed=2, size_px=96, mix={"chest": 3, "hand": 1, "document": 1})
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert len(manifest) == 14
    assert all(path.is_file() for path in paths(manifest))
    known = ~np.isnan(labels(manifest, ["Edema", "No Finding"], uncertain="ignore"))
    chests = (manifest.frame["body"] == "chest_frontal").to_numpy()
    assert np.array_equal(known.all(1), chests)
    assert 0 < chests.sum() < 14
    row = manifest.frame[chests].iloc[0]
    made = sample_chest(2, int(row["image_id"].split("_")[1]), 96)
    mask = cv2.imread(str(tmp_path / row["mask"]), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    assert np.array_equal(mask > 0, made.masks["lungs"])
    grey = cv2.imread(str(tmp_path / row["path"]), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    assert np.abs(grey / 255 - made.radiograph.pixels).max() <= 0.5 / 255 + 1e-6


def test_images_of_a_collection_do_not_depend_on_their_number(tmp_path: Path) -> None:
    write_collection(tmp_path / "few", 2, seed=9, size_px=64)
    write_collection(tmp_path / "more", 3, seed=9, size_px=64)
    for file in sorted((tmp_path / "few" / "images").iterdir()):
        assert file.read_bytes() == (tmp_path / "more" / "images" / file.name).read_bytes()


def test_unknown_kinds_in_a_mix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a mix names kinds among chest, lateral, hand"):
        write_collection(tmp_path, 1, 0, mix={"skull": 1})


def test_boxes_lie_on_the_image() -> None:
    for key in range(8):
        made: Phantom = sample_chest(11, key, 128)
        height, width = made.radiograph.pixels.shape
        for box in (box for boxes in made.boxes.values() for box in boxes):
            assert box[0] >= 0
            assert box[1] >= 0
            assert box[0] + box[2] <= width
            assert box[1] + box[3] <= height
