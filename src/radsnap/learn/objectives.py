"""What a training minimises: an objective takes (model, batch) and gives a loss with its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.models.card import Head


@dataclass(frozen=True)
class Loss:
    """A loss to go down on, and its parts as plain numbers for the log."""

    value: Tensor
    parts: dict[str, float]


Batch = dict[str, Tensor]
Objective = Callable[[nn.Module, Batch], Loss]


class PooledNetwork(Protocol):
    """A network that ends in pooling and one linear layer, as `DenseNet` does."""

    out: nn.Linear

    def feature_maps(self, images: Tensor) -> Tensor: ...


def heads_objective(heads: tuple[Head, ...], smoothing: float = 0.0) -> Objective:
    """Binary cross-entropy for sigmoid heads, cross-entropy for softmax heads; unknown targets take no part.

    batch: `image` (N, 1, H, W), `target` (N, outputs) with NaN for unknown. Each head's loss is the mean over
    its known targets; the heads' losses add up.
    """

    def objective(model: nn.Module, batch: Batch) -> Loss:
        logits = model(batch["image"]).float()
        total = logits.new_zeros(())
        parts = {}
        start = 0
        for head in heads:
            end = start + len(head.classes)
            loss = _head_loss(head, logits[:, start:end], batch["target"][:, start:end], smoothing)
            total = total + loss
            parts[head.name] = float(loss.detach())
            start = end
        return Loss(total, parts)

    return objective


def guided(plain: Objective, weight: float) -> Objective:
    """Add to an objective the share of heat that lies outside the region where a finding can be.

    For every present and guided finding: 1 - (heat inside) / (all heat), with heat = relu(w · A), the closed form of
    Grad-CAM. batch: also `region` (N, h, w) in [0, 1] and `guided` (N, outputs). The network needs `feature_maps` and
    `out`, as `DenseNet` has.
    """

    def objective(model: nn.Module, batch: Batch) -> Loss:
        pooled = _Pooled(cast(PooledNetwork, model))
        loss = plain(pooled, batch)
        heat = functional.relu(
            functional.conv2d(pooled.maps, pooled.network.out.weight[:, :, None, None])
        ).float()
        inside = (heat * batch["region"][:, None]).sum(dim=(2, 3))
        outside = 1 - inside / heat.sum(dim=(2, 3)).clamp_min(1e-6)
        counted = batch["guided"] & (batch["target"] == 1)
        share = (outside * counted).sum() / counted.sum().clamp_min(1)
        return Loss(loss.value + weight * share, {**loss.parts, "heat outside": float(share.detach())})

    return objective


class _Pooled(nn.Module):
    """A network that keeps its last maps, so that logits and heat come from one pass."""

    def __init__(self, network: PooledNetwork) -> None:
        super().__init__()
        self.network = network
        self.maps = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        self.maps = self.network.feature_maps(images)
        logits: Tensor = self.network.out(self.maps.mean(dim=(2, 3)))
        return logits


def _head_loss(head: Head, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    if head.activation == "softmax":
        known = ~torch.isnan(target).any(dim=1)
        if not known.any():
            return logits.sum() * 0.0
        return functional.cross_entropy(logits[known], target[known], label_smoothing=smoothing)
    known = ~torch.isnan(target)
    if not known.any():
        return logits.sum() * 0.0
    soft = target[known] * (1.0 - smoothing) + 0.5 * smoothing
    return functional.binary_cross_entropy_with_logits(logits[known], soft)
