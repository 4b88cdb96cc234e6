"""Stage ``vocabularies``: how far perplexity depends on the tokenizer, and what does not depend on it.

The same documents, the same model (modified Kneser-Ney 5-gram), tokenizers of several sizes, each trained on the training
text (its first ``train_documents`` documents; 0: all). Perplexity is per token, and tokens differ; bits per character and perplexity per word are the same total loss over
what every tokenizer leaves alone (``language/perplexity.py``).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from genmodels.config import TextConfig
from genmodels.language.kneser_ney import KneserNey
from genmodels.stages.base import Check
from genmodels.stages.profiles import DOCUMENTS
from genmodels.text.prepare import prepared
from genmodels.text.tokenizer import Tokenizer

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"vocabularies": [2000, 8000, 32000], "order": 5, "train_documents": 500},
    "smoke": {"vocabularies": [2000, 8000, 32000], "order": 5, "train_documents": 50, "documents": DOCUMENTS["smoke"]},
}


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """One row a vocabulary: tokens, perplexity, bits per character and perplexity per word of the test text."""
    text = prepared(TextConfig(documents=settings.get("documents", 0)), folder)
    train = text.held_out_texts("train", settings["train_documents"] or None)
    test = text.held_out_texts("test")
    return {
        "data": {"name": text.corpus_name, "corpus_sha256": text.corpus_digest},
        "rows": [_row(train, test, size, settings["order"]) for size in settings["vocabularies"]],
    }


def _row(train: list[str], test: list[str], size: int, order: int) -> dict[str, Any]:
    tokenizer = Tokenizer.train(train, size)
    model = KneserNey.fit(*_encoded(tokenizer, train), order, tokenizer.vocabulary_size, bos=tokenizer.bos)
    ids, offsets = _encoded(tokenizer, test)
    found = model.evaluate(ids, offsets, np.array(list(map(len, test))))
    words = sum(len(part.split()) for part in test)
    return {
        "vocabulary": tokenizer.vocabulary_size,
        "tokens": found.tokens,
        "perplexity": found.perplexity,
        "characters": sum(map(len, test)),
        "bits_per_character": found.bits_per_character,
        "words": words,
        "word_perplexity": math.exp(found.loss * found.tokens / words),
    }


def _encoded(tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of all documents (N,), and their borders (D + 1,)."""
    rows = [[tokenizer.bos, *ids, tokenizer.eos] for ids in tokenizer.encode_batch(texts)]
    return np.concatenate([np.array(row, np.int64) for row in rows]), np.cumsum([0, *map(len, rows)])


def consistent(rows: list[dict[str, Any]], reference: tuple[int, float] | None) -> list[Check]:
    """The three measures of a row are one total loss; with the whole training text, a row is stage ``ngram``'s result.

    ``reference``: vocabulary and perplexity of that stage; ``None`` where only a part of the training text was used.
    """
    gaps = []
    for row in rows:
        nats = row["tokens"] * math.log(row["perplexity"])
        for other in (
            row["characters"] * row["bits_per_character"] * math.log(2),
            row["words"] * math.log(row["word_perplexity"]),
        ):
            gaps.append(abs(other / nats - 1))
    checks = [Check("one loss", max(gaps) < 1e-9, f"largest relative difference {max(gaps):.1e}")]
    if reference is None:
        return checks
    vocabulary, perplexity = reference
    same = [abs(row["perplexity"] / perplexity - 1) for row in rows if row["vocabulary"] == vocabulary]
    detail = f"perplexity at {vocabulary} symbols differs by {max(same, default=math.inf):.1e} from stage ngram's"
    return [*checks, Check("ngram", bool(same) and max(same) < 1e-9, detail)]
