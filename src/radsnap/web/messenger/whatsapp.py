"""WhatsApp, through the WhatsApp Business Cloud API.

Source: developers.facebook.com/docs/whatsapp/cloud-api: webhooks (set up, payload examples), reference (media,
messages); developers.facebook.com/docs/graph-api/webhooks/getting-started (challenge and signature).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from radsnap.errors import ImageTooLarge, UsageError
from radsnap.serving.address import is_loopback
from radsnap.web.messenger import Incoming, MessengerFault

API = "https://graph.facebook.com"
VERSION = "v23.0"
# Where the service keeps media; the token goes with the request, so no other host gets one.
MEDIA_HOSTS = ("lookaside.fbsbx.com", "whatsapp.net")
_TIMEOUT_S = 30.0
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_MAX_JSON = 1 << 20
_WITH_FILE = ("image", "document")
_NO_ANSWER = ("reaction", "system")
_ID = re.compile(r"[\w=+-][\w.=+:-]{0,255}", re.ASCII)
_TEXT_LENGTH, _CAPTION_LENGTH = 4096, 1024  # what the service takes


@dataclass(frozen=True)
class Account:
    """One number at the service, and what proves who asks. None of it is ever shown."""

    token: str = field(repr=False)
    verify_token: str = field(repr=False)
    app_secret: str = field(repr=False)
    phone_id: str = field(repr=False)
    url: str = API
    version: str = VERSION
    media_hosts: tuple[str, ...] = MEDIA_HOSTS

    def __post_init__(self) -> None:
        address = httpx.URL(self.url)
        if address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.host)):
            raise UsageError(f"RADSNAP_WHATSAPP_URL: needs https, got '{address.scheme}'; use {API}")
        for name, value in (("PHONE_ID", self.phone_id), ("VERSION", self.version)):
            if not _ID.fullmatch(value):
                raise UsageError(f"RADSNAP_WHATSAPP_{name}: not one; copy it from the app's dashboard")


class WhatsApp:
    """The messenger. `waits_s` are the pauses before a request that failed is tried again."""

    name = "whatsapp"

    def __init__(
        self, account: Account, waits_s: tuple[float, ...] = (1.0, 4.0, 15.0),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        # They would log addresses, in which numbers and ids of media stand.
        for chatty in ("httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.account, self.waits_s = account, waits_s
        self._base = httpx.URL(account.url)
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=_TIMEOUT_S,
            follow_redirects=False,  # it would carry the token to another host
            # packed answers would have to be unpacked before they can be measured
            headers={"Authorization": f"Bearer {account.token}", "Accept-Encoding": "identity"},
        )

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """Give `hub.challenge` back to who knows the verify token; None to others."""
        given = query.get("hub.verify_token", "").encode()
        known = hmac.compare_digest(given, self.account.verify_token.encode())
        return query.get("hub.challenge", "") if known and query.get("hub.mode") == "subscribe" else None

    def verify(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Compare X-Hub-Signature-256 with the HMAC-SHA256 of the body as it came, in constant time."""
        made = hmac.new(self.account.app_secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(headers.get("x-hub-signature-256", "").encode(), f"sha256={made}".encode())

    def messages(self, payload: Any) -> list[Incoming]:
        """Find the messages to our number: photos and files with their media id, the rest without."""
        found = []
        for entry in _dicts(payload, "entry"):
            for change in _dicts(entry, "changes"):
                value = change.get("value")
                if _get(_get(value, "metadata"), "phone_number_id") == self.account.phone_id:
                    found += [_incoming(message) for message in _dicts(value, "messages")]
        return [message for message in found if message is not None]

    async def fetch(self, media_id: str, max_bytes: int) -> bytes:
        """Ask where a file is, then get it, no further than `max_bytes`."""
        if not _ID.fullmatch(media_id):
            raise MessengerFault("a media id of a wrong form")
        answer = await self._ask("GET", self._address(media_id), _MAX_JSON)
        told = _json(answer)
        size = told.get("file_size")
        if isinstance(size, int) and size > max_bytes:
            raise _too_large(max_bytes)
        return await self._ask("GET", self._checked(told.get("url")), max_bytes)

    async def reply(self, to: Incoming, text: str, image: bytes | None = None) -> None:
        """Send the text, then the picture, both as answers to the message."""
        await self._send(to, "text", {"body": text[:_TEXT_LENGTH], "preview_url": False})
        if image is None:
            return
        form = {
            "data": {"messaging_product": "whatsapp", "type": "image/jpeg"},
            "files": {"file": ("reading.jpg", image, "image/jpeg")},
        }
        uploaded = _json(
            await self._ask("POST", self._address(self.account.phone_id, "media"), _MAX_JSON, **form)
        )
        media_id = uploaded.get("id")
        if not isinstance(media_id, str):
            raise MessengerFault("the service took a picture without giving its id")
        await self._send(to, "image", {"id": media_id})

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, to: Incoming, kind: str, content: Mapping[str, Any]) -> None:
        message = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": to.sender,
            "context": {"message_id": to.id},
            "type": kind,
            kind: content,
        }
        await self._ask("POST", self._address(self.account.phone_id, "messages"), _MAX_JSON, json=message)

    def _address(self, *parts: str) -> httpx.URL:
        return self._base.copy_with(
            path="/".join((self._base.path.rstrip("/"), self.account.version, *parts))
        )

    def _checked(self, given: Any) -> httpx.URL:
        """Refuse an address that is neither the service's own nor of a host that keeps its media."""
        try:
            url = httpx.URL(given if isinstance(given, str) else "")
        except httpx.InvalidURL as error:
            raise MessengerFault("the service gave no address of a file") from error
        own = (url.scheme, url.host, url.port) == (self._base.scheme, self._base.host, self._base.port)
        kept = url.scheme == "https" and url.port is None and not url.userinfo
        if not own and not (
            kept
            and any(url.host == host or url.host.endswith(f".{host}") for host in self.account.media_hosts)
        ):
            raise MessengerFault("the service gave a file's address on a host that is not its own")
        return url

    async def _ask(self, method: str, url: httpx.URL, max_bytes: int, **content: Any) -> bytes:
        """Ask until an answer comes or the tries are used up. Raises MessengerFault, ImageTooLarge."""
        fault = ""
        for wait in (*self.waits_s, None):
            try:
                async with self._client.stream(method, url, **content) as answer:
                    if answer.is_success:
                        return await _bounded(answer, max_bytes)
                    fault = f"the service answered {answer.status_code}"
                    if answer.status_code not in _TRY_AGAIN:
                        break
            except httpx.TransportError as error:
                fault = f"the service was not reached ({type(error).__name__})"
                # what was sent may have arrived: sent again, the person would get it twice
                if method != "GET" and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    break
            if wait is not None:
                await asyncio.sleep(wait)
        raise MessengerFault(fault)


def from_environment(environment: Mapping[str, str]) -> WhatsApp:
    """Make it with RADSNAP_WHATSAPP_TOKEN, _VERIFY_TOKEN, _APP_SECRET and _PHONE_ID.

    _URL, _VERSION and _MEDIA_HOSTS (separated by spaces) may be given. Raises UsageError for what is missing.
    """
    needed = ("TOKEN", "VERIFY_TOKEN", "APP_SECRET", "PHONE_ID")
    given = {name: environment.get(f"RADSNAP_WHATSAPP_{name}", "") for name in (*needed, "URL", "VERSION")}
    missing = [f"RADSNAP_WHATSAPP_{name}" for name in needed if not given[name]]
    if missing:
        raise UsageError(
            f"--messenger whatsapp: the environment lacks {', '.join(missing)}; see docs/messenger.md"
        )
    hosts = tuple(environment.get("RADSNAP_WHATSAPP_MEDIA_HOSTS", "").split()) or MEDIA_HOSTS
    return WhatsApp(
        Account(**{name.lower(): value for name, value in given.items() if value}, media_hosts=hosts)
    )


def _incoming(message: Mapping[str, Any]) -> Incoming | None:
    kind, sender, message_id = (message.get(key) for key in ("type", "from", "id"))
    if not (isinstance(sender, str) and isinstance(message_id, str) and sender and message_id):
        return None
    if kind in _NO_ANSWER:
        return None
    media_id = _get(message.get(str(kind)), "id") if kind in _WITH_FILE else None
    return Incoming(message_id, sender, media_id if isinstance(media_id, str) else None)


def _get(given: Any, key: str) -> Any:
    return given.get(key) if isinstance(given, dict) else None


def _dicts(given: Any, key: str) -> Iterator[dict[str, Any]]:
    """Give the objects of a list in an object; nothing where it has another shape."""
    listed = _get(given, key)
    yield from (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _json(answer: bytes) -> dict[str, Any]:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise MessengerFault("the service's answer is no JSON") from error
    return told if isinstance(told, dict) else {}


async def _bounded(answer: httpx.Response, max_bytes: int) -> bytes:
    taken = bytearray()
    async for chunk in answer.aiter_raw(1 << 16):
        taken += chunk
        if len(taken) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(taken)


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"the file: more than {max_bytes:,} bytes; make the file smaller first")
