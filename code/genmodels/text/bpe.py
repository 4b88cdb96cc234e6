r"""Byte-level Byte-Pair Encoding, written to be read: training, encoding, decoding, and a trace of one word.

Training (Sennrich, Haddow & Birch, 2016, Algorithm 1; on bytes as in Radford et al., 2019):

1. cut the texts into pieces by ``PATTERN`` (no merge crosses a piece) and write each as its UTF-8 bytes;
2. count every adjacent pair of symbols, over all pieces, weighted by how often the piece occurs;
3. merge the commonest pair into a new symbol, everywhere; remember the merge; back to 2 until the vocabulary is full.

Encoding a piece merges, again and again, the adjacent pair that was learnt first. Decoding joins the bytes. A worked
example (symbols of one byte; spaces are symbols too):

>>> bpe = train(["aaabdaaabac"], vocabulary_size=256 + 3)
>>> [(bpe.text(a), bpe.text(b), count) for (a, b), count in zip(bpe.merges, bpe.counts)]
[('a', 'a', 4), ('a', 'b', 2), ('aa', 'ab', 2)]
>>> [bpe.text(i) for i in bpe.encode("aaabdaaabac")]
['aaab', 'd', 'aaab', 'a', 'c']

Counting again after each merge would cost merges × corpus; instead only the pieces that hold the merged pair are
touched, and a heap gives the commonest pair. Equal counts: the pair with the smaller ids wins, ids in the order of
Hugging Face ``tokenizers``, so that both learn the same merges (``tests/test_bpe.py``). Not here: special tokens;
speed (``tokenizer.py``).
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

DIGITS = "0-9۰-۹"
MARKS = r"""!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~«»،؛؟٪٫٬…–—“”‘’°×"""
# A piece is a word, a number or marks, with the one space before it. A word is everything else, so a half-space stays
# inside (GPT-2's pattern splits there). Only literal characters: Python's re and tokenizers' regex engine must agree.
PATTERN = rf" ?[^ \n{DIGITS}{MARKS}]+| ?[{DIGITS}]+| ?[{MARKS}]+|\n| +"
_PIECE = re.compile(PATTERN)
TRACED = " می‌نویسند"  # the word whose merges are followed, from bytes to tokens

# tokenizers numbers the 256 bytes with the printable ones of Latin-1 first (they stand for themselves).
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
BYTE_ORDER = bytes(_PRINTABLE + [byte for byte in range(256) if byte not in _PRINTABLE])

Pair = tuple[int, int]


def pieces(text: str) -> list[str]:
    """``text`` cut by ``PATTERN``; joined again they give ``text``."""
    return _PIECE.findall(text)


@dataclass(frozen=True)
class BPE:
    """Merges in the order learnt. Ids: ``first_id`` … +255 the bytes (in ``BYTE_ORDER``), then one id a merge."""

    merges: list[Pair]
    counts: list[int] = field(default_factory=list, repr=False)  # of each merge, when it was made
    first_id: int = 0

    @cached_property
    def ranks(self) -> dict[Pair, int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def symbols(self) -> dict[int, bytes]:
        """The bytes of every id."""
        table = {self.first_id + index: bytes([byte]) for index, byte in enumerate(BYTE_ORDER)}
        for rank, (left, right) in enumerate(self.merges):
            table[self.first_id + 256 + rank] = table[left] + table[right]
        return table

    @cached_property
    def _byte_ids(self) -> dict[int, int]:
        return {byte: self.first_id + index for index, byte in enumerate(BYTE_ORDER)}

    def text(self, symbol: int) -> str:
        """An id for the eye: its text (a space as ``_``, a half-space as ``-``), or its bytes in hexadecimal."""
        raw = self.symbols[symbol]
        try:
            return raw.decode().replace(" ", "_").replace("\u200c", "-")
        except UnicodeDecodeError:
            return " ".join(f"{byte:02X}" for byte in raw)

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``: any text, but for lone surrogates, which UTF-8 lacks (``UnicodeEncodeError``)."""
        known: dict[str, list[int]] = {}
        result: list[int] = []
        for piece in pieces(text):
            if piece not in known:
                known[piece] = self._merged([self._byte_ids[byte] for byte in piece.encode()])
            result += known[piece]
        return result

    def _merged(self, symbols: list[int]) -> list[int]:
        """One piece with all its merges made, in time n log n: a heap of mergeable places over a list of neighbours.

        The same as merging one pair everywhere and looking again (``_steps``), since a merge makes only pairs that were learnt
        later than itself.
        """
        count = len(symbols)
        after, before = list(range(1, count + 1)), list(range(-1, count - 1))
        heap = [(self.ranks[pair], place) for place, pair in enumerate(zip(symbols, symbols[1:])) if pair in self.ranks]
        heapq.heapify(heap)
        while heap:
            rank, left = heapq.heappop(heap)
            right = after[left]
            if right == count or self.ranks.get((symbols[left], symbols[right])) != rank:
                continue  # an old entry: one of the two was merged with another neighbour
            symbols[left], symbols[right] = self.first_id + 256 + rank, -1
            after[left] = after[right]
            if after[left] < count:
                before[after[left]] = left
            for place in (before[left], left):
                if place >= 0 and after[place] < count:
                    pair = symbols[place], symbols[after[place]]
                    if pair in self.ranks:
                        heapq.heappush(heap, (self.ranks[pair], place))
        return [symbol for symbol in symbols if symbol >= 0]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are no whole character become U+FFFD."""
        return b"".join(self.symbols[i] for i in ids).decode("utf-8", "replace")

    def trace(self, word: str) -> list[dict[str, Any]]:
        """How one piece is encoded: rows ``{step, rank, pair, symbols}``, from its bytes to its tokens."""
        return [
            {
                "step": step,
                "rank": None if pair is None else self.ranks[pair] + 1,
                "pair": None if pair is None else [self.text(i) for i in pair],
                "symbols": [self.text(i) for i in sequence],
            }
            for step, (pair, sequence) in enumerate(self._steps(word))
        ]

    def _steps(self, piece: str) -> Iterator[tuple[Pair | None, list[int]]]:
        """The bytes of ``piece``, then the symbols after each merge, with the merged pair."""
        sequence = [self._byte_ids[byte] for byte in piece.encode()]
        yield None, sequence
        while True:
            pairs = zip(sequence, sequence[1:])
            pair = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.merges)), default=None)
            if pair is None or pair not in self.ranks:
                return
            sequence = merge(sequence, pair, self.first_id + 256 + self.ranks[pair])
            yield pair, sequence


def merge(sequence: list[int], pair: Pair, new: int) -> list[int]:
    """``sequence`` with every ``pair`` (from the left, without overlap) replaced by ``new``."""
    result: list[int] = []
    position = 0
    while position < len(sequence):
        if sequence[position : position + 2] == [*pair]:
            result.append(new)
            position += 2
        else:
            result.append(sequence[position])
            position += 1
    return result


def train(texts: Iterable[str], vocabulary_size: int, first_id: int = 0) -> BPE:
    """Learn merges until there are ``vocabulary_size`` symbols (``first_id`` reserved ones among them) or no pair."""
    frequencies = Counter(piece for text in texts for piece in pieces(text))
    byte_ids = {byte: first_id + index for index, byte in enumerate(BYTE_ORDER)}
    sequences = [[byte_ids[byte] for byte in piece.encode()] for piece in frequencies]
    weights = list(frequencies.values())

    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)  # the pieces in which a pair occurs (or once did)
    for index, sequence in enumerate(sequences):
        for pair in zip(sequence, sequence[1:]):
            counts[pair] += weights[index]
            holders[pair].add(index)

    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    merged_counts: list[int] = []
    while heap and first_id + 256 + len(merges) < vocabulary_size:
        count, pair = heapq.heappop(heap)
        if -count != counts[pair] or count == 0:
            continue  # an old entry: the pair was pushed again with its present count
        new = first_id + 256 + len(merges)
        merges.append(pair)
        merged_counts.append(-count)
        changed: set[Pair] = set()
        for index in holders.pop(pair):
            old = sequences[index]
            sequences[index] = merge(old, pair, new)
            for neighbours in zip(old, old[1:]):
                counts[neighbours] -= weights[index]
                changed.add(neighbours)
            for neighbours in zip(sequences[index], sequences[index][1:]):
                counts[neighbours] += weights[index]
                holders[neighbours].add(index)
                changed.add(neighbours)
        for neighbours in changed:
            if counts[neighbours]:
                heapq.heappush(heap, (-counts[neighbours], neighbours))
            else:
                del counts[neighbours]
    return BPE(merges, merged_counts, first_id)
