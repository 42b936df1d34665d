"""What `radsnap serve` is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from radsnap.reading.pipeline import READERS


def default_data() -> Path:
    """Give the folder for cases: $RADSNAP_DATA, or the user's own."""
    given = os.environ.get("RADSNAP_DATA")
    shared = os.environ.get("XDG_DATA_HOME")
    return (
        Path(given) if given else (Path(shared) if shared else Path.home() / ".local/share") / "radsnap/web"
    )


class Settings(BaseModel):
    """One server: where it keeps what, who may enter, how much it takes.

    `codes` are access codes by reader's name; without any, everybody who reaches the server is the reader
    'local'. `database` is a SQLAlchemy URL (SQLite in the data folder by default), `images` an fsspec URL.
    `messenger_reader` is whose cases the photos of a messenger become; without, none of them is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data: Path = Field(default_factory=default_data)
    database: str | None = Field(None, repr=False)
    images: str | None = None
    retention_days: float | None = Field(None, gt=0)

    codes: Mapping[str, str] = Field(default={}, repr=False)
    secure: bool = False
    self_signed: bool = False
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    session_hours: float = Field(12.0, gt=0)
    requests_a_minute: float = Field(1200.0, gt=0)
    sign_ins_a_minute: float = Field(6.0, gt=0)

    messenger_reader: str | None = None

    workers: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1, le=64)
    queue: int = Field(32, ge=1, le=10_000)
    timeout_s: float = Field(30.0, gt=0)
    max_bytes: int = Field(64_000_000, ge=1_000)
    max_job_bytes: int = Field(500_000_000, ge=1_000)
    max_pixels: int = Field(60_000_000, ge=1_000)
    max_files: int = Field(50, ge=1, le=1000)

    gate: str = "gate"
    kind: str = "kind"
    model: str = str(READERS["chest_frontal"])
    readers: Mapping[str, str] = {}
    lungs: str | None = "lungs"

    @field_validator("codes")
    @classmethod
    def _long_enough(cls, codes: Mapping[str, str]) -> Mapping[str, str]:
        for name, code in codes.items():
            if not name.strip() or len(name) > 80:
                raise ValueError("a reader's name has 1 to 80 letters")
            if len("".join(code.split()).replace("-", "")) < 6:
                raise ValueError(
                    f"the access code of '{name}' is shorter than 6 characters; choose a longer one"
                )
        return codes

    @field_validator("messenger_reader")
    @classmethod
    def _known_reader(cls, name: str | None, info: ValidationInfo) -> str | None:
        from radsnap.web.storage.people import LOCAL  # a database's world; workers need none of it

        allowed = tuple(info.data.get("codes", ())) or (LOCAL,)
        if name is not None and name not in allowed:
            raise ValueError(f"cases are kept for a reader of this server; known are: {', '.join(allowed)}")
        return name

    @property
    def chain(self) -> dict[str, str]:
        """Give the readers of the chain by kind of x-ray."""
        return {
            **{kind: str(path) for kind, path in READERS.items()},
            "chest_frontal": self.model,
            **self.readers,
        }

    @property
    def open(self) -> bool:
        """Tell whether everybody who reaches the server may use it."""
        return not self.codes

    @property
    def database_url(self) -> str:
        """Give the database's URL, with the driver named."""
        url = self.database or f"sqlite:///{self.data / 'radsnap.db'}"
        for short in ("postgresql://", "postgres://"):
            if url.startswith(short):
                return "postgresql+psycopg://" + url.removeprefix(short)
        return url
