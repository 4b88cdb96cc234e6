"""Counting instead of learning: interpolated modified Kneser-Ney n-grams (Chen & Goodman 1999), vectorised in numpy.

    p_k(w | c) = (a_k(cw) - D_k(a_k(cw))) / sum_v a_k(cv)  +  gamma_k(c) p_(k-1)(w | c without its first token),
    gamma_k(c) = (D_k1 N_1(c .) + D_k2 N_2(c .) + D_k3 N_3+(c .)) / sum_v a_k(cv),        p_0(w) = 1 / (V - 1),

where N_i(c .) is the number of tokens that followed context c exactly (3+: at least) i times, and a_k(cw) the count of
the n-gram at the highest order n, below it the number of different tokens seen before it (continuation count, Kneser &
Ney 1995); n-grams that begin with <bos> have nothing before them and keep their counts. A context never seen leaves
p_(k-1) as it is. The discounts of an order come from n_i, its number of n-grams with a = i (Chen & Goodman 1999):

    Y = n_1 / (n_1 + 2 n_2),   D_1 = 1 - 2 Y n_2/n_1,   D_2 = 2 - 3 Y n_3/n_2,   D_3+ = 3 - 4 Y n_4/n_3.

On tiny corpora an n_i may be 0 or a D_i fall outside (0, i]; such an order takes (1/2, 1, 3/2).

Documents are independent: a context ends at its document's <bos>, which is context only and never predicted. The key of
a k-gram is (id of its first k - 1 tokens among the (k-1)-grams) x V + last token: no order overflows 64 bits.
Not here: files, tokenising, pruning, other smoothings (but for add-one, the textbook's foil).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genmodels.errors import DataError, UserError
from genmodels.language.perplexity import Perplexity, summarize

FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Level:
    """The k-grams of one order, sorted by key, and what followed each of their C contexts (ids of (k-1)-grams)."""

    keys: np.ndarray  # (G,) int64: context id * V + token; at k = 1 all V tokens
    counts: np.ndarray  # (G,) int64: a_k
    totals: np.ndarray  # (C,) int64: sum of a_k over the context's followers
    kinds: np.ndarray  # (C, 3) int64: N_1, N_2, N_3+


@dataclass(frozen=True)
class KneserNey:
    """A fitted model; ``levels[k - 1]`` holds order k. ``count_of_counts`` (n, 4): n_1 ... n_4 of each order."""

    vocabulary: int
    bos: int
    levels: tuple[Level, ...]
    count_of_counts: np.ndarray
    discounts: np.ndarray  # (n, 3): D_1, D_2, D_3+ of each order; (n, 4) where n-grams were left out

    @classmethod
    def fit(
        cls, tokens: np.ndarray, offsets: np.ndarray, order: int, vocabulary: int, bos: int = 0, discounts: Any = None
    ) -> KneserNey:
        """Count the documents ``tokens[offsets[d] : offsets[d + 1]]``, each of which begins with ``bos``.

        ``discounts`` (order, 3) replaces the estimated ones (zeros at order 1 may then give a token probability 0).
        Raises ``UserError`` for a bad order, documents that hold nothing to predict, or ids that do not fit.
        """
        if order < 1:
            raise UserError(f"an n-gram model wants an order of 1 or more, got {order}")
        tokens, place = _positions(tokens, offsets, vocabulary, bos)
        # Lists by order: keys, true counts, where each k-gram first ends; ``ids``: the k-gram ending at each position.
        keys, raw, first, ids = [np.arange(vocabulary)], [np.bincount(tokens, minlength=vocabulary)], [None], tokens
        adjusted: list[np.ndarray] = []
        for k in range(2, order + 1):
            inside = np.flatnonzero(place >= k - 1)
            wanted = ids[inside - 1] * vocabulary + tokens[inside]
            types, first_use, ids_inside, counts = np.unique(wanted, True, True, True)  # indices, inverse, counts
            keys.append(types), first.append(inside[first_use]), raw.append(counts)
            adjusted.append(np.bincount(ids[first[-1]], minlength=len(keys[-2])))  # left extensions of (k-1)-grams
            if k > 2:
                adjusted[-1] += np.where(place[first[-2]] == k - 2, raw[-2], 0)  # those that begin with <bos>
            ids = np.full(len(tokens), -1)
            ids[inside] = ids_inside
        adjusted.append(raw[-1])
        adjusted[0][bos] = 0
        contexts = [1, *map(len, keys)]
        levels = tuple(_level(*parts, vocabulary) for parts in zip(keys, adjusted, contexts, range(1, order + 1)))
        of_counts = np.stack([np.bincount(np.minimum(level.counts, 5), minlength=6)[1:5] for level in levels])
        return cls(vocabulary, bos, levels, of_counts, _discounts(of_counts, discounts))

    @property
    def order(self) -> int:
        return len(self.levels)

    def log_probabilities(self, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """ln p of every token after its document's <bos>, in order, (targets,) float64."""
        tokens, place = _positions(tokens, offsets, self.vocabulary, self.bos)
        probability = np.full(len(tokens), 1 / (self.vocabulary - 1))
        for k, (level, context, here) in enumerate(zip(self.levels, *self._walk(tokens, place))):
            seen = np.flatnonzero((place >= k) & (context >= 0))
            seen = seen[level.totals[context[seen]] > 0]  # a context that only ever ended documents says nothing
            total, kinds = level.totals[context[seen]], level.kinds[context[seen]]
            count = _at(level.counts, here[seen])
            probability[seen] = (self._discounted(k, count) + kinds @ self.discounts[k] * probability[seen]) / total
        with np.errstate(divide="ignore"):  # ln 0: with imposed discounts only
            return np.log(probability[place > 0])

    def evaluate(self, tokens: np.ndarray, offsets: np.ndarray, characters: np.ndarray | None = None) -> Perplexity:
        """The measures of ``genmodels.language.perplexity.evaluate``, on the same targets."""
        return per_document(self.log_probabilities(tokens, offsets), offsets, characters)

    def matches(self, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Of every target: length of the longest n-gram ending in it that was seen in training, 0 … n, (targets,)."""
        tokens, place = _positions(tokens, offsets, self.vocabulary, self.bos)
        _, found = self._walk(tokens, place)
        return ((self.levels[0].counts[tokens] > 0) + sum((ids >= 0).astype(int) for ids in found[1:]))[place > 0]

    def add_one_log_probabilities(self, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """ln of Laplace's (count + 1) / (total + V - 1) at the highest order alone, for comparison, (targets,)."""
        tokens, place = _positions(tokens, offsets, self.vocabulary, self.bos)
        probability = np.empty(len(tokens))
        for k, (level, context, here) in enumerate(zip(self.levels, *self._walk(tokens, place)), 1):
            chosen = place == k - 1 if k < self.order else place >= k - 1  # the short begin with <bos>: true counts
            count, total = _at(level.counts, here[chosen]), _at(level.totals, context[chosen])
            probability[chosen] = (count + 1) / (total + self.vocabulary - 1)
        return np.log(probability[place > 0])

    def distribution(self, context: list[int] | np.ndarray) -> np.ndarray:
        """p(. | context) over all ids, (V,): sums to 1, and is 0 for <bos>. Only the last n - 1 tokens count."""
        context = np.asarray(context, dtype=np.int64).reshape(-1)
        if len(context) and not 0 <= context.min() <= context.max() < self.vocabulary:
            raise UserError(f"the context {context.tolist()} holds an id outside 0 … {self.vocabulary - 1}")
        probability = np.where(np.arange(self.vocabulary) == self.bos, 0.0, 1 / (self.vocabulary - 1))
        for k in range(min(self.order, len(context) + 1)):
            level, at = self.levels[k], 0
            for j, token in enumerate(context[len(context) - k :]):
                at = int(token if j == 0 else _find(self.levels[j].keys, np.array([at * self.vocabulary + token]))[0])
                if at < 0:
                    return probability  # a context not seen: no longer one was
            if total := level.totals[at]:
                low, high = np.searchsorted(level.keys, [at * self.vocabulary, (at + 1) * self.vocabulary])
                followers, count = level.keys[low:high] % self.vocabulary, level.counts[low:high]
                probability *= level.kinds[at] @ self.discounts[k] / total
                probability[followers] += self._discounted(k, count) / total
        return probability

    def restricted(self, tokens: np.ndarray, offsets: np.ndarray) -> KneserNey:
        """The part of the counts that scoring these documents touches: the same ln p on them, and only on them."""
        tokens, place = _positions(tokens, offsets, self.vocabulary, self.bos)
        kept, levels = np.arange(self.vocabulary), [self.levels[0]]
        for level, ids in zip(self.levels[1:], self._walk(tokens, place)[1][1:]):
            touched = np.unique(ids[ids >= 0])
            context = np.searchsorted(kept, level.keys[touched] // self.vocabulary)
            keys = context * self.vocabulary + level.keys[touched] % self.vocabulary
            levels.append(Level(keys, level.counts[touched], level.totals[kept], level.kinds[kept]))
            kept = touched
        return replace(self, levels=tuple(levels))

    def pruned(self, least: Sequence[int]) -> KneserNey:
        """Without the k-grams of adjusted count below ``least[k - 1]``, nor those whose context went: what they had of
        their context's total goes to the lower order, so that every distribution still sums to 1. Order ``len(least)``."""
        parts, kept, before = [], np.zeros(1, np.int64), 1  # ids of the contexts that stay, and how many there were
        for k, (level, low) in enumerate(zip(self.levels, least), 1):
            new = np.full(before, -1)
            new[kept] = np.arange(len(kept))
            context = new[level.keys // self.vocabulary] if k > 1 else np.zeros(len(level.keys), np.int64)
            stays = np.flatnonzero((context >= 0) & (level.counts >= (low if k > 1 else 0)))
            keys = context[stays] * self.vocabulary + level.keys[stays] % self.vocabulary
            totals = level.totals[kept] * (np.bincount(context[stays], minlength=len(kept)) > 0)
            parts.append((keys, level.counts[stays], totals))
            kept, before = stays, len(level.keys)
        return self.of_kept(self.vocabulary, self.bos, parts, self.count_of_counts[: len(parts)])

    @classmethod
    def of_kept(
        cls, vocabulary: int, bos: int, parts: Sequence[tuple[np.ndarray, ...]], count_of_counts: np.ndarray
    ) -> KneserNey:
        """A model of each order's keys, counts and contexts' totals; a total beyond the sum of its counts is what was
        pruned, a fourth kind of n-gram, of which all is discounted."""
        levels = []
        for k, (keys, counts, totals) in enumerate(parts, 1):
            level = _level(keys, counts, len(totals), k, vocabulary)
            gone = np.maximum(totals - level.totals, 0)
            levels.append(Level(keys, counts, totals, np.column_stack([level.kinds, gone])))
        discounts = _discounts(count_of_counts, None)
        return cls(
            vocabulary, bos, tuple(levels), count_of_counts, np.column_stack([discounts, np.ones(len(discounts))])
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as named arrays (for an npz); imposed discounts are not kept."""
        whole = {name: np.asarray(getattr(self, name)) for name in ("vocabulary", "bos", "count_of_counts")}
        parts = ((f"{name}_{k}", v) for k, level in enumerate(self.levels, 1) for name, v in vars(level).items())
        return whole | dict(parts)

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> KneserNey:
        """The model of ``to_arrays``, its discounts estimated again. ``DataError`` where these cannot be counts."""
        vocabulary, of_counts = int(arrays["vocabulary"]), arrays["count_of_counts"]
        orders = range(1, len(of_counts) + 1)
        levels = tuple(Level(*(arrays[f"{name}_{k}"] for name in Level.__annotations__)) for k in orders)
        for k, level in enumerate(levels, 1):
            rising = (np.diff(level.keys) > 0).all() and (level.keys < len(level.totals) * vocabulary).all()
            kept = _level(level.keys, level.counts, len(level.totals), k, vocabulary) if rising else level
            possible = (level.kinds @ [1, 2, 3] <= level.totals) & (kept.totals <= level.totals)
            if not (rising and possible.all() and (kept.kinds <= level.kinds).all()):
                raise DataError(f"the shipped {k}-grams contradict their contexts' totals; make the result again")
        return cls(vocabulary, int(arrays["bos"]), levels, of_counts, _discounts(of_counts, None))

    def _discounted(self, k: int, count: np.ndarray) -> np.ndarray:
        return count - np.concatenate([[0.0], self.discounts[k]])[np.minimum(count, 3)]

    def _walk(self, tokens: np.ndarray, place: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For each order and position: ids of the k - 1 tokens before it, and of the k-gram ending there (-1: none)."""
        contexts, here = [np.zeros(len(tokens), np.int64)], [tokens]
        for k, level in enumerate(self.levels[1:], 2):
            contexts.append(np.where(place >= k - 1, np.roll(here[-1], 1), -1))
            wanted = np.where(contexts[-1] >= 0, contexts[-1] * self.vocabulary + tokens, -1)
            here.append(_find(level.keys, wanted))
        return contexts, here


def per_document(log_p: np.ndarray, offsets: np.ndarray, characters: np.ndarray | None = None) -> Perplexity:
    """Per-target ln p summed to documents, and the corpus' measures; without characters, bits per character are nan."""
    counts = np.maximum(np.diff(np.asarray(offsets, dtype=np.int64)), 1) - 1
    owners = np.repeat(np.arange(len(counts)), counts)
    spelt = np.zeros(len(counts), np.int64) if characters is None else np.asarray(characters, dtype=np.int64)
    if len(spelt) != len(counts):
        raise UserError(f"{len(spelt)} character counts for {len(counts)} documents; give one count a document")
    return summarize(np.bincount(owners, weights=-log_p, minlength=len(counts)), counts, spelt)


def _positions(tokens: np.ndarray, offsets: np.ndarray, vocabulary: int, bos: int) -> tuple[np.ndarray, np.ndarray]:
    """The documents' tokens (N,) int64, and each one's place in its document (0: <bos>)."""
    tokens, offsets = np.asarray(tokens), np.asarray(offsets, dtype=np.int64)
    if len(offsets) < 2 or offsets[0] < 0 or offsets[-1] > len(tokens) or (np.diff(offsets) < 0).any():
        wanted = f"give 0 … {len(tokens)}, rising"
        raise UserError(f"{len(offsets)} offsets do not cut {len(tokens)} tokens into documents; {wanted}")
    tokens, lengths = tokens[offsets[0] : offsets[-1]].astype(np.int64), np.diff(offsets)
    place = np.arange(len(tokens)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    if not (place > 0).any():
        raise UserError(f"the {len(lengths)} documents hold no token to predict; give documents of at least two tokens")
    wrong = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if len(wrong):
        raise UserError(f"token id {wrong[0]} is outside the vocabulary 0 … {vocabulary - 1}")
    if not np.array_equal(tokens == bos, place == 0):
        raise UserError(f"every document must begin with <bos> (id {bos}) and hold it nowhere else; prepare it again")
    return tokens, place


def _level(keys: np.ndarray, counts: np.ndarray, contexts: int, k: int, vocabulary: int) -> Level:
    """Totals and kinds of the k-grams' contexts."""
    context, present = (keys // vocabulary if k > 1 else np.zeros_like(keys)), counts > 0
    kind = context[present] * 3 + np.minimum(counts[present], 3) - 1
    totals = np.bincount(context, weights=counts, minlength=contexts).astype(np.int64)
    return Level(keys, counts, totals, np.bincount(kind, minlength=3 * contexts).reshape(contexts, 3))


def _at(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """``values[ids]``, and 0 for the id -1 of what was never seen."""
    return np.append(values, 0)[ids]


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each wanted key in the sorted ``keys``, -1 where it is not."""
    if not len(keys):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _discounts(of_counts: np.ndarray, imposed: Any) -> np.ndarray:
    """(n, 3) discounts: those imposed, else the estimates, else (an order where these make no sense) the fallback."""
    if imposed is not None:
        given = np.asarray(imposed, dtype=float)
        if given.shape != (len(of_counts), 3) or not ((given >= 0) & (given <= [1, 2, 3])).all():
            raise UserError(f"discounts of shape {given.shape} do not fit: give ({len(of_counts)}, 3), 0 <= D_i <= i")
        return given
    found = np.tile(FALLBACK, (len(of_counts), 1))
    for row, (n1, n2, n3, n4) in enumerate(of_counts.tolist()):
        if min(n1, n2, n3) > 0:
            y = n1 / (n1 + 2 * n2)
            estimate = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            if all(0 < d <= i for i, d in enumerate(estimate, 1)):
                found[row] = estimate
    return found
