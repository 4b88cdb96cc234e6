"""From raw text to token arrays: clean, normalise, tokenise, and keep the result in ``data/prepared``.

The result depends on the raw file, the ``TextConfig``, ``PREPARATION_VERSION`` and hazm's version, and on nothing
else: not on the number of worker processes. The tokenizer is trained on the training documents alone. Its folder is
named by a digest of these four; it is built beside its place and renamed when whole; every array's sha256 is checked
on loading, and a damaged folder is built again. A document is ``<bos>``, the ids of its paragraphs joined by
newlines, ``<eos>``.

Where: env ``GENMODELS_PREPARED``, else ``data/prepared`` of the project (never the raw data's folder, which may be
read-only).
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genmodels import wikipedia
from genmodels.config import TextConfig, to_plain
from genmodels.datafolder import project_root
from genmodels.errors import DataError, UserError
from genmodels.files import data_digest, exclusive_lock, file_digest, read_json, write_json
from genmodels.progress import progress_bar
from genmodels.text import normalization
from genmodels.text.cleaning import clean_documents
from genmodels.text.tokenizer import Tokenizer
from genmodels.wikipedia import SPLITS, Document

PREPARATION_VERSION = 1  # raise it when cleaning, normalising or tokenising gives other tokens
CORPORA = ("fluent", "classic")
ARRAYS = ("tokens", "offsets", "characters", "fluent_characters")
CHUNK_DOCUMENTS = 64
WAY_OUT = "free some space or set GENMODELS_PREPARED to a folder you can write to"
START_METHOD = "spawn"  # of worker processes: a forked copy of a process with threads (torch, tokenizers) may hang


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

    def held_out_texts(self, split: str = "test", count: int | None = None) -> list[str]:
        """The prepared text of the first ``count`` documents of a split (byte-level BPE decodes exactly)."""
        borders = self.offsets[split]
        chosen = range(len(borders) - 1)[:count]
        return [self.tokenizer.decode(self.tokens[split][borders[d] : borders[d + 1]]) for d in chosen]


def prepared_root() -> Path:
    """Where prepared arrays live: ``GENMODELS_PREPARED``, else ``data/prepared`` of the project."""
    if place := os.environ.get("GENMODELS_PREPARED"):
        return Path(place).expanduser().absolute()
    return project_root() / "data" / "prepared"


def prepared(config: TextConfig = TextConfig(), folder: Path | str | None = None, workers: int = 1) -> PreparedText:
    """The token arrays of ``config``, from the prepared folder or built from the raw text in ``folder``.

    Raises ``DataError`` for raw text that is missing or damaged, ``UserError`` for a bad config or an unwritable
    folder.
    """
    if config.corpus not in CORPORA:
        raise UserError(f"corpus {config.corpus!r} is unknown; choose one of {', '.join(CORPORA)}")
    if not 258 <= config.vocabulary <= 65_536:
        raise UserError(f"vocabulary {config.vocabulary} is out of range; choose 258 to 65536 (ids are uint16)")
    raw = wikipedia.locate(folder)
    sources = {
        "raw_digest": file_digest(raw), "config": to_plain(config), "version": PREPARATION_VERSION,
        "hazm": importlib.metadata.version("hazm"),
    }
    place = prepared_root() / f"{config.corpus}-{data_digest(json.dumps(sources, sort_keys=True))[:16]}"
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


def _build(config: TextConfig, raw: Path, place: Path, sources: dict[str, Any], workers: int) -> PreparedText:
    started = time.perf_counter()
    corpus = wikipedia.load(raw)
    documents, cleaning = clean_documents(corpus.documents)
    clean_seconds = time.perf_counter() - started
    texts, fluent_lengths, study = _texts(documents, config.corpus, workers)
    normalize_seconds = time.perf_counter() - started - clean_seconds
    kept = [i for i, text in enumerate(texts) if text]
    documents, texts, fluent_lengths = ([part[i] for i in kept] for part in (documents, texts, fluent_lengths))
    if missing := [split for split in SPLITS if not any(document.split == split for document in documents)]:
        raise DataError(f"after cleaning, {raw} has no {' and no '.join(missing)} text left; give a larger corpus")
    tokenizer = Tokenizer.train((t for d, t in zip(documents, texts) if d.split == "train"), config.vocabulary)
    arrays: dict[str, np.ndarray] = {}
    sizes: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        chosen = [i for i, document in enumerate(documents) if document.split == split]
        rows = [[tokenizer.bos, *ids, tokenizer.eos] for ids in tokenizer.encode_batch([texts[i] for i in chosen])]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        arrays[f"{split}-tokens"] = np.fromiter((i for row in rows for i in row), np.uint16, int(lengths.sum()))
        arrays[f"{split}-offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        arrays[f"{split}-characters"] = np.array([len(texts[i]) for i in chosen], np.int64)
        arrays[f"{split}-fluent_characters"] = np.array([fluent_lengths[i] for i in chosen], np.int64)
        sizes[split] = _sizes([texts[i] for i in chosen], int(lengths.sum()))
    statistics = {
        "corpus": {
            "name": corpus.name, "sha256": corpus.digest, "bytes": corpus.bytes, "documents": len(corpus.documents),
            "paragraphs": corpus.paragraphs, "characters": corpus.characters,
        },
        "kind": config.corpus, "vocabulary": tokenizer.vocabulary_size,
        "cleaning": cleaning, "splits": sizes, "words": study,
        "versions": {name: importlib.metadata.version(name) for name in ("hazm", "tokenizers", "numpy")},
        "seconds": {"clean": clean_seconds, "normalize": normalize_seconds, "total": time.perf_counter() - started},
    }
    _write(place, arrays, tokenizer, {"sources": sources, "statistics": statistics})
    return _open(config, place)


def _sizes(texts: list[str], tokens: int) -> dict[str, Any]:
    counts = Counter(word for text in texts for word in text.split())
    return {
        "documents": len(texts), "paragraphs": sum(text.count("\n") + 1 for text in texts),
        "characters": sum(map(len, texts)),
        "words": counts.total(), "types": len(counts), "tokens": tokens,
        "tokens_per_word": (tokens - 2 * len(texts)) / max(1, counts.total()),
    }


# --- normalisation of all documents, in this process or several -----------------------------------------------------


def _texts(documents: list[Document], corpus: str, workers: int) -> tuple[list[str], list[int], dict[str, Any]]:
    """Prepared text and fluent length of each document, and the word study of a classic corpus."""
    jobs = [(corpus, documents[i : i + CHUNK_DOCUMENTS]) for i in range(0, len(documents), CHUNK_DOCUMENTS)]
    study = {stage: {split: Counter() for split in SPLITS} for stage in ("words", "content", "lemmas")}
    texts: list[str] = []
    lengths: list[int] = []
    with progress_bar(total=len(documents), desc=f"normalise ({corpus})", unit="document") as bar:
        for job, (part, part_lengths, counts) in zip(jobs, _run(jobs, workers)):
            texts += part
            lengths += part_lengths
            for stage, by_split in counts.items():
                for split, counter in by_split.items():
                    study[stage][split].update(counter)
            bar.update(len(job[1]))
    return texts, lengths, _study(study) if corpus == "classic" else {}


def _run(jobs: list[Any], workers: int) -> Iterable[Any]:
    """Results in the jobs' order, whatever the number of processes."""
    if workers <= 1:
        yield from map(_prepare_chunk, jobs)
    else:
        with ProcessPoolExecutor(workers, multiprocessing.get_context(START_METHOD)) as pool:
            yield from pool.map(_prepare_chunk, jobs)


def _prepare_chunk(job: tuple[str, list[Document]]) -> tuple[list[str], list[int], dict[str, dict[str, Counter]]]:
    corpus, documents = job
    counts: dict[str, dict[str, Counter]] = {}
    texts, lengths = [], []
    for document in documents:
        paragraphs = [text for text in map(normalization.normalize, document.paragraphs) if text]
        lengths.append(len("\n".join(paragraphs)))
        if corpus == "classic":
            tokens = [normalization.words(paragraph) for paragraph in paragraphs]
            lemmas = [normalization.classic_words(row) for row in tokens]
            content = map(normalization.content_words, tokens)
            for stage, rows in (("words", tokens), ("content", content), ("lemmas", lemmas)):
                counter = counts.setdefault(stage, {}).setdefault(document.split, Counter())
                for row in rows:
                    counter.update(row)
            paragraphs = [" ".join(row) for row in lemmas if row]
        texts.append("\n".join(paragraphs))
    return texts, lengths, counts


def _study(counts: dict[str, dict[str, Counter]]) -> dict[str, Any]:
    """What removing stop words and lemmatising does to tokens, types and unseen words of the test split."""
    stops = normalization.stop_words()
    result: dict[str, Any] = {}
    for stage, by_split in counts.items():
        train, test = by_split["train"], by_split["test"]
        result[stage] = {
            "tokens": train.total(), "types": len(train),
            "unseen_test_share": sum(n for word, n in test.items() if word not in train) / max(1, test.total()),
            "once_share": sum(n == 1 for n in train.values()) / max(1, len(train)),
        }
    whole = Counter({word: n for word, n in counts["words"]["train"].items() if any(map(str.isalnum, word))})
    result["stop_words"] = {
        "listed": len(stops), "share": sum(n for word, n in whole.items() if word in stops) / max(1, whole.total()),
        "most_common": [[word, n] for word, n in whole.most_common(200) if word in stops][:10],
    }
    return result


# --- the folder -----------------------------------------------------------------------------------------------------


def _write(place: Path, arrays: dict[str, np.ndarray], tokenizer: Tokenizer, record: dict[str, Any]) -> None:
    """Write everything beside ``place`` and rename: the folder is whole or absent."""
    temporary: str | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent)
        os.chmod(temporary, 0o755)
        for name, array in arrays.items():
            np.save(Path(temporary, f"{name}.npy"), array)
        tokenizer.save(Path(temporary, "tokenizer.json"))
        files = {path.name: file_digest(path) for path in sorted(Path(temporary).iterdir())}
        write_json(Path(temporary, "preparation.json"), {**record, "files": files})
        if place.exists():
            shutil.rmtree(place)
        os.replace(temporary, place)
        temporary = None
    except OSError as error:
        reason = error.strerror or f"the disk may be full ({error})"  # numpy's: so many items written
        raise UserError(f"cannot write {place}: {reason}; {WAY_OUT}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


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
    return PreparedText(config, place, digest, tokenizer=Tokenizer.load(place / "tokenizer.json"),
                        statistics=record["statistics"], **arrays)
