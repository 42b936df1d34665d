"""`radsnap serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radsnap.errors import UsageError

if TYPE_CHECKING:
    from radsnap.serving.certificate import Certificate
    from radsnap.web.messenger import Messenger
    from radsnap.web.settings import Settings


Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets the local network in.")]
Port = Annotated[int, typer.Option(help="Port to listen on, 0 for a free one.", min=0, max=65535)]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder for cases; else $RADSNAP_DATA or the user's own.", metavar="DIR"),
]
Database = Annotated[
    str | None,
    typer.Option(
        help="Database, such as postgresql://USER@HOST/NAME.", metavar="URL", envvar="RADSNAP_DATABASE"
    ),
]
Images = Annotated[
    str | None, typer.Option(help="Pictures at an fsspec address instead of DIR.", metavar="URL")
]
Processes = Annotated[
    int | None, typer.Option(help="Processes that read pictures; by default one a core.", min=1, max=64)
]
Https = Annotated[
    bool, typer.Option("--https", help="Make a certificate: phones give a camera to secure pages only.")
]
Cert = Annotated[Path | None, typer.Option(help="Your own certificate, PEM.", metavar="FILE")]
Key = Annotated[Path | None, typer.Option(help="Its key, PEM.", metavar="FILE")]
AccessCodes = Annotated[
    list[str] | None,
    typer.Option(
        help="Who may enter; repeat for several. Better in the environment than on the command line.",
        metavar="NAME=CODE",
        envvar="RADSNAP_ACCESS_CODES",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(help="A further name this server goes by, such as behind a proxy.", metavar="HOST"),
]
BehindHttps = Annotated[bool, typer.Option("--behind-https", help="A proxy in front speaks HTTPS for us.")]
Retention = Annotated[float | None, typer.Option(help="Delete cases after so many days.", metavar="DAYS")]
Findings = Annotated[
    str, typer.Option(help="What reads frontal chests: a card, a folder or a shipped model.")
]
Gate = Annotated[str, typer.Option(help="What tells x-rays from the rest.")]
Kind = Annotated[str, typer.Option(help="What tells which x-ray it is.")]
Lungs = Annotated[str, typer.Option(help="What finds the lungs of frontal chests; 'none' leaves them out.")]
MessengerName = Annotated[
    str | None,
    typer.Option(
        help="Answer photos sent by messenger too: whatsapp. Its secrets stand in the environment.",
        metavar="NAME",
    ),
]
MessengerReader = Annotated[
    str | None,
    typer.Option(help="Keep those photos as cases of this reader; else none is kept.", metavar="NAME"),
]
Checks = Annotated[
    bool, typer.Option("--check", help="Instead of serving, look over the cases and remove leftovers.")
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data: Data = None,
    database: Database = None,
    images: Images = None,
    workers: Processes = None,
    https: Https = False,
    cert: Cert = None,
    key: Key = None,
    access_code: AccessCodes = None,
    name: Names = None,
    behind_https: BehindHttps = False,
    retention: Retention = None,
    model: Findings = "findings",
    gate: Gate = "gate",
    kind: Kind = "kind",
    lungs: Lungs = "lungs",
    messenger: MessengerName = None,
    messenger_reader: MessengerReader = None,
    check: Checks = False,
) -> None:
    """Open the page where a phone photographs an x-ray and reads the findings.

    Without --host only this machine reaches it. Beyond it, and behind a proxy (--behind-https, --name),
    everybody needs an access code; one is made where none is given. Research software, not a medical device.

    Example: radsnap serve --host 0.0.0.0 --https
    """
    if (cert is None) is not (key is None):
        raise UsageError("--cert and --key go together: a certificate and its key")
    _need_extra()
    codes = _codes(access_code or [])
    made = None if codes else _code_for([host, *(name or [])], behind_https)
    kept = {"data": data, "database": database, "images": images, "retention_days": retention}
    read = {"model": model, "gate": gate, "kind": kind, "workers": workers}
    settings = _settings(
        {**kept, **read, "messenger_reader": messenger_reader},
        lungs=None if lungs == "none" else lungs,
        secure=https or cert is not None or behind_https,
        self_signed=https and cert is None,
        codes=codes if made is None else {"reader": made},
    )
    if check:
        _check(settings)
        return
    answered = _messenger(messenger)
    own = _certificate(settings, https, cert, key, host, name or [])
    _serve(settings, host, port, own, name or [], made, answered)


def _need_extra() -> None:
    from radsnap.extras import need

    for package in ("fastapi", "uvicorn", "sqlalchemy", "alembic", "segno", "cryptography"):
        need(package, extra="web")


def _settings(given: dict[str, Any], **known: Any) -> Settings:
    """Check what the options say; what is None is left to the settings' own defaults."""
    from radsnap.cli.console import checked
    from radsnap.web.settings import Settings

    return checked(Settings, {name: value for name, value in given.items() if value is not None} | known)


def _codes(given: list[str]) -> dict[str, str]:
    """Read NAME=CODE; a code alone is the reader's named 'reader'. The environment separates by spaces."""
    codes = {}
    for entry in given:
        name, equals, code = entry.partition("=")
        codes[name if equals else "reader"] = code if equals else entry
    return codes


def _code_for(names: list[str], behind_proxy: bool) -> str | None:
    """Make a code for a server that more than this machine reaches: by an address, or through a proxy."""
    from radsnap.serving.address import is_loopback
    from radsnap.serving.tokens import new_code

    return new_code() if behind_proxy or not all(map(is_loopback, names)) else None


def _certificate(
    settings: Settings, https: bool, cert: Path | None, key: Path | None, host: str, names: list[str]
) -> Certificate | None:
    from radsnap.serving.address import lan_addresses
    from radsnap.serving.certificate import certificate, own_certificate

    if cert is not None and key is not None:
        return own_certificate(cert, key)
    if not https:
        return None
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - the user asked for it
    return certificate(settings.data / "tls", [*(lan_addresses() if everywhere else [host]), *names])


def _messenger(name: str | None) -> Messenger | None:
    import os

    from radsnap.web.messenger import messenger

    return None if name is None else messenger(name, os.environ)


def _serve(
    settings: Settings, host: str, port: int, own: Certificate | None, names: list[str],
    made: str | None, answered: Messenger | None,
) -> None:  # fmt: skip
    import logging

    from radsnap.serving.address import lan_addresses
    from radsnap.serving.run import serve as run
    from radsnap.web.app import create_app, opened

    everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - the user asked for it
    outside = lan_addresses() if everywhere else [host]
    settings = settings.model_copy(update={"hosts": (*settings.hosts, *outside, *names)})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    def ready(page: str) -> None:
        _say_ready(_page(page, outside) if everywhere and outside else page, made, own, settings, answered)

    app = create_app(settings, answered)
    with opened(app):
        run(app, host, port, own, ready=ready)


def _page(opened: str, outside: list[str]) -> str:
    """Give the page's address as others in the network know it."""
    from urllib.parse import urlsplit

    from radsnap.serving.address import url

    at = urlsplit(opened)
    secure = at.scheme == "https"
    return url(outside[0], at.port or (443 if secure else 80), secure)


def _say_ready(
    page: str, made: str | None, own: Certificate | None, settings: Settings, answered: Messenger | None
) -> None:
    from urllib.parse import urlsplit

    from radsnap.serving.address import is_loopback, qr_in_terminal

    typer.echo(f"radsnap listens at {page}")
    if not is_loopback(urlsplit(page).hostname or ""):
        typer.echo(qr_in_terminal(page))
    if made is not None:
        typer.echo(f"Access code: {made}  (new at every start; --access-code sets your own)")
    if settings.self_signed and own is not None:
        typer.echo(f"The browser will warn of the certificate. Its SHA-256 is {own.fingerprint}")
    if answered is not None:
        typer.echo(f"Messages of {answered.name} are taken at /messenger/{answered.name}")
    typer.echo("Research software, not a medical device. Stop with Ctrl-C.")


def _check(settings: Settings) -> None:
    from radsnap.web.storage.check import check

    found = check(settings)
    typer.echo(f"{found.cases} cases, {len(found.removed)} leftovers removed, {len(found.broken)} broken")
    for case_id in found.broken:
        typer.echo(f"case {case_id}: a file is missing or changed; delete the case, or restore a backup")
    if found.broken:
        raise typer.Exit(1)
