"""The database: SQLite beside the pictures, or PostgreSQL by URL; its tables made and brought up to date."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from radsnap.errors import UsageError
from radsnap.web.storage.tables import identity

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x7261647361  # any number that is ours


def open_database(url: str) -> Engine:
    """Connect and bring the tables up to date. Raises UsageError when the database cannot be used."""
    try:
        made = make_url(url)
        if made.drivername not in ("sqlite", "postgresql+psycopg"):
            raise UsageError(
                f"a database of the kind '{made.drivername}' is not tried; use sqlite:/// or postgresql://"
            )
        # parameters would show notes in messages of errors, and those go into the log
        options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": made.drivername != "sqlite"}
        if made.drivername == "sqlite":
            options["connect_args"] = {"timeout": 30}
        engine = create_engine(made, **options)
        if made.drivername == "sqlite":
            event.listen(engine, "connect", _set_up_sqlite)
        migrate(engine)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"the database's address is none ({error}); see docs/serve.md") from error
    except DBAPIError as error:
        reason = str(error.orig).splitlines()[0]
        raise UsageError(f"the database cannot be opened ({reason}); is it running, and ours?") from error
    return engine


def migrate(engine: Engine) -> None:
    """Run the migrations that the database lacks, all or none; one server at a time does so.

    Raises UsageError for a database of a newer radsnap.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        else:
            # Python's sqlite3 begins before INSERT, but not before CREATE: each of those would be there for good
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        at = MigrationContext.configure(connection).get_current_revision()
        if at is not None and at not in known:
            raise UsageError(f"the database was made by a newer radsnap (revision {at}); update radsnap")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def id_of(engine: Engine) -> str:
    """Read the database's own id: 32 hexadecimal digits, made with its tables."""
    with engine.connect() as connection:
        return str(connection.scalars(select(identity.c.id)).one())


def answers(engine: Engine) -> bool:
    """Tell whether the database answers."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def now_us() -> int:
    """Give the time: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.create_function("lower", 1, str.lower, deterministic=True)  # its own knows ASCII only
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was acknowledged outlives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # deleted is overwritten
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
