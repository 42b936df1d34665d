"""A vision transformer, and the names that timm and transformers give its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.errors import UsageError

Pool = Literal["token", "average", "patches"]


@dataclass(frozen=True)
class Sizes:
    """A vision transformer's sizes: `inner` is the width inside the perceptrons."""

    width: int
    depth: int
    heads: int
    inner: int


# Touvron et al., 2021: DeiT's tiny, small and base, all with heads of 64
SIZES = {"tiny": Sizes(192, 12, 3, 768), "small": Sizes(384, 12, 6, 1536), "base": Sizes(768, 12, 12, 3072)}
PATCHES_PX = (8, 14, 16)


class ViT(nn.Module):
    """A pre-norm vision transformer (Dosovitskiy et al., 2021) with timm's names for its weights.

    forward: (N, channels, H, W), sides of whole patches → logits (N, outputs). pool says what the linear layer
    reads: the normalised class `token`; the `average` of the patches, normalised (as masked auto-encoders are
    fine-tuned); or the mean of the normalised `patches`, which gives heat maps in closed form (`WithHeatMaps`).
    """

    def __init__(
        self, outputs: int, *, size_px: int, patch_px: int, width: int, depth: int, heads: int, inner: int,
        channels: int = 3, pool: Pool = "token", epsilon: float = 1e-6,
    ) -> None:  # fmt: skip
        super().__init__()
        if size_px % patch_px:
            raise UsageError(
                f"{size_px} px are no whole number of patches of {patch_px} px; "
                f"the nearest are {size_px // patch_px * patch_px} and {(size_px // patch_px + 1) * patch_px}"
            )
        self.size_px, self.patch_px, self.width, self.pool = size_px, patch_px, width, pool
        side = size_px // patch_px
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(channels, width, patch_px, patch_px))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.cat([torch.zeros(1, 1, width), places(side, width)], dim=1))
        self.blocks = nn.Sequential(*(Block(width, heads, inner, epsilon) for _ in range(depth)))
        self.fc_norm: nn.Module = nn.LayerNorm(width, epsilon) if pool == "average" else nn.Identity()
        self.norm: nn.Module = nn.Identity() if pool == "average" else nn.LayerNorm(width, epsilon)
        self.head = nn.Linear(width, outputs)
        self.apply(_start)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def set_drop_path(self, chance: float) -> None:
        """Let a sample go around the last block by this chance in training, around earlier ones more rarely.

        Source: Huang et al., 2016, stochastic depth, rising in a line from 0.
        """
        for number, block in enumerate(self.blocks):
            cast(Block, block).drop_path = chance * number / max(1, len(self.blocks) - 1)

    @property
    def out(self) -> nn.Linear:
        """The last layer, by the name that it has in every network."""
        return self.head

    def embed(self, images: Tensor) -> Tensor:
        """Cut images into patches with their places: (N, channels, H, W) → (N, patches, width), no class token."""
        maps: Tensor = self.patch_embed(images)
        tokens = maps.flatten(2).transpose(1, 2)
        # int: the tracer's sizes are tensors
        return tokens + positions(self.pos_embed[:, 1:], (int(maps.shape[2]), int(maps.shape[3])))

    def with_token(self, patches: Tensor) -> Tensor:
        """Put the class token in front: (N, n, width) → (N, n + 1, width)."""
        first = self.cls_token + self.pos_embed[:, :1]
        # shape[0], not len: exporters follow the one and take the other for a constant
        return torch.cat([first.expand(patches.shape[0], -1, -1), patches], dim=1)

    def tokens(self, images: Tensor) -> Tensor:
        """Everything but the last norm and layer: (N, channels, H, W) → (N, 1 + patches, width)."""
        result: Tensor = self.blocks(self.with_token(self.embed(images)))
        return result

    def tokens_after(self, images: Tensor, blocks: Collection[int]) -> list[Tensor]:
        """What stands after some blocks, counted from 1, in their order: (N, 1 + patches, width) each."""
        tokens = self.with_token(self.embed(images))
        kept = []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if number in blocks:
                kept.append(tokens)
        return kept

    def feature_maps(self, images: Tensor) -> Tensor:
        """The normalised patches as maps (N, width, H / patch, W / patch)."""
        normed: Tensor = self.norm(self.tokens(images))
        rows, columns = (int(side) // self.patch_px for side in images.shape[2:])
        return normed[:, 1:].transpose(1, 2).reshape(-1, self.width, rows, columns)

    def to_logits(self, maps: Tensor) -> Tensor:
        """From `feature_maps` to logits (N, outputs), where `patches` are pooled."""
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        if self.pool == "patches":
            return self.to_logits(self.feature_maps(images))
        tokens = self.norm(self.tokens(images))
        pooled = tokens[:, 1:].mean(dim=1) if self.pool == "average" else tokens[:, 0]
        logits: Tensor = self.head(self.fc_norm(pooled))
        return logits


def vit(size: str, patch_px: int, outputs: int, size_px: int, channels: int = 1) -> ViT:
    """Make radsnap's own transformer: `tiny`, `small` or `base`, patches of 8, 14 or 16 px, pooled `patches`."""
    made = SIZES[size]
    return ViT(
        outputs, size_px=size_px, patch_px=patch_px, width=made.width, depth=made.depth, heads=made.heads,
        inner=made.inner, channels=channels, pool="patches",
    )  # fmt: skip


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def places(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column (1, side², width), where positions start from. Source: MoCo v3, 2021."""
    quarter = width // 4
    rates = 10_000.0 ** (-torch.arange(quarter) / quarter)
    angles = torch.arange(side)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    down, across = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    both = torch.cat([across, down], dim=2).reshape(1, side * side, -1)
    return functional.pad(both, (0, width - both.shape[2]))


def positions(embedded: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring positions of a square (1, side², width) to another grid (1, rows · columns, width), by cubic curves."""
    side = math.isqrt(int(embedded.shape[1]))
    if grid == (side, side):
        return embedded
    square = embedded.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    moved = functional.interpolate(
        square, grid, mode="bicubic", align_corners=False, antialias=grid[0] < side
    )
    return moved.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1).to(embedded.dtype)


def to_channels(filters: Tensor, channels: int) -> Tensor:
    """Give first filters (width, c, h, w) another number of channels, so that a grey image, repeated, says the same.

    Three colours are summed to one grey; one grey is shared out among three.
    """
    if filters.shape[1] == channels:
        return filters
    return filters.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1).contiguous() / channels


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to what came in. (N, tokens, width) → the same."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.drop_path = 0.0
        self.norm1 = nn.LayerNorm(width, epsilon)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, epsilon)
        self.mlp: nn.Module = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, inner))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(inner, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._or_around(self.attn(self.norm1(tokens)))
        result: Tensor = tokens + self._or_around(self.mlp(self.norm2(tokens)))
        return result

    def _or_around(self, change: Tensor) -> Tensor:
        if not self.training or not self.drop_path:
            return change
        kept = torch.rand(change.shape[0], 1, 1, device=change.device) >= self.drop_path
        return change * kept / (1 - self.drop_path)


class Attention(nn.Module):
    """Self-attention of several heads, with queries, keys and values from one layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        shape = (count, length, 3, self.heads, width // self.heads)
        query, key, value = self.qkv(tokens).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)
        query, key = self.placed(query), self.placed(key)
        # the fused kernel's way back on CPUs takes five times as long as two products of matrices (torch 2.13)
        plain = self.training and query.device.type == "cpu"
        mixed = (_attend if plain else functional.scaled_dot_product_attention)(query, key, value)
        result: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return result

    def placed(self, vectors: Tensor) -> Tensor:
        """Bring places into queries and keys, (N, heads, tokens, width / heads); here they came with the tokens."""
        return vectors


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q · k / √width) · v, as `scaled_dot_product_attention` gives it."""
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    mixed: Tensor = weights.softmax(dim=-1).to(value.dtype) @ value
    return mixed


_PREFIXES = ("state_dict.", "model.", "module.", "net.", "backbone.", "vit.", "deit.", "dinov2.")
# transformers' names (of version 4, as most published files have them, and of 5) → timm's, after the prefixes
_RENAMED = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
)
_PART = re.compile(
    r"^(blocks\.\d+)\.attention\.(?:attention\.(query|key|value)|([qkv])_proj)\.(weight|bias)$"
)


def from_vit_naming(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a ViT's state dict, in timm's or transformers' naming, to `ViT`'s keys (timm's).

    transformers keeps queries, keys and values apart; here they are one layer. Its pooler, which classifiers
    do not use, is left out. The scales of branches that DINOv2 has (RAD-DINO) are multiplied into the layers that
    they follow, to the same outputs.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        name = key
        while name.startswith(_PREFIXES):
            name = name.split(".", 1)[1]
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        part = _PART.match(name)
        if part:
            parts.setdefault(f"{part[1]}.attn.qkv.{part[4]}", {})[(part[2] or part[3])[0]] = value
        elif not name.startswith("pooler."):
            renamed[name] = value
    for name, three in parts.items():
        if set(three) == {"q", "k", "v"}:
            renamed[name] = torch.cat([three["q"], three["k"], three["v"]])
    for name in [name for name in renamed if name.endswith((".ls1.gamma", ".ls2.gamma"))]:
        layer = name.replace(".ls1.gamma", ".attn.proj").replace(".ls2.gamma", ".mlp.fc2")
        if {f"{layer}.weight", f"{layer}.bias"} <= set(renamed):
            scale = renamed.pop(name)
            renamed[f"{layer}.weight"] = renamed[f"{layer}.weight"] * scale[:, None]
            renamed[f"{layer}.bias"] = renamed[f"{layer}.bias"] * scale
    return renamed
