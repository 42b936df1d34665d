"""Measure a stage, or the whole chain, on rows it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from radsnap.errors import ManifestError
from radsnap.jobs.evaluate_chain import chain_of_rows
from radsnap.jobs.evaluate_lungs import dice_of_rows
from radsnap.jobs.pointing import pointing_game
from radsnap.jobs.predict import score_manifest
from radsnap.jobs.progress import Report, silent
from radsnap.measure import (
    Confusion,
    Estimate,
    Metric,
    Undefined,
    accuracy,
    auroc,
    balanced_accuracy,
    confusion_matrix,
    estimate,
    replicate,
    resample,
    summarise,
    weighted,
)
from radsnap.models.card import Figure, read_card, write_card
from radsnap.models.runtime import Network, load, locate
from radsnap.reading.stages import gate_threshold
from radsnap.tables import NO_XRAY, Manifest, labels, read_manifest, sources

Stage = Literal["gate", "domain", "kind", "findings", "lungs", "chain"]
FEWEST_POSITIVES = 10
FEWEST_ROWS_OF_A_KIND = 5


class EvaluateConfig(BaseModel):
    """What `radsnap evaluate` is told. `source` keeps the rows of one source, to score findings inside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    manifest: Path
    model: str | None = None
    split: str | None = "test"
    source: str | None = None
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of a stage, its confusion matrix where it names classes, and the files that failed."""

    figures: tuple[Figure, ...]
    confusion: Confusion | None
    faults: tuple[str, ...]
    rows: int


@dataclass(frozen=True, eq=False)
class _Study:
    """Rows and what was said of them; `measure` is asked for one figure after the other."""

    manifest: Manifest
    config: EvaluateConfig

    def measure(
        self, metric: Metric, subject: str, truth: NDArray[Any], said: NDArray[Any], keep: NDArray[np.bool_]
    ) -> Figure:
        if not keep.any():
            return self.figure(metric.__name__, subject, Undefined("no rows"), 0)
        patients = self.manifest.frame["patient_id"].to_numpy()[keep]
        found = estimate(metric, truth[keep], said[keep], patients, self.config.replicates, self.config.seed)
        return self.figure(metric.__name__, subject, found, int(keep.sum()))

    def figure(self, measure: str, subject: str, found: Estimate | Undefined, n: int) -> Figure:
        data = ", ".join(sorted(set(self.manifest.frame["collection"]) - {""})) or self.config.manifest.name
        data = f"{data} {self.config.source or ''} {self.config.split or 'all'}".replace("  ", " ")
        if isinstance(found, Undefined):
            return Figure(
                measure=measure, subject=subject, data=data, value=None, low=None, high=None, n=n,
                method="", reason=found.reason,
            )  # fmt: skip
        return Figure(
            measure=measure,
            subject=subject,
            data=data,
            value=found.value,
            low=None if np.isnan(found.low) else found.low,
            high=None if np.isnan(found.high) else found.high,
            n=found.n,
            method=found.method,
        )


def evaluate(config: EvaluateConfig, report: Report = silent) -> Evaluation:
    """Measure a stage on the rows of a manifest's split, with bootstrap intervals over patients.

    Raises ManifestError when no row can be scored.
    """
    manifest = read_manifest(config.manifest)
    if config.split:
        manifest = manifest.where(split=config.split)
    if config.source:
        manifest = manifest.rows((sources(manifest) == config.source).to_numpy())
    if not len(manifest):
        raise ManifestError(
            f"{config.manifest} has no rows of split '{config.split}', source '{config.source}'"
        )
    return _STAGES[config.stage](manifest, config, report)


def model_of(stage: str) -> str:
    """Name the shipped model that a stage asks."""
    return "corners" if stage == "domain" else stage


def into_card(model: str, evaluation: Evaluation) -> Path:
    """Write an evaluation's figures into a model's card, in place of older figures of the same subject and data."""
    path = locate(model)
    card = read_card(path)
    new = {(figure.subject, figure.data) for figure in evaluation.figures}
    kept = tuple(figure for figure in card.figures if (figure.subject, figure.data) not in new)
    write_card(card.model_copy(update={"figures": (*kept, *evaluation.figures)}), path)
    return path


def _scored(
    name: str, manifest: Manifest, report: Report
) -> tuple[Network, Manifest, NDArray[Any], tuple[str, ...]]:
    """Run a network over a manifest; rows that cannot be read are left out and named."""
    network = load(name)
    scores = score_manifest(network, manifest, report)
    keep = manifest.frame["image_id"].isin(scores.image_ids).to_numpy()
    return (
        network,
        manifest.rows(keep),
        scores.logits,
        tuple(f"{name}: {fault}" for name, fault in scores.faults.items()),
    )


def _gate(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    known = manifest.rows((manifest.frame["body"] != "").to_numpy())
    network, rows, logits, faults = _scored(config.model or "gate", known, report)
    study = _Study(rows, config)
    truth = (rows.frame["body"] != NO_XRAY).to_numpy()
    passed = _passed(network, logits)
    everything = np.ones(len(rows), dtype=bool)
    figures = [
        study.measure(balanced_accuracy, "x-ray or not", truth, passed, everything),
        study.measure(accuracy, "x-ray or not", truth, passed, everything),
        study.measure(auroc, "x-ray or not", truth, logits[:, network.card.span("xray")][:, 0], everything),
    ]
    for name in sorted(set(sources(rows))):
        keep = (sources(rows) == name).to_numpy()
        figures.append(study.measure(accuracy, name, truth, passed, keep))
    names = np.array(["not an x-ray", "x-ray"])
    table = confusion_matrix(names[truth.astype(int)], names[passed.astype(int)], tuple(names))
    return Evaluation(tuple(figures), table, faults, len(rows))


def _passed(gate: Network, logits: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which rows the gate lets pass, by the bar that `diagnose` uses."""
    return np.asarray(expit(logits[:, gate.card.span("xray")][:, 0]) >= gate_threshold(gate.card))


def _domain(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    """What the first look says the camera saw, of x-rays; by level too, where photos say theirs in a column `level`."""
    frame = manifest.frame
    known = ~frame["body"].isin(("", NO_XRAY)) & (frame["domain"] != "")
    if not known.any():
        raise ManifestError(f"{config.manifest} has no x-rays whose 'domain' is filled in the rows asked for")
    name = config.model or model_of("domain")
    network, rows, logits, faults = _scored(name, manifest.rows(known.to_numpy()), report)
    study = _Study(rows, config)
    classes = network.card.head("domain").classes
    said = np.array(classes)[logits[:, network.card.span("domain")].argmax(axis=1)]
    truth = rows.frame["domain"].to_numpy(dtype=np.str_)
    everything = np.ones(len(rows), dtype=bool)
    figures = [study.measure(balanced_accuracy, "what the camera saw", truth, said, everything)]
    levels = rows.frame["level"].to_numpy() if "level" in rows.frame.columns else np.full(len(rows), "")
    for seen in classes:
        for level in ("", *sorted(set(levels[truth == seen]) - {""})):
            keep = (truth == seen) & ((levels == level) | (level == ""))
            subject = f"{seen}, level {level}" if level else seen
            if keep.any():
                figures.append(study.measure(accuracy, subject, truth, said, keep))
    return Evaluation(tuple(figures), confusion_matrix(truth, said, classes), faults, len(rows))


def _kind(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    rows = manifest.rows(~manifest.frame["body"].isin(("", NO_XRAY)).to_numpy())
    network, rows, logits, faults = _scored(config.model or "kind", rows, report)
    study = _Study(rows, config)
    classes = np.array(network.card.head("kind").classes)
    truth = rows.frame["body"].to_numpy(dtype=np.str_)
    said = classes[logits[:, network.card.span("kind")].argmax(axis=1)]
    counts = pd.Series(truth).value_counts()
    common = np.isin(truth, counts.index[counts >= FEWEST_ROWS_OF_A_KIND])
    everything = np.ones(len(rows), dtype=bool)
    frontal = "chest_frontal"
    figures = [
        study.measure(accuracy, "kind", truth, said, everything),
        study.measure(
            balanced_accuracy, f"kinds with {FEWEST_ROWS_OF_A_KIND} rows or more", truth, said, common
        ),
        study.measure(
            balanced_accuracy, "frontal chest against the rest", truth == frontal, said == frontal, everything
        ),
    ]
    figures += [study.measure(accuracy, name, truth, said, truth == name) for name in sorted(set(truth))]
    return Evaluation(
        tuple(figures), confusion_matrix(truth, said, tuple(sorted({*truth, *said}))), faults, len(rows)
    )


def _findings(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    name = config.model or "findings"
    classes = read_card(locate(name)).head("findings").classes
    known = ~np.isnan(labels(manifest, classes, uncertain="ignore", absent="unknown")).all(axis=1)
    network, rows, logits, faults = _scored(name, manifest.rows(np.asarray(known)), report)
    study = _Study(rows, config)
    truth = labels(rows, classes, uncertain="ignore", absent="unknown")
    said = logits[:, network.card.span("findings")]
    figures = [
        study.measure(auroc, finding, truth[:, k], said[:, k], ~np.isnan(truth[:, k]))
        for k, finding in enumerate(classes)
    ]
    mean = _mean_auroc(study, truth, said)
    pointed = _pointing(study, network) if network.card.heat_maps else []
    return Evaluation((mean, *figures, *pointed), None, faults, len(rows))


def _pointing(study: _Study, network: Network) -> list[Figure]:
    """How often the heat map's peak lies in a radiologist's box, beside how often a random point would."""
    if "boxes_xywh" not in study.manifest.frame.columns:
        return []
    figures = []
    for finding in network.card.head("findings").classes:
        game = pointing_game(network, study.manifest, finding)
        if len(game.hit) < FEWEST_POSITIVES:
            continue
        for name, values in (("peak in a box", game.hit), ("chance", game.chance)):
            plan = resample(game.patients, study.config.replicates, study.config.seed)
            drawn = replicate([_weighted_mean(values)], plan.blocks())[:, 0]
            found = summarise(float(values.mean()), drawn, plan, len(values))
            figures.append(study.figure(name, finding, found, len(values)))
    return figures


def _lungs(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    """Mean Dice by source: adults' and children's masks come from different hands."""
    found = dice_of_rows(load(config.model or "lungs"), manifest, report)
    study = _Study(found.rows, config)
    patients = found.rows.frame["patient_id"].to_numpy()
    named = sources(found.rows).to_numpy()
    figures = []
    for name in sorted(set(named)):
        inside = named == name
        plan = resample(patients[inside], config.replicates, config.seed)
        drawn = replicate([_weighted_mean(found.dice[inside])], plan.blocks())[:, 0]
        mean = summarise(float(found.dice[inside].mean()), drawn, plan, int(inside.sum()))
        figures.append(study.figure("dice", f"lungs, {name}", mean, int(inside.sum())))
    return Evaluation(tuple(figures), None, found.faults, len(found.rows))


def _weighted_mean(values: NDArray[Any]) -> Callable[[Any], Any]:
    return lambda weights: (values @ weights) / weights.sum(axis=0)


def _mean_auroc(study: _Study, truth: NDArray[Any], said: NDArray[Any]) -> Figure:
    """The mean over findings with enough positives, its interval from the same resamples for all of them."""
    columns = []
    for k in range(truth.shape[1]):
        positives = np.nansum(truth[:, k] == 1)
        negatives = np.nansum(truth[:, k] == 0)
        if positives >= FEWEST_POSITIVES and negatives >= FEWEST_POSITIVES:
            columns.append(k)
    subject = f"mean of {len(columns)} findings with {FEWEST_POSITIVES} positives or more"
    if not columns:
        return study.figure("auroc", subject, Undefined("no finding has enough positives"), len(truth))
    plan = resample(study.manifest.frame["patient_id"].to_numpy(), study.config.replicates, study.config.seed)
    known = [~np.isnan(truth[:, k]) for k in columns]
    statistics = [
        _inside(weighted(auroc, truth[keep, k], said[keep, k]), keep)
        for k, keep in zip(columns, known, strict=True)
    ]
    values = [float(auroc(truth[keep, k], said[keep, k])) for k, keep in zip(columns, known, strict=True)]  # type: ignore[arg-type]
    drawn = replicate(statistics, plan.blocks())
    return study.figure(
        "auroc", subject, summarise(float(np.mean(values)), drawn.mean(axis=1), plan, len(truth)), 0
    )


def _inside(statistic: Callable[[Any], Any], keep: NDArray[np.bool_]) -> Callable[[Any], Any]:
    return lambda weights: statistic(weights[keep])


_CHAIN_FINDING = "Lung Opacity"


def _chain(manifest: Manifest, config: EvaluateConfig, report: Report) -> Evaluation:
    """What `diagnose` says, end to end: a row is right when every stage that its truth asks for is right."""
    known_body = manifest.rows((manifest.frame["body"] != "").to_numpy())
    read = chain_of_rows(known_body, config.model or "findings", _CHAIN_FINDING, report)
    study = _Study(read.rows, config)
    frame = read.rows.frame
    body = frame["body"].to_numpy(dtype=np.str_)
    xray, passed = body != NO_XRAY, read.body != NO_XRAY
    kind_right = body == read.body
    finding = labels(read.rows, [_CHAIN_FINDING], uncertain="ignore", absent="unknown")[:, 0]
    known = ~np.isnan(finding)
    end_right = kind_right & (~known | (read.called == finding))
    everything = np.ones(len(read.rows), dtype=bool)
    end = f"gate, kind and {_CHAIN_FINDING}"
    frontal = "chest_frontal"
    camera = frame["domain"].to_numpy(dtype=np.str_)
    figures = [
        study.measure(accuracy, "gate", everything, passed == xray, everything),
        study.measure(accuracy, "gate and kind", everything, kind_right, everything),
        study.measure(accuracy, end, everything, end_right, known | ~xray | (body != frontal)),
        study.measure(accuracy, f"{end}, of chests labelled for it", everything, end_right, known),
        study.measure(balanced_accuracy, "x-ray or not", xray, passed, everything),
        study.measure(
            balanced_accuracy,
            "frontal chest against all else",
            body == frontal,
            read.body == frontal,
            everything,
        ),
        study.measure(accuracy, "kind, of x-rays that pass", body, read.body, xray & passed),
    ]
    for seen in sorted(set(camera[xray]) - {""}):
        keep = xray & passed & (camera == seen)
        figures.append(study.measure(accuracy, f"what the camera saw, {seen}", camera, read.domain, keep))
    return Evaluation(
        tuple(figures),
        confusion_matrix(body, read.body, tuple(sorted({*body, *read.body}))),
        read.faults,
        len(frame),
    )


_STAGES: dict[str, Callable[[Manifest, EvaluateConfig, Report], Evaluation]] = {
    "gate": _gate,
    "domain": _domain,
    "kind": _kind,
    "findings": _findings,
    "lungs": _lungs,
    "chain": _chain,
}
