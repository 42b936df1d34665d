"""Fetch a file from a public address: progress, going on where it stopped, and the checksum before anything else."""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from radsnap.errors import UsageError, WeightsError

Tick = Callable[[int, int], None]
MAX_BYTES = 4 * 1024**3
_CHUNK = 1 << 20
_LOCAL = ("127.0.0.1", "localhost", "::1")


def fetch(
    url: str, target: Path, sha256: str | None, tick: Tick = lambda *_: None, timeout_s: float = 60.0
) -> Path:
    """Fetch a URL into a file, which appears under its name only when it is whole and its checksum is right.

    What was fetched before an interruption stays beside it as `.part`, and the next call goes on there if the
    server still has the same file. sha256: None takes what comes. tick: (bytes so far, bytes in all or 0).
    Raises UsageError for an address that is not https (http is for this machine), WeightsError for a transfer
    that fails, ends early, is too large or has another checksum.
    """
    _check_address(url)
    if target.is_file() and sha256 is not None and _hash(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part, mark = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    try:
        with _opened(url, part, mark, timeout_s) as (answer, start):
            total = _total(answer, start)
            got = _copy(answer, part, start, total, tick)
    except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
        raise WeightsError(
            f"{url} could not be fetched ({getattr(error, 'reason', None) or error}); start the same command "
            "again, it goes on where it stopped"
        ) from error
    if total and got != total:
        raise WeightsError(
            f"{url} ended after {got:,} of {total:,} bytes; start the same command again, it goes on there"
        )
    found = _hash(part)
    if sha256 is not None and found != sha256:
        part.unlink()
        mark.unlink(missing_ok=True)
        raise WeightsError(
            f"{url} is not the file that was expected: sha256 {found}, expected {sha256}; what came was thrown away"
        )
    part.replace(target)
    mark.unlink(missing_ok=True)
    return target


class _opened:  # noqa: N801  a context manager, used as a function
    """Ask for a URL from where a part ends; the server may answer from there, or from the start."""

    def __init__(self, url: str, part: Path, mark: Path, timeout_s: float) -> None:
        self.url, self.part, self.mark, self.timeout_s = url, part, mark, timeout_s

    def __enter__(self) -> tuple[Any, int]:
        version = _version_of(self.mark, self.url)
        start = self.part.stat().st_size if self.part.is_file() and version else 0
        headers = {"User-Agent": "radsnap", "Accept-Encoding": "identity"}
        if start and version:
            headers |= {"Range": f"bytes={start}-", "If-Range": version}
        try:
            self.answer = _ask(self.url, headers, self.timeout_s)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not start:  # 416: nothing is left after what we have, or it has changed
                raise WeightsError(
                    f"{self.url} answers {error.code} {error.reason}; check the address"
                ) from error
            start = 0
            plain = {"User-Agent": "radsnap", "Accept-Encoding": "identity"}
            self.answer = _ask(self.url, plain, self.timeout_s)
        if self.answer.status != 206 or not _from(self.answer, start):
            start = 0
        fresh = self.answer.headers.get("ETag") or self.answer.headers.get("Last-Modified") or ""
        if fresh.startswith("W/"):  # a weak tag does not promise the same bytes
            fresh = ""
        self.mark.write_text(json.dumps({"url": self.url, "version": fresh}))
        return self.answer, start

    def __exit__(self, *_: object) -> None:
        self.answer.close()


def _ask(url: str, headers: dict[str, str], timeout_s: float) -> Any:
    # the address was checked to be http or https, and urllib follows redirects to nothing else
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)  # noqa: S310


def _check_address(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return
    raise UsageError(f"'{url}' is not an https address; weights are not fetched by other ways")


def _version_of(mark: Path, url: str) -> str:
    try:
        kept = json.loads(mark.read_text())
        return str(kept["version"]) if kept["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _from(answer: Any, start: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _total(answer: Any, start: int) -> int:
    length = str(answer.headers.get("Content-Length") or "")
    total = start + int(length) if length.isdigit() else 0
    if total > MAX_BYTES:
        raise WeightsError(f"{answer.url} has {total:,} bytes, over the bound of {MAX_BYTES:,}")
    return total


def _copy(answer: Any, part: Path, start: int, total: int, tick: Tick) -> int:
    got = start
    file: IO[bytes]
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        tick(got, total)
        while chunk := answer.read1(_CHUNK):
            got += len(chunk)
            if got > MAX_BYTES:
                raise WeightsError(f"{answer.url} sends more than {MAX_BYTES:,} bytes")
            file.write(chunk)
            tick(got, total)
        file.truncate()
    return got


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
