"""The fast path gives hazm's own text, to the character, on any text; a hazm that was not examined is left alone."""

import os
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genmodels.text import fast_hazm
from genmodels.text.rules import ZWNJ


@pytest.fixture(scope="module")
def both():
    from hazm import Normalizer

    normalizer = Normalizer()
    return fast_hazm.FastNormalizer(normalizer).normalize, normalizer.normalize


@pytest.fixture(scope="module")
def tokenizers():
    from hazm import WordTokenizer

    return fast_hazm.fast_tokenizer(), WordTokenizer().tokenize


WORDS = (
    "کتاب ها می روم نمی دانم میرود نمیدانست گفته شده است خانه ی ای اند تر ترین گری زمین لرزه مسئله‌ی آن‌ها شنبهها سلامممم "
    f'۱۲ 3.5 ۱۳۵۷/۲ ٪ % www.a.ir ... … « » ( ) [ ] {{ }} " ! ؟ ، ؛ : . - به در که و هٔ اِعلام ﷲ ﻻ ي ك ـ {ZWNJ} می{ZWNJ} '
    f"{ZWNJ}ها دههٔ صرف نظر یک سو هیئت مدیره ایالات متحده ممم میییرود نممممی"
).split()
NASTY = f'ابهیترگمین می  ها{ZWNJ}{ZWNJ}۱۲3.:!،؛؟»«()[]{{}}"/\\-ـًٔﷺﻵيكى“”\xa0\t\r\n_é#α'
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.sampled_from(NASTY), max_size=80),
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
    st.lists(st.sampled_from(WORDS), max_size=20).map("".join),
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["", " ", "  ", ZWNJ, ". "])), max_size=30).map(
        lambda parts: "".join(map("".join, parts))
    ),
)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(TEXTS)
@example("در می ۱۹۶۸ بود")  # a word of hazm's that ends in a half-space
@example(f"می{ZWNJ} رود")
@example("1.2.3 ... ۴.۵")
@example("")
@example(" \n ")
@example("\tـ")
def test_the_same_text_as_hazm(both, text):
    fast, plain = both
    assert fast(text) == plain(text)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(TEXTS)
def test_the_same_tokens_as_hazm(tokenizers, text):
    fast, plain = tokenizers
    assert fast(text) == plain(text)


def test_every_word_of_hazm_beside_every_kind_of_neighbour(both):
    """Pairs made of hazm's own words and verbs cut at their half-spaces: where joining happens."""
    from hazm import Normalizer

    fast, plain = both
    inside = fast_hazm._insides(Normalizer())
    choice = random.Random(1).choice
    whole = [word for word in (*inside["words"], *inside["verbs"]) if ZWNJ in word]
    for _ in range(300):
        text = " ".join(
            choice(whole).replace(ZWNJ, choice((" ", ZWNJ))) + choice(("", "", ".", "،")) for _ in range(12)
        )
        assert fast(text) == plain(text)


def test_a_version_that_was_not_examined_runs_as_it_is(monkeypatch):
    from hazm import Normalizer

    monkeypatch.setattr(fast_hazm, "EXAMINED", ())
    step = fast_hazm.fast_normalizer()
    assert isinstance(step.__self__, Normalizer)
    assert step("كتاب ها") == f"کتاب{ZWNJ}ها"


def test_real_text(both):
    folder = os.environ.get("GENMODELS_DATA") or pytest.skip("GENMODELS_DATA is not set (the real corpus)")
    from genmodels.data.wikipedia import load

    fast, plain = both
    paragraphs = [p for d in load(folder).documents[::60] for p in d.paragraphs[:10]]
    assert len(paragraphs) > 100
    for paragraph in paragraphs:
        for text in (paragraph, paragraph.replace(ZWNJ, " ")):
            assert fast(text) == plain(text)
