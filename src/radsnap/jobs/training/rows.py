"""From a manifest to what a training draws from: rows with targets, chances, regions, and what to do with faults."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.errors import ManifestError
from radsnap.jobs.progress import Progress, Report
from radsnap.jobs.training.settings import TrainConfig
from radsnap.learn import tasks
from radsnap.learn.data import Rows
from radsnap.learn.pictures import Pictures, refuse_faults
from radsnap.learn.regions import read_regions
from radsnap.models.card import InputSpec
from radsnap.tables import Manifest, combine, read_manifest, sources

# Pictures are kept a little larger than the network's input, for the augmentation to crop.
_MARGIN = 1.15
SKIPPED = "unreadable.txt"


def read_rows(config: TrainConfig) -> Manifest:
    """Read the manifests, one under the other. Raises ManifestError for a source that none of them has."""
    manifest = combine(*(read_manifest(path) for path in config.data))
    if config.source is None:
        return manifest
    origins = sources(manifest)
    if config.source not in set(origins):
        known = ", ".join(sorted(set(origins)))
        raise ManifestError(f"no row is of the source '{config.source}'; the sources are {known}")
    return manifest.rows((origins == config.source).to_numpy())


def task_of(config: TrainConfig, manifest: Manifest) -> tasks.Task:
    """Give the stage's task, with the classes that the config or the manifest names."""
    match config.stage:
        case "gate":
            return tasks.gate()
        case "kind" if config.column:
            return tasks.kind(config.column, tasks.classes_in(manifest, config.column))
        case "kind":
            return tasks.kind()
        case "findings":
            return tasks.findings(config.labels, config.uncertain)


def rows_of(
    task: tasks.Task, manifest: Manifest, split: str, spec: InputSpec, config: TrainConfig, report: Report
) -> Rows:
    """Read a split's labelled rows. Raises ManifestError without labels, TrainingError for images that are broken."""
    part = labelled(task, manifest.where(split=split))
    if not len(part):
        raise ManifestError(
            f"no row of split '{split}' has a label for '{task.name}'; fill the labels, "
            "or make the splits with 'radsnap data split'"
        )
    targets = task.targets(part)
    _refuse_blank(task, targets, split, config)
    if split == "val" and config.stage == "findings":
        _refuse_unjudged(targets, sources(part))
    margin = _MARGIN if split == "train" else 1.0
    pictures = Pictures(part, round(spec.size_px * margin), rgb=spec.pixels == "rgb")
    faults = pictures.check(lambda done, total: report(Progress(done, total, f"reading {split} images")))
    if not config.skip_unreadable:
        refuse_faults(faults)
    if len(faults) == len(part):
        raise ManifestError(f"none of the {len(part)} images of split '{split}' can be read: {faults[0]}")
    weights = tasks.draw_weights(task.groups(part), task.sides(part), task.balance).copy()
    targets[pictures.unreadable] = np.nan
    weights[pictures.unreadable] = 0.0
    weights /= weights.sum()
    regions = None
    if config.guide and split == "train":
        classes = tuple(name for head in task.heads for name in head.classes)
        regions = read_regions(part, classes, pictures.side_px, pictures.unreadable)
    note = _Note(config.output / SKIPPED) if config.skip_unreadable else None
    if note is not None:
        for fault in faults:
            note(fault)
    photos = part.frame["domain"].to_numpy(dtype=np.str_)
    return Rows(pictures, targets, weights, spec, _domain_span(task), regions, note, photos)


class _Note:
    """Name images that are left out in a file of the run, each once, from any process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, fault: str) -> None:
        before = self.path.read_text().splitlines() if self.path.exists() else []
        if fault not in before:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(fault.replace("\n", " ") + "\n")


def _refuse_blank(task: tasks.Task, targets: tasks.Targets, split: str, config: TrainConfig) -> None:
    """Refuse a label that the user asked for and nobody filled, and validation that can choose nothing."""
    names = [name for head in task.heads for name in head.classes]
    blank = [
        name
        for name, known in zip(names, np.atleast_1d((~np.isnan(targets)).any(axis=0)), strict=True)
        if not known
    ]
    if config.labels and blank:
        raise ManifestError(
            f"column '{blank[0]}' has no label in any row of split '{split}'; fill it, or leave it out of --labels"
        )
    if config.stage == "findings" and not _has_both(targets):
        raise ManifestError(
            f"no label has both present and absent among the {len(targets)} rows of split '{split}', so nothing can "
            "be learned or chosen; add rows, or make the splits again with 'radsnap data split'"
        )


def _refuse_unjudged(targets: tasks.Targets, origins: pd.Series) -> None:
    """Refuse validation rows of which no source holds both sides of a label: epochs are judged inside a source."""
    if not any(_has_both(targets[origins == name]) for name in origins.unique()):
        named = ", ".join(sorted(set(origins) - {""})) or "no name"
        raise ManifestError(
            f"no source of split 'val' ({named}) holds a label both present and absent, and epochs are judged inside a "
            "source, since sources differ in more than their findings; add rows with the other side, or if the rows "
            "are of one source after all, give them one 'kind'"
        )


def _has_both(targets: tasks.Targets) -> bool:
    return bool(((targets == 1).any(axis=0) & (targets == 0).any(axis=0)).any())


def labelled(task: tasks.Task, manifest: Manifest) -> Manifest:
    """Keep the rows that have at least one known target."""
    if not len(manifest):
        return manifest
    return manifest.rows(np.asarray(~np.isnan(task.targets(manifest)).all(axis=1)))


def training_data(manifest: Manifest) -> tuple[str, ...]:
    """Name where rows come from, with count and licence where the manifest says it: 'a/b (989 images, CC0)'."""
    frame = manifest.frame
    blank = [""] * len(frame)
    named = frame["source"] if "source" in frame.columns else blank
    licences = frame["licence"] if "licence" in frame.columns else blank
    counts = Counter(
        zip((a or b for a, b in zip(named, frame["collection"], strict=True)), licences, strict=True)
    )
    return tuple(
        f"{name} ({count} images{', ' + licence if licence else ''})"
        for (name, licence), count in sorted(counts.items())
    )


def _domain_span(task: tasks.Task) -> slice | None:
    start = 0
    for head in task.heads:
        if head.name == task.domain_head:
            return slice(start, start + len(head.classes))
        start += len(head.classes)
    return None
