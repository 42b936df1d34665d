"""The methods paragraph of a benchmark, generated from what was done."""

from __future__ import annotations

import platform

import numpy as np
import scipy

import radsnap
from radsnap.jobs.benchmarking.inputs import some
from radsnap.jobs.benchmarking.plan import RELATIVE, UNDER_ROC, WON_BACK
from radsnap.jobs.benchmarking.results import Benchmark


def methods_paragraph(result: Benchmark) -> str:
    """Describe what was done, from what was done."""
    config, inputs = result.config, result.inputs
    n, k = len(inputs.ids), len(inputs.findings)
    arms = ", ".join(f"{arm} ({len(inputs.scores.get(arm, {}))} models)" for arm in inputs.arms)
    parts = [
        f"{len(inputs.models)} models were evaluated on {n} studies and {k} findings "
        f"({', '.join(inputs.findings)}) in the domains {arms}."
    ]
    if inputs.readers:
        parts.append(f"{len(inputs.readers)} readers read the digital studies ({', '.join(inputs.readers)}).")
    parts.append(_decisions_words(result))
    parts.append(_intervals_words(result))
    if config.margin is not None:
        parts.append(f"Non-inferiority was judged at the margin of {config.margin:g} that was given.")
    if config.uncertain is not None:
        parts.append(f"Uncertain labels (-1) in the truth were taken by the policy '{config.uncertain}'.")
    if inputs.combined:
        parts.append(
            f"Several images of one study were combined by the {config.views} ({some(inputs.combined)})."
        )
    parts.append(f"Software: {_versions_words()}. The SHA-256 of every input is listed below.")
    return " ".join(part for part in parts if part)


def _intervals_words(result: Benchmark) -> str:
    config, inputs, plan = result.config, result.inputs, result.plan
    unit = f"{plan.clusters} patients" if inputs.unit == "patients" else f"{plan.clusters} studies"
    name = {"percentile": "percentile bootstrap", "bca": "BCa bootstrap (bias-corrected and accelerated)"}
    strata = (
        "not stratified"
        if plan.strata is None
        else (
            f"stratified by the pattern of findings ({len(np.unique(plan.strata))} strata; patterns of fewer than "
            "10 together)"
        )
    )
    words = (
        f"Intervals are 95 % {name[config.interval]} intervals from {plan.replicates} resamples of {unit} with "
        f"replacement (seed {plan.seed}), {strata}; every model, reader, domain and finding was scored under the "
        "same resamples, so differences are paired. p-values of differences are two-sided, from the same "
        "resamples and consistent with the intervals, and corrected by Holm's method within each family (one kind "
        "of comparison, domain, measure and finding, over all subjects). Resamples in which a measure is undefined "
        "are left out and counted. DeLong's test cross-checks differences in AUROC. A measure that is undefined "
        "is reported as undefined with its reason, never as 0, and so is the mean over findings that it enters."
    )
    if any(row.label.measure == UNDER_ROC for row in result.rows):
        words += " Counts of readers under a ROC curve have percentile intervals from the same resamples."
    if any(row.label.measure in RELATIVE.values() for row in result.rows):
        words += (
            " A relative drop is the loss as a share of the digital value; over findings and levels it is the "
            "mean loss as a share of the mean value."
        )
    if any(row.label.measure in WON_BACK.values() for row in result.rows):
        words += (
            " The share of a loss won back is the gain of straightened photos over photos as they are, over the loss "
            "of these against digital, on the studies that all three have and under the same resamples; it is given "
            "where the interval of the loss lies wholly on the side of a loss."
        )
    return words


def _decisions_words(result: Benchmark) -> str:
    sources: set[str] = set()
    for decisions in result.decided.values():
        for table in decisions.values():
            sources |= {
                remark.split(" ", 2)[2] if remark.startswith("threshold") else remark
                for remark in table.remarks
            }
    sources.discard("")
    if not sources:
        return "No decisions or thresholds were given, so only scores were measured."
    return f"Decisions come from: {'; '.join(sorted(sources))}; a study is called positive when its score reaches the threshold."


def versions() -> dict[str, str]:
    """Give the versions that figures depend on."""
    return {
        "radsnap": radsnap.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _versions_words() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())
