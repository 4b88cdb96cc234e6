"""Cleaning a corpus: ``RULES`` on every paragraph, repeated paragraphs out, and a measurement of each rule.

``clean_paragraph`` applies the rules again until nothing changes (removing one thing may uncover another), so
cleaning is idempotent; no rule makes a text longer. A paragraph that turns out to be no Persian prose becomes the
empty string.

Repetitions: exact ones, and near ones by hashed word 8-grams (shingles; Broder, 1997, "On the resemblance and
containment of documents"), of which one in four is kept, chosen by its hash, so that the same shingle is kept
everywhere.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from operator import ne
from typing import Any

import numpy as np

from genmodels.text.rules import RULES
from genmodels.wikipedia import Document

SHINGLE_WORDS, SAMPLE, NEAR_DUPLICATE = 8, 4, 0.6  # words a shingle; one kept in 4; share of a duplicate
MAXIMUM_PASSES = 20
DUPLICATES = ("duplicates", "بند تکراری", "مدل آن را از بر می‌کند؛ و اگر در آزمون هم باشد، سنجش را خراب می‌کند.")
ORDER = {"test": 0, "validation": 1, "train": 2}  # which split's copy of a repeated paragraph stays


class Measurements:
    """Per rule: paragraphs touched, characters removed and changed, and the shortest of the first real examples."""

    def __init__(self) -> None:
        named = [(rule.name, rule.label_fa, rule.reason_fa) for rule in RULES] + [DUPLICATES]
        self.rows: dict[str, dict[str, Any]] = {
            name: {"name": name, "label": label, "reason": reason, "example": None}
            | dict.fromkeys(("paragraphs", "removed", "changed"), 0)
            for name, label, reason in named
        }

    def add(self, name: str, before: str, after: str) -> None:
        row = self.rows[name]
        row["paragraphs"] += 1
        row["removed"] += len(before) - len(after)
        if len(before) == len(after):
            row["changed"] += sum(map(ne, before, after))
        if row["example"] is None or awkwardness(row["example"]) > 60:
            example = excerpt(before, after)
            if row["example"] is None or awkwardness(example) < awkwardness(row["example"]):
                row["example"] = example


def awkwardness(example: list[str]) -> int:
    """How unfit an example is for a table: its length, and much more for phonetic letters, which few fonts draw."""
    return len(example[0]) + 1000 * any("\u0250" <= letter <= "\u02ff" for letter in example[0])


def excerpt(before: str, after: str, around: int = 14, longest: int = 90) -> list[str]:
    """What differs, with up to ``around`` characters (whole words) on both sides, as [before, after]."""
    start = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    left = before.find(" ", max(0, start - around), start) + 1 if start > around else 0
    stop = len(before) - end
    right = before.rfind(" ", stop, stop + around) if end > around else len(before)
    tail = len(before) - (right if right > stop else stop)
    pair = [before[left : len(before) - tail], after[left : len(after) - tail]]
    return [part if len(part) <= longest else part[:longest] + "…" for part in pair]


def clean_paragraph(text: str, measurements: Measurements | None = None) -> str:
    """Apply ``RULES`` until nothing changes; the empty string means that no Persian prose is left.

    Any ``str`` is accepted; the result is never longer, and cleaning it again changes nothing.
    """
    for _ in range(MAXIMUM_PASSES):
        start = text
        for rule in RULES:
            after = rule.apply(text)
            if measurements is not None and after != text:
                measurements.add(rule.name, text, after)
            text = after
            if not text:
                return ""
        if text == start:
            break
    return text


class Repetitions:
    """Paragraphs seen so far: exactly, or with ``NEAR_DUPLICATE`` of their sampled shingles."""

    _FACTORS = np.array([pow(0x9E3779B97F4A7C15, k + 1, 1 << 64) for k in range(SHINGLE_WORDS)], np.uint64)

    def __init__(self) -> None:
        self._exact: set[bytes] = set()
        self._shingles: set[int] = set()
        self._codes: dict[str, int] = {}  # crc32 of each word type (Python's own hash differs from run to run)

    def seen(self, paragraph: str) -> bool:
        """Whether the paragraph repeats an earlier one; remembers it where it does not."""
        exact = hashlib.blake2b(paragraph.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if exact in self._exact:
            return True
        shingles = self._sampled(paragraph.split(" "))
        if shingles and sum(map(self._shingles.__contains__, shingles)) >= NEAR_DUPLICATE * len(shingles):
            return True
        self._exact.add(exact)
        self._shingles.update(shingles)
        return False

    def _sampled(self, words: list[str]) -> list[int]:
        """Hashes of the kept shingles; none for a paragraph of fewer than ``SHINGLE_WORDS`` words."""
        count = len(words) - SHINGLE_WORDS + 1
        if count < 1:
            return []
        for word in words:
            if word not in self._codes:
                self._codes[word] = zlib.crc32(word.encode("utf-8", "surrogatepass")) + 1
        codes = np.fromiter(map(self._codes.__getitem__, words), np.uint64, len(words))  # (W,)
        mixed = np.zeros(count, np.uint64)
        for k, factor in enumerate(self._FACTORS):
            mixed += codes[k : k + count] * factor  # modulo 2**64: a polynomial hash of the 8 words
        mixed ^= mixed >> np.uint64(29)
        return mixed[mixed % np.uint64(SAMPLE) == 0].tolist()


def clean_documents(documents: Iterable[Document]) -> tuple[list[Document], dict[str, Any]]:
    """Clean every paragraph, drop repeated ones and empty documents; returns (documents, statistics).

    Held-out documents are remembered first: a training paragraph that repeats a test paragraph is the one that goes.
    Statistics: ``rules`` (rows in order), and documents, paragraphs, characters ``before`` and ``after``.
    """
    documents = list(documents)
    measurements, repetitions = Measurements(), Repetitions()
    cleaned: dict[int, Document] = {}
    for index in sorted(range(len(documents)), key=lambda i: ORDER[documents[i].split]):
        document, kept = documents[index], []
        for paragraph in document.paragraphs:
            text = clean_paragraph(paragraph, measurements)
            if text and repetitions.seen(text):
                measurements.add(DUPLICATES[0], text, "")
            elif text:
                kept.append(text)
        if kept:
            cleaned[index] = Document(document.split, document.title, tuple(kept))
    result = [cleaned[index] for index in sorted(cleaned)]
    return result, {"rules": list(measurements.rows.values()), "before": _size(documents), "after": _size(result)}


def _size(documents: list[Document]) -> dict[str, int]:
    paragraphs = [paragraph for document in documents for paragraph in document.paragraphs]
    return {"documents": len(documents), "paragraphs": len(paragraphs), "characters": sum(map(len, paragraphs))}
