"""Stage ``speed-bpe``: our BPE trainer's cost law in numbers, and its time against Hugging Face ``tokenizers``.

Counting the pairs anew after each merge would read every distinct piece at every merge. Our trainer reads a piece again
only when a pair in it is merged: as many readings as the pieces have merge steps altogether (plus one heap entry a changed
count, O(log pairs) each). Both numbers are counted here, exactly, on the validation text; times are processor seconds of the
training alone, one thread, medians of interleaved repeats, and the two must learn the same merges.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from genmodels.config import TextConfig
from genmodels.stages.base import Check
from genmodels.text import bpe
from genmodels.text.prepare import prepared
from genmodels.text.tokenizer import SPECIALS, Tokenizer

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"split": "validation", "documents": 60, "vocabularies": [1000, 2000, 4000, 8000], "repeats": 1},
    "smoke": {"split": "validation", "documents": 5, "vocabularies": [400, 600], "repeats": 1},
}


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """One row a vocabulary: readings of pieces, counted anew and incremental; seconds of both trainers."""
    text = prepared(TextConfig(), folder)
    texts = text.held_out_texts(settings["split"], settings["documents"])
    rows = [_row(texts, size, settings["repeats"]) for size in settings["vocabularies"]]
    return {"data": {"name": text.corpus_name}, "characters": sum(map(len, texts)), "rows": rows}


def _row(texts: list[str], size: int, repeats: int) -> dict[str, Any]:
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        ours_seconds, peer_seconds = [], []
        for _ in range(repeats):
            clock = time.process_time()
            ours = bpe.train(texts, size, first_id=len(SPECIALS))
            ours_seconds.append(time.process_time() - clock)
            clock = time.process_time()
            peer = Tokenizer.train(texts, size)
            peer_seconds.append(time.process_time() - clock)
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
    if ours.merges != peer.as_bpe().merges:
        raise AssertionError(f"vocabulary {size}: our merges are not those of tokenizers")
    pieces = Counter(piece for text in texts for piece in bpe.pieces(text))
    mine, theirs = statistics.median(ours_seconds), statistics.median(peer_seconds)
    return {
        "vocabulary": size,
        "pieces": len(pieces),
        "recount_readings": len(pieces) * len(ours.merges),
        "readings": sum(len(ours.trace(piece)) - 1 for piece in pieces),
        "seconds": mine,
        "tokenizers_seconds": theirs,
        "ratio": mine / theirs,
    }


def agree(texts: list[str]) -> list[Check]:
    """On held-out texts both trainers learn the same merges."""
    same = bpe.train(texts, 600, first_id=len(SPECIALS)).merges == Tokenizer.train(texts, 600).as_bpe().merges
    return [
        Check("merges", same, f"{600 - 256 - len(SPECIALS)} merges are {'' if same else 'not '}those of tokenizers")
    ]
