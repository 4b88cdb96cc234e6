"""The form of verse in numbers: counted by hand on small poems, and as it should be in the extremes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmodels.language.verse import form, line_lengths, rhyme_rate, shuffled

POEM = (
    "توانا بود هر که دانا بود\nز دانش دل پیر برنا بود\nخرد چشم جان است چون بنگری\nتو بی‌چشم شادان جهان نسپری\nنخست\nشنود"
)


def test_counted_by_hand() -> None:
    assert rhyme_rate([POEM]) == 0  # ود, ری, ود: no two neighbours
    assert rhyme_rate(["الف\nباد\nج\nداد\nه\nشاد\nز\nگرم"]) == pytest.approx(2 / 3)
    assert rhyme_rate(["الف\nنمی‌ برد \nج\nخورد،"]) == 1  # spaces, half-spaces and marks are no letters
    assert rhyme_rate(["تنها"]) == 0 and line_lengths(["دو\nسه‌تا"]).tolist() == [2, 5]
    assert form([POEM])["couplets"] == 3


lines = st.lists(st.text("ابپتد ", min_size=1, max_size=6), min_size=1, max_size=8)


@given(st.lists(lines, min_size=1, max_size=5), st.integers(0, 99))
def test_shuffled_lines_are_the_same_lines(poems: list[list[str]], seed: int) -> None:
    texts = ["\n".join(poem) for poem in poems]
    found = shuffled(texts, seed)
    assert [text.count("\n") for text in found] == [text.count("\n") for text in texts]
    assert sorted("\n".join(found).split("\n")) == sorted("\n".join(texts).split("\n"))
    assert np.sort(line_lengths(found)).tolist() == np.sort(line_lengths(texts)).tolist()
    assert 0 <= rhyme_rate(texts) <= 1
