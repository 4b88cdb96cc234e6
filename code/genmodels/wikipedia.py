"""Persian Wikipedia: where the raw text comes from, and how it becomes documents with a split.

Three files are understood, looked for in this order in the data folder and in its ``fawiki`` and ``wikipedia``:

1. ``Persian-WikiText-1.txt``: the assignment's file (Kaggle, ``miladfa7/persian-wikipedia-dataset``). UTF-8, paragraphs
   separated by an empty line, every half-space (ZWNJ) already replaced by a plain space, no article boundaries.
2. ``fawiki_docs.jsonl.gz``: one article a line, ``{"split", "title", "paragraphs"}``, with half-spaces and boundaries.
3. ``persian-wikipedia-sample.txt``: a sample in the format of (1).

Files without boundaries are cut into pseudo-documents of ``PARAGRAPHS_PER_DOCUMENT`` consecutive paragraphs, and the
sequence is cut once, in file order, 96 : 2 : 2 into train, validation and test. Contiguous parts, not random ones: with
random paragraphs the same article would stand on both sides. At most two articles can (one at each cut).

A corpus is never in memory as a whole: ``load`` reads the file once to check and count it, ``Corpus.stream`` reads it again,
one document at a time. Lines and paragraphs have a largest length, so that a file without line ends is an error and no
flood.

Nothing is cleaned here; see ``text/cleaning.py``. Fetching is in ``wikipedia_fetch.py``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from genmodels.errors import DataError
from genmodels.files import file_digest

SPLITS = ("train", "validation", "test")
PARAGRAPHS_PER_DOCUMENT = 20
HELD_OUT_SHARE = 0.02  # of the documents, for validation and again for test
LONGEST_PARAGRAPH = 1 << 20  # bytes; the longest of the real files has some ten thousand
LONGEST_ARTICLE = 1 << 26  # bytes of one JSON line
KAGGLE_DATASET = "miladfa7/persian-wikipedia-dataset"
KAGGLE_FILE = "Persian-WikiText-1.txt"
LICENCE = "text by Wikipedia's contributors, CC BY-SA; Kaggle prints CC0-1.0 for its file"
FILE_NAMES = (KAGGLE_FILE, "fawiki_docs.jsonl.gz", "persian-wikipedia-sample.txt")
SUBFOLDERS = ("", "fawiki", "wikipedia")
KNOWN_DIGESTS = {  # sha256 by file name; a file that is not listed is accepted, and its digest is told
    "persian-wikipedia-sample.txt": "e9a4f4dbed6abf42f9dbe41e39ef4018fa901816ee11d7a1dacfb2c26697a403",
}
WAYS_OUT = (
    "run `python -m genmodels data wikipedia`, or put the file into the data folder yourself "
    f"(kaggle datasets download -d {KAGGLE_DATASET} -f {KAGGLE_FILE}), "
    "or give its place with --from PATH, or set GENMODELS_DATA to the folder that holds it"
)


@dataclass(frozen=True)
class Document:
    """One article (or pseudo-document): raw paragraphs, in order."""

    split: str
    title: str | None
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """One raw file, checked and counted. ``digest`` is the sha256 of its ``bytes`` bytes; ``sizes`` documents by split."""

    path: Path
    digest: str
    bytes: int
    paragraphs: int
    characters: int
    sizes: dict[str, int]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def stream(self, *splits: str) -> Iterator[Document]:
        """The documents of these splits (default: all) in file order, read from the file one at a time."""
        wanted = splits or SPLITS
        return (document for document in _documents(self.path, self.paragraphs) if document.split in wanted)

    @property
    def documents(self) -> list[Document]:
        """All documents, in memory."""
        return list(self.stream())


def locate(folder: Path | str | None = None) -> Path:
    """The first known file in ``folder`` (a file's own path is taken as it is); ``DataError`` names the ways out."""
    if folder is None:
        from genmodels.datafolder import data_folder

        folder = data_folder()
    folder = Path(folder)
    if folder.is_file():
        if folder.suffix == ".zip":
            raise DataError(f"{folder} is a zip archive; unpack it first: unzip {folder}")
        return folder
    for name in FILE_NAMES:
        for sub in SUBFOLDERS:
            if (path := folder / sub / name).is_file():
                return path
    raise DataError(f"no Persian Wikipedia text in {folder} (wanted {', '.join(FILE_NAMES)}); {WAYS_OUT}")


def load(folder: Path | str | None = None) -> Corpus:
    """Check and count the corpus of ``folder`` (default: the data folder).

    Raises ``DataError`` (one line) for a missing file, text that is not UTF-8 (with the byte offset), a truncated
    gzip, a broken JSON line (with its number), an empty text, a line or paragraph beyond all measure, a known file with
    another checksum.
    """
    path = locate(folder)
    digest = file_digest(path)
    wanted = KNOWN_DIGESTS.get(path.name)
    if wanted is not None and digest != wanted:
        raise DataError(f"{path} is not the file of that name: sha256 {digest}, wanted {wanted}; fetch it again")
    sizes: Counter[str] = Counter()
    paragraphs = characters = 0
    for document in _documents(path, 0 if _is_json(path) else sum(1 for _ in _paragraphs(path))):
        sizes[document.split] += 1
        paragraphs += len(document.paragraphs)
        characters += sum(map(len, document.paragraphs))
    if not sizes:
        raise DataError(f"{path} holds no text; fetch it again")
    if missing := [split for split in SPLITS if not sizes[split]]:
        raise DataError(f"{path} has no {' and no '.join(missing)} text; a corpus needs all of {', '.join(SPLITS)}")
    return Corpus(path, digest, path.stat().st_size, paragraphs, characters, dict(sizes))


def fetch(destination: Path | str, source: Path | str | None = None) -> list[str]:
    """Put a checked text file into ``destination``, from ``source`` or Kaggle; see ``wikipedia_fetch.fetch``."""
    from genmodels import wikipedia_fetch  # only this command needs the network

    return wikipedia_fetch.fetch(Path(destination), None if source is None else Path(source))


def _is_json(path: Path) -> bool:
    return path.name.endswith(".gz")


def _documents(path: Path, paragraphs: int) -> Iterator[Document]:
    """Documents of either kind of file; ``paragraphs`` is their number where the file has no articles."""
    return _json_documents(path) if _is_json(path) else _pseudo_documents(_paragraphs(path), paragraphs)


def _lines(path: Path, longest: int) -> Iterator[str]:
    """Lines without their ends; every way in which the bytes can be bad becomes one ``DataError``."""
    offset = number = 0
    try:
        with (gzip.open if _is_json(path) else open)(path, "rb") as stream:
            while raw := stream.readline(longest + 1):
                number += 1
                if len(raw) > longest:
                    raise DataError(
                        f"{path}, line {number} (from byte {offset} on) is longer than {longest:,} bytes; "
                        "write one paragraph a line, with an empty line after each"
                    )
                try:
                    text = raw.decode("utf-8-sig" if offset == 0 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path} is not UTF-8 at byte {offset + error.start}; save it as UTF-8 or fetch it again"
                    ) from None
                offset += len(raw)
                yield text.rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged or truncated gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


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
            if split not in SPLITS or not isinstance(paragraphs, list) or not all(isinstance(part, str) for part in paragraphs):
                raise ValueError(f"split {split!r}, or paragraphs that are no list of texts")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: not a document {{split, title, paragraphs}} "
                f"({type(error).__name__}: {error}); fetch it again"
            ) from None
        if too_long := [len(paragraph) for paragraph in paragraphs if len(paragraph) > LONGEST_PARAGRAPH]:
            raise DataError(
                f"{path}, line {number} has a paragraph of {max(too_long):,} characters; at most {LONGEST_PARAGRAPH:,}"
            )
        yield Document(split, record.get("title"), tuple(paragraphs))
