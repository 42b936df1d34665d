"""A whole study at once: every figure and every comparison under the same resamples.

A cell is one column of values (scores, decisions, flips) measured by one metric. A contrast is a weighted
sum of cells: a cell alone, the mean of readers, a difference between domains or between subjects; or such a
sum as a share of another, as a relative drop is. Cells and contrasts are stated once and evaluated for each
finding and for the mean over findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from radsnap.measure.agreement import fleiss_kappa, weighted_fleiss_kappa
from radsnap.measure.bootstrap import Interval, Resamples, replicate, summarise, weighted
from radsnap.measure.compare import mean_value
from radsnap.measure.doors import Bools, Floats, Ints, Weights
from radsnap.measure.scores import Metric, Weighted
from radsnap.measure.values import Estimate, Undefined

MEAN = "mean"
# Where more resamples than one tail holds leave a share without a base, its percentiles are not an interval.
_BASELESS = 0.025


@dataclass(frozen=True, eq=False)
class Cell:
    """A column of values and the metric that scores it.

    values: (n studies, K findings), NaN where a study has none; or (n, K, C) for a metric of C columns, where
    a study counts that has all columns which are not empty. missing: per finding the reason why the whole
    column does not exist, or "". smooth: whether the jackknife tells how it leans; if not, its intervals are
    percentile.
    """

    metric: Metric
    values: Floats
    missing: tuple[str, ...]
    smooth: bool = True


Terms = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Base:
    """What a contrast is a share of: a constant and a weighted sum of cells. reason: said where it is not above 0."""

    terms: Terms
    reason: str
    constant: float = 0.0


@dataclass(frozen=True)
class Contrast:
    """A constant and a weighted sum of cells, by their names; as a share of a base where there is one.

    difference: it is taken on the studies that all its cells have, and has a p-value unless it is a share.
    """

    terms: Terms
    difference: bool = False
    constant: float = 0.0
    base: Base | None = None


@dataclass(frozen=True)
class Figure:
    """One figure of a study: which contrast, of which finding, and its value with interval, or the reason."""

    name: str
    finding: str
    result: Estimate | Undefined


Advance = Callable[[int, int], None]


def evaluate(
    truth: Floats,
    findings: Sequence[str],
    cells: Mapping[str, Cell],
    contrasts: Mapping[str, Contrast],
    plan: Resamples,
    advance: Advance = lambda done, total: None,
    interval: Interval = "percentile",
) -> list[Figure]:
    """Evaluate all contrasts, finding by finding and as the mean over findings.

    truth: (n, K), NaN unknown. A finding whose truth has one class only is left out of the mean, for all
    alike. The mean of a share is the share of the means. Memory is bounded by one finding's replicates.
    advance is told the findings done and their number.
    """
    figures: list[Figure] = []
    totals = {name: _Total() for name in contrasts}
    counted = [finding for k, finding in enumerate(findings) if _both_classes(truth[:, k])]
    for k, finding in enumerate(findings):
        sheet = _Sheet(truth[:, k], k, cells)
        prepared = {name: sheet.contrast(contrast) for name, contrast in contrasts.items()}
        drawn = sheet.replicates(plan, interval)
        for name, found in prepared.items():
            sums = found.replicates(drawn)
            figures.append(Figure(name, finding, _result(found, sums, plan, contrasts[name], cells)))
            if finding in counted:
                totals[name].add(found, sums)
        advance(k + 1, len(findings))
    for name, contrast in contrasts.items():
        mean, sums = totals[name].mean(counted)
        figures.append(Figure(name, MEAN, _result(mean, sums, plan, contrast, cells)))
    return figures


def _both_classes(truth: Floats) -> bool:
    known = truth[~np.isnan(truth)]
    return bool(len(known) and known.min() < known.max())


Sums = tuple[Floats, Floats | None]


@dataclass(frozen=True)
class _Prepared:
    """A contrast on one finding: its sum and its base's, their columns with factors, its number of studies."""

    top: float | Undefined
    bottom: float | Undefined | None
    parts: tuple[Sequence[tuple[int, float]], Sequence[tuple[int, float]]]
    constants: tuple[float, float]
    n: int

    def replicates(self, drawn: Floats) -> Sums:
        top, bottom = (
            _combine(part, constant, drawn) for part, constant in zip(self.parts, self.constants, strict=True)
        )
        return top, None if self.bottom is None else bottom


def _combine(parts: Sequence[tuple[int, float]], constant: float, drawn: Floats) -> Floats:
    if not parts:
        return np.full(len(drawn), np.nan)
    first, factor = parts[0]
    total = drawn[:, first] * factor
    for column, factor in parts[1:]:
        total += drawn[:, column] * factor
    if constant:
        total += constant
    return total


@dataclass
class _Total:
    """The findings of a contrast, added up for their mean. sums: the running sum, once there is one."""

    found: list[_Prepared] = field(default_factory=list)
    sums: Sums | None = None

    def add(self, found: _Prepared, sums: Sums) -> None:
        self.found.append(found)
        if self.sums is None:
            self.sums = sums
            return
        (top, bottom), (more_top, more_bottom) = self.sums, sums
        self.sums = (
            top + more_top,
            None if bottom is None or more_bottom is None else bottom + more_bottom,
        )

    def mean(self, names: Sequence[str]) -> tuple[_Prepared, Sums]:
        top = mean_value([one.top for one in self.found], names)
        bottoms = [one.bottom for one in self.found if one.bottom is not None]
        bottom = mean_value(bottoms, names) if bottoms else None
        n = max((one.n for one in self.found), default=0)
        all_top, all_bottom = self.sums or (np.zeros(0), None)
        count = max(len(names), 1)
        sums = (all_top / count, None if all_bottom is None else all_bottom / count)
        return _Prepared(top, bottom, ((), ()), (0.0, 0.0), n), sums


def _result(
    found: _Prepared, sums: Sums, plan: Resamples, contrast: Contrast, cells: Mapping[str, Cell]
) -> Estimate | Undefined:
    top, bottom = found.top, found.bottom
    if isinstance(top, Undefined):
        return top
    if isinstance(bottom, Undefined):
        return bottom
    drawn, base = sums
    if bottom is not None and base is not None and contrast.base is not None:
        if bottom <= 0:
            return Undefined(contrast.base.reason)
        baseless = base <= 0
        top, drawn = top / bottom, np.divide(drawn, base, out=np.full(len(base), np.nan), where=~baseless)
        many = int(baseless[: plan.replicates].sum())
        if many > _BASELESS * plan.replicates:
            words = f"no interval: {contrast.base.reason} in {many} of {plan.replicates} resamples"
            return Estimate(top, float("nan"), float("nan"), found.n, words)
    smooth = all(cells[name].smooth for name, _ in contrast.terms)
    left_out = drawn[plan.replicates :] if smooth and len(drawn) > plan.replicates else None
    difference = contrast.difference and contrast.base is None
    return summarise(top, drawn[: plan.replicates], plan, found.n, jackknife=left_out, difference=difference)


class _Sheet:
    """The columns of one finding: each cell on the rows it is asked for, prepared once."""

    def __init__(self, truth: Floats, k: int, cells: Mapping[str, Cell]) -> None:
        self.truth, self.k, self.cells = truth, k, cells
        self.rows: dict[str, Bools] = {}
        self.columns: dict[tuple[str, bytes], tuple[float | Undefined, int]] = {}
        self.statistics: list[Weighted] = []

    def contrast(self, contrast: Contrast) -> _Prepared:
        """Prepare a contrast: its value and its base's, their columns with factors, its number of studies."""
        base = contrast.base
        both = (contrast.terms, base.terms if base else ())
        constants = (contrast.constant, base.constant if base else 0.0)
        names = [name for terms in both for name, _ in terms]
        if not names:
            return _nothing(Undefined("nothing to compare"), base)
        reason = next((gap for gap in (self.cells[name].missing[self.k] for name in names) if gap), None)
        if reason is not None:
            return _nothing(Undefined(reason), base)
        rows = {name: self._rows(name) for name in names}
        if contrast.difference:
            rows = dict.fromkeys(names, np.asarray(np.logical_and.reduce(list(rows.values()))))
        n = max(int(one.sum()) for one in rows.values())
        values: list[float] = []
        parts: list[list[tuple[int, float]]] = []
        for terms, constant in zip(both, constants, strict=True):
            columns = [self._column(name, rows[name]) for name, _ in terms]
            gap = next((value for value, _ in columns if isinstance(value, Undefined)), None)
            if gap is not None:
                return _nothing(gap, base, n)
            total, part = constant, []
            for (_, factor), (value, place) in zip(terms, columns, strict=True):
                total += factor * float(value)  # type: ignore[arg-type]
                part.append((place, factor))
            values.append(total)
            parts.append(part)
        return _Prepared(values[0], values[1] if base else None, (parts[0], parts[1]), constants, n)

    def _rows(self, name: str) -> Bools:
        if name not in self.rows:
            values = self.cells[name].values[:, self.k]
            there: Bools = np.asarray(~np.isnan(values))
            if there.ndim == 2:
                there = np.asarray(there[:, there.any(axis=0)].all(axis=1))
            self.rows[name] = np.asarray(~np.isnan(self.truth) & there)
        return self.rows[name]

    def _column(self, name: str, rows: Bools) -> tuple[float | Undefined, int]:
        key = (name, np.packbits(rows).tobytes())
        if key not in self.columns:
            cell = self.cells[name]
            truth, values = self.truth[rows], cell.values[rows, self.k]
            value = cell.metric(truth, values)
            self.columns[key] = (value, len(self.statistics))
            if not isinstance(value, Undefined):
                self.statistics.append(_on_rows(cell.metric, truth, values, rows))
        return self.columns[key]

    def replicates(self, plan: Resamples, interval: Interval) -> Floats:
        """Score all columns under the resamples, and below them under the jackknife's where BCa needs it."""
        if not self.statistics:
            return np.empty((plan.replicates, 0))
        drawn = replicate(self.statistics, plan.blocks())
        if interval == "percentile":
            return drawn
        return np.concatenate([drawn, replicate(self.statistics, plan.leave_one_out())])


def _nothing(reason: Undefined, base: Base | None, n: int = 0) -> _Prepared:
    return _Prepared(reason, reason if base else None, ((), ()), (0.0, 0.0), n)


def _on_rows(metric: Metric, truth: Floats, values: Floats, rows: Bools) -> Weighted:
    """Prepare a metric for the weights of all studies, of which it takes its rows."""
    at = weighted(metric, truth, values)
    if rows.all():
        return at
    places: Ints = np.flatnonzero(rows)

    def of_some(weights: Weights) -> Floats:
        return at(weights[places])

    return of_some


def readers_agreement(
    truth: Floats,
    ratings: Mapping[str, Floats],
    findings: Sequence[str],
    plan: Resamples,
    interval: Interval = "percentile",
) -> list[Figure]:
    """Estimate Fleiss' kappa of all readers, on the studies that all have read, per finding and as their mean.

    ratings: reader → (n, K), NaN where not read; truth (n, K) is not used but for the studies it knows.
    """
    figures: list[Figure] = []
    values: list[float | Undefined] = []
    drawn: list[Floats] = []

    def estimated(value: float, spread: Floats, n: int) -> Estimate:
        left_out = spread[plan.replicates :] if interval == "bca" else None
        return summarise(value, spread[: plan.replicates], plan, n, jackknife=left_out)

    for k, finding in enumerate(findings):
        table = np.stack([columns[:, k] for columns in ratings.values()])
        rows = np.flatnonzero(~np.isnan(table).any(axis=0) & ~np.isnan(truth[:, k]))
        value = fleiss_kappa(table[:, rows])
        values.append(value)
        if isinstance(value, Undefined):
            figures.append(Figure("Fleiss kappa", finding, value))
            continue
        kappa = weighted_fleiss_kappa(table[:, rows])
        blocks = chain(plan.blocks(), plan.leave_one_out() if interval == "bca" else ())
        drawn.append(np.concatenate([kappa(weights[rows]) for weights in blocks]))
        figures.append(Figure("Fleiss kappa", finding, estimated(value, drawn[-1], len(rows))))
    mean = mean_value(values, findings)
    found = mean if isinstance(mean, Undefined) else estimated(mean, np.mean(drawn, axis=0), len(truth))
    figures.append(Figure("Fleiss kappa", MEAN, found))
    return figures
