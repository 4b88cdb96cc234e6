"""Every plot of the report: one function each, from numbers to a matplotlib ``Figure``.

Labels are Persian (so that no chunk of the report needs to hold any); lines differ by style and marker as well as by a
colour-blind safe colour (Okabe and Ito), so that they can be told apart in black and white. Functions here read no file
and train nothing; fonts, shaping and digits are the business of ``genmodels.report.plotting``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from genmodels.report.persian import fa
from genmodels.pixelcnn.masked_conv import causal_mask
from genmodels.report.plotting import PALETTE, PersianFormatter, persian_text, persian_ticks, use_style

BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK = PALETTE
LINES = [  # colour, line style, marker: no two alike in two of the three
    (BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"),
    (PURPLE, ":", "D"), (BLACK, (0, (5, 1)), "v"), (SKY, "-", "x"),
    (YELLOW, "--", "P"), (BLUE, "-.", "s"), (ORANGE, ":", "^"), (GREEN, (0, (5, 1)), "D"),
    (PURPLE, "-", "v"), (BLACK, "--", "x"),
]
SPLITS = {"train_loss": "آموزش", "validation_loss": "اعتبارسنجی", "test_loss": "آزمون"}
GREY = "#7F7F7F"
PAPER = "#E6E6E6"  # what lies between and outside images


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A styled figure that no pyplot state keeps alive: the caller owns it (sizes in inches)."""
    use_style()
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), **options)
    plt.close(figure)
    return figure, axes


def styles(count: int, first: int = 0) -> list[tuple[str, Any, str]]:
    """``count`` looks of lines, from number ``first`` on; ``ValueError`` where there are fewer: none is left out."""
    if first + count > len(LINES):
        raise ValueError(f"{first + count} lines in one figure, {len(LINES)} can be told apart; draw two figures")
    return LINES[first : first + count]


def as_images(images: Any) -> np.ndarray:
    """(N, H, W) float array of tensors or arrays shaped (N, 1, H, W), (N, H, W), (H, W) or (N, 784)."""
    array = np.asarray(images, dtype=float)
    if array.ndim == 2 and array.shape[1] == 784:
        return array.reshape(-1, 28, 28)
    return array.reshape(-1, *array.shape[-2:])


def tile(images: Any, columns: int, gap: int = 2) -> np.ndarray:
    """One large (H', W') array of the images, row by row, NaN between them and in unused places."""
    array = as_images(images)
    count, height, width = array.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = array[index]
    return canvas


def show_ink(ax: Axes, array: np.ndarray) -> None:
    """Draw values 0..1 as ink on white, NaN as the paper between; no ticks."""
    colours = plt.get_cmap("gray_r").with_extremes(bad=PAPER)
    ax.imshow(np.ma.masked_invalid(array), cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def image_rows(rows: Mapping[str, Any], columns: int = 10) -> Figure:
    """Labelled rows of images, the first ``columns`` of each: ``{label: images}``."""
    figure, axes = new_figure(5.4, 0.52 * len(rows), len(rows), 1, squeeze=False)
    for ax, (label, images) in zip(axes[:, 0], rows.items()):
        show_ink(ax, tile(as_images(images)[:columns], columns))
        ax.text(1.02, 0.5, persian_text(label), transform=ax.transAxes, ha="left", va="center", fontsize=9)
    return figure


def binarizations(grey: Any, threshold: Any, draws: Sequence[Any], columns: int = 10) -> Figure:
    """Grey images, their threshold bits, and several random draws of them, under each other. ``grey`` is 0..255."""
    rows = {"خاکستری": as_images(grey) / 255, "آستانه‌ای": threshold}
    rows |= {f"قرعهٔ {fa(index)}": draw for index, draw in enumerate(draws, start=1)}
    return image_rows(rows, columns)


def masks(kernel: int = 7) -> Figure:
    """Masks A and B of a ``kernel`` x ``kernel`` convolution: the taps in use carry a 1, the centre an outline."""
    figure, axes = new_figure(4.4, 2.4, 1, 2)
    for ax, name in zip(axes, "BA"):  # right to left: A is read first
        mask = causal_mask(name, kernel).numpy()
        colours = ListedColormap(["white", "#9CC9E8"])
        ax.pcolormesh(mask, cmap=colours, vmin=0, vmax=1, edgecolors=GREY, linewidth=0.6)
        for (row, column), value in np.ndenumerate(mask):
            ink = BLACK if value else GREY
            ax.text(column + 0.5, row + 0.5, fa(int(value)), ha="center", va="center", fontsize=9, color=ink)
        ax.add_patch(Rectangle((kernel // 2, kernel // 2), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.4))
        ax.set(aspect="equal", xlim=(-0.06, kernel + 0.06), ylim=(kernel + 0.06, -0.06))  # room for the outer lines
        ax.set_axis_off()
        ax.set_title(persian_text(f"ماسک {name}"))
    return figure


def receptive_field(field: Any, row: int | None = None, column: int | None = None) -> Figure:
    """Where one output looks: |d logit / d pixel| in colour, the unseen earlier pixels hatched, later ones grey.

    ``field`` (H, W) is exactly zero where there is no influence; (row, column) is the output's pixel, else the centre.
    """
    field = np.asarray(field, dtype=float)
    height, width = field.shape
    row, column = height // 2 if row is None else row, width // 2 if column is None else column
    order = np.arange(height * width).reshape(height, width)
    earlier, here = order < order[row, column], order == order[row, column]
    seen = field > 0
    figure, ax = new_figure(4.6, 3.4)
    ax.pcolormesh(np.where(earlier | here, np.nan, 1.0), cmap=ListedColormap([PAPER]))
    top = field.max()
    norm = LogNorm(max(field[seen].min(), top * 1e-6), top)
    colour = ax.pcolormesh(np.where(seen, field, np.nan), cmap="Blues", norm=norm)
    for r, c in zip(*np.nonzero(earlier & ~seen)):
        ax.add_patch(Rectangle((c, r), 1, 1, facecolor="white", edgecolor=ORANGE, hatch="////", linewidth=0))
    ax.plot(column + 0.5, row + 0.5, marker="x", color=BLACK, markersize=9, markeredgewidth=2.2, linestyle="none")
    ax.set(aspect="equal", xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(True)
    bar = figure.colorbar(colour, ax=ax, shrink=0.85)
    bar.set_label(persian_text("بزرگی گرادیان (مقیاس لگاریتمی)"))
    persian_ticks(bar.ax)
    handles = [
        plt.Line2D([], [], marker="x", color=BLACK, markeredgewidth=2.2, linestyle="none"),
        Patch(facecolor="#6BAED6"), Patch(facecolor="white", edgecolor=ORANGE, hatch="////"), Patch(facecolor=PAPER),
    ]
    names = ["پیکسل خروجی", "پیش از آن و دیده‌شده", "پیش از آن و دیده‌نشده", "پس از آن (آینده)"]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": 2, "frameon": False, "fontsize": 9}
    ax.legend(handles, [persian_text(name) for name in names], **place)
    return figure


def loss_curves(
    history: pd.DataFrame, unit_label: str, second: tuple[str, float] | None = None, beside: Mapping[str, pd.DataFrame] | None = None
) -> Figure:
    """Train, validation and test loss (those present) against the epoch, or the step where no epoch is recorded.

    ``unit_label`` is the Persian name of the unit, such as "نات بر تصویر"; ``second`` another unit for an axis on the
    right: its name, and how much of it one of the first is. ``beside``: other runs by label, with their test loss alone.
    """
    present = {column: label for column, label in SPLITS.items() if column in history and history[column].notna().any()}
    figure, ax = new_figure(5.2, 2.1 if second is None and not beside else 2.6)
    for (column, label), (colour, style, marker) in zip(present.items(), styles(len(present)), strict=True):
        _line(ax, history, column, label, colour, style, marker)
    others = beside or {}
    for (label, other), (colour, style, marker) in zip(others.items(), styles(len(others), len(present)), strict=True):
        _line(ax, other, "test_loss", label, colour, style, marker)
    _cut_first(ax, history, list(present), [other["test_loss"] for other in others.values()])
    if second is not None:
        name, factor = second
        right = ax.secondary_yaxis("right", functions=(lambda value: value * factor, lambda value: value / factor))
        right.set_ylabel(persian_text(name))
        right.yaxis.set_major_formatter(PersianFormatter())
    return _finish_curves(figure, ax, history, unit_label)


def _cut_first(ax: Axes, history: pd.DataFrame, columns: list[str], others: list[pd.Series]) -> None:
    """Where the first training mean towers over all that follows, leave it above the frame and print its value there.

    Every other point stays inside, those of the ``others`` drawn with them, too.
    """
    if "train_loss" not in columns or len(history) < 3:
        return
    first, opening = history["train_loss"].iloc[0], history[columns].iloc[0].drop("train_loss").to_numpy(dtype=float)
    rest = np.concatenate([history[columns].iloc[1:].to_numpy(dtype=float).ravel(), opening, *others])
    top, bottom = np.nanmax(rest), np.nanmin(rest)
    if first - bottom > 2 * (top - bottom):
        ax.set_ylim(bottom - 0.06 * (top - bottom), top + 0.12 * (top - bottom))
        x = history["epoch" if "epoch" in history else "step"].iloc[0]
        ax.annotate(
            persian_text(f"↑ {fa(first, 1)}"), (x, 1), xycoords=("data", "axes fraction"), xytext=(0, -4),
            textcoords="offset points", ha="center", va="top", fontsize=8,
        )


def compare_curves(histories: Mapping[str, pd.DataFrame], unit_label: str, column: str = "validation_loss") -> Figure:
    """The same loss of several runs: ``{Persian name: history}``."""
    figure, ax = new_figure(5.2, 2.1)
    for (label, history), (colour, style, marker) in zip(histories.items(), styles(len(histories)), strict=True):
        _line(ax, history, column, label, colour, style, marker)
    return _finish_curves(figure, ax, next(iter(histories.values())), unit_label)


def completions(truth: Any, mask: Any, drawn: Any) -> Figure:
    """One row an image: the truth, what was kept of it, and its completions.

    ``truth`` (N, 28, 28), ``mask`` (28, 28) True where kept, ``drawn`` (N, K, 28, 28). Read from right to left.
    """
    truth = as_images(truth)
    keep = np.asarray(mask, dtype=bool).reshape(truth.shape[1:])
    drawn = np.asarray(drawn, dtype=float).reshape(len(truth), -1, *truth.shape[1:])
    columns = drawn.shape[1] + 2
    kept = np.where(keep, truth, 0.25 * (~keep))  # the hidden part as a grey veil
    rows = np.concatenate([drawn[:, ::-1], kept[:, None], truth[:, None]], axis=1)  # right to left
    canvas = tile(rows.reshape(-1, *truth.shape[1:]), columns)
    figure, ax = new_figure(4.2, 4.2 * canvas.shape[0] / canvas.shape[1] + 0.25)
    show_ink(ax, canvas)
    step, middle = truth.shape[2] + 2, truth.shape[2] / 2
    labels = [((columns - 1) * step + middle, "اصل"), ((columns - 2) * step + middle, "داده‌شده")]
    labels.append(((drawn.shape[1] * step - 2) / 2, "کامل‌شده با مدل"))
    for x, label in labels:
        ax.text(x, -3, persian_text(label), ha="center", va="bottom", fontsize=9)
    return figure


def calibration(table: pd.DataFrame) -> Figure:
    """Predicted probability against observed frequency, with the number of pixels in each bin below."""
    figure, (ax, below) = new_figure(4.0, 3.3, 2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, label=persian_text("واسنجی کامل"))
    ax.plot(table.predicted, table.observed, color=BLUE, marker="o", linestyle="--", label=persian_text("مدل ما"))
    ax.set_ylabel(persian_text("فراوانی پیکسل روشن"))
    ax.legend(frameon=False)
    below.bar(table.predicted, table.pixels, width=0.06, color=SKY, edgecolor=BLACK, linewidth=0.6)
    below.set_yscale("log")
    below.set_ylabel(persian_text("شمار پیکسل"))
    below.set_xlabel(persian_text("احتمال پیش‌بینی‌شده"))
    persian_ticks(ax)
    persian_ticks(below)
    return figure


def _line(ax: Axes, history: pd.DataFrame, column: str, label: str, colour: str, style: Any, marker: str) -> None:
    rows = history[history[column].notna()]
    x = rows["epoch"] if "epoch" in rows else rows["step"]
    look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 4, "linewidth": 1.6}
    ax.plot(x, rows[column], label=persian_text(label), **look)


def _finish_curves(figure: Figure, ax: Axes, history: pd.DataFrame, unit_label: str) -> Figure:
    ax.set_xlabel(persian_text("دوره" if "epoch" in history else "گام"))
    ax.set_ylabel(persian_text(f"زیان ({unit_label})"))
    ax.legend(frameon=False)
    persian_ticks(ax)
    return figure

