"""`make bench` runs every file of bench/ without arguments."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


def demanded(source: str) -> list[str]:
    """Give the arguments without which a script's parser exits with 2."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            name = ast.unparse(node.args[0]).strip("'\"f")
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            free = given.get("nargs", "").strip("'\"") in ("?", "*")
            if given.get("required") == "True" or (not name.startswith("-") and not free):
                found.append(name)
    return found


def test_the_check_sees_what_a_parser_demands() -> None:
    source = 'p.add_argument("a")\np.add_argument("b", nargs="?")\np.add_argument("-o", required=True)'
    assert demanded(source) == ["a", "-o"]


@pytest.mark.parametrize("script", sorted(BENCH.glob("*.py")), ids=lambda script: script.name)
def test_a_benchmark_demands_no_argument(script: Path) -> None:
    assert demanded(script.read_text()) == []


@pytest.mark.parametrize(
    ("script", "needs"),
    [("flatten_quality.py", "MANIFEST"), ("flatten_photos.py", "PATHS and -o FOLDER")],
)
def test_a_benchmark_without_its_data_is_skipped(script: str, needs: str) -> None:
    done = subprocess.run([sys.executable, BENCH / script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"skipped: needs {needs}\n")
