"""Who is there: sessions for people, tokens for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from radsnap.web.access import CurrentUser, Door
from radsnap.web.api.answers import errors
from radsnap.web.desk import iso
from radsnap.web.errors import ApiError
from radsnap.web.schemas import SessionIn, SessionOut, TokenIn, TokenOut

router = APIRouter(prefix="/api/v1", tags=["access"])
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/session", summary="Who am I", response_model=SessionOut, responses=errors())
async def who(request: Request, user: CurrentUser) -> Response:
    """See who is signed in, and the token that changes need."""
    door: Door = request.app.state.door
    told = {"user": user.name, "csrf_token": door.csrf(user), "open": door.settings.open}
    return JSONResponse(told, headers=_NO_STORE)


@router.post("/session", summary="Sign in", response_model=SessionOut, responses=errors())
async def sign_in(request: Request, given: SessionIn) -> Response:
    """Sign in with an access code: the answer sets the session's cookie."""
    door: Door = request.app.state.door
    response = JSONResponse({}, headers=_NO_STORE)
    user = await door.sign_in(request, response, given.name, given.code)
    told = JSONResponse({"user": user.name, "csrf_token": door.csrf(user), "open": False}, headers=_NO_STORE)
    told.raw_headers.extend(pair for pair in response.raw_headers if pair[0] == b"set-cookie")
    return told


@router.delete("/session", status_code=204, summary="Sign out", responses=errors())
async def sign_out(request: Request, user: CurrentUser) -> Response:
    """Sign out: the session ends here, not only in this browser."""
    door: Door = request.app.state.door
    response = Response(status_code=204)
    await door.sign_out(user, response)
    return response


@router.post("/tokens", status_code=201, summary="Get a token", response_model=TokenOut, responses=errors())
async def issue(request: Request, given: TokenIn) -> Response:
    """Get a token for a program, with an access code. It is shown this once."""
    door: Door = request.app.state.door
    user = await door.enter(request, given.name, given.code)
    made = await run_in_threadpool(door.people.issue, user, given.label, given.days)
    told = {"id": made.id, "token": made.token, "label": made.label, "expires_at": iso(made.expires_us)}
    return JSONResponse(told, 201, headers=_NO_STORE)


@router.delete("/tokens/{token_id}", status_code=204, summary="End a token", responses=errors(404))
async def revoke(
    request: Request, user: CurrentUser, token_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
) -> Response:
    """End one of your tokens."""
    door: Door = request.app.state.door
    if not await run_in_threadpool(door.people.revoke, user, token_id):
        raise ApiError(404, "no_token", "you have no such token", "its id came with it")
    return Response(status_code=204)
