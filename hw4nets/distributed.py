"""Training in several processes that `torchrun` starts: each takes its part of every batch.

Weights are the same in all of them: gradients are averaged over the processes (DistributedDataParallel; gloo on a CPU,
NCCL on GPUs). Process 0 reads, measures, judges and writes; the others train.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hw4nets.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The processes of a run: this one's `rank` among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reads, measures, judges and writes."""
        return self.rank == 0

    def check_batch(self, batch: int) -> None:
        """Raise `InputError` for a batch size that is not a multiple of the number of processes."""
        if batch % self.size:
            raise InputError(f"`batch_size` is {batch}; it must be a multiple of the {self.size} processes")

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch."""
        return batch.chunk(self.size)[self.rank]

    def forward(self, model: nn.Module, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The forward pass for training: its backward pass averages gradients. Statistics come from process 0."""
        if self.size == 1 or not any(weight.requires_grad for weight in model.parameters()):
            return forward
        from torch.nn.parallel import DistributedDataParallel

        assert isinstance(forward, nn.Module)
        return DistributedDataParallel(forward)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def of_first(self, make: Callable[[], T]) -> T:
        """The result of process 0, in every process."""
        values: list[T | None] = [make() if self.first else None]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return cast("T", values[0])

    def after_first(self, make: Callable[[], T]) -> T:
        """Each process's own result, made first by process 0, so that the others find the files that it writes."""
        if self.first:
            value = make()
            self.wait()
            return value
        self.wait()
        return make()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


ALONE = Group()


def current_group() -> Group:
    """The processes of this run, if they have joined; else this one alone."""
    return Group(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else ALONE


@contextmanager
def joined_processes() -> Iterator[Group]:
    """The processes of `torchrun`, joined for the block; this one alone if it was started without."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield current_group()
        gc.collect()  # remaining objects of DistributedDataParallel have threads of the group
        current_group().wait()  # a process that ends closes the others' connections
    finally:
        dist.destroy_process_group()
