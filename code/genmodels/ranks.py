"""This process's place among those of one data-parallel run (``torchrun``), and what it does with the others.

gloo on CPUs, nccl on GPUs. Without ``torchrun`` there is one rank and nothing here costs anything.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from genmodels.precision import is_exact

Batch = tuple[Tensor, ...]


def leads() -> bool:
    """Whether this process is the one that writes and tells: rank 0 of a ``torchrun``, or the only one."""
    return os.environ.get("RANK", "0") == "0"


class Ranks:
    """This process's place among the processes of one run (rank 0 of 1 without ``torchrun``, or when ``alone``)."""

    def __init__(self, alone: bool = False) -> None:
        self.size = 1 if alone else int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0 if alone else int(os.environ.get("RANK", "0"))
        self.local = int(os.environ.get("LOCAL_RANK", "0"))
        self.cuda = torch.cuda.is_available() and not is_exact()
        self.device = torch.device("cuda", self.local) if self.cuda else torch.device("cpu")
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.cuda else "gloo")

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
