"""Readers, their sessions and their tokens."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update

from radsnap.serving.tokens import hash_code, hash_token, matches, new_token
from radsnap.web.storage.database import now_us
from radsnap.web.storage.tables import sessions, tokens, users

LOCAL = "local"
# no code fits; to find that out costs what it costs with a reader's
_NOBODYS_CODE = f"scrypt${'00' * 16}${'00' * 32}"
_HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class User:
    """Who asks. `session_id` is None for a token, and where no code is asked for."""

    id: int
    name: str
    session_id: str | None = None


@dataclass(frozen=True)
class Issued:
    """A token just made: `token` is shown once and kept as its hash."""

    id: str
    token: str
    label: str
    expires_us: int


@dataclass(frozen=True, eq=False)
class People:
    """Readers by name; those who may enter have the hash of an access code."""

    engine: Engine

    def set_codes(self, codes: Mapping[str, str]) -> None:
        """Let in these readers with these codes, and nobody else.

        A reader whose code is new or gone is signed out everywhere; the cases stay.
        """
        for name in (LOCAL, *codes):
            self.user(name)
        with self.engine.begin() as connection:
            for row in connection.execute(select(users)).all():
                code = codes.get(row.name)
                if code is not None and row.code_hash is not None and matches(code, row.code_hash):
                    continue
                if code is None and row.code_hash is None:
                    continue
                kept = None if code is None else hash_code(code)
                connection.execute(update(users).where(users.c.id == row.id).values(code_hash=kept))
                connection.execute(delete(sessions).where(sessions.c.user_id == row.id))
                connection.execute(delete(tokens).where(tokens.c.user_id == row.id))

    def user(self, name: str) -> User:
        """Find a reader by name, or make one without a code."""
        with self.engine.begin() as connection:
            found = connection.scalar(select(users.c.id).where(users.c.name == name))
            if found is None:
                made = insert(users).values(name=name, created_us=now_us()).returning(users.c.id)
                found = connection.scalar(made)
        assert found is not None
        return User(found, name)

    def enter(self, name: str, code: str) -> User | None:
        """Find the reader whom a code belongs to; without a name, the code must fit exactly one.

        An unknown name takes as long as a wrong code.
        """
        with self.engine.connect() as connection:
            allowed = select(users).where(users.c.code_hash.is_not(None))
            rows = connection.execute(allowed.where(users.c.name == name) if name else allowed).all()
        # eight readers at most are tried without a name: each try costs 40 ms on purpose
        tried = [row for row in rows[:8] if matches(code, row.code_hash)]
        if not rows:
            matches(code, _NOBODYS_CODE)
        return User(tried[0].id, tried[0].name) if len(tried) == 1 else None

    def start_session(self, user: User, hours: float) -> str:
        """Begin a session; gives its id, of which the hash is kept."""
        session_id = new_token()
        values = {
            "hash": hash_token(session_id),
            "user_id": user.id,
            "expires_us": now_us() + int(hours * _HOUR_US),
        }
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_us < now_us()))
            connection.execute(insert(sessions).values(values))
        return session_id

    def of_session(self, session_id: str) -> User | None:
        """Find who a session belongs to; None when it ended."""
        with self.engine.connect() as connection:
            row = _living(connection, sessions, hash_token(session_id))
        return None if row is None else User(row[0], row[1], session_id)

    def end_session(self, session_id: str) -> None:
        """Sign out."""
        with self.engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == hash_token(session_id)))

    def issue(self, user: User, label: str, days: int) -> Issued:
        """Make a token for a program."""
        made = Issued(uuid.uuid4().hex, new_token("rs_"), label, now_us() + days * 24 * _HOUR_US)
        values = {"hash": hash_token(made.token), "id": made.id, "user_id": user.id, "label": label}
        with self.engine.begin() as connection:
            connection.execute(delete(tokens).where(tokens.c.expires_us < now_us()))
            connection.execute(insert(tokens).values(**values, expires_us=made.expires_us))
        return made

    def of_token(self, token: str) -> User | None:
        """Find who a token belongs to; None when it ended or never was."""
        with self.engine.connect() as connection:
            row = _living(connection, tokens, hash_token(token))
        return None if row is None else User(row[0], row[1])

    def revoke(self, user: User, token_id: str) -> bool:
        """End a token; False when the reader has no such token."""
        gone = delete(tokens).where(tokens.c.user_id == user.id, tokens.c.id == token_id)
        with self.engine.begin() as connection:
            return connection.execute(gone).rowcount > 0


def _living(connection: Connection, table: object, kept: str) -> tuple[int, str] | None:
    columns = table.c  # type: ignore[attr-defined]
    found = connection.execute(
        select(users.c.id, users.c.name)
        .join(table, columns.user_id == users.c.id)  # type: ignore[arg-type]
        .where(columns.hash == kept, columns.expires_us > now_us())
    ).first()
    return None if found is None else (found[0], found[1])
