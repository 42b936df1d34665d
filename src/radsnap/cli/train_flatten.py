"""`radsnap train corners` and `radsnap train upright`: the two small networks of `radsnap flatten`."""

from __future__ import annotations

import typer

from radsnap.cli.console import bar, checked
from radsnap.cli.options import given as given_to
from radsnap.errors import UsageError
from radsnap.jobs.progress import Report
from radsnap.models.card import Card

_TAKEN = {"corners": ("data", "output", "seed", "start"), "upright": ("data", "output", "seed")}
_SPELT = {"start": "from"}


def train_flatten(context: typer.Context, stage: str) -> None:
    """Train one of the networks with the options that were given to `train`.

    Raises UsageError for an option that has no meaning here.
    """
    given = given_to(context)
    given.pop("stage", None)
    for name in given:
        if name not in _TAKEN[stage]:
            raise UsageError(
                f"--{_SPELT.get(name, name).replace('_', '-')} does not go with 'radsnap train {stage}'; leave it out"
            )
    if len(given["data"]) != 1:
        raise UsageError(f"'radsnap train {stage}' takes one manifest, got {len(given['data'])} times --data")
    values = {**given, "data": given["data"][0]}
    with bar("training") as report:
        card = _train(stage, values, report)
    typer.echo(f"{values['output'] / card.file}  {card.name}")


def _train(stage: str, values: dict[str, object], report: Report) -> Card:
    if stage == "corners":
        from radsnap.jobs.train_corners import TrainCornersConfig, train_corner_network

        return train_corner_network(checked(TrainCornersConfig, values), report)
    from radsnap.jobs.train_upright import TrainUprightConfig, train_upright_network

    return train_upright_network(checked(TrainUprightConfig, values), report)
