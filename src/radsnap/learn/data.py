"""What a training draws: rows by weight, pictures varied by name, batches in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from radsnap.errors import ImageError, TrainingError
from radsnap.learn.augment import Augmentation, Varied, augment, follow, photographed
from radsnap.learn.pictures import Pictures
from radsnap.learn.regions import Regions
from radsnap.learn.tasks import DOMAINS, Targets
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import resize, to_input
from radsnap.photo import camera_sees
from radsnap.seeds import stream

Batch = dict[str, Tensor]
Example = dict[str, Tensor]
# A region is given at the scale of the last feature maps.
_STRIDE = 32
# So many pictures in a row that cannot be read are no matter of chance.
_ATTEMPTS = 10
Grey = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Rows:
    """What a training or validation goes over: pictures, targets (N, outputs), and each row's chance to be drawn.

    domain: the outputs that say what the camera saw; they follow what was done to the picture. regions: where
    findings can be, for rows that have masks or boxes. photos: what each row's camera saw, '' or 'digital' where there was
    none; a photo is not photographed again. skipped: is told of a picture that can no longer be read during
    an epoch, which is then left out; without it such a picture ends the training.
    """

    pictures: Pictures
    targets: Targets
    weights: NDArray[np.float64]
    spec: InputSpec
    domain: slice | None = None
    regions: Regions | None = None
    skipped: Callable[[str], None] | None = None
    photos: NDArray[np.str_] | None = None

    def seen(self, row: int) -> str:
        """What the camera of a row saw: `digital` where it is no photo."""
        return "digital" if self.photos is None else str(self.photos[row]) or "digital"

    def read(self, row: int) -> Grey | None:
        """Give a picture, None where it is to be left out. Raises TrainingError naming the file."""
        try:
            return self.pictures[row]
        except ImageError as error:
            if self.skipped is None:
                raise TrainingError(
                    f"{error}; it could be read when the training began: mend it and start the same command "
                    "again, or leave such images out with --skip-unreadable"
                ) from error
            self.skipped(str(error))
            return None


class Draws(Dataset[Example]):
    """One epoch's pictures, each varied by the stream of (seed, epoch, place in the epoch)."""

    def __init__(
        self, rows: Rows, plan: Augmentation, seed: int, epoch: int, count: int, skip: int = 0
    ) -> None:
        self.rows, self.plan, self.seed, self.epoch, self.skip = rows, plan, seed, epoch, skip
        rng = stream(seed, "draws", epoch)
        self.order = rng.choice(len(rows.weights), size=count, replace=True, p=rows.weights)

    @classmethod
    def of(cls, rows: Rows, plan: Augmentation, seed: int) -> Callable[[int, int, int], Draws]:
        """Give what `fit` asks: (epoch, count, skip) → the draws of an epoch."""
        return lambda epoch, count, skip: cls(rows, plan, seed, epoch, count, skip)

    def __len__(self) -> int:
        return len(self.order) - self.skip

    def __getitem__(self, place: int) -> Example:
        place += self.skip
        row, grey = self._readable(place)
        rng = stream(self.seed, "augment", self.epoch, place)
        plan = self.plan if self.rows.seen(row) == "digital" else replace(self.plan, photo=())
        return _example(self.rows, row, augment(grey, rng, plan, self.rows.spec.size_px))

    def _readable(self, place: int) -> tuple[int, Grey]:
        """Give the row of a place and its picture; where that cannot be read, another row drawn for the place."""
        row = int(self.order[place])
        for attempt in range(_ATTEMPTS):
            grey = self.rows.read(row)
            if grey is not None:
                return row, grey
            rng = stream(self.seed, "instead", self.epoch, place, attempt)
            row = int(rng.choice(len(self.rows.weights), p=self.rows.weights))
        raise TrainingError(
            f"{_ATTEMPTS} images in a row cannot be read, such as {self.rows.pictures.files[row]}; "
            "see whether their folder is still there"
        )


class Fixed(Dataset[Example]):
    """Every row once, in order, as it is or photographed always the same way by one recipe.

    With a recipe, a row that is a photo already stays as it is; its target is unknown where the recipe's camera sees
    something else.
    """

    def __init__(self, rows: Rows, recipe: str | None = None, seed: int = 0) -> None:
        self.rows, self.recipe, self.seed = rows, recipe, seed

    def __len__(self) -> int:
        return len(self.rows.pictures)

    def __getitem__(self, row: int) -> Example:
        rng = stream(self.seed, "fixed", self.recipe or "", row)
        recipes = ((self.recipe, 1.0),) if self.recipe is not None else ()
        known, seen = True, self.rows.seen(row)
        if self.recipe is not None and seen != "digital":
            recipes, known = (), seen == camera_sees(self.recipe)
        grey = self.rows.read(row)
        if grey is None:
            side = self.rows.pictures.side_px
            grey, recipes, known = np.zeros((side, side), np.uint8), (), False
        example = _example(self.rows, row, photographed(grey, rng, recipes))
        return example if known else {**example, "target": torch.full_like(example["target"], torch.nan)}


def _example(rows: Rows, row: int, varied: Varied) -> Example:
    target = rows.targets[row].copy()
    photographed_now = varied.domain != "digital"  # a picture left as it was keeps the domain of its row
    if rows.domain is not None and photographed_now and not np.isnan(target[rows.domain]).any():
        target[rows.domain] = [float(name == varied.domain) for name in DOMAINS]
    example = {
        "image": torch.from_numpy(to_input(varied.picture, rows.spec)),
        "target": torch.from_numpy(target),
    }
    if varied.before is not None:
        example["before"] = torch.from_numpy(to_input(varied.before, rows.spec))
        example["photo"] = torch.tensor(not np.array_equal(varied.picture, varied.before))
    if rows.regions is not None:
        example |= _region(rows.regions, row, varied, len(target), rows.spec.size_px // _STRIDE)
    return example


def _region(regions: Regions, row: int, varied: Varied, outputs: int, grid: int) -> Example:
    """The share of each cell that lies in the region, (grid, grid), and the outputs (outputs,) it counts for."""
    if row not in regions.masks:
        return {"region": torch.zeros(grid, grid), "guided": torch.zeros(outputs, dtype=torch.bool)}
    inside = resize(follow(regions.masks[row], varied), grid).astype(np.float32) / 255.0
    return {"region": torch.from_numpy(inside), "guided": torch.from_numpy(regions.outputs[row])}


def batches(dataset: Dataset[Example], size: int, workers: int, drop_last: bool) -> Iterator[Batch]:
    """Give a data set in order, in batches of `image` (N, channels, H, W), `target` (N, outputs), and what else it has."""
    loader: DataLoader[Example] = DataLoader(
        dataset,
        batch_size=size,
        num_workers=workers,
        drop_last=drop_last,
        worker_init_fn=_one_thread,
        multiprocessing_context="fork" if workers else None,  # shares the pictures in memory
    )
    try:
        yield from loader
    except TrainingError as error:
        # from a worker the message comes with the worker's traceback around it
        raise TrainingError(str(error).rstrip().rpartition("TrainingError: ")[2]) from error


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
