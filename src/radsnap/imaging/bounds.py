"""How much a door lets in, and the bytes that pass it."""

from __future__ import annotations

import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from radsnap.errors import ImageError, ImageTooLarge, UnreadableImage
from radsnap.imaging import archive

Source = str | os.PathLike[str] | bytes

# What decoders raise on bytes that lie. Narrower than Exception: an interrupt or a RadsnapError passes.
DECODER_FAULTS = (
    OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, SyntaxError,
    RuntimeError, AssertionError, MemoryError, struct.error, zlib.error, cv2.error,
)  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """What a file may claim before anything is decoded: its bytes, its pixels (a frame), its frames.

    A file of several frames within `frames` is read, and its first frame taken.
    """

    bytes: int = 300_000_000
    pixels: int = 120_000_000
    frames: int = 1

    def check_bytes(self, name: str, count: int) -> None:
        """Refuse a file of too many bytes."""
        if count > self.bytes:
            raise ImageTooLarge(
                f"{name}: {count:,} bytes are over the bound of {self.bytes:,}; make the file smaller first"
            )

    def check_size(self, name: str, width: int, height: int) -> None:
        """Refuse a picture without pixels, or with too many; sizes as the file's header claims them."""
        if width < 1 or height < 1:
            raise UnreadableImage(f"{name}: a picture of {width} × {height} px; get the file again")
        if width * height > self.pixels:
            raise ImageTooLarge(
                f"{name}: {width:,} × {height:,} px are over the bound of {self.pixels:,} pixels; "
                "make the picture smaller first"
            )

    def check_frames(self, name: str, count: int, at_least: bool = False) -> None:
        """Refuse more frames than the bound; `at_least` when the count stopped early."""
        if count > self.frames:
            many = "more than one frame" if self.frames == 1 else f"more than {self.frames} frames"
            tally = f"at least {count}" if at_least else f"{count}"
            raise ImageTooLarge(f"{name}: {many} ({tally}); save one frame as a picture of its own")


def load_bytes(source: Source, bounds: Bounds, name: str | None = None) -> tuple[bytes, str]:
    """Read a file's bytes, or pass bytes on, within the bounds; give them with the name for messages.

    Raises UnreadableImage for what is absent, a folder, no regular file or empty.
    """
    if isinstance(source, bytes):
        label = name or "these bytes"
        bounds.check_bytes(label, len(source))
        data = source
    else:
        label = name or os.fspath(source)
        data = _file_bytes(Path(source), label, bounds)
    if not data:
        raise UnreadableImage(f"{label}: the file is empty; get it again from its source")
    return data, label


def _file_bytes(path: Path, label: str, bounds: Bounds) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not hang.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise UnreadableImage(f"{label}: this is a folder, not an image; name the files in it")
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage(f"{label}: this is not a regular file; name an image file")
            bounds.check_bytes(label, status.st_size)
            data = file.read(bounds.bytes + 1)
    except FileNotFoundError as error:
        raise UnreadableImage(f"{label}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise UnreadableImage(f"{label}: this is a folder, not an image; name the files in it") from error
    except NotADirectoryError as error:
        place = archive.find(path)
        if place is None:
            raise UnreadableImage(f"{label}: no such file; check the path") from error
        bounds.check_bytes(label, place.bytes)
        data = archive.read(place)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise UnreadableImage(f"{label}: cannot be opened ({reason}); check path and permissions") from error
    bounds.check_bytes(label, len(data))
    return data


class _Quiet:
    """Silence warnings while any thread decodes; `warnings.catch_warnings` alone is not thread-safe."""

    def __init__(self) -> None:
        self.lock, self.depth = threading.Lock(), 0
        self.outer: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.outer = warnings.catch_warnings()
                self.outer.__enter__()
                warnings.simplefilter("ignore")
            self.depth += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0 and self.outer is not None:
                self.outer.__exit__(None, None, None)


_QUIET = _Quiet()


def quiet() -> _Quiet:
    """Keep to ourselves what decoders remark on odd metadata; what matters is raised, not warned of."""
    return _QUIET


@contextmanager
def decoding(name: str, format: str, *faults: type[Exception]) -> Iterator[None]:
    """Turn whatever a decoder raises, `faults` of its own included, into one UnreadableImage."""
    expected: tuple[type[Exception], ...] = (*DECODER_FAULTS, *faults)
    try:
        yield
    except ImageError:
        raise
    except expected as error:
        raise UnreadableImage(
            f"{name}: a broken {format}: its data cannot be decoded; get the file again"
        ) from error
