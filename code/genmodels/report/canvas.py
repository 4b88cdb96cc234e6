"""What several sections draw with: a styled figure, looks of lines, images in ink, boxes and arrows, loss curves.

Lines differ by style and marker as well as by a colour-blind safe colour (Okabe and Ito), so that they can be told
apart in black and white. Nothing here reads a file or trains; fonts, shaping and digits are the business of
``genmodels.report.plotting``, the plots themselves that of their sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from genmodels.report.names import SPLIT_NAMES
from genmodels.report.persian import fa
from genmodels.report.plotting import PALETTE, PersianFormatter, persian_text, persian_ticks, use_style

BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BLACK = PALETTE
LINES = [  # colour, line style, marker: no two alike in two of the three
    (BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"),
    (PURPLE, ":", "D"), (BLACK, (0, (5, 1)), "v"), (SKY, "-", "x"),
    (YELLOW, "--", "P"), (BLUE, "-.", "s"), (ORANGE, ":", "^"), (GREEN, (0, (5, 1)), "D"),
    (PURPLE, "-", "v"), (BLACK, "--", "x"),
]  # fmt: skip
GREY = "#7F7F7F"
PAPER = "#E6E6E6"  # what lies between and outside images
PALE, LIGHT, WARM = "#DCE9F5", "#EEEEEE", "#FBE3D2"  # fills of boxes


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


def box(
    ax: Axes, x: float, y: float, text: str, width: float = 1.0, height: float = 0.6, fill: str = PALE, **style: Any
) -> None:
    """A rounded box centred at (x, y) with ``text`` in it; ``style``: ``fontsize``, ``weight``, ``linestyle``."""
    line = style.pop("linestyle", "-")
    corner = (x - width / 2, y - height / 2)
    look = {"facecolor": fill, "edgecolor": BLACK, "linewidth": 0.8, "linestyle": line}
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", **look))
    ax.text(x, y, persian_text(text), ha="center", va="center", **({"fontsize": 8} | style))


def joint(ax: Axes, x: float, y: float, sign: str, fontsize: float = 10, pad: float = 0.12) -> None:
    """A small circle centred at (x, y) with ``sign`` in it, over what is drawn: where lines are added or multiplied."""
    circle = {"boxstyle": f"circle,pad={pad}", "facecolor": WARM, "edgecolor": BLACK, "linewidth": 0.8}
    ax.text(x, y, sign, ha="center", va="center", fontsize=fontsize, zorder=3, bbox=circle)


def cell(ax: Axes, x: float, y: float, width: float, height: float, fill: str, edge: str = GREY, **look: Any) -> None:
    """A plain rectangle with its corner at (x, y)."""
    ax.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, **look))


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
    """A thin arrow from ``start`` to ``end``."""
    look = {"arrowstyle": "-|>", "linewidth": 0.9, "color": BLACK, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look | style)


def blank(ax: Axes, width: float, height: float) -> None:
    """No axes; one unit is as long across as up."""
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")


def loss_curves(
    history: pd.DataFrame,
    unit_label: str,
    second: tuple[str, float] | None = None,
    beside: Mapping[str, pd.DataFrame] | None = None,
) -> Figure:
    """Train, validation and test loss (those present) against the epoch, or the step where no epoch is recorded.

    ``unit_label`` is the Persian name of the unit, such as "نات بر تصویر"; ``second`` another unit for an axis on the
    right: its name, and how much of it one of the first is. ``beside``: other runs by label, with their test loss.
    """
    columns = {f"{split}_loss": label for split, label in SPLIT_NAMES.items()}
    present = {name: label for name, label in columns.items() if name in history and history[name].notna().any()}
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


def compare_curves(histories: Mapping[str, pd.DataFrame], unit_label: str, column: str = "validation_loss") -> Figure:
    """The same loss of several runs: ``{Persian name: history}``."""
    figure, ax = new_figure(5.2, 2.1)
    for (label, history), (colour, style, marker) in zip(histories.items(), styles(len(histories)), strict=True):
        _line(ax, history, column, label, colour, style, marker)
    return _finish_curves(figure, ax, next(iter(histories.values())), unit_label)


def side_by_side(histories: Mapping[str, pd.DataFrame], unit_label: str) -> Figure:
    """Training and validation loss of several runs, a panel each, the first on the right: ``{Persian title: history}``."""
    figure, axes = new_figure(6.6, 2.3, 1, len(histories), squeeze=False)
    for ax, (title, history) in zip(axes[0][::-1], histories.items()):
        _cut_first(ax, history, ["train_loss", "validation_loss"], [])
        for (split, label), look in zip(list(SPLIT_NAMES.items())[:2], styles(2), strict=False):
            _line(ax, history, f"{split}_loss", label, *look)
        ax.set_title(persian_text(title), fontsize=10)
        _finish_curves(figure, ax, history, unit_label)
    return figure


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
        x = history["epoch" if "epoch" in history else "step"].iloc[1]  # beside the line that leaves the frame
        ax.annotate(
            persian_text(f"↑ {fa(first, 1)}"),
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(5, -2),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=8,
        )


def _line(ax: Axes, history: pd.DataFrame, column: str, label: str, colour: str, style: Any, marker: str) -> None:
    rows = history[history[column].notna()]
    x = rows["epoch"] if "epoch" in rows else rows["step"]
    look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 4, "linewidth": 1.6}
    ax.plot(x, rows[column], label=persian_text(label), **look)


def _finish_curves(figure: Figure, ax: Axes, history: pd.DataFrame, unit_label: str) -> Figure:
    ax.set_xlabel(persian_text("دوره" if "epoch" in history else "گام"))
    ax.set_ylabel(persian_text(f"زیان ({unit_label})"))
    ax.legend(frameon=False, ncols=1 + (len(ax.lines) > 3))
    persian_ticks(ax)
    return figure
