"""What a benchmark measures: every cell and every comparison, stated before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.jobs.benchmarking.inputs import DIGITAL, Floats, Inputs, Table, some
from radsnap.jobs.benchmarking.thresholds import Decided
from radsnap.measure import Base, Cell, Contrast, Metric

SCORED: Mapping[str, Metric] = {
    "AUROC": measure.auroc,
    "AP": measure.average_precision,
    "Brier": measure.brier,
    "ECE": measure.ece,
}
DECIDED: Mapping[str, Metric] = {
    "MCC": measure.mcc,
    "sensitivity": measure.sensitivity,
    "specificity": measure.specificity,
    "PPV": measure.ppv,
    "NPV": measure.npv,
    "F1": measure.f1,
    "balanced accuracy": measure.balanced_accuracy,
    "positive rate": measure.positive_rate,
}
AGAINST_READERS = ("MCC", "sensitivity", "specificity", "F1", "balanced accuracy")
BETWEEN_MODELS = ("AUROC", "MCC")
READERS_MEAN = "readers' mean"
UNDER_ROC = "readers under ROC"
FLIPS_PER_PATIENT = "flips per patient"
RELATIVE = {name: f"relative drop in {name}" for name in ("AUROC", "MCC")}
WON_BACK = {name: f"share of the lost {name} won back" for name in ("AUROC", "MCC")}
NO_LOSS = "no loss shown"
CORRUPTION, RELATIVE_CORRUPTION = "corruption error", "relative corruption error"
# Photos straightened before they were read: `flattened` are those of `photo`, `film-flattened` those of `film`.
FLATTENED = "flattened"
_LEVEL = re.compile(r"^(?P<effect>.+)-(?P<level>\d+)$")


@dataclass(frozen=True)
class Label:
    """What a row of the results is about. kind: which comparison it is, '' for a plain figure."""

    subject: str
    role: str
    domain: str
    measure: str
    kind: str = ""

    @property
    def name(self) -> str:
        """Its name among cells and contrasts."""
        return "|".join((self.subject, self.role, self.domain, self.measure))


Term = tuple[Label, float]


def _named(terms: Sequence[Term]) -> tuple[tuple[str, float], ...]:
    return tuple((term.name, factor) for term, factor in terms)


@dataclass
class Plan:
    """Cells and contrasts by name, and the label and the remarks (per finding) of each contrast."""

    findings: int
    cells: dict[str, Cell] = field(default_factory=dict)
    contrasts: dict[str, Contrast] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_cell(
        self,
        label: Label,
        metric: Metric,
        values: Floats,
        missing: tuple[str, ...],
        remarks: tuple[str, ...] = (),
        *,
        smooth: bool = True,
    ) -> None:
        """Measure one column, or several together."""
        self.cells[label.name] = Cell(metric, values, missing, smooth)
        self._add(label, Contrast(((label.name, 1.0),)), remarks)

    def add(self, label: Label, *terms: Term, difference: bool = True) -> None:
        """Compare cells; nothing where one of them was not planned."""
        if terms and self._has(terms):
            self._add(label, Contrast(_named(terms), difference), ())

    def add_share(
        self, label: Label, top: Sequence[Term], base: Sequence[Term], reason: str, constant: float = 0.0
    ) -> None:
        """Compare a sum of cells with another as its base; the constant belongs to both."""
        if self._has((*top, *base)):
            under = Base(_named(base), reason, constant)
            contrast = Contrast(_named(top), difference=True, constant=constant, base=under)
            self._add(label, contrast, ())

    def _has(self, terms: Sequence[Term]) -> bool:
        return all(term.name in self.cells for term, _ in terms)

    def _add(self, label: Label, contrast: Contrast, remarks: tuple[str, ...]) -> None:
        self.contrasts[label.name] = contrast
        self.labels[label.name] = label
        self.remarks[label.name] = remarks


def plan_study(
    inputs: Inputs, decided: Mapping[str, Mapping[str, Decided]], baseline: str | None = None
) -> Plan:
    """State everything that a benchmark of these inputs measures. baseline: the model of corruption errors."""
    plan = Plan(len(inputs.findings))
    for arm in inputs.arms:
        for model, table in inputs.scores.get(arm, {}).items():
            _score(plan, model, arm, table)
            _under_roc(plan, inputs, model, arm, table)
        for model, decisions in decided[arm].items():
            _decide(plan, model, "model", arm, decisions)
    for reader, table in inputs.readers.items():
        decisions = Decided(table.values, table.missing, ("",) * len(table.missing))
        _decide(plan, reader, "reader", DIGITAL, decisions)
    _readers_mean(plan, inputs)
    for arm, base in compared(inputs.arms):
        _between_arms(plan, inputs, arm, base, decided)
        if base != DIGITAL and DIGITAL in inputs.arms:
            _won_back(plan, inputs, arm, base)
    for arm in main_arms(inputs.arms):
        _against_readers(plan, inputs, arm)
        _between_models(plan, inputs, arm)
    if DIGITAL in inputs.arms:
        for effect, arms in sweeps(inputs.arms).items():
            _over_levels(plan, inputs, effect, arms)
    if baseline is not None:
        _against_baseline(plan, inputs, baseline)
    return plan


def _score(plan: Plan, model: str, arm: str, table: Table) -> None:
    for name, metric in SCORED.items():
        plan.add_cell(Label(model, "model", arm, name), metric, table.values, table.missing)


def _under_roc(plan: Plan, inputs: Inputs, model: str, arm: str, table: Table) -> None:
    if not inputs.readers:
        return
    columns = np.stack([table.values, *(reader.values for reader in inputs.readers.values())], axis=-1)
    numbers = [
        sum(not reader.missing[k] for reader in inputs.readers.values()) for k in range(len(inputs.findings))
    ]
    missing = tuple(
        gap or ("" if number else "no readers") for gap, number in zip(table.missing, numbers, strict=True)
    )
    remarks = tuple(f"count of {number} readers strictly under the curve" for number in numbers)
    label = Label(model, "model", arm, UNDER_ROC)
    # A count jumps when a study is left out: the jackknife cannot tell how it leans.
    plan.add_cell(label, measure.count_under, columns, missing, remarks, smooth=False)


def _decide(plan: Plan, subject: str, role: str, arm: str, decisions: Decided) -> None:
    for name, metric in DECIDED.items():
        label = Label(subject, role, arm, name)
        plan.add_cell(label, metric, decisions.values, decisions.missing, decisions.remarks)


def _readers(inputs: Inputs, name: str, factor: float) -> list[tuple[Label, float]]:
    share = factor / max(len(inputs.readers), 1)
    return [(Label(reader, "reader", DIGITAL, name), share) for reader in inputs.readers]


def _readers_mean(plan: Plan, inputs: Inputs) -> None:
    for name in DECIDED:
        label = Label(READERS_MEAN, READERS_MEAN, DIGITAL, name)
        plan.add(label, *_readers(inputs, name, 1.0), difference=False)


def _between_arms(
    plan: Plan, inputs: Inputs, arm: str, base: str, decided: Mapping[str, Mapping[str, Decided]]
) -> None:
    domain = f"{arm}-{base}"
    for model in inputs.models:
        for name in (*SCORED, *DECIDED):
            here, there = (Label(model, "model", one, name) for one in (arm, base))
            plan.add(Label(model, "difference", domain, name, "arms"), (here, 1.0), (there, -1.0))
        for name, relative in RELATIVE.items() if base == DIGITAL else ():
            here, there = (Label(model, "model", one, name) for one in (arm, DIGITAL))
            label = Label(model, "difference", domain, relative, "arms")
            plan.add_share(label, [(there, 1.0), (here, -1.0)], [(there, 1.0)], _no_share(name))
        pair = turned(inputs, decided, model, arm, base)
        if pair is not None:
            label = Label(model, "difference", domain, "flips")
            plan.add_cell(label, measure.positive_rate, pair.values, pair.missing)
            patients = np.stack([inputs.by_patient(column) for column in pair.values.T], axis=1)
            label = Label(model, "difference", domain, FLIPS_PER_PATIENT)
            plan.add_cell(label, measure.positive_rate, patients, pair.missing)


def _won_back(plan: Plan, inputs: Inputs, arm: str, base: str) -> None:
    """Compare what straightening gains with what the photos had lost."""
    for model in inputs.models:
        for name, share in WON_BACK.items():
            after, before, clean = (Label(model, "model", one, name) for one in (arm, base, DIGITAL))
            label = Label(model, "difference", f"{arm}-{base}", share, "arms")
            plan.add_share(label, [(after, 1.0), (before, -1.0)], [(clean, 1.0), (before, -1.0)], NO_LOSS)


def _no_share(name: str) -> str:
    return f"the digital {name} is 0 or below, so nothing is a share of it"


def turned(
    inputs: Inputs, decided: Mapping[str, Mapping[str, Decided]], model: str, arm: str, base: str
) -> Decided | None:
    """Mark the decisions of an arm that differ from those of its base, where the truth is known."""
    after, before = (decided.get(one, {}).get(model) for one in (arm, base))
    if after is None or before is None:
        return None
    missing = tuple(a or b for a, b in zip(after.missing, before.missing, strict=True))
    marks = np.where(np.isnan(inputs.truth), np.nan, np.abs(after.values - before.values))
    return Decided(marks, missing, ("",) * len(missing))


def _against_readers(plan: Plan, inputs: Inputs, arm: str) -> None:
    for model in inputs.models if inputs.readers else ():
        for name in AGAINST_READERS:
            label = Label(f"{model} - {READERS_MEAN}", "difference", arm, name, "readers")
            own = (Label(model, "model", arm, name), 1.0)
            plan.add(label, own, *_readers(inputs, name, -1.0))


def _between_models(plan: Plan, inputs: Inputs, arm: str) -> None:
    for first, second in combinations(inputs.models, 2):
        for name in BETWEEN_MODELS:
            label = Label(f"{first} - {second}", "difference", arm, name, "models")
            pair = [
                (Label(one, "model", arm, name), factor) for one, factor in ((first, 1.0), (second, -1.0))
            ]
            plan.add(label, *pair)


def _over_levels(plan: Plan, inputs: Inputs, effect: str, arms: tuple[str, ...]) -> None:
    domain = f"{effect} (mean of levels)-{DIGITAL}"
    for model in inputs.models:
        for name, relative in RELATIVE.items():
            levels = [(Label(model, "model", arm, name), 1.0 / len(arms)) for arm in arms]
            clean = Label(model, "model", DIGITAL, name)
            plan.add(Label(model, "difference", domain, name, "sweep"), *levels, (clean, -1.0))
            lost = [(clean, 1.0), *((level, -share) for level, share in levels)]
            label = Label(model, "difference", domain, relative, "sweep")
            plan.add_share(label, lost, [(clean, 1.0)], _no_share(name))


def _against_baseline(plan: Plan, inputs: Inputs, baseline: str) -> None:
    """Compare the errors of models over a sweep with a baseline model's. Source: Hendrycks & Dietterich 2019."""
    if baseline not in inputs.models:
        raise UsageError(f"the baseline '{baseline}' is not among the models {some(inputs.models, 8)}")
    effects = sweeps(inputs.arms)
    if not effects:
        raise UsageError(
            "a baseline needs a sweep: arms named by effect and level, such as --arm glare-1=FILE"
        )
    for model in inputs.models:
        for effect, arms in effects.items():
            for name in (CORRUPTION, RELATIVE_CORRUPTION):
                own, base = (_errors(one, arms, name) for one in (model, baseline))
                word = "makes no error" if name == CORRUPTION else "loses nothing"
                # An error is 1 - AUROC; a loss is digital - AUROC. Both are summed over the levels.
                constant = float(len(arms)) if name == CORRUPTION else 0.0
                label = Label(f"{model} / {baseline}", "difference", effect, name, "sweep")
                plan.add_share(label, own, base, f"the baseline {word}", constant)


def _errors(model: str, arms: Sequence[str], name: str) -> list[Term]:
    levels = [(Label(model, "model", arm, "AUROC"), -1.0) for arm in arms]
    clean = (Label(model, "model", DIGITAL, "AUROC"), float(len(arms)))
    return levels if name == CORRUPTION else [*levels, clean]


def sweeps(arms: list[str]) -> dict[str, tuple[str, ...]]:
    """Find the arms that are levels of one effect: `glare-1`, `glare-2` ..., two levels or more."""
    found: dict[str, dict[int, str]] = {}
    for arm in arms:
        match = _LEVEL.match(arm)
        if match:
            found.setdefault(match["effect"], {})[int(match["level"])] = arm
    return {
        effect: tuple(levels[level] for level in sorted(levels))
        for effect, levels in found.items()
        if len(levels) > 1
    }


def compared(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Pair the arms whose change is measured: each with digital, and straightened photos with the photos themselves."""
    with_digital = [(arm, DIGITAL) for arm in arms if arm != DIGITAL and DIGITAL in arms]
    return with_digital + [(arm, base) for arm in arms if (base := straightened_of(arm, arms)) is not None]


def straightened_of(arm: str, arms: Sequence[str]) -> str | None:
    """Name the arm whose photos an arm's are, straightened; None where there is none."""
    bases = ("photo", "film") if arm == FLATTENED else (arm.removesuffix(f"-{FLATTENED}"),)
    return next((base for base in bases if base in arms and base != arm), None)


def main_arms(arms: list[str]) -> list[str]:
    """Give the domains that are not levels of a sweep."""
    levels = {arm for of_effect in sweeps(arms).values() for arm in of_effect}
    return [arm for arm in arms if arm not in levels]
