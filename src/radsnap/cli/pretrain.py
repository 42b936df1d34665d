"""`radsnap pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked
from radsnap.cli.options import (
    BatchSize,
    Data,
    Epochs,
    LearningRate,
    RunFolder,
    Seed,
    SkipUnreadable,
    Workers,
    command_line,
    values_of,
)


def pretrain(
    context: typer.Context,
    data: Data,
    output: RunFolder,
    config: Annotated[str, typer.Option(help="small, paper, or a TOML file like them.")] = "small",
    method: Annotated[
        str | None,
        typer.Option(
            help="gmml (groups of patches), sit (with a contrastive teacher) or mae (dropped tokens); else the config's."
        ),
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Corrupt as the published sampler does, with its faults.")
    ] = False,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to go on from.")] = None,
    epochs: Epochs = None,
    draws: Annotated[int | None, typer.Option(help="Images per epoch; all by default.")] = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    workers: Workers = 0,
    figure_every: Annotated[int, typer.Option(help="Draw restored images every so many epochs.")] = 2,
    seed: Seed = 0,
    skip_unreadable: SkipUnreadable = False,
) -> None:
    """Pre-train a transformer on chest x-rays without labels; started again, it goes on.

    Example: radsnap pretrain --data manifest.csv -o runs/pretrained
    """
    from radsnap.extras import need

    need("torch", extra="train")
    from radsnap.jobs.pretrain import PretrainConfig
    from radsnap.jobs.pretrain import pretrain as run

    values = values_of(context, {"draws": "draws_per_epoch"}) | {"command": command_line()}
    settings = checked(PretrainConfig, values)
    with bar("pre-training") as report:
        weights = run(settings, report)
    typer.echo(str(weights))
