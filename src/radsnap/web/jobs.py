"""Jobs: several pictures in one go, read one after the other while their sender watches or leaves.

A job lives in memory, its pictures in the folder for what comes in: neither outlives the server. What a job
has stored are cases like any other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from radsnap.serving.uploads import Upload
from radsnap.web.desk import Desk, Json, summary, told
from radsnap.web.errors import ApiError
from radsnap.web.storage.people import User

LOG = logging.getLogger("radsnap.web")
_RUNNING_EACH, _RUNNING_ALL = 4, 40
_REMEMBERED_S = 3600.0
_HEARTBEAT_S = 15.0


@dataclass(eq=False)
class Job:
    """One job; `items` are JobItem's JSON, `changed` wakes those who watch."""

    user: User
    items: list[Json]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    ended: float | None = None
    version: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def change(self, after: int, within_s: float) -> None:
        """Wait until the version is another. Raises TimeoutError."""
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(lambda: self.version != after)

    def to_json(self) -> Json:
        """Give a JobOut's JSON."""
        here = f"/api/v1/jobs/{self.id}"
        return {
            "id": self.id,
            "url": here,
            "events_url": f"{here}/events",
            "status": "running" if self.ended is None else "done",
            "done": sum(item["status"] in ("done", "failed") for item in self.items),
            "total": len(self.items),
            "items": self.items,
        }


class Jobs:
    """All jobs of a server."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def check_room(self, user: User) -> None:
        """Raise ApiError 429 where a job begun now would be one too many."""
        running = [job for job in self._jobs.values() if job.ended is None]
        own = sum(job.user.id == user.id for job in running)
        if own >= _RUNNING_EACH or len(running) >= _RUNNING_ALL:
            raise ApiError(
                429, "busy", f"{own} of your jobs run already", "wait for one to end", {"Retry-After": "10"}
            )

    def begin(self, user: User, pictures: list[Upload], files: AsyncExitStack) -> Job:
        """Begin a job; `files` is closed when it has ended."""
        self.check_room(user)
        self._forget()
        items = [
            {"index": index, "status": "waiting", "case": None, "error": None}
            for index in range(len(pictures))
        ]
        job = Job(user, items)
        self._jobs[job.id] = job
        task = asyncio.create_task(self._run(job, pictures, files))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def get(self, user: User, job_id: str) -> Job:
        """Find a reader's job. Raises ApiError 404."""
        job = self._jobs.get(job_id)
        if job is None or job.user.id != user.id:
            raise ApiError(
                404, "no_job", "there is no such job", "jobs end with the server; see the list of cases"
            )
        return job

    async def stop(self) -> None:
        """End all jobs; what they have not read is not read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def events(self, job: Job) -> AsyncIterator[str]:
        """Tell a job as server-sent events: all of it, each item that changes, and its end."""
        yield _event("job", job.to_json())
        sent, version = [dict(item) for item in job.items], job.version
        while job.ended is None:
            try:
                await job.change(after=version, within_s=_HEARTBEAT_S)
            except TimeoutError:
                yield ": still here\n\n"  # keeps proxies from closing the line
            version = job.version
            for index, item in enumerate(job.items):
                if item != sent[index]:
                    sent[index] = dict(item)
                    yield _event("item", item)
        yield _event("done", job.to_json())

    async def _run(self, job: Job, pictures: list[Upload], files: AsyncExitStack) -> None:
        # two at a time keep a worker busy while another result is stored
        at_once = asyncio.Semaphore(max(2, self.desk.settings.workers))

        async def one(index: int, upload: Upload) -> None:
            async with at_once:
                await self._change(job, index, status="running")
                await self._read(job, index, upload)

        try:
            async with files:
                await asyncio.gather(*(one(index, upload) for index, upload in enumerate(pictures)))
        finally:
            job.ended = time.monotonic()
            async with job.changed:
                job.version += 1
                job.changed.notify_all()

    async def _read(self, job: Job, index: int, upload: Upload) -> None:
        while True:
            try:
                _, case_id = await self.desk.diagnose(job.user, upload, store=True)
            except ApiError as error:
                if error.code == "busy":  # a job waits its turn
                    await asyncio.sleep(float(error.headers.get("Retry-After", "1")))
                    continue
                await self._change(job, index, status="failed", error=told(error))
            except Exception as error:  # noqa: BLE001 - one picture must not end the others
                fault = told(error)
                if fault["code"] == "internal":
                    LOG.error("a picture of a job failed: %s", type(error).__name__)
                await self._change(job, index, status="failed", error=fault)
            else:
                assert case_id is not None
                case = await run_in_threadpool(self.desk.cases.get, job.user.id, case_id)
                shown = None if case is None else summary(case)
                await self._change(job, index, status="done", case=shown)
            return

    async def _change(self, job: Job, index: int, **values: Any) -> None:
        async with job.changed:
            job.items[index].update(values)
            job.version += 1
            job.changed.notify_all()

    def _forget(self) -> None:
        old = time.monotonic() - _REMEMBERED_S
        self._jobs = {
            job_id: job for job_id, job in self._jobs.items() if job.ended is None or job.ended > old
        }
        ended = [job_id for job_id, job in self._jobs.items() if job.ended is not None]
        for job_id in ended[:-200]:
            del self._jobs[job_id]


def _event(name: str, data: Json) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
