"""docs/cli.md says what the commands say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radsnap.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = re.split(r"^## radsnap ", (DOCS / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def make_cli(*arguments: str, folder: Path = DOCS) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(folder / "make_cli.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_the_page_is_what_the_script_makes() -> None:
    done = make_cli("--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_noticed_and_told_how_to_mend(tmp_path: Path) -> None:
    (tmp_path / "make_cli.py").write_bytes((DOCS / "make_cli.py").read_bytes())
    (tmp_path / "cli.md").write_text(
        (DOCS / "cli.md").read_text(encoding="utf-8").replace("--seed", "--sead", 1)
    )
    done = make_cli("--check", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "cli.md is stale; type: python docs/make_cli.py\n")


@pytest.mark.parametrize("section", SECTIONS, ids=[section.splitlines()[0] for section in SECTIONS])
def test_help_knows_every_option_of_the_page_and_the_page_every_option_of_help(section: str) -> None:
    command = section.splitlines()[0].split()
    wide = {"COLUMNS": "300", "TERMINAL_WIDTH": "300", "NO_COLOR": "1", "TERM": "dumb"}
    said = CliRunner().invoke(app, [*command, "--help"], env=wide)
    assert said.exit_code == 0
    options = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    rows = "\n".join(re.findall(r"^\| `([^`]+)`", section, flags=re.MULTILINE))
    first_words = "\n".join(
        line[:90] for line in said.output.splitlines() if re.match(r"[\s│*]*--?[a-z]", line)
    )
    assert set(options.findall(rows)) | {"--help"} == set(options.findall(first_words))
