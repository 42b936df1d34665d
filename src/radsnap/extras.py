"""Optional parts: import a package, or say which extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from radsnap.errors import MissingExtra


def need(package: str, extra: str) -> ModuleType:
    """Import an optional package. Raises MissingExtra with the line to type when it is absent."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        raise MissingExtra(
            f"this needs the package '{package}', which is not installed; "
            f'type: pip install "radsnap[{extra}]"'
        ) from error
