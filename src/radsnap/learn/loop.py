"""The one training loop."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from radsnap.errors import TrainingError, UsageError
from radsnap.learn import checkpoint
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Batch, Draws, Rows, batches
from radsnap.learn.objectives import Objective
from radsnap.seeds import stream

Judge = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted. `judged_by` is the validation figure that chooses the epoch; higher is better.

    average: the share of the old mean in the running mean of the weights, which is what is validated and kept.
    """

    epochs: int = 20
    draws_per_epoch: int = 2400
    batch_size: int = 32
    optimiser: str = "radam"
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    warmup_share: float = 0.05
    average: float = 0.995
    clip: float = 3.0
    workers: int = 1
    seed: int = 0
    judged_by: str = "figure"
    save_every_s: float = 120.0


@dataclass
class Step:
    """Where a training stands, for the progress bar and the log."""

    epoch: int
    epochs: int
    done: int
    total: int
    loss: float = math.nan
    figures: dict[str, float] = field(default_factory=dict)


def fit(
    network: nn.Module,
    objective: Objective,
    rows: Rows,
    judge: Judge,
    schedule: Schedule,
    plan: Augmentation,
    folder: Path,
    tell: Callable[[Step], None],
    about: str = "",
) -> dict[str, Tensor]:
    """Fit a network and give the state dict of its best epoch on validation.

    Goes on where an interrupted run of the same folder and settings stopped, to the same result: the draws,
    the augmentation and dropout of a step depend on (seed, epoch, step) alone. about: whatever else must be the same
    (data, start, input); another one is refused.
    """
    run = _Run(network, schedule, plan, folder, about)
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=run.step)
    steps = schedule.draws_per_epoch // schedule.batch_size
    saved = time.monotonic()
    while run.epoch < schedule.epochs:
        draws = Draws(
            rows, plan, schedule.seed, run.epoch, steps * schedule.batch_size, run.place * schedule.batch_size
        )
        network.train()
        for batch in batches(draws, schedule.batch_size, schedule.workers, drop_last=True):
            torch.manual_seed(int(stream(schedule.seed, "step", run.step).integers(2**63)))
            loss = run.update(objective, run.on_device(batch))
            writer.add_scalar("loss", loss, run.step)
            tell(Step(run.epoch, schedule.epochs, run.step, steps * schedule.epochs, loss))
            if time.monotonic() - saved > schedule.save_every_s:
                run.save()
                saved = time.monotonic()
        figures = judge(run.averaged)
        for name, value in figures.items():
            writer.add_scalar(name, value, run.step)
        run.end_epoch(figures)
        run.save()
        tell(Step(run.epoch, schedule.epochs, run.step, steps * schedule.epochs, loss, figures))
    writer.close()
    return run.best


class _Run:
    """The state of a fit: network, running mean, optimiser, and the place in it."""

    def __init__(
        self, network: nn.Module, schedule: Schedule, plan: Augmentation, folder: Path, about: str
    ) -> None:
        self.network, self.schedule, self.folder = network, schedule, folder
        self.device = next(network.parameters()).device
        self.averaged = copy.deepcopy(network).eval()
        self.optimiser = _optimiser(network, schedule)
        self.epoch = self.place = self.step = 0
        self.best: dict[str, Tensor] = {}
        self.best_figure = -math.inf
        self.history: list[dict[str, float]] = []
        self.steps = schedule.epochs * (schedule.draws_per_epoch // schedule.batch_size)
        settings: dict[str, Any] = {
            "schedule": asdict(schedule),
            "augmentation": asdict(plan),
            "about": about,
        }
        for name in ("workers", "save_every_s"):  # neither changes the result
            del settings["schedule"][name]
        self.settings = json.dumps(settings, sort_keys=True)
        if self.file.exists():
            self._restore()

    @property
    def file(self) -> Path:
        return self.folder / "last.ckpt"

    def on_device(self, batch: Batch) -> Batch:
        return {
            name: value.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            if value.ndim == 4
            else value.to(self.device, non_blocking=True)
            for name, value in batch.items()
        }

    def update(self, objective: Objective, batch: Batch) -> float:
        """Take one step down. Raises TrainingError when the loss is not finite, with the batch saved."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate * _cosine(
                self.step, self.steps, self.schedule.warmup_share
            )
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = objective(self.network, batch)
        value = float(loss.value.detach())
        if not math.isfinite(value):
            kept = self.folder / "not-finite-batch.npz"
            np.savez(
                kept, allow_pickle=False, **{name: tensor.cpu().numpy() for name, tensor in batch.items()}
            )
            raise TrainingError(
                f"the loss is {value} at step {self.step}; the batch is in {kept}: look at it, "
                "or lower the learning rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimiser.step()
        self._average()
        self.step += 1
        self.place += 1
        return value

    def _average(self) -> None:
        # a young mean forgets faster, or it would hold the first random weights for long
        keep = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            new = self.network.state_dict()
            for name, value in self.averaged.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(new[name], 1 - keep)
                else:
                    value.copy_(new[name])

    def end_epoch(self, figures: dict[str, float]) -> None:
        figure = figures[self.schedule.judged_by]
        self.history.append(figures)
        if figure > self.best_figure:
            self.best_figure = figure
            self.best = {
                name: value.detach().cpu().clone() for name, value in self.averaged.state_dict().items()
            }
        self.epoch, self.place = self.epoch + 1, 0

    def save(self) -> None:
        state: dict[str, Any] = {
            "settings": self.settings,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "place": [self.epoch, self.place, self.step],
            "best": self.best,
            "best_figure": self.best_figure,
            "history": self.history,
        }
        checkpoint.save(state, self.file)

    def _restore(self) -> None:
        state = checkpoint.restore(self.file)
        if state["settings"] != self.settings:
            raise UsageError(
                f"{self.folder} holds a training with other settings; give another folder with -o, "
                "or remove it to start again"
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.place, self.step = state["place"]
        self.best, self.best_figure, self.history = state["best"], state["best_figure"], state["history"]


def _optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    # norms and biases are not decayed
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if schedule.optimiser == "radam":
        return torch.optim.RAdam(groups, lr=schedule.learning_rate, decoupled_weight_decay=True)
    if schedule.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate)
    raise UsageError(f"unknown optimiser '{schedule.optimiser}'; choose radam or adamw")


def _cosine(step: int, steps: int, warmup_share: float) -> float:
    """The learning rate's factor: up in a line, then down by a half cosine to 1 %."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
