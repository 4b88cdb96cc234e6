"""What a check may say, and when draws made again count as the same.

A check holds, is contradicted, or was not made here (no data, no bf16, …): whatever has ``passed``, true, false or ``None``.
Only a contradiction is a failure.

A draw turns a number into a pixel or a token: 1 where u < p, the token whose stretch of the cumulative distribution
holds u, the likeliest one. Another way of computing, or another processor, gives the same probabilities and logits but
for rounding, so that a draw comes out otherwise only where its number lies that near to a border. Each draw is therefore
measured by its *gap*: how far its number lies from where it would have given what was drawn; 0 where it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

HOLDS, CONTRADICTED, UNCHECKED = "holds", "contradicted", "not checked here"
MARKS = {HOLDS: "ok  ", CONTRADICTED: "FAIL", UNCHECKED: "--  "}  # at the beginning of a line of ``verify``


class Made(Protocol):
    """A check that was made, of ``verify`` or of the document."""

    @property
    def passed(self) -> bool | None: ...


def kind(made: Made) -> str:
    """``HOLDS``, ``CONTRADICTED`` or ``UNCHECKED``."""
    if made.passed is None:
        return UNCHECKED
    return HOLDS if made.passed else CONTRADICTED


def held(total: int, unchecked: int) -> str:
    """The line at the end of a command whose checks were not contradicted."""
    return f"all {total - unchecked} checks hold" + (f", {unchecked} not checked here" if unchecked else "")


# Of a probability or a logit. Between SSE4.1 and AVX2, probabilities of shipped networks differ by 9e-7, logits by 6e-6.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Again:
    """Draws made again: how many, and how many of them come out otherwise, beyond rounding or within it."""

    draws: int = 0
    differing: int = 0
    ties: int = 0

    @classmethod
    def of(cls, gaps: Tensor) -> Again:
        """From the gaps of any shape; one that is no number differs."""
        agreeing, near = int((gaps == 0).sum()), int((gaps <= ROUNDING).sum())
        return cls(gaps.numel(), gaps.numel() - near, near - agreeing)

    def __add__(self, other: Again) -> Again:
        return Again(self.draws + other.draws, self.differing + other.differing, self.ties + other.ties)

    @property
    def holds(self) -> bool:
        """Something was drawn, and nothing comes out otherwise but ties."""
        return self.draws > 0 and not self.differing

    def __str__(self) -> str:
        ties = f", and {self.ties} within rounding" if self.ties else ""
        return f"{self.differing} of {self.draws} draws come out otherwise{ties}"
