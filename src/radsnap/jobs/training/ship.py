"""What a training leaves: ONNX weights (float32, and int8 or with 16 bits), each with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit
from torch import nn

from radsnap.jobs.training.settings import Stage, TrainConfig
from radsnap.learn import tasks
from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.export import quantise, to_half, to_onnx
from radsnap.models.card import Card, Domain, Isotonic, Platt, Training, sha256_of, write_card
from radsnap.models.networks import has_closed_form

_CALIBRATION_IMAGES = 300


def ship(
    config: TrainConfig,
    task: tasks.Task,
    network: nn.Module,
    history: Training,
    domains: dict[str, Domain],
    training: Rows,
) -> Card:
    """Write the network as ONNX, whole and quantised, with cards. Gives the card of the quantised one."""
    about = {
        "task": task.name,
        "network": config.network,
        "input": training.spec,
        "heads": task.heads,
        "heat_maps": has_closed_form(network),
        "training": history,
        "domains": domains,
        "caveats": _caveats(config),
    }
    images = calibration_images(training, config.seed)
    return write_pair(network, config.output, config.name or config.stage, images, about)


def write_pair(
    network: nn.Module, folder: Path, name: str, images: NDArray[np.float32] | None, about: dict[str, Any]
) -> Card:
    """Write NAME-float32.onnx and NAME.onnx, the small one, with their cards, of which `about` holds the rest.

    images: inputs to calibrate int8 by (N, C, H, W); None stores weights with 16 bits. Gives the small one's card.
    """
    full, small = folder / f"{name}-float32.onnx", folder / f"{name}.onnx"
    spec = about["input"]
    to_onnx(network, spec.size_px, full, about.get("heat_maps", False), spec.channels)
    if images is None:
        to_half(full, small)
    else:
        quantise(full, images, small)
    whole = Card(name=full.stem, file=full.name, sha256=sha256_of(full), precision="float32", **about)
    shipped = {"name": name, "file": small.name, "sha256": sha256_of(small)}
    card = whole.model_copy(update={**shipped, "precision": "float16" if images is None else "int8"})
    write_card(whole, full.with_suffix(".card.json"))
    write_card(card, small.with_suffix(".card.json"))
    return card


def calibration_images(training: Rows, seed: int) -> NDArray[np.float32]:
    """Draw training images for quantisation, half of them photographed, so that ranges cover both."""
    plan = Augmentation(smallest_area=0.9, photo=(("screen-lite", 0.25), ("film-lite", 0.25)))
    draws = Draws(training, plan, seed, epoch=-1, count=min(_CALIBRATION_IMAGES, 4 * len(training.pictures)))
    return np.stack([draws[place]["image"].numpy() for place in range(len(draws))])


@torch.no_grad()
def centre(network: nn.Module, task: tasks.Task, domains: dict[str, Domain]) -> dict[str, Domain]:
    """Move the last layer's bias so that a score of 0.5 is the digital operating point of each class.

    Whoever reads scores at the usual 0.5 then decides as the card does. Gives the domains, moved alike.
    """
    bias = network.get_submodule("head" if hasattr(network, "head") else "out").bias
    assert isinstance(bias, nn.Parameter)
    names = [name for head in task.heads for name in head.classes]
    points = domains["digital"].operating_points
    shifts = {name: float(logit(point.score)) for name, point in points.items()}
    for place, name in enumerate(names):
        bias[place] -= shifts.get(name, 0.0)
    return {domain: moved(settings, shifts) for domain, settings in domains.items()}


def moved(settings: Domain, shifts: dict[str, float]) -> Domain:
    """Give a domain's settings for logits that are lower by each class's shift."""

    def lower(score: float, shift: float) -> float:
        return float(1 / (1 + np.exp(shift - logit(score))))

    points = {
        name: point.model_copy(
            update={
                "score": lower(point.score, shifts.get(name, 0.0)),
                "possible": lower(point.possible, shifts.get(name, 0.0)),
            }
        )
        for name, point in settings.operating_points.items()
    }
    calibration: dict[str, Platt | Isotonic] = {
        name: platt.model_copy(update={"intercept": platt.intercept + platt.slope * shifts.get(name, 0.0)})
        for name, platt in settings.calibration.items()
        if isinstance(platt, Platt)  # a training fits no other curve
    }
    return Domain(operating_points=points, calibration=calibration)


def _caveats(config: TrainConfig) -> tuple[str, ...]:
    if config.stage != "findings":
        return (*_CAVEATS[config.stage], *config.caveats)
    usual = () if config.labels else _CAVEATS["findings"]
    return (*usual, *config.caveats, "Not a medical device: do not use for diagnosis or treatment.")


_CAVEATS: dict[Stage, tuple[str, ...]] = {
    "gate": ("An unusual picture that is no x-ray may pass; slices of a CT look most like one.",),
    "kind": ("Several kinds were seen in fewer than 40 real examples.",),
    "findings": (
        "Trained on about a thousand adult and four thousand paediatric x-rays: a small model, for research.",
        "Labels of adults were mined from report texts and are partly wrong.",
    ),
}
