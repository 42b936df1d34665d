"""Decisions of a benchmark: given as files, or scores at thresholds given, chosen or implied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radsnap import measure
from radsnap.errors import PredictionsError, UsageError
from radsnap.jobs.benchmarking.inputs import DIGITAL, Floats, Inputs, Table, read_truth, some
from radsnap.measure import Rule, Undefined
from radsnap.tables.predictions import Predictions, read_predictions
from radsnap.tables.storage import read_text


@dataclass(frozen=True)
class Cut:
    """The threshold of one model and finding, and where it comes from."""

    value: float
    source: str

    def words(self) -> str:
        """Say which threshold it is."""
        return f"threshold {self.value:.6g} {self.source}"


Cuts = dict[str, tuple[Cut | Undefined, ...]]  # model → one a finding


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions of one model in one arm. values: (n, K) of 0, 1, NaN; per finding a gap's reason and a remark."""

    values: Floats
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def given_cuts(path: Path, inputs: Inputs) -> Cuts:
    """Read thresholds: a row a model (column `model`, blank or * for all of them), a column a finding."""
    table = read_text(path, PredictionsError)
    columns = {str(name).lower(): str(name) for name in table.columns}
    if "model" not in columns:
        table = table.assign(model="*")
        columns["model"] = "model"
    rows = {name or "*": i for i, name in enumerate(table[columns["model"]].str.strip())}
    if len(rows) < len(table):
        raise PredictionsError(f"{path}: a model stands twice; keep one row each")
    strange = [name for name in rows if name != "*" and name not in inputs.models]
    if strange:
        raise PredictionsError(
            f"{path}: thresholds of '{strange[0]}', which is not among the models {some(inputs.models, 8)}"
        )
    cuts: Cuts = {}
    for model in inputs.models:
        row = rows.get(model, rows.get("*"))
        if row is not None:
            cuts[model] = tuple(_cell(table.iloc[row].to_dict(), f, path, row) for f in inputs.findings)
    return cuts


def _cell(row: Mapping[object, object], finding: str, path: Path, number: int) -> Cut | Undefined:
    text = next((str(value) for name, value in row.items() if str(name) == finding), "").strip()
    if not text:
        return Undefined(f"no threshold for {finding} in {path.name}")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if np.isnan(value):
        raise PredictionsError(
            f"{path}: row {number + 1}, column '{finding}' has '{text}'; a threshold is a number"
        )
    return Cut(value, f"given in {path.name}")


def implied_cuts(inputs: Inputs) -> Cuts:
    """Find the thresholds that the digital decisions imply for the digital scores."""
    scores, decisions = inputs.scores.get(DIGITAL, {}), inputs.decisions.get(DIGITAL, {})
    return {
        model: tuple(_implied(scores[model], decisions[model], k) for k in range(len(inputs.findings)))
        for model in decisions
        if model in scores
    }


def _implied(score: Table, decision: Table, k: int) -> Cut | Undefined:
    if score.missing[k] or decision.missing[k]:
        return Undefined(score.missing[k] or decision.missing[k])
    both = ~np.isnan(score.values[:, k]) & ~np.isnan(decision.values[:, k])
    found = measure.implied_threshold(score.values[both, k], decision.values[both, k])
    return found if isinstance(found, Undefined) else Cut(found.value, "implied by the digital decisions")


@dataclass(frozen=True)
class Choice:
    """How thresholds are chosen on a validation set."""

    rule: Rule
    at_least: float | None

    def words(self) -> str:
        """Name the rule."""
        if self.at_least is not None:
            return f"a {self.rule} of at least {self.at_least:g}"
        return "Youden's index" if self.rule == "youden" else "the largest MCC"


def parse_rule(text: str) -> Choice:
    """Read `youden`, `mcc`, `sensitivity=0.9` or `specificity=0.9`."""
    name, _, level = text.partition("=")
    try:
        if name in ("youden", "mcc") and not level:
            return Choice("youden" if name == "youden" else "mcc", None)
        if name in ("sensitivity", "specificity") and 0 < float(level) <= 1:
            return Choice("sensitivity" if name == "sensitivity" else "specificity", float(level))
    except ValueError:
        pass
    raise UsageError(f"a rule is youden, mcc, sensitivity=0.9 or specificity=0.9, got '{text}'")


def validated_cuts(truth_path: Path, files: tuple[Path, ...], choice: Choice, inputs: Inputs) -> Cuts:
    """Choose thresholds on a validation set, each model by its own scores there.

    files: the models' predictions on that set; a model without one must have those studies in its digital
    file.
    """
    truth = read_truth(truth_path, inputs.findings, "ignore")
    _remark_validation(truth, truth_path, inputs)
    tables = {table.name: table for table in (read_predictions(path, inputs.findings) for path in files)}
    scores = {name: table.extra for name, table in inputs.scores.get(DIGITAL, {}).items()} | tables
    cuts: Cuts = {}
    for model in inputs.models:
        if model in scores:
            cuts[model] = _chosen(scores[model], truth, choice, truth_path)
    return cuts


def _remark_validation(truth: Predictions, path: Path, inputs: Inputs) -> None:
    shared = set(map(str, truth.frame.index)) & set(inputs.ids)
    if shared:
        inputs.warnings.append(
            f"{len(shared)} studies of the validation set {path.name} are in the truth too "
            f"({some(sorted(shared))}): thresholds chosen there flatter the model"
        )
    here, there = np.nanmean(inputs.truth, axis=0), truth.frame.mean().to_numpy()
    for finding, share, other in zip(inputs.findings, here, there, strict=True):
        if abs(share - other) > 0.1:
            inputs.warnings.append(
                f"prevalence of {finding} shifts from {other:.2f} in validation to {share:.2f} in the truth"
            )


def _chosen(
    scores: Predictions, truth: Predictions, choice: Choice, path: Path
) -> tuple[Cut | Undefined, ...]:
    shared = [one for one in truth.frame.index if one in scores.frame.index]
    if not shared:
        return tuple(Undefined(f"no scores on the studies of {path.name}") for _ in truth.findings)
    cuts: list[Cut | Undefined] = []
    for finding in truth.findings:
        y = truth.frame.loc[shared, finding].to_numpy(dtype=np.float64)
        s = scores.frame.loc[shared, finding].to_numpy(dtype=np.float64)
        kept = ~np.isnan(y)
        found = measure.choose_threshold(y[kept], s[kept], choice.rule, choice.at_least)
        source = f"chosen on {path.name} by {choice.words()}"
        cuts.append(found if isinstance(found, Undefined) else Cut(found, source))
    return tuple(cuts)


def decide_all(inputs: Inputs, cuts: Cuts) -> dict[str, dict[str, Decided]]:
    """Give every model's decisions in every arm: as files where there are, else scores at thresholds."""
    decided: dict[str, dict[str, Decided]] = {}
    for arm in inputs.arms:
        files = inputs.decisions.get(arm, {})
        decided[arm] = {name: _as_given(table) for name, table in files.items()}
        for name, table in inputs.scores.get(arm, {}).items():
            if name not in files and name in cuts:
                decided[arm][name] = _cut(table, cuts[name])
    return decided


def _as_given(table: Table) -> Decided:
    return Decided(table.values, table.missing, ("decisions as given",) * len(table.missing))


def _cut(table: Table, cuts: tuple[Cut | Undefined, ...]) -> Decided:
    values = np.full(table.values.shape, np.nan)
    missing, remarks = list(table.missing), [""] * len(cuts)
    for k, cut in enumerate(cuts):
        if isinstance(cut, Undefined):
            missing[k] = missing[k] or cut.reason
            continue
        known = ~np.isnan(table.values[:, k])
        values[known, k] = measure.decide(table.values[known, k], cut.value)
        remarks[k] = cut.words()
    return Decided(values, tuple(missing), tuple(remarks))
