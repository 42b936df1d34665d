"""What a reader of the paper should know about a benchmark's files."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from radsnap.jobs.benchmarking.inputs import Inputs, Table, some
from radsnap.jobs.benchmarking.plan import FLATTENED, compared, straightened_of
from radsnap.jobs.benchmarking.thresholds import Decided

FEW_POSITIVES = 10
PREVALENCE_SHIFT = 0.05


def warnings_of(inputs: Inputs, decided: dict[str, dict[str, Decided]]) -> list[str]:
    """Say what a reader of the paper should know."""
    found = _classes(inputs)
    for arm, tables in inputs.scores.items():
        found += _identical(inputs, arm, tables)
        found += _shifted(inputs, arm, tables)
    found += _without_partner(inputs)
    for arm, decisions in decided.items():
        found += _silent(inputs, arm, decisions)
        lonely = [name for name in decisions if name not in inputs.scores.get(arm, {})]
        if lonely and inputs.scores.get(arm):
            found.append(f"decisions of {some(lonely)} ({arm}) have no predictions of that name")
    if inputs.unit == "patients" and len(np.unique(inputs.clusters)) < len(inputs.ids):
        found.append(
            "some patients have several studies: DeLong's test takes studies as independent, the bootstrap does not"
        )
    return found


def _without_partner(inputs: Inputs) -> list[str]:
    """Name models that one of two compared domains lacks: no change is measured."""
    found = []
    for pair in compared(list(inputs.scores)):
        for where, gap in (pair, pair[::-1]):
            alone = [name for name in inputs.scores[where] if name not in inputs.scores[gap]]
            if alone:
                found.append(
                    f"{some(alone, 8)} ({where}) has no {gap} predictions of that name: no change is measured"
                )
    if FLATTENED in inputs.arms and straightened_of(FLATTENED, inputs.arms) is None:
        found.append("no photos as they are beside the flattened ones: what is won back is not measured")
    return found


def _identical(inputs: Inputs, arm: str, tables: dict[str, Table]) -> list[str]:
    found = []
    for a, b in combinations(tables, 2):
        same = [
            finding
            for k, finding in enumerate(inputs.findings)
            if np.array_equal(tables[a].values[:, k], tables[b].values[:, k], equal_nan=True)
        ]
        if same:
            found.append(
                f"{a} and {b} have identical scores for {', '.join(same)} ({arm}): they are not independent"
            )
    return found


def _shifted(inputs: Inputs, arm: str, tables: dict[str, Table]) -> list[str]:
    found = []
    for name, table in tables.items():
        for k, finding in enumerate(inputs.findings):
            known = ~np.isnan(inputs.truth[:, k])
            there = known & ~np.isnan(table.values[:, k])
            if not known.any() or not there.any() or (there == known).all():
                continue
            whole, part = inputs.truth[known, k].mean(), inputs.truth[there, k].mean()
            if abs(whole - part) > PREVALENCE_SHIFT:
                found.append(
                    f"prevalence of {finding} is {part:.2f} among the studies of {name} ({arm}) and "
                    f"{whole:.2f} in the truth"
                )
    return found


def _silent(inputs: Inputs, arm: str, decisions: dict[str, Decided]) -> list[str]:
    found = []
    for name, table in decisions.items():
        gaps: dict[str, list[str]] = {}
        silent = []
        for k, finding in enumerate(inputs.findings):
            if table.missing[k]:
                gaps.setdefault(table.missing[k], []).append(finding)
                continue
            known = table.values[~np.isnan(table.values[:, k]), k]
            if len(known) and not known.any():
                silent.append(f"{finding} ({table.remarks[k]})")
        found += [f"{name} ({arm}): no decisions for {', '.join(f)}: {reason}" for reason, f in gaps.items()]
        if silent:
            found.append(f"{name} ({arm}) calls no study positive for {', '.join(silent)}")
    return found


def _classes(inputs: Inputs) -> list[str]:
    found: list[str] = []
    for k, finding in enumerate(inputs.findings):
        known = inputs.truth[~np.isnan(inputs.truth[:, k]), k]
        positives = int(known.sum())
        if positives in (0, len(known)):
            word = "positives" if positives == 0 else "negatives"
            found.append(
                f"{finding} has no {word} among {len(known)} studies: most measures are undefined, and it is left out of means"
            )
        elif min(positives, len(known) - positives) < FEW_POSITIVES:
            word = "positives" if positives < FEW_POSITIVES else "negatives"
            fewer = min(positives, len(known) - positives)
            found.append(f"{finding} has only {fewer} {word}: its intervals are wide and unreliable")
    return found
