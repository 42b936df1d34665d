"""How a long job tells its caller where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radsnap.learn.loop import Step


@dataclass(frozen=True)
class Progress:
    """So many of so many done; `note` is a few words, such as a loss or a rate."""

    done: int
    total: int
    note: str = ""


Report = Callable[[Progress], None]


def of_training(step: Step) -> Progress:
    """Say where a training stands: epoch, loss, and after an epoch its validation figures."""
    note = f"epoch {min(step.epoch + 1, step.epochs)}/{step.epochs} loss {step.loss:.3f}"
    if step.figures:
        note += " validation " + ", ".join(f"{name} {value:.3f}" for name, value in step.figures.items())
    return Progress(step.done, step.total, note)


def silent(_: Progress) -> None:
    """Report to nobody."""
