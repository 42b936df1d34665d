"""`radsnap train lungs`: what the command `train` does for the lungs, whose options are fewer."""

from __future__ import annotations

import typer

from radsnap.cli.console import bar, checked
from radsnap.cli.options import command_line, given
from radsnap.errors import UsageError

# Options of `train` that mean something here; another name is the job's own for it.
_TAKEN = (
    "data", "output", "name", "start", "network", "size_px", "epochs", "draws", "batch_size", "learning_rate",
    "augment", "photo_share", "workers", "seed",
)  # fmt: skip
_RENAMED = {"draws": "draws_per_epoch"}


def train_lungs(context: typer.Context) -> None:
    """Train the network that finds the lungs, with the options that were given to `train`.

    Raises UsageError for an option that has no meaning here.
    """
    from radsnap.jobs.train_lungs import TrainLungsConfig
    from radsnap.jobs.train_lungs import train_lungs as run

    told = given(context)
    told.pop("stage", None)
    strange = [name for name in told if name not in _TAKEN]
    if strange:
        option = "--" + strange[0].replace("_", "-")
        raise UsageError(f"{option} does not go with 'radsnap train lungs'; leave it out")
    values = {_RENAMED.get(name, name): value for name, value in told.items()}
    values |= {"data": tuple(told["data"]), "command": command_line()}
    config = checked(TrainLungsConfig, values)
    with bar("training") as report:
        card = run(config, report)
    if card is not None:  # None: one of several processes, of which the first reports
        typer.echo(f"{config.output / card.file}  {card.name}: {', '.join(card.heads[0].classes)}")
