"""`radsnap models list|card|get|import|export`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radsnap.errors import UsageError

if TYPE_CHECKING:
    from radsnap.jobs.models import Imported

models = typer.Typer(
    name="models",
    help="The models at hand: list them, fetch and import others' weights.",
    no_args_is_help=True,
)

_Name = Annotated[str | None, typer.Option(help="The model's name in your store.")]
_Labels = Annotated[
    str | None, typer.Option(help="Names of the outputs in their order, by commas; blank ones are left out.")
]
_QuantiseOn = Annotated[
    Path | None, typer.Option("--quantise-on", help="Make weights int8 on the images of this folder.")
]
_Replace = Annotated[bool, typer.Option("--replace", help="Replace a model of that name.")]


@models.command("list")
def list_() -> None:
    """List the models that can be named: those that come with radsnap, and your own."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from radsnap.jobs.models import list_models
    from radsnap.models.published import PUBLISHED

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("Name", "Reads", "Outputs", "Precision", "Where"):
        table.add_column(column)
    have = set()
    for card, where in list_models():
        have.add(card.name)
        cells = (card.name, card.task, str(card.outputs), card.precision, where)
        table.add_row(*map(Text, cells))
    for one in PUBLISHED.values():
        if one.name not in have:
            state = "" if one.sha256 else " (unverified)"
            outputs = str(sum(bool(label) for label in one.classes))
            table.add_row(
                one.name, "findings", outputs, "", f"radsnap models get {one.name}{state}", style="dim"
            )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@models.command()
def card(name: Annotated[str, typer.Argument(help="A model's name, card or folder.")]) -> None:
    """Show a model's card: what it reads and says, how it was trained, measured, and what to beware of."""
    from rich.console import Console
    from rich.text import Text

    from radsnap.models.card import read_card
    from radsnap.models.runtime import locate

    console = Console(width=None if sys.stdout.isatty() else 120)
    for line, style in _lines(read_card(locate(name))):
        console.print(Text("".join(one if one.isprintable() else "?" for one in line), style=style))


@models.command()
def get(
    model: Annotated[str, typer.Argument(help="A published model's name (see list), or a URL.")],
    kind: Annotated[str | None, typer.Option("--as", help="What a URL is: see 'import'.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The file's checksum.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Take a file of which no checksum is known.")
    ] = False,
    name: _Name = None,
    labels: _Labels = None,
    quantise_on: _QuantiseOn = None,
    replace: _Replace = False,
) -> None:
    """Fetch weights from their public address and import them; an interrupted transfer goes on.

    Example: radsnap models get torchxrayvision-all --quantise-on my-x-rays
    """
    from radsnap.cli.console import bar
    from radsnap.jobs.models import get_model

    if sha256 is not None and not (
        len(sha256) == 64 and all(one in "0123456789abcdefABCDEF" for one in sha256)
    ):
        raise UsageError(f"--sha256 takes 64 hexadecimal digits, got '{sha256}'")
    options: dict[str, Any] = {
        "name": name,
        "labels": _split(labels),
        "quantise_on": quantise_on,
        "replace": replace,
        "command": shlex.join(["radsnap", *sys.argv[1:]]),
    }
    with bar("fetching") as report:
        imported = get_model(model, report, sha256=sha256, trust=trust, kind=kind, **options)
    _say(imported)


@models.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pt, .pth, .pth.tar, .safetensors, .onnx.")],
    kind: Annotated[
        str, typer.Option("--as", help="torchxrayvision, chexnet, densenet121, vit, onnx or radsnap.")
    ],
    name: _Name = None,
    labels: _Labels = None,
    one_of: Annotated[bool, typer.Option("--one-of", help="Outputs exclude each other (softmax).")] = False,
    size_px: Annotated[int | None, typer.Option("--size", help="Side of its input, in pixels.")] = None,
    fit: Annotated[str | None, typer.Option(help="'stretch' to a square, or 'crop' its middle.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean of pixels in [0, 1]: one number or three.")] = None,
    deviation: Annotated[str | None, typer.Option(help="Deviation of pixels: one number or three.")] = None,
    heads: Annotated[
        int | None, typer.Option(help="Attention heads of a ViT; by default of 64 each.")
    ] = None,
    says: Annotated[str, typer.Option(help="What an ONNX file gives: 'logit' or 'probability'.")] = "logit",
    licence: Annotated[str | None, typer.Option(help="The weights' licence, for the card.")] = None,
    quantise_on: _QuantiseOn = None,
    images: Annotated[int, typer.Option(help="How many images to quantise on.")] = 200,
    replace: _Replace = False,
) -> None:
    """Turn a downloaded checkpoint into a model of yours, with a card. Nothing in a pickle is executed.

    Example: radsnap models import model.pth.tar --as chexnet --name chexnet
    """
    from radsnap.cli.console import bar, checked
    from radsnap.jobs.models import ImportConfig, import_model

    options = {
        "file": file,
        "kind": kind,
        "name": name,
        "labels": _split(labels),
        "one_of": one_of,
        "size_px": size_px,
        "fit": fit,
        "mean": _split(mean),
        "deviation": _split(deviation),
        "heads": heads,
        "says": says,
        "licence": licence,
        "quantise_on": quantise_on,
        "images": images,
        "replace": replace,
        "command": shlex.join(["radsnap", *sys.argv[1:]]),
    }
    config = checked(ImportConfig, options)
    with bar("importing") as report:
        imported = import_model(config, report)
    _say(imported)


@models.command()
def export(
    model: Annotated[str, typer.Argument(help="A model's name, card or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to put the model's folder into.")],
) -> None:
    """Copy a model, weights and card, so that it can be given on; 'import --as radsnap' takes it in."""
    from radsnap.jobs.models import export_model

    typer.echo(str(export_model(model, output)))


def _say(imported: Imported) -> None:
    typer.echo(f"{imported.card.name}: {imported.path}")
    if imported.agreement is not None:
        typer.echo(f"int8 agrees with float32: correlation of logits {imported.agreement:.4f}", err=True)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _lines(card: Any) -> list[tuple[str, str]]:
    """A card as (line, style)."""
    spec = card.input
    colours = "in colour" if spec.pixels == "rgb" else "grey" if spec.channels == 1 else "grey, three times"
    scaled = "each image's own" if spec.normalisation == "image" else f"{spec.mean} and {spec.deviation}"
    training = card.training
    lines = [
        (card.name, "bold"),
        (f"{card.task}: {card.network}, {card.precision}, {card.file} (sha256 {card.sha256[:12]}…)", ""),
        (
            f"reads {spec.size_px} × {spec.size_px} px ({spec.fit}), {colours}; mean and deviation: {scaled}",
            "",
        ),
        *((f"{head.name} ({head.activation}): {', '.join(head.classes)}", "") for head in card.heads),
        (f"trained on {', '.join(training.data) or 'data not stated'}; licence: {training.licence}", ""),
        (f"from {training.started_from}", ""),
    ]
    if training.command:
        lines.append((f"made by: {training.command}", "dim"))
    for domain, settings in card.domains.items():
        for name, point in settings.operating_points.items():
            lines.append(
                (
                    f"{domain}: {name} from {point.score:.3f}, possible from {point.possible:.3f} ({point.rule})",
                    "",
                )
            )
    for figure in card.figures:
        value = figure.reason if figure.value is None else f"{figure.value:.3f}"
        span = (
            "" if figure.low is None or figure.high is None else f" ({figure.low:.3f} to {figure.high:.3f})"
        )
        lines.append(
            (f"{figure.measure} {figure.subject} on {figure.data}: {value}{span}, n = {figure.n}", "")
        )
    return [*lines, *((f"! {caveat}", "yellow") for caveat in card.caveats)]
