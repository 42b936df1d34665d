"""`radsnap train gate|kind|findings|lungs|corners|upright`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked
from radsnap.cli.options import (
    Average,
    BatchSize,
    Data,
    Draws,
    Epochs,
    LearningRate,
    RunFolder,
    Seed,
    SkipUnreadable,
    Workers,
    command_line,
    values_of,
)

Source = Annotated[str | None, typer.Option(help="Keep the rows of one source (kind, else collection).")]
Name = Annotated[str | None, typer.Option(help="The model's name; the stage's by default.")]
Start = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Weights to start from: gate, kind, findings, a card, safetensors, or our ONNX; of corners the folder of an earlier run.",
    ),
]
Network = Annotated[
    str, typer.Option(help="densenet121, efficientnet-lite0, or a transformer: vit-tiny-16, vit-small-16 ...")
]
Probe = Annotated[
    bool, typer.Option("--probe", help="Train the last layer alone; everything below stays as it is.")
]
Freeze = Annotated[
    int, typer.Option(help="Keep so many blocks from below as they are, and all before them; learns faster.")
]
Labels = Annotated[str | None, typer.Option(help="Columns to learn, by commas, instead of the findings.")]
Column = Annotated[str | None, typer.Option(help="Column of classes for 'kind', instead of body.")]
Uncertain = Annotated[str, typer.Option(help="What -1 becomes: ones, zeros or ignore.")]
ClassWeights = Annotated[
    str, typer.Option(help="none, or balanced: present and absent count alike in the loss.")
]
Size = Annotated[int | None, typer.Option("--size", help="Side of the network's input, in pixels.")]
LayerDecay = Annotated[
    float, typer.Option(help="Factor of the learning rate from a layer to the one below it.")
]
Optimiser = Annotated[str, typer.Option(help="radam or adamw.")]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many epochs without a better validation figure.")
]
ChooseBy = Annotated[
    str, typer.Option(help="What chooses the epoch on validation: all (x-rays and photos) or digital.")
]
Mixup = Annotated[float, typer.Option(help="Mix pairs of images, in shares from Beta(A, A); 0: off.")]
Augment = Annotated[str, typer.Option(help="usual, or strong: shape, sharpness, tone and borders vary more.")]
PhotoShare = Annotated[
    float | None, typer.Option(help="Share of images photographed by screen-lite and film-lite; 0.5.")
]
PhotoAugment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RECIPE@P", help="Photograph by a recipe or chain with chance P, instead; repeatable."
    ),
]
Consistency = Annotated[float, typer.Option(help="Weight of saying the same of an x-ray and of its photo.")]
Operating = Annotated[
    str, typer.Option(help="Rule of operating points: youden, or midpoint (under shift; becomes 0.5).")
]
Licence = Annotated[str, typer.Option(help="The weights' licence, for the card.")]
Caveat = Annotated[
    list[str] | None, typer.Option(help="A sentence for the card of what to beware of; repeatable.")
]
Guide = Annotated[
    float, typer.Option(help="Weight of keeping heat maps inside the manifest's lung masks and boxes.")
]
Accumulate = Annotated[int, typer.Option(help="Take a step's images in so many parts, to save memory.")]
Precision = Annotated[
    str, typer.Option(help="bf16 (float32 where the processor would only emulate it) or float32.")
]
Compiled = Annotated[
    bool, typer.Option("--compiled", help="Compile the network first; pays in long trainings.")
]

# Option → its name in the job's config, where they differ.
RENAMED = {"draws": "draws_per_epoch", "caveat": "caveats"}


def train(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="gate, kind, findings, lungs, corners or upright.")],
    data: Data,
    output: RunFolder,
    source: Source = None,
    name: Name = None,
    start: Start = None,
    network: Network = "densenet121",
    probe: Probe = False,
    freeze: Freeze = 0,
    labels: Labels = None,
    column: Column = None,
    uncertain: Uncertain = "ignore",
    class_weights: ClassWeights = "none",
    size_px: Size = None,
    epochs: Epochs = None,
    draws: Draws = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    layer_decay: LayerDecay = 1.0,
    optimiser: Optimiser = "radam",
    patience: Patience = None,
    choose_by: ChooseBy = "all",
    average: Average = "none",
    mixup: Mixup = 0.0,
    augment: Augment = "usual",
    photo_share: PhotoShare = None,
    photo_augment: PhotoAugment = None,
    consistency: Consistency = 0.0,
    operating: Operating = "youden",
    licence: Licence = "research use; the licences of the training data apply",
    caveat: Caveat = None,
    guide: Guide = 0.0,
    accumulate: Accumulate = 1,
    precision: Precision = "bf16",
    compiled: Compiled = False,
    workers: Workers = 1,
    seed: Seed = 0,
    skip_unreadable: SkipUnreadable = False,
) -> None:
    """Train a stage's network; started again, it goes on where it was interrupted.

    corners and upright start anew, with the photos that they drew.

    Example: radsnap train kind --data manifest.csv -o runs/kind
    """
    from radsnap.extras import need

    need("torch", extra="train")
    if stage == "lungs":
        from radsnap.cli.train_lungs import train_lungs

        train_lungs(context)
    elif stage in ("corners", "upright"):
        from radsnap.cli.train_flatten import train_flatten

        train_flatten(context, stage)
    else:
        _train(context, output)


def _train(context: typer.Context, output: Path) -> None:
    from radsnap.jobs.train import TrainConfig
    from radsnap.jobs.train import train as run

    values = values_of(context, RENAMED) | {"command": command_line()}
    named = values["labels"]
    values["labels"] = tuple(part.strip() for part in named.split(",")) if named else None
    for repeated in ("photo_augment", "caveats"):
        values[repeated] = values[repeated] or ()
    config = checked(TrainConfig, values)
    with bar("training") as report:
        card = run(config, report)
    if card is not None:  # None: one of several processes, of which the first reports
        typer.echo(f"{output / card.file}  {card.name}: {', '.join(head.name for head in card.heads)}")
