"""The whole job on phantoms: `radsnap train`, weights, card, reading with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import ManifestError, UsageError, WeightsError  # noqa: E402
from radsnap.jobs.train import TrainConfig, train  # noqa: E402
from radsnap.jobs.training import ship  # noqa: E402
from radsnap.models.card import read_card  # noqa: E402
from radsnap.models.networks import DenseNet, WithHeatMaps  # noqa: E402
from radsnap.models.runtime import load  # noqa: E402


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    command = [
        *(sys.executable, "-m", "radsnap", "train", "findings", "--data", str(phantoms), "-o", str(folder)),
        *("--labels", "Cardiomegaly, Pleural Effusion", "--name", "tiny", "--size", "64"),
        *("--epochs", "1", "--draws", "8", "--batch-size", "4", "--workers", "0"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tiny: findings" in done.stdout
    assert "loss" in done.stderr
    return folder


def test_a_training_leaves_weights_and_a_card_that_fit(trained):
    card = read_card(trained / "tiny.card.json")
    assert card.head("findings").classes == ("Cardiomegaly", "Pleural Effusion")
    assert card.precision == "int8"
    assert card.training.images == 16
    assert "--labels" in card.training.command
    assert load(trained / "tiny.card.json").run(np.zeros((3, 1, 64, 64), np.float32))["logits"].shape == (
        3,
        2,
    )
    assert list((trained / "tensorboard").iterdir())


def test_the_runtime_says_what_torch_says(trained):
    from safetensors.torch import load_file

    network = DenseNet(2)
    network.load_state_dict(load_file(trained / "network.safetensors"))
    images = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)
    with torch.no_grad():
        logits, heat = WithHeatMaps(network.eval())(torch.from_numpy(images))
    said = load(trained / "tiny-float32.card.json").run(images)
    np.testing.assert_allclose(said["logits"], logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(said["heat_maps"], heat.numpy(), atol=1e-4)


def leave_out_export(monkeypatch):
    """Leave the files of weights empty: writing them takes half a minute."""
    monkeypatch.setattr(ship, "to_onnx", lambda network, size_px, path, *_: path.touch())
    monkeypatch.setattr(ship, "quantise", lambda source, images, path: path.touch())


def test_a_training_can_start_from_another_with_other_findings(trained, phantoms, tmp_path, monkeypatch):
    leave_out_export(monkeypatch)
    config = TrainConfig(
        stage="findings", data=(phantoms,), output=tmp_path, start=trained / "network.safetensors", size_px=32,
        labels=("Edema", "Nodule", "Cardiomegaly"), epochs=1, draws_per_epoch=4, batch_size=4, workers=0, name="next",
    )  # fmt: skip
    card = train(config)
    assert card.training.started_from.startswith("network.safetensors (sha256 ")
    assert card.outputs == 3


def test_an_efficientnet_sees_pixels_as_its_published_weights_do_and_starts_another(
    phantoms, tmp_path, monkeypatch
):
    usual = {
        "stage": "findings", "data": (phantoms,), "network": "efficientnet-lite0", "labels": ("Edema", "Nodule"),
        "size_px": 64, "epochs": 1, "draws_per_epoch": 4, "batch_size": 4, "workers": 0, "name": "lite",
    }  # fmt: skip
    card = train(TrainConfig(**usual, output=tmp_path / "one"))
    assert (card.input.normalisation, card.input.mean, card.input.deviation) == ("fixed", 0.5, 0.5)
    assert (card.heat_maps, card.precision) == (True, "int8")
    usual["labels"] = ("Nodule",)
    leave_out_export(monkeypatch)
    train(TrainConfig(**usual, output=tmp_path / "two", start=tmp_path / "one" / "lite.card.json"))
    assert (tmp_path / "two" / "start.txt").read_text().startswith("lite.onnx: 245 keys loaded, 100.0%")


def test_wrong_settings_are_refused_in_words(phantoms, tmp_path):
    def config(**more):
        return TrainConfig(**{"stage": "gate", "data": (phantoms,), "output": tmp_path, "workers": 0, **more})

    with pytest.raises(UsageError, match="it goes with 'radsnap train findings'"):
        train(config(labels=("Edema",)))
    with pytest.raises(UsageError, match="it goes with 'radsnap train kind'"):
        train(config(column="body"))
    with pytest.raises(ManifestError, match="no column 'Hernia'"):
        train(config(stage="findings", labels=("Hernia",)))
    with pytest.raises(WeightsError, match="no weights at"):
        train(config(start=tmp_path / "gone.safetensors"))
    with pytest.raises(UsageError, match="no network 'resnet' is known; known are"):
        train(config(network="resnet"))


def test_labels_that_are_all_blank_are_refused(phantoms, tmp_path):
    from radsnap.tables import build_manifest, read_manifest, write_manifest

    manifest = read_manifest(phantoms)
    frame = manifest.frame.assign(Edema=np.nan)
    write_manifest(build_manifest(frame, manifest.root), tmp_path / "blank.csv")
    config = TrainConfig(stage="findings", data=(tmp_path / "blank.csv",), output=tmp_path, labels=("Edema",))
    with pytest.raises(ManifestError, match="no row of split 'train' has a label for 'findings'"):
        train(config)
