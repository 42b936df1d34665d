"""What a training minimises: an objective takes (model, batch) and gives a loss with its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from radsnap.learn.optimiser import HEAD
from radsnap.models.card import Head


@dataclass(frozen=True)
class Loss:
    """A loss to go down on, and its parts as plain numbers for the log."""

    value: Tensor
    parts: dict[str, float]


Batch = dict[str, Tensor]
# Outputs' weights where they are present and where they are absent, (2, outputs).
Weights = NDArray[np.float32]
Objective = Callable[[nn.Module, Batch], Loss]
# Where a batch is a part of a larger one: how many targets of each output (outputs,) a part knows on average.
KNOWN = "known"


class PooledNetwork(Protocol):
    """A network that ends in pooling and one linear layer, as `DenseNet` does."""

    out: nn.Linear

    def feature_maps(self, images: Tensor) -> Tensor: ...


def heads_objective(
    heads: tuple[Head, ...], smoothing: float = 0.0, weights: Weights | None = None
) -> Objective:
    """Binary cross-entropy for sigmoid heads, cross-entropy for softmax heads; unknown targets take no part.

    batch: `image` (N, channels, H, W), `target` (N, outputs) with NaN for unknown. Each head's loss is the mean over
    its known targets, weighted where weights are given; the heads' losses add up. With `known` in the batch it is what
    this part has in the mean over the whole batch: the parts' losses have that as their mean.
    """
    of_classes = None if weights is None else torch.from_numpy(weights)

    def objective(model: nn.Module, batch: Batch) -> Loss:
        logits = model(batch["image"]).float()
        total = logits.new_zeros(())
        parts = {}
        start = 0
        for head in heads:
            end = start + len(head.classes)
            scale = None if of_classes is None else of_classes[:, start:end].to(logits.device)
            target = batch["target"][:, start:end]
            loss = _head_loss(head, logits[:, start:end], target, smoothing, scale)
            if KNOWN in batch:
                loss = loss * ((~torch.isnan(target)).sum() / batch[KNOWN][start:end].sum().clamp_min(1e-9))
            total = total + loss
            parts[head.name] = float(loss.detach())
            start = end
        return Loss(total, parts)

    return objective


def balanced_weights(
    heads: tuple[Head, ...], targets: Weights, chances: NDArray[np.float64], most: float = 20.0
) -> Weights:
    """Give each class weights (2, outputs), present and absent, that make both count alike among the rows drawn.

    targets (N, outputs) with NaN for unknown; chances (N,) of rows to be drawn. A weight is at most `most`; a class
    that lacks a side has 1. The classes of a softmax head count alike among themselves.
    """
    weights = np.ones((2, targets.shape[1]), dtype=np.float32)
    start = 0
    for head in heads:
        for column in range(start, start + len(head.classes)):
            known = ~np.isnan(targets[:, column])
            share = float(chances[known] @ (targets[known, column] == 1)) / max(chances[known].sum(), 1e-12)
            if 0 < share < 1:
                even = 0.5 if head.activation == "sigmoid" else 1 / len(head.classes)
                weights[:, column] = np.minimum((even / share, (1 - even) / (1 - share)), most)
        start += len(head.classes)
    return weights


def probing(plain: Objective) -> Objective:
    """Keep everything below the last layer as in use: norms with their own statistics, nothing dropped."""

    def objective(model: nn.Module, batch: Batch) -> Loss:
        for name, module in model.named_children():
            module.train(f"{name}." in HEAD)
        return plain(model, batch)

    return objective


def resting(plain: Objective, frozen: frozenset[str]) -> Objective:
    """Keep layers whose parameters are frozen as in use: norms with their own statistics, nothing dropped."""

    def objective(model: nn.Module, batch: Batch) -> Loss:
        for name, module in model.named_modules():
            own = {f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)}
            if own and own <= frozen:
                module.eval()
        return plain(model, batch)

    return objective


def mixed_up(plain: Objective, alpha: float) -> Objective:
    """Mix each image and its target with another's, in shares drawn from Beta(alpha, alpha). Source: Zhang et al., 2018.

    A target is known only where both are. Pairs are of one part of a batch, and so is the mean over what they know.
    """

    def objective(model: nn.Module, batch: Batch) -> Loss:
        images, target = batch["image"], batch["target"]
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        other = torch.randperm(len(images), device=images.device)
        mixed = {
            "image": torch.lerp(images[other], images, share),
            "target": torch.lerp(target[other], target, share),
        }
        unmixed = {name: value for name, value in batch.items() if name != KNOWN}  # a count of other targets
        return plain(model, unmixed | mixed)

    return objective


def consistent(
    plain: Objective, heads: tuple[Head, ...], weight: float, domain_head: str | None
) -> Objective:
    """Add the divergence between what is said of a radiograph and of its photo: the mean of KL both ways.

    batch: also `before` (N, channels, H, W), the pictures as they were before they were photographed, and `photo` (N,),
    which of them were. The head that tells what the camera saw takes no part.
    """

    def objective(model: nn.Module, batch: Batch) -> Loss:
        taken = batch["photo"]
        if not taken.any():
            return plain(model, batch)
        both = _Both(model, batch["before"][taken])
        loss = plain(both, batch)
        apart = _divergence(heads, both.first[taken], both.others, domain_head)
        return Loss(loss.value + weight * apart, {**loss.parts, "inconsistent": float(apart.detach())})

    return objective


class _Both(nn.Module):
    """A network that runs over further images in the same pass, so that norms see x-rays and photos together."""

    def __init__(self, network: nn.Module, further: Tensor) -> None:
        super().__init__()
        self.network, self.further = network, further
        self.first = self.others = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.cat([images, self.further])).float()
        self.first, self.others = logits[: len(images)], logits[len(images) :]
        return self.first


def _divergence(heads: tuple[Head, ...], one: Tensor, other: Tensor, left_out: str | None) -> Tensor:
    """Half of Jeffreys' divergence, mean over images and sigmoid classes: (p - q) · (log-odds p - log-odds q) / 2."""
    total = one.new_zeros(())
    start = 0
    for head in heads:
        span = slice(start, start + len(head.classes))
        start = span.stop
        if head.name == left_out:
            continue
        if head.activation == "sigmoid":
            apart = (one[:, span].sigmoid() - other[:, span].sigmoid()) * (one[:, span] - other[:, span])
            total = total + apart.mean() / 2
        else:
            p, q = (functional.log_softmax(logits[:, span], dim=1) for logits in (one, other))
            total = total + ((p.exp() - q.exp()) * (p - q)).sum(dim=1).mean() / 2
    return total


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


def _head_loss(head: Head, logits: Tensor, target: Tensor, smoothing: float, scale: Tensor | None) -> Tensor:
    if head.activation == "softmax":
        known = ~torch.isnan(target).any(dim=1)
        if not known.any():
            return logits.sum() * 0.0
        weight = None if scale is None else scale[0]
        return functional.cross_entropy(logits[known], target[known], weight, label_smoothing=smoothing)
    known = ~torch.isnan(target)
    if not known.any():
        return logits.sum() * 0.0
    soft = target[known] * (1.0 - smoothing) + 0.5 * smoothing
    if scale is None:
        return functional.binary_cross_entropy_with_logits(logits[known], soft)
    present, absent = (side.expand_as(target)[known] for side in scale)
    return functional.binary_cross_entropy_with_logits(
        logits[known], soft, soft * present + (1 - soft) * absent
    )
