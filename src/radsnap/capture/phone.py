"""The phone's page, and what it asks and sends."""

# no "from __future__ import annotations": FastAPI could not see the aliases that live inside functions
import asyncio
import contextlib
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from radsnap.capture.desk import PHONE_COOKIE, Desk, NotPaired
from radsnap.capture.pages import PAGES
from radsnap.capture.photos import Refusal, receive_photo
from radsnap.capture.talk import as_json, table_of
from radsnap.jobs.capturing.journal import Phone
from radsnap.serving.answers import error_response

_SOCKET_S = 10.0  # so often a phone on a socket counts as there, without any change


def add_phone(app: FastAPI, desk: Desk) -> None:
    """Add what a paired phone may ask."""

    async def paired(request: Request) -> Phone:
        return await run_in_threadpool(desk.phone, request.cookies.get(PHONE_COOKIE))

    Paired = Annotated[Phone, Depends(paired)]  # noqa: N806

    @app.get("/")
    async def page(request: Request) -> HTMLResponse:
        try:
            await paired(request)
        except NotPaired:
            raise NotPaired("/pair") from None
        return HTMLResponse(PAGES["phone"], headers={"Cache-Control": "no-store"})

    @app.get("/phone/step")
    async def step(phone: Paired, after: int = 0, wait: float = 0.0) -> JSONResponse:
        await run_in_threadpool(desk.stepper.join, phone)
        await desk.changed(after, wait)
        await run_in_threadpool(desk.stepper.join, phone)
        return as_json(await run_in_threadpool(desk.stepper.for_phone, phone.id))

    @app.post("/phone/device")
    async def device(phone: Paired, request: Request) -> JSONResponse:
        told = await table_of(request)
        kept = {str(name)[:40]: _short(value) for name, value in list(told.items())[:30]}
        await run_in_threadpool(desk.session.journal.describe_phone, phone.id, kept)
        battery = kept.get("battery")
        if isinstance(battery, int) and 0 <= battery <= 100:
            await run_in_threadpool(desk.stepper.charged, phone.id, battery)
        return as_json({})

    @app.post("/phone/photos")
    async def photo(
        phone: Paired,
        request: Request,
        ticket: Annotated[str, Query(pattern=r"^\d{1,12}-\d{1,6}$")],
        sha256: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
    ) -> JSONResponse:
        showing = int(ticket.split("-")[0])
        try:
            kept = await receive_photo(request, desk.session, phone, showing, sha256)
        except Refusal as refused:
            await run_in_threadpool(_note, desk, phone, showing, refused)
            return error_response(refused.status, refused.code, str(refused), "take the photo once more")
        await run_in_threadpool(desk.stepper.took, phone.id, showing, kept)
        return as_json({"state": kept.state, "reasons": kept.reasons, "number": kept.number})

    @app.websocket("/phone/socket")
    async def socket(websocket: WebSocket) -> None:
        try:
            phone = await run_in_threadpool(desk.phone, websocket.cookies.get(PHONE_COOKIE))
        except NotPaired:
            await websocket.close(1008)
            return
        await websocket.accept()
        await _tell(desk, websocket, phone)


def _note(desk: Desk, phone: Phone, showing: int, refused: Refusal) -> None:
    if refused.status >= 500:  # the phone keeps its photo and sends it again
        desk.stepper.warn(str(refused))
    else:
        desk.stepper.unreadable(phone.id, showing, str(refused))


async def _tell(desk: Desk, websocket: WebSocket, phone: Phone) -> None:
    """Say every change to a phone; what it says back only shows that it is there."""
    listening = waiting = asyncio.create_task(_listen(websocket))
    try:
        while not listening.done():
            await run_in_threadpool(desk.stepper.join, phone)
            told = await run_in_threadpool(desk.stepper.for_phone, phone.id)
            await websocket.send_json(told)
            waiting = asyncio.create_task(desk.changed(told["version"], _SOCKET_S))
            await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
    except (WebSocketDisconnect, RuntimeError):
        return  # the phone went away
    finally:
        listening.cancel()
        waiting.cancel()


async def _listen(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive_text()


def _short(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)[:200]
