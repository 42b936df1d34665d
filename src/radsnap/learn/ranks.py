"""Several processes that fit one network, on one machine or many: what of torch.distributed a training sees."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from radsnap.errors import UsageError
from radsnap.learn.data import Example

T = TypeVar("T")
# The leader validates while the others wait.
_PATIENCE = datetime.timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training: rank of world. Alone it is 0 of 1."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process validates, reports and writes."""
        return self.rank == 0

    def share(self, examples: Dataset[Example], batch_size: int) -> Dataset[Example]:
        """Give this rank's part of every batch: of batch k the places rank · n to (rank + 1) · n, n = batch / world.

        So a batch holds the same examples whatever the number of ranks. Raises UsageError when it cannot be shared out.
        """
        if self.world == 1:
            return examples
        if batch_size % self.world:
            raise UsageError(
                f"a batch of {batch_size} images cannot be shared by {self.world} processes; give a multiple of it"
            )
        return _Share(examples, batch_size, batch_size // self.world, self.rank)

    def together(self, module: nn.Module) -> nn.Module:
        """Wrap a module whose forward is the loss: its gradients become the mean over the ranks'."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Put the ranks' tensors (N, ...) under one another, the same for all ranks; without a gradient."""
        if self.world == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world)]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Add up the ranks' tensors, the same for all ranks; without a gradient."""
        if self.world == 1:
            return values
        added = values.clone()
        distributed.all_reduce(added)
        return added

    def agree(self, value: T) -> T:
        """Give every rank what the leader has."""
        if self.world == 1:
            return value
        said = [value]
        distributed.broadcast_object_list(said, src=0)
        return said[0]


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started, by its environment variables; alone without them.

    Each takes the GPU of its local rank (NCCL), or a share of the cores (gloo).
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    graphics = torch.cuda.is_available()
    if graphics:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, world = next(rendezvous("env://", timeout=_PATIENCE))
    # torchrun may keep its store when it starts ranks again: in it the addresses of those before them still stand
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    distributed.init_process_group(
        "nccl" if graphics else "gloo",
        store=PrefixStore(f"attempt {attempt}", store),
        rank=rank,
        world_size=world,
        timeout=_PATIENCE,
    )
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


class _Share(Dataset[Example]):
    """A rank's part of a data set that is read in batches."""

    def __init__(self, examples: Dataset[Example], batch: int, part: int, rank: int) -> None:
        self.examples, self.batch, self.part, self.rank = examples, batch, part, rank

    def __len__(self) -> int:
        whole: int = len(self.examples)  # type: ignore[arg-type]
        return whole // self.batch * self.part

    def __getitem__(self, place: int) -> Example:
        batch, inside = divmod(place, self.part)
        return self.examples[batch * self.batch + self.rank * self.part + inside]
