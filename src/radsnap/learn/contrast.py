"""SiT's contrastive teacher: a slow copy of the network says what it sees in another view of the same picture.

The student sees a corrupted view and restores it; from its class token it must also tell which of the batch's pictures the
teacher saw, uncorrupted and varied otherwise. Source: Atito, Awais & Kittler, SiT: Self-supervised vision transformer,
2021; the teacher after He et al., MoCo, 2020, the loss after van den Oord et al., 2018 (InfoNCE).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from radsnap.learn.data import Batch
from radsnap.learn.masking import Chance, Corruption, corrupt
from radsnap.learn.objectives import Loss, Objective
from radsnap.learn.ranks import Ranks
from radsnap.learn.reconstruction import Counted, Restored, Restorer, absolute_error
from radsnap.models.networks_vit import ViT
from radsnap.seeds import stream

# The batch's entry with the other view of each picture.
OTHER = "other"


class Taught(Restorer):
    """A restorer with a teacher, whose state is part of the network's: it is saved, resumed and shared like the rest.

    forward: as `Restorer`. momentum: the share of its old weights that the teacher keeps at a first step; it rises to 1 by
    a half cosine.
    """

    def __init__(
        self, encoder: ViT, channels: int = 1, blocks: Sequence[int] | None = None, dimensions: int = 256,
        momentum: float = 0.996,
    ) -> None:  # fmt: skip
        super().__init__(encoder, channels, blocks)
        self.momentum = momentum
        self.projection = nn.Sequential(
            nn.Linear(encoder.width, encoder.width), nn.GELU(), nn.Linear(encoder.width, dimensions)
        )
        student = nn.ModuleDict({"encoder": encoder, "projection": self.projection})
        self.teacher = copy.deepcopy(student).requires_grad_(False)

    def query(self, corrupted: Tensor) -> tuple[Tensor, Tensor]:
        """Restore pictures and say what is in them: (N, C, H, W) and directions (N, dimensions) of length 1."""
        depth = len(self.encoder.blocks)
        after = self.encoder.tokens_after(corrupted, {*self.read_after, depth})
        restored = self.restored(after[: len(self.read_after)], corrupted.shape)
        return restored, _direction(self.encoder, self.projection, after[-1])

    @torch.no_grad()
    def key(self, pictures: Tensor) -> Tensor:
        """What the teacher sees in pictures (N, C, H, W): directions (N, dimensions) of length 1, without a gradient."""
        self.teacher.eval()  # the loop puts the whole network into training
        encoder, projection = self.teacher["encoder"], self.teacher["projection"]
        assert isinstance(encoder, ViT)
        return _direction(encoder, projection, encoder.tokens(pictures))

    def teach(self, step: int, steps: int) -> None:
        """Let the teacher follow after a step of so many."""
        student = nn.ModuleDict({"encoder": self.encoder, "projection": self.projection})
        follow(self.teacher, student, keep_at(step, steps, self.momentum))


def _direction(encoder: ViT, projection: nn.Module, tokens: Tensor) -> Tensor:
    return functional.normalize(projection(encoder.norm(tokens)[:, 0]).float(), dim=1)


def keep_at(step: int, steps: int, first: float) -> float:
    """The share of old weights that a teacher keeps at a step: from first to 1 by a half cosine."""
    return 1 - (1 - first) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, keep: float) -> None:
    """Move a teacher's parameters and buffers towards a student's; what is counted in whole numbers is copied."""
    new = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(new[name], 1 - keep)
        else:
            value.copy_(new[name])


def info_nce(queries: Tensor, keys: Tensor, own: Tensor, temperature: float = 0.2) -> Tensor:
    """Cross-entropy of finding each query's key among all: queries (N, D) and keys (M, D) of length 1, own (N,) its number."""
    return functional.cross_entropy(queries @ keys.T / temperature, own)


def contrasting(
    plan: Corruption, patch_px: int, seed: int, counted: Counted = "corrupted", weight: float = 1.0,
    temperature: float = 0.2, ranks: Ranks = Ranks(),  # noqa: B008  frozen
) -> Objective:  # fmt: skip
    """Mean absolute difference of both restored views, plus a weight times InfoNCE between each and the other's key.

    batch: `image` and `other` (N, C, H, W), two views of the same pictures, and `place` (N,). Keys of all ranks
    are compared with, so that ranks that share a batch look for the same among as many. The network is a `Taught`.
    """
    second_seed = int(stream(seed, "other view").integers(2**31))

    def objective(network: nn.Module, batch: Batch) -> Loss:
        assert isinstance(network, Taught)
        views = (batch["image"], batch[OTHER])
        keys = [ranks.gather(network.key(pictures)) for pictures in views]
        own = ranks.rank * len(views[0]) + torch.arange(len(views[0]), device=views[0].device)
        l1 = contrast = views[0].new_zeros((), dtype=torch.float32)
        for pictures, chance, others in zip(views, (seed, second_seed), keys[::-1], strict=True):
            with torch.autocast(pictures.device.type, enabled=False), torch.no_grad():
                made = corrupt(pictures, plan, Chance(chance, batch["place"]), patch_px)
            restored, queries = network.query(made.pixels)
            l1 = l1 + absolute_error(Restored(pictures, made.pixels, restored, made.mask), counted).mean() / 2
            contrast = contrast + info_nce(queries, others, own, temperature) / 2
        return Loss(l1 + weight * contrast, {"l1": float(l1.detach()), "contrast": float(contrast.detach())})

    return objective
