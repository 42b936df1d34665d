"""Cases: found, looked at, judged, taken along, deleted."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from radsnap.web.access import CurrentUser
from radsnap.web.api.answers import errors, file
from radsnap.web.desk import Desk, full, no_case
from radsnap.web.exports import EXPORTS, Exported
from radsnap.web.reading import unpack_heat
from radsnap.web.schemas import NO_NUL, CaseList, CaseOut, VerdictIn, WordName

router = APIRouter(prefix="/api/v1/cases", tags=["cases"])
_NO_STORE = {"Cache-Control": "no-store"}
# A case's files never change, but what is deleted must be gone: a browser keeps them for the visit only.
_VISIT = {"Cache-Control": "private, max-age=300"}
CaseId = Annotated[
    str, PathParameter(pattern="^[0-9a-f]{32}$", examples=["0f3b6c2a9d3e4b1f8a7c5d6e7f809102"])
]
ExportName = Literal["json", "csv", "pdf", "dcm", "sr.dcm"]


@router.get("", summary="List cases", response_model=CaseList, responses=errors())
async def search(
    request: Request,
    query: Annotated[
        str, Query(max_length=200, pattern=NO_NUL, description="words in note, kind or findings seen")
    ] = "",
    finding: Annotated[str, Query(max_length=120, pattern=NO_NUL, examples=["Pneumonia"])] = "",
    word: Annotated[WordName | Literal[""], Query(description="of the finding, or of any")] = "",
    verdict: Annotated[Literal["", "agree", "disagree", "none"], Query()] = "",
    cursor: Annotated[str, Query(max_length=200, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> Response:
    """List your cases, the newest first. A finding alone means cases where it is likely or possible."""
    desk: Desk = request.app.state.desk
    found, following = await desk.search(request, query, finding, word, verdict, cursor, limit)
    return JSONResponse({"cases": found, "next": following}, headers=_NO_STORE)


@router.get("/{case_id}", summary="See a case", response_model=CaseOut, responses=errors(404))
async def see(request: Request, case_id: CaseId) -> Response:
    """See one of your cases, with all that is known of it."""
    desk: Desk = request.app.state.desk
    return JSONResponse(await desk.case(request, case_id), headers=_NO_STORE)


@router.delete("/{case_id}", status_code=204, summary="Delete a case", responses=errors(404))
async def delete(request: Request, user: CurrentUser, case_id: CaseId) -> Response:
    """Delete a case for good: rows, picture, heat maps, note."""
    desk: Desk = request.app.state.desk
    if not await run_in_threadpool(desk.cases.delete, user.id, case_id):
        raise no_case()
    return Response(status_code=204)


@router.put("/{case_id}/verdict", summary="Judge a case", response_model=CaseOut, responses=errors(404))
async def judge(request: Request, user: CurrentUser, case_id: CaseId, given: VerdictIn) -> Response:
    """Keep your own verdict and a note, for later study. It changes nothing of the reading."""
    desk: Desk = request.app.state.desk
    note = given.note.replace("\0", "")  # PostgreSQL's text holds none
    if not await run_in_threadpool(desk.cases.judge, user.id, case_id, given.verdict, note):
        raise no_case()
    return JSONResponse(full(await desk.stored(request, case_id)), headers=_NO_STORE)


@router.get(
    "/{case_id}/image.jpg",
    summary="Its picture",
    response_class=Response,
    responses={**errors(404), **file("image/jpeg")},
)
async def image(request: Request, case_id: CaseId) -> Response:
    """Get the picture, upright, without what the camera wrote about itself."""
    desk: Desk = request.app.state.desk
    return Response(await desk.file(request, case_id, "picture"), media_type="image/jpeg", headers=_VISIT)


@router.get(
    "/{case_id}/thumbnail.jpg",
    summary="Its thumbnail",
    response_class=Response,
    responses={**errors(404), **file("image/jpeg")},
)
async def thumbnail(request: Request, case_id: CaseId) -> Response:
    """Get a small picture."""
    desk: Desk = request.app.state.desk
    return Response(await desk.thumbnail(request, case_id), media_type="image/jpeg", headers=_VISIT)


@router.get(
    "/{case_id}/straightened.jpg",
    summary="Its x-ray alone",
    response_class=Response,
    responses={**errors(404), **file("image/jpeg")},
)
async def straightened(request: Request, case_id: CaseId) -> Response:
    """Get the x-ray that was found in a photo, cut out, straight and upright."""
    desk: Desk = request.app.state.desk
    return Response(await desk.straightened(request, case_id), media_type="image/jpeg", headers=_VISIT)


@router.get(
    "/{case_id}/heatmaps/{finding}.png",
    summary="A heat map",
    response_class=Response,
    responses={**errors(404), **file("image/png")},
)
async def heat_map(
    request: Request,
    case_id: CaseId,
    finding: Annotated[str, PathParameter(max_length=120)],
    straightened: Annotated[bool, Query(description="over straightened.jpg instead")] = False,
) -> Response:
    """Get where the network looked for a finding: a grey PNG over the whole picture."""
    desk: Desk = request.app.state.desk
    heat = await desk.heat_map(request, case_id, finding, straightened)
    return Response(heat, media_type="image/png", headers=_VISIT)


@router.get(
    "/{case_id}/export.{format}",
    summary="Take a case along",
    response_class=Response,
    responses={**errors(404), **file(*(export.media_type for export in EXPORTS.values()))},
)
async def export(request: Request, user: CurrentUser, case_id: CaseId, format: ExportName) -> Response:
    """Get a case as JSON, CSV, PDF, DICOM Secondary Capture with the overlay, or DICOM structured report."""
    desk: Desk = request.app.state.desk
    case = await desk.stored(request, case_id)
    picture = await desk.file(request, case_id, "picture")
    kept = await run_in_threadpool(desk.cases.file, user.id, case_id, "heat")
    made = EXPORTS[format]
    given = Exported(case, picture, {} if kept is None else unpack_heat(kept[0]))
    data = await run_in_threadpool(made.make, given)
    name = f"radsnap-{case_id[:8]}.{format}"
    return Response(
        data,
        media_type=made.media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', **_NO_STORE},
    )
