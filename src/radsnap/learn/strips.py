"""Learn the closer looks: where in strips along the sides of a roughly known quadrilateral the x-ray's borders lie.

A strip shows one side, laid level and outside up, so that one small network serves all four. Each column
answers where it meets the border: probabilities that sum to one, so that a doubt shows as two ridges and
never as one broad one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from radsnap.flatten.lines import completed
from radsnap.flatten.quad import diagonal, meet
from radsnap.flatten.strips import (
    ALONG_PX,
    CELLS,
    COARSE,
    COLUMNS,
    FINE,
    LONG_PX,
    OUTSIDE,
    WIDE_PX,
    comfortable,
    laid,
    placements,
)
from radsnap.imaging.homography import corners_of, project
from radsnap.imaging.radiograph import ByteImage, Photo
from radsnap.learn.corner_bank import Bank
from radsnap.learn.corner_scenes import VIEWS
from radsnap.learn.corners import (
    RATE,
    RATE_GOING_ON,
    Block,
    _conv,
    _twice,
    figure_of,
    fit,
    in_order,
    lit,
    targets,
)
from radsnap.models.card import Figure
from radsnap.seeds import stream

_SIGMA_CELLS = 0.8
# A side that fewer profiles than this meet shows too little of itself.
_LEAST_CELLS = 4
# What counts as near in the figures, of the diagonal.
_NEAR = 0.005


class Strips(nn.Module):
    """A small U-net over strips: (N, 3, 256, 256), four strips each → logits (N, 4) of sides in view and (N, 4, 64, 32).

    The maps are logits of where each column (last) meets the border (rows, outermost first).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 16, stride=2), _conv(16, 24, stride=(1, 4)), Block(24))
        self.down2 = nn.Sequential(_conv(24, 48, stride=2), Block(48))
        self.down4 = nn.Sequential(_conv(48, 72, stride=2), Block(72), Block(72))
        self.own, self.all = nn.Linear(72, 72), nn.Linear(72, 72)
        self.up2 = _conv(72 + 48, 48)
        self.up1 = _conv(48 + 24, 32)
        self.maps = nn.Conv2d(32, 2, 3, padding=1)
        self.seen = nn.Linear(72, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        strips = images.reshape(-1, 3, 4, WIDE_PX, LONG_PX).transpose(1, 2).flatten(0, 1)  # (4 N, 3, 64, 256)
        fine = self.stem(strips)
        half = self.down2(fine)
        low = self.down4(half)
        pooled = low.mean(dim=(2, 3))
        # what the other sides show helps each: the same film, the same viewer
        whole = pooled.reshape(-1, 4, pooled.shape[1]).mean(1)
        state = functional.relu(self.own(pooled) + self.all(whole).repeat_interleave(4, 0))
        up = self.up2(torch.cat([_twice(low + state[:, :, None, None]), half], 1))
        up = self.up1(torch.cat([_twice(up), fine], 1))
        two = self.maps(up)  # (4 N, 2, 32, 32): two rows each
        maps = two.transpose(1, 2).flatten(1, 2)
        return self.seen(state).reshape(-1, 4), maps.reshape(-1, 4, CELLS, COLUMNS)


class ExportedStrips(nn.Module):
    """The network as the runtime reads it: logits of sides in view, and `heat_maps`, each column a distribution."""

    def __init__(self, network: Strips) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, maps = self.network(image)
        return logits, torch.softmax(maps, 2)


@dataclass(frozen=True, eq=False)
class StripExample:
    """An input (3, 256, 256) uint8, sides in view (4,), and where columns meet the borders (4, 32) in cells, NaN where none is asked."""

    image: NDArray[np.uint8]
    sides: NDArray[np.float32]
    meets: NDArray[np.float32]


def strip_example(
    photo: ByteImage, corners: NDArray[np.float64], rng: Generator, reach: float, light: bool = True
) -> StripExample:
    """Make an input and its targets: a quadrilateral about as wrong as the look before leaves it, mirrored at will."""
    small, corners = comfortable(Photo(photo), corners)
    height, width = small.shape[:2]
    truth = in_order(corners)
    rough = supposed(rng, truth, (width, height), reach)
    placed = placements(rough, reach)
    picture = laid(small, placed)
    if light:
        outside = (picture == OUTSIDE).all(axis=2)
        picture = lit(rng, picture)
        picture[outside] = OUTSIDE
    meets = profiles(truth, placed, (width, height))
    if light and rng.random() < 0.5:
        picture, meets = picture[:, ::-1], meets[:, ::-1]
    in_view = np.asarray(np.isfinite(meets).any(axis=1), np.float32)
    return StripExample(
        np.ascontiguousarray(picture.transpose(2, 0, 1)), in_view, np.ascontiguousarray(meets)
    )


def supposed(
    rng: Generator, truth: NDArray[np.float64], size: tuple[int, int], reach: float
) -> NDArray[np.float64]:
    """Draw a quadrilateral about as wrong as strips of this reach can mend: sides out of view at the photo's edges, all a little or much off."""
    frame = corners_of(size)
    seen = (
        targets(project(np.array([[256 / size[0], 0, 0], [0, 256 / size[1], 0], [0, 0, 1.0]]), truth))[0] > 0
    )
    lines = np.empty((4, 3))
    for side in range(4):
        start, end = truth[side], truth[(side + 1) % 4]
        along = (end - start) / np.linalg.norm(end - start)
        lines[side] = (along[1], -along[0], along[1] * start[0] - along[0] * start[1])
    rough = meet(completed(lines, seen, frame)) if seen.any() else None
    base = truth if rough is None or not np.isfinite(rough).all() else rough
    far = diagonal(base)
    if diagonal(base) > 3 * diagonal(truth):
        base, far = truth, diagonal(truth)
    far *= reach
    what = rng.random()
    moved = base + rng.normal(0, 0.08 if what < 0.3 else 0.22 if what < 0.7 else 0.4, (4, 2)) * far
    if rng.random() < 0.5:  # a side laid on something else: the anatomy's edge, the film's, a neighbour's
        for side in np.flatnonzero(rng.random(4) < 0.4).tolist():
            ends = [side, (side + 1) % 4]
            shift = float(rng.uniform(-0.9, 0.9)) * far
            moved[ends] += (shift + rng.normal(0, 0.1, 2)[:, None] * far) * lines[side, :2]
    return np.asarray(moved)


def profiles(
    truth: NDArray[np.float64], placed: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Say in which cell each column of a strip meets its border: (4, 32), NaN where none does.

    A side of which enough is in view is asked for along all its length, and at the strip's edge where it lies
    farther out: the next look goes there. A side that the photo cuts off is NaN altogether.
    """
    made = np.full((4, COLUMNS), np.nan, np.float32)
    columns = (np.arange(COLUMNS) + 0.5) * ALONG_PX - 0.5
    edge = 0.003 * max(size)  # the photo's own edge hides a side that runs along it
    for side in range(4):
        start, end = project(placed[side], truth[[side, (side + 1) % 4]])
        if end[0] - start[0] < LONG_PX / 8:
            continue
        share = (columns - start[0]) / (end[0] - start[0])
        rows = start[1] + share * (end[1] - start[1])
        there = project(np.linalg.inv(placed[side]), np.stack([columns, rows], axis=1))
        on = (share >= 0) & (share <= 1)
        in_view = on & ((there > edge) & (there < np.array(size) - 1 - edge)).all(axis=1)
        if in_view.sum() >= _LEAST_CELLS:
            cells = (rows + 0.5) / (WIDE_PX // CELLS) - 0.5
            made[side, on] = cells[on].clip(0, CELLS - 1)
    return made


def strip_loss(logits: Tensor, maps: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
    """Sum what sides in view and profiles cost. batch: sides (N, 4), meets (N, 4, 32)."""
    sides, meets = batch
    cost = functional.binary_cross_entropy_with_logits(logits, sides)
    known = torch.isfinite(meets)
    at = torch.where(known, meets, 0.0)[..., None, :]
    wanted = torch.exp(-0.5 * ((torch.arange(CELLS)[:, None] - at) / _SIGMA_CELLS) ** 2)
    wanted = wanted / wanted.sum(2, keepdim=True)
    missed = -(wanted * functional.log_softmax(maps, 2)).sum(2)
    return cost + 0.5 * (missed * known).sum() / known.sum().clamp(min=1)


def train_strips(
    bank: Bank,
    minutes: float,
    seed: int,
    start: dict[str, Tensor] | None = None,
    batch_size: int = 24,
    tell: Callable[[int, float, float], None] = lambda step, share, loss: None,
    keep: Callable[[Strips], None] = lambda network: None,
) -> Strips:
    """Fit the closer looks for so many minutes of the processor; gives the average of its weights.

    start: weights of an earlier run to go on from.
    """
    framed = np.flatnonzero(bank.views == VIEWS.index("framed"))
    torch.manual_seed(seed)
    network = Strips()
    if start is not None:
        network.load_state_dict(start)

    def batch_of(step: int, done: float) -> tuple[Tensor, ...]:
        return _batch(bank, framed, batch_size, seed, step)

    return fit(network, batch_of, strip_loss, minutes, RATE if start is None else RATE_GOING_ON, tell, keep)


def _batch(bank: Bank, framed: NDArray[np.int64], size: int, seed: int, step: int) -> tuple[Tensor, ...]:
    """Make the batch of a step, a wide and a narrow look at each photo: normalised inputs, sides, meets. Each epoch takes every photo once."""
    steps = max(len(framed) // (size // 2), 1)
    epoch, place = divmod(step, steps)
    order = stream(seed, "strip order", epoch).permutation(len(framed))[
        place * (size // 2) : (place + 1) * (size // 2)
    ]
    made = []
    for i in order:
        rng = stream(seed, "strip example", epoch, int(i))
        at = int(framed[i])
        photo, corners = bank.photo(at), bank.corners_px[at].astype(np.float64)
        made += [
            strip_example(photo, corners, rng, reach * float(np.exp(rng.uniform(-0.15, 0.15))))
            for reach in (COARSE, FINE)
        ]
    return (
        (torch.from_numpy(np.stack([one.image for one in made])).float() / 255 - 0.5) / 0.25,
        torch.from_numpy(np.stack([one.sides for one in made])),
        torch.from_numpy(np.stack([one.meets for one in made])),
    )


def strip_figures(network: Strips, bank: Bank) -> tuple[Figure, ...]:
    """Measure the narrow look alone on photos of validation: how far the sides that it sees lie from the truth."""
    exported, near, right = ExportedStrips(network.eval()), [], []
    with torch.inference_mode():
        for place in np.flatnonzero(bank.views == VIEWS.index("framed")):
            rng = stream(0, "strip look", int(place))
            corners = bank.corners_px[place].astype(np.float64)
            one = strip_example(bank.photo(int(place)), corners, rng, FINE, light=False)
            logits, ridges = exported(((torch.from_numpy(one.image).float() / 255 - 0.5) / 0.25)[None])
            right.append(float(((logits[0].numpy() > 0) == (one.sides > 0.5)).mean()))
            for side in np.flatnonzero(one.sides):
                off = np.nanmedian(np.abs(ridges[0, side].numpy().argmax(axis=0) - one.meets[side]))
                near.append(float(off) * 2 * FINE / CELLS <= _NEAR)
    data = "simulated photos of x-rays of the split val, quadrilaterals drawn wrong"
    return (
        figure_of("accuracy", "sides in view", data, np.array(right)),
        figure_of("share within 0.5 % of the diagonal", "sides", data, np.array(near)),
    )
