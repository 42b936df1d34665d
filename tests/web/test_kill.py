"""SIGKILL loses no case that was acknowledged: 10 uploads and 2 kills, in `make soak` 200 and 20."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.conftest import picture

from radsnap.client import Client
from radsnap.errors import RadsnapError

UPLOADS, KILLS = (10, 2) if os.environ.get("RADSNAP_SOAK", "1") == "1" else (200, 20)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}


class Server:
    """`radsnap serve` in a process of its own, as a user starts it."""

    def __init__(self, data: Path, chain: Path, port: int) -> None:
        models = [
            f"--{option}={chain / card}.card.json"
            for option, card in (("gate", "gate"), ("kind", "kind"), ("model", "findings"))
        ]
        self.command = [
            sys.executable,
            "-m",
            "radsnap",
            "serve",
            f"--data={data}",
            f"--port={port}",
            "--workers=1",
            *models,
        ]
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert self.url in said, said + str(self.process.stderr and self.process.stderr.read())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def worker(self) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        for child in " ".join(path.read_text() for path in children).split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"spawn_main" in command:
                return int(child)
        return None

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, "--check"], env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture
def server(tmp_path: Path, tiny_chain: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = Server(tmp_path / "data", tiny_chain, port)
    yield started
    if started.process.poll() is None:
        started.kill()


def test_no_acknowledged_case_is_lost_when_worker_and_server_are_killed(server: Server) -> None:
    acknowledged: list[str] = []
    done = threading.Event()
    rng = random.Random(3)

    def upload() -> None:
        with Client(server.url, patience_s=20, timeout_s=30) as client:
            while not done.is_set():
                try:
                    reading = client.diagnose(picture(0.5, 320, 240))
                except RadsnapError:
                    time.sleep(0.1)  # the server is away, or its worker was
                    continue
                assert reading.case_id is not None
                acknowledged.append(reading.case_id)

    senders = [threading.Thread(target=upload) for _ in range(2)]
    for sender in senders:
        sender.start()
    try:
        kills = 0
        while len(acknowledged) < UPLOADS or kills < KILLS:
            before, ends = len(acknowledged), time.monotonic() + 90
            while len(acknowledged) < before + UPLOADS // KILLS:
                assert time.monotonic() < ends, "nothing is acknowledged any more"
                time.sleep(0.02)
            time.sleep(rng.random() * 0.1)
            worker = server.worker()
            if kills % 2 and worker is not None:
                os.kill(worker, signal.SIGKILL)
            else:
                server.kill()
                server.start()
            kills += 1
    finally:
        done.set()
        for sender in senders:
            sender.join(60)
    server.kill()
    checked = server.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"leftovers removed, 0 broken", checked.stdout)
    again = server.check()
    assert " 0 leftovers removed, 0 broken" in again.stdout
    server.start()
    with Client(server.url, patience_s=30) as client:
        kept = {case.id for case in client.cases()}
        assert set(acknowledged) <= kept
        assert int(checked.stdout.split()[0]) == len(kept)
        for case_id in acknowledged:
            assert client.image(case_id).startswith(b"\xff\xd8")
    assert len(set(acknowledged)) == len(acknowledged) >= UPLOADS


def test_a_served_folder_is_not_checked_cut_lines_leave_nothing_and_it_stops_in_peace(
    server: Server, tmp_path: Path
) -> None:
    refused = server.check()
    assert refused.returncode == 2
    assert "in use by another radsnap" in refused.stderr
    where = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    head = b"POST /api/v1/diagnose HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(where, timeout=20) as line:
        line.sendall(head % 200_000_000)
        assert b" 413 " in line.recv(1000).splitlines()[0]
    with socket.create_connection(where, timeout=20) as line:
        line.sendall(head % 10_000 + picture(0.5)[:200])
    ends = time.monotonic() + 20
    while any((tmp_path / "data" / "incoming").iterdir()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    with Client(server.url) as client:
        assert list(client.cases()) == []
    assert server.stop() in (0, -signal.SIGTERM)
