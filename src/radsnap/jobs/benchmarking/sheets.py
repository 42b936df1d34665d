"""The tables of a benchmark's report, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from radsnap.jobs.benchmarking.crosscheck import ANY
from radsnap.jobs.benchmarking.inputs import DIGITAL
from radsnap.jobs.benchmarking.plan import (
    AGAINST_READERS,
    BETWEEN_MODELS,
    CORRUPTION,
    FLIPS_PER_PATIENT,
    NO_LOSS,
    READERS_MEAN,
    RELATIVE,
    RELATIVE_CORRUPTION,
    UNDER_ROC,
    WON_BACK,
    compared,
    sweeps,
)
from radsnap.jobs.benchmarking.results import Benchmark, Row
from radsnap.measure import MEAN, Undefined

GAP = "–"
OTHERS = (
    "ECE", "Brier", "AP", "sensitivity", "specificity", "PPV", "NPV", "F1", "balanced accuracy", "positive rate",
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """A table to print: a title, what it shows, a header and lines of text; further ones are folded away."""

    title: str
    note: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    further: bool = False


def sheets_of(result: Benchmark) -> list[Sheet]:
    """Lay out the tables of the report."""
    domains = [f"{arm}-{base}" for arm, base in compared(result.inputs.arms)]
    domains += [f"{effect} (mean of levels)-{DIGITAL}" for effect in sweeps(result.inputs.arms)]
    effects, arms = list(sweeps(result.inputs.arms)), result.inputs.arms
    everyone = ("model", "reader", READERS_MEAN)
    change = ("difference",)
    kinds = ("arms", "sweep", "")
    made = [
        _sheet(result, "AUROC", "AUROC by model, domain and finding", arms, ("model",)),
        _sheet(result, "MCC", "MCC by model or reader, domain and finding", arms, everyone),
        _sheet(result, UNDER_ROC, "Readers under the ROC curve", arms, ("model",)),
        _sheet(result, "AUROC", "Change in AUROC between domains", domains, change, kinds),
        _sheet(result, "MCC", "Change in MCC between domains", domains, change, kinds),
        *(
            _sheet(result, name, _capital(name), domains, change, kinds)
            for name in (*RELATIVE.values(), *WON_BACK.values())
        ),
        _sheet(result, "flips", "Share of decisions that turn", domains, change, kinds),
        _sheet(
            result,
            FLIPS_PER_PATIENT,
            "Share of patients with a decision that turns",
            domains,
            change,
            kinds,
            last=ANY,
        ),
        _sheet(result, "MCC", "MCC of models minus the readers' mean", arms, ("difference",), ("readers",)),
    ]
    for name in (CORRUPTION, RELATIVE_CORRUPTION):
        title = f"{_capital(name)}, relative to {result.config.baseline}"
        made.append(_sheet(result, name, title, effects, ("difference",)))
    further = [
        _sheet(
            result,
            name,
            f"{_capital(name)} of models minus the readers' mean",
            arms,
            ("difference",),
            ("readers",),
        )
        for name in AGAINST_READERS
        if name != "MCC"
    ]
    for name in BETWEEN_MODELS:
        title = f"{name}: models against each other, mean over findings"
        further.append(_sheet(result, name, title, arms, ("difference",), ("models",), only_mean=True))
    further += [
        _sheet(result, name, f"{_capital(name)} by domain and finding", arms, everyone) for name in OTHERS
    ]
    further.append(
        _sheet(result, "Fleiss kappa", "Agreement of readers (Fleiss' kappa)", [DIGITAL], ("reader",))
    )
    made += [replace(sheet, further=True) for sheet in further]
    return [sheet for sheet in made if sheet.lines]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _sheet(
    result: Benchmark,
    name: str,
    title: str,
    domains: Sequence[str],
    roles: Sequence[str],
    kinds: Sequence[str] | None = None,
    *,
    only_mean: bool = False,
    last: str = MEAN,
) -> Sheet:
    findings = (MEAN,) if only_mean else (*result.inputs.findings, last)
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in result.rows:
        label = row.label
        fits = label.measure == name and label.role in roles and label.domain in domains
        if fits and (kinds is None or label.kind in kinds) and row.finding in findings:
            cells.setdefault((label.subject, label.domain), {})[row.finding] = row
    ordered = sorted(cells.items(), key=lambda item: domains.index(item[0][1]))
    if not any(cell_text(row) != GAP for by in cells.values() for row in by.values()):
        return Sheet(title, "", (), ())
    lines = tuple(
        (subject, domain, *(cell_text(by[finding]) if finding in by else "" for finding in findings))
        for (subject, domain), by in ordered
    )
    note = _note(name, any(row.p_holm is not None for by in cells.values() for row in by.values()))
    gap = any(cell == GAP for line in lines for cell in line)
    note += f" {GAP} is undefined; results.csv says why." if gap else ""
    return Sheet(title, note, ("subject", "domain", *findings), lines)


def _note(name: str, tested: bool) -> str:
    note = {
        UNDER_ROC: "How many readers lie strictly under the curve, and the mean over findings (95 % interval).",
        CORRUPTION: "Errors (1 - AUROC) summed over levels, as a ratio to the baseline's (95 % interval).",
        RELATIVE_CORRUPTION: "Losses of AUROC summed over levels, as a ratio to the baseline's (95 % interval).",
        FLIPS_PER_PATIENT: f"Value (95 % interval); '{ANY}' is the share with a turn in at least one finding.",
    }.get(name, "Value (95 % interval).")
    if name in RELATIVE.values():
        note = "The loss as a share of the digital value (95 % interval); above 0 is a loss."
    if name in WON_BACK.values():
        note = (
            "What straightening gains over the photos as they are, as a share of what these lose against digital "
            f"(95 % interval). '{NO_LOSS}': the interval of the loss holds 0, so there is nothing to win back."
        )
    return note + (" p is two-sided, p(Holm) corrected." if tested else "")


def cell_text(row: Row) -> str:
    """Print one figure: value, interval, p-values; a dash, or that no loss is shown, where it is undefined."""
    found = row.result
    if isinstance(found, Undefined):
        return NO_LOSS if found.reason.startswith(NO_LOSS) else GAP
    digits = 0 if row.label.measure == UNDER_ROC and row.finding != MEAN else 3
    text = f"{found.value:.{digits}f}"
    if not math.isnan(found.low):
        text += f" ({found.low:.{digits}f} to {found.high:.{digits}f})"
    if found.p is not None:
        text += f", p {_p(found.p)}"
        if row.p_holm is not None and row.family > 1:
            text += f", p(Holm) {_p(row.p_holm)}"
    return text + (f", {row.verdict.split(' at ')[0]}" if row.verdict else "")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
