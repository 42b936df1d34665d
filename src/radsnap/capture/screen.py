"""The screen's page, its pictures, and what the operator asks for."""

# no "from __future__ import annotations": FastAPI could not see the aliases that live inside functions
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from radsnap.capture.desk import SCREEN_COOKIE, Desk, NotPaired
from radsnap.capture.pages import PAGES
from radsnap.capture.talk import as_json, table_of, whole
from radsnap.jobs.capturing.pictures import picture_of
from radsnap.serving.address import link
from radsnap.serving.answers import error_response


def add_screen(app: FastAPI, desk: Desk) -> None:
    """Add what a paired screen may ask."""

    async def paired(request: Request) -> None:
        if await run_in_threadpool(desk.screens.device, request.cookies.get(SCREEN_COOKIE)) is None:
            raise NotPaired("/screen/pair" if request.url.path == "/screen" else None)

    gate = [Depends(paired)]

    @app.get("/screen", dependencies=gate)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGES["screen"], headers={"Cache-Control": "no-store"})

    @app.get("/screen/step", dependencies=gate)
    async def step(after: int = 0, wait: float = 0.0) -> JSONResponse:
        await desk.changed(after, wait)
        return as_json(await run_in_threadpool(desk.stepper.for_screen))

    @app.get("/screen/picture/{showing}.png", dependencies=gate)
    async def picture(showing: int) -> Response:
        data = await run_in_threadpool(picture_of, desk.session, showing)
        if data is None:
            return error_response(404, "absent", "there is no such picture", "reload the page")
        return Response(data, media_type="image/png", headers={"Cache-Control": "no-store"})

    @app.post("/screen/size", dependencies=gate)
    async def size(request: Request) -> JSONResponse:
        told = await table_of(request)
        width, height = (whole(told.get(name), name) for name in ("width", "height"))
        await run_in_threadpool(desk.stepper.screen, width, height)
        return as_json({})

    @app.post("/screen/shown", dependencies=gate)
    async def shown(request: Request) -> JSONResponse:
        told = await table_of(request)
        await run_in_threadpool(desk.stepper.shown, whole(told.get("showing"), "showing", 1, 2**53))
        return as_json({})

    @app.post("/screen/command", dependencies=gate)
    async def command(request: Request) -> JSONResponse:
        told = await table_of(request)
        await run_in_threadpool(desk.stepper.command, str(told.get("command", ""))[:20])
        return as_json(await run_in_threadpool(desk.stepper.for_screen))

    @app.post("/screen/code", dependencies=gate)
    async def code() -> JSONResponse:
        made = desk.phones.new_code()
        where = f"{desk.address}/pair?code={made}"
        return as_json({"code": made, "address": desk.address, "svg": link(where, scale=6)})
