"""Run in a network namespace of its own: photograph on a cluster of three nodes, and kill one of them."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from radsnap.imaging import write_image
from radsnap.jobs.photograph import PhotographConfig, photograph_files
from radsnap.jobs.progress import Progress

UP, GET_FLAGS, SET_FLAGS = 0x1, 0x8913, 0x8914
COUNT = 48


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        (flags,) = struct.unpack("16xH", fcntl.ioctl(door, GET_FLAGS, struct.pack("16sH", b"lo", 0))[:18])
        fcntl.ioctl(door, SET_FLAGS, struct.pack("16sH", b"lo", flags | UP))


def main(folder: Path) -> None:
    loopback_up()
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        write_image(folder / f"xrays/{number:03d}.png", rng.integers(0, 256, (240, 200), np.uint8))
    source = str(folder / "xrays")
    photograph_files(
        PhotographConfig(source=source, output=str(folder / "local"), recipe="moire+tilt", jobs=1)
    )

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1"},
    )
    doomed = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.2")
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    killed = []

    def kill(progress: Progress) -> None:
        if progress.done >= 9 and not killed:
            killed.append(progress.done)
            cluster.remove_node(doomed, allow_graceful=False)

    config = PhotographConfig(
        source=source, output=str(folder / "ray"), recipe="moire+tilt", engine="ray", address=cluster.address
    )
    outcome = photograph_files(config, kill)
    assert killed[0] < COUNT, killed
    # a photo of the dead node that was written and not reported counts as there
    assert (outcome.made + outcome.kept, outcome.failures) == (COUNT, ()), outcome
    photos = {name: {p.relative_to(folder / name): p.read_bytes() for p in (folder / name).rglob("*") if p.is_file()}
              for name in ("local", "ray")}  # fmt: skip
    tables = {path for path in photos["local"] if path.suffix == ".csv"}
    assert photos["local"].keys() == photos["ray"].keys()
    assert all(photos["local"][path] == photos["ray"][path] for path in photos["local"].keys() - tables)
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write("same bytes, a node was killed\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
