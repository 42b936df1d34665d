"""`radsnap photograph SRC DST --recipe R`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radsnap.cli.console import bar, checked
from radsnap.errors import UsageError

if TYPE_CHECKING:
    from radsnap.jobs.photograph import Outcome


def photograph(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SRC", help="A folder of x-rays, a manifest, or a CSV with CheXpert's column Path."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Argument(metavar="DST", help="Folder of the photos; an interrupted run in it goes on."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe, or effects joined by + (blur+moire@3); see --list.")
    ] = None,
    level: Annotated[int, typer.Option(help="How strong, 1 to 4.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    copies: Annotated[int, typer.Option(help="Photos of each x-ray.")] = 1,
    patients: Annotated[int | None, typer.Option(help="So many patients, drawn by the seed.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; by default one a processor.")] = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray (needs the extra 'cluster').", metavar="local|ray")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster, 'auto' or HOST:PORT; without it, one is started here.")
    ] = None,
    root: Annotated[
        str | None, typer.Option(help="Folder of a table's images, when not beside it or above.")
    ] = None,
    reference_width_px: Annotated[
        int | None,
        typer.Option(
            "--reference-width", metavar="PX", help="Scale the effects' pixels, as on an x-ray this wide."
        ),
    ] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1 to 100.")] = 95,
    effects: Annotated[
        list[Path] | None, typer.Option(help="A Python file with effects of your own; it is run. Repeatable.")
    ] = None,
    phone: Annotated[
        str | None, typer.Option(metavar="NAME", help="The phone of screen and film; drawn by default.")
    ] = None,
    place: Annotated[
        str | None, typer.Option(metavar="NAME", help="The room of screen and film; drawn by default.")
    ] = None,
    monitor: Annotated[
        str | None, typer.Option(metavar="NAME", help="The monitor of screen; drawn by default.")
    ] = None,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Take no photos; write a contact sheet of every effect and recipe at every level: "
            "DST/preview.png, or DST.",
        ),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--list", help="Explain effects, recipes and the names of phones, places, monitors."),
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="ROW", help="Make the photo of a row again: its number from 1, or its image_id."
        ),
    ] = None,
) -> None:
    """Make collections of x-rays look like phone photos: the same bytes for any number of processes.

    Exit code 1 when an x-ray could not be read; DST/failures.csv names it.

    Example: radsnap photograph CheXpert-v1.0/train.csv photos --recipe chexphoto-photographic --seed 7
    """
    files = tuple(effects or ())
    if explain:
        _explain(files)
    elif preview:
        if recipe is not None or level != 1 or any((phone, place, monitor)):
            raise UsageError(
                "--preview shows every effect and recipe at every level, drawn at random; leave out --recipe, "
                "--level, --phone, --place and --monitor, or leave out --preview to take photos"
            )
        _preview(source, output, root, seed, files)
    elif source is None or output is None:
        raise UsageError(
            "photograph takes SRC and DST: radsnap photograph SRC DST --recipe R (or --list, --preview)"
        )
    elif replay is not None:
        _replay(source, output, replay, root, files)
    elif recipe is None:
        raise UsageError("photograph needs --recipe; 'radsnap photograph --list' explains which there are")
    else:
        from radsnap.jobs.photograph import PhotographConfig, photograph_files

        given = {
            "source": source,
            "output": output,
            "recipe": recipe,
            "level": level,
            "seed": seed,
            "copies": copies,
            "patients": patients,
            "jobs": jobs,
            "engine": engine,
            "address": address,
            "root": root,
            "reference_width_px": reference_width_px,
            "quality": quality,
            "effects": files,
            "phone": phone,
            "place": place,
            "monitor": monitor,
        }
        config = checked(PhotographConfig, given)
        with bar("photographing") as report:
            outcome = photograph_files(config, report)
        _say(outcome, output)


def _say(outcome: Outcome, output: str) -> None:
    kept = f", {outcome.kept} were there" * bool(outcome.kept)
    typer.echo(f"{outcome.made} photos made{kept} → {output} ({', '.join(outcome.tables)})")
    if outcome.failures:
        first = outcome.failures[0]
        typer.echo(f"{len(outcome.failures)} failed, see failures.csv; the first: {first.reason}", err=True)
        raise typer.Exit(1)


def _explain(files: tuple[Path, ...]) -> None:
    from radsnap.jobs.photograph_preview import explain
    from radsnap.jobs.photograph_work import with_effects

    with_effects(tuple(str(path.absolute()) for path in files))
    typer.echo(explain())


def _preview(
    source: str | None, output: str | None, root: str | None, seed: int, files: tuple[Path, ...]
) -> None:
    from radsnap.imaging import write_image
    from radsnap.jobs.photograph_preview import contact_sheet, preview_xray
    from radsnap.jobs.photograph_work import with_effects

    with_effects(tuple(str(path.absolute()) for path in files))
    pictures = (".png", ".jpg")
    if output is None and source is not None and source.lower().endswith(pictures):
        source, output = None, source  # no list of x-rays is called so
    name = output or "."
    named = name.lower().endswith(pictures)
    target = Path(name) if named else Path(name) / "preview.png"
    typer.echo(str(write_image(target, contact_sheet(preview_xray(source, root), seed))))


def _replay(source: str, output: str, row: str, root: str | None, files: tuple[Path, ...]) -> None:
    from radsnap.jobs.photograph_again import photograph_again

    again = photograph_again(source, output, row, root, files)
    said = {None: "made again", True: "the same bytes", False: "OTHER bytes"}
    typer.echo(f"{again.name}  {said[again.same]}  ({len(again.data)} bytes)")
    if again.same is False:
        typer.echo("the file in the folder was changed, or made by another version of radsnap", err=True)
        raise typer.Exit(1)
