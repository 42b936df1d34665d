"""Let CheXpeditor phones take part in a session, a thread each."""

from __future__ import annotations

import sqlite3
import threading

from radsnap.errors import UsageError
from radsnap.jobs.capturing.chexpeditor import ANSWER_S, Reply, UdpAddress, ask, photo_name
from radsnap.jobs.capturing.journal import Phone, Showing
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.steps import Stepper

MISMATCHES = 2


def drive_phones(
    stepper: Stepper,
    session: Session,
    addresses: tuple[UdpAddress, ...],
    stop: threading.Event,
    answer_s: float = ANSWER_S,
) -> list[threading.Thread]:
    """Start a thread a phone; they end when `stop` is set, or after two mismatches in a row."""
    threads = []
    for index, address in enumerate(addresses):
        phone = session.journal.named_phone(f"chexpeditor-{index + 1}", "udp")
        thread = threading.Thread(
            target=_drive,
            args=(stepper, session, phone, address, stop, answer_s),
            daemon=True,
            name=phone.name,
        )
        stepper.join(phone)
        thread.start()
        threads.append(thread)
    return threads


def _drive(
    stepper: Stepper,
    session: Session,
    phone: Phone,
    address: UdpAddress,
    stop: threading.Event,
    answer_s: float,
) -> None:
    mismatches = 0
    while not stop.is_set():
        told = stepper.for_phone(phone.id)
        if told["ticket"] is None:
            stepper.wait(told["version"], 1.0)
            continue
        showing = session.journal.showing(int(told["ticket"].split("-")[0]))
        assert showing is not None
        try:
            reply = _asked(session, showing, address, answer_s)
        except UsageError as error:
            stepper.leave(phone.id, str(error))
            return
        mismatches = mismatches + 1 if reply.outcome == "mismatch" else 0
        if reply.outcome == "silent":
            stepper.leave(
                phone.id, f"{phone.name} does not answer; start its app and start the session again"
            )
            return
        if mismatches >= MISMATCHES:
            why = f"{phone.name} counts otherwise ({reply.name}); set its app to picture {showing.number} and start again"
            stepper.leave(phone.id, why)
            return
        try:
            if reply.outcome == "ok":
                session.journal.name_photo(phone.id, showing, reply.name)
            else:
                session.journal.note("mismatch", showing.number, reply.name)
        except (OSError, sqlite3.Error) as error:
            # asked again under the same name, the phone takes no second photo
            stepper.warn(f"{phone.name}: {error}; make room on the disk of {session.folder}")
            mismatches = 0
            stop.wait(1.0)
            continue
        # a photo that one mismatch skipped is not there; the phone has its next chance in another session
        stepper.named(phone.id, showing)


def _asked(session: Session, showing: Showing, address: UdpAddress, answer_s: float) -> Reply:
    row, _ = session.place_of(showing.number)
    # the nonce only defeats the phone's cache; of a showing it is the same at every try
    name = photo_name(showing.number, showing.id % 101, str(session.xrays.rows["path"].iloc[row]))
    return ask(address, showing.number, name, answer_s)
