"""From state dicts to networks: weights in safetensors or read by `unpickle`, run or exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from radsnap.errors import WeightsError
from radsnap.models.card import Card
from radsnap.models.networks import DenseNet, WithHeatMaps, from_public_naming, load_state
from radsnap.models.networks_vit import ViT, vit_of
from radsnap.models.unpickle import read_checkpoint

State = Mapping[str, Tensor]


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors, and the plain values beside them, from safetensors or a pickled checkpoint.

    Nothing in a pickle is executed. Raises WeightsError.
    """
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise WeightsError(f"no weights at {path}")
        try:
            return load_file(path), {}
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{path} is not a safetensors file ({error}); get the file again") from error
    checkpoint = read_checkpoint(path)
    return {name: _tensor(value) for name, value in checkpoint.state.items()}, dict(checkpoint.values)


def _tensor(value: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(value)
    return tensor.float() if tensor.is_floating_point() else tensor


def densenet(state: State, channels: int = 1, midpoints: tuple[float, ...] | None = None) -> DenseNet:
    """Build a DenseNet-121 from a state dict of public naming; the head's size is the state's.

    Raises WeightsError with the keys that do not fit.
    """
    renamed = from_public_naming(state, channels)
    head = renamed.get("out.bias")
    if head is None or head.ndim != 1:
        raise WeightsError(
            "this checkpoint has no linear layer 'classifier' with a bias at its end; it is of another "
            "architecture, or its naming is not known"
        )
    network = DenseNet(len(head), channels, midpoints)
    load_state(network, renamed)
    return network.eval()


def channels_of(state: State) -> int:
    """How many channels a DenseNet's first filters read, whatever its naming."""
    filters = from_public_naming(state, channels=3).get("features.conv0.weight")
    if filters is None or filters.ndim != 4 or filters.shape[1] not in (1, 3):
        raise WeightsError("this checkpoint has no first convolution 'features.conv0' on 1 or 3 channels")
    return int(filters.shape[1])


def with_outputs(state: State, kept: list[int]) -> dict[str, Tensor]:
    """Leave out the rows of the last layer that are not kept; gives the state by our own keys."""
    renamed = from_public_naming(state, channels_of(state))
    return {name: value[kept] if name.startswith("out.") else value for name, value in renamed.items()}


def outputs_of(network: nn.Module) -> int:
    """How many numbers a network gives: the size of its last layer."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    return last.out_features


def vit_sizes(network: ViT) -> tuple[int, int]:
    """The side and the channels of the images that a ViT reads."""
    first = network.patch_embed.get_submodule("proj")
    assert isinstance(first, nn.Conv2d)
    return network.size_px, first.in_channels


def build(state: State, network: str, channels: int = 1) -> nn.Module:
    """Build the network that a card names from a state dict. Raises WeightsError."""
    match network:
        case "densenet121":
            return densenet(state, channels)
        case "vit":
            return vit_of(state)
    raise WeightsError(f"no network '{network}' is known; known are densenet121, vit")


def module_of(weights: Path, card: Card) -> tuple[nn.Module, Tensor]:
    """Build what a card of safetensors describes, as it is exported, and an example of its input."""
    state, _ = read_state(weights)
    network = build(state, card.network, card.input.channels)
    module = WithHeatMaps(network) if card.heat_maps and isinstance(network, DenseNet) else network
    size = card.input.size_px
    return module.eval(), torch.zeros(2, card.input.channels, size, size)
