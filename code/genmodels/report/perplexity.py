"""Section 2.3: measures of the models, their dependence on the tokenizer, and which tokens are hard, word by word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from genmodels.language.loss_profile import Word
from genmodels.report.canvas import new_figure
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int, fa_percent, table
from genmodels.report.plotting import persian_text
from genmodels.report.provenance import raw_texts

WORD_PARTS = {
    "word": "آغاز واژه", "continuation": "ادامهٔ واژه", "punctuation": "نقطه‌گذاری", "digits": "رقم",
    "border": "پایان بند یا سند",
}  # fmt: skip
EDGE = "#9AA5B1"  # of the bars under words


def tokenizer_dependence(metrics: dict[str, Any]) -> Markdown:
    """Stage ``vocabularies``: the same model and text, three tokenizers."""
    return table(
        {
            "واژگان": row["vocabulary"],
            "توکن آزمون": row["tokens"],
            "سرگشتگی": fa(row["perplexity"], 1),
            "بیت بر نویسه": fa(row["bits_per_character"], 3),
            "سرگشتگی بر واژه": fa_int(round(row["word_perplexity"])),
        }
        for row in metrics["rows"]
    )


def result_rows(results: Mapping[str, Any], words: int) -> list[dict[str, str]]:
    """Measures of shipped results on held-out documents, one row a model; ``words`` of the test text of ``rnn``.

    On the same documents, or the row says which text they are of.
    """
    apart = raw_texts(results)
    return [
        {
            "مدل": STAGE_NAMES[name] + (f" ({apart[name]})" if apart else ""),
            "سرگشتگی اعتبارسنجی": fa(result.metrics["validation_perplexity"], 1),
            "سرگشتگی آزمون": fa(result.metrics["test_perplexity"], 1),
            "زیان آزمون (نات بر توکن)": fa(result.metrics["test_loss_nats"], 3),
            "بیت بر نویسه": fa(result.metrics["test_bits_per_character"], 3),
            "سرگشتگی بر واژه": fa_int(
                round(math.exp(result.metrics["test_loss_nats"] * result.metrics["test_tokens"] / words))
            )
            if apart.get(name) == apart.get("rnn")
            else "—",
        }
        for name, result in results.items()
    ]


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
    return [{"توکن هدف": WORD_PARTS[name]} | _cells(row) for name, row in parts.iterrows()]


def _cells(row: Any) -> dict[str, str]:
    models = {STAGE_NAMES[name]: fa(value, 2) for name, value in row.items() if name != "share"}
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
                ax.add_patch(
                    Rectangle(
                        place,
                        size,
                        bar * 0.86,
                        facecolor=shade(scale(word.losses[name])),
                        edgecolor=EDGE,
                        linewidth=0.3,
                    )
                )
    order = "، ".join(STAGE_NAMES[name] for name in names)
    ax.text(width, 0.13, persian_text(f"زیر هر واژه، از بالا: {order}"), ha="right", va="center", fontsize=8.5)
    for step in range(6):  # the scale, dark on the left as the numbers beside it say
        ax.add_patch(
            Rectangle(
                (0.62 + 0.16 * step, 0.06), 0.16, 0.13, facecolor=shade(1 - step / 5), edgecolor=EDGE, linewidth=0.3
            )
        )
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
