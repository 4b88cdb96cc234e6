"""Plots of the language models: losses against the text before a token and word by word, and where attention goes.

Numbers in, ``Figure`` or rows out; labels are Persian, so that no chunk of the report holds any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from genmodels.report.figures import LINES, new_figure, styles
from genmodels.language.loss_profile import Word
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.report.plotting import PersianFormatter, persian_text, persian_ticks

MODELS = {"ngram": "کنسر–نی", "rnn": "شبکهٔ بازگشتی", "transformer": "ترنسفورمر"}
PARTS = {
    "word": "آغاز واژه", "continuation": "ادامهٔ واژه", "punctuation": "نقطه‌گذاری", "digits": "رقم", "border": "پایان بند یا سند",
}
NATS = "زیان (نات بر توکن)"


def loss_by_position(found: pd.DataFrame, limited: Mapping[int, float]) -> Figure:
    """Left: mean loss against the number of tokens before the target. Right: the Transformer's with its window cut."""
    figure, (left, right) = new_figure(6.6, 2.5, 1, 2, gridspec_kw={"width_ratios": [3, 2]})
    edges = [*found.index, found.index[-1] * 2]
    middle = np.sqrt(np.array(edges[:-1]) * np.array(edges[1:]))
    names = found.columns.drop("share")
    for name, (colour, style, marker) in zip(names, styles(len(names)), strict=True):
        left.plot(middle, found[name], color=colour, linestyle=style, marker=marker, linewidth=1.6, markersize=4,
                  label=persian_text(MODELS[name]))
    left.set_xlabel(persian_text("توکن‌های پیش از هدف در سند"))
    left.set_ylabel(persian_text(NATS))
    left.legend(fontsize=8.5)
    colour, style, marker = LINES[2]
    right.plot(list(limited), list(limited.values()), color=colour, linestyle=style, marker=marker, linewidth=1.6, markersize=4)
    right.set_xlabel(persian_text("طول پنجرهٔ ترنسفورمر (توکن)"))
    right.set_ylabel(persian_text(NATS))
    for ax, places in ((left, found.index), (right, limited)):
        ax.set_xscale("log", base=2)
        ax.set_xticks(list(places), [fa_int(place) for place in places], fontsize=8.5)
        ax.minorticks_off()
        persian_ticks(ax)
    return figure


def frequency_rows(bands: pd.DataFrame) -> list[dict[str, str]]:
    """Mean losses by the target's occurrences in the training text."""
    edges = [*bands.index, None]
    rows = []
    for low, high in zip(edges[:-1], edges[1:]):
        label = f"{fa_int(low)} و بیشتر" if high is None else f"{fa_int(low)} تا {fa_int(high - 1)}"
        rows.append({"توکن هدف": f"{label} بار در آموزش"} | _cells(bands.loc[low]))
    return rows


def part_rows(parts: pd.DataFrame) -> list[dict[str, str]]:
    """Mean losses by the target's part in the word."""
    return [{"توکن هدف": PARTS[name]} | _cells(row) for name, row in parts.iterrows()]


def _cells(row: Any) -> dict[str, str]:
    models = {MODELS[name]: fa(value, 2) for name, value in row.items() if name != "share"}
    return {"سهم از متن آزمون": fa_percent(row["share"], 1)} | models


def heat_strip(words: Sequence[Word], width: float = 6.6) -> Figure:
    """A passage from right to left; under each word a bar for every model, the darker the greater the word's loss.

    Whole words are set, so that letters join as they should; the loss of a word is the sum over its tokens.
    """
    names = list(words[0].losses)
    figure, ax = new_figure(width, 1.0)
    sizes = _widths([word.text for word in words], figure)
    gap, bar, line_height = 0.07, 0.075, 0.27 + 0.075 * len(names)
    lines: list[list[tuple[Word, float, float]]] = [[]]  # word, its left edge, its width; inches
    right = width
    for word, size in zip(words, sizes):
        if right - size < 0 and lines[-1]:
            lines.append([])
            right = width
        lines[-1].append((word, right - size, size))
        right -= size + gap
    height = line_height * len(lines) + 0.42
    figure.set_size_inches(width, height)
    scale = Normalize(0, float(np.quantile([loss for word in words for loss in word.losses.values()], 0.95)))
    shade = mpl.colormaps["Greys"]
    for row, line in enumerate(lines):
        top = height - row * line_height
        for word, left, size in line:
            ax.text(left + size / 2, top - 0.11, persian_text(word.text), ha="center", va="center", fontsize=9)
            for index, name in enumerate(names):
                place = (left, top - 0.25 - bar * (index + 1))
                ax.add_patch(Rectangle(place, size, bar * 0.86, facecolor=shade(scale(word.losses[name])), edgecolor="#9AA5B1", linewidth=0.3))
    order = "، ".join(MODELS[name] for name in names)
    ax.text(width, 0.13, persian_text(f"زیر هر واژه، از بالا: {order}"), ha="right", va="center", fontsize=8.5)
    for step in range(6):  # the scale, dark on the left as the numbers beside it say
        ax.add_patch(Rectangle((0.62 + 0.16 * step, 0.06), 0.16, 0.13, facecolor=shade(1 - step / 5), edgecolor="#9AA5B1", linewidth=0.3))
    ax.text(0.58, 0.13, persian_text(f"{fa(scale.vmax, 0)} نات"), ha="right", va="center", fontsize=8.5)
    ax.text(1.63, 0.13, persian_text("صفر"), ha="left", va="center", fontsize=8.5)
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.axis("off")
    return figure


def _widths(texts: Sequence[str], figure: Figure) -> list[float]:
    """Inches that each text takes when drawn, and a little air."""
    renderer = figure.canvas.get_renderer()
    found = []
    for text in texts:
        drawn = figure.text(0, 0, persian_text(text), fontsize=9)
        found.append(drawn.get_window_extent(renderer).width / figure.dpi + 0.02)
        drawn.remove()
    return found


def attention_maps(maps: Mapping[int, Any], names: Sequence[str]) -> Figure:
    """Maps (T, T) of some blocks, side by side: a row a reading token, a column a read one, both from right to left."""
    figure, axes = new_figure(6.6, 3.3, 1, len(maps), squeeze=False)
    top = max(float(np.max(np.asarray(weights)[1:])) for weights in maps.values())  # the first token has one choice: 1
    labels = [persian_text(name) for name in names]
    for ax, (block, weights) in zip(axes[0], reversed(list(maps.items()))):
        image = ax.imshow(np.asarray(weights), cmap="Greys", vmin=0, vmax=top)
        ax.invert_xaxis()
        ax.set_xticks(range(len(names)), labels, rotation=90, fontsize=7.5)
        ax.set_yticks(range(len(names)), labels, fontsize=7.5)
        ax.yaxis.tick_right()
        ax.set_title(persian_text(f"بلوک {fa_int(block)}"), fontsize=10)
        ax.set_xlabel(persian_text("توکنی که از آن می‌خواند"), fontsize=8.5)
        ax.grid(False)
    bar = figure.colorbar(image, ax=axes[0].tolist(), shrink=0.8, location="left", pad=0.02)
    bar.set_label(persian_text("وزن توجه"), fontsize=8.5)
    bar.ax.yaxis.set_major_formatter(PersianFormatter())
    return figure
