"""Fine-tuning in images a second, beside the plain way: float32, eager, contiguous, one process for everything.

python bench/train.py [--size 224] [--network densenet121] [--batch 16] [--steps 4] [--rounds 3]

Both sides draw the same pictures (128 phantoms, kept in memory) with the same augmentation, half of them photographed, and
take the same steps with the same optimiser. radsnap's side is the loop of `radsnap train`: bfloat16 where that is safe,
channels last, a running mean of the weights, one worker that prepares images. The sides take turns, and the ratio is the
median over rounds of neighbours in time. Also printed: the share of time that radsnap's loop waits for images. Goals: 1.8
times, at most 10 % waiting.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from radsnap.jobs.phantom import write_collection
from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Batch, Draws, Rows, batches
from radsnap.learn.loop import fit
from radsnap.learn.objectives import heads_objective
from radsnap.learn.optimiser import Schedule, optimiser_of
from radsnap.learn.pictures import Pictures
from radsnap.models.card import InputSpec
from radsnap.models.networks import NETWORKS

TASK = tasks.findings(("Cardiomegaly", "Pleural Effusion"))
GOAL, MOST_WAITING = 1.8, 0.10
WARM_STEPS = 2


def main() -> int:
    """Print both rates, their ratio and the share of waiting; 1 when a goal is missed."""
    options = parsed()
    ratios, rates, waits = [], {"radsnap": [], "plain": []}, []
    with tempfile.TemporaryDirectory() as folder:
        rows = phantoms(Path(folder), options.size)
        for turn in range(options.rounds):
            ours, waiting = radsnap_rate(rows, options, Path(folder) / f"run-{turn}")
            theirs = plain_rate(rows, options)
            rates["radsnap"].append(ours)
            rates["plain"].append(theirs)
            ratios.append(ours / theirs)
            waits.append(waiting)
    for side, values in rates.items():
        print(f"{side:8s} {np.median(values):6.1f} images/s ({min(values):.1f} to {max(values):.1f})")
    ratio, waiting = float(np.median(ratios)), float(np.median(waits))
    print(f"ratio    {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; goal {GOAL} or more)")
    print(f"waiting  {waiting:.0%} of the time for images (goal {MOST_WAITING:.0%} or less)")
    print(
        f"{options.network}, {options.size} px, batches of {options.batch}, {torch.get_num_threads()} threads, "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    return int(ratio < GOAL or waiting > MOST_WAITING)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--network", default="densenet121", choices=sorted(NETWORKS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def phantoms(folder: Path, size_px: int) -> Rows:
    manifest = write_collection(folder, 128, seed=0, size_px=size_px)
    pictures = Pictures(manifest, round(1.15 * size_px))
    pictures.check(lambda done, total: None)
    chances = np.full(len(pictures), 1 / len(pictures))
    return Rows(pictures, TASK.targets(manifest), chances, InputSpec(size_px=size_px))


def radsnap_rate(rows: Rows, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Images a second of the loop after its first steps, and the share of time that it waits for images."""
    schedule = Schedule(
        epochs=1,
        draws_per_epoch=options.batch * (options.steps + WARM_STEPS),
        batch_size=options.batch,
        workers=1,
    )
    stamps: list[float] = []
    waited = Waited(rows, schedule)
    fit(
        NETWORKS[options.network](TASK.outputs, options.size, 1).to(memory_format=torch.channels_last),
        heads_objective(TASK.heads),
        Draws.of(rows, Augmentation(), 0),
        lambda network: {"figure": 0.0},
        schedule,
        folder,
        lambda step: stamps.append(time.perf_counter()),
    )
    spent = stamps[options.steps + WARM_STEPS - 1] - stamps[WARM_STEPS - 1]
    per_batch_s = spent / options.steps
    return options.batch / per_batch_s, waited.share(per_batch_s)


class Waited:
    """How long a batch keeps the loop waiting: what its preparation takes beyond a step, in a worker beside it."""

    def __init__(self, rows: Rows, schedule: Schedule) -> None:
        self.rows, self.schedule = rows, schedule

    def share(self, step_s: float) -> float:
        """Let a loop that computes for step_s draw batches from one worker; give the share of time that it waits."""
        draws = Draws(self.rows, Augmentation(), 0, 0, self.schedule.draws_per_epoch)
        pulled: Iterator[Batch] = iter(batches(draws, self.schedule.batch_size, 1, drop_last=True))
        waits = []
        for _ in range(len(draws) // self.schedule.batch_size):
            start = time.perf_counter()
            next(pulled)
            waits.append(time.perf_counter() - start)
            time.sleep(step_s)
        rest = waits[WARM_STEPS:]
        return sum(rest) / (sum(rest) + step_s * len(rest))


def plain_rate(rows: Rows, options: argparse.Namespace) -> float:
    """Images a second of a training as one writes it down first."""
    network = NETWORKS[options.network](TASK.outputs, options.size, 1).train()
    optimiser = optimiser_of(network, Schedule())
    objective = heads_objective(TASK.heads)
    draws = Draws(rows, Augmentation(), 0, 0, options.batch * (options.steps + WARM_STEPS))
    stamps = []
    for batch in batches(draws, options.batch, 0, drop_last=True):
        loss = objective(network, batch).value
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        stamps.append(time.perf_counter())
    return options.batch * options.steps / (stamps[-1] - stamps[WARM_STEPS - 1])


if __name__ == "__main__":
    sys.exit(main())
