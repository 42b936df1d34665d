"""What is left of the risk when the least trusted studies are left out. Source: Geifman and El-Yaniv 2017."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from radsnap.errors import UsageError
from radsnap.measure.doors import Floats, real, same_length
from radsnap.measure.values import Undefined


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """Mean loss of the studies kept, from the most trusted few to all.

    coverage: the share kept, rising to 1; risk: their mean loss; confidence: the least that is kept. area: the mean
    of the risk over coverage; where trust says nothing it is on average the risk of all.
    """

    coverage: Floats
    risk: Floats
    confidence: Floats
    area: float


def selective_risk(loss: ArrayLike, confidence: ArrayLike) -> RiskCurve | Undefined:
    """Draw the risk against coverage. loss (n,): what each study costs, 1 and 0 for wrong and right; confidence (n,).

    Studies of one confidence are kept or left out together. The area is the mean over studies of the risk of all
    that are trusted as much or more. Raises UsageError for NaN.
    """
    costs, trust = real(loss, "loss"), real(confidence, "confidence")
    same_length(costs, trust)
    if not np.isfinite(costs).all():
        raise UsageError("a loss is a finite number, got an infinite one")
    if len(costs) == 0:
        return Undefined("no studies")
    order = np.argsort(-trust, kind="stable")
    ranked = trust[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    kept = last + 1
    risk = np.cumsum(costs[order])[last] / kept
    entered = np.diff(kept, prepend=0)
    return RiskCurve(kept / len(costs), risk, ranked[last], float((entered * risk).sum() / len(costs)))
