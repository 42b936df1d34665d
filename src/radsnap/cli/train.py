"""`radsnap train gate|kind|findings`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked


def train(
    stage: Annotated[str, typer.Argument(help="gate, kind or findings.")],
    data: Annotated[list[Path], typer.Option(help="A manifest; repeat to train on several.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; an interrupted run goes on.")
    ],
    name: Annotated[str | None, typer.Option(help="The model's name; the stage's by default.")] = None,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to start from (safetensors).")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Columns to learn, by commas, instead of the findings.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of classes for 'kind', instead of body.")] = None,
    uncertain: Annotated[str, typer.Option(help="What -1 becomes: ones, zeros or ignore.")] = "ignore",
    size_px: Annotated[
        int | None, typer.Option("--size", help="Side of the network's input, in pixels.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.")] = None,
    draws: Annotated[int | None, typer.Option(help="Images drawn per epoch.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    optimiser: Annotated[str, typer.Option(help="radam or adamw.")] = "radam",
    photo_share: Annotated[float, typer.Option(help="Share of images that are photographed, 0 to 1.")] = 0.5,
    guide: Annotated[
        float, typer.Option(help="Weight of keeping heat maps inside the manifest's lung masks and boxes.")
    ] = 0.0,
    workers: Annotated[int, typer.Option(help="Processes that prepare images.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave unreadable images out instead of stopping.")
    ] = False,
) -> None:
    """Train a stage's network; started again, it goes on where it was interrupted.

    Example: radsnap train kind --data manifest.csv -o runs/kind
    """
    from radsnap.extras import need

    need("torch", extra="train")
    from radsnap.jobs.train import TrainConfig
    from radsnap.jobs.train import train as run

    config = checked(
        TrainConfig,
        {
            "stage": stage,
            "data": tuple(data),
            "output": output,
            "name": name,
            "start": start,
            "labels": tuple(part.strip() for part in labels.split(",")) if labels else None,
            "column": column,
            "uncertain": uncertain,
            "size_px": size_px,
            "epochs": epochs,
            "draws_per_epoch": draws,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "optimiser": optimiser,
            "photo_share": photo_share,
            "guide": guide,
            "workers": workers,
            "seed": seed,
            "skip_unreadable": skip_unreadable,
            "command": shlex.join(["radsnap", *sys.argv[1:]]),
        },
    )
    with bar("training") as report:
        card = run(config, report)
    typer.echo(f"{config.output / card.file}  {card.name}: {', '.join(head.name for head in card.heads)}")
