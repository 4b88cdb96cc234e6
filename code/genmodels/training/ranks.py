"""This process's place among those of one data-parallel run (``torchrun``), and what it does with the others.

gloo on CPUs, nccl on GPUs. Without ``torchrun`` there is one rank and nothing here costs anything.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from genmodels.errors import UserError
from genmodels.system.precision import is_exact
from genmodels.system.processes import place

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
