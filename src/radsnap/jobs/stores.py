"""Where a job's files lie: a folder, or object storage through fsspec. Every write is whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from radsnap.errors import ImageTooLarge, RadsnapError, UnreadableImage, UsageError
from radsnap.extras import need
from radsnap.imaging.bounds import Bounds, Source

WORKPLACE = ".radsnap"
"""The folder of a job that is not finished: half-written files, its journal, its lock."""


class Store(Protocol):
    """A folder of files; names are relative, with '/'. Small enough to send to a worker."""

    @property
    def label(self) -> str:
        """The folder's address, for messages."""

    def image(self, name: str, bounds: Bounds) -> Source:
        """Give what `read_radiograph` takes: a path, or bytes within the bounds."""

    def read(self, name: str) -> bytes | None:
        """Give a file's bytes, None when it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file. Raises RadsnapError when it cannot be."""

    def adopt(self, file: Path, name: str) -> None:
        """Copy a local file in. Raises RadsnapError when it cannot be."""

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""

    def missing(self, names: Iterable[str]) -> set[str]:
        """Tell which of many files are not there."""

    def files(self) -> list[str]:
        """List all files, in the order of their names."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all in it; what is not there is no error."""


@dataclass(frozen=True)
class LocalStore:
    """A folder of this machine, or of a file system that all machines share."""

    root: Path

    @property
    def label(self) -> str:
        return str(self.root)

    def image(self, name: str, bounds: Bounds) -> Source:
        return self.root / name

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._written(name) as partial:
            partial.write_bytes(data)

    def adopt(self, file: Path, name: str) -> None:
        with self._written(name) as partial:
            shutil.copyfile(file, partial)

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def missing(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if not self.exists(name)}

    def files(self) -> list[str]:
        found = (Path(folder) / name for folder, _, names in os.walk(self.root) for name in names)
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        """Give a temporary name of our own, and put it in place. All of them lie in one folder, easy to sweep."""
        partial = self.root / WORKPLACE / "unfinished" / uuid.uuid4().hex
        target = self.root / name
        try:
            for folder in (partial.parent, target.parent):
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
            try:
                yield partial
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RadsnapError(f"{target} cannot be written ({reason}); mend that and start again") from error


@dataclass(frozen=True)
class RemoteStore:
    """A folder in object storage, such as s3://bucket/folder; what is put there appears whole."""

    address: str

    @property
    def label(self) -> str:
        return self.address

    def image(self, name: str, bounds: Bounds) -> Source:
        path = self._path(name)
        label = f"{self.address}/{name}"
        try:
            size = int(self._fs.size(path) or 0)
            if size > bounds.bytes:
                raise ImageTooLarge(f"{label}: {size:,} bytes are over the bound of {bounds.bytes:,}")
            return bytes(self._fs.cat_file(path))
        except FileNotFoundError as error:
            raise UnreadableImage(f"{label}: no such file; check the path") from error

    def read(self, name: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        try:
            self._fs.pipe_file(self._path(name), data)
        except OSError as error:
            raise self._unwritten(name, error) from error

    def adopt(self, file: Path, name: str) -> None:
        try:
            self._fs.put_file(str(file), self._path(name))
        except OSError as error:
            raise self._unwritten(name, error) from error

    def exists(self, name: str) -> bool:
        return bool(self._fs.isfile(self._path(name)))

    def missing(self, names: Iterable[str]) -> set[str]:
        return set(names).difference(self.files())

    def files(self) -> list[str]:
        root = self._path("").rstrip("/") + "/"
        found = self._fs.find(root) if self._fs.exists(root) else []
        return sorted(str(path)[len(root) :] for path in found if str(path).startswith(root))

    def remove(self, name: str) -> None:
        if self._fs.exists(self._path(name)):
            self._fs.rm(self._path(name), recursive=True)

    @property
    def _fs(self) -> Any:
        return _file_system(self.address)[0]

    def _path(self, name: str) -> str:
        return f"{_file_system(self.address)[1]}/{name}"

    def _unwritten(self, name: str, error: OSError) -> RadsnapError:
        return RadsnapError(f"{self.address}/{name} cannot be written ({error}); mend that and start again")


@cache
def _file_system(address: str) -> tuple[Any, str]:
    """Open the file system of an address (once a process); give it with the address's path in it."""
    fsspec = need("fsspec", extra="cluster")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:  # no such protocol; or its package is not installed
        raise UsageError(f"{address}: no such storage here ({error})") from error
    return system, str(path).rstrip("/")


def is_remote(address: str) -> bool:
    """Tell whether an address names object storage ("s3://bucket/folder") and no local path."""
    return "://" in address and not address.startswith("file://")


def one_process_only(address: str) -> bool:
    """Tell whether a storage is seen by the process alone that filled it."""
    return address.startswith("memory://")


def open_store(address: str) -> Store:
    """Open a folder by its path or address; it need not exist. Raises UsageError or MissingExtra."""
    if is_remote(address):
        _file_system(address.rstrip("/"))
        return RemoteStore(address.rstrip("/"))
    return LocalStore(Path(address.removeprefix("file://")).absolute())


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Keep a local folder to one run at a time. Raises UsageError when another one is at work in it.

    The lock is the operating system's: it goes with the process, however that ends.
    """
    if not isinstance(store, LocalStore):
        yield
        return
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        yield
        return
    path = store.root / WORKPLACE / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another run is at work in {store.root}; wait for it, or give another folder"
            ) from error
        yield
