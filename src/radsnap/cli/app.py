"""The command line: one verb, one file. Nothing heavy is imported before the verb that needs it runs."""

from __future__ import annotations

import sys

import typer

from radsnap.cli.benchmark import benchmark, leaderboard
from radsnap.cli.calibrate import calibrate
from radsnap.cli.capture import capture
from radsnap.cli.data import data
from radsnap.cli.demo import demo
from radsnap.cli.diagnose import diagnose
from radsnap.cli.evaluate import evaluate
from radsnap.cli.flatten import flatten
from radsnap.cli.models import models
from radsnap.cli.phantom import phantom
from radsnap.cli.photograph import photograph
from radsnap.cli.predict import predict
from radsnap.cli.pretrain import pretrain
from radsnap.cli.segment import segment
from radsnap.cli.serve import serve
from radsnap.cli.train import train
from radsnap.errors import RadsnapError, UsageError

app = typer.Typer(
    name="radsnap",
    help="Reads chest x-rays from phone photos. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _options() -> None:
    """Reads chest x-rays from phone photos. Research software, not a medical device."""


app.command()(benchmark)
app.add_typer(capture)
app.command()(calibrate)
app.command()(demo)
app.add_typer(data)
app.command()(diagnose)
app.command()(evaluate)
app.command()(flatten)
app.command()(leaderboard)
app.add_typer(models)
app.command()(phantom)
app.command()(photograph)
app.command()(predict)
app.command()(pretrain)
app.command()(segment)
app.command()(serve)
app.command()(train)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 some input failed, 2 wrong usage."""
    try:
        app()
    except UsageError as error:
        sys.stderr.write(f"radsnap: {error}\n")
        sys.exit(2)
    except RadsnapError as error:
        sys.stderr.write(f"radsnap: {error}\n")
        sys.exit(1)
    except OSError as error:
        sys.stderr.write(f"radsnap: {_told(error)}\n")
        sys.exit(2)


def _told(error: OSError) -> str:
    """Say which path the system refused, and why; what has none tells its own words."""
    path = error.filename2 or error.filename
    if path is None:
        return str(error)
    reason = error.strerror or type(error).__name__
    return f"{path}: cannot be read or written ({reason}); check the path, or give another"
