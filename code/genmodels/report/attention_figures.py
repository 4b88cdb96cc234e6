"""The plots of question 2.6: cost and memory against length, and what each output sees. Numbers in, ``Figure`` out.

Labels are Persian, so that no chunk of the report holds any. Counting and deriving happen elsewhere
(``attention_scaling.curves``, ``attention_flops.causality``); nothing here computes a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from genmodels.report.figures import new_figure, styles
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import persian_text, persian_ticks

_NAMES = {
    "full": "توجه کامل، ۴n²d", "log": "روش لگاریتمی، ۴n log₂n d", "projections": "چهار نگاشت خطی، ۸nd²",
    "scores": "امتیازها، ۲hn²", "cache": "حافظهٔ نهان، ۴nd",
}
_ORDER = ("full", "scores", "log", "cache", "linformer_64", "linformer_256", "projections")
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def scaling(lengths: Sequence[int], flops: Mapping[str, Sequence[float]], memory: Mapping[str, Sequence[float]],
            crossings: Sequence[tuple[int, float]] = (), here: int = 4096) -> Figure:
    """FLOPs (left) and bytes (right) of one layer against the length, both axes logarithmic.

    ``crossings``: points (length, FLOPs) to mark on the left; ``here``: the length of the question, a vertical line.
    """
    figure, (left, right) = new_figure(7.0, 3.1, 1, 2)
    panels = ((left, flops, "عملیات ممیز شناور (FLOP)"), (right, memory, "بایت (هشت سر، دو بایت برای هر عدد)"))
    for ax, series, label in panels:
        names = sorted(series, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
        for name, (colour, style, _) in zip(names, styles(len(names)), strict=True):
            label_of_line = persian_text(_name(name))
            ax.plot(lengths, series[name], color=colour, linestyle=style, linewidth=1.8, label=label_of_line)
        ax.axvline(here, color="#7F7F7F", linewidth=0.9, linestyle=":")
        ax.set_title(persian_text(label), fontsize=10)
        _logarithmic(ax, lengths)
    for length, cost in crossings:
        left.plot(length, cost, marker="o", markersize=6, markerfacecolor="white", markeredgecolor="black", zorder=5)
        place = {"xytext": (8, -9)} if length == min(lengths) else {"xytext": (-6, 5), "ha": "right"}
        left.annotate(fa_int(length, grouping=False), (length, cost), textcoords="offset points", fontsize=8, **place)
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), fontsize=8.5, ncols=2, columnspacing=1.2)
    return figure


def sensitivities(maps: Mapping[str, Any]) -> Figure:
    """One panel a layer: norm of the derivative of output i with respect to input j; exact zeros stay white.

    ``maps``: ``{"causal": (T, T), "linformer": (T, T)}``, as ``attention_flops.causality`` returns them.
    """
    titles = {"causal": "توجه علّی", "linformer": "لایهٔ Linformer"}
    arrays = {name: np.asarray(values, dtype=float) for name, values in maps.items()}
    positive = np.concatenate([array[array > 0] for array in arrays.values()])
    norm = LogNorm(positive.min(), positive.max())
    figure, axes = new_figure(5.4, 2.6, 1, len(arrays), squeeze=False)
    for ax, (name, array) in zip(axes[0], arrays.items()):
        size = len(array)
        frame = (0.5, size + 0.5, size + 0.5, 0.5)
        image = ax.imshow(np.ma.masked_equal(array, 0), norm=norm, cmap="viridis_r", extent=frame)
        ax.plot([0.5, size + 0.5], [0.5, size + 0.5], color="#7F7F7F", linewidth=0.8)
        ax.set_title(persian_text(titles.get(name, name)), fontsize=10)
        ax.set_xlabel(persian_text("جایگاه ورودی"))
        ax.set_xticks(range(2, size + 1, 2))
        ax.set_yticks(range(2, size + 1, 2))
        ax.grid(False)
        persian_ticks(ax)
    axes[0][0].set_ylabel(persian_text("جایگاه خروجی"))
    bar = figure.colorbar(image, ax=axes[0].tolist(), shrink=0.85)
    bar.set_label(persian_text("اندازهٔ مشتق"))
    persian_ticks(bar.ax)
    return figure


def _name(name: str) -> str:
    kind, _, rank = name.partition("_")
    return f"Linformer، رتبهٔ {fa(int(rank))}" if kind == "linformer" else _NAMES[name]


def _logarithmic(ax: Axes, lengths: Sequence[int]) -> None:
    """Powers of two below, powers of ten at the side, with Unicode superscripts: mathtext has no Persian digits."""
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    powers = range(int(np.log2(min(lengths))), int(np.log2(max(lengths))) + 1)
    ax.set_xticks([2**p for p in powers][::2], [_power(2, p) for p in powers][::2])
    low, high = (np.log10(limit) for limit in ax.get_ylim())
    tens = range(int(np.ceil(low)), int(np.floor(high)) + 1)
    ax.set_yticks([10.0**p for p in tens], [_power(10, p) if p % 2 == 0 else "" for p in tens])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.set_xlabel(persian_text("طول دنباله (توکن)"))


def _power(base: int, exponent: int) -> str:
    return fa_int(base) + str(exponent).translate(_SUPERSCRIPT)
