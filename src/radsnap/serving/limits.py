"""How much, how fast and how often a client may send. ASGI middlewares, and the buckets behind them."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radsnap.serving.answers import error_response


@dataclass(eq=False)
class Buckets:
    """Token buckets by key: `a_minute` in the long run, `burst` at once. Memory holds `keys` of them."""

    a_minute: float
    burst: float
    keys: int = 10_000
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> float:
        """Take one from a key's bucket: 0.0, or the seconds to wait until there is one."""
        with self._lock:
            now = self.clock()
            level, at = self._levels.pop(key, (self.burst, now))
            level = min(self.burst, level + (now - at) * self.a_minute / 60)
            left = level - 1 if level >= 1 else level
            self._levels[key] = (left, now)
            if len(self._levels) > self.keys:
                self._levels.popitem(last=False)
        return 0.0 if level >= 1 else (1 - level) * 60 / self.a_minute


class BodyLimit:
    """Bounds on a request's body: bytes, seconds without a byte, seconds in all.

    A body that is announced too large is refused unread (413); one without Content-Length when it has
    grown too large; a slow one with 408. Behind it the application sees the client as gone.
    `paths` names paths by their start with a bound of their own.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int, idle_s: float = 20.0, total_s: float = 300.0,
        paths: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.app, self.max_bytes, self.idle_s, self.total_s = app, max_bytes, idle_s, total_s
        self.paths = dict(paths or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bound = next((most for start, most in self.paths.items() if scope["path"].startswith(start)), None)
        body = _Body(receive, send, self.max_bytes if bound is None else bound, self.idle_s, self.total_s)
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > body.max_bytes:
            await body.refusal("too_large")(scope, receive, send)
            return
        try:
            await self.app(scope, body.receive, body.send)
        except ClientDisconnect:
            if body.fault is None:
                return  # the client went away while it sent: there is nobody to answer
        if body.fault is not None and not body.started:
            await body.refusal(body.fault)(scope, receive, send)


class _Body:
    """One request's body as it comes in."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, idle_s: float, total_s: float) -> None:
        self._receive, self._send, self.max_bytes = receive, send, max_bytes
        self.idle_s, self.ends = idle_s, time.monotonic() + total_s
        self.count, self.whole, self.started = 0, False, False
        self.fault: str | None = None

    async def receive(self) -> Message:
        if self.whole:
            return await self._receive()
        if self.fault is not None:
            return {"type": "http.disconnect"}
        left = min(self.idle_s, max(0.001, self.ends - time.monotonic()))
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError:
            self.fault = "too_slow"
            return {"type": "http.disconnect"}
        self.count += len(message.get("body", b""))
        self.whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self.count > self.max_bytes:
            self.fault = "too_large"
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.fault is not None and not self.started:
            return  # what the application says to a client that it takes for gone
        self.started = True
        await self._send(message)

    def refusal(self, fault: str) -> Response:
        close = {"Connection": "close"}
        if fault == "too_slow":
            return error_response(
                408, "too_slow", "the request's body came too slowly", "send it again on a better line", close
            )
        return error_response(
            413, "too_large", f"the request is larger than {self.max_bytes:,} bytes",
            "send a smaller file, or fewer of them", close,
        )  # fmt: skip


class RateLimit:
    """So many requests a minute from one address; 429 with Retry-After beyond. `paths`: by their start."""

    def __init__(
        self, app: ASGIApp, a_minute: float, burst: float, paths: tuple[str, ...] = ("/",),
        methods: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.app, self.paths, self.methods = app, paths, methods
        self.buckets = Buckets(a_minute, burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = (
            scope["type"] == "http"
            and scope["path"].startswith(self.paths)
            and (not self.methods or scope["method"] in self.methods)
        )
        wait = self.buckets.take(address(scope)) if counted else 0.0
        if wait > 0:
            await too_many(wait)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def address(scope: Scope) -> str:
    """Give the address a request came from; IPv6 by its /64, the least that one household owns."""
    client = scope.get("client")
    host = str(client[0]) if client else ""
    try:
        known = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a proxy may name anything
        return host
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    return str(known.ipv4_mapped or ipaddress.IPv6Network((known, 64), strict=False))


def too_many(retry_after_s: float) -> Response:
    """Answer 429 with Retry-After in whole seconds."""
    seconds = max(1, math.ceil(retry_after_s))
    return error_response(
        429, "too_many_requests", "too many requests", f"wait {seconds} s and send it again",
        {"Retry-After": str(seconds)},
    )  # fmt: skip
