"""Figures: every function draws, accepts the shapes it says, and shows the numbers it was given."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from genmodels.report import canvas, image_samples, image_training, network

HISTORY = pd.DataFrame(
    {
        "step": [10, 20, 30],
        "epoch": [0.5, 1.0, 1.5],
        "train_loss": [90.0, 85.0, 84.0],
        "validation_loss": [91.0, 86.0, 85.0],
        "test_loss": [None, 87.0, 86.0],
    }
)
BINS = pd.DataFrame({"predicted": [0.1, 0.9], "observed": [0.2, 0.8], "pixels": [100, 9]})
HALF = np.arange(28)[:, None].repeat(28, 1) < 14
PICTURES = torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0)).round()


def draw(figure: Figure) -> bytes:
    """The figure as SVG; a warning (such as a glyph without font) is an error under this test's filter."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg")
    return stream.getvalue()


@pytest.mark.filterwarnings("error:Glyph")
@pytest.mark.parametrize(
    "make",
    [
        lambda: network.masks(7),
        lambda: network.masks(3),
        lambda: network.binarizations(PICTURES[:, 0] * 255, PICTURES, [PICTURES, PICTURES]),
        lambda: network.field_map(np.tril(np.ones((28, 28)), -20)),
        lambda: canvas.loss_curves(HISTORY, "نات بر تصویر"),
        lambda: canvas.compare_curves({"LSTM": HISTORY, "ترنسفورمر": HISTORY}, "نات بر توکن"),
        lambda: image_samples.completions(PICTURES[:2], HALF, PICTURES[:6].view(2, 3, 28, 28)),
        lambda: image_training.reliability(BINS),
    ],
)
def test_every_figure_draws_with_all_its_glyphs(make: object) -> None:
    assert draw(make()).startswith(b"<?xml")


def test_images_keep_their_order_and_place() -> None:
    whole = canvas.tile(PICTURES, columns=5)
    assert whole.shape == (3 * 30 - 2, 5 * 30 - 2)
    assert np.array_equal(whole[30:58, 60:88], PICTURES[7, 0].numpy())  # second row, third column
    assert np.isnan(whole[60:, 60:]).all() and np.isnan(whole[28:30]).all()


@pytest.mark.parametrize("shape", [(12, 28, 28), (12, 784), (12, 1, 28, 28)])
def test_shapes_of_images(shape: tuple[int, ...]) -> None:
    assert np.array_equal(canvas.as_images(PICTURES.reshape(shape)), PICTURES[:, 0].numpy())


def test_curves_show_the_columns_that_are_there() -> None:
    (ax,) = canvas.loss_curves(HISTORY, "نات").axes
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 3, 2]
    assert len({line.get_linestyle() for line in ax.lines}) == len({line.get_marker() for line in ax.lines}) == 3
    (ax,) = canvas.loss_curves(HISTORY, "نات", beside={"دیگری": HISTORY}).axes
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 3, 2, 2]
    (ax,) = canvas.loss_curves(HISTORY.drop(columns=["epoch", "test_loss"]), "نات").axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[10, 20, 30]] * 2


def test_only_the_first_training_mean_may_leave_the_frame() -> None:
    towering = pd.DataFrame(
        {"step": [1, 2, 3], "epoch": [0.5, 1, 1.5], "train_loss": [170.0, 88, 86], "test_loss": [89.0, 86, 85]}
    )
    lower = pd.DataFrame({"step": [1, 2], "epoch": [0.5, 1], "test_loss": [84.0, 80]})
    (ax,) = canvas.loss_curves(towering, "نات", beside={"دیگری": lower}).axes
    low, high = ax.get_ylim()
    outside = [y for line in ax.lines for y in line.get_ydata() if not low < y < high]
    assert outside == [170.0]


def test_a_second_axis_holds_the_same_curve_in_another_unit() -> None:
    figure = canvas.loss_curves(HISTORY, "نات", ("بیت", 2.0))
    draw(figure)
    (ax,) = figure.axes
    (right,) = ax.child_axes
    assert np.allclose(np.array(ax.get_ylim()) * 2, right.get_ylim())


def test_figures_leave_nothing_open() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    network.masks(5)
    assert plt.get_fignums() == before


@pytest.mark.parametrize("count", [1, 6, 7, 8, 12])
def test_every_run_has_a_line_of_its_own(count: int) -> None:
    history = pd.DataFrame(
        {"step": [1, 2], "epoch": [0.1, 0.2], "validation_loss": [2.0, 1.0], "test_loss": [2.0, 1.0]}
    )
    runs = {f"اجرا {number}": history for number in range(count)}
    (ax,) = canvas.compare_curves(runs, "نات").axes
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in ax.lines}
    assert len(ax.lines) == len(looks) == count
    beside = dict(list(runs.items())[: count - 2]) if count > 2 else {}
    (ax,) = canvas.loss_curves(history, "نات", beside=beside).axes
    assert len(ax.lines) == 2 + len(beside)


def test_more_lines_than_looks_are_refused_not_left_out() -> None:
    with pytest.raises(ValueError, match="13 lines in one figure, 12 can be told apart"):
        canvas.styles(3, 10)
    for pair in ((0, 1), (0, 2), (1, 2)):  # two of colour, style and marker are enough to tell two lines apart
        assert len({str([look[i] for i in pair]) for look in canvas.LINES}) == len(canvas.LINES)
