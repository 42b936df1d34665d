"""`radsnap train gate|kind|findings|lungs|corners|upright`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked


def train(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="gate, kind, findings, lungs, corners or upright.")],
    data: Annotated[list[Path], typer.Option(help="A manifest; repeat to train on several.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; an interrupted run goes on.")
    ],
    source: Annotated[
        str | None, typer.Option(help="Keep the rows of one source (kind, else collection).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; the stage's by default.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Weights to start from: gate, kind, findings, a card, safetensors, or our ONNX."
        ),
    ] = None,
    network: Annotated[
        str, typer.Option(help="densenet121, or a transformer: vit-tiny-16, vit-small-16 ...")
    ] = "densenet121",
    probe: Annotated[
        bool, typer.Option("--probe", help="Train the last layer alone; everything below stays as it is.")
    ] = False,
    labels: Annotated[
        str | None, typer.Option(help="Columns to learn, by commas, instead of the findings.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of classes for 'kind', instead of body.")] = None,
    uncertain: Annotated[str, typer.Option(help="What -1 becomes: ones, zeros or ignore.")] = "ignore",
    class_weights: Annotated[
        str, typer.Option(help="none, or balanced: present and absent count alike in the loss.")
    ] = "none",
    size_px: Annotated[
        int | None, typer.Option("--size", help="Side of the network's input, in pixels.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.")] = None,
    draws: Annotated[int | None, typer.Option(help="Images drawn per epoch.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    layer_decay: Annotated[
        float, typer.Option(help="Factor of the learning rate from a layer to the one below it.")
    ] = 1.0,
    optimiser: Annotated[str, typer.Option(help="radam or adamw.")] = "radam",
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation figure.")
    ] = None,
    choose_by: Annotated[
        str, typer.Option(help="What chooses the epoch on validation: all (x-rays and photos) or digital.")
    ] = "all",
    average: Annotated[
        str, typer.Option(help="Average validation scores over views of an image: none, flip or crops.")
    ] = "none",
    mixup: Annotated[
        float, typer.Option(help="Mix pairs of images, in shares from Beta(A, A); 0: off.")
    ] = 0.0,
    augment: Annotated[
        str, typer.Option(help="usual, or strong: shape, sharpness, tone and borders vary more.")
    ] = "usual",
    photo_share: Annotated[
        float | None, typer.Option(help="Share of images photographed by screen-lite and film-lite; 0.5.")
    ] = None,
    photo_augment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RECIPE@P", help="Photograph by a recipe or chain with chance P, instead; repeatable."
        ),
    ] = None,
    consistency: Annotated[
        float, typer.Option(help="Weight of saying the same of an x-ray and of its photo.")
    ] = 0.0,
    operating: Annotated[
        str, typer.Option(help="Rule of operating points: youden, or midpoint (under shift; becomes 0.5).")
    ] = "youden",
    licence: Annotated[
        str, typer.Option(help="The weights' licence, for the card.")
    ] = "research use; the licences of the training data apply",
    caveat: Annotated[
        list[str] | None, typer.Option(help="A sentence for the card of what to beware of; repeatable.")
    ] = None,
    guide: Annotated[
        float, typer.Option(help="Weight of keeping heat maps inside the manifest's lung masks and boxes.")
    ] = 0.0,
    accumulate: Annotated[
        int, typer.Option(help="Take a step's images in so many parts, to save memory.")
    ] = 1,
    precision: Annotated[str, typer.Option(help="bf16 or float32.")] = "bf16",
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Compile the network first; pays in long trainings.")
    ] = False,
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
    if stage == "lungs":
        from radsnap.cli.train_lungs import train_lungs

        train_lungs(context)
        return
    if stage in ("corners", "upright"):
        from radsnap.cli.train_flatten import train_flatten

        train_flatten(context, stage)
        return
    from radsnap.jobs.train import TrainConfig
    from radsnap.jobs.train import train as run

    config = checked(
        TrainConfig,
        {
            "stage": stage,
            "data": tuple(data),
            "output": output,
            "source": source,
            "name": name,
            "start": start,
            "network": network,
            "probe": probe,
            "labels": tuple(part.strip() for part in labels.split(",")) if labels else None,
            "column": column,
            "uncertain": uncertain,
            "class_weights": class_weights,
            "size_px": size_px,
            "epochs": epochs,
            "draws_per_epoch": draws,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "layer_decay": layer_decay,
            "optimiser": optimiser,
            "patience": patience,
            "choose_by": choose_by,
            "average": average,
            "mixup": mixup,
            "augment": augment,
            "photo_share": photo_share,
            "photo_augment": tuple(photo_augment or ()),
            "consistency": consistency,
            "operating": operating,
            "licence": licence,
            "caveats": tuple(caveat or ()),
            "guide": guide,
            "accumulate": accumulate,
            "precision": precision,
            "compiled": compiled,
            "workers": workers,
            "seed": seed,
            "skip_unreadable": skip_unreadable,
            "command": shlex.join(["radsnap", *sys.argv[1:]]),
        },
    )
    with bar("training") as report:
        card = run(config, report)
    if card is None:  # one of several processes: the first reports
        return
    typer.echo(f"{config.output / card.file}  {card.name}: {', '.join(head.name for head in card.heads)}")
