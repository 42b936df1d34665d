"""The capture server: nothing but the pairing pages is served to a browser that is not paired.

GET  /pair, /screen/pair      the forms that take a one-time code
POST /pair, /screen/pair      a code becomes a cookie
GET  /                        the phone's page            GET  /screen            the screen's page
GET  /phone/step              what to do, long-polled     GET  /screen/step
POST /phone/photos?ticket=T   a photo                     GET  /screen/picture/N.png
POST /phone/device            what the phone is           POST /screen/{size,shown,command,code}
WS   /phone/socket            "something changed", for browsers that take it; polling does without
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from radsnap.capture.desk import Desk, NotPaired
from radsnap.capture.files import add_files
from radsnap.capture.paired import Phones, Screens
from radsnap.capture.pairing import add_pairing
from radsnap.capture.phone import add_phone
from radsnap.capture.screen import add_screen
from radsnap.errors import UsageError
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.steps import Stepper
from radsnap.serving.answers import error_response
from radsnap.serving.headers import SameOrigin, SecurityHeaders
from radsnap.serving.limits import BodyLimit, RateLimit
from radsnap.serving.pairing import Pairing
from radsnap.serving.run import AccessLog

LOG = logging.getLogger("radsnap.capture")
MAX_PHOTO_BYTES = 60_000_000


def build_app(
    session: Session, address_: str, secure: bool = True, hosts: tuple[str, ...] = ("*",)
) -> FastAPI:
    """Make the application of a session. address_: under which phones find it; its desk is `app.state.desk`."""
    kept = Phones(session.journal)
    desk = Desk(
        session,
        Stepper(session),
        Pairing(kept),
        Pairing(Screens(session.journal)),
        kept,
        address_.rstrip("/"),
        secure,
    )
    app = FastAPI(lifespan=_lifespan(desk), docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    for add in (add_pairing, add_phone, add_screen, add_files):
        add(app, desk)
    _failures(app)
    app.add_middleware(RateLimit, a_minute=30, burst=20, paths=("/pair", "/screen/pair"), methods=("POST",))
    app.add_middleware(BodyLimit, max_bytes=64_000, paths={"/phone/photos": MAX_PHOTO_BYTES + 1})
    app.add_middleware(SameOrigin, hosts=hosts)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    return app


def _lifespan(desk: Desk) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(desk.ring)

        desk.stepper.listeners.append(ring)
        ends = asyncio.Event()
        ticking = asyncio.create_task(_tick(desk, ends))
        try:
            yield
        finally:
            desk.stepper.listeners.remove(ring)
            # not cancelled: its thread would go on and speak to a loop that is closed
            ends.set()
            desk.ring()
            await ticking

    return lifespan


async def _tick(desk: Desk, ends: asyncio.Event) -> None:
    """Let time pass for the stepper: a monitor settles, a phone is lost."""
    while not ends.is_set():
        bell = desk.bell
        left = await run_in_threadpool(desk.stepper.tick)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), left)


def _failures(app: FastAPI) -> None:
    @app.exception_handler(NotPaired)
    async def not_paired(_: Request, error: NotPaired) -> Response:
        if error.form:
            return RedirectResponse(error.form, 303)
        return error_response(401, "not_paired", "this browser is not paired", "scan the code on the screen")

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return error_response(400, "malformed", f"{where}: {first['msg']}", "reload the page")

    @app.exception_handler(404)
    async def absent(request: Request, _: Exception) -> Response:
        return error_response(
            404, "absent", "there is nothing here", "open the address that the server printed"
        )

    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(OSError)
    async def unwritten(_: Request, error: Exception) -> Response:
        LOG.warning("a request could not be kept: %s", type(error).__name__)
        why = f"this cannot be kept ({type(error).__name__})"
        return error_response(507, "not_kept", why, "make room on the disk of the session, and try again")

    @app.exception_handler(UsageError)
    async def wrong(_: Request, error: UsageError) -> Response:
        return error_response(400, "wrong", str(error), "reload the page")
