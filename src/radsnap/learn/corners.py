"""Learn where an x-ray lies in a photo: its mask and its four sides, from a bank of simulated photos.

Sides rather than corners: a side shows itself along its whole length, so that a finger, a crop or a
highlight on one corner costs little, and corners outside the photo are where two lines meet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from radsnap.imaging.homography import corners_of, homography, project
from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.corner_bank import Bank
from radsnap.learn.corner_scenes import VIEWS, share_inside, view_of
from radsnap.learn.precision import mixed
from radsnap.learn.tasks import DOMAINS
from radsnap.models.card import Figure
from radsnap.seeds import stream

Fitted = TypeVar("Fitted", bound=nn.Module)

INPUT_PX = 256
MAP_PX = 64
SIDES = ("top", "right", "bottom", "left")
_SIGMA_CELLS = 1.0
# A side of which less than this share of the photo's shorter side is in view shows too little of itself.
_SIDE_SEEN = 0.15
# Digital x-rays are grey, nearly all; photos are not, nearly all.
_DIGITAL_GREY = 0.85
_GREY_TOLD = 0.25
# So much counts a digital x-ray for the domain: there are few.
_DIGITAL_COUNTS = 5.0
# The highest learning rates of a fit from nothing, and of one that goes on from an earlier one.
RATE, RATE_GOING_ON = 3e-3, 2e-3
_SMALL_PX = 160
_SMALL_UNTIL = 0.5
# One field of noise (deviation 32), of which inputs take a part: fresh noise for each would take half the time.
_GRAIN = np.random.default_rng(0).normal(0, 32, (512, 512, 3)).astype(np.int16)


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), _conv(channels, channels, act=False))

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(maps + self.body(maps))


class Corners(nn.Module):
    """A small U-net: (N, 3, 256, 256) → logits (N, 10: three views, four sides in view, three domains) and maps (N, 5, 64, 64).

    Maps, as logits: the x-ray's mask, then its top, right, bottom and left side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down4 = nn.Sequential(_conv(3, 12, stride=2), _conv(12, 24, stride=2), Block(24))
        self.down8 = nn.Sequential(_conv(24, 48, stride=2), Block(48))
        self.down16 = nn.Sequential(_conv(48, 80, stride=2), Block(80), Block(80))
        self.down32 = nn.Sequential(_conv(80, 112, stride=2), Block(112), Block(112))
        self.view = nn.Linear(112, 112)
        self.out = nn.Linear(112, len(VIEWS) + len(SIDES) + len(DOMAINS))
        self.up16 = _conv(112 + 80, 64)
        self.up8 = _conv(64 + 48, 40)
        self.up4 = _conv(40 + 24, 24)
        self.maps = nn.Conv2d(24, 1 + len(SIDES), 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        at4 = self.down4(images)
        at8 = self.down8(at4)
        at16 = self.down16(at8)
        at32 = self.down32(at16)
        whole = functional.relu(self.view(at32.mean(dim=(2, 3))))
        at32 = at32 + whole[:, :, None, None]  # what the whole photo shows helps every place
        up = self.up16(torch.cat([_twice(at32), at16], 1))
        up = self.up8(torch.cat([_twice(up), at8], 1))
        up = self.up4(torch.cat([_twice(up), at4], 1))
        return self.out(whole), self.maps(up)


class Exported(nn.Module):
    """The network as the runtime reads it: logits, and maps in [0, 1] as `heat_maps`."""

    def __init__(self, network: Corners) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, maps = self.network(image)
        return logits, torch.sigmoid(maps)


def _conv(channels: int, out: int, stride: int | tuple[int, int] = 1, act: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


def _twice(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2.0, mode="nearest")


@dataclass(frozen=True, eq=False)
class CornerExample:
    """One input (3, 256, 256) uint8, its view's place in VIEWS or -1, sides in view (4,), its domain's place in DOMAINS or -1, maps (5, 64, 64)."""

    image: NDArray[np.uint8]
    view: int
    sides: NDArray[np.float32]
    domain: int
    maps: NDArray[np.float32]


def example(
    photo: ByteImage,
    corners: NDArray[np.float64],
    view: int,
    domain: int,
    rng: Generator | None,
    size_px: int = INPUT_PX,
) -> CornerExample:
    """Make a network's input and targets from a photo; rng augments it (crop, tilt, flip, light, noise)."""
    height, width, square = *photo.shape[:2], (size_px, size_px)
    framed = VIEWS[view] == "framed"
    if rng is None:
        frame = corners_of((width, height))
    else:
        frame = _cut(rng, (width, height), corners if framed else None)
    matrix = homography(frame, corners_of(square))
    image = cv2.warpPerspective(photo, matrix, square, flags=cv2.INTER_LINEAR,
                                borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    if framed:
        corners = in_order(project(matrix, corners))
        # the tilt of the frame leaves nothing of the photo out that was not outside before
        seen = view_of(square, corners)
        view = -1 if seen is None else VIEWS.index(seen)
    elif VIEWS[view] == "filling":
        corners = corners_of(square)
    if rng is not None:
        image, domain = _coloured(rng, lit(rng, np.asarray(image, np.uint8)), domain)
    sides, maps = (
        targets(corners, size_px)
        if VIEWS[view] != "nothing"
        else (np.zeros(4), np.zeros((5, size_px // 4, size_px // 4)))
    )
    if view >= 0 and VIEWS[view] == "filling" and not framed:
        sides, maps[1:] = np.zeros(4), 0
    return CornerExample(np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1)), view,
                         sides.astype(np.float32), domain, maps.astype(np.float32))  # fmt: skip


def _coloured(rng: Generator, image: ByteImage, domain: int) -> tuple[ByteImage, int]:
    """Take the colours out of most digital x-rays, and ask of few photos without colours what the camera saw."""
    if domain == DOMAINS.index("digital"):
        return (_grey(image) if rng.random() < _DIGITAL_GREY else image), domain
    told = rng.random() < _GREY_TOLD or not (image[..., :1] == image).all()
    return image, domain if told else -1


def _grey(image: ByteImage) -> ByteImage:
    return np.repeat(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[..., None], 3, axis=2)


def in_order(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Order corners as a photo shows them: clockwise, and the first side the one that runs most to the right."""
    x, y = corners.T
    if float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) < 0:
        corners = corners[::-1]
    edges = np.roll(corners, -1, axis=0) - corners
    start = int(np.argmax(edges[:, 0] / np.linalg.norm(edges, axis=1)))
    return np.asarray(np.roll(corners, -start, axis=0))


def targets(
    corners: NDArray[np.float64], size_px: int = INPUT_PX
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Draw the maps of corners in pixels of the input, and say which sides are in view."""
    cell_px = INPUT_PX // MAP_PX
    count = size_px // cell_px
    cells = (corners + 0.5) / cell_px - 0.5
    maps = np.zeros((5, count, count), np.float32)
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.fillConvexPoly(
        mask, np.rint(corners.clip(-8000, 8000) * 16).astype(np.int32), 255, cv2.LINE_AA, shift=4
    )
    maps[0] = cv2.resize(mask, (count, count), interpolation=cv2.INTER_AREA) / np.float32(255)
    y, x = np.mgrid[0:count, 0:count].astype(np.float32)
    seen = np.zeros(4)
    for side in range(4):
        a, b = cells[side].astype(np.float32), cells[(side + 1) % 4].astype(np.float32)
        along = b - a
        share = (((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(float(along @ along), 1e-9)).clip(0, 1)
        away = (x - a[0] - share * along[0]) ** 2 + (y - a[1] - share * along[1]) ** 2
        maps[1 + side] = cv2.exp(away * np.float32(-0.5 / _SIGMA_CELLS**2))
        seen[side] = _length_in_view(cells[side], cells[(side + 1) % 4], count) > _SIDE_SEEN * count
    return seen, maps


def _length_in_view(a: NDArray[np.float64], b: NDArray[np.float64], count: int) -> float:
    """Clip a segment to a map of count × count (Liang and Barsky) and give the length that is left."""
    low, high, along = 0.0, 1.0, b - a
    for axis in range(2):
        for bound, sign in ((-0.5, -1.0), (count - 0.5, 1.0)):
            p, q = sign * along[axis], sign * (bound - a[axis])
            if p == 0:
                if q < 0:
                    return 0.0
            elif p > 0:
                high = min(high, q / p)
            else:
                low = max(low, q / p)
    return max(high - low, 0.0) * float(np.linalg.norm(along))


def _cut(rng: Generator, size: tuple[int, int], corners: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Draw what of a photo becomes the input: corners in it, of a crop that may be tilted, turned and mirrored."""
    whole = corners_of(size)
    frame = whole
    for _ in range(4):
        if rng.random() < 0.35:
            break
        span = rng.uniform(0.55, 1.0, 2) * size
        start = rng.uniform(0, 1, 2) * (np.array(size) - span) - 0.5
        tried = start + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * span
        tried = tried + rng.normal(0, 0.025, (4, 2)) * span
        tried = np.clip(tried, whole[0], whole[2])
        if corners is None or _keeps(tried, corners, size):
            frame = tried
            break
    if rng.random() < 0.5:
        frame = frame[[1, 0, 3, 2]]
    if rng.random() < 0.35:
        frame = np.roll(frame, int(rng.integers(1, 4)), axis=0)
    return np.asarray(frame)


def _keeps(frame: NDArray[np.float64], corners: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Tell whether a crop still shows most of what is in view of the x-ray."""
    before = share_inside((size[1], size[0]), corners) * size[0] * size[1]
    both, _ = cv2.intersectConvexConvex(frame.astype(np.float32), corners.astype(np.float32))
    return bool(both > 0.7 * before)


def lit(rng: Generator, image: ByteImage) -> ByteImage:
    """Change light, colour, sharpness and noise of an input."""
    ramp = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.25))
    tint = np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.2))
    if rng.random() < 0.04:
        ramp = 1 - ramp
    table = (ramp[:, None] * tint * 255).clip(0, 255).astype(np.uint8)
    made = np.asarray(cv2.LUT(image, table.reshape(1, 256, 3)), np.uint8)
    if rng.random() < 0.2:
        made = _grey(made)
    if rng.random() < 0.3:
        made = np.asarray(cv2.GaussianBlur(made, (0, 0), float(rng.uniform(0.4, 2.2))), np.uint8)
    if rng.random() < 0.5:
        y, x = rng.integers(0, 256, 2).tolist()
        grain = _GRAIN[y : y + image.shape[0], x : x + image.shape[1]]
        made = np.asarray(
            cv2.addWeighted(made.astype(np.int16), 1, grain, float(rng.uniform(0, 0.4)), 0).clip(0, 255),
            np.uint8,
        )
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])
        made = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return made


def corner_loss(logits: Tensor, maps: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
    """Sum what views, sides in view, domains, mask and side maps cost. batch: views, sides (N, 4), domains, maps (N, 5, 64, 64)."""
    views, sides, domains, wanted = batch
    known = views >= 0
    cost = functional.cross_entropy(logits[known, :3], views[known]) if known.any() else logits.sum() * 0
    present = views != 0
    cost = cost + functional.binary_cross_entropy_with_logits(logits[present, 3:7], sides[present])
    counts = torch.tensor([_DIGITAL_COUNTS, 1.0, 1.0])
    told = functional.cross_entropy(logits[:, 7:], domains, counts, ignore_index=-1, reduction="sum")
    cost = cost + 0.5 * told / len(domains)
    cost = cost + functional.binary_cross_entropy_with_logits(maps[:, 0], wanted[:, 0])
    weight = 1 + 9 * wanted[:, 1:]
    return cost + 2 * functional.binary_cross_entropy_with_logits(maps[:, 1:], wanted[:, 1:], weight)


def train_corners(
    bank: Bank,
    minutes: float,
    seed: int,
    batch_size: int = 32,
    tell: Callable[[int, float, float], None] = lambda step, share, loss: None,
    keep: Callable[[Corners], None] = lambda network: None,
    start: dict[str, Tensor] | None = None,
) -> Corners:
    """Fit the network for so many minutes of the processor; gives the average of its weights.

    The learning rate falls by a cosine of the time spent; the first half sees small inputs, which cost a
    third. `keep` is handed the average now and then; start: weights of an earlier run to go on from.
    """
    torch.manual_seed(seed)
    network = Corners()
    if start is not None:
        network.load_state_dict(start)

    def batch_of(step: int, done: float) -> tuple[Tensor, ...]:
        return _batch(bank, batch_size, seed, step, _SMALL_PX if done < _SMALL_UNTIL else INPUT_PX)

    return fit(network, batch_of, corner_loss, minutes, RATE if start is None else RATE_GOING_ON, tell, keep)


def fit(
    network: Fitted,
    batch_of: Callable[[int, float], tuple[Tensor, ...]],
    cost: Callable[[Tensor, Tensor, tuple[Tensor, ...]], Tensor],
    minutes: float,
    rate: float,
    tell: Callable[[int, float, float], None],
    keep: Callable[[Fitted], None],
) -> Fitted:
    """Fit a network for so many minutes of the processor, the rate falling by a cosine of the time; gives the average of its weights.

    batch_of: makes the batch of a step (step, share done): inputs, then whatever cost(logits, maps, rest) wants.
    """
    network = cast(Fitted, network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    follow = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=1e-2)
    started, step, mean, done = time.process_time(), 0, 0.0, 0.0
    while done < 1:
        batch = batch_of(step, done)
        images = batch[0].contiguous(memory_format=torch.channels_last)
        with mixed("cpu"):
            logits, maps = network(images)
        loss = cost(logits.float(), maps.float(), batch[1:])
        for group in optimiser.param_groups:
            group["lr"] = rate * min(step / 100, 0.5 * (1 + float(np.cos(np.pi * done))))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        done = (time.process_time() - started) / (60 * minutes)
        step, mean = step + 1, loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            tell(step, done, mean)
        if step % 300 == 0:
            keep(cast(Fitted, average.module))
    return cast(Fitted, average.module.eval())


def _batch(bank: Bank, size: int, seed: int, step: int, size_px: int) -> tuple[Tensor, ...]:
    """Make the batch of a step: normalised inputs, views, sides, domains, maps. Each epoch takes every photo once."""
    steps = len(bank) // size
    epoch, place = divmod(step, steps)
    order = stream(seed, "corner order", epoch).permutation(len(bank))[place * size : (place + 1) * size]
    made = [_drawn(bank, int(i), seed, epoch, size_px) for i in order]
    return (
        (torch.from_numpy(np.stack([one.image for one in made])).float() / 255 - 0.5) / 0.25,
        torch.tensor([one.view for one in made]),
        torch.from_numpy(np.stack([one.sides for one in made])),
        torch.tensor([one.domain for one in made]),
        torch.from_numpy(np.stack([one.maps for one in made])),
    )


def _drawn(bank: Bank, place: int, seed: int, epoch: int, size_px: int = INPUT_PX) -> CornerExample:
    rng = stream(seed, "corner example", epoch, place)
    corners = bank.corners_px[place].astype(np.float64)
    return example(bank.photo(place), corners, int(bank.views[place]), int(bank.domains[place]), rng, size_px)


def corner_figures(network: Corners, bank: Bank) -> tuple[Figure, ...]:
    """Measure the network alone on photos of validation: views told apart, domains, and overlap of the masks.

    What `find` makes of it, edges and all, is measured by bench/flatten_accuracy.py.
    """
    right, overlaps = [], []
    domains: list[list[bool]] = [[] for _ in DOMAINS]
    with torch.inference_mode():
        for place in range(len(bank)):
            corners, domain = bank.corners_px[place].astype(np.float64), int(bank.domains[place])
            made = example(bank.photo(place), corners, int(bank.views[place]), domain, None)
            logits, maps = network(((torch.from_numpy(made.image).float() / 255 - 0.5) / 0.25)[None])
            if domain >= 0:
                domains[domain].append(int(logits[0, 7:].argmax()) == domain)
            if made.view < 0:
                continue
            right.append(int(logits[0, :3].argmax()) == made.view)
            if VIEWS[made.view] == "framed":
                seen, wanted = maps[0, 0].numpy() > 0, made.maps[0] > 0.5
                overlaps.append(float((seen & wanted).sum() / max((seen | wanted).sum(), 1)))
    data = "simulated photos of x-rays of the split val"
    return (
        figure_of("accuracy", "view", data, np.array(right, float)),
        figure_of("overlap of the mask", "framed", data, np.array(overlaps)),
        *(
            figure_of("accuracy", f"domain {name}", data, np.array(told, float))
            for name, told in zip(DOMAINS, domains, strict=True)
            if told
        ),
    )


def figure_of(measure: str, subject: str, data: str, values: NDArray[np.generic]) -> Figure:
    """Give the mean of values with its normal interval."""
    values = values.astype(np.float64)
    half = 1.96 * float(values.std() / np.sqrt(len(values)))
    value = float(values.mean())
    return Figure(measure=measure, subject=subject, data=data, value=value, low=value - half, high=min(value + half, 1),
                  n=len(values), method="mean, normal interval")  # fmt: skip
