"""Benchmark models on digital x-rays and photos of them, beside readers, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.jobs.benchmarking import inputs as doors
from radsnap.jobs.benchmarking.crosscheck import agreement_rows, delong_rows, patient_rows
from radsnap.jobs.benchmarking.inputs import DIGITAL, Inputs
from radsnap.jobs.benchmarking.plan import FLATTENED, Plan, plan_study
from radsnap.jobs.benchmarking.report import write_report
from radsnap.jobs.benchmarking.results import (
    COLUMNS,
    Benchmark,
    Row,
    with_holm,
    with_verdicts,
    without_claims,
)
from radsnap.jobs.benchmarking.thresholds import (
    Cuts,
    decide_all,
    given_cuts,
    implied_cuts,
    parse_rule,
    validated_cuts,
)
from radsnap.jobs.benchmarking.warnings import warnings_of
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.measure import MEAN, Figure, Interval, Resamples
from radsnap.tables.predictions import read_predictions

__all__ = ["COLUMNS", "Benchmark", "BenchmarkConfig", "benchmark", "evaluate"]


class BenchmarkConfig(BaseModel):
    """What `radsnap benchmark` is told. arms and decisions_of: pairs of a domain's name and a file.

    Predictions may be folders of files. flattened: of photos that were straightened before they were read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    truth: Path
    output: Path
    digital: tuple[Path, ...] = ()
    photo: tuple[Path, ...] = ()
    film: tuple[Path, ...] = ()
    flattened: tuple[Path, ...] = ()
    arms: tuple[tuple[str, Path], ...] = ()
    decisions: tuple[Path, ...] = ()
    decisions_of: tuple[tuple[str, Path], ...] = ()
    readers: tuple[Path, ...] = ()
    thresholds: Path | None = None
    validation: Path | None = None
    validation_predictions: tuple[Path, ...] = ()
    rule: str = "youden"
    findings: tuple[str, ...] = ()
    uncertain: Literal["ones", "zeros", "ignore"] | None = None
    views: Literal["max", "mean"] = "max"
    unit: Literal["patients", "studies"] = "patients"
    replicates: int = Field(default=2000, ge=1, le=1_000_000)
    seed: int = 0
    interval: Interval = "percentile"
    stratified: bool = False
    margin: float | None = Field(default=None, gt=0)
    baseline: str | None = None

    def files(self) -> dict[str, tuple[Path, ...]]:
        """Give the prediction files by domain."""
        found: dict[str, tuple[Path, ...]] = {
            DIGITAL: self.digital, "photo": self.photo, "film": self.film, FLATTENED: self.flattened,
        }  # fmt: skip
        for arm, path in self.arms:
            found[arm] = (*found.get(arm, ()), path)
        return {arm: doors.unfolded(paths) for arm, paths in found.items() if paths}

    def decision_files(self) -> dict[str, tuple[Path, ...]]:
        """Give the decision files by domain; plain ones belong to the digital."""
        found: dict[str, tuple[Path, ...]] = {DIGITAL: self.decisions} if self.decisions else {}
        for arm, path in self.decisions_of:
            found[arm] = (*found.get(arm, ()), path)
        return found


def benchmark(config: BenchmarkConfig, report: Report = silent) -> Benchmark:
    """Measure and compare all models, domains and readers, and write the report into config.output.

    Raises PredictionsError for a file that does not fit, UsageError for options that do not.
    """
    result = evaluate(config, report)
    write_report(result)
    return result


def evaluate(config: BenchmarkConfig, report: Report = silent) -> Benchmark:
    """Measure and compare without writing anything."""
    inputs = read_inputs(config)
    decided = decide_all(inputs, _cuts(config, inputs))
    plan = plan_study(inputs, decided, config.baseline)
    resamples = _resamples(config, inputs)
    figures = measure.evaluate(
        inputs.truth,
        inputs.findings,
        plan.cells,
        plan.contrasts,
        resamples,
        lambda done, total: report(Progress(done, total, "findings")),
        config.interval,
    )
    rows = [_row(figure, plan, inputs.findings) for figure in figures]
    rows += agreement_rows(inputs, resamples, config.interval)
    rows += patient_rows(inputs, decided, resamples, config.interval) + delong_rows(inputs)
    rows = with_verdicts(with_holm(without_claims(rows, inputs.arms)), config.margin)
    warnings = tuple(dict.fromkeys([*inputs.warnings, *warnings_of(inputs, decided)]))
    return Benchmark(config, inputs, decided, resamples, tuple(rows), warnings)


def _resamples(config: BenchmarkConfig, inputs: Inputs) -> Resamples:
    clusters = inputs.clusters if inputs.unit == "patients" else np.arange(len(inputs.ids))
    strata = measure.label_strata(inputs.truth, clusters) if config.stratified else None
    return measure.resample(clusters, config.replicates, config.seed, strata)


def read_inputs(config: BenchmarkConfig) -> Inputs:
    """Read and join every file."""
    files, decisions = config.files(), config.decision_files()
    models = [path for paths in (files or decisions).values() for path in paths]
    if not models:
        raise UsageError(
            "a benchmark needs predictions; give --digital, --photo, --flattened, --film or --arm NAME=FILE"
        )
    if config.validation and config.thresholds:
        raise UsageError("thresholds are given (--thresholds) or chosen (--validation), not both")
    findings, warnings = doors.choose_findings(config.truth, models, config.findings)
    plain = [arm for arm in ("photo", "film") if arm in files]
    doors.remark_straightened(files, plain, warnings)
    truth = doors.read_truth(config.truth, findings, config.uncertain)
    patients, unit = doors.patients_of(truth, config.truth)
    keys = {read_predictions(path).key for path in models} if truth.key == "image" else set()
    if "study" in keys:
        by_image = truth
        truth = doors.truth_by_study(truth, config.truth)
        patients, unit = _patients_by_study(by_image.frame, truth.frame, patients, unit)
    ids = tuple(map(str, truth.frame.index))
    join = doors.Join(ids, truth.key, findings, config.views)
    return Inputs(
        ids=ids,
        findings=findings,
        truth=truth.frame.to_numpy(dtype=np.float64),
        clusters=patients,
        unit=unit if config.unit == "patients" else "studies",
        scores={arm: doors.collect(join, paths, warnings) for arm, paths in files.items()},
        decisions={arm: doors.collect(join, paths, warnings, "decision") for arm, paths in decisions.items()},
        readers=doors.collect(join, config.readers, warnings, "reading"),
        warnings=warnings,
        hashes={str(path): doors.sha256_of(path) for path in _all_files(config)},
    )


def _patients_by_study(
    images: pd.DataFrame, studies: pd.DataFrame, patients: np.ndarray, unit: str
) -> tuple[np.ndarray, str]:
    if unit == "studies":
        return np.arange(len(studies)), unit
    of_image = {str(one).rpartition("/")[0]: who for one, who in zip(images.index, patients, strict=True)}
    return np.array([of_image[str(one)] for one in studies.index]), unit


def _all_files(config: BenchmarkConfig) -> list[Path]:
    groups = [*config.files().values(), *config.decision_files().values(), config.readers]
    single = [config.truth, config.thresholds, config.validation, *config.validation_predictions]
    return [path for path in (*single, *(path for group in groups for path in group)) if path is not None]


def _cuts(config: BenchmarkConfig, inputs: Inputs) -> Cuts:
    cuts = implied_cuts(inputs)
    if config.thresholds:
        cuts |= given_cuts(config.thresholds, inputs)
    if config.validation:
        choice = parse_rule(config.rule)
        cuts |= validated_cuts(config.validation, config.validation_predictions, choice, inputs)
    return cuts


def _row(figure: Figure, plan: Plan, findings: Sequence[str]) -> Row:
    remarks = plan.remarks[figure.name]
    remark = remarks[findings.index(figure.finding)] if remarks and figure.finding != MEAN else ""
    return Row(plan.labels[figure.name], figure.finding, figure.result, remark)
