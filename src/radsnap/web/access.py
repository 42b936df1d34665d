"""Who may ask: an open server's only reader, a signed-in person, or a program with a token."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from radsnap.serving.limits import Buckets, address
from radsnap.serving.tokens import Signer
from radsnap.web.errors import ApiError
from radsnap.web.settings import Settings
from radsnap.web.storage.people import LOCAL, People, User

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Door:
    """The door of one server: finds out who asks, lets people in and out."""

    def __init__(self, settings: Settings, people: People, signer: Signer) -> None:
        self.settings, self.people, self.signer = settings, people, signer
        self.local = people.user(LOCAL)
        # from one address, and for one reader's code from all addresses together
        self._each = Buckets(settings.sign_ins_a_minute, burst=5)
        self._name = Buckets(settings.sign_ins_a_minute * 5, burst=30)

    @property
    def cookie(self) -> str:
        """Name the session's cookie; `__Host-` binds it to this host and to TLS."""
        return "__Host-radsnap" if self.settings.secure else "radsnap"

    async def known(self, request: Request) -> User | None:
        """Find who asks, or None. Changes that a page asks for need its CSRF token (raises ApiError 403)."""
        if self.settings.open:
            return self.local
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await run_in_threadpool(self.people.of_token, token.strip())
        session_id = self.signer.unsign(request.cookies.get(self.cookie, ""), "session")
        if session_id is None:
            return None
        user = await run_in_threadpool(self.people.of_session, session_id)
        if user is not None and request.method not in _SAFE:
            self.check_csrf(request, session_id)
        return user

    def check_csrf(self, request: Request, session_id: str) -> None:
        """Raise ApiError 403 unless the request carries its session's token in X-CSRF-Token."""
        if not self.signer.csrf_matches(session_id, request.headers.get("x-csrf-token")):
            raise ApiError(
                403, "csrf", "the page's token is missing or of another session",
                "load the page again; a program signs in with a token instead",
            )  # fmt: skip

    def csrf(self, user: User | None) -> str | None:
        """Give the token for a page of this reader's session; None where none is asked for."""
        return self.signer.csrf(user.session_id) if user is not None and user.session_id else None

    async def enter(self, request: Request, name: str, code: str) -> User:
        """Check an access code. Raises ApiError 401 for a wrong one, 429 for one tried too often."""
        for buckets, key in ((self._each, address(request.scope)), (self._name, name)):
            wait = buckets.take(key)
            if wait > 0:
                raise ApiError(
                    429, "too_many_tries", "too many codes were tried", f"wait {wait:.0f} s and try again",
                    {"Retry-After": str(int(wait) + 1)},
                )  # fmt: skip
        user = None if self.settings.open else await run_in_threadpool(self.people.enter, name, code)
        if user is None:
            raise ApiError(
                401, "wrong_code", "this name and access code do not belong together",
                "ask for the code of who runs this server",
            )  # fmt: skip
        return user

    async def sign_in(self, request: Request, response: Response, name: str, code: str) -> User:
        """Check a code and begin a session: its cookie goes onto the response. Raises as `enter`."""
        user = await self.enter(request, name, code)
        hours = self.settings.session_hours
        session_id = await run_in_threadpool(self.people.start_session, user, hours)
        response.set_cookie(
            self.cookie,
            self.signer.sign(session_id, "session"),
            max_age=int(hours * 3600),
            secure=self.settings.secure,
            httponly=True,
            samesite="lax",
        )
        return User(user.id, user.name, session_id)

    async def sign_out(self, user: User, response: Response) -> None:
        """End a session and take its cookie back."""
        if user.session_id is not None:
            await run_in_threadpool(self.people.end_session, user.session_id)
        response.delete_cookie(self.cookie, secure=self.settings.secure, httponly=True, samesite="lax")


async def current_user(request: Request) -> User:
    """Give who asks. Raises ApiError 401 for nobody we know."""
    door: Door = request.app.state.door
    user = await door.known(request)
    if user is None:
        raise ApiError(
            401, "sign_in", "this needs you to sign in, or your session has ended",
            "sign in, or send 'Authorization: Bearer TOKEN'", {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    return user


CurrentUser = Annotated[User, Depends(current_user)]
