"""The journal: nothing is lost, doubled or swapped, and what was said is on the disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from radsnap.errors import UsageError
from radsnap.jobs.capturing.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def received(journal: Journal, hash_: str, phone: int, number: int = 0) -> int:
    showing = journal.show(number, "single", (960, 540))
    return journal.receive(hash_, phone, showing.id, "single", "x", f"{hash_}.jpg", {}).id


def test_the_same_bytes_are_one_photo(journal: Journal) -> None:
    phone = journal.add_phone("pixel", "browser")
    first = received(journal, "a", phone.id)
    assert received(journal, "a", phone.id) == first
    assert len(journal.photos()) == 1


def test_a_picture_has_one_good_photo_of_a_phone(journal: Journal) -> None:
    one, two = (journal.add_phone("pixel", "browser").id for _ in range(2))
    states = [
        journal.settle(received(journal, name, phone), "good", 0, 0, (), {}).state
        for name, phone in (("a", one), ("b", one), ("c", two))
    ]
    assert states == ["good", "double", "good"]
    assert journal.done() == {0}


def test_redo_makes_good_photos_void_and_late_ones_outdated(journal: Journal) -> None:
    phone = journal.add_phone("pixel", "browser").id
    early, late = received(journal, "a", phone), received(journal, "b", phone)
    journal.settle(early, "good", 0, 0, (), {})
    journal.redo(0)
    assert journal.photo(early).state == "void"
    assert journal.settle(late, "good", 0, 0, (), {}).state == "outdated"
    again = journal.show(0, "single", (960, 540))
    assert again.round == 1
    assert journal.settle(received(journal, "c", phone), "good", 0, 1, (), {}).state == "good"


def test_a_page_of_another_size_is_another_round_and_voids_nothing(journal: Journal) -> None:
    phone = journal.add_phone("pixel", "browser").id
    photo = received(journal, "a", phone)
    assert journal.show(0, "single", (1920, 1080)).round == 1
    assert journal.page_of(0, 0) == (960, 540)
    assert journal.settle(photo, "good", 0, 0, (), {}).state == "good"


def test_a_round_that_was_never_shown_is_outdated(journal: Journal) -> None:
    phone = journal.add_phone("pixel", "browser").id
    assert journal.settle(received(journal, "a", phone), "good", 0, 5, (), {}).state == "outdated"


def test_proof_takes_the_place_of_a_name(journal: Journal) -> None:
    phone = journal.add_phone("old", "udp").id
    journal.name_photo(phone, journal.show(0, "single", (960, 540)), "0__0__x.jpg")
    assert (journal.done_by(phone), journal.done()) == ({0}, set())
    journal.settle(received(journal, "a", phone), "good", 0, 0, (), {})
    assert (journal.done_by(phone), journal.done()) == ({0}, {0})
    assert journal.counts() == {"void": 1, "good": 1}


def test_several_things_or_none(journal: Journal) -> None:
    def fail() -> None:
        with journal.change():
            journal.keep("at", "7")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert journal.fact("at", "none") == "none"


def test_a_full_disk_leaves_nothing_half_done_and_passes(journal: Journal) -> None:
    [(pages,)] = journal.rows("PRAGMA page_count")
    journal.rows(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            journal.keep("at", "9" * 100_000)
    journal.rows("PRAGMA max_page_count = 1000000")
    journal.keep("at", "7")
    assert Journal(journal.path).fact("at") == "7"


def test_a_commit_that_fails_leaves_no_change_open(journal: Journal) -> None:
    def fail() -> None:
        with journal.change() as db:
            db.execute("PRAGMA defer_foreign_keys = ON")  # the fault comes with the commit
            db.execute(
                "INSERT INTO photos (phone, phase, name, file, at, state) VALUES (99, 'single', 'x', 'x', 0, 'good')"
            )

    with pytest.raises(sqlite3.IntegrityError):
        fail()
    assert journal.photos() == []
    journal.keep("at", "7")
    assert Journal(journal.path).fact("at") == "7", "on the disk, where others see it"


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from radsnap.jobs.capturing.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "phone = journal.add_phone('pixel', 'browser').id\n"
        "for index in range(20):\n"
        "    journal.receive(f'{index}', phone, None, 'single', 'x', 'x.jpg', {})\n"
        "    print(index, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "journal.sqlite"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    said = done.stdout.split()
    assert [photo.hash for photo in Journal(path).photos()] == said == [str(i) for i in range(20)]


def test_commits_wait_for_the_disk(journal: Journal) -> None:
    assert journal.rows("PRAGMA journal_mode") == [("wal",)]
    assert journal.rows("PRAGMA synchronous") == [(2,)]
    assert journal.path.stat().st_mode & 0o077 == 0


def test_other_files_are_no_journal(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to look at" * 20)
    with pytest.raises(UsageError, match="is no journal of a session"):
        Journal(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(UsageError, match="is of version 9; this radsnap reads 1"):
        Journal(tmp_path / "newer")
