"""Learning masks: rows with masks, both varied alike, what is minimised, and the Dice that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from radsnap.errors import ImageError, TrainingError
from radsnap.imaging import grey_level, read_image
from radsnap.learn.augment import Augmentation, Varied, augment, follow, photographed
from radsnap.learn.data import Batch, Example, Grey, batches
from radsnap.learn.objectives import Loss, Objective
from radsnap.learn.pictures import decode
from radsnap.learn.precision import mixed
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import resize, to_input
from radsnap.seeds import stream

FloatArray = NDArray[np.float32]
Tick = Callable[[int, int], None]
# In the place of a mask's files: the picture shows nothing of the class.
EMPTY: tuple[Path, ...] = ()


@dataclass(frozen=True)
class MaskRow:
    """One picture, the files of its mask by class (their union counts), and the group that it is drawn with.

    A class that is not named is unknown in this picture; one with no files (`EMPTY`) is not in it.
    """

    image: Path
    masks: Mapping[str, tuple[Path, ...]]
    group: str


@dataclass(frozen=True, eq=False)
class Masks:
    """Pictures and masks in memory: uint8 (N, side, side) and (N, classes, side, side), 255 inside.

    known: (N, classes); weights: each row's chance to be drawn; groups: the name of each row's group.
    """

    classes: tuple[str, ...]
    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    known: NDArray[np.bool_]
    weights: NDArray[np.float64]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)


def read_masks(
    rows: list[MaskRow],
    classes: tuple[str, ...],
    side_px: int,
    shares: Mapping[str, float],
    tick: Tick = lambda _done, _total: None,
    threads: int = 2,
) -> Masks:
    """Read pictures and masks, stretched to (side_px, side_px).

    shares: by group, the share of the draws that its rows get together; a group without a share is refused.
    Raises TrainingError naming the first three files that cannot be read, or a picture and mask of different sizes.
    """
    groups = tuple(row.group for row in rows)
    weights = _weights(groups, shares)
    pictures = np.zeros((len(rows), side_px, side_px), np.uint8)
    masks = np.zeros((len(rows), len(classes), side_px, side_px), np.uint8)
    known = np.array([[name in row.masks for name in classes] for row in rows], dtype=bool)

    def read(place: int) -> str | None:
        row = rows[place]
        try:
            pictures[place] = decode(row.image, side_px)
            for channel, name in enumerate(classes):
                if row.masks.get(name):
                    masks[place, channel] = _union(row.masks[name], side_px)
        except ImageError as error:
            return str(error)
        return None

    faults = []
    with ThreadPoolExecutor(threads) as pool:
        for done, fault in enumerate(pool.map(read, range(len(rows))), start=1):
            if fault is not None:
                faults.append(fault)
            tick(done, len(rows))
    if faults:
        raise TrainingError(
            f"{len(faults)} pictures or masks cannot be read: {'; '.join(faults[:3])}; mend them"
        )
    return Masks(classes, pictures, masks, known, weights, groups)


def _union(files: tuple[Path, ...], side_px: int) -> Grey:
    union = np.maximum.reduce([grey_level(read_image(file)) for file in files])
    inside = (union > 0.5).astype(np.uint8) * np.uint8(255)
    return np.asarray(resize(inside, side_px), dtype=np.uint8)


def _weights(groups: tuple[str, ...], shares: Mapping[str, float]) -> NDArray[np.float64]:
    names, place, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    missing = [str(name) for name in names if name not in shares]
    if missing:
        raise TrainingError(f"no share of the draws is set for {missing}; the groups are {names.tolist()}")
    weights = (np.array([shares[str(name)] for name in names]) / counts)[place]
    return np.asarray(weights / weights.sum())


class MaskDraws(Dataset[Example]):
    """One epoch's pictures and masks, each varied by the stream of (seed, epoch, place in the epoch).

    framed: the chance that a picture is first set, smaller, into a wider surrounding, as photos have.
    """

    def __init__(
        self, rows: Masks, plan: Augmentation, spec: InputSpec, seed: int, epoch: int, count: int, skip: int = 0,
        framed: float = 0.25,
    ) -> None:  # fmt: skip
        self.rows, self.plan, self.spec, self.framed = rows, plan, spec, framed
        self.seed, self.epoch, self.skip = seed, epoch, skip
        rng = stream(seed, "draws", epoch)
        self.order = rng.choice(len(rows.weights), size=count, replace=True, p=rows.weights)

    @classmethod
    def of(
        cls, rows: Masks, plan: Augmentation, spec: InputSpec, seed: int, framed: float = 0.25
    ) -> Callable[[int, int, int], MaskDraws]:
        """Give what `fit` asks: (epoch, count, skip) → the draws of an epoch."""
        return lambda epoch, count, skip: cls(rows, plan, spec, seed, epoch, count, skip, framed)

    def __len__(self) -> int:
        return len(self.order) - self.skip

    def __getitem__(self, place: int) -> Example:
        place += self.skip
        row = int(self.order[place])
        rng = stream(self.seed, "augment", self.epoch, place)
        picture, masks = self.rows.pictures[row], self.rows.masks[row]
        if rng.random() < self.framed:
            picture, masks = frame(picture, masks, rng)
        varied = augment(picture, rng, self.plan, self.spec.size_px)
        return _example(varied, masks, self.rows.known[row], self.spec)


class FixedMasks(Dataset[Example]):
    """Every row once, in order, as it is or photographed always the same way by one recipe."""

    def __init__(self, rows: Masks, spec: InputSpec, recipe: str | None = None, seed: int = 0) -> None:
        self.rows, self.spec, self.recipe, self.seed = rows, spec, recipe, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Example:
        rng = stream(self.seed, "fixed", self.recipe or "", row)
        recipes = ((self.recipe, 1.0),) if self.recipe is not None else ()
        varied = photographed(self.rows.pictures[row], rng, recipes)
        return _example(varied, self.rows.masks[row], self.rows.known[row], self.spec)


def frame(picture: Grey, masks: NDArray[np.uint8], rng: Generator) -> tuple[Grey, NDArray[np.uint8]]:
    """Set a picture (S, S) with its masks (classes, S, S) smaller into a grey, white or black surrounding."""
    side = picture.shape[0]
    width, height = (
        rng.uniform(0.45, 0.95, 2) if rng.random() < 0.5 else np.repeat(rng.uniform(0.45, 0.95), 2)
    )
    left, top = rng.uniform(0, 1 - width) * side, rng.uniform(0, 1 - height) * side
    move = np.array([[width, 0, left], [0, height, top]])
    surrounding = int(rng.choice([0, 0, 255, int(rng.integers(0, 256))]))

    def moved(image: Grey, border: int) -> Grey:
        size = (side, side)
        return np.asarray(
            cv2.warpAffine(image, move, size, flags=cv2.INTER_LINEAR, borderValue=border), dtype=np.uint8
        )

    return moved(picture, surrounding), np.stack([moved(mask, 0) for mask in masks])


def _example(varied: Varied, masks: NDArray[np.uint8], known: NDArray[np.bool_], spec: InputSpec) -> Example:
    """`image` (1, S, S) and `target` (classes, S, S) in [0, 1], NaN where a class is unknown."""
    target = np.full((len(masks), spec.size_px, spec.size_px), np.nan, np.float32)
    for channel in np.flatnonzero(known):
        moved = resize(follow(masks[channel], varied), spec.size_px, spec.fit)
        target[channel] = moved.astype(np.float32) / np.float32(255)
    return {"image": torch.from_numpy(to_input(varied.picture, spec)), "target": torch.from_numpy(target)}


def mask_objective(classes: tuple[str, ...]) -> Objective:
    """Binary cross-entropy plus one minus soft Dice, by class over the pictures that know it; classes add up.

    batch: `image`, and `target` (N, classes, S, S) in [0, 1], NaN where unknown. The model gives logits of that
    shape. Dice counts pictures that hold something of the class; empty ones take part in the entropy.
    Source: Milletari et al., 2016, eq. 1, with sums instead of squares below.
    """

    def objective(model: nn.Module, batch: Batch) -> Loss:
        logits, target = model(batch["image"]).float(), batch["target"]
        total = logits.new_zeros(())
        parts = {}
        for channel, name in enumerate(classes):
            known = ~torch.isnan(target[:, channel, 0, 0])
            if not known.any():
                continue
            loss = _mask_loss(logits[known, channel], target[known, channel])
            total = total + loss
            parts[name] = float(loss.detach())
        return Loss(total if parts else logits.sum() * 0.0, parts)

    return objective


def _mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, target)
    held = target.sum(dim=(1, 2)) > 0
    if not held.any():
        return entropy
    said, truth = torch.sigmoid(logits[held]), target[held]
    both = (said * truth).sum(dim=(1, 2))
    overlap = 2 * both / (said.sum(dim=(1, 2)) + truth.sum(dim=(1, 2)))
    return entropy + (1 - overlap).mean()


@torch.no_grad()
def dice_of(
    network: nn.Module, rows: Masks, spec: InputSpec, recipe: str | None = None, batch_size: int = 16
) -> FloatArray:
    """Dice at probability 0.5, (N, classes): NaN where a class is unknown or not in the picture.

    recipe: photographed first, each row always the same way.
    """
    network.eval()
    device = next(network.parameters()).device
    values = []
    for batch in batches(FixedMasks(rows, spec, recipe), batch_size, workers=0, drop_last=False):
        images = batch["image"].to(device, memory_format=torch.channels_last)
        with mixed(device.type):
            said = network(images).float().cpu() > 0
        truth = batch["target"] > 0.5
        both, either = (said & truth).sum(dim=(2, 3)), said.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
        dice = (2 * both / either).numpy()
        dice[(truth.sum(dim=(2, 3)) == 0).numpy()] = np.nan
        values.append(dice)
    return np.concatenate(values)
