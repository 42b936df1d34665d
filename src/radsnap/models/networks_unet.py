"""Networks that give a map per class: a small U-Net, and a decoder on a vision transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from monai.networks.nets import UNet as MonaiUNet  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.nn import functional

from radsnap.models.networks_vit import ViT, vit

# Half the side at each step; the first step comes at once, so that little is computed at full resolution.
_CHANNELS = (16, 32, 64, 128, 192)
_LAST = 8


class UNet(nn.Module):
    """A residual U-Net (Ronneberger et al., 2015; Kerfoot et al., 2018), MONAI's, small: 1.2 million weights.

    forward: (N, channels, S, S), S a multiple of 16 → logits (N, outputs, S, S).
    """

    def __init__(self, outputs: int, channels: int = 1, widths: tuple[int, ...] = _CHANNELS) -> None:
        super().__init__()
        # MONAI ends in a norm and a rectification of as many maps as it gives out: with an output or two they die
        self.network = cast(
            nn.Module,
            MonaiUNet(
                spatial_dims=2,
                in_channels=channels,
                out_channels=_LAST,
                channels=widths,
                strides=(2,) * (len(widths) - 1),
                num_res_units=2,
                norm="batch",
                act="RELU",
            ),
        )
        self.out = nn.Conv2d(_LAST, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(functional.relu(self.network(images)))
        return logits


class ViTSegmenter(nn.Module):
    """A vision transformer with a light decoder of convolutions.

    The tokens after four of its blocks are added up and enlarged step by step; a few filters on the picture itself
    give back the edges that patches of 16 px lose. forward: (N, 1, S, S) → logits (N, outputs, S, S).
    Source: after SETR-MLA (Zheng et al., 2021, 3.2) and the shallow skips of UNETR (Hatamizadeh et al., 2022).
    """

    def __init__(self, encoder: ViT, outputs: int, width: int = 96) -> None:
        super().__init__()
        self.encoder, self.width = encoder, width
        depth = len(encoder.blocks)
        self.taken = tuple(sorted({max(1, round(depth * share)) for share in (0.25, 0.5, 0.75, 1.0)}))
        self.levels = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(encoder.width), nn.Linear(encoder.width, width)) for _ in self.taken
        )
        self.shallow = _step(1, 16, stride=2)
        self.deeper = _step(16, 32, stride=2)
        self.up_8 = _step(width, 64)
        self.up_4 = _step(64 + 32, 32)
        self.up_2 = _step(32 + 16, 16)
        self.last = nn.Conv2d(16, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.encoder.tokens_after(images, self.taken)
        mixed = sum(level(found[:, 1:]) for level, found in zip(self.levels, tokens, strict=True))
        side = images.shape[2] // self.encoder.patch_px
        maps = cast(Tensor, mixed).transpose(1, 2).reshape(-1, self.width, side, side)
        half = self.shallow(images)
        quarter = self.deeper(half)
        maps = self.up_8(_to(maps, images, 8))
        maps = self.up_4(torch.cat([_to(maps, images, 4), quarter], dim=1))
        maps = self.up_2(torch.cat([_to(maps, images, 2), half], dim=1))
        return _to(self.last(maps), images, 1)


class Chosen(nn.Module):
    """Some of a network's outputs, for export: (N, 1, S, S) → (N, len(outputs), S, S)."""

    def __init__(self, network: nn.Module, outputs: list[int]) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return torch.cat([logits[:, place : place + 1] for place in self.outputs], dim=1)


def _step(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _to(maps: Tensor, images: Tensor, fraction: int) -> Tensor:
    size = (images.shape[2] // fraction, images.shape[3] // fraction)
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


SEGMENTERS: dict[str, Callable[[int, int], nn.Module]] = {
    "unet": lambda outputs, size_px: UNet(outputs),
    "vit-tiny-16": lambda outputs, size_px: ViTSegmenter(vit("tiny", 16, outputs, size_px), outputs),
}
