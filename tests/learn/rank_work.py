"""What each process of the tests' small trainings does: python rank_work.py fit|gradients|blank MANIFEST FOLDER [PAUSE_S]."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows, batches
from radsnap.learn.loop import fit
from radsnap.learn.objectives import heads_objective
from radsnap.learn.optimiser import Schedule
from radsnap.learn.pictures import Pictures
from radsnap.learn.ranks import joined
from radsnap.models.card import Head, InputSpec
from radsnap.tables import read_manifest

HEADS = (Head(name="both", classes=("a", "b"), activation="sigmoid"),)
SCHEDULE = Schedule(
    epochs=3, draws_per_epoch=16, batch_size=4, workers=0, save_every_s=0.0, precision="float32", accumulate=2
)


def tiny() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 5, stride=4),
        torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )


def rows_of(path: Path) -> Rows:
    manifest = read_manifest(path).where(split="train")
    pictures = Pictures(manifest, 40)
    assert pictures.check(lambda done, total: None) == []
    targets = np.random.default_rng(2).integers(0, 2, (len(manifest), 2)).astype(np.float32)
    weights = tasks.draw_weights(tasks.gate().groups(manifest), tasks.gate().sides(manifest), 0.5)
    return Rows(pictures, targets, weights, InputSpec(size_px=32))


def gradients(path: Path, folder: Path) -> None:
    """Save the gradients of one batch as each rank has them after sharing."""
    draws = Draws(rows_of(path), Augmentation(), seed=0, epoch=0, count=8)
    with joined() as ranks:
        share_gradients(draws, ranks, folder)


def share_gradients(draws, ranks, folder: Path) -> None:
    network, objective = tiny(), heads_objective(HEADS)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, batch):
            return objective(self.network, batch).value

    shared = ranks.together(Whole())
    for batch in batches(ranks.share(draws, 8), 8 // ranks.world, workers=0, drop_last=True):
        shared(batch).backward()
    torch.save({n: p.grad for n, p in network.named_parameters()}, folder / f"{ranks.world}-{ranks.rank}.pt")


def train_on_blanks(path: Path, folder: Path, accumulate: int) -> None:
    """Save the weights after an epoch with most labels blank, in unequal numbers."""
    rows = rows_of(path)
    rng = np.random.default_rng(5)
    rows.targets[rng.random(rows.targets.shape) < 0.6] = np.nan
    schedule = dataclasses.replace(
        SCHEDULE, epochs=1, batch_size=8, learning_rate=0.05, warmup_share=0.0, accumulate=accumulate
    )
    with joined() as ranks:
        run = folder / f"{ranks.world}-{accumulate}"
        draws = Draws.of(rows, Augmentation(), schedule.seed)
        objective, judge = heads_objective(HEADS), lambda network: {"figure": 0.0}
        best = fit(tiny(), objective, draws, judge, schedule, run, lambda step: None, ranks=ranks)
        if ranks.leads:
            torch.save(best, run.with_suffix(".pt"))


def train(path: Path, folder: Path, pause_s: float) -> None:
    draws = Draws.of(rows_of(path), Augmentation(), SCHEDULE.seed)

    def tell(step) -> None:
        (folder / f"step-{step.done}").touch()
        time.sleep(pause_s)

    with joined() as ranks:
        (folder / f"pid-{ranks.rank}").write_text(str(os.getpid()))
        best = fit(
            tiny(),
            heads_objective(HEADS),
            draws,
            lambda network: {"figure": 0.0},
            SCHEDULE,
            folder,
            tell,
            ranks=ranks,
        )
        if ranks.leads:
            torch.save(best, folder / "best.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, manifest, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if what == "gradients":
        gradients(manifest, folder)
    elif what == "blank":
        train_on_blanks(manifest, folder, int(sys.argv[4]))
    else:
        train(manifest, folder, float(sys.argv[4]))
