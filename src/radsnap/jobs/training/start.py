"""The network a training starts from, and where it came from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from radsnap.errors import UsageError, WeightsError
from radsnap.jobs.training.settings import TrainConfig
from radsnap.jobs.training.ship import calibration_images
from radsnap.learn.data import Rows
from radsnap.learn.optimiser import HEAD, freeze_backbone, frozen_layers
from radsnap.learn.start import start_from
from radsnap.models.card import Card, Head, read_card, sha256_of
from radsnap.models.networks import NETWORKS, from_public_naming
from radsnap.models.networks_onnx import settle_norms, state_from_onnx
from radsnap.models.networks_state import read_state
from radsnap.models.runtime import locate
from radsnap.seeds import stream

_SETTLING_IMAGES = 64
REPORT = "start.txt"


def network_of(config: TrainConfig, heads: tuple[Head, ...], training: Rows) -> tuple[nn.Module, str]:
    """Make the network, with the weights that it starts from, and say where they are from.

    From a model with a card the last layer keeps what it says of classes that the card names; from a file it is taken
    where it fits; else it is new. The run's `start.txt` lists what came in. Raises UsageError for an unknown network,
    WeightsError for weights that do not fit.
    """
    if config.network not in NETWORKS:
        raise UsageError(f"no network '{config.network}' is known; known are {', '.join(NETWORKS)}")
    torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
    names = [name for head in heads for name in head.classes]
    network = NETWORKS[config.network](len(names), training.spec.size_px, training.spec.channels)
    origin = "random weights"
    if config.start is not None:
        weights, card = weights_of(config.start)
        report = start_from(network, weights, head=card is None)
        if card is not None:
            _keep_classes(network, weights, card, names)
        if weights.suffix == ".onnx":
            images = calibration_images(training, config.seed)[:_SETTLING_IMAGES]
            settle_norms(network, torch.from_numpy(images))
        config.output.mkdir(parents=True, exist_ok=True)
        (config.output / REPORT).write_text(f"{report}\n")
        origin = f"{weights.name} (sha256 {sha256_of(weights)[:12]})"
    if config.probe:
        freeze_backbone(network)
    if config.freeze:
        frozen = frozen_layers(network, config.freeze)
        for key, parameter in network.named_parameters():
            parameter.requires_grad_(key not in frozen)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, origin


def weights_of(given: Path) -> tuple[Path, Card | None]:
    """Find weights to start from: a file, or a model by its card, its folder or its name. Raises WeightsError."""
    if given.suffix in (".safetensors", ".onnx", ".pt", ".pth", ".ckpt", ".bin"):
        if not given.is_file():
            raise WeightsError(f"no weights at {given}")
        return given, None
    path = locate(given)
    card = read_card(path)
    return path.parent / card.file, card


@torch.no_grad()
def _keep_classes(network: nn.Module, weights: Path, card: Card, names: list[str]) -> None:
    """Take the last layer's rows of the classes that the card names too."""
    known = [name for head in card.heads for name in head.classes]
    own = network.state_dict()
    for key, value in _last_layer(weights).items():
        if key in own and value.shape[1:] == own[key].shape[1:] and len(value) == len(known):
            for place, name in enumerate(names):
                if name in known:
                    own[key][place] = value[known.index(name)]


def _last_layer(weights: Path) -> dict[str, Tensor]:
    state = state_from_onnx(weights) if weights.suffix == ".onnx" else read_state(weights)[0]
    return {key: value for key, value in from_public_naming(state).items() if key.startswith(HEAD)}
