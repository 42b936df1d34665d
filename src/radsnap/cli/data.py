"""`radsnap data import|check|split|shard|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radsnap.cli.console import bar, checked

data = typer.Typer(
    name="data", help="Collections and manifests: import, check, split, shard, show.", no_args_is_help=True
)

Table = Annotated[Path, typer.Argument(help="A manifest (.csv or .parquet).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The manifest to write (.csv or .parquet).")]


@data.command("import")
def import_(
    collection: Annotated[
        str,
        typer.Argument(help="A name, such as chexpert, nih, mimic, folder; a wrong one lists all."),
    ],
    folder: Annotated[Path, typer.Argument(help="The folder that holds the data set as it was published.")],
    output: Output = Path("manifest.csv"),
) -> None:
    """Read a public data set into a manifest; no image is copied.

    Example: radsnap data import nih /data/ChestX-ray14 -o nih.csv
    """
    from radsnap.jobs.data import ImportConfig, import_data

    values = {"collection": collection, "folder": folder, "output": output}
    manifest = import_data(checked(ImportConfig, values))
    patients = manifest.frame["patient_id"].nunique()
    typer.echo(f"{output}  {len(manifest)} images of {patients} patients, {len(manifest.findings)} findings")


@data.command()
def check(
    manifest: Table,
    decode: Annotated[bool, typer.Option(help="Decode every image, not only look for its file.")] = True,
    workers: Annotated[int, typer.Option(help="Images read at once.")] = 2,
) -> None:
    """Validate a manifest and its files. Exit code 1 when anything failed.

    Example: radsnap data check nih.csv --no-decode
    """
    from radsnap.jobs.data import CheckConfig, check_data

    config = checked(CheckConfig, {"manifest": manifest, "decode": decode, "workers": workers})
    with bar("checking") as report:
        failures = check_data(config, report)
    for failure in failures:
        typer.echo(f"row {failure.row}, '{failure.image_id}': {failure.reason}")
    typer.echo(f"{manifest}  " + (f"{len(failures)} rows failed" if failures else "all is well"))
    if failures:
        raise typer.Exit(1)


@data.command()
def split(
    manifest: Table,
    output: Output,
    train: Annotated[float, typer.Option(help="Share of images for training.")] = 0.7,
    val: Annotated[float, typer.Option(help="Share of images for choosing.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of images for the test.")] = 0.2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same split.")] = 0,
    by: Annotated[
        str | None, typer.Option(help="Columns to spread alike, by commas; all findings by default.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="A split to leave as it is; may be repeated.")
    ] = None,
) -> None:
    """Split by patient, findings spread alike.

    Example: radsnap data split nih.csv -o nih-split.csv --keep test --train 0.9 --val 0.1
    """
    from radsnap.jobs.data import SplitConfig, split_data

    config = checked(
        SplitConfig,
        {
            "manifest": manifest,
            "output": output,
            "train": train,
            "val": val,
            "test": test,
            "seed": seed,
            "stratify": tuple(part.strip() for part in by.split(",")) if by else None,
            "keep": tuple(keep or ()),
        },
    )
    counts = split_data(config).frame.groupby("split")
    sizes = [f"{name} {len(rows)} of {rows['patient_id'].nunique()} patients" for name, rows in counts]
    typer.echo(f"{output}  " + ", ".join(sizes))


@data.command()
def shard(
    manifest: Table,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the shards and their manifest.csv.")
    ],
    images: Annotated[int, typer.Option(help="Images in a shard.")] = 1000,
    seed: Annotated[int, typer.Option(help="Order of the rows.")] = 0,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Leave files out that cannot be read, instead of stopping."),
    ] = False,
) -> None:
    """Put images into tar archives for a cluster; every verb reads the manifest beside them.

    Example: radsnap data shard nih.csv -o shards
    """
    from radsnap.jobs.shards import ShardConfig, shard_data

    config = checked(
        ShardConfig,
        {
            "manifest": manifest,
            "output": output,
            "images": images,
            "seed": seed,
            "skip_unreadable": skip_unreadable,
        },
    )
    with bar("writing shards") as report:
        made = shard_data(config, report)
    typer.echo(f"{output / 'manifest.csv'}  {len(made)} images")


@data.command()
def show(
    manifest: Table,
    sheet: Annotated[Path | None, typer.Option(help="Where to write a contact sheet (.png).")] = None,
    count: Annotated[int, typer.Option(help="Pictures on the contact sheet.")] = 48,
    seed: Annotated[int, typer.Option(help="Which pictures are drawn.")] = 0,
) -> None:
    """Count images, patients and labels, name missing files, draw a contact sheet.

    Example: radsnap data show nih.csv --sheet nih.png
    """
    from radsnap.jobs.data import ShowConfig, show_data

    config = checked(ShowConfig, {"manifest": manifest, "sheet": sheet, "count": count, "seed": seed})
    overview = show_data(config)
    typer.echo(f"{overview.images} images, {overview.studies} studies, {overview.patients} patients")
    for column, values in overview.counts.items():
        told = ", ".join(f"{value or '(blank)'} {number}" for value, number in values.items())
        typer.echo(f"{column}: {told}")
    if len(overview.labels):
        typer.echo(overview.labels.to_string())
    if overview.missing:
        typer.echo(f"missing files: {len(overview.missing)}")
        for path in overview.missing[:5]:
            typer.echo(f"  {path}")
    if sheet is not None:
        typer.echo(str(sheet))
