"""EfficientNet-Lite0, for which weights learned from a million everyday pictures are free; from MONAI's EfficientNet."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

from monai.networks.nets.efficientnet import EfficientNet, MBConvBlock
from torch import Tensor, nn

# Repeats, kernel, stride, widening, channels in and out of B0's seven stages; no `se` is no squeeze-and-excitation.
_STAGES = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 (Tan & Le, 2019; the edition without squeeze-and-excitation and with ReLU6), with class
    activation maps in the same pass.

    forward: (N, channels, size_px, size_px) → logits (N, outputs).
    """

    def __init__(self, outputs: int, size_px: int, channels: int = 3) -> None:
        super().__init__()
        made = EfficientNet(list(_STAGES), in_channels=channels, image_size=size_px, drop_connect_rate=0.0)
        for block in made.modules():
            if isinstance(block, MBConvBlock):
                block._swish = nn.ReLU6(inplace=True)
        stem = {"pad0": made._conv_stem_padding, "conv0": made._conv_stem, "norm0": made._bn0}
        head = {"blocks": made._blocks, "conv1": made._conv_head, "norm1": made._bn1}
        parts = {**stem, "relu0": nn.ReLU6(inplace=True), **head, "relu1": nn.ReLU6(inplace=True)}
        self.features = nn.Sequential(OrderedDict(parts))
        # MONAI's own would start with logits of ten and more
        self.out = nn.Linear(made._fc.in_features, outputs)

    def feature_maps(self, images: Tensor) -> Tensor:
        """The last rectified maps (N, 1280, H/32, W/32)."""
        return cast(Tensor, self.features(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.to_logits(self.feature_maps(images))

    def to_logits(self, maps: Tensor) -> Tensor:
        """From the last maps to logits (N, outputs): pooling and one linear layer."""
        return cast(Tensor, self.out(maps.mean(dim=(2, 3))))


# the usual naming in PyTorch (lukemelas' EfficientNet-PyTorch and what came of it) → `EfficientNetLite`'s
_RENAMED = {
    "_conv_stem": "features.conv0",
    "_bn0": "features.norm0",
    "_conv_head": "features.conv1",
    "_bn1": "features.norm1",
    "_fc": "out",
}
_PREFIXES = ("state_dict.", "model.", "module.", "net.", "backbone.")
_BLOCK = re.compile(r"^_blocks\.(\d+)\.")


def from_efficient_naming(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the usual PyTorch naming, whose blocks are numbered through, to `EfficientNetLite`'s keys."""
    stage_of = [stage for stage, row in enumerate(_STAGES) for _ in range(int(row[1]))]

    def block(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"features.blocks.{stage_of[number]}.{number}." if number < len(stage_of) else found[0]

    renamed = {}
    for key, value in state.items():
        name = key
        while name.startswith(_PREFIXES):
            name = name.split(".", 1)[1]
        first, dot, rest = name.partition(".")
        renamed[_BLOCK.sub(block, f"{_RENAMED.get(first, first)}{dot}{rest}")] = value
    return renamed
