"""`radsnap flatten PATH... -o DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def flatten(
    paths: Annotated[
        list[str], typer.Argument(help="Photos, folders or quoted patterns.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for NAME.png, NAME-overlay.jpg and flatten.jsonl.")
    ],
    format: Annotated[
        str, typer.Option(help="What to write: png, jpg or dicom.", metavar="png|jpg|dicom")
    ] = "png",
    longest_px: Annotated[
        int, typer.Option("--longest", metavar="PX", help="The longest side written.")
    ] = 2048,
    turn: Annotated[
        bool, typer.Option(help="Put chests upright and undo mirroring when sure how they lie.")
    ] = True,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Straighten too where the corners are not sure.")
    ] = False,
    overlay: Annotated[bool, typer.Option(help="Draw the corners over each photo too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a photo on the output.")] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Photos at work at a time; by default the cores.", min=1, max=64)
    ] = None,
) -> None:
    """Find the x-ray in each photo, straighten it and say whether the photo is good enough.

    A photo that shows nothing but the x-ray is left as it is. Exit code 1 when a picture could not be
    read; a photo without an x-ray is a result. Research software, not a medical device.

    Example: radsnap flatten photos/ -o straight
    """
    import json

    from radsnap.cli.console import bar, checked
    from radsnap.jobs.flatten import RECORD, FlattenConfig, flatten_files

    options = {
        "paths": tuple(paths), "output": output, "format": format, "longest_px": longest_px, "turn": turn,
        "unsure": unsure, "overlay": overlay,
    }  # fmt: skip
    config = checked(FlattenConfig, options if jobs is None else {**options, "jobs": jobs})
    with bar("flattening") as report:
        done = flatten_files(config, report)
    failed = [item for item in done if item.error is not None]
    for item in done:
        if as_json:
            typer.echo(json.dumps(item.to_json()))
        elif item.error is None:
            again = " · take it again" if item.quality is not None and item.quality.retake else ""
            typer.echo(f"{item.path}: {item.sentence}{again}")
    if not as_json:
        typer.echo(
            f"{output / RECORD}: {sum(item.status == 'flattened' for item in done)} of {len(done)} straightened"
        )
    for item in failed:
        typer.echo(f"radsnap: {item.error}", err=True)
    if failed:
        raise typer.Exit(1)
