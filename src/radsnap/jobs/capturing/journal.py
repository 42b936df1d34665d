"""What happened in a session, in SQLite: on the disk before anybody is told that it happened.

A picture (number) is shown in rounds; each time a screen shows it is a showing. Phones answer a showing with
photos. A photo is known by the hash of its bytes: sent twice, it is there once.

    received → good        it proves which picture it shows, and is good enough
             → refused     it does not; the reasons are kept, and so is the photo
             → double      a good one of this picture and phone was there before
             → outdated    of a round that the operator has begun anew since
             → part        one of the marked photos around a clean one
             → by hand     a person said which picture it shows
             → named       a phone says that it took it; nobody has seen it
    good     → void        the operator asked for this picture again
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radsnap.errors import UsageError

VERSION = 1
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (number INTEGER PRIMARY KEY, round INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE pages (number INTEGER, round INTEGER, width INTEGER NOT NULL, height INTEGER NOT NULL,
                    void INTEGER NOT NULL DEFAULT 0,
                    PRIMARY KEY (number, round)) WITHOUT ROWID;
CREATE TABLE showings (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, round INTEGER NOT NULL,
                       phase TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE phones (id INTEGER PRIMARY KEY, token TEXT UNIQUE, name TEXT NOT NULL, kind TEXT NOT NULL,
                     at REAL NOT NULL, device TEXT NOT NULL DEFAULT '{}');
CREATE TABLE photos (id INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT UNIQUE, phone INTEGER NOT NULL REFERENCES phones,
                     showing INTEGER, phase TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, at REAL NOT NULL,
                     state TEXT NOT NULL, number INTEGER, round INTEGER, reasons TEXT NOT NULL DEFAULT '[]',
                     meta TEXT NOT NULL DEFAULT '{}', found TEXT NOT NULL DEFAULT '{}');
CREATE UNIQUE INDEX one_good ON photos (number, phone) WHERE state = 'good';
CREATE INDEX photos_of_showing ON photos (showing, phone);
CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, what TEXT NOT NULL, number INTEGER, note TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Phone:
    """A phone, or another source of photos. kind: browser, udp or import."""

    id: int
    name: str
    kind: str
    device: dict[str, Any]


@dataclass(frozen=True)
class Showing:
    """A picture on the screen. phase: "single", or "before", "clean" and "after"."""

    id: int
    number: int
    round: int
    phase: str


@dataclass(frozen=True)
class Photo:
    """A photo that came in. file: its name in the session's folder of photos; found: what was measured in it."""

    id: int
    hash: str
    phone: int
    showing: int | None
    phase: str
    name: str
    file: str
    at: float
    state: str
    number: int | None
    round: int | None
    reasons: list[str]
    meta: dict[str, Any]
    found: dict[str, Any]


_PHOTO = "id, hash, phone, showing, phase, name, file, at, state, number, round, reasons, meta, found"


class Journal:
    """The journal of one session; threads may share it, and other processes may read along."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit is on the disk when it returns, also when the power fails the moment after
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._make()
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{path} is no journal of a session ({error}); restore it from a copy"
            ) from error
        path.chmod(0o600)

    def _make(self) -> None:
        with self.change() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise UsageError(f"{self.path} is of version {version}; this radsnap reads {VERSION}")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Do several things or none of them; on the disk at the end."""
        with self._lock:
            if self._is_open():
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk was full, and not where a commit failed otherwise
                if self._is_open():
                    self._db.execute("ROLLBACK")
                raise

    def _is_open(self) -> bool:
        """Tell whether a change is under way."""
        return self._db.in_transaction

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # facts

    def fact(self, name: str, default: str = "") -> str:
        """Give what is kept under a name."""
        found = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return str(found[0][0]) if found else default

    def keep(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        with self.change() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def note(self, what: str, number: int | None = None, note: str = "") -> None:
        """Write an event down."""
        with self.change() as db:
            db.execute(
                "INSERT INTO events (at, what, number, note) VALUES (?, ?, ?, ?)",
                (time.time(), what, number, note),
            )

    # phones

    def add_phone(self, name: str, kind: str, token: str | None = None, at: float | None = None) -> Phone:
        """Add a phone under a name that no other has ("pixel", "pixel-2")."""
        with self.change() as db:
            taken = {row[0] for row in db.execute("SELECT name FROM phones")}
            free = next(n for n in _names(name) if n not in taken)
            values = (token, free, kind, time.time() if at is None else at)
            cursor = db.execute("INSERT INTO phones (token, name, kind, at) VALUES (?, ?, ?, ?)", values)
        return Phone(int(cursor.lastrowid or 0), free, kind, {})

    def phones(self) -> list[Phone]:
        return [
            Phone(id_, name, kind, json.loads(device))
            for id_, name, kind, device in self.rows("SELECT id, name, kind, device FROM phones ORDER BY id")
        ]

    def phone(self, id_: int) -> Phone:
        return next(phone for phone in self.phones() if phone.id == id_)

    def named_phone(self, name: str, kind: str) -> Phone:
        """Give the phone of a name and kind; add it when it is new."""
        with self.change():
            known = [phone for phone in self.phones() if (phone.name, phone.kind) == (name, kind)]
            return known[0] if known else self.add_phone(name, kind)

    def describe_phone(self, id_: int, device: dict[str, Any]) -> None:
        """Keep what a phone says of itself."""
        with self.change() as db:
            db.execute("UPDATE phones SET device = ? WHERE id = ?", (json.dumps(device), id_))

    # pictures and showings

    def round_of(self, number: int) -> int:
        found = self.rows("SELECT round FROM pictures WHERE number = ?", (number,))
        return int(found[0][0]) if found else 0

    def page_of(self, number: int, round_: int) -> tuple[int, int] | None:
        """Give the size of the page on which a picture was shown in a round; (0, 0) is a lone tag."""
        found = self.rows("SELECT width, height FROM pages WHERE number = ? AND round = ?", (number, round_))
        return (int(found[0][0]), int(found[0][1])) if found else None

    def show(self, number: int, phase: str, page_px: tuple[int, int]) -> Showing:
        """Begin a showing. On a page of another size the picture's codes change: it is a new round."""
        with self.change() as db:
            round_ = self.lay_out(number, page_px)
            values = (number, round_, phase, time.time())
            cursor = db.execute("INSERT INTO showings (number, round, phase, at) VALUES (?, ?, ?, ?)", values)
        return Showing(int(cursor.lastrowid or 0), number, round_, phase)

    def lay_out(self, number: int, page_px: tuple[int, int]) -> int:
        """Give the round under which a picture is on a page of this size; (0, 0) is a lone tag."""
        with self.change() as db:
            db.execute("INSERT OR IGNORE INTO pictures (number) VALUES (?)", (number,))
            round_ = self.round_of(number)
            page = self.page_of(number, round_)
            if page is not None and page != page_px:
                round_ = self._next_round(number)
            db.execute(
                "INSERT OR IGNORE INTO pages (number, round, width, height) VALUES (?, ?, ?, ?)",
                (number, round_, *page_px),
            )
        return round_

    def showing(self, id_: int) -> Showing | None:
        found = self.rows("SELECT id, number, round, phase FROM showings WHERE id = ?", (id_,))
        return Showing(*found[0]) if found else None

    def redo(self, number: int) -> None:
        """Ask for a picture again: its good photos are void, and late ones of the old round outdated."""
        with self.change() as db:
            db.execute("INSERT OR IGNORE INTO pictures (number) VALUES (?)", (number,))
            db.execute("UPDATE pages SET void = 1 WHERE number = ?", (number,))
            self._next_round(number)
            db.execute("UPDATE pictures SET skipped = 0 WHERE number = ?", (number,))
            db.execute(
                "UPDATE photos SET state = 'void' WHERE number = ? AND state IN ('good', 'named', 'by hand')",
                (number,),
            )
            self.note("redo", number)

    def skip(self, number: int, skipped: bool = True) -> None:
        """Leave a picture out, or take it in again."""
        with self.change() as db:
            db.execute("INSERT OR IGNORE INTO pictures (number) VALUES (?)", (number,))
            db.execute("UPDATE pictures SET skipped = ? WHERE number = ?", (int(skipped), number))
            self.note("skip" if skipped else "unskip", number)

    def skipped(self) -> set[int]:
        return {row[0] for row in self.rows("SELECT number FROM pictures WHERE skipped = 1")}

    def _is_void(self, number: int, round_: int | None) -> bool:
        found = self.rows("SELECT void FROM pages WHERE number = ? AND round = ?", (number, round_))
        return not found or bool(found[0][0])

    def _next_round(self, number: int) -> int:
        with self.change() as db:
            # 100 rounds fit a code; an older round of the same code is long gone by then
            round_ = (self.round_of(number) + 1) % 100
            db.execute("DELETE FROM pages WHERE number = ? AND round = ?", (number, round_))
            db.execute("UPDATE pictures SET round = ? WHERE number = ?", (round_, number))
        return round_

    # photos

    def receive(
        self,
        hash_: str,
        phone: int,
        showing: int | None,
        phase: str,
        name: str,
        file: str,
        meta: dict[str, Any],
    ) -> Photo:
        """Take a photo in, once: the same bytes give the photo that is there."""
        with self.change() as db:
            known = self.photo_of(hash_)
            if known is not None:
                return known
            db.execute(
                "INSERT INTO photos (hash, phone, showing, phase, name, file, at, state, meta) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'received', ?)",
                (hash_, phone, showing, phase, name, file, time.time(), json.dumps(meta)),
            )
            made = self.photo_of(hash_)
        assert made is not None
        return made

    def settle(
        self,
        id_: int,
        state: str,
        number: int | None,
        round_: int | None,
        reasons: Sequence[str],
        found: dict[str, Any],
    ) -> Photo:
        """Say what became of a photo. A good one beside a good one of its picture and phone is a double."""
        with self.change() as db:
            if state == "good" and number is not None:
                phone = self.rows("SELECT phone FROM photos WHERE id = ?", (id_,))[0][0]
                if self._is_void(number, round_):
                    state = "outdated"
                elif any(photo.id != id_ for photo in self.good(number, phone)):
                    state = "double"
            db.execute(
                "UPDATE photos SET state = ?, number = ?, round = ?, reasons = ?, found = ? WHERE id = ?",
                (state, number, round_, json.dumps(list(reasons)), json.dumps(found), id_),
            )
            if state == "good":
                # a place that a name alone had taken is taken by proof now
                db.execute(
                    "UPDATE photos SET state = 'void' WHERE state = 'named' AND number = ? AND phone = "
                    "(SELECT phone FROM photos WHERE id = ?)",
                    (number, id_),
                )
        return self.photo(id_)

    def name_photo(self, phone: int, showing: Showing, name: str) -> None:
        """Write down that a phone says it took and kept a photo, under a name; nobody has seen it."""
        with self.change() as db:
            db.execute(
                "INSERT INTO photos (phone, showing, phase, name, file, at, state, number, round) "
                "VALUES (?, ?, ?, ?, '', ?, 'named', ?, ?)",
                (phone, showing.id, showing.phase, name, time.time(), showing.number, showing.round),
            )

    def photo_of(self, hash_: str) -> Photo | None:
        return next(iter(self.photos("hash = ?", (hash_,))), None)

    def photo(self, id_: int) -> Photo:
        return self.photos("id = ?", (id_,))[0]

    def photos(self, where: str = "1", values: Sequence[Any] = ()) -> list[Photo]:
        """Give photos in the order in which they came."""
        # `where` is ours: values never stand in it
        found = self.rows(f"SELECT {_PHOTO} FROM photos WHERE {where} ORDER BY id", values)  # noqa: S608
        return [Photo(row[0], row[1] or "", *row[2:11], *map(json.loads, row[11:])) for row in found]

    def good(self, number: int, phone: int | None = None) -> list[Photo]:
        """Give the good photos of a picture."""
        if phone is None:
            return self.photos("number = ? AND state = 'good'", (number,))
        return self.photos("number = ? AND phone = ? AND state = 'good'", (number, phone))

    def done_by(self, phone: int) -> set[int]:
        """Give the pictures that a phone has, by proof or by its word."""
        return {
            row[0]
            for row in self.rows(
                "SELECT number FROM photos WHERE phone = ? AND state IN ('good', 'named')", (phone,)
            )
        }

    def done(self) -> set[int]:
        """Give the pictures with at least one good photo."""
        return {row[0] for row in self.rows("SELECT DISTINCT number FROM photos WHERE state = 'good'")}

    def counts(self) -> dict[str, int]:
        """Count photos by state."""
        return {row[0]: row[1] for row in self.rows("SELECT state, COUNT(*) FROM photos GROUP BY state")}

    def recent(self, seconds: float, now: float | None = None) -> int:
        """Count the good photos of the last seconds."""
        since = (time.time() if now is None else now) - seconds
        return int(self.rows("SELECT COUNT(*) FROM photos WHERE state = 'good' AND at > ?", (since,))[0][0])


def _names(name: str) -> Iterator[str]:
    yield name
    index = 2
    while True:
        yield f"{name}-{index}"
        index += 1
