"""Styles and scripts of the pages, for browsers that are paired."""

from __future__ import annotations

from importlib import resources

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from radsnap.capture.desk import PHONE_COOKIE, SCREEN_COOKIE, Desk, NotPaired
from radsnap.serving.answers import error_response

# Every file that is served, by name: nothing of a path comes from a client.
_FILES = {
    "pair.css": ("radsnap.capture", "static/pair.css", "text/css"),
    "capture.css": ("radsnap.capture", "static/capture.css", "text/css"),
    "phone.js": ("radsnap.capture", "static/phone.js", "text/javascript"),
    "outbox.js": ("radsnap.capture", "static/outbox.js", "text/javascript"),
    "screen.js": ("radsnap.capture", "static/screen.js", "text/javascript"),
    "camera.js": ("radsnap.serving", "static/camera.js", "text/javascript"),
}


def add_files(app: FastAPI, desk: Desk) -> None:
    """Add the files to paired phones and screens."""

    async def paired(request: Request) -> None:
        cookies = request.cookies
        phone = desk.phones.device(cookies.get(PHONE_COOKIE))
        if phone is None and desk.screens.device(cookies.get(SCREEN_COOKIE)) is None:
            raise NotPaired

    @app.get("/static/{name}", dependencies=[Depends(paired)])
    async def static(name: str) -> Response:
        return served(name)


def served(name: str) -> Response:
    """Give a file of ours; 404 for any other name."""
    if name not in _FILES:
        return error_response(404, "absent", "there is no such file", "reload the page")
    package, place, kind = _FILES[name]
    data = resources.files(package).joinpath(place).read_bytes()
    return Response(data, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})
