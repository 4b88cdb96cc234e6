"""The numbers of report section 2.1: what each step of preparation does to the text, as plain JSON values.

It measures on the real corpus (a minute or two), so the report reads a stored copy (stage ``text``); the tables are
made of it by ``report/preparation.py``. Nothing here changes what is prepared.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genmodels.data import wikipedia
from genmodels.text import normalization
from genmodels.text.bpe import TRACED
from genmodels.text.cleaning import clean_documents, clean_paragraph
from genmodels.text.prepare import PreparedText
from genmodels.text.rules import ZWNJ
from genmodels.text.tokenizer import Tokenizer
from genmodels.text.windows import NgramDataset, window_table

VOCABULARIES = (1000, 2000, 4000, 8000, 16000, 32000)
SHOWN_WORDS = (" ایران", " دانشگاه", " می‌نویسند", " می نویسند", " کتاب‌هایشان", " نانوبیوتکنولوژی", " DNA", " ۱۴۰۳")
LEMMA_EXAMPLES = (  # a token, and whether its lemma is the right one
    ("کتاب‌ها", True),
    ("بزرگ‌ترین", True),
    ("دانشجویان", True),
    ("می‌روم", True),
    ("گفته_شده_است", True),
    ("نمی‌توانست", True),
    ("فرهنگی", False),
    ("سمی", False),
)
SENTENCE = "نیوتن بسیار ضعیف بود و نمی‌توانست در بازی‌های خشن هم‌کلاسی‌هایش شرکت کند."


def text_statistics(fluent: PreparedText, classic: PreparedText, folder: Path | str | None = None) -> dict[str, Any]:
    """``{"fluent": statistics, "classic": statistics, "study": …}``: all that section 2.1 of the report reads."""
    study = preparation_study(fluent, classic, folder)
    return {"fluent": fluent.statistics, "classic": classic.statistics, "study": study}


def preparation_study(fluent: PreparedText, classic: PreparedText, folder: Path | str | None = None) -> dict[str, Any]:
    """The studies below, on the raw text in ``folder`` and what both preparations made of it."""
    raw = wikipedia.load(folder).thinned(fluent.config.documents).documents
    cleaned = clean_documents(raw)[0]
    train, test = (fluent.held_out_texts(split) for split in ("train", "test"))
    sentence = normalization.normalize(SENTENCE)
    return {
        "normalization": normalization_study(raw, cleaned, train),
        "half_spaces": half_space_study([p for d in cleaned if d.split == "test" for p in d.paragraphs]),
        "bpe": bpe_study(train, test, fluent.tokenizer),
        "example": {"fluent": sentence, "classic": normalization.classic(sentence)},
        "lemmas": [[normalization.readable(word), normalization.lemma(word), note] for word, note in LEMMA_EXAMPLES],
        "windows": window_example(fluent),
        "left_by_classic": left_by_classic(fluent, classic),
    }


def _words(texts: Iterable[str]) -> Counter[str]:
    """Word types by spaces, without the punctuation at their edges."""
    return Counter(word for text in texts for part in text.split() if (word := part.strip("،؛.:!؟()«»\"'-–—…")))


def normalization_study(raw: list[Any], cleaned: list[Any], normalized: list[str]) -> list[dict[str, Any]]:
    """Words and types of the training split after each step."""
    steps = {
        "raw": [p for d in raw if d.split == "train" for p in d.paragraphs],
        "cleaned": [p for d in cleaned if d.split == "train" for p in d.paragraphs],
        "normalized": normalized,
    }
    rows = []
    for name, texts in steps.items():
        counts = _words(texts)
        rows.append(
            {
                "step": name,
                "words": counts.total(),
                "types": len(counts),
                "once": sum(n == 1 for n in counts.values()),
                "characters": len(set().union(*map(set, texts))),
            }
        )
    return rows


def half_space_study(paragraphs: list[str]) -> dict[str, Any]:
    """Half-spaces replaced by spaces (as in the Kaggle file), then normalised: how many come back, and are right.

    Positions are counted in the text without spaces and half-spaces; paragraphs whose letters hazm treats differently
    are left out.
    """
    before = after = both = original = used = 0
    for paragraph in paragraphs:
        wanted = normalization.normalize(paragraph)
        found = normalization.normalize(clean_paragraph(paragraph.replace(ZWNJ, " ")))
        if _letters(wanted) != _letters(found):
            continue
        used += 1
        wanted_at, found_at = _half_space_places(wanted), _half_space_places(found)
        before, after, both = before + len(wanted_at), after + len(found_at), both + len(wanted_at & found_at)
        original += paragraph.count(ZWNJ)
    return {
        "paragraphs": used,
        "of_paragraphs": len(paragraphs),
        "in_text": original,
        "after_normalizing": before,
        "recall": both / max(1, before),
        "precision": both / max(1, after),
    }


def _letters(text: str) -> str:
    return text.replace(" ", "").replace(ZWNJ, "")


def _half_space_places(text: str) -> set[int]:
    """How many letters precede each half-space."""
    places, letters = set(), 0
    for character in text:
        if character == ZWNJ:
            places.add(letters)
        elif character != " ":
            letters += 1
    return places


def bpe_study(train: list[str], test: list[str], tokenizer: Tokenizer) -> dict[str, Any]:
    """Vocabulary size against length; half-spaces inside words or not; words against pieces; one word traced."""
    counts, held_out = _words(train), _words(test)
    total = held_out.total()
    common = {word for word, _ in counts.most_common(tokenizer.vocabulary_size)}
    encoded = tokenizer.encode_batch([f" {word}" for word in held_out])
    lengths = {word: len(ids) for word, ids in zip(held_out, encoded)}
    bpe = tokenizer.as_bpe()
    return {
        "vocabularies": [_vocabulary_row(train, test, size) for size in VOCABULARIES],
        "stock_pattern": _vocabulary_row(train, test, tokenizer.vocabulary_size, stock_pattern=True),
        "word_types": len(counts),
        "unknown_share_of_word_vocabulary": sum(n for word, n in held_out.items() if word not in common) / total,
        "unseen_word_share": sum(n for word, n in held_out.items() if word not in counts) / total,
        "whole_word_share": sum(n for word, n in held_out.items() if lengths[word] == 1) / total,
        "tokens_per_seen_word": _mean((lengths[word], n) for word, n in held_out.items() if word in counts),
        "tokens_per_unseen_word": _mean((lengths[word], n) for word, n in held_out.items() if word not in counts),
        "first_merges": first_merges(tokenizer),
        "trace": bpe.trace(TRACED),
        "shown_words": [[word.strip(), [bpe.text(i) for i in bpe.encode(word)]] for word in SHOWN_WORDS],
    }


def first_merges(tokenizer: Tokenizer) -> list[list[str]]:
    """The first forty merges: left, right, and what they make."""
    bpe = tokenizer.as_bpe()
    first = enumerate(bpe.merges[:40], bpe.first_id + 256)
    return [[bpe.text(left), bpe.text(right), bpe.text(new)] for new, (left, right) in first]


def _vocabulary_row(train: list[str], test: list[str], size: int, stock_pattern: bool = False) -> dict[str, Any]:
    started = time.process_time()
    tokenizer = Tokenizer.train(train, size, stock_pattern)
    seconds = time.process_time() - started
    tokens = sum(map(len, tokenizer.encode_batch(test)))
    return {
        "vocabulary": tokenizer.vocabulary_size,
        "tokens_per_word": tokens / sum(len(text.split()) for text in test),
        "characters_per_token": sum(map(len, test)) / tokens,
        "bytes_per_token": sum(len(text.encode()) for text in test) / tokens,
        "train_cpu_seconds": seconds,
    }


def _mean(pairs: Iterable[tuple[int, int]]) -> float:
    total = weight = 0
    for value, count in pairs:
        total, weight = total + value * count, weight + count
    return total / max(1, weight)


def window_example(text: PreparedText, window: int = 4, rows: int = 6) -> list[dict[str, str]]:
    """The first n-gram samples of the first test document."""
    dataset = NgramDataset(text.tokens["test"], text.offsets["test"], window, targets="last")
    return window_table(dataset, text.tokenizer.decode, rows=rows)


def left_by_classic(fluent: PreparedText, classic: PreparedText) -> dict[str, float]:
    """How much text the classic preparation leaves of the test split, in characters and in tokens."""
    return {
        "characters": float(classic.characters["test"].sum() / classic.fluent_characters["test"].sum()),
        "tokens": float(len(classic.tokens["test"]) / len(fluent.tokens["test"])),
    }
