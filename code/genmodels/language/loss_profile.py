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
import torch

from genmodels.language.perplexity import CHUNK, evaluate, token_nll, window_plan
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
    lengths = np.diff(offsets)
    places = np.concatenate([np.arange(1, n) for n in lengths])
    of = np.repeat(np.arange(len(lengths)), lengths - 1)
    targets = np.delete(ids, offsets[:-1])
    return Profile(targets, places, of, {name: _losses(result, ids, offsets) for name, result in results.items()})


def _losses(result: Any, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    model = result.model()
    if hasattr(model, "log_probabilities"):
        return -model.log_probabilities(ids, offsets)
    return (
        _recurrent(model, ids, offsets)
        if model.context is None
        else _windowed(model, ids, offsets, result.config.window)
    )


@torch.no_grad()
def _recurrent(model: Any, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Losses of every target, document after document, all documents read side by side: one at a time would fetch all
    weights from memory for every single token."""
    order = np.argsort(-np.diff(offsets), kind="stable")
    lengths, found = np.diff(offsets)[order] - 1, [np.zeros(n - 1) for n in np.diff(offsets)]
    state = model.initial_state(len(order))
    for start in range(0, int(lengths[0]), CHUNK):
        rows = int((lengths > start).sum())  # the longest come first: who has ended leaves at the end
        width = min(CHUNK, int(lengths[0]) - start)
        batch = np.zeros(
            (rows, width + 1), np.int64
        )  # after a document's end it reads token 0, which nobody asks about
        for row, document in enumerate(order[:rows]):
            piece = ids[offsets[document] + start : offsets[document + 1]][: width + 1]
            batch[row, : len(piece)] = piece
        state = [tuple(part[:rows].contiguous() for part in layer) for layer in state]
        tokens = torch.from_numpy(batch)
        features, state = model.features(tokens[:, :-1], state)
        for row, document in enumerate(order[:rows]):
            inside = min(width, int(lengths[row]) - start)
            found[document][start : start + inside] = token_nll(
                model, features[row, :inside], tokens[row, 1 : inside + 1]
            )
    return np.concatenate(found)


@torch.no_grad()
def _windowed(model: Any, ids: np.ndarray, offsets: np.ndarray, window: int, batch: int = 16) -> np.ndarray:
    """Losses of every target under the windows of ``perplexity.window_plan``, many windows at once. A short window is
    filled up behind its end, where no position of it looks."""
    found = [np.zeros(n - 1) for n in np.diff(offsets)]
    window = min(window, model.context)
    plan = [(d, *place) for d, targets in enumerate(found) for place in window_plan(len(targets), window)]
    for first in range(0, len(plan), batch):
        group = plan[first : first + batch]
        tokens = torch.zeros(len(group), window + 1, dtype=torch.long)
        for row, (document, start, stop, _) in enumerate(group):
            piece = ids[offsets[document] + start : offsets[document] + stop + 1]
            tokens[row, : len(piece)] = torch.from_numpy(piece)
        features, _ = model.features(tokens[:, :-1])
        for row, (document, start, stop, counted) in enumerate(group):
            inside = slice(counted - start, stop - start)
            found[document][counted:stop] = token_nll(model, features[row, inside], tokens[row, 1:][inside])
    return np.concatenate(found)


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
