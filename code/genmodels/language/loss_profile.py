"""Where the loss comes from: each test token's loss under every model, by how often the token was seen in training, by
its part in the word, and by how much text stands before it.

All models are aligned on the same targets (every token of a test document but <bos>, as in ``perplexity.py``), so that
their losses can be compared one by one. Computed from shipped results; nothing is read or trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from genmodels.language.perplexity import evaluate, target_counts, target_losses
from genmodels.text.tokenizer import Tokenizer

FREQUENCIES = (0, 10, 100, 1000, 10_000)  # lower edges: occurrences of the target in the training text
POSITIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)  # lower edges: tokens before the target, <bos> among them
PARTS = ("word", "continuation", "punctuation", "digits", "border")


@dataclass(frozen=True)
class Profile:
    """``tokens``, ``places`` (tokens before the target in its document) and ``documents``: (N,) each; ``losses[model]``
    (N,), nats."""

    tokens: np.ndarray
    places: np.ndarray
    documents: np.ndarray
    losses: dict[str, np.ndarray]

    def by(self, groups: np.ndarray, names: Sequence[Any]) -> pd.DataFrame:
        """Share of the targets and mean loss under each model, a row for every group that occurs; ``groups`` (N,) index
        ``names``."""
        rows = {
            names[g]: {"share": (groups == g).mean()}
            | {name: nll[groups == g].mean() for name, nll in self.losses.items()}
            for g in range(len(names))
            if (groups == g).any()
        }
        return pd.DataFrame.from_dict(rows, orient="index")


def profile(results: Mapping[str, Any], documents: int | None = None) -> Profile:
    """The losses of shipped results (``ngram`` or a network's) on the first ``documents`` (default: all) of the test
    documents that the first of them ships; those that were measured on other documents are left out.
    """
    first = next(iter(results.values())).slice
    ids, offsets = first["test_ids"].astype(np.int64), first["test_offsets"]
    results = {
        name: result
        for name, result in results.items()
        if np.array_equal(result.slice["test_ids"], ids) and np.array_equal(result.slice["test_offsets"], offsets)
    }
    offsets = offsets if documents is None else offsets[: documents + 1]
    ids = ids[: offsets[-1]]
    counts = target_counts(offsets)
    places = np.concatenate([np.arange(1, n + 1) for n in counts])
    of = np.repeat(np.arange(len(counts)), counts)
    targets = np.delete(ids, offsets[:-1])
    return Profile(targets, places, of, {name: _losses(result, ids, offsets) for name, result in results.items()})


def _losses(result: Any, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    model = result.model()
    if hasattr(model, "log_probabilities"):
        return -model.log_probabilities(ids, offsets)
    window = None if model.context is None else min(result.config.window, model.context)
    return target_losses(model, ids, offsets, window)


def by_frequency(found: Profile, counts: np.ndarray) -> pd.DataFrame:
    """By the target's occurrences in the training text, ``counts`` (V,); the row's name is the band's lower edge."""
    return found.by(np.searchsorted(FREQUENCIES, counts[found.tokens], side="right") - 1, FREQUENCIES)


def by_position(found: Profile) -> pd.DataFrame:
    """By the number of tokens before the target; the row's name is the band's lower edge."""
    return found.by(np.searchsorted(POSITIONS, found.places, side="right") - 1, POSITIONS)


def part_of_word(token: str) -> int:
    """Index into ``PARTS`` of what a token's text is. A word begins with a space or a line; ``""`` is <eos>."""
    letters = token.strip(" \u200c\n")
    if not letters:
        if token and "\n" not in token:  # a lone space begins a word, a lone half-space goes on with one
            return PARTS.index("word" if token[0] == " " else "continuation")
        return PARTS.index("border")  # the end of a paragraph or of the document
    if letters.isnumeric():
        return PARTS.index("digits")
    if not any(character.isalpha() or character == "\ufffd" for character in letters):
        return PARTS.index("punctuation")
    return PARTS.index("word" if token[0] in " \n" else "continuation")


def by_part(found: Profile, tokenizer: Tokenizer) -> pd.DataFrame:
    """By the target's part in the word. The first token of a paragraph has no space before it and counts as a word's."""
    parts = np.array([part_of_word(tokenizer.decode([i])) for i in range(tokenizer.vocabulary_size)])[found.tokens]
    ends = np.array(["\n" in tokenizer.decode([i]) for i in range(tokenizer.vocabulary_size)])[found.tokens]
    after = np.concatenate([[True], ends[:-1]]) | (found.places == 1)
    parts[after & (parts == PARTS.index("continuation"))] = PARTS.index("word")
    return found.by(parts, PARTS)


def count_words(result: Any, tokenizer: Tokenizer) -> int:
    """Words, separated by white space, of the shipped test documents (byte-level BPE decodes exactly)."""
    ids, offsets = result.slice["test_ids"], result.slice["test_offsets"]
    return sum(len(tokenizer.decode(ids[a:b]).split()) for a, b in zip(offsets[:-1], offsets[1:]))


def limited_context(result: Any, contexts: Sequence[int], documents: int) -> dict[int, float]:
    """Mean loss of a Transformer on the first test documents when its window is cut to each of ``contexts`` tokens.

    Windows move on by half, so that a target sees at least half of the window.
    """
    offsets = result.slice["test_offsets"][: documents + 1]
    ids, model = result.slice["test_ids"][: offsets[-1]], result.model()
    return {context: evaluate(model, ids, offsets, context=context).loss for context in contexts}


@dataclass(frozen=True)
class Word:
    """A word of a passage: its text, its tokens, and the loss of each of them under every model (nats)."""

    text: str
    pieces: tuple[str, ...]
    by_piece: dict[str, tuple[float, ...]]

    @property
    def losses(self) -> dict[str, float]:
        """The word's loss under every model: the sum over its tokens."""
        return {name: sum(losses) for name, losses in self.by_piece.items()}


def passage(found: Profile, tokenizer: Tokenizer, document: int, count: int) -> list[Word]:
    """The first ``count`` words of a test document with their losses; pieces that are one word are summed."""
    inside = np.flatnonzero(found.documents == document)
    words: list[list[int]] = []
    for at in inside:
        text = tokenizer.decode([found.tokens[at]])
        if not words or text[:1] in (" ", "\n"):
            if len(words) == count:
                break
            words.append([])
        words[-1].append(at)
    return [
        Word(
            tokenizer.decode(found.tokens[word]).strip(),
            tuple(tokenizer.decode([i]).strip() for i in found.tokens[word]),
            {name: tuple(map(float, nll[word])) for name, nll in found.losses.items()},
        )
        for word in words
    ]
