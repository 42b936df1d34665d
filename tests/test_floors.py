"""Imports go down only, and each heavy package has its rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "radsnap"
FLOORS = (
    ("errors", "seeds", "findings", "extras", "client"),
    ("imaging", "tables"),
    ("phantom", "photo", "collections", "models", "measure", "flatten", "markers"),
    ("learn", "reading"),
    ("jobs", "serving"),
    ("cli", "web", "capture"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Arrows within a floor: flatten runs its networks with the runtime of models; a collection of synthetic photos
# knows the recipes they are made by; a command starts a server.
ARROWS = {("flatten", "models"), ("collections", "photo"), ("cli", "capture"), ("cli", "web")}
# radsnap/__init__.py names what is public and imports it lazily; __main__.py is the command line.
ROOFS = ("__init__", "__main__")

# Package → the places, as prefixes below src/radsnap, that may import it, even inside a function.
HOMES = {
    **dict.fromkeys(
        ("torch", "monai", "lightning_fabric", "nncf", "transformers", "safetensors", "tensorboard"),
        ("models/networks", "models/adapters", "learn/", "jobs/train", "jobs/pretrain"),
    ),
    **dict.fromkeys(("onnx", "onnxscript"), ("models/", "learn/")),
    "fastapi": ("web/", "capture/"),
    "starlette": ("serving/", "web/", "capture/"),
    "openvino": ("models/runtime",),
    "pydicom": ("imaging/", "web/"),
    "typer": ("cli/",),
    "ray": ("jobs/scale",),
}


def imports(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Give line and dotted name of every import, inside functions too; relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def faults(path: str, source: str) -> list[str]:
    """Say what in a file (path below src/radsnap) breaks the floors."""
    parts = Path(path).with_suffix("").parts
    room = parts[0]
    if room in ROOFS:
        return []
    if room not in FLOOR:
        return [f"{path}: '{room}' stands on no floor; give it one here and in the design"]
    found = []
    for line, name in imports(source, ("radsnap", *parts[:-1])):
        root, *rest = name.split(".")
        homes = HOMES.get(root)
        if homes is not None and not path.startswith(homes) and not in_type_checking(source, line):
            found.append(f"{path}:{line}: {root} belongs to {', '.join(homes)}")
        if root != "radsnap" or not rest or rest[0] not in FLOOR or rest[0] == room:
            continue
        other = rest[0]
        if FLOOR[other] >= FLOOR[room] > 0 and (room, other) not in ARROWS:
            found.append(
                f"{path}:{line}: {room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})"
            )
        if FLOOR[room] == 0 and FLOOR[other] > 0:
            found.append(f"{path}:{line}: {room} (floor 0) imports {other} (floor {FLOOR[other]})")
    return sorted(set(found))


def in_type_checking(source: str, line: int) -> bool:
    """Tell whether a line is under `if TYPE_CHECKING:`, which never runs."""
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0)
        for node in ast.walk(ast.parse(source))
    )


def test_imports_go_down_only_and_heavy_packages_stay_at_home() -> None:
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 20
    found = [
        fault
        for file in files
        for fault in faults(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        (
            "imaging/a.py",
            "from radsnap.models.card import Card",
            "imaging (floor 1) imports models (floor 2)",
        ),
        ("imaging/a.py", "def f():\n    import radsnap.tables", "imaging (floor 1) imports tables (floor 1)"),
        ("models/a.py", "from radsnap import flatten", "models (floor 2) imports flatten (floor 2)"),
        ("web/a.py", "from ..capture import door", "web (floor 5) imports capture (floor 5)"),
        ("errors.py", "from radsnap.imaging import Photo", "errors (floor 0) imports imaging (floor 1)"),
        ("reading/a.py", "def f():\n    import torch.nn", "torch belongs to"),
        ("serving/a.py", "from fastapi import FastAPI", "fastapi belongs to web/, capture/"),
        ("attic/a.py", "", "'attic' stands on no floor"),
    ],
)
def test_this_test_sees_what_is_wrong(path: str, source: str, fault: str) -> None:
    assert any(fault in said for said in faults(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("flatten/a.py", "from radsnap.models import runtime"),
        ("cli/a.py", "def f():\n    from radsnap.jobs.diagnose import diagnose"),
        ("findings.py", "from radsnap.errors import UsageError"),
        ("reading/a.py", "from radsnap import __version__\nfrom radsnap.reading.stages import sigmoid"),
        ("reading/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import nn"),
    ],
)
def test_this_test_lets_pass_what_is_right(path: str, source: str) -> None:
    assert faults(path, source) == []
