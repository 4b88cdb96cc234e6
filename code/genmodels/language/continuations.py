"""Continued texts: the beginnings, the ways of choosing a token, and numbers beside the reading of what comes out.

- ``distinct_n`` (Li et al. 2016, arXiv 1510.03055): share of different n-grams among all n-grams of the texts.
- ``repetition_rate``: share of a text's n-grams that occurred earlier in the same text.
- ``copied_share``: share of the texts' n-grams that occur word for word in the training tokens.
- ``topic_share``: share of the texts that lie nearer to their own beginning than to the others.
- ``longest_copy``: the longest run of tokens that occurs there.

n-grams are token n-grams and never span two texts. A text shorter than n has none; with no n-gram at all a measure is
nan. Not here: judgements of fluency or truth; no number here measures them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from genmodels.errors import UserError

PROMPTS = {
    "تاریخ": "در سدهٔ نوزدهم میلادی، پادشاه",
    "جغرافیا": "این روستای کوهستانی در شمال استان",
    "دانش": "دانشمندان برای اندازه‌گیری دمای",
    "ورزش": "در فینال جام جهانی، تیم",
    "هنر": "نخستین فیلم بلند این کارگردان جوان دربارهٔ",
    "زیست‌شناسی": "این گونهٔ کمیاب از پرندگان آبزی در",
    "اقتصاد": "با افزایش قیمت نفت، دولت",
    "رایانه": "این نرم‌افزار تازه برای کاربران تلفن همراه",
}
"""Beginnings of eight subjects, written for this report; the stage says which of them the training text holds."""

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature-0.5": {"temperature": 0.5, "top_p": 0.95},
    "temperature-0.8": {"temperature": 0.8, "top_p": 0.95},
    "temperature-1.1": {"temperature": 1.1, "top_p": 0.95},
    "greedy": {"greedy": True},
    "greedy-penalty": {"greedy": True, "repetition_penalty": 1.3},
    "plain": {},
    "top-k": {"top_k": 40},
    "top-p": {"top_p": 0.9},
    "min-p": {"min_p": 0.05},
}
"""Name -> options of ``generate``."""


_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication by it permutes the 64-bit integers


def distinct_n(texts: Sequence[Sequence[int]], n: int) -> float:
    """Different n-grams / all n-grams, over all texts together; 1 means that no n-gram is said twice."""
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition_rate(texts: Sequence[Sequence[int]], n: int = 4) -> float:
    """n-grams said earlier in the same text / all n-grams; 0 means that no text repeats itself."""
    grams = [_grams(text, n) for text in texts]
    total = sum(map(len, grams))
    return sum(len(each) - len(set(each)) for each in grams) / total if total else math.nan


def copied_share(texts: Sequence[Sequence[int]], training_tokens: np.ndarray, n: int = 8) -> float:
    """n-grams found in ``training_tokens`` (N,) / all n-grams of the texts.

    n-grams are compared by a 64-bit polynomial hash: the chance that a new one is taken for a copy is about N / 2^64.
    Time O(N), memory 8 N bytes; a million training tokens take some hundredths of a second.
    """
    return _found_share(texts, [training_tokens], n)


def longest_copy(texts: Sequence[Sequence[int]], training_tokens: np.ndarray) -> int:
    """The greatest n for which an n-gram of the texts occurs in ``training_tokens``; 0 where not even a token does."""
    low, high = 0, max(map(len, texts), default=0) + 1  # low is copied, high is not: a part of a copy is a copy
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if copied_share(texts, training_tokens, middle) > 0 else (low, middle)
    return low


def topic_share(
    starts: Sequence[Sequence[int]], texts: Sequence[Sequence[Sequence[int]]], embedding: torch.Tensor
) -> float:
    """Share of the texts that lie nearer to their own beginning than to any other, ``texts[i]`` those of ``starts[i]``.

    A text stands for the mean of its tokens' rows of ``embedding`` (V, E), from which the mean over all beginnings and
    texts is taken away (what all have in common says nothing of a topic); near is a large cosine. Blind guessing gets
    one in ``len(starts)``; nan without texts.
    """

    def mean(tokens: Sequence[int]) -> torch.Tensor:
        return embedding[torch.tensor(list(tokens))].mean(0)

    told = [(place, mean(text)) for place, samples in enumerate(texts) for text in samples if text]
    if not told:
        return math.nan
    asked, drawn = torch.stack([mean(start) for start in starts]), torch.stack([vector for _, vector in told])
    asked, drawn = asked - asked.mean(0), drawn - drawn.mean(0)
    nearest = (torch.nn.functional.normalize(drawn) @ torch.nn.functional.normalize(asked).T).argmax(1)
    return float((nearest == torch.tensor([place for place, _ in told])).double().mean())


def _found_share(texts: Sequence[Sequence[int]], known: Sequence[Sequence[int]], n: int) -> float:
    """Share of the texts' n-grams that occur in a known text; nan without n-grams."""
    _check_n(n)
    sought = np.concatenate([_hashes(np.asarray(text), n) for text in texts] or [np.zeros(0, np.uint64)])
    if not len(sought):
        return math.nan
    wanted, owners = np.unique(sought, return_inverse=True)
    found = np.zeros(len(wanted), dtype=bool)
    there = np.concatenate([_hashes(np.asarray(text), n) for text in known] or [np.zeros(0, np.uint64)])
    place = np.searchsorted(wanted, there)
    place[place == len(wanted)] = 0
    found[place[wanted[place] == there]] = True
    return float(found[owners].mean())


def _grams(text: Sequence[int], n: int) -> list[tuple[int, ...]]:
    _check_n(n)
    return [tuple(text[k : k + n]) for k in range(len(text) - n + 1)]


def _hashes(tokens: np.ndarray, n: int) -> np.ndarray:
    """(N,) tokens -> (N - n + 1,) uint64: sum_k mix(token_k) B^(n-1-k) modulo 2^64."""
    count = len(tokens) - n + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    mixed = tokens.astype(np.uint64) + np.uint64(1)
    mixed *= _BASE
    mixed ^= mixed >> np.uint64(32)  # without this the hash would be linear in the token ids
    total = np.zeros(count, np.uint64)
    for k in range(n):
        total *= _BASE
        total += mixed[k : k + count]
    return total


def _check_n(n: int) -> None:
    if n < 1:
        raise UserError(f"n-grams of {n} tokens do not exist; give n >= 1")
