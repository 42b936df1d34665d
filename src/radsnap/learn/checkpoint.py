"""A training's state on disk: whole or not there, the one before it kept until the new one stands."""

from __future__ import annotations

import contextlib
import os
import pickle  # for the name of its error alone
from pathlib import Path
from typing import Any

import torch

from radsnap.errors import TrainingError

State = dict[str, Any]


def save(state: State, path: Path) -> None:
    """Write a checkpoint beside the old one and move it into its place.

    Raises TrainingError when the disk is full; the old checkpoint then still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".half")
    try:
        with half.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps a full disk in a RuntimeError
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise TrainingError(
            f"the checkpoint {path} could not be written ({error}); the one before it stands; "
            "make room and start the same command again, it goes on from there"
        ) from error


def restore(path: Path) -> State:
    """Read a checkpoint; only tensors and plain values are taken out of it, never objects."""
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({error}); remove it to start this training again"
        ) from error
    return state
