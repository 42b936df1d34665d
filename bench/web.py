"""Photos a second through `radsnap serve`, beside the bare pipeline in a loop on the same cores.

python bench/web.py [--photo FILE] [--seconds N] [--clients N]

The bare side is what a script would do: as many processes as the server has workers, each decoding the same
file and running the stages with heat maps. The server does the same and stores picture, thumbnail,
heat maps and rows, durably. Goals: 70 % of the bare rate with 16 clients; at half of the rate sustained, 95 of
100 answers within 1.5 s; at three times of it no answer but 200 and 429. Where other programs hold the cores too,
the ratio of the processor time that a photo takes (server and workers, beside the bare loop) says more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from radsnap.imaging import encode_jpeg, read_image, to_photo
from radsnap.phantom import sample_chest
from radsnap.reading.pipeline import LUNGS

PHOTO_PX = 1600  # what messengers leave of a photo


@dataclass
class Heard:
    """What clients were answered, and after how long."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)


def main() -> int:
    """Print rates, latencies and what was refused; 1 when a goal is missed."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        photo = options.photo or Path(folder) / "phantom.jpg"
        if options.photo is None:
            photo.write_bytes(encode_jpeg(to_photo(sample_chest(0, 0, PHOTO_PX).radiograph).pixels, 85))
        data, workers = photo.read_bytes(), os.cpu_count() or 1
        # in turn, twice: what else the machine does slows both
        ratios, bare, served = [], 0.0, 0.0
        with Server(Path(folder) / "data", workers) as server:
            for _ in range(2):
                bare, bare_ms = bare_rate(data, workers, options.seconds / 2)
                before = server.cpu_s()
                full = load(server.url, data, options.clients, options.seconds / 2)
                ours_ms = 1000 * (server.cpu_s() - before) / max(1, full.statuses[200])
                served = full.statuses[200] / (options.seconds / 2)
                ratios.append(served / bare)
                print(
                    f"bare pipeline  {bare:5.1f} photos/s ({workers} processes), {bare_ms:.0f} ms of processor a photo"
                )
                print(
                    f"served         {served:5.1f} photos/s, {options.clients} clients, {dict(full.statuses)}, "
                    f"{ours_ms:.0f} ms of processor a photo, ratio {bare_ms / ours_ms:.2f}"
                )
            half = paced(server.url, data, served / 2, options.seconds)
            triple = paced(server.url, data, served * 3, options.seconds)
    ratio = float(np.median(ratios))
    late = float(np.percentile(half.seconds, 95)) if half.seconds else float("inf")
    print(f"ratio          {ratio:.2f} (goal 0.70 or more), load {os.getloadavg()[0]:.1f} on {workers} cores")
    print(f"half load      {served / 2:.1f} asked a second: median {np.median(half.seconds):.2f} s, p95 {late:.2f} s "
          f"(goal 1.5 or less), {dict(half.statuses)}")  # fmt: skip
    print(f"three times    {served * 3:.1f} asked a second: {dict(triple.statuses)} (goal: 200 and 429 only)")
    print(f"batching       {batching()}")
    return int(ratio < 0.7 or late > 1.5 or not set(triple.statuses) <= {200, 429})


def batching(count: int = 8) -> str:
    """Tell the processor time of the findings' network for a batch, beside as many inputs one after the other."""
    from radsnap.models.runtime import load

    network = load("findings", 1)
    spec = network.card.input
    batch = np.random.default_rng(0).random((count, 1, spec.size_px, spec.size_px), np.float32)
    network.run(batch), network.run(batch[:1])
    ratios = []
    for _ in range(5):
        start = time.process_time()
        for index in range(count):
            network.run(batch[index : index + 1])
        alone = time.process_time() - start
        start = time.process_time()
        network.run(batch)
        ratios.append((time.process_time() - start) / alone)
    return f"a batch of {count} takes {np.median(ratios):.2f} of what {count} alone take (network of the findings)"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--clients", type=int, default=16)
    return parser.parse_args()


def bare_rate(data: bytes, workers: int, seconds: float) -> tuple[float, float]:
    """Give photos a second, and milliseconds of processor a photo, of the pipeline in a loop, in as many processes as the server has workers."""
    context = multiprocessing.get_context("spawn")
    counted, ready = context.Queue(), context.Barrier(workers)
    loops = [
        context.Process(target=_loop, args=(data, workers, seconds, ready, counted)) for _ in range(workers)
    ]
    for loop in loops:
        loop.start()
    told = [counted.get(timeout=seconds + 120) for _ in loops]
    for loop in loops:
        loop.join()
    return sum(rate for rate, _ in told), float(np.mean([ms for _, ms in told]))


def _loop(data: bytes, workers: int, seconds: float, ready: object, counted: object) -> None:
    import cv2

    from radsnap.reading.pipeline import load_pipeline

    cv2.setNumThreads(1)
    pipeline = load_pipeline(threads=max(1, (os.cpu_count() or 1) // workers), lungs=LUNGS)
    pipeline.diagnose(read_image(data, at_least_px=640), heat_maps=True)
    ready.wait()  # type: ignore[attr-defined]
    start, spent, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < seconds:
        pipeline.diagnose(read_image(data, at_least_px=640), heat_maps=True)
        count += 1
    rate, ms = count / (time.perf_counter() - start), 1000 * (time.process_time() - spent) / max(1, count)
    counted.put((rate, ms))  # type: ignore[attr-defined]


class Server:
    """`radsnap serve` as a user starts it."""

    def __init__(self, data: Path, workers: int) -> None:
        command = [
            sys.executable,
            "-m",
            "radsnap",
            "serve",
            f"--data={data}",
            "--port=0",
            f"--workers={workers}",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1].rstrip("/")

    def __enter__(self) -> Server:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            try:
                if httpx.get(f"{self.url}/ready").json()["workers"] == (os.cpu_count() or 1):
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise SystemExit("the server did not get ready")

    def cpu_s(self) -> float:
        """Give the seconds of processor that the server and its workers have had (Linux)."""
        pids = [str(self.process.pid)]
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            pids += path.read_text().split()
        spent = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in pids]
        return sum(int(ticks) for pair in spent for ticks in pair) / os.sysconf("SC_CLK_TCK")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def load(url: str, data: bytes, clients: int, seconds: float) -> Heard:
    """Have clients ask one picture after the other."""
    heard, ends = Heard(), time.monotonic() + seconds

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while time.monotonic() < ends:
                _ask(client, data, heard)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard


def paced(url: str, data: bytes, rate: float, seconds: float) -> Heard:
    """Ask so many pictures a second, whatever becomes of the earlier ones."""
    heard, threads = Heard(), []
    with httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        start = time.monotonic()
        for number in range(max(1, round(rate * seconds))):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            threads.append(threading.Thread(target=_ask, args=(client, data, heard)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    return heard


def _ask(client: httpx.Client, data: bytes, heard: Heard) -> None:
    start = time.monotonic()
    try:
        status = client.post("/api/v1/diagnose", content=data).status_code
    except httpx.HTTPError:
        status = 0  # no answer at all
    heard.note(status, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
