"""The diagrams say what their subjects say: every merge, every token of a window, every letter of the equations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from genmodels.report import preparation, recurrent, transformer
from genmodels.report.persian import fa_int
from genmodels.report.plotting import persian_text
from genmodels.text import bpe

TRAINED = bpe.train(["abcabc abab cbc abcc"] * 3, 266)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@given(word=st.text(alphabet="abc", min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_the_tree_has_each_byte_each_merge_and_ends_in_the_tokens(word: str) -> None:
    trace = TRAINED.trace(word)
    shown = texts(preparation.merge_tree(trace))
    symbols = shown.copy()
    for symbol in trace[0]["symbols"]:
        symbols.remove(symbol)
    made = trace[1:]
    assert all(symbol in shown for symbol in trace[-1]["symbols"])
    joined = sum(len(before["symbols"]) - len(after["symbols"]) for before, after in zip(trace, made))
    assert len(shown) == len(trace[0]["symbols"]) + 2 * joined  # a name and a rank for each node
    assert {fa_int(row["rank"]) for row in made} <= set(symbols)


def test_a_window_shows_its_context_in_order_and_outlines_its_target() -> None:
    rows = [{"context": "<bos> | یک", "target": "دو"}, {"context": "یک | دو", "target": "سه"}]
    figure = recurrent.windows(rows)
    (axes,) = figure.axes
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    thick = [patch.get_linewidth() > 1 for patch in cells]
    assert thick == [False, False, True] * 2
    lefts = [patch.get_x() for patch in cells]
    assert lefts[0] > lefts[1] > lefts[2] and lefts[3] == pytest.approx(lefts[1])  # right to left, one token further
    assert texts(figure)[:6] == [persian_text(word) for word in ("<bos>", "یک", "دو", "یک", "دو", "سه")]


def test_the_block_names_what_the_equations_name() -> None:
    parts = texts(transformer.parts(heads=6, shared=3))
    assert (
        parts.count("$Q$") == 6 and parts.count("$K, V$") == 3 and parts.count("RMSNorm") == 2 and parts.count("+") == 2
    )
