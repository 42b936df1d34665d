"""`radsnap benchmark` and `radsnap leaderboard`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from radsnap.errors import UsageError


def benchmark(
    truth: Annotated[Path, typer.Option(help="True findings: 1, 0, blank unknown.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the report.")],
    digital: Annotated[list[Path] | None, typer.Option(help="Predictions on digital x-rays; repeat.")] = None,
    photo: Annotated[list[Path] | None, typer.Option(help="Predictions on photos; repeat.")] = None,
    flattened: Annotated[
        list[Path] | None, typer.Option(help="Predictions on photos straightened first; repeat.")
    ] = None,
    film: Annotated[list[Path] | None, typer.Option(help="Predictions on photos of films; repeat.")] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: another domain; glare-1, glare-2 ... make a sweep.")
    ] = None,
    decisions: Annotated[list[Path] | None, typer.Option(help="Decisions (0, 1) on digital; repeat.")] = None,
    decisions_of: Annotated[list[str] | None, typer.Option(help="ARM=FILE: decisions in a domain.")] = None,
    readers: Annotated[list[Path] | None, typer.Option(help="A reader's decisions; repeat.")] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="A row a model (column model), a column a finding.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="Truth of a set to choose thresholds on.")] = None,
    validation_predictions: Annotated[
        list[Path] | None, typer.Option(help="Predictions on the validation set; repeat.")
    ] = None,
    rule: Annotated[
        str, typer.Option(help="youden, mcc, sensitivity=0.9 or specificity=0.9, with --validation.")
    ] = "youden",
    findings: Annotated[
        str | None, typer.Option(help="Findings, by commas; else all that are shared.")
    ] = None,
    uncertain: Annotated[
        str | None, typer.Option(help="What -1 in the truth becomes: ones, zeros, ignore.")
    ] = None,
    views: Annotated[str, typer.Option(help="Images of a study are combined by: max, mean.")] = "max",
    unit: Annotated[str, typer.Option(help="What is resampled: patients, studies.")] = "patients",
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    interval: Annotated[str, typer.Option(help="Intervals: percentile, bca.")] = "percentile",
    stratified: Annotated[
        bool, typer.Option("--stratified", help="Resample within groups of the same findings.")
    ] = False,
    margin: Annotated[float | None, typer.Option(help="Margin of non-inferiority, in AUROC and MCC.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Model that a sweep is compared with.")] = None,
) -> None:
    """Compare models on digital x-rays and photos, beside readers, with intervals.

    A model's name is its file's, without _predictions or _decisions. Example:
    radsnap benchmark --truth t.csv --digital a.csv --photo photo/a.csv --readers r1.csv -o report
    """
    # Many small products of matrices: BLAS threads wait for each other more than they help (bench/measure.py).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from radsnap.cli.console import bar, checked
    from radsnap.jobs.benchmark import BenchmarkConfig
    from radsnap.jobs.benchmark import benchmark as run

    config = checked(
        BenchmarkConfig,
        {
            "truth": truth, "output": output, "digital": digital or (), "photo": photo or (),
            "flattened": flattened or (), "film": film or (), "arms": _pairs(arm, "--arm"), "decisions": decisions or (),
            "decisions_of": _pairs(decisions_of, "--decisions-of"), "readers": readers or (),
            "thresholds": thresholds, "validation": validation,
            "validation_predictions": validation_predictions or (), "rule": rule,
            "findings": tuple(part.strip() for part in findings.split(",")) if findings else (),
            "uncertain": uncertain, "views": views, "unit": unit, "replicates": replicates,
            "seed": seed, "interval": interval, "stratified": stratified, "margin": margin,
            "baseline": baseline,
        },
    )  # fmt: skip
    with bar("benchmark") as report:
        result = run(config, report)
    for warning in result.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    typer.echo(
        f"{config.output / 'report.html'}  {len(result.rows)} figures, {len(result.warnings)} warnings"
    )


def _pairs(given: list[str] | None, option: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for text in given or ():
        name, sign, path = text.partition("=")
        if not (sign and name and path):
            raise UsageError(f"{option} takes NAME=FILE, got '{text}'")
        pairs.append((name, path))
    return tuple(pairs)


def leaderboard(
    reports: Annotated[list[Path], typer.Argument(help="Folders written by `radsnap benchmark`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the page.")],
) -> None:
    """Rank the models of many benchmark reports on one static page.

    Example: radsnap leaderboard reports/* -o site
    """
    from radsnap.jobs.leaderboard import leaderboard as run

    entries = run(tuple(reports), output)
    typer.echo(f"{output / 'index.html'}  {entries} models from {len(reports)} reports")
