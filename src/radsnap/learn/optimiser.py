"""How the weights go down: the schedule, the optimiser, the learning rate of a step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from radsnap.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """How a network is fitted. `judged_by` is the validation figure that chooses the epoch; higher is better.

    average: the share of the old mean in the running mean of the weights, which is what is validated and kept.
    batch_size: of all ranks together, taken in `accumulate` parts, of which one at a time needs memory.
    last_weight_decay: where the weight decay ends, by a half cosine; None keeps it as it is.
    """

    epochs: int = 20
    draws_per_epoch: int = 2400
    batch_size: int = 32
    optimiser: str = "radam"
    learning_rate: float = 3e-4
    layer_decay: float = 1.0
    weight_decay: float = 1e-4
    last_weight_decay: float | None = None
    warmup_share: float = 0.05
    average: float = 0.995
    clip: float = 3.0
    workers: int = 1
    seed: int = 0
    judged_by: str = "figure"
    patience: int | None = None
    save_every_s: float = 120.0
    accumulate: int = 1
    precision: str = "bf16"
    compiled: bool = False


def optimiser_of(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Make the optimiser that a schedule names, for what takes gradients. Raises UsageError for an unknown one.

    Every group has a `scale`, the factor of its learning rate.
    """
    groups = _groups(network, schedule)
    if schedule.optimiser == "radam":
        return torch.optim.RAdam(groups, lr=schedule.learning_rate, decoupled_weight_decay=True)
    if schedule.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.learning_rate)
    raise UsageError(f"unknown optimiser '{schedule.optimiser}'; choose radam or adamw")


def _groups(network: nn.Module, schedule: Schedule) -> list[dict[str, Any]]:
    parameters = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    depths = depths_of(name for name, _ in network.named_parameters())
    top = max(depths.values())
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in parameters:
        # one group for all layers where they learn alike
        depth = depths[name] if schedule.layer_decay < 1 else top
        decayed = parameter.ndim > 1  # norms and biases are not decayed
        group = groups.setdefault(
            (depth, decayed),
            {
                "params": [],
                "weight_decay": schedule.weight_decay if decayed else 0.0,
                "decayed": decayed,
                "scale": schedule.layer_decay ** (top - depth),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


_BLOCK = re.compile(r"^.*?(?:block|transition|layer)s?\.?\d+")


def depths_of(names: Iterable[str]) -> dict[str, int]:
    """Number a network's layers from below, by its parameters' names in their order.

    A layer is a numbered block (`blocks.3`, `features.denseblock2`). All before the first block is layer 0;
    what follows a block belongs to it, but for the last layer (`out`, `head`), which stands alone at the top.
    """
    depths: dict[str, int] = {}
    block, depth = "", 0
    for name in names:
        found = _BLOCK.match(name)
        if found and found[0] != block:
            block, depth = found[0], depth + 1
        depths[name] = depth
    for name in depths:
        if name.startswith(HEAD):
            depths[name] = depth + 1
    return depths


# The last layer, by the names that networks give it.
HEAD = ("out.", "head.")


def freeze_backbone(network: nn.Module) -> None:
    """Let nothing but the last layer take gradients; `objectives.probing` also keeps its norms as they are."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(HEAD))


def frozen_layers(network: nn.Module, blocks: int) -> frozenset[str]:
    """Name the parameters of a network's first blocks and of what is before them. Raises UsageError for too many."""
    depths = depths_of(name for name, _ in network.named_parameters())
    top = max(depths.values())
    if blocks >= top:
        raise UsageError(
            f"--freeze {blocks} leaves nothing to learn but the last layer; give at most {top - 1}"
        )
    return frozenset(name for name, depth in depths.items() if depth <= blocks)


def set_rates(optimiser: torch.optim.Optimizer, schedule: Schedule, step: int, steps: int) -> None:
    """Set the learning rate and the weight decay of a step."""
    rate = schedule.learning_rate * cosine(step, steps, schedule.warmup_share)
    for group in optimiser.param_groups:
        group["lr"] = group.get("scale", 1.0) * rate
        if schedule.last_weight_decay is not None and group["decayed"]:
            group["weight_decay"] = decay_at(step, steps, schedule.weight_decay, schedule.last_weight_decay)


def decay_at(step: int, steps: int, first: float, last: float) -> float:
    """The weight decay of a step: from first to last by a half cosine. Source: Caron et al., 2021 (DINO), 3.1."""
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * step / max(1, steps)))


def cosine(step: int, steps: int, warmup_share: float) -> float:
    """The learning rate's factor: up in a line, then down by a half cosine to 1 %."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
