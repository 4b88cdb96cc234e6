"""Sections 1.1 and 1.2: binarised images, the masks and what a choice of them does, the layers, what an output sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from genmodels.pixelcnn.evaluation import MaskTrial
from genmodels.pixelcnn.masked_conv import causal_mask
from genmodels.pixelcnn.model import PixelCNN
from genmodels.report.canvas import BLACK, GREY, ORANGE, PAPER, as_images, new_figure, show_ink, tile
from genmodels.report.names import BINARIZATION_NAMES
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import persian_text, persian_ticks

STACK_NAMES = {"ABB": "نخست A، سپس B (درست)", "BBB": "همه B", "AAA": "همه A"}


def binarizations(grey: Any, threshold: Any, draws: Sequence[Any], columns: int = 10) -> Figure:
    """Grey images, their threshold bits, and several random draws of them, under each other. ``grey`` is 0..255."""
    rows = {"خاکستری": as_images(grey) / 255, BINARIZATION_NAMES["threshold"]: threshold}
    rows |= {f"قرعهٔ {fa(index)}": draw for index, draw in enumerate(draws, start=1)}
    return image_rows(rows, columns)


def image_rows(rows: Mapping[str, Any], columns: int = 10) -> Figure:
    """Labelled rows of images, the first ``columns`` of each: ``{label: images}``."""
    figure, axes = new_figure(5.4, 0.52 * len(rows), len(rows), 1, squeeze=False)
    for ax, (label, images) in zip(axes[:, 0], rows.items()):
        show_ink(ax, tile(as_images(images)[:columns], columns))
        ax.text(1.02, 0.5, persian_text(label), transform=ax.transAxes, ha="left", va="center", fontsize=9)
    return figure


def masks(kernel: int = 7) -> Figure:
    """Masks A and B of a ``kernel`` x ``kernel`` convolution: the taps in use carry a 1, the centre an outline."""
    figure, axes = new_figure(3.9, 2.1, 1, 2)
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


def mask_rows(trials: Mapping[str, MaskTrial]) -> list[dict[str, str]]:
    """The trials as table rows."""
    return [
        {
            "ماسک سه لایهٔ نخست": STACK_NAMES[name],
            "گرادیان به خود پیکسل": fa(trial.own_gradient, 3) if trial.own_gradient else fa_int(0),
            "نزدیک‌ترین دیده‌شدهٔ سطر": fa_int(trial.nearest_seen),
            "دیده‌شده‌ها": fa_int(trial.pixels_seen),
            "زیان (نات بر تصویر)": fa(trial.nll_nats, 1),
        }
        for name, trial in trials.items()
    ]


def layer_rows(model: PixelCNN) -> list[dict[str, str]]:
    """``model.layer_table()`` in Persian, with a last row for the sum of the parameters."""
    rows = [
        {
            "لایه": fa_int(row["layer"]),
            "ماسک": row["mask"],
            "هسته": "×".join(fa_int(int(side)) for side in row["kernel"].split("×")),
            "کانال (ورودی ← خروجی)": f"{fa_int(row['in_channels'])} ← {fa_int(row['out_channels'])}",
            "فعال‌سازی": row["activation"],
            "پارامتر زنده": fa_int(row["parameters"]),
            "میدان دید (سطر بالا، ستون کنار)": f"{fa_int(row['rows_up'])}، ±{fa_int(row['columns_aside'])}",
        }
        for row in model.layer_table()
    ]
    return [*rows, dict.fromkeys(rows[0], "") | {"لایه": "مجموع", "پارامتر زنده": fa_int(model.live_parameters())}]


def field_map(field: Any, row: int | None = None, column: int | None = None) -> Figure:
    """Where one output looks: |d logit / d pixel| in colour, the unseen earlier pixels hatched, later ones grey.

    ``field`` (H, W) is exactly zero where there is no influence; (row, column) is the output's pixel, else the centre.
    """
    field = np.asarray(field, dtype=float)
    height, width = field.shape
    row, column = height // 2 if row is None else row, width // 2 if column is None else column
    order = np.arange(height * width).reshape(height, width)
    earlier, here = order < order[row, column], order == order[row, column]
    seen = field > 0
    figure, ax = new_figure(4.4, 2.7)
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
        Patch(facecolor="#6BAED6"),
        Patch(facecolor="white", edgecolor=ORANGE, hatch="////"),
        Patch(facecolor=PAPER),
    ]
    names = ["پیکسل خروجی", "پیش از آن و دیده‌شده", "پیش از آن و دیده‌نشده", "پس از آن (آینده)"]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": 2, "frameon": False, "fontsize": 9}
    ax.legend(handles, [persian_text(name) for name in names], **place)
    return figure
