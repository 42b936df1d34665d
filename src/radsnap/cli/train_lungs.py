"""`radsnap train lungs`: what the command `train` does for the lungs, whose options are fewer."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import typer

from radsnap.cli.console import bar, checked
from radsnap.errors import UsageError

# Option of `train` → its name in the job's config.
_TAKEN = {
    "data": "data", "output": "output", "name": "name", "start": "start", "network": "network", "size_px": "size_px",
    "epochs": "epochs", "draws": "draws_per_epoch", "batch_size": "batch_size", "learning_rate": "learning_rate",
    "augment": "augment", "photo_share": "photo_share", "workers": "workers", "seed": "seed",
}  # fmt: skip


def train_lungs(context: typer.Context) -> None:
    """Train the network that finds the lungs, with the options that were given to `train`.

    Raises UsageError for an option that has no meaning here.
    """
    from radsnap.jobs.train_lungs import TrainLungsConfig
    from radsnap.jobs.train_lungs import train_lungs as run

    given = _given(context)
    given.pop("stage", None)
    strange = [name for name in given if name not in _TAKEN]
    if strange:
        option = "--" + strange[0].replace("_", "-")
        raise UsageError(f"{option} does not go with 'radsnap train lungs'; leave it out")
    values = {_TAKEN[name]: value for name, value in given.items()}
    values |= {"data": tuple(given["data"]), "command": shlex.join(["radsnap", *sys.argv[1:]])}
    config = checked(TrainLungsConfig, values)
    with bar("training") as report:
        card = run(config, report)
    typer.echo(f"{config.output / card.file}  {card.name}: {', '.join(card.heads[0].classes)}")


def _given(context: typer.Context) -> dict[str, Any]:
    """What the command line says itself, defaults left out."""
    named = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: context.params[name]
        for name, source in named.items()
        if source is not None and source.name == "COMMANDLINE"
    }
