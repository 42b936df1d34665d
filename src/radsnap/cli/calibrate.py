"""`radsnap calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radsnap.cli.console import bar, checked

if TYPE_CHECKING:
    from radsnap.jobs.calibrate import Calibration


def calibrate(
    model: Annotated[str, typer.Argument(help="A model: a name, a card, or a folder with one.")],
    manifest: Annotated[
        Path, typer.Argument(help="Your own labelled images, 20 to 500 of a domain or more.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; the model goes into a folder of its name in it.")
    ],
    name: Annotated[
        str | None, typer.Option(help="The new model's name; '<name>-calibrated' by default.")
    ] = None,
    uncertain: Annotated[str, typer.Option(help="What -1 becomes: ones, zeros or ignore.")] = "ignore",
    split: Annotated[str | None, typer.Option(help="Rows of this split only.")] = None,
    flatten: Annotated[
        bool,
        typer.Option(
            help="Straighten photos first, as `diagnose` does; leave out for `diagnose --no-flatten`."
        ),
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Take settings over that show no gain, too.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")] = False,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of folds and bootstrap.")] = 0,
) -> None:
    """Set a model's probabilities and operating points anew on your own images, per domain.

    What is taken over has shown its gain on images that it was not fitted to; the rest stays as it was.

    Example: radsnap calibrate findings my-photos.csv -o models
    """
    from radsnap.jobs.calibrate import CalibrateConfig
    from radsnap.jobs.calibrate import calibrate as run

    config = checked(
        CalibrateConfig,
        {
            "model": model,
            "manifest": manifest,
            "output": output,
            "name": name,
            "uncertain": uncertain,
            "split": split,
            "flatten": flatten,
            "force": force,
            "replace": replace,
            "replicates": replicates,
            "seed": seed,
        },
    )
    with bar("calibrating") as report:
        made = run(config, report)
    _show(made)
    typer.echo(f"{made.path.parent}  use it with --model {made.path.parent}")
    if made.faults:
        for name_, fault in made.faults.items():
            typer.echo(f"{name_}: {fault}", err=True)
        raise typer.Exit(1)


def _show(made: Calibration) -> None:
    from rich.console import Console
    from rich.table import Table

    from radsnap.measure import Undefined

    table = Table("domain", "finding", "+/-", "curve", "point", "sensitivity", "specificity", "log loss gain",
                  "Youden gain", "taken over")  # fmt: skip
    for (domain, finding), one in made.found.items():
        if isinstance(one, Undefined):
            table.add_row(domain, finding, "", "", "", "", "", "", "", f"no: {one.reason}")
            continue
        taken = "yes" if (domain, finding) in made.adopted else "no"
        table.add_row(
            domain,
            finding,
            f"{one.positives}/{one.negatives}",
            one.map_name,
            one.point_name,
            *(
                "" if isinstance(value, Undefined) else str(value)
                for value in (one.sensitivity, one.specificity, one.log_loss_gain, one.youden_gain)
            ),
            f"{taken}: {one.verdict}",
        )
    Console().print(table)
