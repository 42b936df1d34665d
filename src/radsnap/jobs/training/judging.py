"""How a training is judged on validation: the figure of an epoch, and what its scores mean in the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from radsnap.jobs.training.settings import STRONG, TrainConfig
from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.judge import figure_of, logits_of, said_of
from radsnap.learn.loop import Judge
from radsnap.learn.operating import domain_settings
from radsnap.models.card import Domain

_DOMAIN_RECIPES = {"digital": None, "screen": "screen-lite", "film": "film-lite"}
# How often each validation row is varied where operating points are chosen under shift.
_VERSIONS = 4


def judge_of(config: TrainConfig, task: tasks.Task, validation: Rows, origins: NDArray[np.str_]) -> Judge:
    """Give what judges a network: the figure of each domain, and of all that the config chooses by."""
    recipes = _DOMAIN_RECIPES if config.choose_by == "all" else {"digital": None}
    by_area = config.stage == "findings"

    def judge(network: nn.Module) -> dict[str, float]:
        figures = {}
        for domain, recipe in recipes.items():
            logits, targets = logits_of(network, validation, recipe, average=config.average)
            figures[domain] = figure_of(task.heads, logits, targets, origins, by_area)
        # digital counts as much as the two kinds of photo together
        photos = [figures[domain] for domain in figures if domain != "digital"]
        figures["figure"] = float(np.mean([figures["digital"], *([np.mean(photos)] if photos else [])]))
        return figures

    return judge


def settings_of(
    config: TrainConfig, task: tasks.Task, network: nn.Module, validation: Rows
) -> dict[str, Domain]:
    """Choose operating points and calibrations per domain, by the config's rule."""
    said = {
        domain: logits_of(network, validation, recipe, average=config.average)
        for domain, recipe in _DOMAIN_RECIPES.items()
    }
    if config.operating == "midpoint":  # the two classes must also be told apart where a picture is another's
        logits, targets = zip(said["digital"], _shifted(config, network, validation), strict=True)
        said["digital"] = np.concatenate(logits), np.concatenate(targets)
    if config.stage != "findings":  # the first stages are asked before the domain is known
        logits, targets = zip(*said.values(), strict=True)
        said = {"any": (np.concatenate(logits), np.concatenate(targets))}
    return domain_settings(task.heads, said, config.operating)


def _shifted(
    config: TrainConfig, network: nn.Module, validation: Rows
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network says on validation rows in another tone, sharpness, crop and shape: (logits, targets)."""
    plan = Augmentation(**{**STRONG.__dict__, "photo": (), "blot": 0.0, "flip": 0.0})
    everyone = np.tile(np.arange(len(validation.pictures)), _VERSIONS)
    draws = Draws(validation, plan, config.seed, epoch=-2, count=len(everyone))
    draws.order = everyone
    return said_of(network, draws, average=config.average)
