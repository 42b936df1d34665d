"""Workers: what is handed in is answered, refused or failed, whatever becomes of the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from radsnap.errors import ImageError
from radsnap.imaging import read_image
from radsnap.web.workers import NoWorkers, QueueFull, TooSlow, WorkerLost, Workers

WAIT_S = 60


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(2, waiting=4, timeout_s=30)
    pool.start()
    yield pool
    pool.stop()


def test_tasks_are_done_and_their_errors_come_back(workers: Workers) -> None:
    tasks = [workers.submit(pow, 2, n) for n in range(4)]
    assert [task.result(WAIT_S) for task in tasks] == [1, 2, 4, 8]
    assert isinstance(workers.submit(read_image, b"text").exception(WAIT_S), ImageError)
    said = workers.submit(int, "Jane Doe").exception(WAIT_S)
    assert isinstance(said, RuntimeError)
    assert "ValueError" in str(said)
    assert "Jane" not in str(said)


def test_a_worker_killed_under_a_task_is_replaced_and_the_task_tried_again(workers: Workers) -> None:
    workers.submit(pow, 2, 2).result(WAIT_S)
    before = workers.counts.replaced
    slow = [workers.submit(time.sleep, 0.8) for _ in range(2)]
    time.sleep(0.3)
    for pid in workers.pids:
        os.kill(pid, signal.SIGKILL)
    assert [task.result(WAIT_S) for task in slow] == [None, None]
    assert workers.counts.replaced >= before + 1
    assert workers.submit(pow, 3, 2).result(WAIT_S) == 9


def test_a_task_that_kills_its_worker_fails_and_takes_nobody_along(workers: Workers) -> None:
    deadly = workers.submit(os._exit, 1)
    good = workers.submit(pow, 5, 2)
    assert isinstance(deadly.exception(WAIT_S), WorkerLost)
    assert good.result(WAIT_S) == 25


def test_a_worker_killed_while_idle_is_replaced(workers: Workers) -> None:
    workers.submit(pow, 2, 2).result(WAIT_S)
    (first, *_) = workers.pids
    os.kill(first, signal.SIGKILL)
    ends = time.monotonic() + WAIT_S
    while first in workers.pids or workers.counts.ready < 2:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_task_has_its_time_and_no_more(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "timeout_s", 0.3)
    stuck = workers.submit(time.sleep, 60)
    assert isinstance(stuck.exception(5), TooSlow)
    monkeypatch.undo()
    assert workers.submit(pow, 2, 3).result(WAIT_S) == 8


def test_more_than_may_wait_is_refused(workers: Workers) -> None:
    ends = time.monotonic() + WAIT_S
    while workers.counts.ready < 2 or workers.counts.waiting + workers.counts.busy:
        assert time.monotonic() < ends
        time.sleep(0.05)
    tasks = [workers.submit(time.sleep, 0.5) for _ in range(6)]
    with pytest.raises(QueueFull) as told:
        workers.submit(pow, 1, 1)
    assert told.value.retry_after_s >= 1
    for task in tasks:
        task.result(WAIT_S)
    assert workers.submit(pow, 1, 1).result(WAIT_S) == 1


def test_workers_end_with_their_server_however_it_ends() -> None:
    code = (
        "import time\nfrom radsnap.web.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    pool = Workers(1, 4, 30)\n    pool.start()\n    pool.submit(pow, 1, 1).result(60)\n"
        "    print(pool.pids[0], flush=True)\n    time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    worker = int(server.stdout.readline())
    server.kill()
    server.wait()
    server.stdout.close()
    ends = time.monotonic() + 20
    while _alive(worker):
        assert time.monotonic() < ends
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_stopped_workers_take_and_keep_nothing() -> None:
    pool = Workers(1, waiting=4, timeout_s=30)
    tasks = [pool.submit(pow, 2, 2)]
    pool.stop()
    assert isinstance(tasks[0].exception(1), NoWorkers)
    with pytest.raises(NoWorkers):
        pool.submit(pow, 2, 2)
