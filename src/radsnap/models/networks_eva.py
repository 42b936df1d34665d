"""EVA-X's transformer (Yao et al., 2024): rotated queries and keys, gated perceptrons; weights by timm's `Eva` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.models.networks_vit import SIZES, Attention, Block, Pool, ViT, from_vit_naming

# Rows and columns are counted as if there were so many, whatever the image's size: 224 px in patches of 16.
_GRID = 14


class EvaX(ViT):
    """A `ViT` whose attention is rotated by place and whose perceptrons are gated; for images of its own size.

    normed: whether the gated perceptrons normalise in the middle, as EVA-X base does.
    """

    def __init__(
        self, outputs: int, *, size_px: int, patch_px: int, width: int, depth: int, heads: int, inner: int,
        channels: int = 3, pool: Pool = "average", normed: bool = False, grid: int = _GRID,
    ) -> None:  # fmt: skip
        super().__init__(
            outputs, size_px=size_px, patch_px=patch_px, width=width, depth=depth, heads=heads, inner=inner,
            channels=channels, pool=pool,
        )  # fmt: skip
        for block in self.blocks:
            changed = cast(Block, block)
            changed.attn = RotaryAttention(width, heads, size_px // patch_px, grid)
            changed.mlp = Gated(width, inner, normed)


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their row and column; the class token is not."""

    def __init__(self, width: int, heads: int, side: int, grid: int) -> None:
        super().__init__(width, heads)
        self.sines: Tensor
        self.cosines: Tensor
        angles = rotations(side, width // heads, grid)
        self.register_buffer("sines", angles.sin(), persistent=False)
        self.register_buffer("cosines", angles.cos(), persistent=False)

    def placed(self, vectors: Tensor) -> Tensor:
        """Turn pairs of numbers of all tokens but the first: (N, heads, 1 + patches, width / heads)."""
        first, rest = vectors[:, :, :1], vectors[:, :, 1:]
        turned = torch.stack([-rest[..., 1::2], rest[..., ::2]], dim=-1).reshape(rest.shape)
        return torch.cat([first, (rest * self.cosines + turned * self.sines).to(first.dtype)], dim=2)


class Gated(nn.Module):
    """fc2(norm(silu(fc1_g x) · fc1_x x)): a gated perceptron (Shazeer, 2020)."""

    def __init__(self, width: int, inner: int, normed: bool) -> None:
        super().__init__()
        self.fc1_g = nn.Linear(width, inner)
        self.fc1_x = nn.Linear(width, inner)
        self.norm: nn.Module = nn.LayerNorm(inner, 1e-6) if normed else nn.Identity()
        self.fc2 = nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.fc2(self.norm(functional.silu(self.fc1_g(tokens)) * self.fc1_x(tokens)))
        return result


def rotations(side: int, width: int, grid: int) -> Tensor:
    """Angles (side², width) of a square of patches: rows in the first half, columns in the second, each angle twice."""
    count = width // 4
    rates = 10_000.0 ** (-torch.arange(count) / count)
    angles = (torch.arange(side) / side * grid)[:, None] * rates
    down, across = angles[:, None].expand(-1, side, -1), angles[None].expand(side, -1, -1)
    return torch.cat([down, across], dim=2).reshape(side * side, -1).repeat_interleave(2, dim=1)


def eva_x(size: str, outputs: int, size_px: int, channels: int = 1) -> EvaX:
    """Make the architecture of EVA-X `tiny`, `small` or `base`, patches of 16 px, pooled `patches` for heat maps."""
    made = SIZES[size]
    return EvaX(
        outputs, size_px=size_px, patch_px=16, width=made.width, depth=made.depth, heads=made.heads,
        inner=int(made.width * 8 / 3), channels=channels, pool="patches", normed=size == "base",
    )  # fmt: skip


# EVA-X's own files, from its pre-training → timm's
_RENAMED = (
    ("mlp.ffn_ln.", "mlp.norm."),
    ("mlp.w12.", "mlp.fc1."),
    ("mlp.w1.", "mlp.fc1_g."),
    ("mlp.w2.", "mlp.fc1_x."),
    ("mlp.w3.", "mlp.fc2."),
)


def from_eva_naming(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an EVA-X state dict, as its authors published it or as timm names it, to `EvaX`'s keys.

    Keys have no bias there, which changes nothing: one that is 0 is put in. Tables of angles are left out.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in from_vit_naming(state).items():
        name = key
        for old, new in _RENAMED:
            name = name.replace(old, new)
        if "rope" not in name:
            renamed[name] = value
    for name in [name for name in renamed if ".mlp.fc1." in name]:  # gate and value in one layer
        gate, value = renamed.pop(name).chunk(2)
        renamed[name.replace("fc1", "fc1_g")], renamed[name.replace("fc1", "fc1_x")] = gate, value
    for name in [name for name in renamed if name.endswith(".attn.proj.weight")]:
        _join(renamed, name.removesuffix("proj.weight"))
    return renamed


def _join(state: dict[str, Tensor], attention: str) -> None:
    """Put queries, keys and values, or their biases, into one layer."""
    weights = [state.pop(f"{attention}{part}_proj.weight", None) for part in "qkv"]
    given = [state.pop(f"{attention}{part}_proj.bias", None) for part in "qv"]
    biases = [state.pop(f"{attention}{part}_bias", other) for part, other in zip("qv", given, strict=True)]
    query, key, value = weights
    if query is not None and key is not None and value is not None:
        state[f"{attention}qkv.weight"] = torch.cat([query, key, value])
    first, last = biases
    if first is not None and last is not None:
        state[f"{attention}qkv.bias"] = torch.cat([first, torch.zeros_like(first), last])
