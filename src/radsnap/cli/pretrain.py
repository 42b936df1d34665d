"""`radsnap pretrain`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked


def pretrain(
    data: Annotated[list[Path], typer.Option(help="A manifest; repeat to pre-train on several.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; an interrupted run goes on.")
    ],
    config: Annotated[str, typer.Option(help="small, paper, or a TOML file like them.")] = "small",
    method: Annotated[
        str | None,
        typer.Option(help="gmml (groups of patches) or mae (dropped tokens), instead of the config's."),
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Corrupt as the published sampler does, with its faults.")
    ] = False,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to go on from.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.")] = None,
    draws: Annotated[int | None, typer.Option(help="Images per epoch; all by default.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step, of all processes together.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that prepare images.")] = 0,
    figure_every: Annotated[int, typer.Option(help="Draw restored images every so many epochs.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave unreadable images out instead of stopping.")
    ] = False,
) -> None:
    """Pre-train a transformer on chest x-rays without labels; started again, it goes on.

    Example: radsnap pretrain --data manifest.csv -o runs/pretrained
    """
    from radsnap.extras import need

    need("torch", extra="train")
    from radsnap.jobs.pretrain import PretrainConfig
    from radsnap.jobs.pretrain import pretrain as run

    settings = checked(
        PretrainConfig,
        {
            "data": tuple(data),
            "output": output,
            "config": config,
            "method": method,
            "as_published": as_published,
            "start": start,
            "epochs": epochs,
            "draws_per_epoch": draws,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "workers": workers,
            "figure_every": figure_every,
            "seed": seed,
            "skip_unreadable": skip_unreadable,
            "command": shlex.join(["radsnap", *sys.argv[1:]]),
        },
    )
    with bar("pre-training") as report:
        weights = run(settings, report)
    typer.echo(str(weights))
