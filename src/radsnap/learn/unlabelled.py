"""What a pre-training draws: every picture once before any comes again, each with its place in the training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from radsnap.errors import TrainingError
from radsnap.learn.augment import Augmentation, augment
from radsnap.learn.data import Batch, Example, Rows
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import to_input
from radsnap.seeds import stream

_ATTEMPTS = 10


class Unlabelled(Dataset[Example]):
    """One epoch's pictures: `image` (C, H, W), varied by the stream of (seed, epoch, place), and its `place`.

    `place` numbers the examples of all epochs; what is random about one later on follows from it. Rows of weight 0 are
    left out. pairs: with a second view of each picture, `other`.
    """

    def __init__(
        self,
        rows: Rows,
        plan: Augmentation,
        seed: int,
        epoch: int,
        count: int,
        skip: int = 0,
        pairs: bool = False,
    ) -> None:
        self.rows, self.plan, self.seed, self.epoch, self.skip = rows, plan, seed, epoch, skip
        self.pairs = pairs
        self.first = epoch * count
        self.readable = np.flatnonzero(rows.weights)
        self.order = _turns(self.readable, seed, self.first, count)

    @classmethod
    def of(
        cls, rows: Rows, plan: Augmentation, seed: int, pairs: bool = False
    ) -> Callable[[int, int, int], Unlabelled]:
        """Give what `fit` asks: (epoch, count, skip) → the pictures of an epoch."""
        return lambda epoch, count, skip: cls(rows, plan, seed, epoch, count, skip, pairs)

    def __len__(self) -> int:
        return len(self.order) - self.skip

    def __getitem__(self, place: int) -> Example:
        place += self.skip
        rng = stream(self.seed, "augment", self.epoch, place)
        for attempt in range(_ATTEMPTS):
            row = int(self.order[place]) if attempt == 0 else int(rng.choice(self.readable))
            grey = self.rows.read(row)
            if grey is not None:
                spec = self.rows.spec
                example = _example(
                    augment(grey, rng, self.plan, spec.size_px).picture, spec, self.first + place
                )
                if self.pairs:
                    other = augment(grey, rng, self.plan, spec.size_px)
                    example["other"] = torch.from_numpy(to_input(other.picture, spec))
                return example
        raise TrainingError(
            f"{_ATTEMPTS} images in a row cannot be read, such as {self.rows.pictures.files[row]}; "
            "see whether their folder is still there"
        )


def _turns(rows: np.ndarray, seed: int, first: int, count: int) -> np.ndarray:
    """Rows from place `first` on, of rounds in which each comes once in an order of its own."""
    rounds = range(first // len(rows), (first + count - 1) // len(rows) + 1)
    order = np.concatenate([stream(seed, "round", turn).permutation(rows) for turn in rounds])
    begin = first - rounds[0] * len(rows)
    return order[begin : begin + count]


def _example(grey: np.ndarray, spec: InputSpec, place: int) -> Example:
    return {"image": torch.from_numpy(to_input(grey, spec)), "place": torch.tensor(place)}


def held_out(rows: Rows, batch_size: int, most: int) -> list[Batch]:
    """Give pictures as they are, at most so many of all rows evenly, in batches.

    Places are negative, so that nothing random about them is shared with a training.
    """
    readable = np.flatnonzero(rows.weights)
    picked = readable[np.linspace(0, len(readable) - 1, min(most, len(readable))).astype(int)]
    picked = stream(0, "held out").permutation(picked)  # so that a batch has a bit of every source
    examples = []
    for number, row in enumerate(picked):
        grey = rows.read(int(row))
        if grey is not None:
            examples.append(_example(grey, rows.spec, -1 - number))
    parts = [examples[start : start + batch_size] for start in range(0, len(examples), batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:  # an alien needs company
        parts[-2:] = [parts[-2] + parts[-1]]
    return [{name: torch.stack([one[name] for one in part]) for name in part[0]} for part in parts]
