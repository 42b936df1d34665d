"""Files inside tar archives, named by a path that goes on into the archive: `shards/train-000000.tar/00000012.jpg`."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from radsnap.errors import UnreadableImage

_MOST_FILES = 1_000_000


@dataclass(frozen=True)
class Place:
    """Where a file's bytes lie in an archive."""

    archive: Path
    offset: int
    bytes: int


def find(path: Path) -> Place | None:
    """Look a path up in the archive that it goes through; None where it goes through none, or none has it.

    Raises UnreadableImage for an archive that is broken or compressed.
    """
    for parent in path.parents:
        if parent.suffix == ".tar" and parent.is_file():
            status = parent.stat()
            found = _index(parent, status.st_mtime_ns, status.st_size).get(
                path.relative_to(parent).as_posix()
            )
            return None if found is None else Place(parent, *found)
    return None


def holds(path: Path) -> bool:
    """Whether a path names a file, of its own or inside an archive."""
    return path.is_file() or find(path) is not None


def read(place: Place) -> bytes:
    """Read a file's bytes out of its archive."""
    with place.archive.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.bytes)


@lru_cache(maxsize=4096)
def _index(archive: Path, _changed_ns: int, _size: int) -> dict[str, tuple[int, int]]:
    """Give offset and length of every regular file in an archive; read once, and again when it changes."""
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if len(places) >= _MOST_FILES:
                    raise UnreadableImage(
                        f"{archive}: more than {_MOST_FILES} files in one archive; write smaller shards"
                    )
                if member.isreg() and not member.issparse():
                    places[member.name.removeprefix("./")] = member.offset_data, member.size
    except (tarfile.TarError, OSError) as error:
        raise UnreadableImage(
            f"{archive}: not a plain tar archive ({error}); write it again, without compression"
        ) from error
    return places
