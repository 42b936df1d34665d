"""Images in tar archives: the same pixels, one file or many, by our readers and by webdataset's."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsnap.errors import ImageTooLarge, UnreadableImage, UsageError
from radsnap.imaging import Bounds, read_image, write_image
from radsnap.jobs.data import CheckConfig, check_data
from radsnap.jobs.shards import ShardConfig, shard_data
from radsnap.tables import Manifest, build_manifest, paths, read_manifest, write_manifest

webdataset = pytest.importorskip("webdataset")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    rng = np.random.default_rng(3)
    names = [f"p{number}" for number in range(10)]
    for name in names:
        write_image(tmp_path / "images" / f"{name}.png", rng.integers(0, 256, (24, 20), np.uint8))
        write_image(tmp_path / "masks" / f"{name}.png", rng.integers(0, 2, (24, 20), np.uint8) * 255)
    table = pd.DataFrame({"image_id": names, "study_id": names, "patient_id": names})
    table["path"] = "images/" + table["image_id"] + ".png"
    table["mask"] = "masks/" + table["image_id"] + ".png"
    table["split"] = ["train"] * 7 + ["val"] * 3
    made = build_manifest(table, tmp_path)
    write_manifest(made, tmp_path / "m.csv")
    return made


def config(manifest: Manifest, output: str = "shards", **more: object) -> ShardConfig:
    return ShardConfig(manifest=manifest.root / "m.csv", output=manifest.root / output, images=3, **more)


def test_every_image_reads_the_same_from_its_shard(manifest: Manifest) -> None:
    shard_data(config(manifest))
    sharded = read_manifest(manifest.root / "shards" / "manifest.csv")
    names = sorted(path.name for path in (manifest.root / "shards").glob("*.tar"))
    assert names == ["train-000000.tar", "train-000001.tar", "train-000002.tar", "val-000000.tar"]
    before = dict(zip(manifest.frame["image_id"], paths(manifest), strict=True))
    after = dict(zip(sharded.frame["image_id"], paths(sharded), strict=True))
    assert before.keys() == after.keys()
    for name, path in after.items():
        assert np.array_equal(read_image(path).pixels, read_image(before[name]).pixels)
    for _, row in sharded.frame.iterrows():
        mask = read_image(sharded.root / row["mask"])
        assert np.array_equal(
            mask.pixels, read_image(manifest.root / "masks" / f"{row['image_id']}.png").pixels
        )
    assert check_data(CheckConfig(manifest=manifest.root / "shards" / "manifest.csv")) == []


def test_webdataset_streams_the_same_examples(manifest: Manifest) -> None:
    shard_data(config(manifest))
    urls = sorted(str(path) for path in (manifest.root / "shards").glob("train-*.tar"))
    seen = {}
    for url in urls:
        with Path(url).open("rb") as stream:  # webdataset leaves files that it opens itself to the collector
            for example in webdataset.tariterators.group_by_keys(
                webdataset.tariterators.tar_file_expander([{"url": url, "stream": stream}])
            ):
                seen[json.loads(example["json"])["image_id"]] = example["png"]
    assert len(seen) == 7
    for name, data in seen.items():
        assert data == (manifest.root / "images" / f"{name}.png").read_bytes()


def test_a_shard_that_stands_is_not_written_again(manifest: Manifest) -> None:
    shard_data(config(manifest))
    folder = manifest.root / "shards"
    shutil.copytree(folder, manifest.root / "first")
    (folder / "train-000001.tar").unlink()
    kept = (folder / "train-000000.tar").stat().st_mtime_ns
    shard_data(config(manifest))
    assert (folder / "train-000000.tar").stat().st_mtime_ns == kept
    for path in (manifest.root / "first").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_other_shards_are_not_mixed(manifest: Manifest) -> None:
    shard_data(config(manifest))
    with pytest.raises(UsageError, match="holds shards of another manifest, size or seed"):
        shard_data(config(manifest, seed=1))


def test_an_unreadable_file_stops_or_is_left_out(manifest: Manifest) -> None:
    (manifest.root / "images" / "p4.png").unlink()
    with pytest.raises(UnreadableImage, match=r"p4\.png: no such file"):
        shard_data(config(manifest))
    made = shard_data(config(manifest, skip_unreadable=True))
    assert set(made.frame["image_id"]) == set(manifest.frame["image_id"]) - {"p4"}


def test_archives_are_bounded_and_named_when_broken(manifest: Manifest, tmp_path: Path) -> None:
    shard_data(config(manifest))
    inside = paths(read_manifest(tmp_path / "shards" / "manifest.csv"))[0]
    with pytest.raises(ImageTooLarge, match=r"\.tar/"):
        read_image(inside, Bounds(bytes=50))
    with pytest.raises(UnreadableImage, match=r"nothing\.png: no such file; check the path"):
        read_image(inside.with_name("nothing.png"))
    broken = tmp_path / "broken.tar"
    with tarfile.open(broken, "w:gz") as tar:
        tar.add(tmp_path / "images" / "p0.png", "p0.png")
    with pytest.raises(UnreadableImage, match="not a plain tar archive"):
        read_image(broken / "p0.png")
