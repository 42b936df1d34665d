"""Networks (the only torch outside `learn`) by name: DenseNet-121 and others; public names, Grad-CAM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard, cast

import torch
from monai.networks.nets import DenseNet121 as MonaiDenseNet121  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional

from radsnap.errors import WeightsError
from radsnap.models.networks_efficient import EfficientNetLite
from radsnap.models.networks_eva import eva_x
from radsnap.models.networks_vit import PATCHES_PX, SIZES, ViT, vit


class DenseNet(nn.Module):
    """DenseNet-121 (Huang et al., 2017), with class activation maps in the same pass.

    forward: (N, channels, H, W) → logits (N, outputs). `midpoints`, one an output, are the scores that
    `OperatingPoints` brings to 0.5.
    """

    def __init__(self, outputs: int, channels: int = 1, midpoints: Sequence[float] | None = None) -> None:
        super().__init__()
        network = MonaiDenseNet121(spatial_dims=2, in_channels=channels, out_channels=outputs)
        self.features = cast(nn.Module, network.features)
        self.out = cast(nn.Linear, network.class_layers.out)
        self.bend: nn.Module = nn.Identity() if midpoints is None else OperatingPoints(midpoints)

    def feature_maps(self, images: Tensor) -> Tensor:
        """The last rectified maps (N, 1024, H/32, W/32)."""
        maps: Tensor = functional.relu(self.features(images))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.to_logits(self.feature_maps(images))

    def to_logits(self, maps: Tensor) -> Tensor:
        """From the last maps to logits (N, outputs): pooling, one linear layer, operating points if any."""
        logits: Tensor = self.bend(self.out(maps.mean(dim=(2, 3))))
        return logits


class OperatingPoints(nn.Module):
    """Bend logits so that the score at each operating point t becomes 0.5: p / 2t below it, else 1 - (1 - p) / 2(1 - t).

    forward: logits (N, outputs) → logits whose sigmoid is the bent score. This is torchxrayvision's `op_norm`,
    kept in logits: everything that reads scores stays as it is.
    """

    def __init__(self, midpoints: Sequence[float]) -> None:
        super().__init__()
        if not all(0 < point < 1 for point in midpoints):
            raise WeightsError(f"operating points lie between 0 and 1, got {list(midpoints)}")
        self.points: Tensor
        # not persistent: the points are the card's, checkpoints have the network's own keys only
        self.register_buffer("points", torch.tensor(list(midpoints)), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        yes, no = torch.sigmoid(logits), torch.sigmoid(-logits)
        below = functional.logsigmoid(logits) - torch.log(2 * self.points - torch.minimum(yes, self.points))
        rest = 1 - self.points
        above = torch.log(2 * rest - torch.minimum(no, rest)) - functional.logsigmoid(-logits)
        return torch.where(yes < self.points, below, above)


# ends in maps, pooled, and one linear layer
Pooled = DenseNet | EfficientNetLite | ViT


class WithHeatMaps(nn.Module):
    """The network as it is exported: logits, and Grad-CAM of every class by its closed form.

    The logit is the mean over positions of w · A plus a bias, so that its gradient by A is w / (h·w)
    everywhere: Grad-CAM (Selvaraju et al., 2017, eq. 1 and 2) is relu(Σ w_c A_c) / (h·w). Operating points bend
    a logit after that, which scales its map by a positive number that is left out.
    """

    def __init__(self, network: Pooled) -> None:
        super().__init__()
        self.network = network
        self.map_weights: Tensor
        # a copy of its own: quantisers want a constant here, not a view of the linear layer
        self.register_buffer("map_weights", network.out.weight.detach().clone()[:, :, None, None])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.network.feature_maps(images)
        logits = self.network.to_logits(maps)
        heat = functional.relu(functional.conv2d(maps, self.map_weights))
        return logits, heat / (maps.shape[2] * maps.shape[3])


def has_closed_form(network: nn.Module) -> TypeGuard[Pooled]:
    """Say whether a network ends in pooled maps and one linear layer, so that `WithHeatMaps` can wrap it."""
    return isinstance(network, (DenseNet, EfficientNetLite)) or (
        isinstance(network, ViT) and network.pool == "patches"
    )


def grad_cam(network: nn.Module, layer: nn.Module, images: Tensor, output: int) -> Tensor:
    """Grad-CAM by autograd, for any network. (N, 1, H, W) → (N, h, w), zero or more.

    `layer` is the module whose output maps are weighed. Source: Selvaraju et al., 2017, eq. 1 and 2.
    """
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, result: kept.append(result))
    try:
        logits = network(images)
    finally:
        hook.remove()
    maps = kept[0]
    (gradient,) = torch.autograd.grad(logits[:, output].sum(), maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return functional.relu((weights * maps).sum(dim=1))


_LAYER = re.compile(r"(denselayer\d+)\.(norm|relu|conv)\.?([12])\.")
_PREFIXES = ("state_dict.", "model.", "module.", "densenet121.", "net.", "backbone.", "encoder.")


def from_public_naming(state: Mapping[str, Tensor], channels: int | None = 1) -> dict[str, Tensor]:
    """Rename a public DenseNet-121 state dict to `DenseNet`'s keys.

    Understood: torchvision's naming, with `norm1` or the older `norm.1`, below the prefixes that wrappers
    add (`module.densenet121.` of CheXNet, `model.` ...), and MONAI's own. Three-channel first filters are
    summed to one channel, and filters of one channel are shared among three; both give the same output for a grey
    image repeated three times. With channels None the filters stay as they are.
    """
    renamed = {}
    for key, value in state.items():
        name = key
        while name.startswith(_PREFIXES):
            name = name.split(".", 1)[1]
        name = _LAYER.sub(r"\1.layers.\2\3.", name)
        name = re.sub(r"^(classifier|fc|class_layers\.out)(\.0)?\.(weight|bias)$", r"out.\3", name)
        if name == "features.conv0.weight" and value.shape[1] == 3 and channels == 1:
            value = value.sum(dim=1, keepdim=True)
        if name == "features.conv0.weight" and value.shape[1] == 1 and channels == 3:
            value = value.repeat(1, 3, 1, 1) / 3
        renamed[name] = value
    return renamed


def load_state(network: nn.Module, state: Mapping[str, Tensor], new_head: bool = False) -> list[str]:
    """Load a state dict and give the keys that were left as they were.

    With `new_head` the last layer may be missing or of another size and keeps its fresh weights; every
    other key must be there. Raises WeightsError with the first three keys that are missing or too many.
    """
    own = network.state_dict()
    head = {key for key in own if key.startswith(("out.", "head."))} if new_head else set()
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    given = {
        key: value for key, value in state.items() if not (key in head and value.shape != own[key].shape)
    }
    missing = sorted(set(own) - set(given) - head - counters)
    unexpected = sorted(set(given) - set(own))
    wrong = sorted(key for key in set(own) & set(given) if own[key].shape != given[key].shape)
    for what, keys in (("misses", missing), ("has unknown", unexpected), ("has other shapes for", wrong)):
        if keys:
            raise WeightsError(
                f"this checkpoint {what} {len(keys)} of the network's {len(own)} keys, such as {', '.join(keys[:3])}; "
                "it is of another architecture, or its naming is not known"
            )
    network.load_state_dict({**own, **given})
    return sorted(set(own) - set(given) - counters)


def _densenet121(outputs: int, size_px: int, channels: int = 1) -> DenseNet:
    return DenseNet(outputs, channels)  # takes images of any size


# name → (outputs, size_px, channels) → a network of (N, channels, size_px, size_px) → logits (N, outputs)
NETWORKS: Mapping[str, Callable[[int, int, int], Pooled]] = {
    "densenet121": _densenet121,
    "efficientnet-lite0": EfficientNetLite,
    **{f"vit-{size}-{patch_px}": partial(vit, size, patch_px) for size in SIZES for patch_px in PATCHES_PX},
    **{f"eva-x-{size}": partial(eva_x, size) for size in SIZES},
}

# What published weights know: pixels scaled by these numbers, where others see each image scaled by its own (`InputSpec`).
SCALED: Mapping[str, Mapping[str, Any]] = {
    "efficientnet-lite0": {"normalisation": "fixed", "mean": 0.5, "deviation": 0.5},
}
