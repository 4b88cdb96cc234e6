"""Our byte-level BPE: exact round trip, the textbook example, and equality with Hugging Face ``tokenizers``."""

import doctest
import json
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.errors import DataError
from genmodels.text import bpe
from genmodels.text.tokenizer import SPECIALS, Tokenizer

ROOTS = ["کتاب", "خانه", "می‌رود", "می‌گوید", "دانش", "گاه", "ایران", "تاریخ", "شهر", "بزرگ"]
ENDINGS = ["", "ها", "‌ها", "‌های", "ی", "تر", "‌ترین", "ان", "،", ".", "؟", " ۱۳۵۷", " DNA", " (نو)"]


def persian_text(seed: int, words: int = 1500) -> str:
    generator = random.Random(seed)
    return " ".join(generator.choice(ROOTS) + generator.choice(ENDINGS) for _ in range(words)).replace("؟ ", "؟\n")


TEXT = persian_text(0)
TRAINED = bpe.train([TEXT], 600)
TOKENIZER = Tokenizer.train([TEXT], 400)


def test_worked_example_of_the_docstring():
    assert doctest.testmod(bpe).failed == 0


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_round_trip_of_any_text(text):
    assert "".join(bpe.pieces(text)) == text
    assert TRAINED.decode(TRAINED.encode(text)) == text
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_merges_are_counted_rightly():
    """Against the plain algorithm: count everything again before every merge."""
    words = "ab aab aaab abab bab aaaa".split()
    learnt = bpe.train([" ".join(words)], 256 + 8)
    sequences = [[bpe.BYTE_ORDER.index(byte) for byte in piece.encode()] for piece in bpe.pieces(" ".join(words))]
    for rank, (pair, count) in enumerate(zip(learnt.merges, learnt.counts)):
        counts = {}
        for sequence in sequences:
            for found in zip(sequence, sequence[1:]):
                counts[found] = counts.get(found, 0) + 1
        best = max(counts.values())
        assert count == best == counts[pair]
        assert pair == min(p for p, n in counts.items() if n == best)
        sequences = [bpe.merge(sequence, pair, 256 + rank) for sequence in sequences]


def equal_to_tokenizers(texts, size):
    ours, theirs = bpe.train(texts, size, first_id=len(SPECIALS)), Tokenizer.train(texts, size)
    assert theirs.as_bpe().merges == ours.merges
    for text in texts:
        assert ours.encode(text) == theirs.encode(text)
    return ours, theirs


def test_same_merges_and_ids_as_tokenizers():
    texts = [persian_text(1), persian_text(2), "aaaa aaa abababab", "½²٣日本語 \u200c\u200c "]
    ours, theirs = equal_to_tokenizers(texts, 700)
    assert len(ours.merges) > 200
    unseen = "نانوفناوری‌هایشان بی‌نظیر است!"
    assert ours.encode(unseen) == theirs.encode(unseen)


def test_a_piece_of_many_letters_is_encoded_as_tokenizers_does(monkeypatch):
    """Without a search of the whole piece for every merge."""
    tokenizer = Tokenizer.train([persian_text(1), persian_text(2), "aaaa aaa"], 700)
    ours = tokenizer.as_bpe()
    monkeypatch.setattr(bpe.BPE, "_steps", None)
    letters = persian_text(3).replace(" ", "").replace("\n", "")
    for piece in (letters * (16_000 // len(letters)), "a" * 16_001, "ه" * 9_999, "", "a"):
        assert ours.encode(piece) == tokenizer.encode(piece)


def test_merging_by_a_heap_gives_the_last_step_of_the_trace():
    for word in ("aaaaaaa", "abababa", "aabaab", "کتاب‌هایشان", "½²"):
        *_, (_, last) = TRAINED._steps(word)
        assert TRAINED.encode(word) == last


def test_same_as_tokenizers_on_real_text():
    folder = os.environ.get("GENMODELS_DATA") or pytest.skip("GENMODELS_DATA is not set (200 kB of real text)")
    from genmodels.data.wikipedia import load
    from genmodels.text.cleaning import clean_paragraph

    texts, size = [], 0
    for document in load(folder).documents:
        texts.append("\n".join(filter(None, map(clean_paragraph, document.paragraphs))))
        size += len(texts[-1].encode())
        if size > 200_000:
            break
    equal_to_tokenizers(texts, 2000)


def test_half_space_stays_inside_its_word():
    assert bpe.pieces("کتاب‌های ایران، ۱۲۳ متر.\nسلام  (نو)") == [
        "کتاب‌های",
        " ایران",
        "،",
        " ۱۲۳",
        " متر",
        ".",
        "\n",
        "سلام",
        "  ",
        "(",
        "نو",
        ")",
    ]


def test_trace_goes_from_bytes_to_tokens():
    rows = TRAINED.trace("کتاب‌ها")
    assert rows[0]["pair"] is None and len(rows[0]["symbols"]) == len("کتاب‌ها".encode())
    assert rows[-1]["symbols"] == [TRAINED.text(i) for i in TRAINED.encode("کتاب‌ها")]
    assert all(len(b["symbols"]) < len(a["symbols"]) for a, b in zip(rows, rows[1:]))


def test_special_tokens_in_a_text_are_text():
    assert (TOKENIZER.bos, TOKENIZER.eos) == (0, 1)
    ids = TOKENIZER.encode("<bos><eos>")
    assert not {0, 1} & set(ids) and TOKENIZER.decode([0, *ids, 1]) == "<bos><eos>"


def test_save_and_load(tmp_path):
    path = tmp_path / "tokenizer.json"
    TOKENIZER.save(path)
    again = Tokenizer.load(path)
    assert again.encode(TEXT) == TOKENIZER.encode(TEXT) and again.vocabulary_size == TOKENIZER.vocabulary_size
    assert not {0, 1} & set(again.encode("<bos>"))
    assert path.read_bytes() == Tokenizer.train([TEXT], 400).to_bytes()  # training is deterministic


@pytest.mark.parametrize("content", [None, "{", '{"model": 1}', json.dumps({})])
def test_a_damaged_tokenizer_is_one_line(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="prepare the text again") as error:
        Tokenizer.load(path)
    assert "\n" not in str(error.value)


def test_another_tokenizer_is_refused(tmp_path):
    import tokenizers

    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())
    with pytest.raises(DataError, match="not our tokenizer"):
        Tokenizer.load(path)


def test_the_reports_toy_example():
    """What the report says of its ten merges: exact, never counted more often than before, and ties in steps 3 to 6."""
    from genmodels.report.preparation import TOY_TEXT, toy_bpe

    toy, _ = toy_bpe(10)
    assert toy.decode(toy.encode(TOY_TEXT)) == TOY_TEXT and len(toy.merges) == 10
    assert toy.counts == sorted(toy.counts, reverse=True) and len(set(toy.counts[2:6])) == 1
