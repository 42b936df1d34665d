"""What decoders in C write to the terminal beneath our own messages: caught, and told apart from what others write."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Of what libjpeg warns of (jerror.h) these mean lost pixels; others, such as unknown Adobe marks, do not.
LOSS = re.compile(r"Corrupt JPEG data|Premature end|Inconsistent progression")
# How the messages of libpng and libjpeg begin.
_DECODERS = re.compile(
    r"libpng |Corrupt JPEG|Premature end|Inconsistent progression|Unsupported |Unknown |Invalid |Bogus |Improper "
)
_STDERR = 2
_one_at_a_time = threading.Lock()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Catch what decoders write to the standard error stream; the list holds their lines at the end.

    The stream is the process's own, so one decoder at a time: this is for the few that cannot be told to be quiet.
    What other threads write meanwhile comes out a moment later.
    """
    lines: list[str] = []
    with _one_at_a_time, tempfile.TemporaryFile() as caught:
        try:
            outside = os.dup(_STDERR)
        except OSError:  # a process without a standard error stream
            yield lines
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(outside, _STDERR)
            os.close(outside)
            caught.seek(0)
            for line in caught.read().splitlines(keepends=True):
                text = line.decode(errors="replace").strip()
                if _DECODERS.match(text):
                    lines.append(text)
                else:
                    os.write(_STDERR, line)


def loss(lines: list[str]) -> str | None:
    """Give the first line that tells of lost pixels."""
    return next((line for line in lines if LOSS.search(line)), None)
