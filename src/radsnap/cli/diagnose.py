"""`radsnap diagnose PATH...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.errors import UsageError


def diagnose(
    paths: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, DICOM series or quoted patterns.", show_default=False),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One line of JSON a picture, as when the output is piped.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write one HTML file with pictures and heat maps.", metavar="OUT.html")
    ] = None,
    model: Annotated[
        str, typer.Option(help="What reads frontal chests: a card, a folder or a shipped model.")
    ] = "findings",
    gate: Annotated[str, typer.Option(help="What tells x-rays from the rest.")] = "gate",
    kind: Annotated[str, typer.Option(help="What tells which x-ray it is.")] = "kind",
    reader: Annotated[
        list[str] | None,
        typer.Option(help="What reads another kind of x-ray; repeat for several.", metavar="KIND=MODEL"),
    ] = None,
    lungs: Annotated[
        str, typer.Option(help="What finds the lungs of frontal chests; 'none' leaves them out.")
    ] = "lungs",
    heat_maps: Annotated[
        Path | None, typer.Option(help="Write the heat map of every finding into this folder.", metavar="DIR")
    ] = None,
    flatten: Annotated[
        bool, typer.Option(help="Find and straighten the x-ray in a photo before reading it.")
    ] = True,
    jobs: Annotated[
        int | None,
        typer.Option(help="Pictures at work at a time; by default the number of cores.", min=1, max=64),
    ] = None,
) -> None:
    """Read x-rays from photos: is it an x-ray, which, what is seen, how sure, and where.

    Research software, not a medical device. Exit code 1 when a picture could not be read; a picture that is
    not an x-ray is a result.

    Example: radsnap diagnose photo.jpg --report reading.html
    """
    from radsnap.cli.reading_view import show
    from radsnap.jobs.diagnose import DiagnoseConfig, diagnose_files

    config = DiagnoseConfig(
        paths=tuple(paths),
        gate=gate,
        kind=kind,
        model=model,
        readers=dict(_pair(text) for text in reader or ()),
        lungs=None if lungs == "none" else lungs,
        flatten=flatten,
        report=report,
        heat_maps=heat_maps,
        **({} if jobs is None else {"jobs": jobs}),
    )
    failed = show(lambda progress: diagnose_files(config, progress), as_json or None)
    if failed:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    kind, equals, model = text.partition("=")
    if not (kind and equals and model):
        raise UsageError(f"--reader takes KIND=MODEL, such as knee_leg=models/knee, got '{text}'")
    return kind, model
