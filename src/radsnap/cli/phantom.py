"""`radsnap phantom`: x-rays made from projected anatomy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import checked


def phantom(
    output: Annotated[Path, typer.Argument(help="Folder for images, masks and manifest.csv.")],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 100,
    mix: Annotated[
        str, typer.Option(help="chests, or mixed: also side views, limbs, and no x-rays.")
    ] = "chests",
    size_px: Annotated[int, typer.Option("--size", help="Longer side in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="Seed; image k is the same whatever the number.")] = 0,
) -> None:
    """Make x-rays of phantoms, with exact labels, masks and boxes, and a manifest with splits.

    Example: radsnap phantom phantoms -n 300
    """
    from radsnap.jobs.phantom import PhantomConfig
    from radsnap.jobs.phantom import phantom as run

    manifest = run(
        checked(PhantomConfig, {"output": output, "n": n, "mix": mix, "size_px": size_px, "seed": seed})
    )
    typer.echo(f"{output / 'manifest.csv'}: {len(manifest)} images")
