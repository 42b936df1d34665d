"""Where a phone in the same network finds this server, as text and as a code to photograph."""

from __future__ import annotations

import io
import ipaddress
import socket

import segno

# One address of each private range and one of the documentation range: no packet is sent to any of them.
_PROBES = ("192.168.255.254", "10.255.255.254", "172.31.255.254", "192.0.2.1")


def lan_addresses() -> list[str]:
    """List this machine's IPv4 addresses in the local network, the one of the default route first.

    Empty where it has none but loopback.
    """
    found: dict[str, None] = dict.fromkeys(filter(None, map(_towards, (_PROBES[-1], *_PROBES[:-1]))))
    try:
        resolved = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except OSError:  # a host without a name in any table
        resolved = []
    found.update(dict.fromkeys(str(entry[4][0]) for entry in resolved))
    return [address for address in found if not is_loopback(address)]


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address reaches this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def url(host: str, port: int, secure: bool = False, path: str = "/") -> str:
    """Spell the address of a page; the port is left out where it is the scheme's own."""
    name = f"[{host}]" if ":" in host else host
    scheme, own = ("https", 443) if secure else ("http", 80)
    return f"{scheme}://{name}{'' if port == own else f':{port}'}{path}"


def qr_in_terminal(text: str) -> str:
    """Draw a QR code with block characters, for a dark or a light terminal."""
    drawn = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(drawn, compact=True)
    return drawn.getvalue()


def link(text: str, scale: float = 4) -> str:
    """Draw a QR code as SVG: `<svg>`, black on white with its quiet zone, no XML header.

    With its namespace: without, a browser that parses it as XML draws nothing.
    """
    drawn = io.BytesIO()
    segno.make(text, micro=False, error="m").save(
        drawn, kind="svg", scale=scale, border=4, dark="#000", light="#fff", xmldecl=False, nl=False
    )
    return drawn.getvalue().decode()


def _towards(target: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:  # no route there
            return None
        return str(probe.getsockname()[0])
