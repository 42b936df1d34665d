"""Train a stage: manifest in, weights with a card out."""

from __future__ import annotations

import hashlib

import numpy as np
from safetensors.torch import save_file
from torch import nn

from radsnap.jobs.progress import Report, of_training, silent
from radsnap.jobs.training.judging import judge_of, settings_of
from radsnap.jobs.training.rows import labelled, read_rows, rows_of, task_of, training_data
from radsnap.jobs.training.settings import TrainConfig, plan_of, refuse_contradictions, schedule_of
from radsnap.jobs.training.ship import centre, ship
from radsnap.jobs.training.start import network_of
from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.loop import fit
from radsnap.learn.objectives import (
    Objective,
    balanced_weights,
    consistent,
    guided,
    heads_objective,
    mixed_up,
    probing,
    resting,
)
from radsnap.learn.optimiser import frozen_layers
from radsnap.learn.ranks import Ranks, joined
from radsnap.models.card import Card, Training
from radsnap.models.networks import SCALED
from radsnap.tables import sources

__all__ = ["TrainConfig", "train"]


def train(config: TrainConfig, report: Report = silent) -> Card | None:
    """Train a stage's network and write ONNX weights (float32 and int8) with their cards.

    Started again after an interruption it goes on where it was. Raises UsageError, ManifestError,
    TrainingError or WeightsError. Under torchrun all processes train; the first writes, the others give None.
    """
    refuse_contradictions(config)
    with joined() as ranks:
        return _train(config, report if ranks.leads else silent, ranks)


def _train(config: TrainConfig, report: Report, ranks: Ranks) -> Card | None:
    manifest = read_rows(config)
    task = task_of(config, manifest)
    spec = task.input(config.size_px).model_copy(update=SCALED.get(config.network, {}))
    training, validation = (
        rows_of(task, manifest, split, spec, config, report) for split in ("train", "val")
    )
    origins = sources(labelled(task, manifest.where(split="val"))).to_numpy(dtype=np.str_)
    network, origin = network_of(config, task.heads, training)
    schedule, plan = schedule_of(config), plan_of(config)
    best = fit(
        network,
        _objective(config, task, training, network),
        Draws.of(training, plan, schedule.seed),
        judge_of(config, task, validation, origins),
        schedule,
        config.output,
        lambda step: report(of_training(step)),
        _about(config, training, validation, task, plan, origin),
        ranks,
    )
    if not ranks.leads:
        return None
    network.load_state_dict(best)
    network.to("cpu").eval()
    domains = settings_of(config, task, network, validation)
    if config.operating == "midpoint":
        domains = centre(network, task, domains)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, config.output / "network.safetensors")
    history = Training(
        command=config.command,
        data=training_data(labelled(task, manifest.where(split="train"))),
        licence=config.licence,
        images=len(training.pictures) - len(training.pictures.unreadable),
        epochs=schedule.epochs,
        started_from=origin,
        seed=config.seed,
    )
    return ship(config, task, network, history, domains, training)


def _objective(config: TrainConfig, task: tasks.Task, training: Rows, network: nn.Module) -> Objective:
    weights = None
    if config.class_weights == "balanced":
        weights = balanced_weights(task.heads, training.targets, training.weights)
    objective = heads_objective(task.heads, weights=weights)
    if config.guide:
        objective = guided(objective, config.guide)
    if config.mixup:
        objective = mixed_up(objective, config.mixup)
    if config.consistency:
        objective = consistent(objective, task.heads, config.consistency, task.domain_head)
    if config.freeze:
        objective = resting(objective, frozen_layers(network, config.freeze))
    return probing(objective) if config.probe else objective


def _about(
    config: TrainConfig, training: Rows, validation: Rows, task: tasks.Task, plan: Augmentation, origin: str
) -> str:
    """What a run must have in common with the one it goes on from, besides the schedule."""
    seen = hashlib.sha256()
    for rows in (training, validation):
        seen.update("\n".join(str(file) for file in rows.pictures.files).encode())
        seen.update(rows.targets.tobytes())
    heads = "; ".join(f"{head.name}: {', '.join(head.classes)}" for head in task.heads)
    minimised = config.model_dump(
        include={"network", "probe", "class_weights", "mixup", "consistency", "guide"}
    )
    if config.freeze:  # not there in older runs, which may go on
        minimised["freeze"] = config.freeze
    judged = config.model_dump(include={"choose_by", "average"})
    return f"{heads}; {training.spec}; {plan}; from {origin}; {minimised}; {judged}; rows {seen.hexdigest()}"
