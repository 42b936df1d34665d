"""Networks that restore pictures, and what they minimise: GMML's light head, and a masked auto-encoder as its peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.learn.masking import Chance, Corruption, corrupt
from radsnap.learn.objectives import Batch, Loss, Objective
from radsnap.learn.precision import mixed
from radsnap.models.networks_vit import Block, ViT, places

Counted = Literal["corrupted", "all"]


@dataclass(frozen=True, eq=False)
class Restored:
    """Pictures as they were, as the network saw them and as it gave them back, (N, C, H, W) each; mask (N, 1, H, W)."""

    original: Tensor
    corrupted: Tensor
    restored: Tensor
    mask: Tensor


# (network, batch with `image` (N, C, H, W) and `place` (N,)) → what it made of them
View = Callable[[nn.Module, Batch], Restored]


class Restorer(nn.Module):
    """A transformer with GMML's light head: three linear layers with GELU, then each patch's pixels.

    forward: (N, C, H, W) → (N, C, H, W). The head reads the mean of what stands after `blocks` (by default the paper's 6,
    8, 10 and 12 of 12, in proportion), normalised by the transformer's own last norm. The last step is the
    published transposed convolution, whose kernel and stride are the patch: a linear layer per patch.
    """

    def __init__(self, encoder: ViT, channels: int = 1, blocks: Sequence[int] | None = None) -> None:
        super().__init__()
        depth = len(encoder.blocks)
        self.encoder = encoder.requires_grad_(True)
        encoder.head.requires_grad_(False)  # a task's own; it is not trained here
        usual = sorted({max(1, round(depth * share / 12)) for share in (6, 8, 10, 12)})
        self.read_after = tuple(blocks) if blocks is not None else tuple(usual)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(encoder.width, encoder.width), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.pixels = nn.Linear(encoder.width, channels * encoder.patch_px**2)

    def forward(self, images: Tensor) -> Tensor:
        return self.restored(self.encoder.tokens_after(images, self.read_after), images.shape)

    def restored(self, after: Sequence[Tensor], shape: torch.Size) -> Tensor:
        """Give pictures of a shape back from what stands after `blocks`, (N, 1 + patches, width) each."""
        mean = torch.stack(list(after)).mean(dim=0)[:, 1:]
        patches = self.pixels(self.layers(self.encoder.norm(mean)))
        return _from_patches(patches, shape, self.encoder.patch_px)


class Autoencoder(nn.Module):
    """A masked auto-encoder (He et al., 2022): the transformer reads only the kept patches, a light one the rest.

    forward: (N, C, H, W) and the kept patches' numbers (N, kept) → (N, C, H, W).
    """

    def __init__(self, encoder: ViT, channels: int = 1, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(True)
        encoder.head.requires_grad_(False)
        self.narrow = nn.Linear(encoder.width, width)
        self.gap = nn.Parameter(torch.zeros(1, 1, width))
        self.places: Tensor
        self.register_buffer("places", places(encoder.size_px // encoder.patch_px, width), persistent=False)
        self.blocks = nn.Sequential(
            *(Block(width, max(1, width // 64), 4 * width, 1e-6) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, channels * encoder.patch_px**2)
        nn.init.trunc_normal_(self.gap, std=0.02)

    def forward(self, images: Tensor, kept: Tensor) -> Tensor:
        embedded = self.encoder.embed(images)
        seen = embedded.gather(1, kept[..., None].expand(-1, -1, embedded.shape[2]))
        tokens = self.narrow(self.encoder.norm(self.encoder.blocks(self.encoder.with_token(seen))))[:, 1:]
        whole = self.gap.to(tokens.dtype).expand(len(images), embedded.shape[1], -1)
        whole = whole.scatter(1, kept[..., None].expand_as(tokens), tokens) + self.places
        patches = self.pixels(self.norm(self.blocks(whole)))
        return _from_patches(patches, images.shape, self.encoder.patch_px)


def _from_patches(patches: Tensor, shape: torch.Size, patch_px: int) -> Tensor:
    count, channels, height, width = shape
    maps = patches.transpose(1, 2).reshape(count, -1, height // patch_px, width // patch_px)
    assert maps.shape[1] == channels * patch_px**2
    return functional.pixel_shuffle(maps, patch_px)


def grouped(plan: Corruption, patch_px: int, seed: int) -> View:
    """Let a `Restorer` restore what `corrupt` corrupted."""

    def view(network: nn.Module, batch: Batch) -> Restored:
        images = batch["image"]
        # drawn in float32: masks and contents are data, whatever the network's precision
        with torch.autocast(images.device.type, enabled=False), torch.no_grad():
            made = corrupt(images, plan, Chance(seed, batch["place"]), patch_px)
        return Restored(images, made.pixels, network(made.pixels), made.mask)

    return view


def dropped(share: float, patch_px: int, seed: int) -> View:
    """Let an `Autoencoder` restore single patches, dropped at random; they show as 0, the mean, in `corrupted`."""

    def view(network: nn.Module, batch: Batch) -> Restored:
        images = batch["image"]
        rows, columns = images.shape[2] // patch_px, images.shape[3] // patch_px
        cells = rows * columns
        order = Chance(seed, batch["place"]).uniform("dropped", cells).argsort(dim=1)
        kept = order[:, : max(1, round(cells * (1 - share)))]
        gone = torch.ones(len(images), cells, dtype=torch.bool, device=images.device)
        gone = gone.scatter(1, kept, torch.zeros_like(kept, dtype=torch.bool)).reshape(-1, rows, columns)
        mask = gone.repeat_interleave(patch_px, dim=1).repeat_interleave(patch_px, dim=2)[:, None]
        return Restored(images, images.masked_fill(mask, 0.0), network(images, kept), mask)

    return view


def restoring(view: View, counted: Counted = "corrupted") -> Objective:
    """Mean absolute difference between restored and original pixels, of the corrupted ones or of all.

    Each picture counts the same, however much of it is corrupted, so that ranks may share a batch.
    """

    def objective(network: nn.Module, batch: Batch) -> Loss:
        seen = view(network, batch)
        value = absolute_error(seen, counted).mean()
        return Loss(value, {"l1": float(value.detach())})

    return objective


def absolute_error(seen: Restored, counted: Counted = "corrupted") -> Tensor:
    """Each picture's mean absolute difference (N,), over its corrupted pixels or over all."""
    difference = (seen.restored.float() - seen.original).abs()
    if counted == "all":
        return difference.mean(dim=(1, 2, 3))
    # where, not a product: what is not masked has no way into the gradient, whatever it holds
    inside = torch.where(seen.mask, difference, 0.0).sum(dim=(1, 2, 3))
    return inside / (seen.mask.sum(dim=(1, 2, 3)) * seen.original.shape[1]).clamp_min(1)


@torch.no_grad()
def judge_restoring(network: nn.Module, view: View, batches: Sequence[Batch]) -> dict[str, float]:
    """The masked L1 on held-out pictures, beside that of each picture's own mean; `figure` is 1 less their ratio."""
    network.eval()
    device = next(network.parameters()).device
    own, plain = [], []
    for batch in batches:
        moved = {name: value.to(device) for name, value in batch.items()}
        with mixed(device.type):
            seen = view(network, moved)
        own.append(absolute_error(seen))
        mean = seen.original.mean(dim=(1, 2, 3), keepdim=True).expand_as(seen.original)
        plain.append(absolute_error(Restored(seen.original, seen.corrupted, mean, seen.mask)))
    l1, of_mean = float(torch.cat(own).mean()), float(torch.cat(plain).mean())
    return {"l1": l1, "l1_of_mean": of_mean, "ratio": l1 / of_mean, "figure": 1 - l1 / of_mean}
