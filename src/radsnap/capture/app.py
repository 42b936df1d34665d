"""The capture server: nothing but the pairing pages is served to a browser that is not paired.

GET  /pair, /screen/pair      the forms that take a one-time code
POST /pair, /screen/pair      a code becomes a cookie
GET  /                        the phone's page            GET  /screen            the screen's page
GET  /phone/step              what to do, long-polled     GET  /screen/step
POST /phone/photos?ticket=T   a photo                     GET  /screen/picture/N.png
POST /phone/device            what the phone is           POST /screen/{size,shown,command,code}
WS   /phone/socket            "something changed", for browsers that take it; polling does without
"""

# no "from __future__ import annotations": FastAPI could not see the aliases that live inside functions
import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from radsnap.capture.pages import PAGES, pairing_page
from radsnap.capture.paired import Phones, Screens
from radsnap.capture.photos import Refusal, receive_photo
from radsnap.errors import UsageError
from radsnap.jobs.capturing.journal import Phone
from radsnap.jobs.capturing.pictures import picture_of
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.steps import Stepper
from radsnap.serving.address import link
from radsnap.serving.answers import error_response
from radsnap.serving.headers import SameOrigin, SecurityHeaders
from radsnap.serving.limits import BodyLimit, RateLimit, address, too_many
from radsnap.serving.pairing import Pairing, TooManyTries
from radsnap.serving.run import AccessLog

PHONE_COOKIE, SCREEN_COOKIE = "radsnap_phone", "radsnap_screen"
MAX_PHOTO_BYTES = 60_000_000
_LONGEST_WAIT_S = 25.0
_SOCKET_S = 10.0  # so often a phone on a socket counts as there, without any change
_LARGEST_PAGE_PX = 16_384
_SMALLEST_PAGE_PX = 200
_LIVES_S = 30 * 24 * 3600


@dataclass(eq=False)
class Desk:
    """What the handlers share: the session, its stepper, who is paired, and a bell for who waits."""

    session: Session
    stepper: Stepper
    phones: Pairing
    screens: Pairing
    kept: Phones
    address: str
    secure: bool
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    async def changed(self, after: int, wait_s: float) -> None:
        """Wait until the stepper's version is another one, or the time is over."""
        ends = asyncio.get_running_loop().time() + min(max(wait_s, 0.0), _LONGEST_WAIT_S)
        while self.stepper.version == after:
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self.bell.wait(), left)
            except TimeoutError:
                return
            except asyncio.CancelledError:
                return  # the server stops: whoever waits is told how things stand

    def ring(self) -> None:
        """Wake who waits; the next one waits for the next ring."""
        self.bell.set()
        self.bell = asyncio.Event()


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
    _pairing_routes(app, desk)
    _phone_routes(app, desk)
    _screen_routes(app, desk)
    _file_routes(app, desk)
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
        ticking = asyncio.create_task(_tick(desk))
        try:
            yield
        finally:
            desk.stepper.listeners.remove(ring)
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    return lifespan


async def _tick(desk: Desk) -> None:
    """Let time pass for the stepper: a monitor settles, a phone is lost."""
    while True:
        bell = desk.bell
        left = await run_in_threadpool(desk.stepper.tick)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), left)


class _NotPaired(Exception):
    """A request without a good cookie; for a page, the way to the form."""

    def __init__(self, form: str | None = None) -> None:
        super().__init__("not paired")
        self.form = form


def _failures(app: FastAPI) -> None:
    @app.exception_handler(_NotPaired)
    async def not_paired(_: Request, error: _NotPaired) -> Response:
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

    @app.exception_handler(UsageError)
    async def wrong(_: Request, error: UsageError) -> Response:
        return error_response(400, "wrong", str(error), "reload the page")


def _pairing_routes(app: FastAPI, desk: Desk) -> None:
    def form(role: str) -> None:
        path = "/pair" if role == "phone" else "/screen/pair"

        @app.get(path)
        async def show(code: Annotated[str, Query(max_length=40)] = "") -> HTMLResponse:
            return HTMLResponse(pairing_page(role, code, ""), headers={"Cache-Control": "no-store"})

        @app.post(path)
        async def take(
            request: Request,
            code: Annotated[str, Form(max_length=40)] = "",
            name: Annotated[str, Form(max_length=80)] = "",
        ) -> Response:
            pairing = desk.phones if role == "phone" else desk.screens
            try:
                token = await run_in_threadpool(
                    pairing.redeem, code, _plain_name(name, role), address(request.scope)
                )
            except TooManyTries as tries:
                return too_many(tries.retry_after_s)
            if token is None:
                fault = "This code is wrong, used or too old. Take the one that is on the screen now."
                return HTMLResponse(pairing_page(role, "", fault), 403, headers={"Cache-Control": "no-store"})
            answer = RedirectResponse("/" if role == "phone" else "/screen", 303)
            cookie = PHONE_COOKIE if role == "phone" else SCREEN_COOKIE
            answer.set_cookie(
                cookie, token, max_age=_LIVES_S, httponly=True, secure=desk.secure, samesite="lax", path="/"
            )
            return answer

    form("phone")
    form("screen")

    @app.get("/pair.css")
    async def style() -> Response:
        return _file("pair.css")


def _plain_name(name: str, role: str) -> str:
    """Make a folder's name of what a person calls a phone: letters, digits and hyphens."""
    words = "".join(
        letter if letter.isascii() and letter.isalnum() else " " for letter in name.lower()
    ).split()
    return "-".join(words)[:40] or role


def _phone_routes(app: FastAPI, desk: Desk) -> None:
    async def paired(request: Request) -> Phone:
        return await run_in_threadpool(_phone, desk, request.cookies.get(PHONE_COOKIE))

    Paired = Annotated[Phone, Depends(paired)]  # noqa: N806

    @app.get("/")
    async def page(request: Request) -> HTMLResponse:
        try:
            await paired(request)
        except _NotPaired:
            raise _NotPaired("/pair") from None
        return HTMLResponse(PAGES["phone"], headers={"Cache-Control": "no-store"})

    @app.get("/phone/step")
    async def step(phone: Paired, after: int = 0, wait: float = 0.0) -> JSONResponse:
        await run_in_threadpool(desk.stepper.join, phone)
        await desk.changed(after, wait)
        await run_in_threadpool(desk.stepper.join, phone)
        return _json(await run_in_threadpool(desk.stepper.for_phone, phone.id))

    @app.post("/phone/device")
    async def device(phone: Paired, request: Request) -> JSONResponse:
        told = await _table(request)
        kept = {str(name)[:40]: _short(value) for name, value in list(told.items())[:30]}
        await run_in_threadpool(desk.session.journal.describe_phone, phone.id, kept)
        battery = kept.get("battery")
        if isinstance(battery, int) and 0 <= battery <= 100:
            await run_in_threadpool(desk.stepper.charged, phone.id, battery)
        return _json({})

    @app.post("/phone/photos")
    async def photo(
        phone: Paired,
        request: Request,
        ticket: Annotated[str, Query(pattern=r"^\d{1,12}-\d{1,6}$")],
        sha256: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
    ) -> JSONResponse:
        try:
            kept = await receive_photo(request, desk.session, phone, int(ticket.split("-")[0]), sha256)
        except Refusal as refused:
            if refused.status >= 500:  # the phone keeps its photo and sends it again
                await run_in_threadpool(desk.stepper.warn, str(refused))
            else:
                await run_in_threadpool(
                    desk.stepper.unreadable, phone.id, int(ticket.split("-")[0]), str(refused)
                )
            return _refused(refused)
        await run_in_threadpool(desk.stepper.took, phone.id, int(ticket.split("-")[0]), kept)
        return _json({"state": kept.state, "reasons": kept.reasons, "number": kept.number})

    @app.websocket("/phone/socket")
    async def socket(websocket: WebSocket) -> None:
        try:
            phone = await run_in_threadpool(_phone, desk, websocket.cookies.get(PHONE_COOKIE))
        except _NotPaired:
            await websocket.close(1008)
            return
        await websocket.accept()
        await _tell(desk, websocket, phone)


def _refused(refused: Refusal) -> JSONResponse:
    return error_response(refused.status, refused.code, str(refused), "take the photo once more")


async def _tell(desk: Desk, websocket: WebSocket, phone: Phone) -> None:
    """Say every change to a phone; what it says back only shows that it is there."""
    listening = asyncio.create_task(_listen(websocket))
    try:
        while not listening.done():
            await run_in_threadpool(desk.stepper.join, phone)
            told = await run_in_threadpool(desk.stepper.for_phone, phone.id)
            await websocket.send_json(told)
            waiting = asyncio.create_task(desk.changed(told["version"], _SOCKET_S))
            await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    except (WebSocketDisconnect, RuntimeError):
        return  # the phone went away
    finally:
        listening.cancel()


async def _listen(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await websocket.receive_text()


def _phone(desk: Desk, token: str | None) -> Phone:
    device = desk.phones.device(token)
    if device is None:
        raise _NotPaired
    return desk.kept.phone(device.token_hash)


def _screen_routes(app: FastAPI, desk: Desk) -> None:
    async def paired(request: Request) -> None:
        if await run_in_threadpool(desk.screens.device, request.cookies.get(SCREEN_COOKIE)) is None:
            raise _NotPaired("/screen/pair" if request.url.path == "/screen" else None)

    gate = [Depends(paired)]

    @app.get("/screen", dependencies=gate)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGES["screen"], headers={"Cache-Control": "no-store"})

    @app.get("/screen/step", dependencies=gate)
    async def step(after: int = 0, wait: float = 0.0) -> JSONResponse:
        await desk.changed(after, wait)
        return _json(await run_in_threadpool(desk.stepper.for_screen))

    @app.get("/screen/picture/{showing}.png", dependencies=gate)
    async def picture(showing: int) -> Response:
        data = await run_in_threadpool(picture_of, desk.session, showing)
        if data is None:
            return error_response(404, "absent", "there is no such picture", "reload the page")
        return Response(data, media_type="image/png", headers={"Cache-Control": "no-store"})

    @app.post("/screen/size", dependencies=gate)
    async def size(request: Request) -> JSONResponse:
        told = await _table(request)
        width, height = (_whole(told.get(name), name) for name in ("width", "height"))
        await run_in_threadpool(desk.stepper.screen, width, height)
        return _json({})

    @app.post("/screen/shown", dependencies=gate)
    async def shown(request: Request) -> JSONResponse:
        told = await _table(request)
        await run_in_threadpool(desk.stepper.shown, _whole(told.get("showing"), "showing", 1, 2**53))
        return _json({})

    @app.post("/screen/command", dependencies=gate)
    async def command(request: Request) -> JSONResponse:
        told = await _table(request)
        await run_in_threadpool(desk.stepper.command, str(told.get("command", ""))[:20])
        return _json(await run_in_threadpool(desk.stepper.for_screen))

    @app.post("/screen/code", dependencies=gate)
    async def code() -> JSONResponse:
        made = desk.phones.new_code()
        where = f"{desk.address}/pair?code={made}"
        return _json({"code": made, "address": desk.address, "svg": link(where, scale=6)})


def _file_routes(app: FastAPI, desk: Desk) -> None:
    async def paired(request: Request) -> None:
        cookies = request.cookies
        phone = desk.phones.device(cookies.get(PHONE_COOKIE))
        if phone is None and desk.screens.device(cookies.get(SCREEN_COOKIE)) is None:
            raise _NotPaired

    @app.get("/static/{name}", dependencies=[Depends(paired)])
    async def static(name: str) -> Response:
        return _file(name)


# Every file that is served, by name: nothing of a path comes from a client.
_FILES = {
    "pair.css": ("radsnap.capture", "static/pair.css", "text/css"),
    "capture.css": ("radsnap.capture", "static/capture.css", "text/css"),
    "phone.js": ("radsnap.capture", "static/phone.js", "text/javascript"),
    "outbox.js": ("radsnap.capture", "static/outbox.js", "text/javascript"),
    "screen.js": ("radsnap.capture", "static/screen.js", "text/javascript"),
    "camera.js": ("radsnap.serving", "static/camera.js", "text/javascript"),
}


def _file(name: str) -> Response:
    if name not in _FILES:
        return error_response(404, "absent", "there is no such file", "reload the page")
    package, place, kind = _FILES[name]
    data = resources.files(package).joinpath(place).read_bytes()
    return Response(data, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _json(value: dict[str, Any]) -> JSONResponse:
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


async def _table(request: Request) -> dict[str, Any]:
    try:
        told = await request.json()
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is no JSON") from error
    if not isinstance(told, dict):
        raise UsageError("the request is no table of JSON")
    return told


def _whole(value: Any, name: str, low: int = _SMALLEST_PAGE_PX, high: int = _LARGEST_PAGE_PX) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} is a whole number from {low} to {high}, got {str(value)[:40]!r}")
    return value


def _short(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)[:200]
