"""Arrays that cost much to draw, kept in a file together with the settings they were drawn by."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError

Arrays = dict[str, NDArray[Any]]
_SETTINGS = "settings"


def keep(path: Path, arrays: Arrays, settings: str) -> None:
    """Write arrays (.npz) beside their file and move them into its place: whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".half")
    with half.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{_SETTINGS: np.array(settings)})
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def kept(path: Path, settings: str) -> Arrays | None:
    """Read arrays that were kept, None where there are none.

    Raises UsageError for a file that is broken, that was drawn by other settings, or that does not say by which.
    """
    if not path.is_file():
        return None
    try:
        # opened here: numpy leaves a file open that turns out to be none of its own
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read ({error}); remove it, and it is drawn again") from error
    told = arrays.pop(_SETTINGS, None)
    if told is None or str(told) != settings:
        by = "by other settings or from other data" if told is not None else "before settings were kept"
        raise UsageError(
            f"{path} was drawn {by}; give another folder with -o, or remove it to have it drawn again"
        )
    return arrays
