"""The form of classical verse in numbers, with no judgement of sense: how long lines are, and whether they rhyme.

A poem is text with a half-line a line; the second half-line of every couplet carries the rhyme. Two endings rhyme here if
their last two letters are the same, spaces and half-spaces aside: a coarse rule that needs no pronunciation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ENDING = 2  # letters


def rhyme_rate(poems: Sequence[str]) -> float:
    """Share of neighbouring couplets, over all poems, whose second half-lines rhyme; 0 where no poem has two couplets."""
    ends = [[_ending(line) for line in poem.split("\n")[1::2]] for poem in poems]
    pairs = [(a, b) for of in ends for a, b in zip(of, of[1:])]
    return sum(a == b for a, b in pairs) / max(1, len(pairs))


def _ending(line: str) -> str:
    return "".join(filter(str.isalpha, line))[-ENDING:]


def line_lengths(poems: Sequence[str]) -> np.ndarray:
    """Characters of every line of all poems, (lines,)."""
    return np.array([len(line) for poem in poems for line in poem.split("\n")])


def form(poems: Sequence[str]) -> dict[str, float]:
    """``rhyme_rate``, mean and standard deviation of the lines' lengths, and the number of couplets."""
    lengths = line_lengths(poems)
    couplets = sum(len(poem.split("\n")) // 2 for poem in poems)
    return {
        "rhyme_rate": rhyme_rate(poems),
        "line_characters": float(lengths.mean()),
        "line_characters_deviation": float(lengths.std()),
        "couplets": couplets,
    }


def shuffled(poems: Sequence[str], seed: int) -> list[str]:
    """The same lines dealt out anew over all poems, each as long as it was: what chance rhymes."""
    lines = [line for poem in poems for line in poem.split("\n")]
    mixed = iter(np.random.RandomState(seed).permutation(len(lines)))
    return ["\n".join(lines[next(mixed)] for _ in poem.split("\n")) for poem in poems]
