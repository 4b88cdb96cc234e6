"""Persian in figures: shaped or not by matplotlib's version, digits on ticks, no missing glyph, no system font."""

from __future__ import annotations

import io
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from genmodels.errors import UserError
from genmodels.report import plotting
from genmodels.report.persian import fa, fa_sci
from genmodels.report.plotting import persian_text, persian_ticks, use_style


def draw(figure: plt.Figure) -> str:
    """The figure as SVG text; a missing glyph (a matplotlib warning) is an error."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(stream, format="svg")
    plt.close(figure)
    return stream.getvalue()


def test_labels_have_every_glyph_and_need_no_font() -> None:
    use_style()
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, 1], [-1, 1], label=persian_text("زیان آموزش (train) می‌شود؛ دورهٔ ۱۰٬۰۰۰ و لایهٔ L(θ)"))
    axes.set_xlabel(persian_text(f"مقدار {fa(-3.5)} و {fa_sci(1.2e-5)}"))
    axes.set_title("plain θ → text")
    axes.legend()
    persian_ticks(axes)
    svg = draw(figure)
    assert "<text" not in svg and "font-family" not in svg


def test_the_same_figure_gives_the_same_bytes() -> None:
    def once() -> str:
        use_style()
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        return draw(figure)

    first, second = once(), once()
    assert [row for row in first.splitlines() if "<dc:date>" not in row] == [
        row for row in second.splitlines() if "<dc:date>" not in row
    ]


def test_text_is_shaped_only_where_matplotlib_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "SHAPES_ITSELF", True)
    assert persian_text("زیان") == "\u200fزیان"
    pytest.importorskip("arabic_reshaper", reason="comes with the matplotlib that does not shape, on Python 3.11")
    monkeypatch.setattr(plotting, "SHAPES_ITSELF", False)
    shaped = persian_text("زیان (train)")
    assert shaped.startswith("(train) ") and shaped.endswith("\ufeaf")  # in drawing order
    assert persian_text("لایهٔ L(θ)").startswith("L(θ) ")
    assert persian_text(f"عدد {fa(-3.5)}").startswith("−۳٫۵ ")
    assert "\u0654" not in persian_text("دورهٔ") and "\u200c" not in persian_text("می‌شود")


def test_text_without_persian_is_left_alone_and_mixed_math_is_refused() -> None:
    assert persian_text("loss $x^2$") == "loss $x^2$"
    with pytest.raises(ValueError, match="cannot mix"):
        persian_text("زیان $L$")


def test_ticks() -> None:
    use_style()
    figure, (linear, log, named) = plt.subplots(1, 3)
    linear.plot([0, 1], [-0.5, 0.5])
    log.loglog([1, 1000], [1e-5, 1])
    named.bar(["a1", "b2"], [1, 2])
    for axes in (linear, log, named):
        persian_ticks(axes)
    figure.canvas.draw()
    assert {"−۰٫۴", "۰٫۰"} <= {label.get_text() for label in linear.get_yticklabels()}
    assert "$\\mathdefault{۱۰^{−۳}}$" in {label.get_text() for label in log.get_yticklabels()}
    assert [label.get_text() for label in named.get_xticklabels()] == ["a1", "b2"]
    draw(figure)


def test_a_missing_font_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(plotting, "FONTS", tmp_path)
    with pytest.raises(UserError, match="Vazirmatn-Regular.ttf is missing"):
        use_style()


def test_paths_are_rounded_and_nothing_else() -> None:
    svg = '<path d="M 1.234567 -0.000123\nL 10.5 3.999999" transform="scale(0.015625)"/><use x="1.234567"/>'
    assert plotting.rounded_paths(svg) == (
        '<path d="M 1.23 -0.00\nL 10.5 3.99" transform="scale(0.015625)"/><use x="1.234567"/>'
    )
