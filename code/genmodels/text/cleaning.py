"""Cleaning a corpus: ``RULES`` on every paragraph, repeated paragraphs out, and a measurement of each rule.

``clean_paragraph`` applies the rules again until nothing changes (removing one thing may uncover another), so
cleaning is idempotent. A paragraph that turns out to be no Persian prose becomes the empty string. The time it takes grows in
proportion to the text, whatever stands in it: every rule is linear, and the number of passes has a bound. ``Cleaning``
takes a stream of documents through it, in worker processes if there are any; what it keeps is of fixed size (``repetitions.py``).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import ne
from typing import Any

from genmodels.data.wikipedia import Document
from genmodels.system.processes import Workers
from genmodels.text.characters import ZWNJ
from genmodels.text.repetitions import Mark, Repetitions, mark
from genmodels.text.rules import RULES
from genmodels.text.streaming import chunks

MAXIMUM_PASSES = 20  # of the rules; two or three are usual, and prose that needs more has not been met
LISTED_WORDS = 20  # of those that a rule took out of the text, a sample
SHORT = 60  # characters: a shorter example is not looked for
DUPLICATES = ("duplicates", "بند تکراری", "مدل آن را از بر می‌کند؛ و اگر در آزمون هم باشد، سنجش را خراب می‌کند.")
ORDER = ("test", "validation", "train")  # a repeated paragraph stays in the first of these that has it


_WORD = re.compile(rf"\w[\w{ZWNJ}]*+")


class Measurements:
    """Per rule: paragraphs touched, characters removed and changed, the shortest of the first real examples; how many words
    vanished, and a sample of them: those whose checksum is least, so that no order of reading decides."""

    def __init__(self) -> None:
        named = [(rule.name, rule.label_fa, rule.reason_fa) for rule in RULES] + [DUPLICATES]
        self.rows: dict[str, dict[str, Any]] = {
            name: {"name": name, "label": label, "reason": reason, "example": None, "vanished": []}
            | dict.fromkeys(("paragraphs", "removed", "changed", "words"), 0)
            for name, label, reason in named
        }

    def add(self, name: str, before: str, after: str) -> None:
        row = self.rows[name]
        row["paragraphs"] += 1
        row["removed"] += len(before) - len(after)
        if len(before) == len(after):
            row["changed"] += sum(map(ne, before, after))
        elif gone := vanished(before, after):
            row["words"] += len(gone)
            row["vanished"] = _sample([*row["vanished"], *gone])
        if row["example"] is None or awkwardness(row["example"]) > SHORT:
            self._offer(row, excerpt(before, after))

    def update(self, later: Measurements) -> None:
        """Add what was measured on the paragraphs that follow: the same rows as measuring all in one go."""
        for name, row in self.rows.items():
            new = later.rows[name]
            for count in ("paragraphs", "removed", "changed", "words"):
                row[count] += new[count]
            row["vanished"] = _sample([*row["vanished"], *new["vanished"]])
            if new["example"] is not None:
                self._offer(row, new["example"])

    @staticmethod
    def _offer(row: dict[str, Any], example: list[str]) -> None:
        kept = row["example"]
        if kept is None or (awkwardness(kept) > SHORT and awkwardness(example) < awkwardness(kept)):
            row["example"] = example


def vanished(before: str, after: str) -> list[str]:
    """The words of ``before`` that ``after`` lacks, as many as it is shorter by: spelling one otherwise loses none."""
    if not after:
        return _WORD.findall(before)
    old, new = _WORD.findall(before), _WORD.findall(after)
    return list((Counter(old) - Counter(new)).elements())[: max(0, len(old) - len(new))]


def _sample(words: list[str]) -> list[str]:
    short = {word[:SHORT] for word in words}
    return sorted(short, key=lambda word: (zlib.crc32(word.encode("utf-8", "surrogatepass")), word))[:LISTED_WORDS]


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

    Any ``str`` is accepted, and cleaning the result again changes nothing: what has not come to rest after
    ``MAXIMUM_PASSES`` is no prose. Only ligatures make a text longer.
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
            return text
    if measurements is not None:
        measurements.add(RULES[-1].name, text, "")
    return ""


Paragraphs = tuple[str, ...]


def _clean_chunk(documents: list[Paragraphs]) -> tuple[list[list[tuple[str, Mark]]], Measurements]:
    """The cleaned paragraphs of each document with their marks (empty ones left out), and what the rules did."""
    measurements = Measurements()
    cleaned = [
        [(text, mark(text)) for paragraph in paragraphs if (text := clean_paragraph(paragraph, measurements))]
        for paragraphs in documents
    ]
    return cleaned, measurements


class Cleaning:
    """Cleans streams of documents one after the other, held-out ones first, and keeps count."""

    def __init__(self) -> None:
        self.measurements, self._repetitions = Measurements(), Repetitions()
        self._titles: set[str] = set()  # of held-out documents
        self._before, self._after = ({"documents": 0, "paragraphs": 0, "characters": 0} for _ in range(2))

    def stream(
        self, documents: Iterable[Document], held_out: bool, workers: Workers = Workers()
    ) -> Iterator[Paragraphs]:
        """The cleaned paragraphs of each document, in order; an empty tuple where nothing is left."""
        jobs = chunks(self._of_one_split(documents, held_out), lambda paragraphs: sum(map(len, paragraphs)))
        for cleaned, measurements in workers.map(_clean_chunk, jobs):
            self.measurements.update(measurements)
            for paragraphs in cleaned:
                kept = tuple(text for text, marked in paragraphs if not self._repeated(text, marked, held_out))
                if kept:
                    _count(self._after, kept)
                yield kept

    def _of_one_split(self, documents: Iterable[Document], held_out: bool) -> Iterator[Paragraphs]:
        """The paragraphs of each; none of a training document with the title of a held-out one: it tells the same."""
        for document in documents:
            _count(self._before, document.paragraphs)
            if held_out and document.title:
                self._titles.add(document.title)
            if held_out or document.title not in self._titles:
                yield document.paragraphs
                continue
            for paragraph in document.paragraphs:
                self.measurements.add(DUPLICATES[0], paragraph, "")
            yield ()

    def _repeated(self, text: str, marked: Mark, held_out: bool) -> bool:
        if repeated := self._repetitions.seen(marked, held_out):
            self.measurements.add(DUPLICATES[0], text, "")
        return repeated

    def statistics(self) -> dict[str, Any]:
        """``rules`` (rows in order), and documents, paragraphs, characters ``before`` and ``after``."""
        return {"rules": list(self.measurements.rows.values()), "before": self._before, "after": self._after}


def _count(sizes: dict[str, int], paragraphs: Paragraphs) -> None:
    sizes["documents"] += 1
    sizes["paragraphs"] += len(paragraphs)
    sizes["characters"] += sum(map(len, paragraphs))


def clean_documents(documents: Iterable[Document]) -> tuple[list[Document], dict[str, Any]]:
    """Clean every paragraph, drop repeated ones and empty documents; returns (documents, ``Cleaning.statistics``).

    Held-out documents come first: training text that repeats theirs is what goes.
    """
    documents = list(documents)
    cleaning, cleaned = Cleaning(), {}
    for split in ORDER:
        chosen = [index for index, document in enumerate(documents) if document.split == split]
        kept = cleaning.stream((documents[index] for index in chosen), split != "train")
        cleaned |= dict(zip(chosen, kept))
    rest = [Document(d.split, d.title, cleaned[i]) for i, d in enumerate(documents) if cleaned[i]]
    return rest, cleaning.statistics()
