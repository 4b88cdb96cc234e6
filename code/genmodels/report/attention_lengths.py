"""Section 2.6, cost against length: Linformer, lengths where costs meet, what outputs see, counted and timed layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from sympy import LambertW, latex

from genmodels.attention.cost import SETTING, STEPS, chain, exact, r
from genmodels.attention.growth import fitted_exponent
from genmodels.attention.layers import Count
from genmodels.attention.scaling import (
    CROSSOVERS,
    HALF_PRECISION,
    LAYER_FLOPS,
    LINFORMER_SCORE_BYTES,
    RANKS,
    SCORE_BYTES,
    linformer,
    log_crossover,
)  # fmt: skip
from genmodels.report.attention import (
    CROSSOVER_LABELS,
    CURVE_LABELS,
    GROWTH_LABELS,
    KIND_LABELS,
    fa_exact,
    formula_table,
)
from genmodels.report.canvas import GREY, new_figure, styles
from genmodels.report.persian import SUPERSCRIPT, fa, fa_int, fa_sci, table
from genmodels.report.plotting import persian_text, persian_ticks


def ranks() -> Markdown:
    """Linformer's n·k·d for several ranks, its full FLOPs, and the end of the chain of factors."""
    rows = []
    for rank in RANKS:
        order = linformer(rank).value
        group, total = (fa_exact(chain(order * SETTING[r], per_group)[2]) for per_group in (True, False))
        rows.append(
            {
                "رتبه $k$": fa_int(rank),
                "$n k d$": fa_exact(order),
                "$8 n k d$ (FLOP)": fa_exact(exact(LAYER_FLOPS["linformer"][1], k=rank)),
                "زنجیر: هر گروه": group,
                "زنجیر: مجموع": total,
                "نسبت (آ) به آن": fa_exact(STEPS["a"].value / order),
            }
        )
    return formula_table(rows, (8, 17, 18, 16, 18, 11))


def crossovers(rank: int = 256, constants: Sequence[int] = (1, 16, 64, 256)) -> Markdown:
    """Lengths at which two costs meet, solved by sympy; ``constants`` are hidden factors of the logarithmic method."""
    claim, solution, at_rank = "از این طول به بعد", "حل", f"طول ($k = {rank}$)"
    rows = []
    for row in CROSSOVERS:
        length = exact(row.length, k=rank)
        rows.append(
            {
                claim: CROSSOVER_LABELS[row.key],
                solution: f"$n = {_latex(row.length)}$",
                at_rank: fa_exact(length) if length < 10**9 else fa_sci(float(length)),
            }
        )
    for constant in constants:
        meeting = log_crossover(constant)
        rows.append(
            {
                claim: f"روش n log n با ضریب پنهان {fa_int(constant)} ارزان‌تر",
                solution: "برابر نمی‌شوند" if meeting is None else f"$n = {_latex(meeting)}$",
                at_rank: "هر طولی" if meeting is None else fa_exact(meeting),
            }
        )
    return formula_table(rows, (38, 32, 16))


def _latex(expression: Any) -> str:
    """A solution in simple LaTeX; Lambert's W with its branch as an index."""
    for lambert in expression.atoms(LambertW):
        branch = lambert.args[1] if len(lambert.args) > 1 else 0
        factor = latex(expression / lambert, ln_notation=True)
        return rf"{factor} \, W_{{{branch}}}\left({latex(lambert.args[0], ln_notation=True)}\right)"
    return latex(expression, ln_notation=True)


def cost_curves(
    lengths: Sequence[int],
    flops: Mapping[str, Sequence[float]],
    memory: Mapping[str, Sequence[float]],
    crossings: Sequence[tuple[int, float]] = (),
    here: int = 4096,
) -> Figure:
    """FLOPs (left) and bytes (right) of one layer against the length, both axes logarithmic.

    ``crossings``: points (length, FLOPs) to mark on the left; ``here``: the length of the question, a vertical line.
    """
    figure, (left, right) = new_figure(7.0, 3.1, 1, 2)
    panels = ((left, flops, "عملیات ممیز شناور (FLOP)"), (right, memory, "بایت (هشت سر، دو بایت برای هر عدد)"))
    for ax, series, label in panels:
        names = sorted(series, key=lambda name: list(CURVE_LABELS).index(name.partition("_")[0]))
        for name, (colour, style, _) in zip(names, styles(len(names)), strict=True):
            kind, _, rank = name.partition("_")
            told = persian_text(CURVE_LABELS[kind].format(rank and fa(int(rank))))
            ax.plot(lengths, series[name], color=colour, linestyle=style, linewidth=1.8, label=told)
        ax.axvline(here, color=GREY, linewidth=0.9, linestyle=":")
        ax.set_title(persian_text(label), fontsize=10)
        _logarithmic(ax, lengths)
    for length, cost in crossings:
        left.plot(length, cost, marker="o", markersize=6, markerfacecolor="white", markeredgecolor="black", zorder=5)
        place = {"xytext": (8, -9)} if length == min(lengths) else {"xytext": (-6, 5), "ha": "right"}
        left.annotate(fa_int(length, grouping=False), (length, cost), textcoords="offset points", fontsize=8, **place)
    for ax in (left, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), fontsize=8.5, ncols=2, columnspacing=1.2)
    return figure


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
    return fa_int(base) + str(exponent).translate(SUPERSCRIPT)


def long_inputs(powers: Iterable[int] = (12, 14, 17, 20), rank: int = 256) -> Markdown:
    """Orders of cost at great lengths, and the bytes of the scores of one layer with 8 heads in half precision."""
    rows = []
    for power in powers:
        numbers = {"n": 2**power, "k": rank, "b": HALF_PRECISION}
        full, log, low = (exact(x.expression, **numbers) for x in (STEPS["a"], STEPS["f"], linformer(rank)))
        scores, low_scores = (exact(x, **numbers) for x in (SCORE_BYTES, LINFORMER_SCORE_BYTES))
        rows.append(
            {
                "طول $n$": fa_int(2**power),
                "$n^2 d$": fa_sci(float(full)),
                "$n \\log_2(n) d$": fa_sci(float(log)),
                f"$n k d$ ($k = {rank}$)": fa_sci(float(low)),
                "$n / \\log_2 n$": fa(float(full / log), 0),
                "$n / k$": fa_exact(full / low),
                "امتیازهای کامل (GB)": fa(float(scores) / 1e9, 2),
                "امتیازهای Linformer (GB)": fa(float(low_scores) / 1e9, 2),
            }
        )
    return formula_table(rows, (12, 12, 13, 13, 11, 9, 13, 13))


def sensitivities(maps: Mapping[str, Any]) -> Figure:
    """One panel a layer: norm of the derivative of output i with respect to input j; exact zeros stay white.

    ``maps``: ``{"causal": (T, T), "linformer": (T, T)}``, as ``layers.causality`` returns them.
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
        ax.plot([0.5, size + 0.5], [0.5, size + 0.5], color=GREY, linewidth=0.8)
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


def counted(found: Iterable[Count]) -> Markdown:
    """Counted against derived FLOPs."""
    return formula_table(
        [
            {
                "لایه": KIND_LABELS[row.kind],
                "طول $n$": fa_int(row.length),
                "شمرده": fa_int(row.counted),
                "از فرمول": fa_int(row.derived),
                "تفاوت": fa_int(row.counted - row.derived),
            }
            for row in found
        ],
        (32, 10, 20, 20, 8),
    )


def measured_growth(rows: Sequence[dict[str, Any]]) -> Markdown:
    """Measured milliseconds and counted megabytes of the core of one layer; the last row is the fitted power of n."""
    shown = {key: label for key, label in GROWTH_LABELS.items() if key in rows[0]}
    lengths = [row["n"] for row in rows]
    body = [{"طول $n$": fa_int(row["n"])} for row in rows]
    last = {"طول $n$": "**توان برازش‌شده**"}
    for key, label in shown.items():
        values = [row[key] for row in rows]
        for cells, value in zip(body, values):
            cells[label] = fa(value * (1e3 if key.endswith("seconds") else 1e-6), 1)
        last[label] = f"**{fa(fitted_exponent(lengths, values), 2)}**"
    return table([*body, last])
