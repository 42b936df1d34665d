"""Train a stage: manifest in, weights with a card out."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from radsnap.errors import ManifestError, UsageError, WeightsError
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.export import quantise, to_onnx
from radsnap.learn.judge import figure_of, logits_of
from radsnap.learn.loop import Judge, Schedule, Step, fit
from radsnap.learn.objectives import guided, heads_objective
from radsnap.learn.operating import domain_settings
from radsnap.learn.pictures import Pictures, refuse_faults
from radsnap.learn.regions import read_regions
from radsnap.models.card import Card, Domain, InputSpec, Training, sha256_of, write_card
from radsnap.models.networks import NETWORKS, from_public_naming, load_state
from radsnap.seeds import stream
from radsnap.tables import Manifest, combine, read_manifest, sources

Stage = Literal["gate", "kind", "findings"]
# Pictures are kept a little larger than the network's input, for the augmentation to crop.
_MARGIN = 1.15
_CALIBRATION_IMAGES = 300


class TrainConfig(BaseModel):
    """What `radsnap train` is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    data: tuple[Path, ...] = Field(min_length=1)
    output: Path
    name: str | None = None
    start: Path | None = None
    labels: tuple[str, ...] | None = None
    column: str | None = None
    uncertain: Literal["ones", "zeros", "ignore"] = "ignore"
    size_px: int | None = Field(default=None, ge=32, le=1024)
    epochs: int | None = Field(default=None, ge=1)
    draws_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    optimiser: Literal["radam", "adamw"] = "radam"
    photo_share: float = Field(default=0.5, ge=0, le=1)
    guide: float = Field(default=0.0, ge=0)
    workers: int = Field(default=1, ge=0)
    seed: int = 0
    skip_unreadable: bool = False
    licence: str = "research use; the licences of the training data apply"
    command: str = ""


# Measured on the default data; --epochs, --draws and --learning-rate override.
_SCHEDULES: dict[Stage, Schedule] = {
    "gate": Schedule(epochs=8, draws_per_epoch=2400, learning_rate=5e-4),
    "kind": Schedule(epochs=12, draws_per_epoch=2400, learning_rate=1e-3),
    "findings": Schedule(
        epochs=24, draws_per_epoch=1920, batch_size=24, learning_rate=4e-4, weight_decay=3e-2
    ),
}
_PLANS: dict[Stage, Augmentation] = {
    "gate": Augmentation(invert=0.1, smallest_area=0.5, implant=0.15),
    "kind": Augmentation(invert=0.1, rotation_deg=20.0, smallest_area=0.5, implant=0.15),
    "findings": Augmentation(
        smallest_area=0.7, aspect=1.15, rotation_deg=8.0, blot=0.15, soften=0.3, tone=0.7
    ),
}


def train(config: TrainConfig, report: Report = silent) -> Card:
    """Train a stage's network and write ONNX weights (float32 and int8) with their cards.

    Started again after an interruption it goes on where it was. Raises UsageError, ManifestError,
    TrainingError or WeightsError.
    """
    manifest = combine(*(read_manifest(path) for path in config.data))
    task = _task(config, manifest)
    spec = InputSpec(size_px=config.size_px or task.size_px)
    training, validation = (_rows(task, manifest, split, spec, config, report) for split in ("train", "val"))
    network, origin = _network(config, task)
    schedule, plan = _schedule(config), _plan(config)
    best = fit(
        network,
        guided(heads_objective(task.heads), config.guide) if config.guide else heads_objective(task.heads),
        training,
        _judge(task, validation, manifest),
        schedule,
        plan,
        config.output,
        lambda step: report(_progress(step)),
        _about(training, validation, task, origin, config.guide),
    )
    network.load_state_dict(best)
    network.to("cpu").eval()
    save_file(
        {name: value.contiguous() for name, value in best.items()}, config.output / "network.safetensors"
    )
    history = Training(
        command=config.command,
        data=training_data(labelled(task, manifest.where(split="train"))),
        licence=config.licence,
        images=len(training.pictures),
        epochs=schedule.epochs,
        started_from=origin,
        seed=config.seed,
    )
    said = {domain: logits_of(network, validation, recipe) for domain, recipe in _DOMAIN_RECIPES.items()}
    if config.stage != "findings":  # the first stages are asked before the domain is known
        logits, targets = zip(*said.values(), strict=True)
        said = {"any": (np.concatenate(logits), np.concatenate(targets))}
    domains = domain_settings(task.heads, said)
    return _export(config, task, spec, network, history, domains, training)


_DOMAIN_RECIPES = {"digital": None, "screen": "screen-lite", "film": "film-lite"}


def _task(config: TrainConfig, manifest: Manifest) -> tasks.Task:
    if config.labels and config.stage != "findings":
        raise UsageError("--labels names findings; it goes with 'radsnap train findings'")
    if config.column and config.stage != "kind":
        raise UsageError("--column names the classes' column; it goes with 'radsnap train kind'")
    match config.stage:
        case "gate":
            return tasks.gate()
        case "kind" if config.column:
            return tasks.kind(config.column, tasks.classes_in(manifest, config.column))
        case "kind":
            return tasks.kind()
        case "findings":
            return tasks.findings(config.labels, config.uncertain)


def _rows(
    task: tasks.Task, manifest: Manifest, split: str, spec: InputSpec, config: TrainConfig, report: Report
) -> Rows:
    part = labelled(task, manifest.where(split=split))
    if not len(part):
        raise ManifestError(
            f"no row of split '{split}' has a label for '{task.name}'; fill the labels, "
            "or make the splits with 'radsnap data split'"
        )
    margin = _MARGIN if split == "train" else 1.0
    pictures = Pictures(part, round(spec.size_px * margin))
    faults = pictures.check(lambda done, total: report(Progress(done, total, f"reading {split} images")))
    if not config.skip_unreadable:
        refuse_faults(faults)
    weights = tasks.draw_weights(task.groups(part), task.sides(part), task.balance)
    regions = None
    if config.guide and split == "train":
        classes = tuple(name for head in task.heads for name in head.classes)
        regions = read_regions(part, classes, pictures.side_px)
    return Rows(pictures, task.targets(part), weights, spec, _domain_span(task), regions)


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


def _network(config: TrainConfig, task: tasks.Task) -> tuple[nn.Module, str]:
    torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
    network = NETWORKS["densenet121"](task.outputs)
    origin = "random weights"
    if config.start is not None:
        load_state(network, from_public_naming(read_state(config.start)), new_head=True)
        origin = f"{config.start.name} (sha256 {sha256_of(config.start)[:12]})"
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, origin


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors. Raises WeightsError for anything else."""
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path.name} is not safetensors; pickled checkpoints can run code when they are read: "
            "convert it once with 'radsnap models import'"
        )
    return load_file(path)


def _schedule(config: TrainConfig) -> Schedule:
    usual = _SCHEDULES[config.stage]
    return replace(
        usual,
        epochs=config.epochs or usual.epochs,
        draws_per_epoch=config.draws_per_epoch or usual.draws_per_epoch,
        batch_size=config.batch_size or usual.batch_size,
        learning_rate=config.learning_rate or usual.learning_rate,
        optimiser=config.optimiser,
        workers=config.workers,
        seed=config.seed,
    )


def _plan(config: TrainConfig) -> Augmentation:
    half = config.photo_share / 2
    return replace(_PLANS[config.stage], photo=(("screen-lite", half), ("film-lite", half)))


def _about(training: Rows, validation: Rows, task: tasks.Task, origin: str, guide: float) -> str:
    """What a run must have in common with the one it goes on from, besides schedule and augmentation."""
    seen = hashlib.sha256()
    for rows in (training, validation):
        seen.update("\n".join(str(file) for file in rows.pictures.files).encode())
        seen.update(rows.targets.tobytes())
    heads = "; ".join(f"{head.name}: {', '.join(head.classes)}" for head in task.heads)
    return f"{heads}; {training.spec}; from {origin}; guided {guide}; rows {seen.hexdigest()}"


def _judge(task: tasks.Task, validation: Rows, manifest: Manifest) -> Judge:
    origins = sources(labelled(task, manifest.where(split="val"))).to_numpy(dtype=np.str_)

    def judge(network: nn.Module) -> dict[str, float]:
        figures = {}
        for domain, recipe in _DOMAIN_RECIPES.items():
            logits, targets = logits_of(network, validation, recipe)
            figures[domain] = figure_of(task.heads, logits, targets, origins)
        # digital counts as much as the two kinds of photo together
        figures["figure"] = float(np.mean([figures["digital"], (figures["screen"] + figures["film"]) / 2]))
        return figures

    return judge


def _progress(step: Step) -> Progress:
    note = f"epoch {min(step.epoch + 1, step.epochs)}/{step.epochs} loss {step.loss:.3f}"
    if step.figures:
        note += " validation " + " ".join(f"{name} {value:.3f}" for name, value in step.figures.items())
    return Progress(step.done, step.total, note)


def _export(
    config: TrainConfig,
    task: tasks.Task,
    spec: InputSpec,
    network: nn.Module,
    history: Training,
    domains: dict[str, Domain],
    training: Rows,
) -> Card:
    name = config.name or config.stage
    full = config.output / f"{name}-float32.onnx"
    small = config.output / f"{name}.onnx"
    to_onnx(network, spec.size_px, full)
    quantise(full, _calibration_images(training, config.seed), small)
    whole = Card(
        name=full.stem,
        task=task.name,
        input=spec,
        heads=task.heads,
        heat_maps=True,
        file=full.name,
        sha256=sha256_of(full),
        precision="float32",
        training=history,
        domains=domains,
        caveats=_CAVEATS[config.stage],
    )
    shipped = {"name": name, "file": small.name, "sha256": sha256_of(small), "precision": "int8"}
    card = whole.model_copy(update=shipped)
    write_card(whole, full.with_suffix(".card.json"))
    write_card(card, small.with_suffix(".card.json"))
    return card


def _calibration_images(training: Rows, seed: int) -> NDArray[np.float32]:
    """Draw training images for quantisation, half of them photographed, so that ranges cover both."""
    plan = Augmentation(smallest_area=0.9, photo=(("screen-lite", 0.25), ("film-lite", 0.25)))
    draws = Draws(training, plan, seed, epoch=-1, count=min(_CALIBRATION_IMAGES, 4 * len(training.pictures)))
    return np.stack([draws[place]["image"].numpy() for place in range(len(draws))])


_CAVEATS: dict[Stage, tuple[str, ...]] = {
    "gate": ("Trained on a few hundred pictures that are not x-rays; an unusual picture may pass.",),
    "kind": ("Several kinds were seen in fewer than 40 real examples.",),
    "findings": (
        "Trained on about a thousand adult and four thousand paediatric x-rays: a small model, for research.",
        "Labels of adults were mined from report texts and are partly wrong.",
        "Not a medical device: do not use for diagnosis or treatment.",
    ),
}
