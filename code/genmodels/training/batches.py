"""Randomness without state: every seed is a function of (seed, purpose, counters), and so is the order of the examples.

That is what makes a resumed run equal to an uninterrupted one: nothing random has to be carried over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from genmodels.errors import UserError


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
