"""The processes of one distributed run, as torchrun starts them; most runs have just one.

Every process takes the same steps with its share of each batch, and PyTorch's
DistributedDataParallel averages the gradients. What only one may do (write files, talk to people)
the first does; what all must do alike (when to stop, what the clock says) the first decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from maskwright.errors import ConfigError

__all__ = [
    "Processes",
    "is_first_process",
    "join_processes",
    "num_local_processes",
    "num_processes",
    "num_restarts",
]

T = TypeVar("T")


def num_processes() -> int:
    """How many processes torchrun has started for this run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def num_local_processes() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process writes the files and talks to people."""
    return int(os.environ.get("RANK", "0")) == 0


def num_restarts() -> int:
    """How often torchrun has started the processes again after one of them died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


class Processes:
    """The processes of a run; without others, everything is done at once and alone.

    Args:
        rank: Number of this process, from 0.
        count: How many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to people."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            dist.barrier()

    def agree(self, value: T) -> T:
        """Return the first process's value in all of them; it is pickled."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in one of the processes, at least."""
        return any(self.gather(flag))

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank, in each of them; they are pickled."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes, element by element."""
        if self.count == 1:
            return values
        total = values.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def share(self, items: Sequence[T] | range) -> Sequence[T] | range:
        """Return this process's share: every `count`-th item from its rank on."""
        return items[self.rank :: self.count]

    def wrap(self, model: nn.Module, *, sync_batch_norm: bool = False) -> nn.Module:
        """Return the model as `fit` should call it: gradients become means over the processes.

        The weights of the first process are copied to the others.

        Args:
            model: On its device.
            sync_batch_norm: Batch norms see the pictures of all processes.

        Raises:
            ConfigError: Synchronised batch norms on a device for which PyTorch has none.
        """
        if self.count == 1:
            return model
        device = next(model.parameters()).device
        if sync_batch_norm:
            if device.type != "cuda":
                raise ConfigError(
                    f"sync_batch_norm works on cuda only, the model is on {device.type}: leave it "
                    "off, or use a backbone whose batch norms are frozen"
                )
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        # A picture without objects leaves the mask head without a gradient.
        return DistributedDataParallel(model, find_unused_parameters=True)

    @staticmethod
    def without_exchange(model: nn.Module) -> AbstractContextManager[None]:
        """Leave out the exchange of gradients in the block: more of the batch is to come."""
        if isinstance(model, DistributedDataParallel):
            return model.no_sync()
        return nullcontext()


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Join the other processes of the run, as torchrun's environment variables say.

    Args:
        device: Where this process trains: decides how gradients travel.
    """
    if num_processes() == 1:
        yield Processes()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, rank, count = next(rendezvous("env://"))
    # torchrun keeps one store over its restarts: the addresses of dead processes are still in it.
    store = PrefixStore(f"restart {num_restarts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
