"""Phones with the published app: a fake one that drops and delays datagrams, and counts otherwise once."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from studio import PAGE, session_of

from radsnap.capture.chexpeditor import drive_phones
from radsnap.errors import UsageError
from radsnap.imaging import encode_jpeg
from radsnap.jobs.capturing.chexpeditor import UdpAddress, ask, parse_address, photo_name, sequence_of
from radsnap.jobs.capturing.importing import ImportConfig, import_photos
from radsnap.jobs.capturing.journal import Journal, Showing
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.steps import Stepper

ANSWER_S = 0.25


class FakePhone:
    """The app's end of the protocol. It keeps what the screen shows under the name that it is told, once a name."""

    def __init__(
        self, folder: Path, seed: int = 1, drop: float = 0.0, late: float = 0.0, wrong: set[int] | None = None
    ) -> None:
        self.folder, self.drop, self.late, self.wrong = folder, drop, late, wrong or set()
        self.chance = random.Random(seed)
        self.look: Callable[[], bytes] = lambda: b"photo"
        self.asked: list[str] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(0.05)
        self.address = UdpAddress("127.0.0.1", self.udp.getsockname()[1])
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while not self.stop.is_set():
            try:
                data, sender = self.udp.recvfrom(2048)
            except TimeoutError:
                continue
            text = data.decode()
            self.asked.append(text)
            number, _, name = text.partition("|")
            if self.chance.random() < self.drop:
                continue
            if int(number) in self.wrong:
                self.udp.sendto(f"MISMATCH|expected {int(number) + 1}".encode(), sender)
                continue
            if not (self.folder / name).exists():
                (self.folder / name).write_bytes(self.look())
            if self.chance.random() < self.late:
                time.sleep(1.5 * ANSWER_S)
            if self.chance.random() >= self.drop:
                self.udp.sendto(f"OK|{name}".encode(), sender)

    def close(self) -> None:
        self.stop.set()
        self.thread.join(2)
        self.udp.close()


@pytest.fixture
def phones() -> Iterator[Callable[..., FakePhone]]:
    made: list[FakePhone] = []

    def make(folder: Path, **settings: object) -> FakePhone:
        folder.mkdir(parents=True, exist_ok=True)
        made.append(FakePhone(folder, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for phone in made:
        phone.close()


def run(session: Session, fake: FakePhone, seconds: float = 30) -> Stepper:
    """Let a screen show what it should until the session is done, or the phone is given up."""
    stepper, stop = Stepper(session), threading.Event()
    shown: list[bytes] = [b""]
    fake.look = lambda: shown[0]
    stepper.screen(*PAGE)
    [thread] = drive_phones(stepper, session, (fake.address,), stop, ANSWER_S)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and thread.is_alive():
        told = stepper.for_screen()
        if told["state"] == "done":
            break
        if told["state"] == "show":
            showing = session.journal.showing(told["showing"])
            assert showing is not None
            shown[0] = encode_jpeg(session.page(showing.number, showing.round, PAGE), 95)
            stepper.shown(showing.id)
        stepper.wait(told["version"], 0.05)
    stop.set()
    thread.join(5)
    return stepper


def test_a_phone_that_drops_and_delays_is_served_to_the_end(
    tmp_path: Path, phones: Callable[..., FakePhone]
) -> None:
    session = session_of(tmp_path, 6)
    fake = phones(tmp_path / "export", drop=0.15, late=0.2, wrong={3})
    stepper = run(session, fake)
    assert stepper.for_screen()["state"] == "done"
    kept = sorted(sequence_of(path.name) for path in fake.folder.iterdir())
    assert kept == [0, 1, 2, 4, 5], "one photo each, none of the mismatch"
    named = session.journal.photos("state = 'named'")
    assert [photo.number for photo in named] == [0, 1, 2, 4, 5]
    done = import_photos(ImportConfig(session=session.folder, photos=(fake.folder,)))
    assert [line.outcome for line in done.lines] == 5 * ["attached"]
    assert done.missing == (3,)
    phone = session.journal.phones()[0]
    assert {photo.phone for photo in session.journal.photos("state = 'good'")} == {phone.id}
    assert session.journal.photos("state = 'named'") == []


def test_a_full_disk_ends_no_phones_part(
    tmp_path: Path, phones: Callable[..., FakePhone], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(tmp_path, 2)
    write, tried = Journal.name_photo, []

    def once_full(journal: Journal, phone: int, showing: Showing, name: str) -> None:
        tried.append(showing.number)
        if len(tried) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        write(journal, phone, showing, name)

    monkeypatch.setattr(Journal, "name_photo", once_full)
    fake = phones(tmp_path / "export")
    stepper = run(session, fake)
    assert (stepper.for_screen()["state"], tried) == ("done", [0, 0, 1])
    assert [photo.number for photo in session.journal.photos("state = 'named'")] == [0, 1]
    assert len(list(fake.folder.iterdir())) == 2, "asked again, it takes no second photo"


def test_two_mismatches_in_a_row_stop(tmp_path: Path, phones: Callable[..., FakePhone]) -> None:
    session = session_of(tmp_path, 5)
    stepper = run(session, phones(tmp_path / "export", wrong={1, 2}))
    told = stepper.for_screen()
    assert "chexpeditor-1 counts otherwise (MISMATCH|expected 3)" in told["trouble"]
    assert session.journal.done_by(session.journal.phones()[0].id) == {0}


def test_a_silent_phone_is_given_up(tmp_path: Path, phones: Callable[..., FakePhone]) -> None:
    session = session_of(tmp_path, 1)
    fake = phones(tmp_path / "export", drop=1.0)
    stepper = run(session, fake)
    assert "does not answer" in stepper.for_screen()["trouble"]
    assert len(fake.asked) == 5
    assert len(set(fake.asked)) == 1, "asked again under the same name"


def test_late_answers_to_other_questions_do_not_count(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))

        def answer() -> None:
            _, sender = phone.recvfrom(2048)
            phone.sendto(b"OK|3__1__late.jpg", sender)
            phone.sendto(b"OK|4__1__right.jpg", sender)

        thread = threading.Thread(target=answer)
        thread.start()
        reply = ask(UdpAddress("127.0.0.1", phone.getsockname()[1]), 4, "4__1__right.jpg", 5.0)
        thread.join()
    assert (reply.outcome, reply.name) == ("ok", "4__1__right.jpg")


def test_names_are_the_published_ones() -> None:
    assert (
        photo_name(12, 34, "patient1/study2/view1_frontal.jpg")
        == "12__34__patient1__study2__view1_frontal.jpg"
    )
    assert photo_name(1, 2, "../../etc/pass|wd") == "1__2__etc__pass_wd"
    assert sequence_of("12__34__patient1__study2__view1_frontal.jpg") == 12
    assert sequence_of("IMG_0012.jpg") is None


@pytest.mark.parametrize(
    "text", ["udp://", "http://phone:4445", "udp://phone:0", "udp://phone:x", "phone", "udp://a/b"]
)
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a phone is udp://ADDRESS:4445"):
        parse_address(text)


def test_the_port_is_the_published_one() -> None:
    assert parse_address("udp://192.168.1.7") == UdpAddress("192.168.1.7", 4445)
    assert parse_address("udp://192.168.1.7:5000").port == 5000
