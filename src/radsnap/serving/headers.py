"""Headers that tell a browser what a page of ours may do, and requests that other sites made it send."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radsnap.serving.answers import error_response

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_PERMISSIONS = "camera=(self), microphone=(), geolocation=(), payment=(), usb=(), screen-wake-lock=(self), fullscreen=(self)"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityHeaders:
    """Adds to every answer: a policy without inline scripts, no sniffing, no frames, no referrer, own camera.

    `https` adds HSTS (only for own certificates: a phone that got it from a self-signed one could not
    open the page a second time). What a handler set itself stays.
    """

    def __init__(self, app: ASGIApp, https: bool = False, csp: str = CSP) -> None:
        self.app = app
        self.headers = {
            "Content-Security-Policy": csp,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            # Not no-referrer: browsers then send a form's origin as "null", even to its own site.
            "Referrer-Policy": "same-origin",
            "Permissions-Policy": _PERMISSIONS,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if https:
            self.headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)


class SameOrigin:
    """Refuses what another site made the browser send, and host names that are not ours.

    Changes (POST, PUT, DELETE ...) and WebSockets from another origin are answered 403; programs that send
    no such headers pass. `hosts` are the names this server goes by ("*" for any): a page that rebinds its
    own name to our address is refused with 421.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ("*",)) -> None:
        self.app, self.hosts = app, frozenset(host.lower().strip("[]") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if "*" not in self.hosts and _hostname(f"//{host}") not in self.hosts:
            answer = error_response(
                421, "unknown_host", "this server does not go by that name",
                "open the address that the server printed, or start it with --name NAME",
            )  # fmt: skip
        elif scope.get("method", "POST") not in _SAFE and _foreign(headers, host):
            answer = error_response(
                403, "other_origin", "another site asked for this", "open this page itself and try again"
            )
        else:
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await answer(scope, receive, send)


def _foreign(headers: Headers, host: str) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    # An origin of "null" is a sandboxed frame or a local file: not ours.
    return origin is not None and _netloc(origin) != host.lower()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hostname(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
