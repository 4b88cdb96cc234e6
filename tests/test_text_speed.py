"""The measurements of preparation, BPE and vocabularies: what they compare is the same, what they check can fail."""

import importlib.metadata
import json

import pytest

from genmodels.report import perplexity
from genmodels.report import preparation as section
from genmodels.stages.speed import bpe, preparation, vocabularies
from genmodels.text import fast_hazm, normalization

TEXT = "كتاب ها را مي خوانم… او گفته شده است که «بازی های خشن» در ۱۲۰۶ - ۱۲۴۸ میرود؛ کتاب‌هایشان هم."


def test_plain_and_ours_give_the_same():
    from hazm import Normalizer

    normalizer = Normalizer()
    for text in (TEXT, TEXT * 3, ""):
        assert preparation.plain_normalize(normalizer)(text) == normalization.normalize(text)
        assert preparation.plain_classic(normalizer)(text) == normalization.classic(text)
    rows = preparation._steps([TEXT, TEXT * 2], 1)
    assert [row["step"] for row in rows] == ["normalize", "classic"] and all(row["ratio"] > 0 for row in rows)
    assert len(section.preparation_steps({"steps": rows}).data.splitlines()) == 4


def test_a_fast_way_that_gives_another_text_is_no_result(monkeypatch):
    monkeypatch.setattr(normalization, "normalize", lambda text: text)
    with pytest.raises(AssertionError, match="another text"):
        preparation._steps([TEXT], 1)


def test_longer_text_has_the_same_words_and_no_repetition():
    paragraphs = [f"{TEXT} {number}" for number in range(5)]
    found = list(preparation.longer(paragraphs, 3))
    assert found[:5] == paragraphs and len(found) == len(set(found)) == 15
    assert sorted(found[12].split(" ")) == sorted(paragraphs[2].split(" "))


def test_extrapolation_is_a_straight_line():
    rows = [{"workers": 2, "megabytes": size, "seconds": 10 + 2 * size} for size in (2.0, 8.0)]
    rows.insert(0, {"workers": 1, "megabytes": 2.0, "seconds": 99})
    rows.insert(2, {"workers": 1, "megabytes": 8.0, "seconds": 99})
    assert preparation.kaggle_seconds(rows, 2) == pytest.approx(212)
    assert preparation.kaggle_seconds(rows, 1) == pytest.approx(99)


def test_bpe_row_counts_by_hand():
    row = bpe._row(["اب اب اب", "اج"], 262, 1)
    ours = bpe.bpe.train(["اب اب اب", "اج"], 262, first_id=2)
    pieces = ["اب", " اب", "اج"]
    assert row["pieces"] == 3 and row["recount_readings"] == 3 * len(ours.merges)
    assert row["readings"] == sum(len(ours.trace(piece)) - 1 for piece in pieces) <= row["recount_readings"]
    assert len(section.bpe_training({"rows": [row]}).data.splitlines()) == 3


def test_one_loss_in_three_measures():
    texts = [f"کتاب {word} را خواند و به شهر رفت." for word in "ایران تاریخ علم جهان باغ رود کوه دریا".split() * 6]
    rows = [vocabularies._row(texts[:40], texts[40:], size, 2) for size in (280, 330)]
    assert json.loads(json.dumps(rows)) == rows and rows[0]["tokens"] > rows[1]["tokens"]
    reference = (rows[1]["vocabulary"], rows[1]["perplexity"])
    assert all(check.passed for check in vocabularies.consistent(rows, reference))
    assert [c.passed for c in vocabularies.consistent(rows, (reference[0], 1.01 * reference[1]))] == [True, False]
    assert len(vocabularies.consistent(rows, None)) == 1
    rows[0]["bits_per_character"] *= 1.001
    assert [c.passed for c in vocabularies.consistent(rows, reference)] == [False, True]
    assert len(perplexity.tokenizer_dependence({"rows": rows}).data.splitlines()) == 4


def test_the_reading_of_lemmas():
    rows = section.lemma_reading()
    assert len(rows) == len({row["word"] for row in rows}) == 100
    assert {row["right"] for row in rows} == {"yes", "no"}
    assert all(bool(row["note"]) == (row["right"] == "no") for row in rows)
    if importlib.metadata.version("hazm") == "0.10.0":  # the one that was read
        assert all(fast_hazm.hazm_object("Lemmatizer").lemmatize(row["word"]) == row["hazm"] for row in rows)


def test_interval_of_a_share():
    low, high = section.share_interval(8, 100)
    assert (low, high) == pytest.approx((0.0411, 0.1500), abs=1e-3)
    assert section.share_interval(0, 100)[0] == pytest.approx(0) and 0 < section.share_interval(0, 100)[1] < 0.05
