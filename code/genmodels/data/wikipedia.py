"""Persian Wikipedia: where the raw text comes from, and how it becomes documents with a split.

Three files are understood, looked for in this order in the data folder and in its ``fawiki`` and ``wikipedia`` (and the
first, where no folder is asked for, below ``/kaggle/input``, where Kaggle and Colab attach a dataset):

1. ``Persian-WikiText-1.txt``: the assignment's file (Kaggle, ``miladfa7/persian-wikipedia-dataset``). UTF-8, paragraphs
   separated by an empty line, every half-space (ZWNJ) already replaced by a plain space, no article boundaries. Also
   inside the zip that Kaggle gives, under any name; its name, bytes and digest are then those of the text in it.
2. ``fawiki_docs.jsonl.gz``: one article a line, ``{"split", "title", "paragraphs"}``, with half-spaces and boundaries.
3. ``persian-wikipedia-sample.txt``: a sample in the format of (1).

Files without boundaries are cut into pseudo-documents of ``PARAGRAPHS_PER_DOCUMENT`` consecutive paragraphs, and the
sequence is cut once, in file order, 96 : 2 : 2 into train, validation and test. Contiguous parts, not random ones: with
random paragraphs the same article would stand on both sides. At most two articles can (one at each cut).

A corpus is never in memory as a whole: ``load`` reads the file to check and count it, ``Corpus.stream`` reads it again,
one document at a time. Lines and paragraphs have a largest length, so that a file without line ends is an error and no
flood.

Nothing is cleaned here; see ``text/cleaning.py``. The file and its place are ``data/wikipedia_file.py``'s, fetching ``data/fetch_wikipedia.py``'s.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from genmodels.data.wikipedia_file import (
    FILE_NAMES,
    KAGGLE_FILE,
    WAYS_OUT,
    digest,
    is_json,
    locate,
    raw_bytes,
    scanned,
    text_name,
)
from genmodels.errors import DataError
from genmodels.system.files import require_whole_characters, shown

__all__ = [
    "FILE_NAMES", "KAGGLE_FILE", "KNOWN_DIGESTS", "LICENCE", "SPLITS", "WAYS_OUT", "Corpus", "Document", "digest", "load",
    "locate", "raw_bytes", "text_name",
]  # fmt: skip

SPLITS = ("train", "validation", "test")
PARAGRAPHS_PER_DOCUMENT = 20
HELD_OUT_SHARE = 0.02  # of the documents, for validation and again for test
LONGEST_PARAGRAPH = 1 << 20  # bytes; the longest of the real files has some ten thousand
LONGEST_ARTICLE = 1 << 26  # bytes of one JSON line
LEAST_PERSIAN = 0.1  # share of the letters; a sign-in page, an error message or another language has none
LICENCE = "text by Wikipedia's contributors, CC BY-SA; Kaggle prints CC0-1.0 for its file"
KNOWN_DIGESTS = {  # sha256 by file name; a file that is not listed is accepted, and its digest is told
    "persian-wikipedia-sample.txt": "e9a4f4dbed6abf42f9dbe41e39ef4018fa901816ee11d7a1dacfb2c26697a403",
}
_WEB_PAGE = re.compile(r"\s*<(?:!doctype|html|head|body|meta|title|script|\?xml)\b", re.IGNORECASE)
_HEAD = 4096  # bytes in which a web page says that it is one


@dataclass(frozen=True)
class Document:
    """One article (or pseudo-document): raw paragraphs, in order."""

    split: str
    title: str | None
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """One raw file, checked and counted. ``digest`` is the sha256 of its ``bytes`` bytes; ``sizes`` documents by split.

    ``characters`` of the paragraphs; ``persian``: share of the letters that are of the Arabic script; ``doubts``: what
    speaks against the file being whole, in words, or nothing. ``taken``: documents of each split that ``stream`` gives, where
    not all (``thinned``).
    """

    path: Path
    name: str
    digest: str
    bytes: int
    paragraphs: int
    characters: int
    sizes: dict[str, int]
    persian: float
    doubts: str
    taken: dict[str, int] | None = None

    def thinned(self, train: int) -> Corpus:
        """At most ``train`` training documents, and of each other split at most a fifth of that (0: all of all)."""
        most = {split: train if split == "train" else max(1, train // 5) for split in SPLITS}
        return replace(self, taken={split: min(most[split], n) for split, n in self.sizes.items()} if train else None)

    def summary(self) -> str:
        """One line by which a reader can tell whether this is the text that was meant."""
        return (
            f"{self.name}: {self.bytes:,} bytes, {sum(self.sizes.values()):,} documents, "
            f"{self.paragraphs:,} paragraphs, {self.characters:,} characters, "
            f"{self.persian:.1%} of the letters Persian{self.doubts}"
        )

    def stream(self, *splits: str) -> Iterator[Document]:
        """The documents of these splits (default: all) in file order, read from the file one at a time.

        Where not all are taken, those that are lie evenly spaced in their split.
        """
        wanted, places = splits or SPLITS, Counter[str]()
        for document in _documents(self.path, self.paragraphs):
            split = document.split
            place, all_, taken = places[split], self.sizes[split], (self.taken or self.sizes)[split]
            places[split] += 1
            if split in wanted and place * taken // all_ != (place - 1) * taken // all_:
                yield document

    @property
    def documents(self) -> list[Document]:
        """All documents, in memory."""
        return list(self.stream())


def load(folder: Path | str | None = None) -> Corpus:
    """Check and count the corpus of ``folder`` (default: the data folder).

    Raises ``DataError`` (one line) for a missing file, text that is not UTF-8 (with the byte offset) or not Persian, a
    web page, a truncated gzip or zip, a broken JSON line (with its number), an empty text, a line or paragraph beyond all
    measure, a known file with another checksum.
    """
    path = locate(folder)
    name = text_name(path)
    found, size, doubts = scanned(path, name)
    wanted = KNOWN_DIGESTS.get(name)
    if wanted is not None and found != wanted:
        raise DataError(f"{path} is not the file of that name: sha256 {found}, wanted {wanted}; fetch it again")
    sizes: Counter[str] = Counter()
    paragraphs = characters = 0
    counts = np.zeros(256, np.int64)  # of the bytes
    for document in _documents(path, 0 if is_json(name) else sum(1 for _ in _paragraphs(path))):
        sizes[document.split] += 1
        paragraphs += len(document.paragraphs)
        characters += sum(map(len, document.paragraphs))
        counts += np.bincount(np.frombuffer("".join(document.paragraphs).encode(), np.uint8), minlength=256)
    if not sizes:
        raise DataError(f"{path} holds no text; fetch it again")
    if (persian := _persian_share(counts)) < LEAST_PERSIAN:
        of_letters = f"{persian:.1%} of its letters are; nothing would be left after cleaning"
        raise DataError(f"{path} is no Persian text ({of_letters}); {WAYS_OUT}")
    if missing := [split for split in SPLITS if not sizes[split]]:
        raise DataError(f"{path} has no {' and no '.join(missing)} text; a corpus needs all of {', '.join(SPLITS)}")
    return Corpus(path, shown(name), found, size, paragraphs, characters, dict(sizes), persian, doubts)


def _persian_share(counts: np.ndarray) -> float:
    """Share of the Arabic script (U+0600 ... U+06FF) in the letters of UTF-8 text, from the counts of its bytes.

    A letter is known by its first byte: ASCII letters, U+00C0 and on, but not U+2000 ... U+2FFF (signs, half-spaces).
    """
    arabic = counts[0xD8:0xDC].sum()
    others = counts[65:91].sum() + counts[97:123].sum() + counts[0xC3:0xF5].sum() - arabic - counts[0xE2] - counts[0xEF]
    return float(arabic / max(1, arabic + others))


def _documents(path: Path, paragraphs: int) -> Iterator[Document]:
    """Documents of either kind of file; ``paragraphs`` is their number where the file has no articles."""
    return _json_documents(path) if is_json(path.name) else _pseudo_documents(_paragraphs(path), paragraphs)


def _lines(path: Path, longest: int) -> Iterator[str]:
    """Lines without their ends; every way in which the bytes can be bad becomes one ``DataError``."""
    offset = number = 0
    json_lines = is_json(path.name)
    with raw_bytes(path) as raw, gzip.open(raw) if json_lines else raw as stream:
        while line := stream.readline(longest + 1):
            number += 1
            if len(line) > longest:
                raise DataError(
                    f"{path}, line {number} (from byte {offset} on) is longer than {longest:,} bytes; "
                    "write one paragraph a line, with an empty line after each"
                )
            try:
                text = line.decode("utf-8-sig" if offset == 0 else "utf-8")
            except UnicodeDecodeError as error:
                short = error.reason.startswith("unexpected end")
                cut = " and ends there, within a letter: it was cut short" if short else ""
                raise DataError(
                    f"{path} is not UTF-8 at byte {offset + error.start}{cut}; save it as UTF-8 or fetch it again"
                ) from None
            if offset < _HEAD and _WEB_PAGE.match(text):
                raise DataError(f"{path} is a web page, not the text (perhaps the site asked to sign in); {WAYS_OUT}")
            offset += len(line)
            yield text.rstrip("\r\n")


def _paragraphs(path: Path) -> Iterator[str]:
    """Blocks of lines between empty lines; the lines of a block are joined by a space."""
    block: list[str] = []
    length = 0  # characters
    for number, line in enumerate(_lines(path, LONGEST_PARAGRAPH), 1):
        if line.strip():
            block.append(line.strip())
            length += len(line)
            if length > LONGEST_PARAGRAPH:
                raise DataError(
                    f"{path}: the paragraph that ends at line {number} or later has more than {LONGEST_PARAGRAPH:,} "
                    "characters; separate paragraphs by empty lines"
                )
        elif block:
            yield " ".join(block)
            block, length = [], 0
    if block:
        yield " ".join(block)


def _pseudo_documents(paragraphs: Iterable[str], count: int) -> Iterator[Document]:
    """The ``count`` paragraphs in groups, the groups cut 96 : 2 : 2 in file order (at least one group a part)."""
    size = max(1, min(PARAGRAPHS_PER_DOCUMENT, count // 100))
    groups = -(-count // size)
    held_out = max(1, round(HELD_OUT_SHARE * groups))
    borders = (groups - 2 * held_out, groups - held_out)
    stream = iter(paragraphs)
    for index in range(groups):
        split = SPLITS[(index >= borders[0]) + (index >= borders[1])]
        yield Document(split, None, tuple(islice(stream, size)))


def _json_documents(path: Path) -> Iterator[Document]:
    """Documents of a ``.jsonl.gz`` file, each with its own split."""
    for number, line in enumerate(_lines(path, LONGEST_ARTICLE), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            split, paragraphs = record["split"], record["paragraphs"]
            if (
                split not in SPLITS
                or not isinstance(paragraphs, list)
                or not all(isinstance(part, str) for part in paragraphs)
            ):
                raise ValueError(f"split {split!r}, or paragraphs that are no list of texts")
            if "\\u" in line:  # the only way to write half a character
                require_whole_characters("".join(paragraphs), f"{path}, line {number}", DataError)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: not a document {{split, title, paragraphs}} "
                f"({type(error).__name__}: {error}); fetch it again"
            ) from None
        if too_long := [len(paragraph) for paragraph in paragraphs if len(paragraph) > LONGEST_PARAGRAPH]:
            raise DataError(
                f"{path}, line {number} has a paragraph of {max(too_long):,} characters; at most {LONGEST_PARAGRAPH:,}"
            )
        yield Document(split, record.get("title"), tuple(paragraphs))
