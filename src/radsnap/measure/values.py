"""A figure never travels alone: a value with its interval, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    low and high: ends of the interval, NaN where no interval can be had (method says why). n: studies
    it rests on. method: how the interval was made. p: two-sided p-value of a difference, or None.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    p: float | None = None

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Undefined:
    """A value that does not exist, with its reason, such as 'no positives among 41 studies'."""

    reason: str

    def __str__(self) -> str:
        return f"undefined: {self.reason}"
