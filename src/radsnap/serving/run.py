"""Run an application: uvicorn with bounds, a graceful stop, and a log without anybody's data."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from radsnap.errors import UsageError
from radsnap.serving.address import url
from radsnap.serving.certificate import Certificate

LOG = logging.getLogger("radsnap.serving")
_HEADERS_WITHIN_S = 15.0
_REST_WITHIN_S = 300.0  # of a body that was answered before its end; limits.BodyLimit bounds the others


def _path(scope: Scope) -> str:
    return str(scope["path"])


class Timed:
    """Calls `ended(scope, status, seconds)` when a request has been answered, or has failed with 500."""

    def __init__(self, app: ASGIApp, ended: Callable[[Scope, int, float], None]) -> None:
        self.app, self.ended = app, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            self.ended(scope, status, time.perf_counter() - start)


class AccessLog(Timed):
    """Logs method, path, status and time of every request: no query, no address, no names, no bodies.

    `named` says what is written for a path; it is asked when the request has been routed.
    """

    def __init__(self, app: ASGIApp, named: Callable[[Scope], str] = _path) -> None:
        super().__init__(app, self._log)
        self.named = named

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        path = "".join(letter if letter.isprintable() else "?" for letter in self.named(scope))
        LOG.info("%s %s %d %.0f ms", scope["method"], path[:200], status, seconds * 1000)


class _Impatient(H11Protocol):
    """Closes a connection that does not get to the end of a request's headers, be it its first or a later one.

    The time of a later one starts with its first byte: until then uvicorn's own, for idle connections, runs.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._is_answering():
            self._unwatch()
        elif self._waiting is None:
            within_s = _REST_WITHIN_S if self.conn.their_state is h11.SEND_BODY else _HEADERS_WITHIN_S
            self._waiting = asyncio.get_running_loop().call_later(within_s, self._close_if_idle)

    def _unwatch(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_if_idle(self) -> None:
        self._waiting = None
        # after an upgrade the connection is a WebSocket's
        if self.transport.get_protocol() is self and not self._is_answering():
            self.transport.close()


def serve(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 8000,
    certificate: Certificate | None = None,
    *,
    grace_s: float = 10.0,
    connections: int = 500,
    proxies: str = "127.0.0.1",
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way get `grace_s` to end.

    `ready` is called with the page's address once the port is open; port 0 takes a free one. `proxies`
    are the addresses whose X-Forwarded headers are believed. Raises UsageError when the port is taken.
    """
    listening = listen(host, port)
    config = uvicorn.Config(
        app,
        http=_Impatient,
        ws="websockets-sansio",
        ssl_certfile=str(certificate.cert) if certificate else None,
        ssl_keyfile=str(certificate.key) if certificate else None,
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=connections,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=int(grace_s),
        forwarded_allow_ips=proxies,
        ws_max_size=1 << 20,
    )
    server = uvicorn.Server(config)
    if ready is not None:
        ready(url(host, listening.getsockname()[1], certificate is not None))
    with listening:
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Open a port. Raises UsageError with the reason."""
    if not 0 <= port < 65536:  # getaddrinfo takes the lower 16 bits of any number
        raise UsageError(f"a port is 0 to 65535, got {port}; choose another --port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(512)
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"nothing can listen on {host}, port {port} ({reason}); choose another --host or --port"
        ) from error
    listening.set_inheritable(False)
    return listening
