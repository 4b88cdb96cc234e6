"""Section 2.2, the recurrent network: its windows, one target against all, the size curve.

The diagrams are made by code from the thing they explain where there is one, else from the equations beside them. Order
runs from right to left, as the text does; formulas from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from genmodels.report.canvas import (
    BLACK,
    GREY,
    LIGHT,
    ORANGE,
    PALE,
    WARM,
    cell,
    new_figure,
    styles,
)
from genmodels.report.names import SPLIT_NAMES, TARGET_RUNS
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import persian_text, persian_ticks


def windows(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Samples of an n-gram data set, one a line: the context's tokens and, at its left and outlined, the target.

    ``rows``: ``window_table``'s, their tokens separated by ``" | "``.
    """
    figure, ax = new_figure(4.9, 0.27 * len(rows) + 0.3)
    length = len(rows[0]["context"].split(" | "))
    total = length + len(rows)
    for line, row in enumerate(rows):
        y = len(rows) - 1 - line
        for place, token in enumerate([*row["context"].split(" | "), row["target"]]):
            x = total - 1 - place - line
            last = place == length
            empty = token == "<bos>"
            fill, edge = (WARM, ORANGE) if last else (LIGHT if empty else PALE, GREY)
            cell(ax, x + 0.04, y + 0.08, 0.92, 0.84, fill, edge, linewidth=1.5 if last else 0.6)
            ax.text(
                x + 0.5,
                y + 0.5,
                persian_text(token),
                ha="center",
                va="center",
                fontsize=8,
                color=GREY if empty else BLACK,
            )
    for x, y, name in ((total - length / 2, len(rows) + 0.3, "بافت"), (total - length - 0.5, len(rows) + 0.3, "هدف")):
        ax.text(x, y, persian_text(name), ha="center", va="center", fontsize=8.5, weight="bold")
    ax.set(xlim=(0, total), ylim=(0, len(rows) + 0.6))
    ax.axis("off")
    return figure


def target_rows(study: Any) -> list[dict[str, str]]:
    """One target a window against a target at every position: the same model, the same windows, the same steps."""
    rows = []
    for key, label in TARGET_RUNS.items():
        row = study.runs.loc[key]
        rows.append(
            {
                "هدف‌ها": label,
                "هدف‌های دیده‌شده": fa_int(int(row.targets_seen)),
                "ثانیهٔ پردازنده": fa(row.cpu_seconds, 0),
                "هدف بر ثانیهٔ پردازنده": fa_int(round(row.targets_seen / max(row.cpu_seconds, 0.1))),
                "زیان اعتبارسنجی": fa(row.validation_loss_nats, 3),
                "سرگشتگی": fa(math.exp(row.validation_loss_nats), 0),
            }
        )
    return rows


def sizes(*studies: Any) -> pd.DataFrame:
    """The runs of different sizes in all ``studies``, by parameters; ``epochs`` and ``tokens_per_parameter`` that each
    has seen."""
    runs = pd.concat([study.runs.assign(epochs=study.history.groupby("run")["epoch"].last()) for study in studies])
    found = runs[[key.startswith("size-") for key in runs.index]].sort_values("parameters")
    return found.assign(tokens_per_parameter=found.targets_seen / found.parameters)


def same_documents(result: Any, study: Any) -> float:
    """Validation loss of a shipped model, nats a token, on the documents that ``study`` is judged on (the first); NaN where
    the two were made from different tokens."""
    if result.manifest["data"]["digest"] != study.manifest["data"]["digest"]:
        return math.nan
    tokens = study.metrics["validation_document_tokens"]
    return sum(result.metrics["validation_document_nll_nats"][: len(tokens)]) / sum(tokens)


def size_curve(found: pd.DataFrame) -> Figure:
    """Validation and training loss against the number of parameters (logarithmic), at an equal number of operations."""
    figure, ax = new_figure(5.6, 2.3)
    series = {f"{split}_loss_nats": SPLIT_NAMES[split] for split in ("validation", "train")}
    for (column, label), (colour, style, marker) in zip(series.items(), styles(len(series)), strict=True):
        look = {"color": colour, "linestyle": style, "marker": marker, "linewidth": 1.8}
        ax.plot(found.parameters / 1e6, found[column], label=persian_text(label), **look)
    best = found.validation_loss_nats.idxmin()
    ax.axvline(found.parameters[best] / 1e6, color=GREY, linewidth=1, linestyle=":")
    ax.set_xscale("log")
    places = [round(value / 1e6, 1) for value in found.parameters]
    ax.set_xticks(found.parameters / 1e6, [fa(place, 1) for place in places])
    ax.minorticks_off()
    ax.set_xlabel(persian_text("میلیون پارامتر (مقیاس لگاریتمی)"))
    ax.set_ylabel(persian_text("زیان (نات بر توکن)"))
    ax.legend()
    persian_ticks(ax)
    return figure


def size_rows(found: pd.DataFrame, chosen: str) -> list[dict[str, str]]:
    """One row a size; the chosen one bold."""
    rows = []
    for key, row in found.iterrows():
        star = "**" if key == chosen else ""
        rows.append(
            {
                "بُعد بردار واژه": f"{star}{fa_int(int(key.removeprefix('size-')))}{star}",
                "پارامترها": fa_int(int(row.parameters)),
                "جایگاه‌های دیده‌شده": fa_int(int(row.targets_seen)),
                "دوره": fa(row.epochs, 1),
                "زیان آموزش": fa(row.train_loss_nats, 3),
                "زیان اعتبارسنجی": f"{star}{fa(row.validation_loss_nats, 3)}{star}",
            }
        )
    return rows
