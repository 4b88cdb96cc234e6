"""The layer over hazm: spelling, known faults mended, lemmas, and the classic preparation."""

import pytest

from genmodels.text import normalization
from genmodels.text.rules import ZWNJ


@pytest.mark.parametrize(
    "before, after",
    [
        ("كتاب ها را مي خوانم", f"کتاب{ZWNJ}ها را می{ZWNJ}خوانم"),
        ("او گفت : « سلام »", "او گفت: «سلام»"),
        ("از ۱۲۰۶-۱۲۴۸ تا ۲۰/۳۰", "از ۱۲۰۶-۱۲۴۸ تا ۲۰/۳۰"),
        ("جمعیت ۵۵٬۰۰۰ نفر و ۷٪ و ۲٫۵ متر", "جمعیت ۵۵٬۰۰۰ نفر و ۷٪ و ۲٫۵ متر"),
        ("در می ۱۹۶۸ بود", "در می ۱۹۶۸ بود"),
        ("ساعت ۱۲:۳۰", "ساعت ۱۲:۳۰"),
        ("", ""),
    ],
)
def test_normalize(before, after):
    assert normalization.normalize(before) == after


def test_words_keep_the_parts_of_a_verb_together():
    assert normalization.words("این گفته شده است…") == ["این", "گفته_شده_است", "…"]
    assert normalization.readable("گفته_شده_است") == f"گفته{ZWNJ}شده{ZWNJ}است"


def test_lemmas_are_words_not_pairs():
    assert normalization.lemma(f"کتاب{ZWNJ}ها") == "کتاب"
    assert normalization.lemma(f"می{ZWNJ}روم") == "رفت"  # the past stem of رفت#رو
    assert normalization.lemma("گفته_شده_است") == "گفت"
    every = [normalization.lemma(w) for w in ("است", "هست", "باشند", "نیست", "xyz", "۱۲")]
    assert all(every) and not any("#" in word or "_" in word for word in every)


def test_stop_words():
    stops = normalization.stop_words()
    assert {"از", "به", "که", "است"} <= stops and "ایران" not in stops and "" not in stops


def test_classic_has_no_stop_words_and_no_punctuation():
    text = f"نیوتن بسیار ضعیف بود و نمی{ZWNJ}توانست در بازی{ZWNJ}های خشن شرکت کند؛ گفته شده{ZWNJ}است."
    result = normalization.classic(text).split(" ")
    assert result[:6] == ["نیوتن", "ضعیف", "توانست", "بازی", "خشن", "شرکت"]  # the report: the negation is lost
    assert not normalization.stop_words() & set(result)
    assert normalization.classic("از به که.") == ""
    assert normalization.classic("") == ""
