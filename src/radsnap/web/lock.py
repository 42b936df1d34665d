"""One server a data folder: a second one, or a check beside it, would take a case half stored for an orphan."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radsnap.errors import UsageError


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold a data folder; the system lets go of it when the process ends, however it ends.

    Raises UsageError when another process holds it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(
            f"{data} cannot be written ({error.strerror}); name another folder with --data"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{data} is in use by another radsnap; stop it, or name another folder with --data"
            ) from error
        yield
    finally:
        os.close(descriptor)
