"""This process's place among those of one data-parallel run (``torchrun``), and what it does with the others.

gloo on CPUs, nccl on GPUs. Without ``torchrun`` there is one rank and nothing here costs anything.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from genmodels.errors import UserError
from genmodels.system.precision import is_exact

Batch = tuple[Tensor, ...]
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # those of torchrun that are read


def place() -> tuple[int, int, int]:
    """Rank, number of processes and rank on this machine, from torchrun's variables; (0, 1, 0) without them.

    An empty variable counts as unset. Raises ``UserError`` where they contradict each other: left by another program,
    they would make this process wait for ever, or leave its work to a rank 0 that nobody started.
    """
    given = {name: os.environ.get(name, "").strip() for name in VARIABLES}
    try:
        rank, size, local = (int(given[name] or default) for name, default in zip(VARIABLES, (0, 1, 0)))
    except ValueError:
        rank, size, local = -1, 0, 0
    missing = [name for name in VARIABLES if not given[name] and size > 1 and name != "LOCAL_RANK"]
    if missing or not 0 <= rank < size or local < 0:
        found = ", ".join(f"{name}={value}" for name, value in given.items() if value)
        lack = f", {' and '.join(missing)} not set" * bool(missing)
        way_out = f"start with torchrun, or unset {' '.join(VARIABLES)}"
        raise UserError(f"these are not torchrun's variables: {found}{lack}; {way_out}")
    return rank, size, local


def leads() -> bool:
    """Whether this process is the one that writes and tells: rank 0 of a ``torchrun``, or the only one."""
    return place()[0] == 0


class Ranks:
    """This process's place among the processes of one run (rank 0 of 1 without ``torchrun``, or when ``alone``)."""

    def __init__(self, alone: bool = False) -> None:
        rank, size, local = place()
        self.rank, self.size = (0, 1) if alone else (rank, size)
        self.local = local if size > 1 else 0
        self.cuda = torch.cuda.is_available() and not is_exact()
        self.device = torch.device("cuda", self.local) if self.cuda else torch.device("cpu")
        if self.cuda and self.local >= torch.cuda.device_count():
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
