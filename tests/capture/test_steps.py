"""The steps of a session, without any browser: photos are proven by their codes alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from studio import PAGE, forget_xrays, session_of

from radsnap.errors import UsageError
from radsnap.imaging import encode_jpeg
from radsnap.jobs.capturing.journal import Phone, Photo
from radsnap.jobs.capturing.seats import LOST_S, TRIES
from radsnap.jobs.capturing.session import Session, open_session
from radsnap.jobs.capturing.steps import Stepper


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A stepper, its clock, and phones whose photos are the page itself on a desk."""

    def __init__(self, session: Session, phones: int = 1) -> None:
        from radsnap.capture.photos import take_photo

        self.take = take_photo
        self.session, self.clock = session, Clock()
        self.steps = Stepper(session, self.clock)
        self.phones = [session.journal.add_phone("pixel", "browser") for _ in range(phones)]
        self.taken = 0
        self.steps.screen(*PAGE)
        for phone in self.phones:
            self.steps.join(phone)

    def photo(self, number: int, round_: int, clean: bool = False, shift: int = 0) -> bytes:
        page = self.session.page(number, round_, PAGE, clean)
        desk = cv2.copyMakeBorder(page, 40, 40, 60 + shift, 60, cv2.BORDER_CONSTANT, value=30)
        # every photo has noise of its own, so that no two are the same bytes
        self.taken += 1
        noise = np.random.default_rng(self.taken).normal(0, 1.5, desk.shape)
        return encode_jpeg((desk + noise).clip(0, 255).astype(np.uint8), 95)

    def show(self) -> None:
        """Let the screen show what it should, and settle."""
        told = self.steps.for_screen()
        if told["showing"] is not None:
            self.steps.shown(told["showing"])
            self.steps.tick()

    def due(self, phone: Phone) -> int | None:
        ticket = self.steps.for_phone(phone.id)["ticket"]
        return None if ticket is None else int(ticket.split("-")[0])

    def send(self, phone: Phone, data: bytes, showing: int) -> Photo:
        made = self.take(self.session, phone, showing, data)
        self.steps.took(phone.id, showing, made)
        return made

    def shoot(self, phone: Phone | None = None, shift: int = 0) -> Photo:
        """Take the photo that is due."""
        phone = phone or self.phones[0]
        showing = self.due(phone)
        assert showing is not None, self.steps.for_phone(phone.id)
        shown = self.session.journal.showing(showing)
        assert shown is not None
        return self.send(phone, self.photo(shown.number, shown.round, shown.phase == "clean", shift), showing)

    @property
    def at(self) -> tuple[str, int]:
        told = self.steps.for_screen()
        return told["state"], told["number"]


def test_a_session_goes_from_the_first_to_the_last(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 3))
    for number in (1, 2, 3):
        assert rig.at == ("show", number)
        assert rig.due(rig.phones[0]) is None, "not before the screen shows it"
        rig.show()
        assert rig.shoot().state == "good"
    assert rig.at[0] == "done"
    assert [photo.number for photo in rig.session.journal.photos()] == [0, 1, 2]


def test_the_monitor_settles_before_the_photo(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1, settle_ms=500))
    rig.show()
    assert rig.at == ("settle", 1)
    rig.clock.now += 0.4
    assert rig.steps.tick() == pytest.approx(0.1)
    rig.clock.now += 0.2
    rig.steps.tick()
    assert rig.at == ("shoot", 1)


def test_a_photo_of_the_picture_before_goes_to_its_own_row_and_is_taken_again(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 2))
    rig.show()
    stale = rig.photo(0, 0)
    rig.shoot()
    rig.show()
    showing = rig.due(rig.phones[0])
    assert showing is not None
    photo = rig.send(rig.phones[0], stale, showing)
    assert (photo.state, photo.number) == ("double", 0)
    assert rig.at == ("shoot", 2)
    assert rig.steps.for_phone(rig.phones[0].id)["ticket"] == f"{showing}-2", "once more"
    assert (rig.shoot().state, rig.at[0]) == ("good", "done")


def test_late_photos_still_count_for_their_row(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 2), phones=2)
    rig.show()
    first = rig.due(rig.phones[1])
    late = rig.photo(0, 0)
    rig.shoot(rig.phones[0])
    rig.clock.now += LOST_S + 1
    rig.steps.join(rig.phones[0])
    assert rig.at == ("show", 2), "the second phone is lost and not waited for"
    assert first is not None
    photo = rig.send(rig.phones[1], late, first)
    assert (photo.state, photo.number) == ("good", 0)


def test_a_phone_that_was_lost_gets_its_gaps(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 2), phones=2)
    rig.clock.now += LOST_S + 1
    rig.steps.join(rig.phones[0])
    for _ in range(2):
        rig.show()
        rig.shoot(rig.phones[0])
    rig.steps.join(rig.phones[1])
    numbers = set()
    for _ in range(2):
        rig.show()
        assert rig.due(rig.phones[0]) is None
        numbers.add(rig.shoot(rig.phones[1]).number)
    assert (rig.at[0], numbers) == ("done", {0, 1})


def test_all_phones_are_waited_for(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 2), phones=2)
    rig.show()
    rig.shoot(rig.phones[0])
    assert rig.at == ("shoot", 1)
    rig.shoot(rig.phones[1])
    assert rig.at == ("show", 2)


def test_the_operator_pauses_skips_and_goes_back(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 3))
    rig.steps.command("pause")
    assert rig.at[0] == "paused"
    rig.steps.command("resume")
    assert rig.at == ("show", 1)
    rig.show()
    rig.shoot()
    rig.steps.command("skip")
    assert rig.at == ("show", 3)
    rig.show()
    rig.steps.command("back")
    assert rig.at == ("show", 1), "picture 2 is skipped"
    assert rig.session.journal.counts() == {"void": 1}
    rig.show()
    again = rig.shoot()
    assert (again.state, again.round) == ("good", 1)
    with pytest.raises(UsageError, match="the commands are pause"):
        rig.steps.command("explode")


def test_redo_refuses_photos_of_before(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1))
    rig.show()
    showing = rig.due(rig.phones[0])
    old = rig.photo(0, 0)
    rig.steps.command("redo")
    assert showing is not None
    assert rig.send(rig.phones[0], old, showing).state == "outdated"
    rig.show()
    assert rig.shoot().round == 1


def test_refused_photos_in_a_row_ask_the_operator(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1))
    rig.show()
    for count in range(TRIES):
        showing = rig.due(rig.phones[0])
        assert showing is not None
        blank = encode_jpeg(np.full((400, 600), 40 + count, np.uint8))
        assert rig.send(rig.phones[0], blank, showing).reasons == ["no_code"]
    told = rig.steps.for_screen()
    assert told["state"] == "paused"
    assert told["trouble"].startswith(f"pixel: {TRIES} photos in a row were refused: no code can be read")
    rig.steps.command("resume")
    rig.show()
    assert rig.shoot().state == "good"


def test_conditions_are_walked_through_one_after_the_other(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 2, vary={"light": ["on", "off"]}))
    seen = []
    while rig.at[0] != "done":
        told = rig.steps.for_screen()
        if told["state"] == "confirm":
            seen.append(told["condition"])
            rig.steps.command("go")
            continue
        rig.show()
        seen.append(rig.shoot().number)
    assert seen == [{"light": "on"}, 0, 1, {"light": "off"}, 2, 3]
    assert rig.session.image_id(3) == rig.session.image_id(1)


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 3, vary={"light": ["on"]}))
    rig.steps.command("go")
    rig.show()
    rig.shoot()
    session = open_session(rig.session.folder)
    steps = Stepper(session, rig.clock)
    steps.screen(*PAGE)
    steps.join(rig.phones[0])
    told = steps.for_screen()
    assert (told["state"], told["number"], told["photos"]) == ("show", 2, 1)


def test_another_size_of_the_screen_shows_the_picture_anew(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1))
    rig.show()
    rig.steps.screen(1280, 720)
    assert rig.at == ("show", 1)
    showing = rig.session.journal.showing(rig.steps.for_screen()["showing"])
    assert showing is not None
    assert showing.round == 1
    rig.steps.screen(300, 200)
    told = rig.steps.for_screen()
    assert (told["state"], told["showing"]) == ("paused", None)
    assert "use a larger window" in told["trouble"]


def test_an_xray_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2)
    first = tmp_path / "xrays" / str(session.xrays.rows["path"].iloc[0])
    first.write_bytes(b"no picture")
    rig = Rig(session)
    assert rig.at == ("show", 2)
    assert "(picture 1 is left out)" in rig.steps.for_screen()["trouble"]


def test_clean_photos_are_taken_between_marked_ones(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1, mode="clean"))
    states = []
    for _ in range(3):
        rig.show()
        states.append(rig.shoot())
    assert [photo.phase for photo in states] == ["before", "clean", "clean"]
    assert (states[2].state, states[2].number) == ("good", 0)
    assert states[2].found["likeness"] > 0.9
    assert rig.at[0] == "done"


def test_a_clean_photo_whose_xray_cannot_be_read_is_refused(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1, mode="clean"))
    for _ in range(2):
        rig.show()
        rig.shoot()
    rig.show()
    last = rig.photo(0, 0)
    showing = rig.due(rig.phones[0])
    assert showing is not None
    (tmp_path / "xrays" / str(rig.session.xrays.rows["path"].iloc[0])).write_bytes(b"no picture")
    forget_xrays()
    photo = rig.send(rig.phones[0], last, showing)
    assert (photo.state, photo.reasons) == ("refused", ["unreadable"])
    assert "the x-ray of picture 1 cannot be read" in str(rig.steps.for_phone(rig.phones[0].id)["said"])


def test_a_phone_that_moves_takes_all_three_again(tmp_path: Path) -> None:
    rig = Rig(session_of(tmp_path, 1, mode="clean"))
    for shift in (0, 0, 40):
        rig.show()
        last = rig.shoot(shift=shift)
    assert (last.state, last.reasons) == ("refused", ["moved"])
    assert rig.at == ("show", 1)
    for _ in range(3):
        rig.show()
        last = rig.shoot()
    assert (last.state, rig.at[0]) == ("good", "done")


def test_a_long_plan_goes_on_at_its_last_gap(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2, vary={"take": [str(n) for n in range(500)]})
    rig = Rig(session)
    done = set(range(998))
    with session.journal.change() as db:
        for number in done:
            db.execute(
                "INSERT INTO photos (hash, phone, phase, name, file, at, state, number) VALUES (?, 1, 'single', 'x', 'x', 0, 'good', ?)",
                (str(number), number),
            )
    steps = Stepper(session, rig.clock)
    steps.screen(*PAGE)
    steps.join(rig.phones[0])
    assert steps.for_screen()["condition"] == {"take": "499"}
