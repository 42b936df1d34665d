"""The one training loop."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from torch.utils.tensorboard import SummaryWriter

from radsnap.errors import TrainingError, UsageError
from radsnap.learn import checkpoint
from radsnap.learn.data import Batch, Example, batches
from radsnap.learn.objectives import KNOWN, Objective
from radsnap.learn.optimiser import Schedule, optimiser_of, set_rates
from radsnap.learn.precision import mixed
from radsnap.learn.ranks import Ranks
from radsnap.seeds import stream

Judge = Callable[[nn.Module], dict[str, float]]


@runtime_checkable
class Teaching(Protocol):
    """A network with a teacher in it that follows after every step."""

    def teach(self, step: int, steps: int) -> None:
        """Follow after a step of so many."""


# (epoch, count, skip) → the examples of an epoch from place `skip` on; the same whatever the order of asking.
Epochs = Callable[[int, int, int], Dataset[Example]]


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
    epochs: Epochs,
    judge: Judge,
    schedule: Schedule,
    folder: Path,
    tell: Callable[[Step], None],
    about: str = "",
    ranks: Ranks = Ranks(),  # noqa: B008  frozen
) -> dict[str, Tensor]:
    """Fit a network and give the state dict of its best epoch on validation.

    Goes on where an interrupted run of the same folder and settings stopped, to the same result: the draws,
    the augmentation and dropout of a step depend on (seed, epoch, step) alone. about: whatever else must be the same
    (data, augmentation, start, input); another one is refused. A batch is shared by all ranks, of which the
    first validates, tells and saves; a run goes on with any number of them. Raises UsageError for epochs shorter than a
    batch, TrainingError when no epoch's figure is a number.
    """
    steps = schedule.draws_per_epoch // schedule.batch_size
    if not steps:
        raise UsageError(
            f"{schedule.draws_per_epoch} draws an epoch are fewer than a batch of {schedule.batch_size}; "
            "give more --draws, or a smaller --batch-size"
        )
    run = _Run(network, objective, schedule, folder, about, ranks)
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=run.step) if ranks.leads else None
    saved = time.monotonic()
    while run.epoch < schedule.epochs and not run.has_stopped_rising():
        draws = epochs(run.epoch, steps * schedule.batch_size, run.place * schedule.batch_size)
        network.train()
        mine = ranks.share(draws, schedule.batch_size)
        loss = math.nan  # of no step, where a run goes on after an epoch's last
        for batch in batches(mine, schedule.batch_size // ranks.world, schedule.workers, drop_last=True):
            loss = run.update(run.on_device(batch))
            if writer is not None:
                writer.add_scalar("loss", loss, run.step)
                tell(Step(run.epoch, schedule.epochs, run.step, steps * schedule.epochs, loss))
            if time.monotonic() - saved > schedule.save_every_s:
                run.save()
                saved = time.monotonic()
        figures = ranks.agree(judge(run.averaged) if ranks.leads else {})
        run.end_epoch(figures)
        run.save()
        if writer is not None:
            for name, value in figures.items():
                writer.add_scalar(name, value, run.step)
            tell(Step(run.epoch, schedule.epochs, run.step, steps * schedule.epochs, loss, figures))
    if writer is not None:
        writer.close()
    if not run.best:
        raise TrainingError(
            f"no epoch can be chosen: the validation figure '{schedule.judged_by}' was never a number; "
            "see whether the rows of split 'val' hold what it compares"
        )
    return run.best


class _Loss(nn.Module):
    """Network and objective as one module, so that ranks can share the gradients of any objective."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, batch: Batch) -> Tensor:
        return self.objective(self.network, batch).value


class _Run:
    """The state of a fit: network, running mean, optimiser, and the place in it."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        schedule: Schedule,
        folder: Path,
        about: str,
        ranks: Ranks,
    ) -> None:
        self.network, self.schedule, self.folder, self.ranks = network, schedule, folder, ranks
        self.device = next(network.parameters()).device
        self.averaged = copy.deepcopy(network).eval()
        self.optimiser = optimiser_of(network, schedule)
        self.epoch = self.place = self.step = 0
        self.best: dict[str, Tensor] = {}
        self.best_figure = -math.inf
        self.history: list[dict[str, float]] = []
        self.steps = schedule.epochs * (schedule.draws_per_epoch // schedule.batch_size)
        settings: dict[str, Any] = {"schedule": asdict(schedule), "about": about}
        for name in ("workers", "save_every_s"):  # neither changes the result
            del settings["schedule"][name]
        if schedule.last_weight_decay is None:  # not there in older runs, which may go on
            del settings["schedule"]["last_weight_decay"]
        self.settings = json.dumps(settings, sort_keys=True)
        if self.file.exists():
            self._restore()
        if schedule.compiled:
            network.compile()  # in place: the state dict keeps its names
        self.loss = ranks.together(_Loss(network, objective))

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

    def update(self, batch: Batch) -> float:
        """Take one step down. Raises TrainingError when the loss is not finite, with the batch saved."""
        rank = (self.ranks.rank,) if self.ranks.rank else ()
        torch.manual_seed(int(stream(self.schedule.seed, "step", self.step, *rank).integers(2**63)))
        set_rates(self.optimiser, self.schedule, self.step, self.steps)
        self.optimiser.zero_grad(set_to_none=True)
        value = self._backward(batch)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimiser.step()
        if isinstance(self.network, Teaching):
            self.network.teach(self.step, self.steps)
        self._average()
        self.step += 1
        self.place += 1
        return value

    def _backward(self, batch: Batch) -> float:
        """Add up the gradients of a batch, taken in `accumulate` parts; give its mean loss on this rank."""
        parts = self.schedule.accumulate
        total = 0.0
        for number, part in enumerate(self._parts(batch)):
            waits = number + 1 < parts and isinstance(self.loss, DistributedDataParallel)
            with self.loss.no_sync() if waits else nullcontext():  # type: ignore[operator]
                with mixed(self.device.type, self.schedule.precision == "bf16"):
                    loss = self.loss(part) / parts
                value = float(loss.detach())
                if not math.isfinite(value):
                    self._refuse(value * parts, part)
                loss.backward()
            total += value
        return total

    def _parts(self, batch: Batch) -> list[Batch]:
        """Cut a batch into its parts; each is told what a part knows on average, over those of all ranks."""
        parts = _parted(batch, self.schedule.accumulate)
        number = len(parts) * self.ranks.world
        target = batch.get("target")
        if number == 1 or target is None or target.ndim != 2:
            return parts
        known = self.ranks.total((~torch.isnan(target)).sum(dim=0).float()) / number
        return [{**part, KNOWN: known} for part in parts]

    def _refuse(self, value: float, batch: Batch) -> None:
        kept = self.folder / "not-finite-batch.npz"
        np.savez(kept, allow_pickle=False, **{name: tensor.cpu().numpy() for name, tensor in batch.items()})
        raise TrainingError(
            f"the loss is {value} at step {self.step}; the batch is in {kept}: look at it, "
            "or lower the learning rate"
        )

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

    def has_stopped_rising(self) -> bool:
        """Say whether the last `patience` epochs brought no better figure; so after a restart as well."""
        if self.schedule.patience is None or not self.history:
            return False
        figures = [epoch[self.schedule.judged_by] for epoch in self.history]
        best = figures.index(self.best_figure) if self.best_figure in figures else -1
        return len(figures) - 1 - best >= self.schedule.patience

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
        """Write the state, the leader alone: all ranks hold the same."""
        if not self.ranks.leads:
            return
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


def _parted(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into equal parts."""
    if parts == 1:
        return [batch]
    cut = {name: value.chunk(parts) for name, value in batch.items()}
    return [{name: pieces[number] for name, pieces in cut.items()} for number in range(parts)]
