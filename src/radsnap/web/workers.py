"""Worker processes behind a bounded queue: what is asked is answered, refused or failed, in time.

Each worker has a thread here that hands it one task at a time and waits for the answer. A worker that dies
or takes too long is replaced; its task is tried once more, or fails. Nothing here knows of pictures.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from radsnap.errors import RadsnapError

LOG = logging.getLogger("radsnap.web")
Made = TypeVar("Made")

_START_WITHIN_S = 120.0
_PAUSE_S = 1.0  # before a worker that could not start is tried again


class QueueFull(Exception):
    """As much waits as may wait; `retry_after_s` is a guess at when there is room."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the queue is full; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class TooSlow(Exception):
    """A task took longer than it may; its worker was stopped."""


class WorkerLost(Exception):
    """The worker died under a task, twice."""


class NoWorkers(Exception):
    """The workers were stopped."""


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    ends: float
    future: Future[Any] = field(default_factory=Future)
    tries: int = 0


@dataclass(frozen=True)
class Counts:
    """What the workers do now, and how many were replaced."""

    ready: int
    waiting: int
    busy: int
    replaced: int


class Workers:
    """So many processes, started by `start`, each made ready by `initial(*given)`.

    `waiting` tasks may wait, beyond those at work; a task has `timeout_s` from when it is handed in.
    """

    def __init__(
        self, count: int, waiting: int, timeout_s: float,
        initial: Callable[..., object] | None = None, given: tuple[Any, ...] = (),
    ) -> None:  # fmt: skip
        self.count, self.waiting, self.timeout_s = count, waiting, timeout_s
        self._initial, self._given = initial, given
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pending = self._ready = self._busy = self._replaced = 0
        self._mean_s = 0.2
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._processes: dict[int, SpawnProcess] = {}

    def start(self) -> None:
        """Start the processes; tasks may be handed in at once."""
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(self.count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """End: tasks that wait fail with NoWorkers, those at work get a moment."""
        self._stopping.set()
        for _ in self._threads:
            self._tasks.put(None)
        ends = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        for process in list(self._processes.values()):
            process.kill()
        for thread in self._threads:
            thread.join(5.0)
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                self._fail(task, NoWorkers("the server stops"))

    @property
    def counts(self) -> Counts:
        """Tell what goes on."""
        with self._lock:
            return Counts(self._ready, max(0, self._pending - self._busy), self._busy, self._replaced)

    @property
    def pids(self) -> list[int]:
        """Name the processes."""
        return [process.pid for process in list(self._processes.values()) if process.pid]

    def check_room(self) -> None:
        """Raise QueueFull where a task handed in now would be refused."""
        with self._lock:
            if self._pending >= self.waiting + self.count:
                raise QueueFull(max(1.0, self._mean_s * self._pending / self.count))

    def submit(self, function: Callable[..., Made], *arguments: Any) -> Future[Made]:
        """Hand in a task: a function that a fresh process can import. Raises QueueFull or NoWorkers."""
        if self._stopping.is_set():
            raise NoWorkers("the server stops")
        self.check_room()
        task = _Task(function, arguments, time.monotonic() + self.timeout_s)
        with self._lock:
            self._pending += 1
        self._tasks.put(task)
        return task.future

    async def run(self, function: Callable[..., Made], *arguments: Any) -> Made:
        """Hand in a task and wait for it. Raises what it raised, QueueFull, TooSlow, WorkerLost, NoWorkers."""
        # shielded: the task goes on when its client has left, so that its files are cleared away
        return await asyncio.shield(asyncio.wrap_future(self.submit(function, *arguments)))

    def _serve(self, number: int) -> None:
        process: SpawnProcess | None = None
        line: Connection | None = None
        while not self._stopping.is_set():
            if process is None or line is None:
                started = self._spawn(number)
                if started is None:
                    time.sleep(_PAUSE_S)
                    continue
                process, line = started
            task = self._next(process)
            if task is None:
                if self._stopping.is_set():
                    break
                self._lose(number, process, line)  # it died while it had nothing to do
                process = line = None
                continue
            if not self._work(task, line):
                self._lose(number, process, line)
                process = line = None
        if process is not None and line is not None:
            line.close()
            process.join(2.0)
            process.kill()
            process.join()

    def _next(self, process: SpawnProcess) -> _Task | None:
        """Wait for a task; None when the process died meanwhile, or all ends."""
        while process.is_alive():
            try:
                return self._tasks.get(timeout=0.5)
            except queue.Empty:
                continue
        return None

    def _work(self, task: _Task, line: Connection) -> bool:
        """Have a task done; False when the worker is of no more use."""
        if time.monotonic() >= task.ends:
            self._fail(task, TooSlow("it waited too long in the queue"))
            return True
        with self._lock:
            self._busy += 1
        start = time.monotonic()
        try:
            line.send((task.function, task.arguments))
            if not line.poll(max(0.0, task.ends - start)):
                self._fail(task, TooSlow(f"it took longer than {self.timeout_s:.0f} s"))
                return False
            good, result = line.recv()
        except (OSError, EOFError):
            self._again(task)
            return False
        finally:
            with self._lock:
                self._busy -= 1
                self._mean_s += 0.1 * (time.monotonic() - start - self._mean_s)
        self._settle(task, result, good)
        return True

    def _again(self, task: _Task) -> None:
        task.tries += 1
        if task.tries > 1 or self._stopping.is_set():
            self._fail(task, WorkerLost("the worker died under it, twice"))
            return
        self._tasks.put(task)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._settle(task, error, False)

    def _settle(self, task: _Task, result: Any, good: bool) -> None:
        with self._lock:
            self._pending -= 1
        if not task.future.set_running_or_notify_cancel():
            return
        if good:
            task.future.set_result(result)
        else:
            task.future.set_exception(result)

    def _spawn(self, number: int) -> tuple[SpawnProcess, Connection] | None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_loop, args=(theirs, self._initial, self._given), name=f"radsnap-{number}", daemon=True
        )
        try:
            process.start()
        except OSError as error:  # no memory or no process left for it: the next try may have it
            LOG.error("worker %d did not start: %s", number, error)
            ours.close()
            theirs.close()
            return None
        self._processes[number] = process
        theirs.close()
        try:
            said = ours.recv() if ours.poll(_START_WITHIN_S) else "it did not get ready"
        except (OSError, EOFError):
            said = "it died at its start"
        if said is not None:
            LOG.error("worker %d did not start: %s", number, said)
            self._end(number, process, ours)
            return None
        with self._lock:
            self._ready += 1
        return process, ours

    def _lose(self, number: int, process: SpawnProcess, line: Connection) -> None:
        LOG.warning("worker %d is replaced", number)
        with self._lock:
            self._ready -= 1
            self._replaced += 1
        self._end(number, process, line)

    def _end(self, number: int, process: SpawnProcess, line: Connection) -> None:
        line.close()
        process.kill()
        process.join()
        self._processes.pop(number, None)


def _loop(line: Connection, initial: Callable[..., object] | None, given: tuple[Any, ...]) -> None:
    """Serve tasks until the other end is gone: when the server dies, so do its workers."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server tells us
    try:
        if initial is not None:
            initial(*given)
    except Exception as error:  # noqa: BLE001 - it crosses to the server, which logs it
        line.send(f"{type(error).__name__}: {error}")
        return
    line.send(None)
    while True:
        try:
            function, arguments = line.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, function(*arguments))
        except RadsnapError as error:  # one message: it crosses as it is
            answer = (False, error)
        except Exception as error:  # noqa: BLE001 - it is raised again where the task was handed in
            # only where it happened: a message may hold what a file said, and the server logs this
            place = traceback.extract_tb(error.__traceback__)[-1]
            answer = (False, RuntimeError(f"{type(error).__name__} in {place.name}, line {place.lineno}"))
        try:
            line.send(answer)
        except OSError:
            return
