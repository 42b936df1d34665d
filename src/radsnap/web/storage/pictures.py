"""Files of cases: CASE/SHA256.SUFFIX in a folder, or under an fsspec URL (s3://, gs://, file:// ...).

Every case has a folder of its own: two cases of one picture share nothing, so that deleting one for good
needs no look at the other, and nobody learns from a stored file that another reader has it too.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from radsnap.errors import UsageError
from radsnap.extras import need

_CASE = re.compile(r"[0-9a-f]{32}")
_FILE = re.compile(r"[0-9a-f]{64}\.[a-z]{2,5}")
_SHELF = re.compile(r"[0-9a-f]{2}")
_MARK = "database"


@dataclass(frozen=True)
class Stored:
    """A file of a case: what it is for (picture, thumbnail, heat), its content's SHA-256, its suffix."""

    role: str
    sha256: str
    suffix: str

    @property
    def name(self) -> str:
        """Give the file's name in its case's folder."""
        return f"{self.sha256}.{self.suffix}"


class Pictures(Protocol):
    """Where files of cases are. Names are made here, never by a client."""

    def put(self, case_id: str, name: str, source: Path) -> None:
        """Take a file in; it is durable when this returns. The source is gone afterwards or still there."""

    def get(self, case_id: str, name: str) -> bytes | None:
        """Read a file; None when it is not there."""

    def drop(self, case_id: str) -> None:
        """Delete all files of a case; it need not exist."""

    def cases(self) -> Iterator[str]:
        """List the cases that have files."""

    def database(self) -> str | None:
        """Give the id of the database that the pictures belong to; None when that was never noted."""

    def belong_to(self, database_id: str) -> None:
        """Note the id of the database that the pictures belong to; durable when this returns."""


def open_pictures(url: str | None, folder: Path) -> Pictures:
    """Open the store of pictures: the folder, or an fsspec URL. Raises UsageError when it cannot be used."""
    if url is None or "://" not in url:
        place = folder if url is None else Path(url)
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"{place} cannot hold pictures ({error.strerror}); name another folder"
            ) from error
        return Folder(place)
    fsspec = need("fsspec", extra="cluster")
    try:
        system, root = fsspec.core.url_to_fs(url)
        system.makedirs(root, exist_ok=True)
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(f"no pictures can be kept at {url} ({error}); check the address") from error
    return Remote(system, root.rstrip("/"))


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Folder:
    """Pictures in a folder of this machine."""

    root: Path

    def put(self, case_id: str, name: str, source: Path) -> None:
        place = self._place(case_id)
        if not place.is_dir():
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sync(place.parent)
            _sync(self.root)
        target = place / _checked(name)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        try:
            source.replace(target)
        except OSError:  # another file system
            partial = target.with_suffix(".part")
            shutil.copyfile(source, partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        _sync(place)

    def get(self, case_id: str, name: str) -> bytes | None:
        try:
            return (self._place(case_id) / _checked(name)).read_bytes()
        except FileNotFoundError:
            return None

    def drop(self, case_id: str) -> None:
        place = self._place(case_id)
        if place.is_dir():
            shutil.rmtree(place)
            _sync(place.parent)

    def cases(self) -> Iterator[str]:
        return (place.name for place in sorted(self.root.glob("??/*")) if _CASE.fullmatch(place.name))

    def database(self) -> str | None:
        try:
            return _read_mark((self.root / _MARK).read_bytes())
        except FileNotFoundError:
            return None

    def belong_to(self, database_id: str) -> None:
        partial = self.root / f"{_MARK}.part"
        with partial.open("w", encoding="ascii") as file:
            file.write(f"{database_id}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.root / _MARK)
        _sync(self.root)

    def _place(self, case_id: str) -> Path:
        return self.root / _checked_case(case_id)[:2] / case_id


@dataclass(frozen=True)
class Remote:
    """Pictures on a file system of fsspec."""

    system: Any
    root: str

    def put(self, case_id: str, name: str, source: Path) -> None:
        place = self._place(case_id)
        self.system.makedirs(place, exist_ok=True)
        self.system.pipe_file(f"{place}/{_checked(name)}", source.read_bytes())

    def get(self, case_id: str, name: str) -> bytes | None:
        try:
            return bytes(self.system.cat_file(f"{self._place(case_id)}/{_checked(name)}"))
        except FileNotFoundError:
            return None

    def drop(self, case_id: str) -> None:
        try:
            self.system.rm(self._place(case_id), recursive=True)
        except FileNotFoundError:
            return

    def cases(self) -> Iterator[str]:
        for shelf in self.system.ls(self.root, detail=False):
            if not _SHELF.fullmatch(_last(shelf)):
                continue
            for place in self.system.ls(shelf, detail=False):
                if _CASE.fullmatch(_last(place)):
                    yield _last(place)

    def database(self) -> str | None:
        try:
            return _read_mark(bytes(self.system.cat_file(f"{self.root}/{_MARK}")))
        except FileNotFoundError:
            return None

    def belong_to(self, database_id: str) -> None:
        self.system.pipe_file(f"{self.root}/{_MARK}", f"{database_id}\n".encode())

    def _place(self, case_id: str) -> str:
        return f"{self.root}/{_checked_case(case_id)[:2]}/{case_id}"


def _last(path: object) -> str:
    return str(path).rstrip("/").rsplit("/", 1)[-1]


def _read_mark(data: bytes) -> str:
    return data.decode("ascii", "replace").strip()


def is_case_id(text: str) -> bool:
    """Tell whether this could be a case's id: 32 hexadecimal digits."""
    return _CASE.fullmatch(text) is not None


def _checked_case(case_id: str) -> str:
    if not is_case_id(case_id):
        raise UsageError(f"'{case_id[:40]}' is no case's id")
    return case_id


def _checked(name: str) -> str:
    if not _FILE.fullmatch(name):
        raise UsageError(f"'{name[:80]}' is no stored file's name")
    return name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
