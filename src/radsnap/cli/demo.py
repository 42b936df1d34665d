"""`radsnap demo`: a first look, without any data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for photos and report.")] = Path(
        "demo"
    ),
) -> None:
    """Draw sample x-rays, photograph them, read the photos, and write an HTML report.

    Example: radsnap demo -o demo
    """
    from radsnap.cli.reading_view import show
    from radsnap.jobs.demo import write_samples
    from radsnap.jobs.diagnose import DiagnoseConfig, diagnose_files

    photos = write_samples(output / "photos")
    report = output / "report.html"
    config = DiagnoseConfig(paths=tuple(str(photo) for photo in photos), report=report)
    failed = show(lambda progress: diagnose_files(config, progress), False)
    typer.echo(f"report: {report}")
    if failed:
        raise typer.Exit(1)
