"""The forms that take a one-time code: all that a stranger is served."""

# no "from __future__ import annotations": FastAPI could not see the aliases that live inside functions
from typing import Annotated

from fastapi import FastAPI, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from radsnap.capture.desk import PHONE_COOKIE, SCREEN_COOKIE, Desk
from radsnap.capture.files import served
from radsnap.capture.pages import pairing_page
from radsnap.serving.limits import address, too_many
from radsnap.serving.pairing import TooManyTries

_LIVES_S = 30 * 24 * 3600


def add_pairing(app: FastAPI, desk: Desk) -> None:
    """Add both forms and their style."""

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
        return served("pair.css")


def _plain_name(name: str, role: str) -> str:
    """Make a folder's name of what a person calls a phone: letters, digits and hyphens."""
    words = "".join(
        letter if letter.isascii() and letter.isalnum() else " " for letter in name.lower()
    ).split()
    return "-".join(words)[:40] or role
