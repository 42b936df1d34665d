"""What the commands show on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from radsnap.errors import UsageError
from radsnap.jobs.progress import Progress, Report

if TYPE_CHECKING:
    from pydantic import BaseModel

Config = TypeVar("Config", bound="BaseModel")


def checked(config: type[Config], values: dict[str, Any]) -> Config:
    """Make a job's config from a command's options. Raises UsageError naming the first option that is wrong.

    What a field keeps out of its repr is secret: it is not told back.
    """
    from pydantic import ValidationError

    try:
        return config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = _option_of(str(first["loc"][0])) if first["loc"] else "these options"
        what = first["msg"].removeprefix("Value error, ")
        field = config.model_fields.get(str(first["loc"][0])) if first["loc"] else None
        got = f", got {first['input']!r}" if field is None or field.repr else ""
        raise UsageError(f"{where}: {what}{got}") from error


def _option_of(field: str) -> str:
    """Name a config's field as the running command's user gives it: its option, or its argument in capitals."""
    context = _context()
    if context is None:
        return field
    named = {str(one.name): one for one in context.command.params}
    # where the names differ, the option is the shorter one: draws, draws_per_epoch
    near = sorted((name for name in named if field.startswith(name)), key=len)
    parameter = named.get(field) or (named[near[-1]] if near else None)
    if parameter is None:
        return field
    return max(parameter.opts, key=len) if parameter.param_type_name == "option" else field.upper()


def _context() -> Any:
    """Give the running command's context; None where a job is called without a command line."""
    for name in ("typer._click.globals", "click.globals"):  # newer typers carry a click of their own
        try:
            module = import_module(name)
        except ImportError:
            continue
        found = module.get_current_context(silent=True)
        if found is not None:
            return found
    return None


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
