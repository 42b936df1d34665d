"""Run a capture session's server until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from radsnap.capture.app import build_app
from radsnap.capture.chexpeditor import drive_phones
from radsnap.errors import UsageError
from radsnap.jobs.capturing.chexpeditor import UdpAddress
from radsnap.jobs.capturing.proving import prove
from radsnap.jobs.capturing.session import Session
from radsnap.serving.address import is_loopback, lan_addresses, qr_in_terminal, url
from radsnap.serving.certificate import certificate
from radsnap.serving.run import serve

_ANY = ("0.0.0.0", "::")  # noqa: S104 - phones in the local network are the purpose


@dataclass(frozen=True)
class Place:
    """Where the server listens. secure: with a certificate made at the first start; without, on loopback only."""

    host: str = "0.0.0.0"  # noqa: S104
    port: int = 8443
    secure: bool = True
    name: str = ""


@dataclass(frozen=True)
class Started:
    """What the operator is told: the screen's page, the phones' address, and how to pair the first one."""

    screen: str
    phone: str
    qr: str
    fingerprint: str


def run_capture(
    session: Session,
    place: Place,
    udp: tuple[UdpAddress, ...] = (),
    started: Callable[[Started], None] | None = None,
) -> None:
    """Serve a session until it is interrupted. Raises UsageError when the port is taken."""
    if not place.secure and not is_loopback(place.host):
        raise UsageError(
            "without a certificate only this machine is served: use --host 127.0.0.1, or leave HTTPS on"
        )
    if udp and session.config.mode == "clean":
        raise UsageError(
            "CheXpeditor phones cannot take three photos of one picture; begin a session without --clean"
        )
    catch_up(session)
    names = [place.name] if place.name else []
    anywhere = place.host in _ANY
    found = [*names, *(lan_addresses() if anywhere else [place.host])]
    kept = certificate(session.folder / "certificate", found) if place.secure else None
    stop = threading.Event()
    outside = found[0] if found else "127.0.0.1"
    local = "127.0.0.1" if anywhere else place.host
    hosts = tuple({*found, "localhost", "127.0.0.1", "::1", local})
    app = build_app(session, url(outside, place.port, place.secure), place.secure, hosts)
    desk = app.state.desk

    def ready(opened: str) -> None:
        port = int(opened.rstrip("/").rpartition(":")[2]) if opened.count(":") > 1 else place.port
        desk.address = url(outside, port, place.secure).rstrip("/")
        drive_phones(desk.stepper, session, udp, stop)
        if started is not None:
            screen = f"{url(local, port, place.secure)}screen/pair?code={desk.screens.new_code()}"
            phone = f"{desk.address}/pair?code={desk.phones.new_code()}"
            started(Started(screen, phone, qr_in_terminal(phone), kept.fingerprint if kept else ""))

    try:
        serve(app, place.host, place.port, kept, grace_s=2, ready=ready)
    finally:
        stop.set()


def catch_up(session: Session) -> int:
    """Prove what was received before a kill and not proven; clear away what was half written. Gives how many."""
    for partial in session.photos.glob("*.part"):
        partial.unlink(missing_ok=True)
    for partial in session.photos.glob(".*.part"):
        partial.unlink(missing_ok=True)
    waiting = session.journal.photos("state = 'received'")
    for photo in waiting:
        prove(session, photo)
    return len(waiting)
