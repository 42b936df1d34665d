"""`radsnap segment PATH... -o DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def segment(
    paths: Annotated[
        list[str], typer.Argument(help="Pictures, folders, DICOM or quoted patterns.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for NAME.png, NAME-overlay.jpg and lungs.csv.")
    ],
    model: Annotated[str, typer.Option(help="A card, a folder or a model's name.")] = "lungs",
    overlay: Annotated[bool, typer.Option(help="Draw the outlines over each picture too.")] = True,
    heart: Annotated[bool, typer.Option("--heart", help="Write the heart's masks too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One line of JSON a picture on the output.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Pictures at work at a time; by default the cores.", min=1, max=64)
    ] = None,
) -> None:
    """Find the lungs: a mask of each picture's size (255 inside), areas by side, and the heart's share.

    Exit code 1 when a picture could not be read; lungs.csv says which. Research software, not a medical device.

    Example: radsnap segment photos/ -o masks
    """
    import json

    from radsnap.cli.console import bar, checked
    from radsnap.jobs.segment import TABLE, SegmentConfig
    from radsnap.jobs.segment import segment as run

    options = {
        "paths": tuple(paths), "output": output, "model": model, "overlay": overlay, "heart": heart,
    }  # fmt: skip
    config = checked(SegmentConfig, options if jobs is None else {**options, "jobs": jobs})
    with bar("segmenting") as report:
        done = run(config, report)
    failed = [item for item in done if item.error is not None]
    for item in done if as_json else ():
        typer.echo(json.dumps(item.to_json()))
    if not as_json:
        typer.echo(f"{output / TABLE}: {len(done) - len(failed)} masks")
    for item in failed:
        typer.echo(f"radsnap: {item.error}", err=True)
    if failed:
        raise typer.Exit(1)
