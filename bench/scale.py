#!/usr/bin/env python3
"""Measure what training costs here, and work out what it would cost on more and faster machines.

usage: python bench/scale.py [--seconds 6] [--images 200000] [--epochs 100]

For each network: FLOPs of a step counted by torch, images a second in bf16 on this machine's processors by one
process and, with torchrun's environment, by two that share gradients; the share of the measured bf16 matrix rate
that is used. The estimates below the line are arithmetic, not measurements: they say so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from radsnap.learn.ranks import Ranks, joined
from radsnap.models.networks import NETWORKS

# Estimates are made for transformers alone: what share of its rate a GPU reaches with DenseNet is not known here.
CASES = (
    ("vit-tiny-16", 128, 64),
    ("vit-small-16", 224, 16),
    ("densenet121", 160, 16),
    ("densenet121", 224, 8),
)
# bf16 matrix rate that a GPU reaches in practice, and the share of it that training commonly uses; assumptions.
GPU_FLOPS, GPU_SHARE = 790e12, 0.35


class Whole(nn.Module):
    """A network and a loss, as the loop wraps them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.network(images).float().square().mean()


def step_flops(name: str, size_px: int) -> float:
    """FLOPs of forward and backward of one image (a multiplication and an addition are two)."""
    network = NETWORKS[name](2, size_px, 1)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 1, size_px, size_px)).sum().backward()
    return counter.get_total_flops() / 2


def matrix_rate(device: str, seconds: float) -> float:
    """The bf16 matrix rate of this process, FLOP a second."""
    side = 2048 if device == "cpu" else 8192
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    return 2 * side**3 * times_a_second(lambda: a @ a, device, seconds)


def times_a_second(work, device: str, seconds: float) -> float:
    """Repeat work for a while."""
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        wait()
        done += 1
    return done / (time.perf_counter() - start)


def images_a_second(name: str, size_px: int, batch: int, ranks: Ranks, device: str, seconds: float) -> float:
    """Steps of a training on made-up images, all ranks together."""
    network = NETWORKS[name](2, size_px, 1).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-4)
    shared = ranks.together(Whole(network))
    images = torch.randn(batch, 1, size_px, size_px, device=device).to(memory_format=torch.channels_last)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        shared(images).backward()
        optimiser.step()

    step()
    begun = time.perf_counter()
    step()
    count = ranks.agree(max(2, round(seconds / (time.perf_counter() - begun))))
    start = time.perf_counter()
    for _ in range(count):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return count * batch * ranks.world / (time.perf_counter() - start)


def rank(seconds: float, file: str) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    with joined() as ranks:
        said = [f"{images_a_second(*case, ranks, 'cpu', seconds):.2f}" for case in CASES]
        if ranks.leads:
            Path(file).write_text("\n".join(said))


def two_processes(seconds: float) -> list[float]:
    """Run the cases by two processes under torchrun."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/rates"
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            __file__,
        ]
        subprocess.run(
            [*command, "--rank", file, "--seconds", str(seconds)],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        return [float(line) for line in Path(file).read_text().splitlines()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="for each measurement")
    parser.add_argument("--images", type=int, default=200_000, help="of the collection in the estimate")
    parser.add_argument("--epochs", type=int, default=100, help="of the estimate")
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    if options.rank:
        rank(options.seconds, options.rank)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    peak = matrix_rate(device, 2.0)
    print(
        f"load {os.getloadavg()[0]:.1f}; one process on {device}: bf16 matrices at {peak / 1e12:.2f} TFLOP/s"
    )
    both = two_processes(options.seconds) if device == "cpu" else [float("nan")] * len(CASES)
    print(
        "| network | px | GFLOP an image | images/s, one process | of the matrix rate | two processes, times |"
    )
    print("|---|---|---|---|---|---|")
    costs = []
    for (name, size_px, batch), double in zip(CASES, both, strict=True):
        flops = step_flops(name, size_px)
        single = images_a_second(name, size_px, batch, Ranks(), device, options.seconds)
        print(
            f"| {name} | {size_px} | {flops / 1e9:.1f} | {single:.1f} | {single * flops / peak:.0%} | {double / single:.2f} |"
        )
        costs.append((name, size_px, flops, single))
    print(f"\nestimates for {options.images} images, {options.epochs} epochs (arithmetic; a GPU is taken to reach "
          f"{GPU_SHARE:.0%} of {GPU_FLOPS / 1e12:.0f} TFLOP/s, and 64 of them 0.9 of 64 times one):")  # fmt: skip
    for name, size_px, flops, single in costs:
        if not name.startswith("vit"):
            continue
        seen = options.images * options.epochs
        minutes = seen * flops / (GPU_FLOPS * GPU_SHARE) / 60
        print(
            f"{name} at {size_px} px: one process here {seen / single / 86400:.1f} days, one GPU {minutes:.0f} min, "
            f"64 GPUs {60 * minutes / 64 / 0.9:.0f} s, when images arrive as fast"
        )


if __name__ == "__main__":
    main()
