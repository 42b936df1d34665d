"""Pictures in: one at a time, or several as a job."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from radsnap.serving.uploads import uploads
from radsnap.web.access import CurrentUser
from radsnap.web.api.answers import errors
from radsnap.web.desk import Desk, link
from radsnap.web.jobs import Jobs
from radsnap.web.schemas import DiagnosisOut, JobOut

router = APIRouter(prefix="/api/v1", tags=["reading"])
_NO_STORE = {"Cache-Control": "no-store"}
_ONE_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "one picture: JPEG, PNG, WebP, HEIC, TIFF, BMP or DICOM, as it is or in a form",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_FILES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/diagnose",
    summary="Read one picture",
    response_model=DiagnosisOut,
    responses=errors(408, 413, 415, 503, 504),
    openapi_extra=_ONE_FILE,
)
async def diagnose(request: Request, user: CurrentUser, store: bool = True) -> Response:
    """Read one picture: is it an x-ray, which, what is seen, how sure, and where.

    Not an x-ray is a result. The case is stored before this answers, unless `store=false`.
    """
    desk: Desk = request.app.state.desk
    desk.check_room()
    async with uploads(request, desk.incoming, max_bytes=desk.settings.max_bytes) as taken:
        new, case_id = await desk.diagnose(user, taken[0], store)
    told = {**new.diagnosis, "case": None if case_id is None else link(case_id)}
    return JSONResponse(told, headers=_NO_STORE)


@router.post(
    "/jobs",
    status_code=202,
    summary="Read several pictures",
    response_model=JobOut,
    responses=errors(408, 413),
    openapi_extra=_FILES,
)
async def begin(request: Request, user: CurrentUser) -> Response:
    """Take several pictures and read them one after the other. Watch the job, or look for its cases later."""
    desk: Desk = request.app.state.desk
    jobs: Jobs = request.app.state.jobs
    jobs.check_room(user)
    most, many = desk.settings.max_bytes, desk.settings.max_files
    async with AsyncExitStack() as files:
        taken = await files.enter_async_context(
            uploads(request, desk.incoming, max_bytes=most, max_files=many)
        )
        job = jobs.begin(user, taken, files.pop_all())
    return JSONResponse(job.to_json(), 202, headers={"Location": f"/api/v1/jobs/{job.id}", **_NO_STORE})


@router.get("/jobs/{job_id}", summary="See a job", response_model=JobOut, responses=errors(404))
async def job(request: Request, user: CurrentUser, job_id: str) -> Response:
    """See how far a job is."""
    jobs: Jobs = request.app.state.jobs
    return JSONResponse(jobs.get(user, job_id).to_json(), headers=_NO_STORE)


@router.get(
    "/jobs/{job_id}/events",
    summary="Watch a job",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "server-sent events: `job` (all of it), `item` (each that changes), `done`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **errors(404),
    },
)
async def events(request: Request, user: CurrentUser, job_id: str) -> Response:
    """Watch a job as server-sent events; whoever comes back gets all of it first."""
    jobs: Jobs = request.app.state.jobs
    stream = jobs.events(jobs.get(user, job_id))
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={**_NO_STORE, "X-Accel-Buffering": "no"}
    )
