"""What the commands show on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from radsnap.errors import UsageError
from radsnap.jobs.progress import Progress, Report

if TYPE_CHECKING:
    from pydantic import BaseModel

Config = TypeVar("Config", bound="BaseModel")


def checked(config: type[Config], values: dict[str, Any]) -> Config:
    """Make a job's config from a command's options. Raises UsageError naming the first option that is wrong."""
    from pydantic import ValidationError

    try:
        return config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {first['msg']}, got {first['input']!r}") from error


@contextmanager
def bar(title: str) -> Iterator[Report]:
    """Show a progress bar with time left on a terminal; a line now and then where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as display:
        task = display.add_task(title, total=None, note="")

        def report(progress: Progress) -> None:
            display.update(task, completed=progress.done, total=progress.total, note=progress.note)

        yield report


def _lines(title: str, every_s: float = 10.0) -> Report:
    started = last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every_s and "validation" not in progress.note and progress.done != progress.total:
            return
        last = now
        sys.stderr.write(f"{title} {progress.done}/{progress.total} {now - started:.0f} s {progress.note}\n")
        sys.stderr.flush()

    return report
