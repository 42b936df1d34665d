"""What stands beside a benchmark's plan: DeLong's cross-check, agreement of readers, patients that flip."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from radsnap import measure
from radsnap.jobs.benchmarking.inputs import DIGITAL, Floats, Inputs, Table
from radsnap.jobs.benchmarking.plan import FLIPS_PER_PATIENT, Label, compared, main_arms, turned
from radsnap.jobs.benchmarking.results import Row
from radsnap.jobs.benchmarking.thresholds import Decided
from radsnap.measure import Cell, Contrast, Estimate, Interval, Resamples, Undefined

ANY = "any"


def agreement_rows(inputs: Inputs, plan: Resamples, interval: Interval) -> list[Row]:
    """Measure how readers agree."""
    if len(inputs.readers) < 2:
        return []
    label = Label("all readers", "reader", DIGITAL, "Fleiss kappa")
    ratings = {name: table.values for name, table in inputs.readers.items()}
    agreed = measure.readers_agreement(inputs.truth, ratings, inputs.findings, plan, interval)
    return [Row(label, figure.finding, figure.result) for figure in agreed]


def patient_rows(
    inputs: Inputs, decided: Mapping[str, Mapping[str, Decided]], plan: Resamples, interval: Interval
) -> list[Row]:
    """Estimate the share of patients for whom the decision on any finding turns."""
    labels: list[Label] = []
    marks: list[Floats] = []
    for arm, base in compared(inputs.arms):
        for model in inputs.models:
            pair = turned(inputs, decided, model, arm, base)
            if pair is not None:
                known = ~np.isnan(pair.values).all(axis=1)
                any_turned = (pair.values == 1).any(axis=1).astype(np.float64)
                marks.append(inputs.by_patient(np.where(known, any_turned, np.nan)))
                labels.append(Label(model, "difference", f"{arm}-{base}", FLIPS_PER_PATIENT))
    if not labels:
        return []
    # The truth plays no part in a positive rate.
    cells = {
        label.name: Cell(measure.positive_rate, m[:, None], ("",))
        for label, m in zip(labels, marks, strict=True)
    }
    contrasts = {name: Contrast(((name, 1.0),)) for name in cells}
    no_truth = np.zeros((len(inputs.ids), 1))
    figures = measure.evaluate(no_truth, (ANY,), cells, contrasts, plan, interval=interval)
    found = {figure.name: figure.result for figure in figures if figure.finding == ANY}
    return [Row(label, ANY, found[label.name]) for label in labels]


def delong_rows(inputs: Inputs) -> list[Row]:
    """Cross-check the differences of AUROC by DeLong's test."""
    pairs: list[tuple[Label, Table, Table]] = []
    for arm, base in compared(list(inputs.scores)):
        before = inputs.scores[base]
        for model, table in inputs.scores[arm].items():
            if model in before:
                label = Label(model, "difference", f"{arm}-{base}", "AUROC (DeLong)", "arms")
                pairs.append((label, table, before[model]))
    for arm, tables in inputs.scores.items():
        for a, b in combinations(tables, 2) if arm in main_arms(inputs.arms) else ():
            label = Label(f"{a} - {b}", "difference", arm, "AUROC (DeLong)", "models")
            pairs.append((label, tables[a], tables[b]))
    return [
        Row(label, finding, _delong(inputs.truth[:, k], a.values[:, k], b.values[:, k]))
        for label, a, b in pairs
        for k, finding in enumerate(inputs.findings)
    ]


def _delong(truth: np.ndarray, score: np.ndarray, other: np.ndarray) -> Estimate | Undefined:
    rows = ~np.isnan(np.stack([truth, score, other])).any(axis=0)
    return measure.delong_test(truth[rows], score[rows], other[rows])
