"""Cases: put in whole or not at all, found, judged, deleted for good."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from radsnap.errors import UsageError
from radsnap.web.storage.database import id_of, now_us
from radsnap.web.storage.new import NewCase
from radsnap.web.storage.pictures import Pictures, Stored, is_case_id, sha256_of
from radsnap.web.storage.tables import cases, files, findings

SEEN = ("likely", "possible")


@dataclass(frozen=True)
class Case:
    """A stored case."""

    id: str
    user_id: int
    created_us: int
    xray: bool
    kind: str | None
    domain: str | None
    width: int
    height: int
    diagnosis: Mapping[str, Any]
    verdict: str | None
    note: str
    verdict_us: int | None

    def said(self, word: str) -> list[str]:
        """Name the findings that carry a word, the highest score first."""
        named = self.diagnosis.get("findings") or {}
        return sorted(
            (name for name, finding in named.items() if finding["word"] == word),
            key=lambda name: -float(named[name]["score"]),
        )


@dataclass(frozen=True)
class Query:
    """What a list of cases is narrowed to. `word` alone means any finding with it."""

    text: str = ""
    finding: str = ""
    word: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Check:
    """What a check found: folders without a case (removed), cases without a whole file (told)."""

    cases: int
    removed: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cases:
    """All cases of a server. Every question names the reader who asks: nobody sees another's."""

    engine: Engine
    pictures: Pictures

    def add(self, user_id: int, new: NewCase) -> str:
        """Store a reading: files first, each durable, then the rows. Gives the case's id.

        Killed in between, it leaves files without a case, which `check` removes; never a case without.
        """
        case_id = uuid.uuid4().hex
        stored = [Stored(file.role, sha256_of(file.path), file.suffix) for file in new.files]
        try:
            for file, kept in zip(new.files, stored, strict=True):
                self.pictures.put(case_id, kept.name, file.path)
            with self.engine.begin() as connection:
                _insert(connection, case_id, user_id, new, stored)
        except IntegrityError as error:
            self.pictures.drop(case_id)
            raise UsageError("the reader of this case is gone; sign in again") from error
        except BaseException:
            self.pictures.drop(case_id)
            raise
        return case_id

    def get(self, user_id: int, case_id: str) -> Case | None:
        """Find a reader's case."""
        if not is_case_id(case_id):  # an address that somebody typed, NUL and all
            return None
        with self.engine.connect() as connection:
            row = connection.execute(_own(user_id, case_id)).first()
        return None if row is None else _case(row)

    def file(self, user_id: int, case_id: str, role: str) -> tuple[bytes, Stored] | None:
        """Read a file of a reader's case; None when there is no such case or file."""
        with self.engine.connect() as connection:
            owned = select(files).join(cases).where(
                cases.c.user_id == user_id, cases.c.id == case_id, files.c.role == role
            )  # fmt: skip
            row = connection.execute(owned).first()
        if row is None:
            return None
        stored = Stored(row.role, row.sha256, row.suffix)
        data = self.pictures.get(case_id, stored.name)
        return None if data is None else (data, stored)

    def search(
        self, user_id: int, query: Query, limit: int = 24, cursor: str | None = None
    ) -> tuple[list[Case], str | None]:
        """List a reader's cases, the newest first, and the cursor of what follows.

        Raises UsageError for a cursor that is not ours.
        """
        wanted = select(cases).where(cases.c.user_id == user_id, *_narrowed(query))
        if cursor is not None:
            at_us, case_id = _read_cursor(cursor)
            wanted = wanted.where(
                or_(cases.c.created_us < at_us, and_(cases.c.created_us == at_us, cases.c.id < case_id))
            )
        wanted = wanted.order_by(cases.c.created_us.desc(), cases.c.id.desc()).limit(limit + 1)
        with self.engine.connect() as connection:
            found = [_case(row) for row in connection.execute(wanted)]
        more = len(found) > limit
        return found[:limit], _cursor(found[limit - 1]) if more else None

    def judge(self, user_id: int, case_id: str, verdict: str | None, note: str) -> bool:
        """Keep a reader's own verdict; False when there is no such case."""
        at = now_us() if verdict or note else None
        changed = (
            update(cases)
            .where(cases.c.user_id == user_id, cases.c.id == case_id)
            .values(verdict=verdict, note=note, verdict_us=at)
        )
        with self.engine.begin() as connection:
            return connection.execute(changed).rowcount > 0

    def delete(self, user_id: int, case_id: str) -> bool:
        """Delete a reader's case for good; False when there is no such case."""
        with self.engine.begin() as connection:
            gone = delete(cases).where(cases.c.user_id == user_id, cases.c.id == case_id)
            found = connection.execute(gone).rowcount > 0
        if found:
            self.pictures.drop(case_id)
        return found

    def delete_older(self, than_us: int) -> int:
        """Delete every case made before a time, of all readers; gives how many."""
        count = 0
        while True:
            with self.engine.begin() as connection:
                old = connection.scalar(select(cases.c.id).where(cases.c.created_us < than_us).limit(1))
                if old is None:
                    return count
                connection.execute(delete(cases).where(cases.c.id == old))
            # one by one: files that cannot be deleted now leave one leftover, not those of a hundred cases
            self.pictures.drop(old)
            count += 1

    def count(self) -> int:
        """Count the cases of all readers."""
        with self.engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(cases)) or 0)

    def claim(self) -> None:
        """Make sure that the pictures are this database's: to any other, all of them are leftovers.

        Pictures that were never marked are known by a case of theirs, and marked. Raises UsageError.
        """
        own, noted = id_of(self.engine), self.pictures.database()
        if noted is None and self._knows_any(list(self.pictures.cases())):
            self.pictures.belong_to(own)
        elif noted != own:
            raise UsageError(
                "the pictures belong to the cases of another database; name it with --database or "
                "RADSNAP_DATABASE, or give this one pictures of its own with --data or --images"
            )

    def check(self) -> Check:
        """Remove files without a case, and name the cases that lack a file or whose file has changed.

        Only where no server is running: a case that is just being stored looks like one half there.
        Raises UsageError, with nothing removed, for pictures of another database.
        """
        self.claim()
        with self.engine.connect() as connection:
            known = set(connection.scalars(select(cases.c.id)))
            kept = [
                (row.case_id, Stored(row.role, row.sha256, row.suffix))
                for row in connection.execute(select(files))
            ]
        removed = [case_id for case_id in self.pictures.cases() if case_id not in known]
        for case_id in removed:
            self.pictures.drop(case_id)
        whole = {case_id for case_id, stored in kept if stored.role == "picture"}
        broken = (known - whole) | {
            case_id for case_id, stored in kept if not self._is_whole(case_id, stored)
        }
        return Check(len(known), tuple(removed), tuple(sorted(broken)))

    def _knows_any(self, case_ids: Sequence[str]) -> bool:
        """Tell whether one of these is a case here; true of none at all."""
        with self.engine.connect() as connection:
            known = set(connection.scalars(select(cases.c.id)))
        return not case_ids or not known.isdisjoint(case_ids)

    def _is_whole(self, case_id: str, stored: Stored) -> bool:
        data = self.pictures.get(case_id, stored.name)
        return data is not None and hashlib.sha256(data).hexdigest() == stored.sha256


def _insert(
    connection: Connection, case_id: str, user_id: int, new: NewCase, stored: Sequence[Stored]
) -> None:
    diagnosis = new.diagnosis
    connection.execute(
        insert(cases).values(
            id=case_id,
            user_id=user_id,
            created_us=now_us(),
            xray=int(bool((diagnosis.get("gate") or {}).get("passed"))),
            kind=(diagnosis.get("kind") or {}).get("label"),
            domain=diagnosis.get("domain"),
            width=new.width,
            height=new.height,
            diagnosis=json.dumps(diagnosis, allow_nan=False),
        )
    )
    seen = diagnosis.get("findings") or {}
    if seen:
        rows = [
            {"case_id": case_id, "name": name, "word": finding["word"], "score": finding["score"]}
            for name, finding in seen.items()
        ]
        connection.execute(insert(findings), rows)
    connection.execute(insert(files), [{"case_id": case_id, **vars(file)} for file in stored])


def _own(user_id: int, case_id: str) -> Select[Any]:
    return select(cases).where(cases.c.user_id == user_id, cases.c.id == case_id)


def _narrowed(query: Query) -> list[Any]:
    found: list[Any] = []
    if query.finding or query.word:
        seen = select(findings.c.case_id).where(findings.c.case_id == cases.c.id)
        if query.finding:
            seen = seen.where(findings.c.name == query.finding)
        seen = seen.where(findings.c.word == query.word if query.word else findings.c.word.in_(SEEN))
        found.append(seen.exists())
    if query.verdict:
        found.append(
            cases.c.verdict.is_(None) if query.verdict == "none" else cases.c.verdict == query.verdict
        )
    for word in query.text.split()[:8]:
        like = {"other": f"%{_escaped(word.lower())}%", "escape": "\\"}
        named = select(findings.c.case_id).where(
            findings.c.case_id == cases.c.id,
            func.lower(findings.c.name).like(**like),
            findings.c.word.in_(SEEN),
        )
        found.append(
            or_(
                func.lower(cases.c.note).like(**like),
                func.lower(func.coalesce(cases.c.kind, "not an x-ray")).like(**like),
                cases.c.id.like(f"{_escaped(word.lower())}%", escape="\\"),
                named.exists(),
            )
        )
    return found


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _case(row: Row[Any]) -> Case:
    values = dict(row._mapping)
    values["xray"] = bool(values["xray"])
    values["diagnosis"] = json.loads(values["diagnosis"])
    return Case(**values)


def _cursor(case: Case) -> str:
    return base64.urlsafe_b64encode(f"{case.created_us} {case.id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        at_us, case_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").split()
        at = int(at_us)
    except (ValueError, binascii.Error) as error:
        raise UsageError("this cursor is none of ours; start from the first page") from error
    if not (0 <= at < 1 << 62 and is_case_id(case_id)):
        raise UsageError("this cursor is none of ours; start from the first page")
    return at, case_id
