"""`radsnap train corners` and `radsnap train upright` from a manifest to networks that `find` and `straighten` load."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.errors import ManifestError, UsageError, WeightsError
from radsnap.flatten import find
from radsnap.flatten.orientation import orientation
from radsnap.imaging import Photo, write_image
from radsnap.jobs import train_corners
from radsnap.jobs.train_corners import TrainCornersConfig, train_corner_network
from radsnap.jobs.train_upright import TrainUprightConfig, train_upright_network
from radsnap.models.card import Card
from radsnap.phantom import document, sample_chest, scene
from radsnap.tables import build_manifest, read_manifest, write_manifest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a few phantoms as the rows that both trainings want."""
    import pandas as pd

    folder = tmp_path_factory.mktemp("rows")
    rows = []
    for i in range(8):
        split = "train" if i < 5 else "val"
        drawn = {
            "cxr_nih": np.rint(sample_chest(1, i, 96).radiograph.pixels * 255).astype(np.uint8),
            "cxr_paediatric": np.rint(sample_chest(2, i, 96).radiograph.pixels * 255).astype(np.uint8),
            "xray_other": np.rint(sample_chest(3, i, 96).radiograph.pixels.T * 255).astype(np.uint8),
            "nonxray_photo": scene(1, str(i), 96).pixels,
            "nonxray_document": document(1, str(i), 96).pixels,
            "nonxray_medical": scene(2, str(i), 96).pixels,
        }
        for kind, pixels in drawn.items():
            name = f"{kind}-{i}.png"
            write_image(folder / name, pixels)
            rows.append({"image_id": name, "study_id": name, "patient_id": name, "path": name, "kind": kind,
                         "split": split, "domain": "digital", "origin": "synthetic"})  # fmt: skip
    write_manifest(build_manifest(pd.DataFrame(rows), folder), folder / "rows.csv")
    return folder / "rows.csv"


@pytest.fixture(scope="module")
def first(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for a moment on photos that two processes drew, in parts of 40."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_corners, "_PART", 40)
        folder = tmp_path_factory.mktemp("first")
        trained("corners", manifest, folder, jobs=2)
    return folder


def test_corners_are_trained_from_a_manifest_to_a_network_that_finds(manifest: Path, tmp_path: Path) -> None:
    config = TrainCornersConfig(
        data=manifest, output=tmp_path, photos=64, judged_on=16, phantoms=6, minutes=0.02, closer_minutes=0.02
    )
    said: list[str] = []
    card = train_corner_network(config, lambda progress: said.append(progress.note))
    assert card.name == "corners"
    assert {path.name for path in tmp_path.iterdir()} >= {
        "train-000.npz", "val-000.npz", "corners.onnx", "corners.card.json", "borders.onnx", "borders.card.json",
    }  # fmt: skip
    assert any("photos to train on" in note for note in said)
    photo = Photo(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    quad = find(photo, tmp_path / "corners.card.json", tmp_path / "borders.card.json")
    assert quad is None or np.isfinite(quad.corners_px).all()


def test_a_training_goes_on_from_an_earlier_one(
    first: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first, tmp_path / "second")  # its photos
    monkeypatch.setattr(train_corners, "_PART", 40)
    seen = []
    for name in ("train_corners", "train_strips"):
        fit = getattr(train_corners, name)
        monkeypatch.setattr(
            train_corners, name, lambda *a, fit=fit, **more: seen.append(more["start"]) or fit(*a, **more)
        )
    card = trained("corners", manifest, tmp_path / "second", start=first)
    kept = [torch.load(first / f"{name}.pt") for name in ("corners", "borders")]
    for start, wanted in zip(seen, kept, strict=True):
        assert start.keys() == wanted.keys()
        assert all(torch.equal(start[key], wanted[key]) for key in wanted)
    assert card.training.started_from == "an earlier run of the same training"
    assert card.training.command.endswith(f"--from {first} --seed 10")
    with pytest.raises(WeightsError, match=r"corners\.pt"):
        trained("corners", manifest, tmp_path / "third", start=tmp_path / "nowhere")


def test_an_interrupted_drawing_goes_on_with_what_is_missing(
    first: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_corners, "_PART", 40)
    run = shutil.copytree(first, tmp_path / "run")
    kept, lost = run / "train-000.npz", run / "train-001.npz"
    before, drawn = kept.stat().st_mtime_ns, np.load(lost)["data"]
    lost.unlink()
    trained("corners", manifest, run, jobs=1)
    assert kept.stat().st_mtime_ns == before
    assert np.array_equal(np.load(lost)["data"], drawn)
    with pytest.raises(UsageError, match=r"train-000\.npz was drawn by other settings"):
        trained("corners", manifest, run, jobs=1, seed=5)


def test_the_way_up_is_trained_from_a_manifest(manifest: Path, tmp_path: Path) -> None:
    config = TrainUprightConfig(data=manifest, output=tmp_path, photos=16, paediatric=4, minutes=0.02)
    card = train_upright_network(config)
    assert {figure.data.split()[0] for figure in card.figures} == {"digital", "photo"}
    lies = orientation(np.zeros((50, 60), np.float32), tmp_path / "upright.card.json")
    assert 0 <= lies.confidence <= 1


def trained(stage: str, data: Path, output: Path, **more: object) -> Card:
    if stage == "corners":
        usual: dict[str, object] = {"photos": 64, "judged_on": 16, "phantoms": 0, "closer_minutes": 0.001}
        return train_corner_network(
            TrainCornersConfig(data=data, output=output, **{"minutes": 0.001, **usual, **more})
        )
    usual = {"photos": 16, "paediatric": 4, "minutes": 0.001}
    return train_upright_network(TrainUprightConfig(data=data, output=output, **{**usual, **more}))


def changed(manifest: Path, folder: Path, drop: tuple[str, ...] = (), **columns: object) -> Path:
    rows = read_manifest(manifest)
    frame = rows.frame.drop(columns=list(drop)).assign(**columns)
    write_manifest(build_manifest(frame, rows.root), folder / "rows.csv")
    return folder / "rows.csv"


@pytest.mark.parametrize("stage", ["corners", "upright"])
def test_rows_without_kinds_or_x_rays_are_refused(stage: str, manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="this training needs a column 'kind'"):
        trained(stage, changed(manifest, tmp_path, drop=("kind",)), tmp_path / "run")
    wanted = "x-ray" if stage == "corners" else "frontal chest"
    with pytest.raises(ManifestError, match=f"scenes need at least one {wanted}.* of split 'train'"):
        trained(stage, changed(manifest, tmp_path, kind="nonxray_photo"), tmp_path / "run")


def test_photos_drawn_by_other_settings_are_refused(manifest: Path, tmp_path: Path) -> None:
    trained("upright", manifest, tmp_path / "run")
    before = (tmp_path / "run" / "up_train.npz").stat().st_mtime_ns
    trained("upright", manifest, tmp_path / "run")
    assert (tmp_path / "run" / "up_train.npz").stat().st_mtime_ns == before
    rows = read_manifest(manifest).frame
    others = changed(manifest, tmp_path, kind=rows["kind"].where(rows.index > 5, "cxr_nih"))
    for data, more in ((manifest, {"seed": 7}), (manifest, {"photos": 24}), (others, {})):
        with pytest.raises(UsageError, match=r"up_train\.npz was drawn by other settings or from other data"):
            trained("upright", data, tmp_path / "run", **more)


@pytest.mark.parametrize("stage", ["corners", "upright"])
def test_an_option_without_meaning_here_is_refused(stage: str, manifest: Path, tmp_path: Path) -> None:
    command = ["train", stage, "--data", str(manifest), "-o", str(tmp_path), "--epochs", "3"]
    done = CliRunner().invoke(app, command)
    said = done.output if done.exception is None else f"{done.output}{done.exception}"
    assert done.exit_code != 0
    assert f"--epochs does not go with 'radsnap train {stage}'; leave it out" in said
