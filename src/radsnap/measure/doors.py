"""What every measure asks of its arrays, checked once at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radsnap.errors import UsageError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Weights = NDArray[np.float32]


def binary(values: ArrayLike, what: str) -> Bools:
    """Take an array of 0 and 1 (or False and True). Raises UsageError for anything else, NaN included."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise UsageError(f"{what} must be one column, got shape {array.shape}")
    if array.dtype == np.bool_:
        return array
    wrong = ~((array == 0) | (array == 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"{what} must be 0 or 1, got {array[first]} in row {first}; leave unknown rows out, "
            "or choose a policy for them, before measuring"
        )
    return np.asarray(array == 1)


def real(values: ArrayLike, what: str) -> Floats:
    """Take an array of real numbers. Raises UsageError for NaN."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise UsageError(f"{what} must be one column, got shape {array.shape}")
    missing = np.isnan(array)
    if missing.any():
        raise UsageError(
            f"{what} has no number in {int(missing.sum())} rows, the first is row "
            f"{int(np.flatnonzero(missing)[0])}; leave those rows out before measuring"
        )
    return array


def same_length(*arrays: NDArray[Any]) -> None:
    """Refuse arrays of different lengths."""
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise UsageError(f"columns of one study must have the same length, got {lengths}")


def binary_and_real(truth: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    """Take a truth and the scores beside it."""
    positive, values = binary(truth, "truth"), real(score, "score")
    same_length(positive, values)
    return positive, values


def binary_pair(truth: ArrayLike, decision: ArrayLike) -> tuple[Bools, Bools]:
    """Take a truth and the decisions beside it."""
    positive, called = binary(truth, "truth"), binary(decision, "decisions")
    same_length(positive, called)
    return positive, called
