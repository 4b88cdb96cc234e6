"""Which examples a step sees, on which rank, and what is drawn: without state, so that a resumed run equals an uninterrupted one.

Every seed is a function of (seed, purpose, counters), and so is the order of the examples: nothing random has to be carried
over. Data-parallel runs (``torchrun``) speak gloo on CPUs, nccl on GPUs; without it there is one rank, which costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Sampler

from genmodels.errors import UserError
from genmodels.system.precision import is_exact
from genmodels.system.processes import place


def seed_for(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one purpose at one moment (independent streams by sha256, no state to carry)."""
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator_for(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A CPU generator seeded by ``seed_for``."""
    return torch.Generator().manual_seed(seed_for(seed, purpose, *counters))


class BatchOrder(Sampler[list[int]]):
    """Index lists of the steps ``start … stop``: a fresh permutation each epoch, its ragged end left out."""

    def __init__(self, size: int, batch_size: int, seed: int, start: int, stop: int) -> None:
        if size < batch_size:
            found = f"the training set has {size} examples, fewer than one batch of {batch_size}"
            raise UserError(f"{found}; give a larger corpus or data set")
        self.size, self.batch_size, self.seed, self.start, self.stop = size, batch_size, seed, start, stop
        self.per_epoch = size // batch_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        current, order = -1, torch.empty(0)
        for step in range(self.start, self.stop):
            epoch, place = divmod(step, self.per_epoch)
            if epoch != current:
                current, order = epoch, torch.randperm(self.size, generator=generator_for(self.seed, "order", epoch))
            yield order[place * self.batch_size : (place + 1) * self.batch_size].tolist()


Batch = tuple[Tensor, ...]


class Ranks:
    """This process's place among the processes of one run (rank 0 of 1 without ``torchrun``, or when ``alone``)."""

    def __init__(self, alone: bool = False) -> None:
        rank, size, local = place()
        self.rank, self.size = (0, 1) if alone else (rank, size)
        self.local = local if size > 1 else 0
        self.cuda = torch.cuda.is_available() and not is_exact()
        self.device = torch.device("cuda", self.local) if self.cuda else torch.device("cpu")
        if self.local and self.cuda and self.local >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise UserError(f"LOCAL_RANK is {self.local}, and there are {count} GPUs; start as many processes")
        if self.size > 1 and not dist.is_initialized():
            try:
                dist.init_process_group("nccl" if self.cuda else "gloo")
            except (ValueError, RuntimeError) as error:  # a port that is none, an address where nobody answers
                raise UserError(f"the {size} processes cannot meet ({error}); start with torchrun") from error

    def leave(self) -> None:
        """Close the connections to the other processes."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def share(self, batch: Batch) -> Batch:
        """This rank's rows of the global batch."""
        rows = batch[0].shape[0] // self.size
        return tuple(part[self.rank * rows : (self.rank + 1) * rows] for part in batch)

    def sum(self, value: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(value)
        return value
