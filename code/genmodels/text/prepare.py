"""From raw text to token arrays: clean, normalise, tokenise, and keep the result in ``data/prepared``.

The result depends on the raw file, the ``TextConfig``, ``PREPARATION_VERSION`` and hazm's version, and on nothing
else: not on the number of worker processes. The tokenizer is trained on the training documents alone. Its folder is
named by a digest of these four; it is built beside its place and renamed when whole; every array's sha256 is checked
on loading, and a damaged folder is built again. A document is ``<bos>``, the ids of its paragraphs joined by
newlines, ``<eos>``.

Nothing here holds the corpus: documents are streamed (``streaming.py``) through cleaning, normalisation and encoding,
lie on the disk in between, and the arrays grow on the disk. Memory grows with the number of different words alone, and the
arrays are mapped, not read.

Where: env ``GENMODELS_PREPARED``, else ``data/prepared`` of the project (never the raw data's folder, which may be
read-only).
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genmodels.config import TextConfig, to_plain
from genmodels.data import wikipedia
from genmodels.data.wikipedia import SPLITS, Corpus
from genmodels.errors import DataError, UserError
from genmodels.system.files import atomic_folder, data_digest, exclusive_lock, file_digest, read_json, write_json
from genmodels.system.places import prepared_folder
from genmodels.system.processes import Workers, cores, progress_bar
from genmodels.text import normalization
from genmodels.text.cleaning import ORDER, Cleaning
from genmodels.text.normalization import prepare_chunk
from genmodels.text.streaming import SERIAL_CHARACTERS, ArrayFile, chunks, read_spool, write_spool
from genmodels.text.tokenizer import Tokenizer

PREPARATION_VERSION = 3  # raise it when cleaning, normalising or tokenising gives other tokens
CORPORA = ("fluent", "classic")
ARRAYS = {"tokens": np.uint16, "offsets": np.int64, "characters": np.int64, "fluent_characters": np.int64}
STAGES = ("words", "content", "lemmas")  # of the classic corpus, whose words are counted after each
WAY_OUT = "free some space or set GENMODELS_PREPARED to a folder you can write to"


@dataclass(frozen=True)
class PreparedText:
    """Token arrays of the three splits.

    ``tokens[split]`` uint16 (N,); ``offsets[split]`` int64 (D + 1,), the borders of the documents in ``tokens``;
    ``characters[split]`` int64 (D,): characters of each document's own text; ``fluent_characters[split]`` the same
    for the fluent text that a classic document was made of, so that bits per character of the two corpora can be
    compared. ``digest`` is the sha256 of all arrays: what a model sees.
    """

    config: TextConfig
    folder: Path
    digest: str
    tokens: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray]
    characters: dict[str, np.ndarray]
    fluent_characters: dict[str, np.ndarray]
    tokenizer: Tokenizer
    statistics: dict[str, Any]

    @property
    def corpus_name(self) -> str:
        """The raw file's name."""
        return self.statistics["corpus"]["name"]

    @property
    def corpus_digest(self) -> str:
        """The raw file's sha256."""
        return self.statistics["corpus"]["sha256"]

    @property
    def identity(self) -> dict[str, Any]:
        """What a result made of this text says of its data."""
        return {
            "name": self.corpus_name,
            "digest": self.digest,
            "corpus_sha256": self.corpus_digest,
            "corpus": self.config.corpus,
            "preparation": PREPARATION_VERSION,
        }

    def held_out_texts(self, split: str = "test", count: int | None = None) -> list[str]:
        """The prepared text of the first ``count`` documents of a split (byte-level BPE decodes exactly)."""
        borders = self.offsets[split]
        chosen = range(len(borders) - 1)[:count]
        return [self.tokenizer.decode(self.tokens[split][borders[d] : borders[d + 1]]) for d in chosen]


def version_of(manifest: dict[str, Any]) -> int:
    """The version of the preparation whose text a result was made of; the first one was not written down."""
    return manifest["data"].get("preparation", 1)


def prepared(
    config: TextConfig = TextConfig(), folder: Path | str | None = None, workers: int | None = None
) -> PreparedText:
    """The token arrays of ``config``, from the prepared folder or built from the raw text in ``folder``.

    ``workers``: processes that build; by default one a core, or one altogether for a small text. Raises ``DataError`` for
    raw text that is missing or damaged, ``UserError`` for a bad config or an unwritable folder.
    """
    if config.corpus not in CORPORA:
        raise UserError(f"corpus {config.corpus!r} is unknown; choose one of {', '.join(CORPORA)}")
    if not 258 <= config.vocabulary <= 65_536:
        raise UserError(f"vocabulary {config.vocabulary} is out of range; choose 258 to 65536 (ids are uint16)")
    if workers is not None:
        Workers(workers)  # refuses a number below one, also where nothing is left to do
    raw = wikipedia.locate(folder)
    sources = {
        "raw_digest": wikipedia.digest(raw),
        "config": to_plain(config),
        "version": PREPARATION_VERSION,
        "hazm": importlib.metadata.version("hazm"),
    }
    place = prepared_folder() / f"{config.corpus}-{data_digest(json.dumps(sources, sort_keys=True))[:16]}"
    if (kept := _kept(config, place)) is not None:
        return kept
    # Of two processes (torchrun's) one builds, the other waits and reads.
    with exclusive_lock(place.with_name(f".{place.name}.lock"), way_out=WAY_OUT):
        return _kept(config, place, tell=True) or _build(config, raw, place, sources, workers)


def _kept(config: TextConfig, place: Path, tell: bool = False) -> PreparedText | None:
    """What stands in ``place``, if it is whole."""
    if place.exists():
        try:
            return _open(config, place)
        except UserError as error:
            if tell:
                print(f"genmodels: {error}; preparing it again", file=sys.stderr)
    return None


def _build(config: TextConfig, raw: Path, place: Path, sources: dict[str, Any], workers: int | None) -> PreparedText:
    started = time.perf_counter()
    corpus = wikipedia.load(raw).thinned(config.documents)
    print(f"genmodels: {corpus.summary()}", file=sys.stderr)
    if workers is None:
        workers = cores() if corpus.characters > SERIAL_CHARACTERS else 1
    with atomic_folder(place, WAY_OUT) as folder, Workers(workers) as pool:
        cleaning = _clean(corpus, folder, pool)
        clean_seconds = time.perf_counter() - started
        words = _normalize(corpus, config.corpus, folder, pool)
        normalize_seconds = time.perf_counter() - started - clean_seconds
        if missing := [split for split in SPLITS if not (folder / f"{split}.texts").stat().st_size]:
            raise DataError(f"after cleaning, {raw} has no {' and no '.join(missing)} text left; give a larger corpus")
        tokenizer = Tokenizer.train((text for text, _ in read_spool(folder / "train.texts")), config.vocabulary)
        tokenizer.save(folder / "tokenizer.json")
        sizes = {split: _encode(split, folder, tokenizer) for split in SPLITS}
        statistics = {
            "corpus": {
                "name": corpus.name,
                "sha256": corpus.digest,
                "bytes": corpus.bytes,
                "documents": sum(corpus.sizes.values()),
                "paragraphs": corpus.paragraphs,
                "characters": corpus.characters,
            },
            "kind": config.corpus,
            "vocabulary": tokenizer.vocabulary_size,
            "cleaning": cleaning,
            "splits": sizes,
            "words": words,
            "versions": {name: importlib.metadata.version(name) for name in ("hazm", "tokenizers", "numpy")},
            "seconds": {"clean": clean_seconds, "normalize": normalize_seconds, "total": time.perf_counter() - started},
        }
        files = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
        write_json(folder / "preparation.json", {"sources": sources, "statistics": statistics, "files": files})
    return _open(config, place)


def _clean(corpus: Corpus, folder: Path, pool: Workers) -> dict[str, Any]:
    """Write ``<split>.clean``, the cleaned paragraphs of each document; returns what cleaning did."""
    cleaning = Cleaning()
    with progress_bar(total=sum((corpus.taken or corpus.sizes).values()), desc="clean", unit="document") as bar:
        for split in ORDER:
            kept = cleaning.stream(corpus.stream(split), split != "train", pool)
            write_spool(folder / f"{split}.clean", (paragraphs for paragraphs in _counted(kept, bar) if paragraphs))
    return cleaning.statistics()


def _normalize(corpus: Corpus, kind: str, folder: Path, pool: Workers) -> dict[str, Any]:
    """Turn ``<split>.clean`` into ``<split>.texts``: prepared text and fluent length; the word study if classic."""
    counts = {stage: {split: Counter() for split in SPLITS} for stage in STAGES}

    def texts(split: str) -> Iterator[tuple[str, int]]:
        documents = read_spool(folder / f"{split}.clean")
        jobs = ((kind, part) for part in chunks(documents, lambda paragraphs: sum(map(len, paragraphs))))
        for rows, words in pool.map(prepare_chunk, jobs):
            for stage, counter in words.items():
                counts[stage][split].update(counter)
            yield from rows

    with progress_bar(
        total=sum((corpus.taken or corpus.sizes).values()), desc=f"normalise ({kind})", unit="document"
    ) as bar:
        for split in SPLITS:
            write_spool(folder / f"{split}.texts", (row for row in _counted(texts(split), bar) if row[0]))
            (folder / f"{split}.clean").unlink()
    return _study(counts) if kind == "classic" else {}


def _counted(items: Iterator[Any], bar: Any) -> Iterator[Any]:
    for item in items:
        bar.update()
        yield item


def _encode(split: str, folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """Turn ``<split>.texts`` into the split's arrays; returns their sizes."""
    arrays = {name: ArrayFile(folder / f"{split}-{name}.npy", dtype) for name, dtype in ARRAYS.items()}
    arrays["offsets"].append([0])
    types: Counter[str] = Counter()
    paragraphs = characters = 0
    for part in chunks(read_spool(folder / f"{split}.texts"), lambda row: len(row[0])):
        for (text, fluent), ids in zip(part, tokenizer.encode_batch([text for text, _ in part])):
            arrays["tokens"].append([tokenizer.bos, *ids, tokenizer.eos])
            arrays["offsets"].append([arrays["tokens"].length])
            arrays["characters"].append([len(text)])
            arrays["fluent_characters"].append([fluent])
            types.update(text.split())
            paragraphs += text.count("\n") + 1
            characters += len(text)
    for array in arrays.values():
        array.close()
    (folder / f"{split}.texts").unlink()
    documents, tokens, words = arrays["characters"].length, arrays["tokens"].length, types.total()
    return {
        "documents": documents,
        "paragraphs": paragraphs,
        "characters": characters,
        "words": words,
        "types": len(types),
        "tokens": tokens,
        "tokens_per_word": (tokens - 2 * documents) / max(1, words),
    }


def _study(counts: dict[str, dict[str, Counter]]) -> dict[str, Any]:
    """What removing stop words and lemmatising does to tokens, types and unseen words of the test split."""
    stops = normalization.stop_words()
    result: dict[str, Any] = {}
    for stage, by_split in counts.items():
        train, test = by_split["train"], by_split["test"]
        result[stage] = {
            "tokens": train.total(),
            "types": len(train),
            "unseen_test_share": sum(n for word, n in test.items() if word not in train) / max(1, test.total()),
            "once_share": sum(n == 1 for n in train.values()) / max(1, len(train)),
        }
    whole = Counter({word: n for word, n in counts["words"]["train"].items() if any(map(str.isalnum, word))})
    result["stop_words"] = {
        "listed": len(stops),
        "share": sum(n for word, n in whole.items() if word in stops) / max(1, whole.total()),
        "most_common": [[word, n] for word, n in whole.most_common(200) if word in stops][:10],
    }
    return result


def _open(config: TextConfig, place: Path) -> PreparedText:
    """Load a prepared folder; ``UserError`` says which file is missing or altered."""
    record = read_json(place / "preparation.json")
    names = {f"{split}-{array}.npy" for split in SPLITS for array in ARRAYS} | {"tokenizer.json"}
    files = record.get("files", {}) if isinstance(record, dict) else {}
    for name in sorted(names):
        if not (place / name).is_file():
            raise DataError(f"{place / name} is missing")
        if file_digest(place / name) != files.get(name):
            raise DataError(f"{place / name} has been altered or cut short (its sha256 is not the recorded one)")
    arrays = {
        array: {split: np.load(place / f"{split}-{array}.npy", mmap_mode="r", allow_pickle=False) for split in SPLITS}
        for array in ARRAYS
    }
    digest = data_digest(*(f"{name} {files[name]}" for name in sorted(names) if name.endswith(".npy")))
    return PreparedText(
        config,
        place,
        digest,
        tokenizer=Tokenizer.load(place / "tokenizer.json"),
        statistics=record["statistics"],
        **arrays,
    )
