"""Repeated paragraphs: exact ones, and near ones by hashed word 8-grams, in memory that does not grow with the text.

A paragraph's *shingles* are its runs of ``SHINGLE_WORDS`` words (Broder, 1997, "On the resemblance and containment of
documents"). Of their 64-bit hashes one in four is kept, chosen by its value, so that the same shingle is kept everywhere.
A paragraph is a near repetition if at least ``NEAR_DUPLICATE`` of its kept shingles were seen before; of training text also
if ``SHARED`` of them, a run of about twenty words, stand in held-out text (fewer is a turn of phrase).

``mark`` (the hashing, most of the work) can be done anywhere; ``Repetitions.seen`` (look-ups) goes through the paragraphs in
order. Hashes are kept in tables of fixed size (``HashTable``, 48 MB in all): the oldest of a row is forgotten when the row is full.
The largest table holds about four million hashes, the shingles of some 16 million words; held-out text has tables of its own
(of 4 million words), so that a long training text cannot push it out and a training paragraph that repeats it is found.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

SHINGLE_WORDS, SAMPLE = 8, 4  # words a shingle; one kept in 4
NEAR_DUPLICATE = 0.6  # share of the kept ones that a repetition has in common with earlier text
SHARED = 3  # number of the kept ones that training text may not have in common with held-out text
ROWS, WAYS = 1 << 19, 8  # of the largest table: 34 MB; less text, smaller tables (held-out text, whole paragraphs)
KEPT_CODES = 1 << 16  # word types whose crc32 is remembered

_FACTORS = np.array([pow(0x9E3779B97F4A7C15, k + 1, 1 << 64) for k in range(SHINGLE_WORDS)], np.uint64)
_codes: dict[str, int] = {}

Mark = tuple[int, np.ndarray]  # hash of the whole paragraph; hashes (S,) uint64 of its kept shingles


def mark(paragraph: str) -> Mark:
    """What ``Repetitions.seen`` needs to know of a paragraph; the same in every process (unlike Python's ``hash``)."""
    digest = hashlib.blake2b(paragraph.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1, _shingles(paragraph.split(" "))


def _shingles(words: list[str]) -> np.ndarray:
    """Hashes of the kept shingles; none for a paragraph of fewer than ``SHINGLE_WORDS`` words."""
    count = len(words) - SHINGLE_WORDS + 1
    if count < 1:
        return np.empty(0, np.uint64)
    if len(_codes) > KEPT_CODES:
        _codes.clear()
    for word in words:
        if word not in _codes:
            _codes[word] = zlib.crc32(word.encode("utf-8", "surrogatepass")) + 1
    codes = np.fromiter(map(_codes.__getitem__, words), np.uint64, len(words))  # (W,)
    mixed = np.zeros(count, np.uint64)
    for k, factor in enumerate(_FACTORS):
        mixed += codes[k : k + count] * factor  # modulo 2**64: a polynomial hash of the 8 words
    mixed ^= mixed >> np.uint64(29)
    return mixed[(mixed % np.uint64(SAMPLE) == 0) & (mixed != 0)]  # 0 marks an empty place of the table


class HashTable:
    """A set of nonzero 64-bit hashes in fixed memory: ``WAYS`` places a row, the oldest of a full row is overwritten."""

    def __init__(self, rows: int) -> None:
        self._table = np.zeros((rows, WAYS), np.uint64)
        self._filled = np.zeros(rows, np.uint8)  # hashes ever put into a row, modulo 256

    def holds(self, hashes: np.ndarray) -> np.ndarray:
        """(S,) bool."""
        return (self._table[self._rows(hashes)] == hashes[:, None]).any(1)

    def add(self, hashes: np.ndarray) -> None:
        """(S,): all at once, or one after the other where two fall into one row."""
        rows = self._rows(hashes)
        size = len(rows) if len(set(rows.tolist())) == len(rows) else 1
        for start in range(0, len(rows), max(size, 1)):
            row, value = rows[start : start + size], hashes[start : start + size]
            self._table[row, self._filled[row] % WAYS] = value
            self._filled[row] += 1

    def _rows(self, hashes: np.ndarray) -> np.ndarray:
        rows = (hashes >> np.uint64(20)) % np.uint64(len(self._table))  # the low bits chose the shingle
        return rows.astype(np.int64)


class Repetitions:
    """Paragraphs seen so far."""

    def __init__(self) -> None:
        self._tables = {  # by whether it is held-out text: whole paragraphs, shingles
            held_out: (HashTable(rows // 8), HashTable(rows)) for held_out, rows in ((False, ROWS), (True, ROWS // 4))
        }

    def seen(self, marked: Mark, held_out: bool = False) -> bool:
        """Whether the paragraph repeats earlier text; remembers it where it does not.

        ``held_out``: it belongs to the validation or test text, and is remembered apart from training text.
        """
        exact, shingles = np.array([marked[0]], np.uint64), marked[1]
        known = np.zeros(len(shingles), bool)
        for of_held_out, (paragraphs, parts) in self._tables.items():
            found = parts.holds(shingles)
            if paragraphs.holds(exact)[0] or of_held_out and not held_out and found.sum() >= SHARED:
                return True
            known |= found
        if len(shingles) and known.sum() >= NEAR_DUPLICATE * len(shingles):
            return True
        paragraphs, parts = self._tables[held_out]
        paragraphs.add(exact)
        parts.add(np.unique(shingles[~known]))
        return False
