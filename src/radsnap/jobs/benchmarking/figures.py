"""The figures of a benchmark's report, from its arrays and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from radsnap import measure
from radsnap.jobs.benchmarking.inputs import DIGITAL, Table
from radsnap.jobs.benchmarking.plan import NO_LOSS, READERS_MEAN, WON_BACK, compared, main_arms, sweeps
from radsnap.jobs.benchmarking.results import Benchmark
from radsnap.measure import MEAN, Estimate, Undefined, plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_FIGURE = "no figure"
Key = tuple[str, str, str, str]  # subject, domain, measure, finding


def figures_of(result: Benchmark) -> dict[str, tuple[Figure, str]]:
    """Draw what the inputs allow. Returns file stem → figure and caption."""
    found = estimates(result)
    drawn = {
        "roc": _roc(result),
        "drops": _drops(result, found),
        "won_back": _won_back(result, found),
        "readers": _against_readers(result, found),
        "reliability": _reliability(result),
        "flips": _flips(result),
        "sweeps": _sweeps(result, found),
        "selective": _selective(result),
    }
    return {name: one for name, one in drawn.items() if one is not None}


def estimates(result: Benchmark) -> dict[Key, Estimate]:
    """Index the defined figures of models and differences."""
    return {
        (row.label.subject, row.label.domain, row.label.measure, row.finding): row.result
        for row in result.rows
        if row.label.role != "reader" and isinstance(row.result, Estimate)
    }


def _column(result: Benchmark, values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    truth = result.inputs.truth[:, k]
    rows = ~np.isnan(truth) & ~np.isnan(values[:, k])
    return truth[rows], values[rows, k]


def _roc(result: Benchmark) -> tuple[Figure, str] | None:
    inputs = result.inputs
    curves: dict[str, dict[str, dict[str, measure.Curve]]] = {}
    for arm in main_arms(result.inputs.arms):
        for model, table in inputs.scores.get(arm, {}).items():
            for k, finding in enumerate(inputs.findings):
                curve = measure.roc_curve(*_column(result, table.values, k))
                if not isinstance(curve, Undefined):
                    curves.setdefault(arm, {}).setdefault(finding, {})[model] = curve
    if not curves:
        return None
    points, means = _reader_points(result)
    readers = "; circles are readers, the cross is their mean" if points else ""
    return plots.roc_figure(curves, points, means), f"ROC curves by finding and domain{readers}."


def _reader_points(
    result: Benchmark,
) -> tuple[dict[str, dict[str, measure.OperatingPoint]], dict[str, measure.OperatingPoint]]:
    points: dict[str, dict[str, measure.OperatingPoint]] = {}
    means: dict[str, measure.OperatingPoint] = {}
    for k, finding in enumerate(result.inputs.findings):
        for name, table in result.inputs.readers.items():
            point = measure.operating_point(*_column(result, table.values, k))
            if not isinstance(point, Undefined):
                points.setdefault(finding, {})[name] = point
        here = list(points.get(finding, {}).values())
        if here:
            means[finding] = measure.OperatingPoint(
                float(np.mean([point.sensitivity for point in here])),
                float(np.mean([point.specificity for point in here])),
            )
    return points, means


def _drops(result: Benchmark, found: dict[Key, Estimate]) -> tuple[Figure, str] | None:
    domains = [f"{arm}-{base}" for arm, base in compared(main_arms(result.inputs.arms))]
    lines = [(model, domain) for model in result.inputs.models for domain in domains]
    panels: dict[str, list[plots.Bar]] = {}
    for name in ("AUROC", "MCC"):
        bars = [
            plots.Bar(
                model if len(domains) == 1 else f"{model}, {domain}",
                found.get((model, domain, name, MEAN)),
                domains.index(domain) + 1,
            )
            for model, domain in lines
        ]
        if any(bar.estimate for bar in bars):
            panels[f"change in {name}, mean over findings"] = bars
    if not panels:
        return None
    since = (
        "digital" if all(domain.endswith(f"-{DIGITAL}") for domain in domains) else "the domain named second"
    )
    caption = f"Change from {since}, mean over findings, with 95 % intervals; left of the line is a loss."
    return plots.forest_figure(panels), caption


def _won_back(result: Benchmark, found: dict[Key, Estimate]) -> tuple[Figure, str] | None:
    domains = [f"{arm}-{base}" for arm, base in compared(main_arms(result.inputs.arms)) if base != DIGITAL]
    lines = [(model, domain) for model in result.inputs.models for domain in domains]
    panels: dict[str, list[plots.Bar]] = {}
    for name in WON_BACK.values():
        bars = [
            plots.Bar(
                model if len(domains) == 1 else f"{model}, {domain}",
                found.get((model, domain, name, MEAN)),
                domains.index(domain) + 1,
                _gap(result, model, domain, name),
            )
            for model, domain in lines
        ]
        if any(bar.estimate for bar in bars):
            panels[name] = bars
    if not panels:
        return None
    caption = (
        "What straightening photos wins back of what they lost, mean over findings, with 95 % intervals; 1 is all. "
        f"'{NO_LOSS}': the interval of the loss holds 0."
    )
    return plots.forest_figure(panels), caption


def _gap(result: Benchmark, *wanted: str) -> str:
    """Say why a figure (subject, domain, measure) of the mean is not there."""
    for row in result.rows:
        label = row.label
        if (label.subject, label.domain, label.measure) == wanted and row.finding == MEAN:
            return (
                NO_LOSS if isinstance(row.result, Undefined) and NO_LOSS in row.result.reason else NO_FIGURE
            )
    return NO_FIGURE


def _against_readers(result: Benchmark, found: dict[Key, Estimate]) -> tuple[Figure, str] | None:
    arms = main_arms(result.inputs.arms)
    bars = [
        plots.Bar(
            f"{model}, {arm}", found.get((f"{model} - {READERS_MEAN}", arm, "MCC", MEAN)), arms.index(arm)
        )
        for model in result.inputs.models
        for arm in arms
        if model in result.decided[arm]
    ]
    if not any(bar.estimate for bar in bars):
        return None
    caption = "MCC of models minus the mean of readers, mean over findings, with 95 % intervals."
    return plots.forest_figure({"MCC: model - readers' mean": bars}), caption


def _reliability(result: Benchmark) -> tuple[Figure, str] | None:
    curves: dict[str, dict[str, measure.Reliability]] = {}
    for arm in main_arms(result.inputs.arms):
        for model, table in result.inputs.scores.get(arm, {}).items():
            curve = measure.reliability(*_pooled(result, table))
            if not isinstance(curve, Undefined):
                curves.setdefault(model, {})[arm] = curve
    if not curves:
        return None
    return plots.reliability_figure(curves), (
        "Reliability, all findings together; a dot's area is its share of scores. "
        "Models whose scores are no probabilities are left out."
    )


def _pooled(result: Benchmark, table: Table) -> tuple[np.ndarray, np.ndarray]:
    columns = [_column(result, table.values, k) for k in range(len(result.inputs.findings))]
    return np.concatenate([c[0] for c in columns]), np.concatenate([c[1] for c in columns])


def _flips(result: Benchmark) -> tuple[Figure, str] | None:
    shares: dict[str, dict[str, tuple[float, float]]] = {}
    for arm, base in compared(main_arms(result.inputs.arms)):
        before = result.decided[base]
        for model, after in result.decided[arm].items():
            if model not in before:
                continue
            pair = np.stack([before[model].values.ravel(), after.values.ravel()])
            kept = pair[:, ~np.isnan(pair).any(axis=0)]
            turned = measure.flips(kept[0], kept[1])
            if not isinstance(turned, Undefined):
                share = (turned.to_positive / turned.studies, turned.to_negative / turned.studies)
                shares.setdefault(f"{arm}-{base}", {})[model] = share
    if not shares:
        return None
    return plots.flips_figure(shares), "Decisions that turn between domains, all findings together."


def _selective(result: Benchmark) -> tuple[Figure, str] | None:
    curves: dict[str, dict[str, measure.RiskCurve]] = {}
    for arm in main_arms(result.inputs.arms):
        for model, table in result.inputs.scores.get(arm, {}).items():
            decisions = result.decided[arm].get(model)
            if table.confidence is None or decisions is None:
                continue
            wrong = np.abs(decisions.values - result.inputs.truth)
            study, column = np.nonzero(~np.isnan(wrong) & ~np.isnan(table.confidence)[:, None])
            curve = measure.selective_risk(wrong[study, column], table.confidence[study])
            if not isinstance(curve, Undefined):
                curves.setdefault(arm, {})[model] = curve
    if not curves:
        return None
    return plots.selective_figure(curves), (
        "Share of wrong decisions, all findings together, when the studies of least confidence are left out; at the "
        "right all are kept. Area: its mean over the shares kept, lower is better. Studies without a confidence are "
        "not counted."
    )


def _sweeps(result: Benchmark, found: dict[Key, Estimate]) -> tuple[Figure, str] | None:
    curves: dict[str, dict[str, list[tuple[int, Estimate]]]] = {}
    for effect, arms in sweeps(result.inputs.arms).items():
        for model in result.inputs.models:
            clean = found.get((model, DIGITAL, "AUROC", MEAN))
            points = [] if clean is None else [(0, clean)]
            for arm in arms:
                here = found.get((model, arm, "AUROC", MEAN))
                if here is not None:
                    points.append((int(arm.rpartition("-")[2]), here))
            if points:
                curves.setdefault(effect, {})[model] = points
    if not curves:
        return None
    return (
        plots.sweep_figure(curves, "AUROC, mean over findings"),
        "AUROC by level of each effect; intervals are in the tables, and drawn as bands for four models or fewer.",
    )
