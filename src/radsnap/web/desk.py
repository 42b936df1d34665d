"""The desk: every question of a page or a program about cases, answered once."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from radsnap.errors import ImageError, RadsnapError, UsageError
from radsnap.models.card import Card
from radsnap.serving.uploads import Upload
from radsnap.web import reading, straight
from radsnap.web.access import current_user
from radsnap.web.errors import ApiError
from radsnap.web.exports import EXPORTS
from radsnap.web.metrics import Metrics
from radsnap.web.settings import Settings
from radsnap.web.storage.cases import Case, Cases, Query
from radsnap.web.storage.new import NewCase
from radsnap.web.storage.people import User
from radsnap.web.workers import NoWorkers, QueueFull, TooSlow, WorkerLost, Workers

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Desk:
    """What pages and API ask. `cards` are those of the networks in use, by stage (gate, kind, findings ...)."""

    settings: Settings
    cases: Cases
    workers: Workers
    metrics: Metrics
    cards: Mapping[str, Card]
    incoming: Path

    def check_room(self) -> None:
        """Raise ApiError 429 when the queue is full: before a body is taken in."""
        try:
            self.workers.check_room()
        except QueueFull as error:
            raise _unread(error) from error

    async def diagnose(self, user: User, upload: Upload, store: bool) -> tuple[NewCase, str | None]:
        """Read a picture that came in; gives the reading and, when stored, its case's id.

        Raises ImageError for the picture, ApiError 429, 503 or 504 for the server.
        """
        async with self.read(upload, keep=store) as new:
            case_id = await run_in_threadpool(self.cases.add, user.id, new) if store else None
        return new, case_id

    @asynccontextmanager
    async def read(self, upload: Upload, keep: bool) -> AsyncIterator[NewCase]:
        """Read a picture; with `keep`, the files of the reading are there as long as the block runs.

        Raises as `diagnose`.
        """
        if upload.fault is not None:
            self.metrics.readings.labels("refused").inc()
            # the file's own words are better: what it is instead
            await run_in_threadpool(reading.refuse, upload.path, upload.name)
        limits = reading.Limits(self.settings.max_bytes, self.settings.max_pixels)
        with tempfile.TemporaryDirectory(dir=self.incoming) as folder:
            try:
                new = await self.workers.run(
                    reading.read, upload.path, upload.name, limits, Path(folder), keep
                )
            except ImageError:
                self.metrics.readings.labels("refused").inc()
                raise
            except (QueueFull, TooSlow, WorkerLost, NoWorkers) as error:
                self.metrics.readings.labels("unread").inc()
                raise _unread(error) from error
            yield new
        self.metrics.readings.labels("read").inc()
        self.metrics.read(new.diagnosis["ms"])

    async def search(
        self, request: Request, query: str = "", finding: str = "", word: str = "", verdict: str = "",
        cursor: str = "", limit: int = 24,
    ) -> tuple[list[Json], str | None]:  # fmt: skip
        """List the asker's cases as CaseSummary's JSON, the newest first, and the cursor of the next page."""
        user = await current_user(request)
        asked = Query(query, finding, word, verdict)
        try:
            found, following = await run_in_threadpool(
                self.cases.search, user.id, asked, limit, cursor or None
            )
        except UsageError as error:
            raise ApiError(
                422, "wrong_cursor", "this cursor is none of ours", "start from the first page"
            ) from error
        return [summary(case) for case in found], following

    async def case(self, request: Request, case_id: str) -> Json:
        """Give one of the asker's cases as CaseOut's JSON. Raises ApiError 404."""
        return full(await self.stored(request, case_id))

    async def stored(self, request: Request, case_id: str) -> Case:
        """Find one of the asker's cases. Raises ApiError 404."""
        user = await current_user(request)
        found = await run_in_threadpool(self.cases.get, user.id, case_id)
        if found is None:
            raise no_case()
        return found

    async def file(self, request: Request, case_id: str, role: str) -> bytes:
        """Read a file of one of the asker's cases. Raises ApiError 404."""
        user = await current_user(request)
        found = await run_in_threadpool(self.cases.file, user.id, case_id, role)
        if found is None:
            raise no_case()
        return found[0]

    async def thumbnail(self, request: Request, case_id: str) -> bytes:
        """Read a case's thumbnail, a JPEG. Raises ApiError 404."""
        return await self.file(request, case_id, "thumbnail")

    async def straightened(self, request: Request, case_id: str) -> bytes:
        """Cut the x-ray out of a case's photo, straight and upright: a JPEG. Raises ApiError 404."""
        outline = _outline(await self.stored(request, case_id))
        picture = await self.file(request, case_id, "picture")
        return await run_in_threadpool(straight.straightened, picture, outline)

    async def heat_map(
        self, request: Request, case_id: str, finding: str, straightened: bool = False
    ) -> bytes:
        """Make the heat map of a finding, over the picture or over its x-ray alone: a grey PNG. Raises ApiError 404."""
        packed = await self.file(request, case_id, "heat")
        heat = (await run_in_threadpool(reading.unpack_heat, packed)).get(finding)
        if heat is None:
            raise ApiError(
                404, "no_heat_map", "this case has no heat map of that finding", "see heat_map_urls"
            )
        if straightened:
            heat = straight.straightened_heat(heat, _outline(await self.stored(request, case_id)))
        return bytes(cv2.imencode(".png", heat)[1])


def no_case() -> ApiError:
    """Say that the asker has no such case; whether another has it is nobody's business."""
    return ApiError(
        404, "no_case", "there is no such case", "it may have been deleted; see the list of cases"
    )


def _outline(case: Case) -> Json:
    outline: Json | None = case.diagnosis.get("outline")
    if outline is None:
        raise ApiError(
            404, "no_outline", "no x-ray was found to straighten in this picture", "see its image_url"
        )
    return outline


def summary(case: Case) -> Json:
    """Give a CaseSummary's JSON."""
    return {
        "id": case.id,
        "url": f"/cases/{case.id}",
        "created_at": iso(case.created_us),
        "kind": case.kind,
        "domain": case.domain,
        "xray": case.xray,
        "assessed": case.diagnosis.get("findings") is not None,
        "likely": case.said("likely"),
        "possible": case.said("possible"),
        "quality": [remark["name"] for remark in case.diagnosis["quality"]],
        "verdict": case.verdict,
        "thumbnail_url": f"/api/v1/cases/{case.id}/thumbnail.jpg",
    }


def full(case: Case) -> Json:
    """Give a CaseOut's JSON."""
    here = f"/api/v1/cases/{case.id}"
    named = case.diagnosis.get("findings") or {}
    maps = case.diagnosis.get("heat_maps") or []
    return {
        **summary(case),
        "width": case.width,
        "height": case.height,
        "diagnosis": {**case.diagnosis, "case": link(case.id)},
        "note": case.note,
        "verdict_at": None if case.verdict_us is None else iso(case.verdict_us),
        "image_url": f"{here}/image.jpg",
        "heat_map_urls": {
            name: f"{here}/heatmaps/{quote(name, safe='')}.png" for name in named if name in maps
        },
        "straightened_url": f"{here}/straightened.jpg" if case.diagnosis.get("outline") else None,
        "export_urls": {name: f"{here}/export.{name}" for name in EXPORTS},
    }


def link(case_id: str) -> Json:
    """Give a CaseLink's JSON."""
    return {"id": case_id, "url": f"/cases/{case_id}"}


def iso(at_us: int) -> str:
    """Spell a time."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds")


def _unread(error: Exception) -> ApiError:
    if isinstance(error, QueueFull):
        seconds = str(max(1, round(error.retry_after_s)))
        return ApiError(
            429, "busy", "as many pictures wait as may wait", f"send it again in {seconds} s",
            {"Retry-After": seconds},
        )  # fmt: skip
    if isinstance(error, TooSlow):
        return ApiError(504, "too_slow", "the reading took too long", "try again, or send a smaller picture")
    lost = isinstance(error, WorkerLost)
    return ApiError(
        503, "worker_lost" if lost else "stopping",
        "the reading was cut off" if lost else "the server stops", "send the picture again",
        {"Retry-After": "5"},
    )  # fmt: skip


def told(error: Exception) -> Json:
    """Give an ErrorDetail's JSON for what went wrong with one picture of a job."""
    from radsnap.web.errors import api_error

    known = api_error(error) if isinstance(error, ImageError) else error
    if isinstance(known, ApiError):
        return {"code": known.code, "message": known.message, "what_to_do": known.what_to_do}
    if isinstance(error, RadsnapError):
        return {"code": "failed", "message": str(error), "what_to_do": "send the picture again"}
    return {"code": "internal", "message": "something failed here", "what_to_do": "tell who runs this server"}
