"""One photo through decode, three stages and heat maps, beside torch eager with autograd Grad-CAM.

python bench/diagnose.py [--gate CARD --kind CARD --findings CARD] [--photo FILE] [--rounds N]

All read the same file with the same decoder, in turn, on the same cores. The other side is what research code
does: three DenseNet-121 forwards in eager mode, at 160, 160 and 224 px, and one Grad-CAM by autograd. `three
stages` is the same work by radsnap, whose gate is an EfficientNet-Lite0 at 224 px, with every finding's heat map;
`radsnap` also looks for the x-ray's corners and for the lungs, as `radsnap diagnose` does. Memory is the peak of a
fresh process that reads one photo by all of radsnap. Goals: the three stages 5 times as fast as the other side, all within 90 ms, 600 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from radsnap.imaging import encode_jpeg, read_image, to_photo
from radsnap.models.preprocess import seen, to_input
from radsnap.models.runtime import load
from radsnap.phantom import sample_chest

STAGES = ("gate", "kind", "findings")
THEIR_PX = {"gate": 160, "kind": 160, "findings": 224}
PHOTO_PX = 1600  # what messengers leave of a photo


def main() -> int:
    """Print times, ratio and memory; 1 when a goal is missed."""
    options = parsed()
    if options.only_memory:
        ours(options, whole=True)()
        print(peak_mb())
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if options.photo is None:
            options.photo = Path(folder) / "phantom.jpg"
            options.photo.write_bytes(
                encode_jpeg(to_photo(sample_chest(0, 0, PHOTO_PX).radiograph).pixels, 85)
            )
        sides = {
            "radsnap": ours(options, whole=True),
            "three stages": ours(options, whole=False),
            "torch eager": theirs(options),
        }
        spent = interleaved(sides, options.rounds)
        memory_mb = memory(options)
    for name, ms in spent.items():
        low, middle, high = np.percentile(ms, [10, 50, 90])
        print(f"{name:12s} median {middle:6.1f} ms, 10 to 90 %: {low:.1f} to {high:.1f} ms, n = {len(ms)}")
    # A ratio of neighbours in time: what else the machine does slows both.
    ratios = {name: spent["torch eager"] / spent[name] for name in ("three stages", "radsnap")}
    for name, goal in (("three stages", " (goal 5 or more)"), ("radsnap", "")):
        low, middle, high = np.percentile(ratios[name], [10, 50, 90])
        print(f"torch eager / {name:12s} median {middle:.1f}{goal}, 10 to 90 %: {low:.1f} to {high:.1f}")
    ratio, latency = float(np.median(ratios["three stages"])), float(np.median(spent["radsnap"]))
    print(
        f"per photo    {latency:.0f} ms (goal 90 or less), load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"memory       {memory_mb} MB peak of a fresh process (goal 600 or less)")
    return int(ratio < 5 or latency > 90 or memory_mb > 600)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for stage in STAGES:
        parser.add_argument(f"--{stage}", default=stage, help="a card, a folder or a shipped model")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def ours(options: argparse.Namespace, whole: bool) -> Callable[[], object]:
    """One photo by radsnap: the three stages and every finding's heat map; whole: corners and lungs too."""
    import radsnap

    models: dict[str, Any] = {"gate": options.gate, "kind": options.kind, "model": options.findings}
    if not whole:
        models |= {"lungs": None, "flatten": False}

    def read() -> object:
        diagnosis = radsnap.diagnose(options.photo, heat_maps=True, **models)
        if diagnosis.findings is None:  # a chain that stopped early must not count as fast
            raise SystemExit(f"the chain stopped: {diagnosis.reason}; give a photo of a frontal chest")
        return diagnosis

    return read


def theirs(options: argparse.Namespace) -> Callable[[], object]:
    """The same photo by three DenseNet-121 in torch's eager mode, and Grad-CAM of one finding by autograd."""
    import torch

    from radsnap.models.networks import DenseNet, grad_cam

    cards = {stage: load(getattr(options, stage)).card for stage in STAGES}
    specs = {stage: cards[stage].input.model_copy(update={"size_px": THEIR_PX[stage]}) for stage in STAGES}
    networks = {stage: DenseNet(cards[stage].outputs, specs[stage].channels).eval() for stage in STAGES}

    def read() -> object:
        photo = read_image(options.photo, at_least_px=640)
        images = {
            stage: torch.from_numpy(to_input(seen(photo, spec), spec)[None]) for stage, spec in specs.items()
        }
        with torch.inference_mode():
            scores = [networks[stage](images[stage]) for stage in STAGES]
        network = networks["findings"]
        # features, not the rectification after it, is a module: Grad-CAM's cost is the same
        return scores, grad_cam(network, network.features, images["findings"], int(scores[2].argmax()))

    return read


def interleaved(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Time the sides in turn, after three turns to warm up. Milliseconds."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 3):
        for name, read in sides.items():
            start = time.perf_counter()
            read()
            if turn >= 3:
                spent[name].append(1000 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in spent.items()}


def peak_mb() -> int:
    """Peak resident memory of this process. Not ru_maxrss, which a process inherits from the one that started it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise SystemExit("this system does not tell a process's peak memory in /proc/self/status")


def memory(options: argparse.Namespace) -> int:
    """Peak resident memory in MB of a process that reads one photo and nothing else."""
    models = [part for stage in STAGES for part in (f"--{stage}", str(getattr(options, stage)))]
    command = [sys.executable, __file__, *models, "--photo", str(options.photo), "--only-memory"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
