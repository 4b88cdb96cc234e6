"""What the arms of stage ``transfer`` read: the target texts in the pre-trained model's spelling, and Wikipedia.

Target documents go through the normalisation of the training text and the shipped model's own tokenizer (or one that an
arm learns from its own training text). Forgetting is measured on every ``FORGETTING``-th test document of the shipped model,
from its slice; what is replayed are training documents of Wikipedia, decoded and encoded again by its tokenizer, which an
older preparation may have made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genmodels import stages, store
from genmodels.config import TransferConfig
from genmodels.data import hafez
from genmodels.system.files import data_digest
from genmodels.text.normalization import prepare_chunk
from genmodels.text.prepare import prepared, version_of
from genmodels.text.tokenizer import Tokenizer
from genmodels.text.windows import Joined, NgramDataset

FORGETTING = 8  # one Wikipedia test document in so many
REPLAYED = 120  # training documents of Wikipedia, evenly spaced, that replay draws windows from

Documents = tuple[np.ndarray, np.ndarray, np.ndarray]  # ids, offsets, characters


def encoded(tokenizer: Tokenizer, texts: list[str] | tuple[str, ...]) -> Documents:
    """Ids (N,) uint16 with <bos> and <eos>, offsets (D + 1,), characters (D,)."""
    rows = [[tokenizer.bos, *ids, tokenizer.eos] for ids in tokenizer.encode_batch(list(texts))]
    offsets = np.cumsum([0, *map(len, rows)])
    return np.concatenate(rows).astype(np.uint16), offsets, np.array([len(text) for text in texts])


def chosen(documents: Documents, step: int) -> Documents:
    """Every ``step``-th of the documents."""
    ids, offsets, characters = documents
    kept = range(0, len(characters), step)
    rows = [ids[offsets[d] : offsets[d + 1]] for d in kept]
    return np.concatenate(rows), np.cumsum([0, *map(len, rows)]), characters[::step]


def first(documents: Documents, count: int) -> Documents:
    """The first ``count`` of the documents (0: all)."""
    ids, offsets, characters = documents
    count = count or len(characters)
    return ids[: offsets[: count + 1][-1]], offsets[: count + 1], characters[:count]


def parts_of(source: str) -> tuple[str, str]:
    """Stage and profile of a pre-trained model's name."""
    stage, _, profile = source.partition("/")
    return stage, profile


def pretrained(source: str) -> Any:
    """The shipped result called ``stage/profile``."""
    return stages.load(*parts_of(source))


def wikipedia(result: Any) -> Documents:
    """The test documents on which forgetting is measured."""
    return chosen(tuple(result.slice[f"test_{name}"] for name in ("ids", "offsets", "characters")), FORGETTING)


@dataclass(frozen=True)
class TransferTexts:
    """The target texts, normalised, and the shipped model they are carried to."""

    texts: dict[str, dict[str, tuple[str, ...]]]  # by target and split
    arms: tuple[TransferConfig, ...]
    source: str  # of the pre-trained model
    folder: Path | None
    learnt: dict[tuple[str, int, int], Tokenizer] = field(default_factory=dict)  # by text, its size, vocabulary
    # Training texts, also by whose tokens.
    tokenised: dict[tuple[str, int, int, bool], Documents] = field(default_factory=dict)

    @classmethod
    def read(cls, arms: Iterable[TransferConfig], folder: Path | None) -> TransferTexts:
        """What ``arms`` read. ``DataError`` where the ghazals are not there, ``StaleResult`` where the pre-trained model is not."""
        found = {
            target: {
                split: tuple(t for t, _ in prepare_chunk(("fluent", list(rows)))[0]) for split, rows in splits.items()
            }
            for target, splits in hafez.load(folder).items()
        }
        arms = tuple(arms)
        return cls(found, arms, arms[0].source, folder)

    @cached_property
    def result(self) -> Any:
        return pretrained(self.source)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(store.result_folder(*parts_of(self.source)) / "tokenizer.json")

    @cached_property
    def wikipedia(self) -> Documents:
        return wikipedia(self.result)

    @cached_property
    def replayed(self) -> Documents:
        """Training text of Wikipedia in the model's tokens."""
        text = prepared(self.result.config.text, self.folder)
        borders = text.offsets["train"]
        places = np.linspace(0, len(borders) - 2, REPLAYED).round().astype(int)
        rows = [text.tokenizer.decode(text.tokens["train"][borders[d] : borders[d + 1]]) for d in places]
        return encoded(self.tokenizer, rows)

    @property
    def identity(self) -> dict[str, Any]:
        """What the result was made from."""
        manifest = self.result.manifest
        weights = manifest["payload"]["weights.safetensors"]
        rows = [row for splits in self.texts.values() for split in splits.values() for row in split]
        return {
            "name": f"hafez {hafez.VERSION}",
            "file_sha256": hafez.DIGEST,
            "digest": data_digest(*rows, weights),
            "weights": weights,
            "pretrained": {
                "source": self.source,
                "preparation": version_of(manifest),
                "corpus_sha256": manifest["data"].get("corpus_sha256", "unknown"),
            },
        }

    def training_text(self, config: TransferConfig) -> tuple[str, ...]:
        """The first documents of the target that together have ``kilobytes`` (0: all)."""
        rows = self.texts[config.target]["train"]
        sizes = np.cumsum([len(row.encode()) for row in rows])
        wanted = 1000 * config.kilobytes or sizes[-1]
        return rows[: int(np.searchsorted(sizes, wanted)) + 1]

    def tokenizer_of(self, config: TransferConfig) -> Tokenizer:
        """The model's tokenizer, or one learnt from the arm's own training text."""
        if config.start != "own":
            return self.tokenizer
        key = (config.target, config.kilobytes, config.vocabulary)
        if key not in self.learnt:
            self.learnt[key] = Tokenizer.train(self.training_text(config), config.vocabulary)
        return self.learnt[key]

    def training_documents(self, config: TransferConfig) -> Documents:
        """An arm's training text in its own tokens."""
        key = (config.target, config.kilobytes, config.vocabulary, config.start == "own")
        if key not in self.tokenised:
            self.tokenised[key] = encoded(self.tokenizer_of(config), self.training_text(config))
        return self.tokenised[key]

    def test_documents(self, target: str) -> Documents:
        """The test documents of a target in the model's tokens."""
        return encoded(self.tokenizer, self.texts[target]["test"][: self.arms[0].evaluation_documents or None])

    @property
    def remembered(self) -> Documents:
        """The test documents of Wikipedia on which forgetting is measured."""
        return first(self.wikipedia, self.arms[0].evaluation_documents)

    def documents(self, config: TransferConfig, split: str) -> Documents:
        """The held-out documents that an arm is judged on, in its own tokens."""
        return encoded(
            self.tokenizer_of(config), self.texts[config.target][split][: config.evaluation_documents or None]
        )

    def dataset(self, config: TransferConfig) -> NgramDataset | Joined:
        """The windows of an arm; with ``replay`` so large a share of Wikipedia's among them, each of these once."""
        ids, offsets, _ = self.training_documents(config)
        target = NgramDataset(ids, offsets, config.window)
        if not config.replay:
            return target
        other = NgramDataset(*self.replayed[:2], config.window)
        plan = config.training
        epochs = max(1, round(plan.steps * plan.batch_size * (1 - config.replay) / len(target)))
        wanted = round(epochs * len(target) * config.replay / (1 - config.replay))
        places = np.linspace(0, len(other) - 1, wanted).round().astype(int)
        return Joined((target, np.tile(np.arange(len(target)), epochs)), (other, places))

    def counts(self, config: TransferConfig) -> np.ndarray:
        """How often each token occurs in an arm's training text, (vocabulary,)."""
        return np.bincount(self.training_documents(config)[0], minlength=config.vocabulary)
