"""Phones that run the published CheXpeditor app: one datagram asks for a photo, one answers.

`SEQ|NAME` goes out, NAME being `SEQ__NONCE__` and the parts of the path joined by `__`; `OK|SAVED_NAME` comes back, or
another text when the phone counts otherwise. Silence is asked again; one mismatch skips the photo, two in a
row stop. The photos stay on the phone: afterwards `radsnap capture import` takes them from the export folder.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from radsnap.errors import UsageError

PORT = 4445
ANSWER_S = 10.0
_DATAGRAM = 2048
_SAVED = re.compile(r"^(\d{1,9})__(\d{1,3})__")
_LONGEST_NAME = 200


@dataclass(frozen=True)
class UdpAddress:
    """Where a phone listens."""

    host: str
    port: int = PORT


@dataclass(frozen=True)
class Reply:
    """What a phone answered. outcome: ok, mismatch or silent; name: under which it kept the photo."""

    outcome: str
    name: str = ""


def parse_address(text: str) -> UdpAddress:
    """Read udp://ADDRESS:PORT. Raises UsageError."""
    try:
        parts = urlsplit(text)
        port = PORT if parts.port is None else parts.port
    except ValueError as error:
        raise UsageError(f"{text}: a phone is udp://ADDRESS:4445 ({error})") from error
    if parts.scheme != "udp" or not parts.hostname or parts.path not in ("", "/") or not 0 < port < 65536:
        raise UsageError(f"{text}: a phone is udp://ADDRESS:4445")
    return UdpAddress(parts.hostname, port)


def photo_name(sequence: int, nonce: int, path: str) -> str:
    """Give the name that a photo is asked to have: its number, the nonce, and the path's parts."""
    parts = [re.sub(r"[^A-Za-z0-9.-]+", "_", part) for part in path.split("/") if part not in ("", ".", "..")]
    return f"{sequence}__{nonce}__{'__'.join(parts)}"[:_LONGEST_NAME]


def sequence_of(name: str) -> int | None:
    """Read the number out of a photo's name; None for a name of another making."""
    match = _SAVED.match(name)
    return int(match[1]) if match else None


def ask(address: UdpAddress, sequence: int, name: str, answer_s: float = ANSWER_S, tries: int = 5) -> Reply:
    """Ask a phone for one photo; again after each silence, with the same name, so that it takes it once.

    Late answers to earlier questions are left aside: only what names this photo, or no photo, counts.
    """
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect((address.host, address.port))
            for _ in range(tries):
                _send(udp, f"{sequence}|{name}")
                reply = _answer(udp, sequence, time.monotonic() + answer_s)
                if reply is not None:
                    return reply
        except OSError as error:
            raise UsageError(
                f"udp://{address.host}:{address.port} cannot be reached ({error.strerror})"
            ) from error
    return Reply("silent")


def _send(udp: socket.socket, text: str) -> None:
    with contextlib.suppress(ConnectionRefusedError):  # nobody listens yet; asked again after the wait
        udp.send(text.encode("utf-8"))


def _answer(udp: socket.socket, sequence: int, ends: float) -> Reply | None:
    while (left := ends - time.monotonic()) > 0:
        udp.settimeout(left)
        try:
            text = udp.recv(_DATAGRAM).decode("utf-8", "replace").strip()
        except TimeoutError:
            return None
        except ConnectionRefusedError:
            time.sleep(min(max(ends - time.monotonic(), 0), 0.2))
            continue
        verdict, _, saved = text.partition("|")
        if verdict != "OK":
            return Reply("mismatch", text[:_LONGEST_NAME])
        if sequence_of(saved) in (sequence, None):
            return Reply("ok", saved[:_LONGEST_NAME])
    return None
