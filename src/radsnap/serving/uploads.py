"""Files that come in: bounded, kept in a folder of ours under a name of ours, known by their first bytes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from radsnap.errors import ImageError, ImageTooLarge, UnreadableImage
from radsnap.imaging.files import sniff

_CHUNK = 1 << 18
_NAME_LENGTH = 120


@dataclass(frozen=True)
class Upload:
    """One file that came in. `name` is what the client called it, tidied, for messages only, never a path.

    `kind` is what its first bytes say (JPEG, PNG, DICOM ...), or None with the reason in `fault`.
    """

    path: Path
    name: str
    size: int
    kind: str | None
    fault: str | None = None

    def read(self) -> bytes:
        """Read the file."""
        return self.path.read_bytes()


@asynccontextmanager
async def uploads(
    request: Request, folder: Path, *, max_bytes: int, max_files: int = 1, field: str = "file"
) -> AsyncIterator[list[Upload]]:
    """Take the files of a request into a folder, for as long as the block runs.

    The body is either one file as it is, or multipart with files in `field`. What a client says of type
    and name is not believed. Raises ImageTooLarge for a file over `max_bytes`, UnreadableImage for none,
    too many, or a malformed body. ClientDisconnect passes.
    """
    taken: list[Upload] = []
    try:
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            await _multipart(request, folder, max_bytes, max_files, field, taken)
        else:
            await _raw(request, folder, max_bytes, taken)
        yield taken
    finally:
        for upload in taken:
            upload.path.unlink(missing_ok=True)


async def _raw(request: Request, folder: Path, max_bytes: int, taken: list[Upload]) -> None:
    path = _place(folder)
    size, head = 0, b""
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                _check(size, max_bytes, "the file")
                head += chunk[: max(0, 4096 - len(head))]
                file.write(chunk)  # 64 KiB at most, into the page cache: faster than a hop to a thread
        taken.append(_upload(path, "the file", size, head))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


async def _multipart(
    request: Request, folder: Path, max_bytes: int, max_files: int, field: str, taken: list[Upload]
) -> None:
    limits = {"max_files": max_files, "max_fields": 20, "max_part_size": 1 << 16}
    try:
        async with aclosing(request.stream()) as stream:
            form = await _Parser(folder, request.headers, stream, **limits).parse()
    except (MultiPartException, UnicodeError, LookupError) as error:
        told = error.message if isinstance(error, MultiPartException) else "its charset is none"
        raise UnreadableImage(
            f"the form cannot be read ({told}); send up to {max_files} in the field '{field}'"
        ) from error
    try:
        files = [part for part in form.getlist(field) if isinstance(part, UploadFile)]
        if not files:
            raise UnreadableImage(f"the form has no file in its field '{field}'; name the field so")
        for part in files:
            taken.append(await run_in_threadpool(_copy, part, folder, max_bytes))
    finally:
        await form.close()


class _Parser(MultiPartParser):
    """Starlette's; its files that outgrow memory lie in a folder of ours, not in that for temporary files."""

    def __init__(self, folder: Path, *given: Any, **limits: Any) -> None:
        super().__init__(*given, **limits)
        self.folder = folder

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            part.file.file.close()
            ours = SpooledTemporaryFile(self.spool_max_size, dir=str(self.folder))  # noqa: SIM115 - form.close()
            self._files_to_close_on_error.append(ours)
            part.file.file = cast(BinaryIO, ours)


def _copy(part: UploadFile, folder: Path, max_bytes: int) -> Upload:
    path, size, head = _place(folder), 0, b""
    name = tidy_name(part.filename)
    try:
        with path.open("wb") as file:
            while chunk := part.file.read(_CHUNK):
                size += len(chunk)
                _check(size, max_bytes, name)
                head = head or chunk[:4096]
                file.write(chunk)
        return _upload(path, name, size, head)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def tidy_name(name: str | None) -> str:
    """Give a client's file name as one short line without folders; what is no letter or sign is dropped."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    return plain[:_NAME_LENGTH] or "the file"


def _place(folder: Path) -> Path:
    return folder / f"{uuid.uuid4().hex}.part"


def _check(size: int, max_bytes: int, name: str) -> None:
    if size > max_bytes:
        raise ImageTooLarge(f"{name}: more than {max_bytes:,} bytes; make the file smaller first")


def _upload(path: Path, name: str, size: int, head: bytes) -> Upload:
    try:
        if not size:
            raise UnreadableImage(f"{name}: the file is empty; get it again from its source")
        return Upload(path, name, size, sniff(head, name))
    except ImageError as error:
        return Upload(path, name, size, None, str(error))
