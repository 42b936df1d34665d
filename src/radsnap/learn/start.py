"""Where a training starts from: weights of one's own or of others, with a report of what came in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from radsnap.errors import WeightsError
from radsnap.models.networks import DenseNet, from_public_naming
from radsnap.models.networks_efficient import EfficientNetLite, from_efficient_naming
from radsnap.models.networks_eva import EvaX, from_eva_naming
from radsnap.models.networks_onnx import state_from_onnx
from radsnap.models.networks_state import read_state
from radsnap.models.networks_vit import ViT, from_vit_naming, positions, to_channels

# The last layer is a training's own.
_HEADS = ("out.", "head.")
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class StartReport:
    """What weights gave to a network: keys of the network, but `unexpected`, which are the file's.

    adapted: key → what was done to make it fit. coverage: the share of the network's numbers, its last layer not
    counted, that came from the file.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    adapted: Mapping[str, str]
    coverage: float

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.loaded)} keys loaded, {self.coverage:.1%} of the network"]
        lines += [f"adapted {key}: {what}" for key, what in self.adapted.items()]
        for what, keys in (("missing", self.missing), ("unexpected", self.unexpected)):
            if keys:
                more = ", ..." if len(keys) > 6 else ""
                lines.append(f"{len(keys)} {what}: {', '.join(keys[:6])}{more}")
        return "\n".join(lines)


def start_from(network: nn.Module, path: Path, least: float = 0.95, head: bool = False) -> StartReport:
    """Fill a network from a file of weights, as far as they fit, and say what came in.

    Read are safetensors, checkpoints of `torch.save` (nothing in them is executed) and the ONNX files that radsnap
    writes; understood is the naming of radsnap, timm (MAE, DeiT), EVA-X, transformers (ViT, Dinov2: RAD-DINO), for a
    DenseNet torchvision's and for an EfficientNet the usual one of PyTorch. First filters are brought to the network's
    channels and positions to its size. With `head` the last layer is taken too, where its shape fits. Raises
    WeightsError when less than `least` of the network is covered; the network is then untouched.
    """
    own = network.state_dict()
    given = _renamed(network, _state(path))
    adapted: dict[str, str] = {}
    fitting: dict[str, Tensor] = {}
    for key, value in given.items():
        if key not in own or (key.startswith(_HEADS) and not head):
            continue
        value, what = _adapt(key, value, own[key])
        if value.shape == own[key].shape:
            fitting[key] = value.to(own[key].dtype)
            if what:
                adapted[key] = what
    counted = {key for key in own if not key.startswith(_HEADS) and not key.endswith(_COUNTERS)}
    missing = tuple(
        sorted((counted | ({k for k in own if k.startswith(_HEADS)} if head else set())) - set(fitting))
    )
    heads_given = {key for key in given if key.startswith(_HEADS)} if not head else set()
    report = StartReport(
        source=path.name,
        loaded=tuple(sorted(fitting)),
        missing=missing,
        unexpected=tuple(sorted(set(given) - set(fitting) - heads_given)),
        adapted=adapted,
        coverage=_numbers(own, counted & set(fitting)) / _numbers(own, counted),
    )
    if report.coverage < least:
        raise WeightsError(
            f"{path} covers {report.coverage:.1%} of the network, less than {least:.0%}: it is of another "
            f"architecture or size, or its naming is not known.\n{report}"
        )
    network.load_state_dict({**own, **fitting})
    return report


def _state(path: Path) -> Mapping[str, Tensor]:
    return state_from_onnx(path) if path.suffix == ".onnx" else read_state(path)[0]


def _renamed(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if isinstance(network, DenseNet):
        filters = network.state_dict()["features.conv0.weight"]
        return from_public_naming(state, channels=filters.shape[1])
    if isinstance(network, EfficientNetLite):
        return from_efficient_naming(state)
    if isinstance(network, ViT):
        named = from_eva_naming(state) if isinstance(network, EvaX) else from_vit_naming(state)
        if network.pool != "average" and "norm.weight" not in named:
            # one norm, before or after the mean over patches
            return {name.replace("fc_norm.", "norm."): value for name, value in named.items()}
        return named
    return dict(state)


def _adapt(key: str, value: Tensor, own: Tensor) -> tuple[Tensor, str]:
    """Bring first filters to other channels, and positions to another number; else as it is."""
    if value.shape == own.shape:
        return value, ""
    if key in ("patch_embed.proj.weight", "features.conv0.weight") and value.shape[2:] == own.shape[2:]:
        return to_channels(value, own.shape[1]), f"{value.shape[1]} channels to {own.shape[1]}"
    if key == "pos_embed" and value.ndim == 3 and value.shape[2] == own.shape[2]:
        return _moved(value, own)
    return value, ""


def _moved(value: Tensor, own: Tensor) -> tuple[Tensor, str]:
    side = math.isqrt(own.shape[1] - 1)
    before = math.isqrt(value.shape[1])
    if before * before == value.shape[1]:  # without a class token
        value = torch.cat([torch.zeros_like(value[:, :1]), value], dim=1)
    before = math.isqrt(value.shape[1] - 1)
    if before * before != value.shape[1] - 1:
        return value, ""
    grid = positions(value[:, 1:], (side, side))
    return torch.cat([value[:, :1], grid], dim=1), f"positions of {before} × {before} to {side} × {side}"


def _numbers(state: Mapping[str, Tensor], keys: set[str]) -> int:
    return sum(state[key].numel() for key in keys)
