"""What the pages of docs/ show runs, block by block, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).parents[2] / "docs"
# ```sh and ```python are run; ```python NAME.py is a file to save; ```text and ```console are only shown.
BLOCK = re.compile(r"^```(sh|python)(?: ([a-z_]+\.py))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
TUTORIAL_N = "60"
LONGEST_S = 300


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment in which `radsnap` and `python` are those of the tests."""
    commands = tmp_path_factory.mktemp("bin")
    for name, words in (("python", [sys.executable]), ("radsnap", [sys.executable, "-m", "radsnap"])):
        (commands / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (commands / name).chmod(0o755)
    return {
        **os.environ,
        "N": TUTORIAL_N,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def run_blocks(page: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Do what a reader of a page does, from top to bottom; gives all that was printed."""
    said = []
    for language, name, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if name:
            (folder / name).write_text(code, encoding="utf-8")
            continue
        command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else ["python", "-c"]
        done = subprocess.run(
            [*command, code], cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=LONGEST_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{page.name}:\n{code}\nsaid:\n{done.stdout}{done.stderr}"
        said.append(done.stdout + done.stderr)
    return "".join(said)


def test_the_tutorial_runs_and_its_report_holds_the_whole_study(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    run_blocks(DOCS / "tutorial.md", tmp_path, environment)
    results = pd.read_csv(tmp_path / "report" / "results.csv", keep_default_na=False)
    models = {"findings", "linear", "linear-photo"}
    assert set(results["subject"][results["role"] == "model"]) == models
    assert {"reader-a", "reader-b"} <= set(results["subject"][results["role"] == "reader"])
    assert set(results["subject"][results["domain"] == "photo-digital"]) == models
    decided = results[(results["role"] == "model") & (results["measure"] == "MCC")]
    assert "threshold" in "".join(decided["method"])  # the validation set chose them
    for name in ("report.html", "tables.md", "tables.tex", "report.json"):
        assert (tmp_path / "report" / name).stat().st_size > 1000
    assert (tmp_path / "board" / "index.html").is_file()


@pytest.mark.parametrize(
    "page", ["benchmark.md", "data.md", "diagnose.md", "lungs.md", "models.md", "python.md"]
)
def test_what_a_page_shows_runs(page: str, tmp_path: Path, environment: Mapping[str, str]) -> None:
    assert run_blocks(DOCS / page, tmp_path, environment)


def test_a_block_that_fails_fails_the_test(tmp_path: Path, environment: Mapping[str, str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nfalse | cat\ntrue\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md"):
        run_blocks(page, tmp_path, environment)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f"({page.name})" not in index] == ["README.md"]
