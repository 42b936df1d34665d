"""`radsnap predict MODEL MANIFEST`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.options import Average, values_of


def predict(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="A model's name, card or folder; with --command, a command line.")
    ],
    manifest: Annotated[Path, typer.Argument(help="A manifest of images (CSV or Parquet).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Predictions to write (.csv or .parquet).")
    ] = Path("predictions.csv"),
    by: Annotated[str, typer.Option(help="One row an 'image' or a 'study'.")] = "image",
    views: Annotated[
        str, typer.Option(help="How the images of a study are combined: 'max' or 'mean'.")
    ] = "mean",
    scale: Annotated[
        str, typer.Option(help="Write each 'score' in 0 to 1, or the 'logit' before it.")
    ] = "score",
    average: Average = "none",
    flatten: Annotated[
        bool,
        typer.Option(
            "--flatten", help="Straighten photos (domain screen or film) first, as `diagnose` does."
        ),
    ] = False,
    command: Annotated[
        bool, typer.Option("--command", help="MODEL is a command; it is run as 'MODEL IN.csv OUT.csv'.")
    ] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds that a command may take.")] = 3600.0,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 8,
    threads: Annotated[int, typer.Option(help="Threads that read images.")] = 2,
) -> None:
    """Write a model's scores on the images of a manifest; started again, it goes on where it was interrupted.

    Images that cannot be read are listed beside the predictions, and the exit code is 1.

    Example: radsnap predict findings manifest.csv -o predictions.csv --by study
    """
    from radsnap.cli.console import bar, checked
    from radsnap.jobs.predict import PredictConfig
    from radsnap.jobs.predict import predict as run

    config = checked(PredictConfig, values_of(context, {}))
    with bar("predicting") as report:
        outcome = run(config, report)
    rate = outcome.images / outcome.seconds if outcome.seconds > 0 else 0.0
    before = f", {outcome.resumed} read before" if outcome.resumed else ""
    typer.echo(f"{output}: {outcome.rows} rows")
    typer.echo(f"{outcome.images} images in {outcome.seconds:.1f} s, {rate:.1f} images/s{before}", err=True)
    if outcome.failures is not None:
        typer.echo(f"radsnap: {len(outcome.faults)} images failed, see {outcome.failures}", err=True)
        raise typer.Exit(1)
