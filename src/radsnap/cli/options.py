"""Options that several commands share, and how a command line becomes a job's config."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[list[Path], typer.Option(help="A manifest; repeat to train on several.")]
RunFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of the run; an interrupted run goes on.")
]
Epochs = Annotated[int | None, typer.Option(help="Epochs.")]
Draws = Annotated[int | None, typer.Option(help="Images drawn per epoch.")]
BatchSize = Annotated[int | None, typer.Option(help="Images per step, of all processes together.")]
LearningRate = Annotated[float | None, typer.Option(help="The highest learning rate.")]
Workers = Annotated[int, typer.Option(help="Processes that prepare images.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave unreadable images out instead of stopping.")
]
Average = Annotated[
    str, typer.Option(help="Average scores over views of an image: none, flip (mirrored) or crops.")
]


def command_line() -> str:
    """Give the command as it was typed, for the card of what it makes."""
    return shlex.join(["radsnap", *sys.argv[1:]])


def values_of(context: typer.Context, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Give a command's options for its job's config: lists as tuples, names as the config has them."""
    return {
        renamed.get(name, name): tuple(value) if isinstance(value, list) else value
        for name, value in context.params.items()
    }


def given(context: typer.Context) -> dict[str, Any]:
    """Give what the command line says itself, defaults left out."""
    named = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: context.params[name]
        for name, source in named.items()
        if source is not None and source.name == "COMMANDLINE"
    }
