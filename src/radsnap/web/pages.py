"""The pages a person sees: thin handlers that ask the same desk as the API and fill templates."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.concurrency import run_in_threadpool

from radsnap import __version__
from radsnap.findings import FINDINGS
from radsnap.imaging import read_image
from radsnap.reading.diagnosis import WORDS
from radsnap.reading.likeness import likeness
from radsnap.web import cards, views
from radsnap.web.access import CurrentUser, Door
from radsnap.web.desk import Desk
from radsnap.web.errors import ApiError
from radsnap.web.schemas import NO_NUL
from radsnap.web.storage.people import User

HERE = Path(__file__).parent
STATIC = HERE / "static"
# The camera's script serves the other door too; it lies with what both share.
CAMERA = "/serving/camera.js"

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(HERE / "templates")
templates.env.globals["version"] = __version__
# A page shows somebody's cases: neither a proxy nor the way back after signing out may keep it.
_PRIVATE = {"Cache-Control": "no-store"}
_SHELL = frozenset({".css", ".js", ".svg", ".png", ".woff2"})


@router.get("/")
async def read(request: Request, user: CurrentUser) -> Response:
    desk: Desk = request.app.state.desk
    return _page(request, "read.html", user, here="/", limits=desk.settings)


@router.get("/cases")
async def cases(
    request: Request,
    user: CurrentUser,
    query: Annotated[str, Query(max_length=200, pattern=NO_NUL)] = "",
    finding: Annotated[str, Query(max_length=120, pattern=NO_NUL)] = "",
    word: Annotated[str, Query(max_length=20, pattern=NO_NUL)] = "",
    verdict: Annotated[str, Query(max_length=20, pattern=NO_NUL)] = "",
    cursor: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    desk: Desk = request.app.state.desk
    narrowed = {"query": query, "finding": finding, "word": word, "verdict": verdict}
    found, following = await desk.search(request, query, finding, word, verdict, cursor)
    return _page(
        request,
        "cases.html",
        user,
        here="/cases",
        asked=narrowed,
        searched=any(narrowed.values()),
        cases=[views.brief(case, desk.cards) for case in found],
        findings=FINDINGS,
        words=WORDS,
        newest=_address("/cases", **narrowed) if cursor else None,
        older=_address("/cases", **narrowed, cursor=following) if following else None,
    )


@router.get("/cases/{case_id}")
async def case(request: Request, user: CurrentUser, case_id: str) -> Response:
    desk: Desk = request.app.state.desk
    found = await desk.case(request, case_id)
    like = ""
    if not found["xray"]:
        small = await run_in_threadpool(read_image, await desk.thumbnail(request, case_id))
        like = likeness(small)
    return _page(request, "case.html", user, here="/cases", case=views.full(found, desk.cards, like))


@router.get("/compare")
async def compare(request: Request, user: CurrentUser, left: str, right: str) -> Response:
    desk: Desk = request.app.state.desk
    pair = [await desk.case(request, case_id) for case_id in (left, right)]
    shown = [views.full(one, desk.cards) for one in pair]
    return _page(request, "compare.html", user, here="/cases", pair=shown, rows=views.compared(pair))


@router.get("/about")
async def about(request: Request, user: CurrentUser) -> Response:
    desk: Desk = request.app.state.desk
    return _page(
        request,
        "about.html",
        user,
        here="/about",
        models=[cards.model(stage, card) for stage, card in desk.cards.items()],
        days=desk.settings.retention_days,
        messenger=getattr(request.app.state.messenger, "name", None),
        versions={
            "radsnap": __version__,
            "OpenVINO": version("openvino"),
            "Python": platform.python_version(),
        },
    )


@router.get("/login")
async def login(request: Request, next: str = "/", ended: bool = False) -> Response:
    door: Door = request.app.state.door
    if door.settings.open:
        return RedirectResponse(_of_ours(next), 303, headers=_PRIVATE)
    return _login_page(request, next, ended=ended)


@router.post("/login")
async def enter(
    request: Request,
    code: Annotated[str, Form(max_length=200)],
    name: Annotated[str, Form(max_length=80, pattern=NO_NUL)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    door: Door = request.app.state.door
    response = RedirectResponse(_of_ours(next), 303, headers=_PRIVATE)
    try:
        await door.sign_in(request, response, name.strip(), code)
    except ApiError as error:
        fault = f"{views.sentence(error.message)} {views.sentence(error.what_to_do)}"
        return _login_page(request, next, error.status, fault=fault, name=name)
    return response


@router.get("/offline")
async def offline() -> Response:
    # Nobody's: the service worker keeps this page.
    return HTMLResponse(templates.get_template("offline.html").render())


@router.get("/certificate")
async def certificate(request: Request) -> Response:
    return _page(request, "certificate.html")


@router.get("/manifest.webmanifest")
async def manifest() -> Response:
    return FileResponse(STATIC / "manifest.webmanifest", media_type="application/manifest+json")


@router.get("/sw.js")
async def service_worker() -> Response:
    return Response(_service_worker(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def error_page(request: Request, error: ApiError) -> Response:
    """Show an error to a person; who is not signed in is sent to do so and comes back."""
    if error.status == 401:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(_address("/login", next=asked), 303, headers=_PRIVATE)
    title, advice = views.sentence(error.message).rstrip("."), views.sentence(error.what_to_do)
    return _page(request, "fault.html", status=error.status, title=title, what_to_do=advice)


def shell() -> list[str]:
    """List what the service worker keeps: files of ours that are the same for everybody."""
    files = sorted(file for file in STATIC.rglob("*") if file.suffix in _SHELL)
    return ["/offline", CAMERA, *(f"/static/{file.relative_to(STATIC).as_posix()}" for file in files)]


@lru_cache(maxsize=1)
def _service_worker() -> str:
    # A new digest is a new service worker and a new cache: nobody is left with an old shell.
    digest = hashlib.sha256(__version__.encode())
    for file in sorted([*STATIC.rglob("*"), *(HERE / "templates").iterdir()]):
        if file.is_file():
            digest.update(file.read_bytes())
    return templates.get_template("sw.js").render(shell=shell(), digest=digest.hexdigest()[:16])


def _login_page(request: Request, next: str, status: int = 200, **context: Any) -> Response:
    door: Door = request.app.state.door
    several = len(door.settings.codes) > 1
    return _page(request, "login.html", status=status, next=_of_ours(next), several=several, **context)


def _of_ours(address: str) -> str:
    """Give an address to go to after signing in: a path here, never another site."""
    ours = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if ours else "/"


def _address(path: str, **asked: str) -> str:
    return f"{path}?{urlencode({name: value for name, value in asked.items() if value})}"


def _page(
    request: Request, template: str, user: User | None = None, status: int = 200, **context: Any
) -> Response:
    door: Door = request.app.state.door
    context |= {"csrf": door.csrf(user), "signed_in": user is not None and user.session_id is not None}
    return templates.TemplateResponse(request, template, context, status, headers=_PRIVATE)
