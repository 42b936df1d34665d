"""What a worker hands over to be stored. Light: workers know of no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NewFile:
    """A file to store, as a worker left it: its role, where it is, its suffix."""

    role: str
    path: Path
    suffix: str


@dataclass(frozen=True)
class NewCase:
    """A reading to store. `diagnosis` is what `Diagnosis.to_json` gives; width and height are the picture's."""

    diagnosis: Mapping[str, Any]
    width: int
    height: int
    files: tuple[NewFile, ...]
