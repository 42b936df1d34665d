"""The whole job on phantoms: `radsnap pretrain`, weights, figures, going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from safetensors.torch import load_file  # noqa: E402

from radsnap.errors import ManifestError, TrainingError, UsageError, WeightsError  # noqa: E402
from radsnap.jobs.pretrain import PretrainConfig, pretrain, read_plan  # noqa: E402
from radsnap.learn import checkpoint  # noqa: E402
from radsnap.learn.augment import Augmentation  # noqa: E402
from radsnap.learn.data import Rows  # noqa: E402
from radsnap.learn.pictures import Pictures  # noqa: E402
from radsnap.learn.start import start_from  # noqa: E402
from radsnap.learn.unlabelled import Unlabelled  # noqa: E402
from radsnap.models.card import InputSpec  # noqa: E402
from radsnap.models.networks import NETWORKS  # noqa: E402
from radsnap.tables import build_manifest, read_manifest, write_manifest  # noqa: E402

# the smallest that there is: 4 patches
TINY = """
[network]
name = "vit-tiny-16"
size_px = 32
[schedule]
epochs = 2
batch_size = 4
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path / "tiny.toml"


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command, two epochs of 8 images."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(TINY)
    command = [
        *(sys.executable, "-m", "radsnap", "pretrain", "--data", str(phantoms), "-o", str(folder)),
        *("--config", str(folder / "tiny.toml"), "--draws", "8", "--figure-every", "1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "network.safetensors")
    assert "validation l1" in done.stderr
    return folder


def test_a_run_leaves_weights_that_a_training_starts_from(run: Path) -> None:
    network = NETWORKS["vit-tiny-16"](3, 64, 1)  # another size than it was trained at
    report = start_from(network, run / "network.safetensors")
    assert report.coverage == 1.0
    assert report.missing == report.unexpected == ()
    assert report.adapted == {"pos_embed": "positions of 2 × 2 to 4 × 4"}
    about = json.loads((run / "network.json").read_text())
    assert about["network"] == "vit-tiny-16"
    assert about["training"]["images"] == 16
    assert about["validation"]["ratio"] == pytest.approx(
        about["validation"]["l1"] / about["validation"]["l1_of_mean"]
    )
    assert "--config" in about["training"]["command"]


def test_a_run_shows_originals_corrupted_and_restored_pictures(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = sorted(path.name for path in (run / "figures").iterdir())
    assert files == ["epoch-0001.png", "epoch-0002.png"]
    figure = cv2.imread(str(run / "figures" / files[1]), cv2.IMREAD_UNCHANGED)
    assert figure.shape == (4 * 34, 4 * 34)  # a batch of four, four pictures each, with a border
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [one.step for one in events.Images("restored")] == [1, 2]
    assert {"loss", "ratio"} <= set(events.Tags()["scalars"])


def test_a_killed_run_goes_on_to_the_same_weights(run: Path, phantoms: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from radsnap.jobs.pretrain import PretrainConfig, pretrain\n"
        "folder = Path(sys.argv[1])\n"
        "config = PretrainConfig(data=(Path(sys.argv[2]),), output=folder, config=sys.argv[3], draws_per_epoch=8)\n"
        "pretrain(config, lambda progress: time.sleep(60) if 'validation' in progress.note else None)\n"
    )
    config = str(run / "tiny.toml")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(phantoms), config])
    end = time.monotonic() + 300
    while time.monotonic() < end and not (tmp_path / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.restore(tmp_path / "last.ckpt")["place"] == [1, 0, 2]
    pretrain(PretrainConfig(data=(phantoms,), output=tmp_path, config=config, draws_per_epoch=8))
    whole, resumed = (load_file(folder / "network.safetensors") for folder in (run, tmp_path))
    assert set(whole) == set(resumed)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_masked_autoencoder_runs_in_the_same_loop(phantoms: Path, plan: Path, tmp_path: Path) -> None:
    config = PretrainConfig(
        data=(phantoms,), output=tmp_path / "mae", config=str(plan), method="mae", epochs=1, draws_per_epoch=4
    )
    assert start_from(NETWORKS["vit-tiny-16"](1, 32, 1), pretrain(config)).coverage == 1.0


def test_a_teacher_is_saved_with_the_run_and_not_in_its_weights(
    phantoms: Path, plan: Path, tmp_path: Path
) -> None:
    told = {"data": (phantoms,), "config": str(plan), "method": "sit", "draws_per_epoch": 4}
    weights = pretrain(PretrainConfig(**told, output=tmp_path / "sit"))
    assert start_from(NETWORKS["vit-tiny-16"](1, 32, 1), weights).coverage == 1.0
    state = checkpoint.restore(tmp_path / "sit" / "last.ckpt")["network"]
    student, teacher = (state[f"{who}encoder.blocks.3.mlp.fc1.weight"] for who in ("", "teacher."))
    assert not torch.equal(student, teacher)
    torch.testing.assert_close(student, teacher, rtol=0, atol=1e-2)


def test_a_pair_is_two_views_of_one_picture(phantoms: Path) -> None:
    manifest = read_manifest(phantoms).where(split="train")
    rows = Rows(Pictures(manifest, 40), np.zeros((16, 0), np.float32), np.ones(16), InputSpec(size_px=32))
    alone, pairs = (Unlabelled(rows, Augmentation(), 1, 0, 10, pairs=pairs) for pairs in (False, True))
    assert set(alone[2]) == {"image", "place"}
    assert torch.equal(alone[2]["image"], pairs[2]["image"])
    assert pairs[2]["other"].shape == pairs[2]["image"].shape
    assert not torch.equal(pairs[2]["other"], pairs[2]["image"])
    assert torch.equal(
        pairs[2]["other"], Unlabelled(rows, Augmentation(), 1, 0, 10, 1, pairs=True)[1]["other"]
    )


def test_every_picture_comes_once_before_any_comes_again(phantoms: Path) -> None:
    manifest = read_manifest(phantoms).where(split="train")
    chances = np.ones(16)
    chances[3] = 0.0  # could not be read
    rows = Rows(Pictures(manifest, 40), np.zeros((16, 0), np.float32), chances, InputSpec(size_px=32))
    epochs = [Unlabelled(rows, Augmentation(), 1, epoch, 10) for epoch in range(3)]
    order = np.concatenate([one.order for one in epochs])
    assert sorted(order[:15].tolist()) == sorted(order[15:].tolist()) == [k for k in range(16) if k != 3]
    assert order[:15].tolist() != order[15:].tolist()
    places = [int(one[k]["place"]) for one in epochs for k in range(10)]
    assert places == list(range(30))
    later = Unlabelled(rows, Augmentation(), 1, 1, 10, skip=4)
    assert len(later) == 6
    assert torch.equal(later[0]["image"], epochs[1][4]["image"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[schedule]\nlearning_rat = 1",
            "unknown key 'schedule.learning_rat'; did you mean 'learning_rate'?",
        ),
        ("[corruption]\nqqq = 1", "unknown key 'corruption.qqq'; known are share, sources"),
        ("[schedule]\nepochs = 0", "schedule.epochs: Input should be greater than or equal to 1, got 0"),
        ("method = 'jigsaw'", "method: Input should be 'gmml', 'sit' or 'mae', got 'jigsaw'"),
        ("[network", "cannot be read as TOML"),
    ],
)
def test_a_wrong_plan_is_refused_by_key(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_plan(str(tmp_path / "plan.toml"))
    assert message in str(error.value)


def test_the_plans_that_ship_are_whole() -> None:
    assert read_plan("small").network.name == "vit-tiny-16"
    paper = read_plan("paper")
    assert (paper.network.name, paper.network.size_px, paper.schedule.epochs) == ("vit-small-16", 224, 800)
    assert (paper.schedule.weight_decay, paper.schedule.last_weight_decay) == (0.04, 0.4)
    with pytest.raises(UsageError, match="no plan 'tiny'; give a TOML file, or one of paper, small"):
        read_plan("tiny")


def test_what_cannot_be_trained_on_is_refused_in_words(phantoms: Path, plan: Path, tmp_path: Path) -> None:
    def config(**more: object) -> PretrainConfig:
        told = {"data": (phantoms,), "output": tmp_path / "refused", "config": str(plan), **more}
        return PretrainConfig.model_validate(told)

    with pytest.raises(
        UsageError, match="16 images are fewer than a batch of 64; give more images, or a smaller"
    ):
        pretrain(config(batch_size=64))
    (tmp_path / "cnn.toml").write_text("[network]\nname = 'densenet121'")
    with pytest.raises(UsageError, match="no transformer 'densenet121' is known; known are vit-tiny-8"):
        pretrain(config(config=str(tmp_path / "cnn.toml"), batch_size=4))
    with pytest.raises(WeightsError, match="no weights at"):
        pretrain(config(start=tmp_path / "gone.safetensors"))
    manifest = read_manifest(phantoms)
    other = build_manifest(manifest.frame.assign(body="hand_wrist"), manifest.root)
    write_manifest(other, tmp_path / "hands.csv")
    with pytest.raises(ManifestError, match="no chest x-ray of split 'train' in the manifest"):
        pretrain(config(data=(tmp_path / "hands.csv",)))


def test_an_unreadable_image_is_named_or_left_out(phantoms: Path, plan: Path, tmp_path: Path) -> None:
    manifest = read_manifest(phantoms)
    (manifest.root / "broken.png").write_bytes(b"no image")
    try:
        frame = manifest.frame.copy()
        frame.loc[2, "path"] = "broken.png"
        write_manifest(build_manifest(frame, manifest.root), manifest.root / "broken.csv")
        told = {"data": (manifest.root / "broken.csv",), "output": tmp_path / "run", "config": str(plan)}
        with pytest.raises(TrainingError, match=r"1 images cannot be read: .*broken\.png"):
            pretrain(PretrainConfig.model_validate(told))
        left = {**told, "skip_unreadable": True, "epochs": 1, "draws_per_epoch": 4}
        pretrain(PretrainConfig.model_validate(left))
        assert json.loads((tmp_path / "run" / "network.json").read_text())["training"]["images"] == 15
    finally:
        (manifest.root / "broken.png").unlink()
