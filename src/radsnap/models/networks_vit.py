"""A vision transformer, and the names that timm and transformers give its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.errors import WeightsError
from radsnap.models.networks import load_state

_HEAD_SIZE = 64


class ViT(nn.Module):
    """A pre-norm vision transformer (Dosovitskiy et al., 2021) with timm's names for its weights.

    forward: (N, channels, size, size) → logits (N, outputs), read from the class token, or with `average` from
    the normalised mean of the patches (as masked auto-encoders are fine-tuned).
    """

    def __init__(
        self, outputs: int, *, size_px: int, patch_px: int, width: int, depth: int, heads: int, inner: int,
        channels: int = 3, average: bool = False, epsilon: float = 1e-6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size_px = size_px
        patches = (size_px // patch_px) ** 2
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(channels, width, patch_px, patch_px))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads, inner, epsilon) for _ in range(depth)))
        self.average = average
        self.fc_norm: nn.Module = nn.LayerNorm(width, epsilon) if average else nn.Identity()
        self.norm: nn.Module = nn.Identity() if average else nn.LayerNorm(width, epsilon)
        self.head = nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        # shape[0], not len: exporters follow the one and take the other for a constant
        first = self.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.pos_embed
        tokens = self.norm(self.blocks(tokens))
        pooled = tokens[:, 1:].mean(dim=1) if self.average else tokens[:, 0]
        logits: Tensor = self.head(self.fc_norm(pooled))
        return logits


class Block(nn.Module):
    """Attention and a perceptron, each after a layer norm and added to what came in. (N, tokens, width) → the same."""

    def __init__(self, width: int, heads: int, inner: int, epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, epsilon)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, epsilon)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, inner))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(inner, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


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
        mixed = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return result


_PREFIXES = ("state_dict.", "model.", "module.", "net.", "backbone.", "vit.", "deit.")
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
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
)
_PART = re.compile(
    r"^(blocks\.\d+)\.attention\.(?:attention\.(query|key|value)|([qkv])_proj)\.(weight|bias)$"
)


def from_vit_naming(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a ViT's state dict, in timm's or transformers' naming, to `ViT`'s keys (timm's).

    transformers keeps queries, keys and values apart; here they are one layer. Its pooler, which classifiers
    do not use, is left out.
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
    return renamed


def vit_of(state: Mapping[str, Tensor], heads: int | None = None) -> ViT:
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
        inner=inner, channels=channels, average="fc_norm.weight" in renamed,
        epsilon=1e-12 if any("layernorm_before" in key for key in state) else 1e-6,
    )  # fmt: skip
    load_state(network, renamed)
    return network.eval()
