"""Time a pre-training's steps beside the plain way, and what waiting for data costs.

usage: python bench/pretrain.py [--config small] [--batch 64] [--rounds 3]

Ours: bfloat16 products, masks as operations on the whole batch, attention as two products while training on a processor.
Plain: float32, eager, the fused attention, masks by a Python loop over pictures and rectangles as the published code draws
them. Both train the same transformer with the same head on drawn chests; processor time of one thread, the rounds
interleaved, the best of each. The share of time spent on reading and varying pictures is that of a training
without worker processes, which prepares them in the same thread. On a GPU, wall time.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.jobs.pretrain import AugmentationTable, encoder_of, read_plan
from radsnap.learn.augment import Augmentation, augment
from radsnap.learn.masking import Corruption
from radsnap.learn.reconstruction import Restored, Restorer, absolute_error, grouped, restoring
from radsnap.models import networks_vit
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import resize, to_input
from radsnap.phantom import sample_chest
from radsnap.seeds import stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="small")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plan = read_plan(options.config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    side = plan.network.size_px
    kept = [
        np.rint(resize(sample_chest(1, k, 256).radiograph.pixels, round(side * 1.25)) * 255).astype(np.uint8)
        for k in range(16)
    ]
    spec = InputSpec(size_px=side)
    varied = Augmentation(soften=0.0, blot=0.0, photo=(), **AugmentationTable().model_dump())

    def load() -> dict[str, Tensor]:
        pictures = [
            to_input(augment(kept[k % 16], stream(1, "bench", k), varied, side).picture, spec)
            for k in range(options.batch)
        ]
        return {"image": torch.from_numpy(np.stack(pictures)), "place": torch.arange(options.batch)}

    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    batch = load()
    loading = clock() - start
    batch = {name: value.to(device) for name, value in batch.items()}
    ways = {"ours": ours(plan, device), "plain": plain(plan, device)}
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(options.rounds + 1):
        for name, step in ways.items():
            start = clock()
            step(batch)
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                best[name] = min(best[name], clock() - start)
    masks = mask_times(batch, clock)
    print(
        f"{plan.network.name} at {side} px, batches of {options.batch}, {device}, load {os.getloadavg()[0]:.1f}"
    )
    for name, seconds in best.items():
        print(
            f"{name:6s} {options.batch / seconds:8.1f} images/s, masks {masks[name] / seconds:6.1%} of a step"
        )
    print(f"ours / plain: {best['plain'] / best['ours']:.2f} times")
    print(f"reading and varying pictures: {loading / (loading + best['ours']):.1%} of the time")


def ours(plan: object, device: str) -> Callable[[dict[str, Tensor]], None]:
    network, optimiser = made(plan, device)
    objective = restoring(grouped(Corruption(), network.encoder.patch_px, 0))

    def step(batch: dict[str, Tensor]) -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = objective(network, batch).value
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def plain(plan: object, device: str) -> Callable[[dict[str, Tensor]], None]:
    network, optimiser = made(plan, device)

    def step(batch: dict[str, Tensor]) -> None:
        corrupted, mask = looped(batch["image"], network.encoder.patch_px)
        with patch.object(networks_vit, "_attend", functional.scaled_dot_product_attention):
            seen = Restored(batch["image"], corrupted, network(corrupted), mask)
        absolute_error(seen).mean().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def made(plan: object, device: str) -> tuple[Restorer, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = Restorer(encoder_of(plan.network)).to(device).train()
    return network, torch.optim.AdamW(p for p in network.parameters() if p.requires_grad)


def looped(images: Tensor, align: int) -> tuple[Tensor, Tensor]:
    """Corrupt picture by picture and rectangle by rectangle, as the published code does."""
    made, masks = images.clone(), torch.zeros_like(images)
    side = images.shape[2]
    rng = random.Random(0)
    for number in range(len(images)):
        alien = rng.random() < 0.5
        wanted = (0.3 if alien else rng.uniform(0.5, 0.75)) * side * side
        kind = rng.choice(["noise", "zeros", "copy"])
        while masks[number].sum() < wanted:
            top, left = (rng.randrange(0, side - align) // align * align for _ in range(2))
            high, wide = (
                round(min(rng.randint(align, max(align, int(0.3 * side))), side - at) / align) * align
                for at in (top, left)
            )
            place = (slice(None), slice(top, top + high), slice(left, left + wide))
            if alien:
                made[number][place] = images[rng.randrange(len(images))][place]
            elif kind == "noise":
                made[number][place] = torch.randn(images.shape[1], high, wide, device=images.device)
            elif kind == "zeros":
                made[number][place] = 0.0
            else:
                there, across = rng.randrange(side - high + 1), rng.randrange(side - wide + 1)
                made[number][place] = images[number][:, there : there + high, across : across + wide]
            masks[number][place] = 1.0
    return made, masks.bool()


def mask_times(batch: dict[str, Tensor], clock: Callable[[], float]) -> dict[str, float]:
    """Seconds that corrupting one batch takes, either way."""
    view = grouped(Corruption(), 16, 0)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: view(nn.Identity(), batch),
        "plain": lambda: looped(batch["image"], 16),
    }
    times = {}
    for name, way in ways.items():
        way()
        start = clock()
        way()
        times[name] = clock() - start
    return times


if __name__ == "__main__":
    main()
