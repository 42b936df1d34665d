"""What a network says on validation rows, and the figure that chooses the epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from radsnap.learn.data import Example, Fixed, Rows, batches
from radsnap.learn.precision import mixed
from radsnap.measure import auroc
from radsnap.models.averaging import Average, averaged
from radsnap.models.card import Head

Array = NDArray[np.float32]


@torch.no_grad()
def logits_of(
    network: nn.Module,
    rows: Rows,
    recipe: str | None = None,
    batch_size: int = 32,
    average: Average = "none",
) -> tuple[Array, Array]:
    """Run a network over all rows: (logits, targets), both (N, outputs). recipe: photographed first."""
    return said_of(network, Fixed(rows, recipe), batch_size, average)


@torch.no_grad()
def said_of(
    network: nn.Module, examples: Dataset[Example], batch_size: int = 32, average: Average = "none"
) -> tuple[Array, Array]:
    """Run a network over examples in their order: (logits, targets), both (N, outputs)."""
    network.eval()
    device = next(network.parameters()).device

    def run(view: Array) -> Array:
        images = torch.from_numpy(view).to(device, memory_format=torch.channels_last)
        with mixed(device.type):
            return np.asarray(network(images).float().cpu().numpy())

    logits, targets = [], []
    for batch in batches(examples, batch_size, workers=0, drop_last=False):
        logits.append(averaged(run, batch["image"].numpy(), average))
        targets.append(batch["target"].numpy())
    return np.concatenate(logits), np.concatenate(targets)


def figure_of(
    heads: tuple[Head, ...], logits: Array, targets: Array, sources: NDArray[np.str_], by_area: bool = False
) -> float:
    """Give one figure for all heads, higher is better, NaN when no head can be judged.

    Mean recall over the classes of a softmax head and over the two sides of a single sigmoid; for a larger sigmoid
    head, and with `by_area` for a single one, the mean AUROC over findings and sources (sources that hold both
    classes); then the mean of the heads.
    """
    values = []
    start = 0
    for head in heads:
        span = slice(start, start + len(head.classes))
        start = span.stop
        value = _head_figure(head, logits[:, span], targets[:, span], sources, by_area)
        if not np.isnan(value):
            values.append(value)
    return float(np.mean(values)) if values else float("nan")


def _head_figure(
    head: Head, logits: Array, targets: Array, sources: NDArray[np.str_], by_area: bool
) -> float:
    known = ~np.isnan(targets).any(axis=1)
    if head.activation == "softmax":
        truth, said = targets[known].argmax(axis=1), logits[known].argmax(axis=1)
        return (
            float(np.mean([(said[truth == k] == k).mean() for k in np.unique(truth)]))
            if known.any()
            else np.nan
        )
    if len(head.classes) == 1 and not by_area:
        truth, said = targets[known, 0] == 1, logits[known, 0] > 0
        return float(np.mean([(said[truth == side] == side).mean() for side in np.unique(truth)]))
    areas = []
    for column in range(len(head.classes)):
        seen = ~np.isnan(targets[:, column])
        for name in np.unique(sources[seen]):
            inside = seen & (sources == name)
            area = auroc(targets[inside, column], logits[inside, column])
            if isinstance(area, float):
                areas.append(area)
    return float(np.mean(areas)) if areas else np.nan
