"""`radsnap capture start|status|export|sheet|import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radsnap.cli.console import bar, checked
from radsnap.cli.options import given as given_options
from radsnap.errors import UsageError

if TYPE_CHECKING:
    from radsnap.jobs.capturing.session import Session

capture = typer.Typer(
    name="capture",
    help="Real photos of x-rays, by phone: start, status, export, sheet, import.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(metavar="SESSION", help="The folder of a session.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST", help="X-rays: a manifest, a CSV with CheXpert's column Path, or a folder."
    ),
]
_FIELDS = {"clean": "mode", "note": "notes"}  # option → its name in the session's config, where they differ
Root = Annotated[str | None, typer.Option(help="Folder of a table's images, when not beside it or above.")]


@capture.command()
def start(
    context: typer.Context,
    manifest: Annotated[
        str | None,
        typer.Argument(
            help="X-rays: a manifest, a CSV with CheXpert's column Path, or a folder; not needed to go on."
        ),
    ] = None,
    session: Annotated[
        Path, typer.Option("--output", "-o", help="The session's folder; one that is there goes on.")
    ] = Path("capture"),
    vary: Annotated[
        list[str] | None,
        typer.Option(help="A condition to walk through, NAME=VALUE,VALUE; repeatable.", metavar="NAME=A,B"),
    ] = None,
    note: Annotated[
        list[str] | None,
        typer.Option(help="What holds for all photos (place, light); repeatable.", metavar="NAME=TEXT"),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Photograph without markers, between two photos with them.")
    ] = False,
    share: Annotated[float, typer.Option(help="Share of the screen for x-ray and markers, 0.2 to 1.")] = 0.95,
    settle_ms: Annotated[int, typer.Option(help="How long the monitor comes to rest.")] = 300,
    monitor: Annotated[str, typer.Option(help="The monitor's name.")] = "",
    monitor_cm: Annotated[
        float | None, typer.Option(help="Width of what it shows, in cm: distances become cm.")
    ] = None,
    blur_frac: Annotated[
        float | None, typer.Option(help="Blur that is refused, of the x-ray's longer side.")
    ] = None,
    blown_frac: Annotated[
        float | None, typer.Option(help="Share of the x-ray that may be plain white.")
    ] = None,
    phone: Annotated[
        list[str] | None,
        typer.Option(help="A phone with the CheXpeditor app, udp://ADDRESS:4445; repeatable."),
    ] = None,
    root: Root = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; by default in the whole local network.")
    ] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(help="The port, 0 for a free one.")] = 8443,
    name: Annotated[str, typer.Option(help="A name under which phones find this computer.")] = "",
    https: Annotated[
        bool, typer.Option(help="With a certificate made at the first start; without, on loopback only.")
    ] = True,
    browser: Annotated[bool, typer.Option(help="Open the screen's page.")] = True,
) -> None:
    """Show x-rays on this screen and have phones photograph them, each photo proven by the codes in it.

    Started again on the same folder, the session goes on where it was, as it was begun: another list of x-rays or
    another option of its photos is refused.

    Example: radsnap capture start nih.csv -o monday --vary light=on,off --vary pose=front,left-20
    """
    from radsnap.extras import need

    need("fastapi", "web")
    from radsnap.capture.run import Place, run_capture
    from radsnap.jobs.capturing.chexpeditor import parse_address

    given = {
        "mode": "clean" if clean else "markers",
        "share": share,
        "settle_ms": settle_ms,
        "vary": {key: tuple(value.split(",")) for key, value in _pairs(vary, "--vary").items()},
        "notes": _pairs(note, "--note"),
        "monitor": monitor,
        "monitor_cm": monitor_cm,
        "blur_frac": blur_frac,
        "blown_frac": blown_frac,
        "manifest": manifest,
        "root": root,
    }
    said = {_FIELDS.get(name, name) for name in given_options(context)}
    opened = _opened(session, {key: value for key, value in given.items() if key in said})
    phones = tuple(parse_address(one) for one in phone or ())
    run_capture(
        opened, Place(host, port, https, name), phones, lambda told: _say_started(opened, told, browser)
    )


def _say_started(session: Session, told: object, browser: bool) -> None:
    import webbrowser

    from radsnap.capture.run import Started

    assert isinstance(told, Started)
    typer.echo(f"{session.folder}: {session.count} pictures, {len(session.journal.done())} done")
    typer.echo(f"screen: {told.screen}\nphone:  {told.phone}\n{told.qr}")
    if told.fingerprint:
        typer.echo(f"The certificate is this computer's own; its SHA-256 is {told.fingerprint}")
    typer.echo("Stop with Ctrl+C; start again to go on.")
    if browser:
        webbrowser.open(told.screen)


def _opened(folder: Path, given: dict[str, Any]) -> Session:
    """Go on with a session, or begin one. given: what the command line says itself."""
    from radsnap.jobs.capturing.session import (
        CaptureConfig,
        create_session,
        is_session,
        keep_to,
        open_session,
    )

    if is_session(folder):
        opened = open_session(folder)
        checked(CaptureConfig, {"manifest": opened.config.manifest, **given})
        return keep_to(opened, given)
    if "manifest" not in given:
        raise UsageError(f"{folder} holds no session; begin one: radsnap capture start MANIFEST -o {folder}")
    return create_session(folder, checked(CaptureConfig, given))


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{option} takes NAME=VALUE, got {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs


@capture.command()
def status(session: Folder) -> None:
    """Say what is done, what is missing, and why photos were refused.

    Example: radsnap capture status monday
    """
    from radsnap.jobs.capturing.session import open_session
    from radsnap.jobs.capturing.status import status_of

    opened = open_session(session)
    told = status_of(opened)
    typer.echo(
        f"{session}: {told.done} of {told.pictures} pictures have a good photo, {told.skipped} left out"
    )
    for name, count in told.phones.items():
        typer.echo(f"  {name}: {count}")
    typer.echo("photos: " + (", ".join(f"{count} {state}" for state, count in told.photos.items()) or "none"))
    for reason, count in told.refused.items():
        typer.echo(f"  refused {count}: {reason}")
    _say_missing(opened, told.missing)


def _say_missing(session: Session, missing: Sequence[int]) -> None:
    for number in missing[:10]:
        condition = " ".join(f"{key}={value}" for key, value in session.condition(number).items())
        typer.echo(f"missing: {number + 1} {session.image_id(number)} {condition}".rstrip())
    if len(missing) > 10:
        typer.echo(f"missing: {len(missing) - 10} more")


@capture.command()
def export(
    session: Folder,
    output: Annotated[Path, typer.Argument(metavar="DST", help="Folder of the data set.")],
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Take photos too whose codes do not prove them good.")
    ] = False,
    rectified_px: Annotated[
        int | None, typer.Option(help="Longer side of the rectified versions; by default what the photo has.")
    ] = None,
    quality: Annotated[int, typer.Option(help="JPEG quality, 1 to 100.")] = 95,
) -> None:
    """Write the proven photos in CheXphoto's layout, with corners, conditions and rectified versions.

    Exit code 1 when a photo or its x-ray could not be read.

    Example: radsnap capture export monday MondayPhotos
    """
    from radsnap.jobs.capturing.export import ExportConfig, export_session

    given = {
        "session": session,
        "output": output,
        "unverified": unverified,
        "rectified_px": rectified_px,
        "quality": quality,
    }
    with bar("exporting") as report:
        done = export_session(checked(ExportConfig, given), report)
    typer.echo(f"{done.photos} photos → {output} ({', '.join(done.tables)})")
    for state, count in done.left_out.items():
        typer.echo(
            f"left out {count}: {state}" + (" (--unverified takes them)" if "named" not in state else "")
        )
    for failure in done.failed:
        typer.echo(f"not exported: {failure}")
    if done.failed:
        raise typer.Exit(1)


@capture.command()
def sheet(
    manifest: Annotated[
        str | None, typer.Argument(help="X-rays, when the session is new: a manifest, CSV or folder.")
    ] = None,
    session: Annotated[
        Path, typer.Option("--output", "-o", help="The session's folder; begun when it is new.")
    ] = Path("capture"),
    kind: Annotated[
        str,
        typer.Option(
            help="tags to print and lay beside a film, or slides for any viewer.", metavar="tags|slides"
        ),
    ] = "tags",
    format: Annotated[str, typer.Option(help="pdf, or png files.", metavar="pdf|png")] = "pdf",
    tag_cm: Annotated[float, typer.Option(help="Length of a tag on paper.")] = 8.0,
    width_px: Annotated[int, typer.Option(help="Width of a slide.")] = 1920,
    height_px: Annotated[int, typer.Option(help="Height of a slide.")] = 1080,
    root: Root = None,
) -> None:
    """Make tags or slides that carry the codes, for photos by hand; import them with `capture import`.

    Example: radsnap capture sheet films.csv -o films --kind tags
    """
    from radsnap.jobs.capturing.sheet import SheetConfig, make_sheet

    given = {
        "session": session,
        "manifest": manifest,
        "root": root,
        "kind": kind,
        "format": format,
        "tag_cm": tag_cm,
        "width_px": width_px,
        "height_px": height_px,
    }
    with bar(kind) as report:
        files = make_sheet(checked(SheetConfig, given), report)
    typer.echo("\n".join(map(str, files[:3])) + (f"\n... {len(files)} files" if len(files) > 3 else ""))


@capture.command("import")
def import_(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos, folders or patterns; any order.")
    ] = None,
    session: Annotated[Path, typer.Option("--session", "-s", help="The session's folder.")] = Path("capture"),
    device: Annotated[str, typer.Option(help="The camera's name; by default what its EXIF says.")] = "",
    propose: Annotated[
        bool, typer.Option(help="Compare photos without codes with the x-rays, and write proposals.csv.")
    ] = True,
    accept: Annotated[
        Path | None, typer.Option(help="proposals.csv with an x in the column accept: attach these by hand.")
    ] = None,
) -> None:
    """Take in photos of any camera: each goes to its x-ray by its codes. Exit code 1 when any could not be attached.

    Example: radsnap capture import DCIM/ -s films
    """
    from radsnap.jobs.capturing.importing import ImportConfig, import_photos
    from radsnap.jobs.capturing.session import open_session

    given = {
        "session": session,
        "photos": tuple(photos or ()),
        "device": device,
        "propose": propose,
        "accept": accept,
    }
    with bar("importing") as report:
        done = import_photos(checked(ImportConfig, given), report)
    for line in done.lines:
        if not line.fine or line.reason.startswith("its name"):
            typer.echo(f"{line.file}: {line.outcome} {line.image_id} {line.reason}".replace("  ", " "))
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in done.counts.items()))
    typer.echo(f"{len(done.missing)} pictures have no photo yet; all lines in {session}/import.csv")
    _say_missing(open_session(session), done.missing)
    if done.proposals:
        typer.echo(
            f"{len(done.proposals)} proposals in {session}/proposals.csv: mark the right ones, then --accept it"
        )
    if not all(line.fine for line in done.lines):
        raise typer.Exit(1)
