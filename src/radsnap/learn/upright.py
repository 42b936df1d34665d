"""Learn which way up a frontal chest is, and whether it is mirrored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from radsnap.imaging.homography import corners_of, homography
from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.corner_scenes import Stock, take
from radsnap.learn.corners import Block, _conv
from radsnap.models.card import Figure, InputSpec
from radsnap.models.preprocess import normalise, to_input
from radsnap.seeds import stream

STORED_PX = 112
SPEC = InputSpec(size_px=96, normalisation="image")
# Quarter turns clockwise of the upright picture, then the same of its mirror image.
WAYS = ("upright", "turned-90", "turned-180", "turned-270",
        "mirrored", "mirrored-turned-90", "mirrored-turned-180", "mirrored-turned-270")  # fmt: skip


class Upright(nn.Module):
    """A small network: (N, 1, 96, 96) → logits (N, 8) of WAYS."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(1, 16, stride=2), _conv(16, 32, stride=2), Block(32), _conv(32, 64, stride=2), Block(64),
            _conv(64, 96, stride=2), Block(96))  # fmt: skip
        # where things are is the question: positions are kept, not averaged away
        self.out = nn.Sequential(
            nn.Conv2d(96, 24, 1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(24 * 36, 8)
        )

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.out(self.body(images)))


def picture_of(image: ByteImage) -> ByteImage:
    """Bring grey (H, W) to the stored size."""
    return np.asarray(cv2.resize(image, (STORED_PX, STORED_PX), interpolation=cv2.INTER_AREA), np.uint8)


def photographed(rng: Generator, stock: Stock, image: ByteImage, index: int) -> ByteImage:
    """Photograph an x-ray, cut it out by its corners (a little off), and give the stored size."""
    kind = ("screen", "film")[index % 2]
    photo, corners = take(rng, stock, image, 1 + index // 2 % 4, kind)  # type: ignore[arg-type]
    side = float(np.linalg.norm(corners[2] - corners[0]))
    matrix = homography(corners + rng.normal(0, 0.01, (4, 2)) * side, corners_of((STORED_PX, STORED_PX)))
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    cut = cv2.warpPerspective(
        grey, matrix, (STORED_PX, STORED_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, np.uint8)


def turned(picture: NDArray[np.generic], way: int) -> NDArray[np.generic]:
    """Turn an upright picture into one of WAYS."""
    mirrored = picture[:, ::-1] if way >= 4 else picture
    return np.ascontiguousarray(np.rot90(mirrored, -(way % 4)))


def train_upright(
    chests: NDArray[np.uint8],
    others: NDArray[np.uint8],
    minutes: float,
    seed: int,
    tell: Callable[[int, float, float], None] = lambda step, share, loss: None,
) -> Upright:
    """Fit for so many minutes of the processor. others: x-rays of which no way is asked; they get even odds."""
    torch.manual_seed(seed)
    network = Upright()
    follow = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=3e-2)
    started, step, mean, done = time.process_time(), 0, 0.0, 0.0
    while done < 1:
        rng = stream(seed, "upright", step)
        images, wanted = _batch(rng, chests, others, 64)
        loss = functional.cross_entropy(network(images), wanted)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(step / 100, 0.5 * (1 + float(np.cos(np.pi * done))))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average.update_parameters(network)
        done = (time.process_time() - started) / (60 * minutes)
        step, mean = step + 1, loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            tell(step, done, mean)
    return cast(Upright, average.module.eval())


def _batch(
    rng: Generator, chests: NDArray[np.uint8], others: NDArray[np.uint8], size: int
) -> tuple[Tensor, Tensor]:
    images, wanted = [], np.zeros((size, 8), np.float32)
    for i in range(size):
        way = int(rng.integers(8))
        if rng.random() < 0.1 and len(others):
            picture, wanted[i] = others[int(rng.integers(len(others)))], 1 / 8
        else:
            picture = chests[int(rng.integers(len(chests)))]
            wanted[i] = 0.005
            wanted[i, way] = 0.965
        images.append(normalise(_varied(rng, np.asarray(turned(picture, way), np.uint8)), SPEC))
    return torch.from_numpy(np.stack(images)[:, None]), torch.from_numpy(wanted)


def _varied(rng: Generator, picture: ByteImage) -> ByteImage:
    """Cut, tilt, blur, brighten and cover a picture, and bring it to the input's size."""
    whole = corners_of((STORED_PX, STORED_PX))
    frame = whole + rng.normal(0, 0.03, (4, 2)) * STORED_PX + rng.normal(0, 0.03, 2) * STORED_PX
    middle = frame.mean(axis=0)
    angle = np.deg2rad(float(rng.normal(0, 4)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * float(
        rng.uniform(0.8, 1.1)
    )
    matrix = homography((frame - middle) @ turn.T + middle, corners_of((96, 96)))
    made = cv2.warpPerspective(
        picture, matrix, (96, 96), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    ramp = (np.linspace(0, 1, 256) ** float(np.exp(rng.normal(0, 0.35))) * 255).astype(np.uint8)
    made = cv2.LUT(made, ramp)
    if rng.random() < 0.3:
        made = cv2.GaussianBlur(made, (0, 0), float(rng.uniform(0.5, 2)))
    if rng.random() < 0.4:  # a marker or a finger must not be all that is looked at
        y, x = rng.integers(0, 80, 2).tolist()
        made[y : y + int(rng.integers(8, 30)), x : x + int(rng.integers(8, 30))] = int(rng.integers(256))
    if rng.random() < 0.4:
        noise = rng.normal(0, float(rng.uniform(0, 20)), made.shape)
        made = (made + noise).clip(0, 255)
    return np.asarray(made, np.uint8)


def upright_figures(network: Upright, name: str, pictures: NDArray[np.uint8]) -> Figure:
    """Measure how many of upright pictures, turned all eight ways, are told apart rightly."""
    right = []
    with torch.inference_mode():
        for way in range(8):
            inputs = np.stack([to_input(turned(picture, way), SPEC) for picture in pictures])
            right.append(network(torch.from_numpy(inputs)).argmax(1).numpy() == way)
    values = np.array(right, float)
    half = 1.96 * float(values.mean(axis=0).std() / np.sqrt(values.shape[1]))
    mean = float(values.mean())
    return Figure(measure="accuracy", subject="lies", data=f"{name} frontal chests of the split val, eight ways",
                  value=mean, low=mean - half, high=min(mean + half, 1), n=values.size,
                  method="mean, normal interval over pictures")  # fmt: skip
