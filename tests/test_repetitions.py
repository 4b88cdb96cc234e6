"""Repeated paragraphs: planted ones are found, others are left, in fixed memory."""

import random

import numpy as np
import pytest

from genmodels.text import repetitions
from genmodels.text.repetitions import NEAR_DUPLICATE, SHINGLE_WORDS, HashTable, Repetitions, mark

WORDS = [f"واژه{number}" for number in range(5000)]


def paragraph(seed: int, count: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count)) + "."


def shared(a: str, b: str) -> float:
    """Share of the word 8-grams of ``b`` that stand in ``a``: what the hashed sample estimates."""

    def grams(text):
        words = text.split(" ")
        return [tuple(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1)]

    known = set(grams(a))
    return sum(gram in known for gram in grams(b)) / len(grams(b))


def test_exact_and_near_and_short():
    seen = Repetitions()
    assert not seen.seen(mark(paragraph(0)))
    assert seen.seen(mark(paragraph(0)))
    assert seen.seen(mark(paragraph(0)[:-1] + " و بس."))
    assert not seen.seen(mark(paragraph(1)))
    assert not seen.seen(mark("سه واژهٔ کوتاه")) and seen.seen(mark("سه واژهٔ کوتاه"))


@pytest.mark.parametrize("kept_words, expected", [(110, True), (90, True), (60, False), (30, False)])
def test_planted_near_repetitions(kept_words, expected):
    """Paragraphs that share their first words with an earlier one: found from about 60% shared 8-grams on."""
    found = 0
    for seed in range(40):
        first = paragraph(seed)
        words = first.split(" ")[:kept_words] + paragraph(1000 + seed, 120 - kept_words).split(" ")
        assert (shared(first, " ".join(words)) >= NEAR_DUPLICATE) == expected
        seen = Repetitions()
        assert not seen.seen(mark(first))
        found += seen.seen(mark(" ".join(words)))
    assert found >= 36 if expected else found <= 6  # one shingle in four is looked at, so a few err near the border


def test_training_text_shares_no_long_run_with_held_out_text():
    run = " ".join(paragraph(0).split(" ")[40:80])  # a third of either paragraph
    around = [" ".join([paragraph(n, 40), run, paragraph(n + 1, 40)]) for n in (1, 3)]
    seen = Repetitions()
    assert not seen.seen(mark(paragraph(0)), held_out=True)
    assert not seen.seen(
        mark(around[0]), held_out=True
    )  # between held-out texts, and between training texts, it is quotation
    assert seen.seen(mark(around[1]))
    seen = Repetitions()
    assert not seen.seen(mark(paragraph(0))) and not seen.seen(mark(around[1]))


def test_held_out_text_is_never_pushed_out(monkeypatch):
    monkeypatch.setattr(repetitions, "ROWS", 128)
    seen = Repetitions()
    assert not seen.seen(mark(paragraph(0, 30)), held_out=True)
    for seed in range(1, 200):
        seen.seen(mark(paragraph(seed, 30)))
    assert seen.seen(mark(paragraph(0, 30)))
    assert sum(seen.seen(mark(paragraph(seed, 30))) for seed in range(1, 60)) < 40  # old training text is forgotten


def test_table_holds_what_was_put_in_and_stays_as_large():
    rng = np.random.default_rng(0)
    table = HashTable(1 << 10)
    before = table._table.nbytes
    first, others = (rng.integers(1, 1 << 63, count, dtype=np.uint64) for count in (2000, 1000))
    table.add(first)
    assert table.holds(first).mean() > 0.99 and not table.holds(others).any()
    for _ in range(50):
        table.add(rng.integers(1, 1 << 63, 2000, dtype=np.uint64))
    assert not table.holds(first).any() and table._table.nbytes == before


def test_hashes_added_together_lie_where_one_by_one_they_would():
    rng = np.random.default_rng(1)
    together, alone = HashTable(16), HashTable(16)
    for _ in range(300):  # often two fall into one row
        hashes = rng.integers(1, 1 << 63, rng.integers(0, 7), dtype=np.uint64)
        together.add(hashes)
        for place in range(len(hashes)):
            alone.add(hashes[place : place + 1])
    assert (together._table == alone._table).all() and (together._filled == alone._filled).all()
