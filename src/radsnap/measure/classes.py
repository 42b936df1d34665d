"""Scores of decisions between any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radsnap.errors import UsageError
from radsnap.measure.doors import Floats, Ints, Weights, same_length
from radsnap.measure.scores import Weighted
from radsnap.measure.values import Undefined


@dataclass(frozen=True, eq=False)
class Confusion:
    """Rows are the true classes, columns the predicted ones. table: int64 (K, K)."""

    classes: tuple[Any, ...]
    table: Ints

    def recalls(self) -> Floats:
        """Give the recall of each class, NaN for a class that the truth does not have."""
        return _recalls(np.diag(self.table).astype(np.float64), self.table.sum(axis=1).astype(np.float64))


def _pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    true, named = np.asarray(truth), np.asarray(predicted)
    if true.ndim != 1 or named.ndim != 1:
        raise UsageError(f"classes must be one column each, got shapes {true.shape} and {named.shape}")
    same_length(true, named)
    return true, named


def confusion_matrix(
    truth: ArrayLike, predicted: ArrayLike, classes: tuple[Any, ...] | None = None
) -> Confusion:
    """Count which class was taken for which.

    classes: their order; by default all that occur, sorted. Raises UsageError for a class outside them.
    """
    true, named = _pair(truth, predicted)
    found = np.unique(np.concatenate([true, named])).tolist()
    order = tuple(found) if classes is None else classes
    strange = [name for name in found if name not in order]
    if strange:
        raise UsageError(f"class {strange[0]!r} is not among the classes {list(order)}")
    place = {name: i for i, name in enumerate(order)}
    rows = np.array([place[name] for name in true.tolist()], dtype=np.int64)
    columns = np.array([place[name] for name in named.tolist()], dtype=np.int64)
    size = len(order)
    table = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    return Confusion(order, table.astype(np.int64))


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float | Undefined:
    """Measure the share of studies whose class is right; two classes or more."""
    true, named = _pair(truth, predicted)
    return float(np.mean(true == named)) if len(true) else Undefined("no studies")


def balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float | Undefined:
    """Measure the mean recall over the classes that the truth has; two classes or more."""
    true, named = _pair(truth, predicted)
    if len(true) == 0:
        return Undefined("no studies")
    if len(np.unique(true)) < 2:
        return Undefined(f"only one class, {true[0]}, among {len(true)} studies")
    return float(np.nanmean(confusion_matrix(true, named).recalls()))


def _recalls(right: Floats, total: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, right / total, np.nan)


def weighted_accuracy(truth: ArrayLike, predicted: ArrayLike) -> Weighted:
    """Prepare the accuracy for a matrix of weights."""
    true, named = _pair(truth, predicted)
    right = (true == named).astype(np.float32)
    return lambda weights: (right @ weights).astype(np.float64) / weights.sum(axis=0, dtype=np.float64)


def weighted_balanced_accuracy(truth: ArrayLike, predicted: ArrayLike) -> Weighted:
    """Prepare the balanced accuracy for a matrix of weights.

    A resample takes the mean over the classes that it holds, and is undefined with fewer than two.
    """
    true, named = _pair(truth, predicted)
    member = np.stack([true == name for name in np.unique(true)]).astype(np.float32)
    right = member * (true == named).astype(np.float32)

    def at(weights: Weights) -> Floats:
        total = (member @ weights).astype(np.float64)
        held = (total > 0).sum(axis=0)
        recalls = _recalls((right @ weights).astype(np.float64), total)
        return np.where(held >= 2, np.nansum(recalls, axis=0) / np.maximum(held, 1), np.nan)

    return at
