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
from radsnap.models.networks import (
    NETWORKS,
    DenseNet,
    WithHeatMaps,
    from_public_naming,
    has_closed_form,
    load_state,
)
from radsnap.models.networks_vit import ViT, from_vit_naming
from radsnap.models.unpickle import read_checkpoint

State = Mapping[str, Tensor]
_HEAD_SIZE = 64


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


def vit_of(state: State, heads: int | None = None) -> ViT:
    """Build a ViT from a state dict in timm's or transformers' naming; its sizes are the weights' own.

    heads: by default heads of 64, as the usual sizes have. transformers' layer norms have epsilon 1e-12, timm's
    1e-6. Raises WeightsError with the keys that do not fit.
    """
    renamed = from_vit_naming(state)
    try:
        first, places = renamed["patch_embed.proj.weight"], renamed["pos_embed"]
        inner, outputs = renamed["blocks.0.mlp.fc1.weight"].shape[0], renamed["head.weight"].shape[0]
    except KeyError as error:
        raise WeightsError(
            f"this checkpoint has no {error.args[0]}: it is no vision transformer with a linear head, or its "
            "naming is not known; timm's and transformers' are"
        ) from error
    width, channels, patch_px = first.shape[0], first.shape[1], first.shape[2]
    depth = len({key.split(".")[1] for key in renamed if key.startswith("blocks.")})
    side = round((places.shape[1] - 1) ** 0.5)
    heads = heads or max(1, width // _HEAD_SIZE)
    if width % heads:
        raise WeightsError(f"a width of {width} does not divide into {heads} heads; give the right --heads")
    if side * side != places.shape[1] - 1:
        raise WeightsError(
            f"{places.shape[1]} positions are not a class token and a square of patches; distilled and "
            "register tokens are not known"
        )
    network = ViT(
        outputs, size_px=side * patch_px, patch_px=patch_px, width=width, depth=depth, heads=heads,
        inner=inner, channels=channels, pool="average" if "fc_norm.weight" in renamed else "token",
        epsilon=1e-12 if any("layernorm_before" in key for key in state) else 1e-6,
    )  # fmt: skip
    load_state(network, renamed)
    return network.eval()


def channels_of(state: State) -> int:
    """How many channels a DenseNet's first filters read, whatever its naming."""
    filters = from_public_naming(state, channels=None).get("features.conv0.weight")
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


def build(state: State, network: str, size_px: int, channels: int = 1) -> nn.Module:
    """Build the network that a card names from a state dict. Raises WeightsError."""
    if network == "densenet121":
        return densenet(state, channels)
    if network == "vit":  # another's, whose sizes its weights tell
        return vit_of(state)
    if network not in NETWORKS:
        raise WeightsError(f"no network '{network}' is known; known are {', '.join(NETWORKS)}, vit")
    head = state.get("head.bias", state.get("out.bias"))
    made = NETWORKS[network](0 if head is None else len(head), size_px, channels)
    load_state(made, state)
    return made.eval()


def module_of(weights: Path, card: Card) -> tuple[nn.Module, Tensor]:
    """Build what a card of safetensors describes, as it is exported, and an example of its input."""
    state, _ = read_state(weights)
    size = card.input.size_px
    network = build(state, card.network, size, card.input.channels)
    module = WithHeatMaps(network) if card.heat_maps and has_closed_form(network) else network
    return module.eval(), torch.zeros(2, card.input.channels, size, size)
