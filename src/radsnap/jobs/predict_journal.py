"""What a prediction has done so far, on disk, so that it goes on where it was interrupted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError

FloatArray = NDArray[np.float32]
_SYNC_EVERY_S = 2.0


class Note(NamedTuple):
    """How a photo was read: `straightened` or `as it is`, and how sure its corners were, if any were found."""

    flatten: str
    confidence: float | None


@dataclass(frozen=True, eq=False)
class Batch:
    """The result of one batch of rows: the ids that were scored, their logits (n, outputs), and the faults by id.

    notes: id → how a photo was read, of those that were looked at for their corners.
    """

    image_ids: tuple[str, ...]
    logits: FloatArray
    faults: Mapping[str, str]
    notes: Mapping[str, Note] = field(default_factory=dict)


@dataclass(eq=False)
class Journal:
    """Results by batch number, one line of JSON each, appended as they come.

    key: what the results depend on. A journal with another key is begun afresh; a last line that was cut off
    is left out. Numbers come back bit for bit.
    """

    path: Path
    key: str
    done: dict[int, Batch] = field(default_factory=dict)
    _file: BinaryIO | None = None
    _synced: float = 0.0

    def __enter__(self) -> Journal:
        good = self._read()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("r+b" if good else "wb")
        except OSError as error:
            raise UsageError(
                f"{self.path.parent} cannot be written to ({error.strerror}); name another -o"
            ) from error
        if good:
            self._file.truncate(good)
            self._file.seek(good)
        else:
            self._write({"key": self.key})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, number: int, batch: Batch) -> None:
        """Keep a batch; it is on the disk a moment later, whatever happens to this process."""
        rows = [[one, *map(float, row)] for one, row in zip(batch.image_ids, batch.logits, strict=True)]
        self._write({"batch": number, "rows": rows, "faults": dict(batch.faults), "notes": dict(batch.notes)})
        self.done[number] = batch

    def remove(self) -> None:
        """Throw the journal away, once the result stands."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()  # outlives a killed process; fsync, now and then, outlives a power cut
        if time.monotonic() - self._synced > _SYNC_EVERY_S:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _read(self) -> int:
        """Read what is there; gives the number of bytes that are good, 0 for none."""
        if not self.path.is_file():
            return 0
        good = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                if good == 0 and entry["key"] != self.key:
                    return 0
                if good:
                    self.done[int(entry["batch"])] = _batch(entry)
            except (ValueError, KeyError, TypeError):
                break
            good += len(line)
        return good


def _batch(entry: dict[str, Any]) -> Batch:
    ids = tuple(str(row[0]) for row in entry["rows"])
    logits = np.array([row[1:] for row in entry["rows"]], dtype=np.float32)
    notes = {
        str(k): Note(str(how), None if sure is None else float(sure))
        for k, (how, sure) in entry["notes"].items()
    }
    return Batch(ids, logits, {str(k): str(v) for k, v in entry["faults"].items()}, notes)
