"""Run a job's map: the same work on every item, on local processes or on a Ray cluster.

Work is a small picklable object that is called with an item; items and results are small too (names, not
pixels: a worker reads and writes its own files). Results come as they are finished. Only a few items are under
way at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from radsnap.errors import RadsnapError, UsageError
from radsnap.extras import need

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]
Engine = Literal["local", "ray"]

CHUNK = 4
_RAY_CHUNK = 8
_MOST_LOST = 100
_RETRIES = 5
# A chunk is a straggler when it takes this many times the median, and longer than a slow image would.
_STRAGGLER_TIMES, _STRAGGLER_S = 4.0, 20.0


@dataclass(frozen=True)
class Scale:
    """How wide a job runs. jobs: processes (Ray: at most so many at a time; None: as many as there are CPUs)."""

    jobs: int | None = 1
    engine: Engine = "local"
    address: str | None = None


@dataclass(frozen=True)
class Lost:
    """An item that ended its worker (out of memory, a crash in a decoder), twice."""

    reason: str = "the worker process died over it, twice (out of memory, or a decoder crashed)"


def spread(
    work: Work[Item, Result], items: Iterable[Item], scale: Scale
) -> Iterator[tuple[Item, Result | Lost]]:
    """Do the work on every item; gives (item, result) in the order of completion.

    What the work raises, is raised here and ends the map. Close the iterator to end it early.
    """
    if scale.engine == "ray":
        yield from _on_ray(work, items, scale)
    elif (scale.jobs or os.cpu_count() or 1) == 1:
        with single_threaded():
            for item in items:
                yield item, work(item)
    else:
        yield from _Pool(work, scale.jobs or os.cpu_count() or 1).run(items)


def _chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


class single_threaded:  # noqa: N801 - reads as a context, not as a thing
    """Keep OpenCV to one thread: with a process a core, its threads only get in each other's way."""

    def __enter__(self) -> None:
        import cv2

        self.before = cv2.getNumThreads()
        cv2.setNumThreads(1)

    def __exit__(self, *_: object) -> None:
        import cv2

        cv2.setNumThreads(self.before)


# --- local processes -------------------------------------------------------------------------------------------

_work: Callable[[Any], Any] | None = None  # a worker's own, set once when it starts


def _start_worker(work: Callable[[Any], Any]) -> None:
    import multiprocessing

    import cv2

    global _work
    _work = work
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)  # the parent was killed: nobody waits for results any more

        threading.Thread(target=follow, daemon=True).start()


def _do_chunk(chunk: list[Any]) -> list[Any]:
    assert _work is not None
    return [_work(item) for item in chunk]


@dataclass
class _Pool(Generic[Item, Result]):
    """A process pool that outlives the death of a worker.

    Workers are started afresh (forkserver or spawn): a fork of a process with threads can hang.
    """

    work: Work[Item, Result]
    jobs: int
    lost: int = 0
    executor: ProcessPoolExecutor | None = field(default=None, repr=False)

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        chunks = _chunked(items, CHUNK)
        under_way: dict[Future[list[Result]], list[Item]] = {}
        try:
            while True:
                suspects: list[Item] = []
                try:
                    for chunk in islice(chunks, 2 * self.jobs + 1 - len(under_way)):
                        suspects = chunk
                        under_way[self._submit(chunk, self.jobs)] = chunk
                        suspects = []
                    if not under_way:
                        return
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        results = future.result()
                        yield from zip(under_way.pop(future), results, strict=True)
                except BrokenProcessPool:
                    yield from self._one_by_one([*_unwind(under_way), *suspects])
                    under_way = {}
        finally:
            self._stop()

    def _one_by_one(self, suspects: list[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        """Find out which item kills: a worker of its own for what was under way."""
        self._stop()
        for item in suspects:
            self._see_that_workers_start()
            try:
                yield item, self._submit([item], 1).result()[0]
            except BrokenProcessPool as error:
                self._stop()
                self.lost += 1
                if self.lost >= _MOST_LOST:
                    raise RadsnapError(
                        f"{self.lost} worker processes died; is there too little memory? "
                        "start again with fewer --jobs"
                    ) from error
                yield item, Lost()
        self._stop()

    def _see_that_workers_start(self) -> None:
        """Tell an item that kills from workers that never were: those run the caller's script as they start."""
        try:
            self._submit([], 1).result()
        except BrokenProcessPool as error:
            raise RadsnapError(
                "worker processes end as they start; a script of your own that uses several jobs needs "
                "`if __name__ == '__main__':` around its calls"
            ) from error

    def _submit(self, chunk: list[Item], jobs: int) -> Future[list[Result]]:
        if self.executor is None:
            import multiprocessing

            fresh = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            self.executor = ProcessPoolExecutor(
                jobs,
                mp_context=multiprocessing.get_context(fresh),
                initializer=_start_worker,
                initargs=(self.work,),
            )
        return self.executor.submit(_do_chunk, chunk)

    def _stop(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=True, cancel_futures=True)
            self.executor = None


def _unwind(under_way: dict[Future[list[Result]], list[Item]]) -> list[Item]:
    """Give the items whose results are not here. One that was finished and not fetched is done again."""
    return [item for chunk in under_way.values() for item in chunk]


# --- Ray -------------------------------------------------------------------------------------------------------


@dataclass
class _Chunk(Generic[Item]):
    """Items that a task was given, and since when; a straggler has two tasks."""

    items: list[Item]
    started: float
    tasks: list[Any]


def _ray_chunk(work: Callable[[Any], Any], chunk: list[Any]) -> list[Any]:
    with single_threaded():
        return [work(item) for item in chunk]


def _on_ray(
    work: Work[Item, Result], items: Iterable[Item], scale: Scale
) -> Iterator[tuple[Item, Result | Lost]]:
    """Run chunks as Ray tasks. A task whose node dies is done again elsewhere; a straggler gets a twin.

    Work must bear being done twice: writes that are whole or not at all, and the same bytes each time.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = need("ray", extra="cluster")
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, scale)
    try:
        yield from _ray_tasks(ray, work, items, scale)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, scale: Scale) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if scale.address is None:
        cpus = scale.jobs or os.cpu_count()
        # by default Ray would listen on the machine's network address
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet
        )
        return
    try:
        ray.init(address=scale.address, **quiet)
    except (ConnectionError, ValueError) as error:
        raise UsageError(f"no Ray cluster answers at {scale.address} ({error})") from error


def _ray_tasks(
    ray: Any, work: Work[Item, Result], items: Iterable[Item], scale: Scale
) -> Iterator[tuple[Item, Result | Lost]]:
    task = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=[OSError])(_ray_chunk)
    shared = ray.put(work)
    chunks = _chunked(items, _RAY_CHUNK)
    under_way: dict[Any, _Chunk[Item]] = {}
    took: list[float] = []
    while True:
        cpus = scale.jobs or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        for chunk in islice(chunks, max(2 * cpus - len(under_way), 0)):
            made = task.remote(shared, chunk)
            under_way[made] = _Chunk(chunk, time.monotonic(), [made])
        if not under_way:
            return
        done, _ = ray.wait(list(under_way), num_returns=1, timeout=1.0)
        for made in done:
            if made not in under_way:  # the twin was quicker, in this very round
                continue
            chunk_done = under_way[made]
            try:
                results = ray.get(made)
            except ray.exceptions.RayTaskError:
                raise
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                for twin in chunk_done.tasks:
                    del under_way[twin]
                if len(chunk_done.items) == 1:
                    yield chunk_done.items[0], Lost(f"its Ray worker died {_RETRIES + 1} times ({error})")
                else:
                    for item in chunk_done.items:
                        alone = task.remote(shared, [item])
                        under_way[alone] = _Chunk([item], time.monotonic(), [alone])
                continue
            took = [*took[-200:], time.monotonic() - chunk_done.started]
            for twin in chunk_done.tasks:
                del under_way[twin]
                if twin != made:
                    ray.cancel(twin, force=False)
            yield from zip(chunk_done.items, results, strict=True)
        for straggler in _stragglers(list(under_way.values()), took):
            made = task.remote(shared, straggler.items)
            straggler.tasks.append(made)
            under_way[made] = straggler


def _stragglers(chunks: list[_Chunk[Item]], took: list[float]) -> list[_Chunk[Item]]:
    if not took:
        return []
    limit = max(_STRAGGLER_TIMES * statistics.median(took), _STRAGGLER_S)
    now = time.monotonic()
    return [chunk for chunk in chunks if len(chunk.tasks) == 1 and now - chunk.started > limit]
