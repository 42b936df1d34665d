"""Step screen and phones through a session: show, settle, shoot, prove, next or once more.

    waiting   for a screen, or for a phone
    confirm   the operator sets the lights, the stand ... and says so
    show      the screen loads the picture
    settle    the monitor comes to rest
    shoot     every phone that lacks this picture takes it; a refused photo is taken once more
    paused, done

Nothing here is kept but what the journal knows: after a restart the stepper is where the journal says. While the
journal cannot be written (a full disk), it stands still, says so, and tries again at every tick.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from radsnap.errors import ImageError, UsageError
from radsnap.jobs.capturing.journal import Phone, Photo, Showing
from radsnap.jobs.capturing.proving import explain
from radsnap.jobs.capturing.seats import TRIES, Seat, all_have, next_wanted
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.standing import RATE_S, Standing

_PHASES = {"markers": ("single",), "clean": ("before", "clean", "after")}
LOG = logging.getLogger("radsnap.capture")
COMMANDS = ("pause", "resume", "go", "skip", "redo", "back")


class Stepper:
    """Where a session is, for all who take part in it. Threads may call it."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self.session, self.clock = session, clock
        self.version = 1
        self.state = "waiting"
        self.showing: Showing | None = None
        self.trouble = ""
        self._unwritten = ""  # the trouble that ends by itself, when the disk can be written again
        self._seats: dict[int, Seat] = {}
        self._page: tuple[int, int] | None = None
        self._settled = 0.0
        self._skipped = session.journal.skipped()
        self._condition = int(session.journal.fact("condition", "-1"))
        self._at = int(session.journal.fact("at", "-1"))
        self._paused = session.journal.fact("paused") == "yes"
        self._changed = threading.Condition(threading.RLock())
        self.listeners: list[Callable[[], None]] = []

    # who takes part

    def join(self, phone: Phone) -> None:
        """Let a phone take part, or note that it still does."""
        with self._changed:
            seat = self._seats.get(phone.id)
            if seat is None:
                done = self.session.journal.done_by(phone.id)
                self._seats[phone.id] = Seat(phone, self.clock(), done)
                self._turn()
                self._bump()
                return
            was_lost = not seat.is_there(self.clock())
            seat.seen = self.clock()
            if was_lost or self.state == "waiting":
                self._turn()
                self._bump()

    def charged(self, phone_id: int, percent: int) -> None:
        """Note how full a phone's battery is."""
        with self._changed:
            if phone_id in self._seats:
                self._seats[phone_id].battery = percent
                self._bump()

    def warn(self, trouble: str) -> None:
        """Tell the operator what cannot be written; taken back when something is."""
        with self._changed:
            self.trouble = self._unwritten = trouble
            self._bump()

    def leave(self, phone_id: int, why: str = "") -> None:
        """Wait no longer for a phone."""
        with self._changed:
            if self._seats.pop(phone_id, None) is not None:
                self.trouble = why or self.trouble
                self._turn()
                self._bump()

    def screen(self, width: int, height: int) -> None:
        """Note the screen's size in its own pixels; another size begins the present picture anew."""
        with self._changed:
            if self._page != (width, height):
                self._page = (width, height)
                if self.state in ("show", "settle", "shoot"):
                    self._begin(self._number())
                self._turn()
                self._bump()

    def shown(self, showing: int) -> None:
        """Note that the screen shows it."""
        with self._changed:
            if self.showing is not None and self.showing.id == showing and self.state == "show":
                self.state = "settle"
                self._settled = self.clock() + self.session.config.settle_ms / 1000
                self._turn()
                self._bump()

    # what comes in

    def took(self, phone_id: int, showing: int | None, photo: Photo) -> None:
        """Take up what became of a phone's photo of a showing (of the clean one, when it is the last of three)."""
        with self._changed:
            seat = self._seats.get(phone_id)
            if seat is None:
                return
            here = self.showing is not None and showing == self.showing.id
            self._written()
            if photo.state == "good" and photo.number is not None:
                seat.done.add(photo.number)
            self._judge(seat, photo, here)
            self._turn()
            self._bump()

    def named(self, phone_id: int, showing: Showing) -> None:
        """Note that a phone says it has a picture; nobody has seen the photo."""
        with self._changed:
            seat = self._seats.get(phone_id)
            if seat is not None:
                seat.done.add(showing.number)
                seat.take("taken, to be proven when its photos are imported", good=None)
                self._turn()
                self._bump()

    def unreadable(self, phone_id: int, showing: int | None, fault: str) -> None:
        """Note that what a phone sent for a showing is no photo."""
        with self._changed:
            seat = self._seats.get(phone_id)
            if seat is not None and self.showing is not None and showing == self.showing.id:
                self._again(seat, fault)
                self._turn()
                self._bump()

    def _judge(self, seat: Seat, photo: Photo, here: bool) -> None:
        """Tell the phone, and let it try again where it must."""
        number = self._number()
        if photo.state in ("good", "double") and photo.number == number:
            seat.take("good")
            return
        if not here:
            return  # a late one; it is written down, and asks for nothing
        if photo.state == "part" and photo.phase != "after":
            seat.take("one of three")
            return
        if photo.state == "part":
            said = "the marked photo before, or the clean one, is missing"
        else:
            said = explain(photo.reasons, str(photo.found.get("fault", "")))
        self._again(seat, said or f"this photo shows another picture ({photo.state})")
        whole = photo.state == "part" or photo.phase == "clean"
        if whole and not self._paused:
            self._begin(number)  # all three once more

    def _again(self, seat: Seat, said: str) -> None:
        if seat.refuse(said):
            self.trouble = f"{seat.phone.name}: {TRIES} photos in a row were refused: {said}"
            self._pause(True)

    # the operator

    def command(self, name: str) -> None:
        """Do what the operator asks. Raises UsageError for anything but COMMANDS."""
        if name not in COMMANDS:
            raise UsageError(f"the commands are {', '.join(COMMANDS)}, got {name!r}")
        with self._changed:
            number = self._number()
            if name in ("pause", "resume"):
                self.trouble = ""
                self._pause(name == "pause")
            elif name == "go" and self.state == "confirm":
                self._confirm()
            elif name == "skip" and self.showing is not None:
                self.session.journal.skip(number)
                self._skipped.add(number)
                self.showing = None
            elif name == "redo" and self.showing is not None:
                self._redo(number)
            elif name == "back":
                before = self._before()
                if before is not None:
                    self._redo(before)
            self._turn()
            self._bump()

    def _redo(self, number: int) -> None:
        self.session.journal.redo(number)
        self._skipped.discard(number)
        for seat in self._seats.values():
            seat.done.discard(number)
        self._pause(False)
        self._begin(number)

    def _pause(self, on: bool) -> None:
        self.session.journal.keep("paused", "yes" if on else "no")
        self._paused = on

    def _confirm(self) -> None:
        wanted = self._next()
        if wanted is not None:
            self._condition = self.session.place_of(wanted)[1]
            self.session.journal.keep("condition", str(self._condition))
            self.session.journal.note("condition", wanted, str(self.session.condition(wanted)))

    def _before(self) -> int | None:
        start = self._number() if self.showing is not None else self._at + 1
        return next((n for n in range(start - 1, -1, -1) if n not in self._skipped), None)

    # the machine

    def tick(self) -> float:
        """Do what time brings. Gives the seconds until it may bring something else."""
        with self._changed:
            before = self.state, self.showing, self.trouble
            self._turn()
            if (self.state, self.showing, self.trouble) != before:
                self._bump()
            if self.state == "settle":
                return max(self._settled - self.clock(), 0.005)
            return 1.0

    def _turn(self) -> None:
        """Go on as far as nothing is waited for, and the disk takes it."""
        try:
            for _ in range(4):
                was = self.state, self.showing
                self._turn_once()
                if (self.state, self.showing) == was:
                    return
        except (OSError, sqlite3.Error) as error:
            why = f"the session stands still and tries again ({error}); make room on the disk of {self.session.folder}"
            if why != self.trouble:
                LOG.warning("the session stands still: %s", type(error).__name__)
            self.trouble = self._unwritten = why

    def _written(self) -> None:
        """Take back that nothing can be written."""
        if self.trouble == self._unwritten:
            self.trouble = ""

    def _turn_once(self) -> None:
        active = self._there()
        if self._page is None or not active:
            self.state = (
                "done"
                if all_have(self.session.count, self._skipped, self._seats.values()) and self._seats
                else "waiting"
            )
            return
        if self._paused:
            self.state = "paused"
            return
        if self.state == "settle" and self.clock() >= self._settled:
            self.state = "shoot"
        if self.state == "shoot" and all(self._has(seat) for seat in active):
            self._go_on(active)
            return
        if self.state in ("show", "settle", "shoot") and self.showing is not None:
            return
        while (wanted := self._next()) is not None:
            if self.session.place_of(wanted)[1] != self._condition and self.session.config.vary:
                self.state = "confirm"
                return
            if self._begin(wanted) or self._paused:
                return
        self.state, self.showing = "done", None

    def _has(self, seat: Seat) -> bool:
        return seat.has or self._number() in seat.done

    def _go_on(self, active: list[Seat]) -> None:
        """Every phone has this phase: show the next phase, or the next picture."""
        assert self.showing is not None
        phases = _PHASES[self.session.config.mode]
        index = phases.index(self.showing.phase) + 1
        if index < len(phases) and any(self.showing.number not in seat.done for seat in active):
            self._begin(self.showing.number, phases[index])
            return
        wanted = self._next()
        self.showing, self.state = None, "waiting"
        if wanted is not None and wanted == self._at:
            self._begin(wanted)  # a phone lacks it still: the three once more

    def _begin(self, number: int, phase: str | None = None) -> bool:
        """Begin a showing; false when the page is too small (then it is paused) or the x-ray unreadable."""
        assert self._page is not None
        journal = self.session.journal
        # every picture must fit the page; a page too small for its codes stops here, in words
        try:
            self.session.frame(number, self._page)
        except UsageError as error:
            self.trouble, self._paused = str(error), True
            self.state, self.showing = "paused", None
            return False
        except ImageError as error:
            self.trouble = f"{error} (picture {number + 1} is left out)"
            journal.skip(number)
            self._skipped.add(number)
            self.state, self.showing = "waiting", None
            return False
        with journal.change():
            showing = journal.show(number, phase or _PHASES[self.session.config.mode][0], self._page)
            journal.keep("at", str(number))
        self._written()
        self.showing, self.state, self._at = showing, "show", number
        for seat in self._seats.values():
            seat.begin()
        return True

    def _next(self) -> int | None:
        return next_wanted(
            self._at, len(self.session.xrays), self.session.count, self._skipped, self._there()
        )

    def _there(self) -> list[Seat]:
        now = self.clock()
        return [seat for seat in self._seats.values() if seat.is_there(now)]

    def _number(self) -> int:
        return self._at if self.showing is None else self.showing.number

    # what is told

    def for_screen(self) -> dict[str, Any]:
        """Say what the screen does."""
        with self._changed:
            showing = self.showing if self.state in ("show", "settle", "shoot") else None
            return {
                **self._common(),
                "showing": None if showing is None else showing.id,
                "phones": [seat.to_json(self.clock()) for seat in self._seats.values()],
            }

    def for_phone(self, phone_id: int) -> dict[str, Any]:
        """Say what a phone does: with a ticket, take the photo and send it with the ticket."""
        with self._changed:
            seat = self._seats.get(phone_id)
            due = (
                self.state == "shoot"
                and seat is not None
                and not self._has(seat)
                and self.showing is not None
            )
            ticket = f"{self.showing.id}-{seat.attempt}" if due and seat and self.showing else None
            return {
                **self._common(),
                "ticket": ticket,
                "name": seat.phone.name if seat else "",
                "said": seat.said if seat else "",
                "good": seat.good if seat else None,
                "done": len(seat.done) if seat else 0,
            }

    def _common(self) -> dict[str, Any]:
        number, seats = self._number(), self._seats.values()
        there = 0 <= number < self.session.count
        wanted = self._next() if self.state == "confirm" else number if there else None
        return Standing(
            version=self.version,
            state=self.state,
            number=number,
            count=self.session.count,
            phase=self.showing.phase if self.showing else "",
            condition={} if wanted is None else self.session.condition(wanted),
            photos=sum(len(seat.done - self._skipped) for seat in seats),
            wanted=(self.session.count - len(self._skipped)) * max(len(seats), 1),
            recent=self.session.journal.recent(RATE_S),
            trouble=self.trouble,
        ).to_json()

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait in a thread until something changes; gives the version."""
        with self._changed:
            ends = self.clock() + timeout_s
            while self.version == version and self.clock() < ends:
                self._changed.wait(min(self.tick(), max(ends - self.clock(), 0.001)))
            return self.version

    def _bump(self) -> None:
        self.version += 1
        self._changed.notify_all()
        for listener in self.listeners:
            listener()
