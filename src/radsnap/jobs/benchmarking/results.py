"""The figures of a benchmark: one row each, with family-wise p-values and verdicts, as a tidy table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from radsnap import measure
from radsnap.jobs.benchmarking.inputs import DIGITAL, Inputs
from radsnap.jobs.benchmarking.plan import NO_LOSS, WON_BACK, Label, straightened_of
from radsnap.jobs.benchmarking.thresholds import Decided
from radsnap.measure import Estimate, Resamples, Undefined

if TYPE_CHECKING:
    from radsnap.jobs.benchmark import BenchmarkConfig

COLUMNS = ("subject", "role", "domain", "finding", "measure", "value", "low", "high", "p", "n", "method")


@dataclass(frozen=True)
class Row:
    """One line of the results. p_holm: corrected within its family, of family tests."""

    label: Label
    finding: str
    result: Estimate | Undefined
    remark: str = ""
    p_holm: float | None = None
    family: int = 0
    verdict: str = ""

    def method(self) -> str:
        """Say how the figure was made, or why there is none."""
        if isinstance(self.result, Undefined):
            return str(self.result)
        holm = "" if self.p_holm is None else f"Holm-corrected p = {self.p_holm:.4g} of {self.family} tests"
        return "; ".join(part for part in (self.result.method, self.remark, holm, self.verdict) if part)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A finished benchmark: what went in, every figure, and what a reader of the paper should know."""

    config: BenchmarkConfig
    inputs: Inputs
    decided: dict[str, dict[str, Decided]]
    plan: Resamples
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Give the results as the tidy table."""
        return pd.DataFrame([_tidy(row) for row in self.rows], columns=list(COLUMNS))


def _tidy(row: Row) -> tuple[object, ...]:
    label, found = row.label, row.result
    head = (label.subject, label.role, label.domain, row.finding, label.measure)
    if isinstance(found, Undefined):
        return (*head, None, None, None, None, None, row.method())
    return (*head, found.value, found.low, found.high, found.p, found.n, row.method())


def with_holm(rows: list[Row]) -> list[Row]:
    """Correct p-values within families: the same comparison, domain, measure and finding over subjects."""
    families: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        if isinstance(row.result, Estimate) and row.result.p is not None and not np.isnan(row.result.p):
            label = row.label
            families.setdefault((label.kind, label.domain, label.measure, row.finding), []).append(i)
    made = list(rows)
    for members in families.values():
        p = [found.p for found in (rows[i].result for i in members) if isinstance(found, Estimate)]
        for i, corrected in zip(members, measure.holm(np.array(p, dtype=np.float64)), strict=True):
            made[i] = replace(rows[i], p_holm=float(corrected), family=len(members))
    return made


def without_claims(rows: list[Row], arms: Sequence[str]) -> list[Row]:
    """Take back the shares of a loss won back where the loss itself may be none: its interval does not lie below 0."""
    domains = {f"{arm}-{base}": f"{base}-{DIGITAL}" for arm in arms if (base := straightened_of(arm, arms))}
    names = {share: name for name, share in WON_BACK.items()}
    changes = {
        (row.label.subject, row.label.domain, row.label.measure, row.finding): row.result
        for row in rows
        if row.label.kind == "arms"
    }
    made = []
    for row in rows:
        label = row.label
        if label.measure in names and label.domain in domains:
            domain, name = domains[label.domain], names[label.measure]
            change = changes[label.subject, domain, name, row.finding]
            if isinstance(change, Estimate) and not change.high < 0:
                row = replace(row, result=Undefined(f"{NO_LOSS}: {domain} of {name} is {change}"))
        made.append(row)
    return made


def with_verdicts(rows: list[Row], margin: float | None) -> list[Row]:
    """Judge differences of AUROC and MCC against the margin."""
    if margin is None:
        return rows
    made = []
    for row in rows:
        judged = row.label.measure in ("AUROC", "MCC") and isinstance(row.result, Estimate)
        if judged and row.label.role == "difference" and isinstance(row.result, Estimate):
            verdict = measure.non_inferiority(row.result, margin).verdict
            row = replace(row, verdict=f"{verdict} at a margin of {margin:g}")
        made.append(row)
    return made
