"""`radsnap evaluate gate|domain|kind|findings|lungs|chain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radsnap.cli.console import bar, checked
from radsnap.errors import UsageError

if TYPE_CHECKING:
    from radsnap.jobs.evaluate import Evaluation


def evaluate(
    stage: Annotated[
        str,
        typer.Argument(
            help="gate, domain (what the camera saw), kind, findings, lungs, or chain: gate, kind and one "
            "finding in a row, as `diagnose` reads pictures."
        ),
    ],
    manifest: Annotated[Path, typer.Argument(help="A manifest with the truth.")],
    model: Annotated[
        str | None, typer.Option(help="A model; the shipped one of the stage by default.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Rows of this split; '' takes all.")] = "test",
    source: Annotated[
        str | None, typer.Option(help="Rows of this source only (column kind or collection).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for figures.csv and the figure.")
    ] = None,
    card: Annotated[
        bool, typer.Option("--into-card", help="Write the figures into the model's card.")
    ] = False,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Measure a stage on rows it was not trained on, with intervals over patients.

    Example: radsnap evaluate findings manifest.csv --source cxr_nih
    """
    from radsnap.jobs.evaluate import EvaluateConfig, into_card, model_of
    from radsnap.jobs.evaluate import evaluate as run

    config = checked(
        EvaluateConfig,
        {
            "stage": stage,
            "manifest": manifest,
            "model": model,
            "split": split or None,
            "source": source,
            "replicates": replicates,
            "seed": seed,
        },
    )
    if card and config.stage == "chain":
        raise UsageError("--into-card writes the figures of one network; the chain is several, leave it out")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # refused before the work, not after
    with bar("evaluating") as report:
        evaluation = run(config, report)
    _show(evaluation)
    if output is not None:
        from radsnap.jobs.evaluation_files import write

        for path in write(evaluation, output):
            typer.echo(str(path))
    if card:
        typer.echo(f"written into {into_card(model or model_of(stage), evaluation)}")
    if evaluation.faults:
        for fault in evaluation.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(1)


def _show(evaluation: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "of", "value", "95 % interval", "n")
    for figure in evaluation.figures:
        value = figure.reason if figure.value is None else f"{figure.value:.3f}"
        interval = (
            "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
        )
        table.add_row(figure.measure.replace("_", " "), figure.subject, value, interval, str(figure.n))
    Console().print(table)
