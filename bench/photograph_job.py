#!/usr/bin/env python3
"""Time the photograph job: one process beside two, Ray beside local, and its cost from few images to many.

usage: python bench/photograph_job.py [--images 300] [--many 20000] [--recipe chexphoto-photographic]

The x-rays are phantom chests. Times are from the first photo to the last, start-up apart, in turns (one, two, one,
two ...), and the medians are compared. Exits 1 when a figure misses its bar; says the load of the machine, which
decides whether the figures mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BAR_TWO, BAR_RAY, BAR_FLAT, BAR_PARENT_MB = 1.8, 1.15, 1.15, 60.0
ROUNDS = 3
DISTINCT = 8


def one_run(source: str, output: str, recipe: str, jobs: str, engine: str) -> None:
    """Run the job in this process, and print what it took as JSON."""
    from radsnap.jobs.photograph import PhotographConfig, photograph_files
    from radsnap.jobs.progress import Progress

    seen: list[float] = []
    base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def report(progress: Progress) -> None:
        if progress.done in (
            8,
            progress.total - 8,
        ):  # the ends, where not all processes are at work, do not count
            seen.append(time.perf_counter())

    config = PhotographConfig.model_validate(
        {"source": source, "output": output, "recipe": recipe, "jobs": int(jobs), "engine": engine}
    )
    start = time.perf_counter()
    outcome = photograph_files(config, report)
    took = {
        "steady_s": (seen[1] - seen[0]) / (outcome.made - 16),
        "whole_s": (time.perf_counter() - start) / outcome.made,
        "parent_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - base_mb,
    }
    print(json.dumps(took))


def measure(source: Path, recipe: str, jobs: int, engine: str = "local") -> dict[str, Any]:
    """Run the job in a fresh process and a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--run", str(source), f"{folder}/out", recipe, str(jobs), engine]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr[-3000:])
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def xrays(folder: Path, count: int, size_px: int) -> Path:
    """Write phantom chests; further ones are links to the first few."""
    from radsnap.imaging import write_image
    from radsnap.phantom import sample_chest

    folder.mkdir(parents=True)
    for number in range(min(count, DISTINCT)):
        write_image(folder / f"{number:06d}.jpg", sample_chest(1, number, size_px).radiograph)
    for number in range(DISTINCT, count):
        os.link(folder / f"{number % DISTINCT:06d}.jpg", folder / f"{number:06d}.jpg")
    return folder


def median(runs: list[dict[str, Any]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def main() -> int:
    """Print the figures; give 1 when one misses its bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300, help="x-rays of 1245 px for the comparisons")
    parser.add_argument("--many", type=int, default=20_000, help="x-rays of 96 px for the flatness")
    parser.add_argument("--recipe", default="chexphoto-photographic")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"load of the machine before the run: {load:.1f} on {os.cpu_count()} processors")
    home = Path(tempfile.mkdtemp())
    try:
        good = compare(xrays(home / "large", options.images, 1245), options.recipe)
        few, many = (
            measure(xrays(home / str(count), count, 96), "chexphoto-digital", 1)
            for count in (max(options.many // 20, 100), options.many)
        )
    finally:
        shutil.rmtree(home)
    flat = many["whole_s"] / few["whole_s"]
    grown = many["parent_mb"] - few["parent_mb"]
    print(
        f"cost per image, {options.many} images beside {max(options.many // 20, 100)}: {flat:.2f} (bar {BAR_FLAT})"
    )
    print(f"parent's memory grows by {grown:.0f} MB (bar {BAR_PARENT_MB:.0f})")
    return 0 if good and flat <= BAR_FLAT and grown <= BAR_PARENT_MB else 1


def compare(source: Path, recipe: str) -> bool:
    """Compare one process with two, and Ray with local, in turns. Tells whether the bars hold."""
    from importlib.util import find_spec

    kinds = {"one": (1, "local"), "two": (2, "local")}
    if find_spec("ray"):
        kinds["ray"] = (2, "ray")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, (jobs, engine) in kinds.items():
            runs[name].append(measure(source, recipe, jobs, engine))
    for name, done in runs.items():
        print(f"{name}: {1000 * median(done, 'steady_s'):.1f} ms an image")
    gain = median(runs["one"], "steady_s") / median(runs["two"], "steady_s")
    print(f"two processes beside one: {gain:.2f} times as fast (bar {BAR_TWO})")
    if "ray" not in runs:
        print("Ray is not installed: not measured")
        return gain >= BAR_TWO
    share = median(runs["ray"], "steady_s") / median(runs["two"], "steady_s")
    print(f"Ray's time beside the local engine's: {share:.2f} (bar {BAR_RAY})")
    return gain >= BAR_TWO and share <= BAR_RAY


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        one_run(*sys.argv[2:7])
        sys.exit(0)
    sys.exit(main())
