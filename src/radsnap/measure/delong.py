"""DeLong's variance of AUROCs and his test of their difference: the cross-check of the bootstrap.

Source: DeLong, DeLong & Clarke-Pearson 1988; by midranks as in Sun & Xu 2014. Studies are taken to be
independent, so it does not know about several studies of one patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from radsnap.measure.doors import Floats, binary, real, same_length
from radsnap.measure.scores import one_class
from radsnap.measure.values import Estimate, Undefined


@dataclass(frozen=True, eq=False)
class Areas:
    """AUROCs of several scores on the same studies, and their covariance (K, K)."""

    values: Floats
    covariance: Floats
    n: int


def delong_areas(truth: ArrayLike, *scores: ArrayLike) -> Areas | Undefined:
    """Estimate the AUROCs of one or more scores on the same studies, with their covariance."""
    positive = binary(truth, "truth")
    columns = [real(score, "score") for score in scores]
    same_length(positive, *columns)
    reason = one_class(positive)
    if reason is not None:
        return reason
    pos, neg = int(positive.sum()), int((~positive).sum())
    if min(pos, neg) < 2:
        return Undefined(
            f"a variance needs two studies of each class, got {pos} positives and {neg} negatives"
        )
    of_pos = np.empty((len(columns), pos))
    of_neg = np.empty((len(columns), neg))
    for k, column in enumerate(columns):
        ranks = rankdata(column)
        # The share of negatives that a positive beats, and of positives that beat a negative.
        of_pos[k] = (ranks[positive] - rankdata(column[positive])) / neg
        of_neg[k] = 1 - (ranks[~positive] - rankdata(column[~positive])) / pos
    covariance = np.atleast_2d(np.cov(of_pos)) / pos + np.atleast_2d(np.cov(of_neg)) / neg
    return Areas(of_pos.mean(axis=1), covariance, len(positive))


def delong_interval(truth: ArrayLike, score: ArrayLike, confidence: float = 0.95) -> Estimate | Undefined:
    """Estimate an AUROC with DeLong's normal interval, cut at 0 and 1."""
    areas = delong_areas(truth, score)
    if isinstance(areas, Undefined):
        return areas
    value = float(areas.values[0])
    reach = float(ndtri((1 + confidence) / 2)) * float(np.sqrt(areas.covariance[0, 0]))
    low, high = max(0.0, value - reach), min(1.0, value + reach)
    return Estimate(value, low, high, areas.n, f"DeLong {100 * confidence:g} %")


def delong_test(
    truth: ArrayLike, score: ArrayLike, other: ArrayLike, confidence: float = 0.95
) -> Estimate | Undefined:
    """Estimate the difference of two AUROCs on the same studies, with interval and two-sided p-value."""
    areas = delong_areas(truth, score, other)
    if isinstance(areas, Undefined):
        return areas
    difference = float(areas.values[0] - areas.values[1])
    c = areas.covariance
    error = float(np.sqrt(max(0.0, c[0, 0] + c[1, 1] - 2 * c[0, 1])))
    reach = float(ndtri((1 + confidence) / 2)) * error
    if error > 0:
        p = float(2 * ndtr(-abs(difference) / error))
    elif difference == 0:
        p = 1.0
    else:
        return Undefined("the difference has no variance")
    method = f"DeLong {100 * confidence:g} %"
    return Estimate(difference, difference - reach, difference + reach, areas.n, method, p)
