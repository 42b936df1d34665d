"""The tables. Times are microseconds since 1970, UTC; what is secret is kept as a hash."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

# one row: which database this is; the pictures are marked with it
identity = Table("identity", METADATA, Column("id", String(32), primary_key=True))


def _owner() -> Column[int]:
    return Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


users = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("code_hash", String(200)),
    Column("created_us", BigInteger, nullable=False),
)
sessions = Table(
    "sessions",
    METADATA,
    Column("hash", String(64), primary_key=True),
    _owner(),
    Column("expires_us", BigInteger, nullable=False),
)
tokens = Table(
    "tokens",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    _owner(),
    Column("label", String(80), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)
cases = Table(
    "cases",
    METADATA,
    Column("id", String(32), primary_key=True),
    _owner(),
    Column("created_us", BigInteger, nullable=False),
    Column("xray", Integer, nullable=False),
    Column("kind", String(80)),
    Column("domain", String(20)),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("diagnosis", Text, nullable=False),
    Column("verdict", String(10)),
    Column("note", Text, nullable=False, server_default=""),
    Column("verdict_us", BigInteger),
    Index("cases_by_user_and_time", "user_id", "created_us", "id"),
)
findings = Table(
    "findings",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("word", String(20), nullable=False),
    Column("score", Float, nullable=False),
    Index("findings_by_name_and_word", "name", "word"),
)
files = Table(
    "files",
    METADATA,
    Column("case_id", ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(20), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("suffix", String(8), nullable=False),
)
