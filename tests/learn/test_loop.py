from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import TrainingError, UsageError  # noqa: E402
from radsnap.learn import checkpoint, tasks  # noqa: E402
from radsnap.learn.augment import Augmentation  # noqa: E402
from radsnap.learn.data import Draws, Rows, batches  # noqa: E402
from radsnap.learn.loop import fit  # noqa: E402
from radsnap.learn.objectives import heads_objective  # noqa: E402
from radsnap.learn.optimiser import Schedule  # noqa: E402
from radsnap.learn.pictures import Pictures  # noqa: E402
from radsnap.models.card import InputSpec  # noqa: E402
from radsnap.tables import read_manifest  # noqa: E402

TASK = tasks.findings(("Cardiomegaly", "Pleural Effusion"))
SCHEDULE = Schedule(
    epochs=3, draws_per_epoch=16, batch_size=4, learning_rate=1e-2, workers=0, save_every_s=0.0
)


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (
        torch.nn.Conv2d(1, 4, 3, stride=2),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
    )
    return torch.nn.Sequential(
        *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


def rows_of(path: Path) -> Rows:
    manifest = read_manifest(path).where(split="train")
    pictures = Pictures(manifest, 40)
    assert pictures.check(lambda done, total: None) == []
    weights = tasks.draw_weights(TASK.groups(manifest), TASK.sides(manifest), 0.5)
    return Rows(pictures, TASK.targets(manifest), weights, InputSpec(size_px=32))


def run(path: Path, folder: Path, schedule: Schedule = SCHEDULE, tell=lambda step: None):
    heads = heads_objective(TASK.heads)
    draws = Draws.of(rows_of(path), Augmentation(), schedule.seed)
    return fit(tiny(), heads, draws, lambda net: {"figure": 0.0}, schedule, folder, tell)


def test_a_killed_training_goes_on_to_the_same_weights(phantoms, tmp_path):
    whole = run(phantoms, tmp_path / "whole")
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[3]); import test_loop as t\n"
        "t.run(Path(sys.argv[1]), Path(sys.argv[2]), tell=lambda step: time.sleep(0.15))"
    )
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", script, str(phantoms), str(folder), str(Path(__file__).parent)]
    process = subprocess.Popen(command)
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        if (folder / "last.ckpt").exists() and checkpoint.restore(folder / "last.ckpt")["place"][2] >= 6:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training ended before it could be killed"
    place = checkpoint.restore(folder / "last.ckpt")["place"]
    assert 0 < place[2] < 12
    steps = []
    resumed = run(phantoms, folder, tell=lambda step: steps.append(step.done))
    assert steps[0] == place[2] + 1
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_training_killed_while_it_validates_goes_on_behind_the_epoch(phantoms, tmp_path):
    def killed(_network):
        raise KeyboardInterrupt

    heads, draws = heads_objective(TASK.heads), Draws.of(rows_of(phantoms), Augmentation(), SCHEDULE.seed)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), heads, draws, killed, SCHEDULE, tmp_path / "killed", lambda step: None)
    assert checkpoint.restore(tmp_path / "killed" / "last.ckpt")["place"] == [0, 4, 4]
    resumed, whole = run(phantoms, tmp_path / "killed"), run(phantoms, tmp_path / "whole")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_epochs_shorter_than_a_batch_are_refused(phantoms, tmp_path):
    short = Schedule(epochs=1, draws_per_epoch=8, batch_size=32, workers=0)
    with pytest.raises(UsageError, match="8 draws an epoch are fewer than a batch of 32; give more --draws"):
        run(phantoms, tmp_path, short)


def test_a_training_without_any_figure_ends_in_words(phantoms, tmp_path):
    heads, draws = heads_objective(TASK.heads), Draws.of(rows_of(phantoms), Augmentation(), SCHEDULE.seed)
    with pytest.raises(TrainingError, match="the validation figure 'figure' was never a number"):
        fit(
            tiny(),
            heads,
            draws,
            lambda net: {"figure": float("nan")},
            SCHEDULE,
            tmp_path,
            lambda step: None,
        )


def test_same_batches_whatever_the_worker_count(phantoms):
    rows = rows_of(phantoms)
    draws = Draws(rows, Augmentation(), seed=3, epoch=1, count=8)
    alone = [batch["image"] for batch in batches(draws, 4, workers=0, drop_last=True)]
    two = [batch["image"] for batch in batches(draws, 4, workers=2, drop_last=True)]
    assert all(torch.equal(a, b) for a, b in zip(alone, two, strict=True))


def test_another_epoch_draws_other_pictures(phantoms):
    rows = rows_of(phantoms)
    first, second = (Draws(rows, Augmentation(), seed=3, epoch=epoch, count=4) for epoch in (0, 1))
    assert not torch.equal(first[0]["image"], second[0]["image"])


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(phantoms, tmp_path):
    rows = rows_of(phantoms)

    def broken(model, batch):
        loss = heads_objective(TASK.heads)(model, batch)
        return type(loss)(loss.value * float("nan"), loss.parts)

    with pytest.raises(TrainingError, match="the loss is nan at step 0; the batch is in"):
        fit(
            tiny(),
            broken,
            Draws.of(rows, Augmentation(), SCHEDULE.seed),
            lambda net: {"figure": 0.0},
            SCHEDULE,
            tmp_path,
            lambda step: None,
        )
    assert np.load(tmp_path / "not-finite-batch.npz")["image"].shape == (4, 1, 32, 32)


def test_other_settings_do_not_go_on_from_a_run(phantoms, tmp_path):
    run(phantoms, tmp_path)
    with pytest.raises(UsageError, match="holds a training with other settings"):
        run(phantoms, tmp_path, Schedule(epochs=4, draws_per_epoch=16, batch_size=4, workers=0))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoint.save({"step": 1}, path)
    script = (
        "import resource, signal, sys, torch; from pathlib import Path; from radsnap.learn import checkpoint\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from radsnap.errors import TrainingError\n"
        "try: checkpoint.save({'big': torch.zeros(100_000)}, Path(sys.argv[1]))\n"
        "except TrainingError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert "could not be written" in done.stdout
    assert "the one before it stands" in done.stdout
    assert checkpoint.restore(path) == {"step": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt"]


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be read"):
        checkpoint.restore(tmp_path / "last.ckpt")


def test_an_unreadable_picture_is_named(phantoms, tmp_path):
    manifest = read_manifest(phantoms)
    frame = manifest.frame.copy()
    frame.loc[0, "path"] = "images/gone.png"
    pictures = Pictures(type(manifest)(frame, manifest.root), 16)
    (fault,) = pictures.check(lambda done, total: None)
    assert "gone.png" in fault


def test_a_photo_keeps_its_domain_and_a_photographed_picture_gets_a_new_one(phantoms, tmp_path):
    manifest = read_manifest(phantoms).where(split="train")
    frame = manifest.frame.assign(domain="film")
    gate = tasks.gate()
    pictures = Pictures(manifest, 40)
    pictures.check(lambda done, total: None)
    targets = gate.targets(type(manifest)(frame, manifest.root))
    rows = Rows(
        pictures, targets, np.full(len(pictures), 1 / len(pictures)), InputSpec(size_px=32), slice(1, 4)
    )
    as_it_is = Draws(rows, Augmentation(photo=()), seed=0, epoch=0, count=1)[0]["target"]
    on_a_screen = Draws(rows, Augmentation(photo=(("screen-lite", 1.0),)), seed=0, epoch=0, count=1)[0][
        "target"
    ]
    assert as_it_is.tolist() == [1, 0, 0, 1]
    assert on_a_screen.tolist() == [1, 0, 1, 0]
