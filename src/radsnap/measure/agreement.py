"""How far readers agree beyond chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from radsnap.errors import UsageError
from radsnap.measure.doors import Floats, Weights, same_length
from radsnap.measure.scores import Weighted
from radsnap.measure.values import Undefined


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float | Undefined:
    """Measure the agreement of two readers beyond chance; any classes. Source: Cohen 1960."""
    a, b = np.asarray(first), np.asarray(second)
    same_length(a, b)
    if len(a) == 0:
        return Undefined("no studies")
    if len(np.unique(np.concatenate([a, b]))) == 1:
        return Undefined(f"both readers say {a[0]} of all {len(a)} studies")
    return float(weighted_cohen_kappa(a, b)(np.ones((len(a), 1), dtype=np.float32))[0])


def weighted_cohen_kappa(first: ArrayLike, second: ArrayLike) -> Weighted:
    """Prepare Cohen's kappa for a matrix of weights."""
    a, b = np.asarray(first), np.asarray(second)
    same_length(a, b)
    names = np.unique(np.concatenate([a, b]))
    said_a, said_b = ((column == names[:, None]).astype(np.float32) for column in (a, b))
    same = (a == b).astype(np.float32)

    def at(weights: Weights) -> Floats:
        total = weights.sum(axis=0, dtype=np.float64)
        agreed = (same @ weights).astype(np.float64) / total
        shares = (said_a @ weights).astype(np.float64) * (said_b @ weights)
        return _beyond_chance(agreed, shares.sum(axis=0) / total**2)

    return at


def fleiss_kappa(ratings: ArrayLike) -> float | Undefined:
    """Measure the agreement of two readers or more beyond chance. Source: Fleiss 1971.

    ratings: (readers, studies), any classes, none missing.
    """
    table = np.asarray(ratings)
    if table.ndim != 2 or table.shape[0] < 2:
        raise UsageError(
            f"agreement needs ratings (readers, studies) of two readers or more, got {table.shape}"
        )
    if table.shape[1] == 0:
        return Undefined("no studies")
    if len(np.unique(table)) == 1:
        return Undefined(f"all readers say {table[0, 0]} of all {table.shape[1]} studies")
    return float(weighted_fleiss_kappa(table)(np.ones((table.shape[1], 1), dtype=np.float32))[0])


def weighted_fleiss_kappa(ratings: ArrayLike) -> Weighted:
    """Prepare Fleiss' kappa for a matrix of weights. ratings: (readers, studies)."""
    table = np.asarray(ratings)
    readers = table.shape[0]
    votes = np.stack([(table == name).sum(axis=0) for name in np.unique(table)]).astype(np.float64)
    pairs = (votes * (votes - 1)).sum(axis=0) / (readers * (readers - 1))

    def at(weights: Weights) -> Floats:
        exact = weights.astype(np.float64)
        total = exact.sum(axis=0)
        chance = ((votes @ exact / (readers * total)) ** 2).sum(axis=0)
        return _beyond_chance(pairs @ exact / total, chance)

    return at


def _beyond_chance(agreed: Floats, chance: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1 - 1e-12, (agreed - chance) / (1 - chance), np.nan)
