"""Learn the second look: where in the surroundings of a roughly known quadrilateral the x-ray's four sides lie.

The first look's network again, in an easier pose: it starts from that one's weights. Each column of the
picture answers where it meets the top side and the bottom, each row where it meets the left and the right:
probabilities that sum to one, so that a doubt shows as two ridges and never as one broad one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from radsnap.flatten.closer import INPUT_PX, MAP_PX, square_up
from radsnap.flatten.lines import completed
from radsnap.flatten.quad import diagonal, meet
from radsnap.imaging.homography import corners_of, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.corner_bank import Bank
from radsnap.learn.corner_scenes import VIEWS
from radsnap.learn.corners import Corners, figure_of, fit, in_order, lit, targets
from radsnap.models.card import Figure
from radsnap.seeds import stream

_SIGMA_CELLS = 0.6
# A side that fewer profiles than this meet shows too little of itself.
_LEAST_CELLS = 8


@dataclass(frozen=True, eq=False)
class BorderExample:
    """An input (3, 256, 256) uint8, sides in view (4,), the mask (64, 64), and where profiles meet sides (4, 64) in cells, NaN where they don't."""

    image: NDArray[np.uint8]
    sides: NDArray[np.float32]
    mask: NDArray[np.float32]
    meets: NDArray[np.float32]


class ExportedBorders(nn.Module):
    """The network as the runtime reads it: logits of sides in view, and `heat_maps`: four sides' profiles, which sum to one."""

    def __init__(self, network: Corners) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, maps = self.network(image)
        down, right = torch.softmax(maps[:, 1:], 2), torch.softmax(maps[:, 1:], 3)
        return logits[:, len(VIEWS) :], torch.stack([down[:, 0], right[:, 1], down[:, 2], right[:, 3]], 1)


def border_example(
    photo: ByteImage, corners: NDArray[np.float64], rng: Generator, light: bool = True
) -> BorderExample:
    """Make an input and its targets: a quadrilateral about as wrong as a first look's, turned and mirrored at will."""
    height, width = photo.shape[:2]
    truth = in_order(corners)
    rough = supposed(rng, truth, (width, height))
    if rng.random() < 0.5:
        truth, rough = truth[[1, 0, 3, 2]], rough[[1, 0, 3, 2]]
    if rng.random() < 0.35:
        turns = int(rng.integers(1, 4))
        truth, rough = np.roll(truth, turns, axis=0), np.roll(rough, turns, axis=0)
    picture, onto = square_up(photo, rough)
    if light:
        outside = (picture == (255, 0, 255)).all(axis=2)
        picture = lit(rng, picture)
        picture[outside] = (255, 0, 255)
    there = project(onto, truth)
    meets = profiles(there, onto, (width, height))
    _, maps = targets(there)
    in_view = np.isfinite(meets).any(axis=1).astype(np.float32)
    image = np.ascontiguousarray(picture.transpose(2, 0, 1))
    return BorderExample(image, np.asarray(in_view), maps[0], meets)


def supposed(rng: Generator, truth: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Draw a quadrilateral as wrong as a first look's: its sides out of view at the photo's edges, all of it a little or much off."""
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
    what = rng.random()
    moved = base + rng.normal(0, 0.012 if what < 0.3 else 0.035 if what < 0.7 else 0.065, (4, 2)) * far
    if rng.random() < 0.5:  # a side laid on something else: the anatomy's edge, the film's, a neighbour's
        for side in np.flatnonzero(rng.random(4) < 0.4).tolist():
            normal = lines[side, :2]
            ends = [side, (side + 1) % 4]
            shift = float(rng.uniform(-0.13, 0.13)) * far
            moved[ends] += (shift + rng.normal(0, 0.02, 2)[:, None] * far) * normal
    return np.asarray(moved)


def profiles(
    corners: NDArray[np.float64], onto: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Say in which cell each column meets top and bottom and each row right and left: (4, 64), NaN where none does.

    A side of which enough is in view is asked for along all its length, and at the picture's edge where it
    lies farther out: the next look goes there. A side that the photo cuts off is NaN altogether.
    corners: in pixels of the square picture; onto: the map to it from a photo of (width, height).
    """
    cells = (corners + 0.5) / (INPUT_PX // MAP_PX) - 0.5
    back, made = np.linalg.inv(onto), np.full((4, MAP_PX), np.nan, np.float32)
    place = np.arange(MAP_PX, dtype=np.float64)
    for side in range(4):
        start, end = cells[side], cells[(side + 1) % 4]
        along, across = (0, 1) if side % 2 == 0 else (1, 0)
        run = end[along] - start[along]
        if abs(run) < 1:
            continue
        share = (place - start[along]) / run
        at = start[across] + share * (end[across] - start[across])
        points = np.empty((MAP_PX, 2))
        points[:, along], points[:, across] = place, at
        photo = project(back, (points + 0.5) * (INPUT_PX // MAP_PX) - 0.5)
        edge = 0.003 * max(size)  # the photo's own edge hides a side that runs along it
        on = (share >= 0) & (share <= 1)
        in_view = on & ((photo > edge) & (photo < np.array(size) - 1 - edge)).all(axis=1)
        if in_view.sum() >= _LEAST_CELLS:
            made[side, on] = at[on].clip(0, MAP_PX - 1)
    return made


def border_loss(logits: Tensor, maps: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
    """Sum what sides in view, mask and profiles cost. batch: sides (N, 4), masks (N, 64, 64), meets (N, 4, 64)."""
    sides, masks, meets = batch
    cost = functional.binary_cross_entropy_with_logits(logits[:, len(VIEWS) :], sides)
    cost = cost + functional.binary_cross_entropy_with_logits(maps[:, 0], masks)
    # profiles last: (N, 4, 64 profiles, 64 cells)
    laid = torch.stack([maps[:, 1].mT, maps[:, 2], maps[:, 3].mT, maps[:, 4]], 1)
    known = torch.isfinite(meets)
    at = torch.where(known, meets, 0.0)[..., None]
    wanted = torch.exp(-0.5 * ((torch.arange(MAP_PX) - at) / _SIGMA_CELLS) ** 2)
    wanted = wanted / wanted.sum(-1, keepdim=True)
    missed = -(wanted * functional.log_softmax(laid, -1)).sum(-1)
    return cost + 0.5 * (missed * known).sum() / known.sum().clamp(min=1)


def train_borders(
    banks: list[Bank],
    minutes: float,
    seed: int,
    start: dict[str, Tensor] | None = None,
    batch_size: int = 32,
    tell: Callable[[int, float, float], None] = lambda step, share, loss: None,
    keep: Callable[[Corners], None] = lambda network: None,
    rate: float = 2e-3,
) -> Corners:
    """Fit the second look for so many minutes of the processor; gives the average of its weights. start: a first look's weights."""
    framed = [
        (bank, int(place)) for bank in banks for place in np.flatnonzero(bank.views == VIEWS.index("framed"))
    ]
    torch.manual_seed(seed)
    network = Corners()
    if start is not None:
        network.load_state_dict(start)

    def batch_of(step: int, done: float) -> tuple[Tensor, ...]:
        return _batch(framed, batch_size, seed, step)

    return fit(network, batch_of, border_loss, minutes, rate, tell, keep)


def _batch(framed: list[tuple[Bank, int]], size: int, seed: int, step: int) -> tuple[Tensor, ...]:
    """Make the batch of a step: normalised inputs, sides, masks, meets. Each epoch takes every photo once."""
    steps = max(len(framed) // size, 1)
    epoch, place = divmod(step, steps)
    order = stream(seed, "border order", epoch).permutation(len(framed))[place * size : (place + 1) * size]
    made = []
    for i in order:
        bank, at = framed[i]
        rng = stream(seed, "border example", epoch, int(i))
        made.append(border_example(bank.photo(at), bank.corners_px[at].astype(np.float64), rng))
    return (
        (torch.from_numpy(np.stack([one.image for one in made])).float() / 255 - 0.5) / 0.25,
        torch.from_numpy(np.stack([one.sides for one in made])),
        torch.from_numpy(np.stack([one.mask for one in made])),
        torch.from_numpy(np.stack([one.meets for one in made])),
    )


def border_inputs(bank: Bank, count: int, seed: int) -> NDArray[np.float32]:
    """Draw normalised inputs (N, 3, 256, 256), for quantising."""
    made = [one.image for one in _drawn(bank, count, seed)]
    return np.asarray((np.stack(made).astype(np.float32) / 255 - 0.5) / 0.25, np.float32)


def border_figures(network: Corners, bank: Bank) -> tuple[Figure, ...]:
    """Measure the closer look alone on photos of validation: how far profiles lie from their sides, in cells."""
    exported, away, right = ExportedBorders(network.eval()), [], []
    with torch.inference_mode():
        for one in _drawn(bank, len(bank), 0):
            logits, ridges = exported(((torch.from_numpy(one.image).float() / 255 - 0.5) / 0.25)[None])
            right.append(float(((logits[0].numpy() > 0) == (one.sides > 0.5)).mean()))
            for side in np.flatnonzero(one.sides):
                found = ridges[0, side].numpy().argmax(axis=0 if side % 2 == 0 else 1)
                away.append(float(np.nanmedian(np.abs(found - one.meets[side]))))
    data = "simulated photos of x-rays of the split val, quadrilaterals drawn wrong"
    return (
        figure_of("accuracy", "sides in view", data, np.array(right)),
        figure_of("share within a cell of its side", "profiles", data, np.array(away) <= 1.0),
    )


def _drawn(bank: Bank, count: int, seed: int) -> Iterator[BorderExample]:
    """Draw examples of framed photos, as a photo gives them."""
    for place in np.flatnonzero(bank.views == VIEWS.index("framed"))[:count]:
        rng = stream(seed, "border look", int(place))
        yield border_example(bank.photo(place), bank.corners_px[place].astype(np.float64), rng, light=False)
