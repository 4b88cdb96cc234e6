"""Drawn explanations: BPE merges, the n-gram window, the LSTM cell, the Transformer's block, KV cache and shared heads.

Every diagram is made by code from the thing it explains where there is one (the merges of a word, the samples of a data
set), else from the equations beside it in the report. Shapes and line styles tell things apart, not colour alone. Time
and order run from right to left, as the text does; formulas inside stay left to right. Measured plots are in ``figures``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from genmodels.report.figures import BLACK, BLUE, GREY, ORANGE, new_figure
from genmodels.report.persian import fa_int
from genmodels.report.plotting import persian_text

PALE, LIGHT, WARM = "#DCE9F5", "#EEEEEE", "#FBE3D2"


def box(ax: Axes, x: float, y: float, text: str, width: float = 1.0, height: float = 0.6, fill: str = PALE, **style: Any) -> None:
    """A rounded box centred at (x, y) with ``text`` in it; ``style``: ``fontsize``, ``weight``, ``linestyle``."""
    line = style.pop("linestyle", "-")
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=fill, edgecolor=BLACK,
                                linewidth=0.8, linestyle=line))  # fmt: skip
    ax.text(x, y, persian_text(text), ha="center", va="center", **({"fontsize": 8} | style))


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
    """A thin arrow from ``start`` to ``end``."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "linewidth": 0.9, "color": BLACK, "shrinkA": 0, "shrinkB": 0} | style)


def blank(ax: Axes, width: float, height: float) -> None:
    """No axes; one unit is as long across as up."""
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")


def merges(trace: Sequence[Mapping[str, Any]]) -> Figure:
    """The merges of one word as a tree, its bytes below, its tokens above; the number at a node is its merge's rank.

    ``trace``: one row a step with ``symbols`` after it, the ``pair`` merged and its ``rank`` (``None`` in the first row).
    A node stands above both its parts.
    """
    first = trace[0]["symbols"]
    figure, ax = new_figure(6.2, 2.35)
    nodes = [(float(len(first) - 1 - i), 0, symbol) for i, symbol in enumerate(first)]  # x, level, symbol; right to left
    made = [(x, level, symbol, 0, ()) for x, level, symbol in nodes]
    drawn: list[tuple[float, int, str, int, tuple[Any, ...]]] = list(made)
    for row in trace[1:]:
        joined, at = [], 0
        while at < len(made):
            if [node[2] for node in made[at : at + 2]] == list(row["pair"]):
                parts = tuple(made[at : at + 2])
                level = 1 + max(part[1] for part in parts)
                name = row["symbols"][len(joined)]
                joined.append((sum(part[0] for part in parts) / 2, level, name, int(row["rank"]), parts))
                drawn.append(joined[-1])
                at += 2
            else:
                joined.append(made[at])
                at += 1
        made = joined
    for x, level, _, _, parts in drawn:
        for part in parts:
            ax.plot([part[0], part[0], x], [part[1] + 0.3, level - 0.15, level - 0.15], color=GREY, linewidth=0.8, zorder=0)
    tops = {id(node) for node in made}
    for node in drawn:
        x, level, symbol, rank, _ = node
        wide = max(0.82, 0.24 * len(symbol) + 0.35)
        box(ax, x, level, symbol, wide, 0.56, WARM if id(node) in tops else PALE if rank else LIGHT,
            fontsize=8, weight="bold" if id(node) in tops else "normal")  # fmt: skip
        if rank:
            ax.text(x + wide / 2 + 0.06, level + 0.02, fa_int(rank), ha="left", va="center", fontsize=8, color=BLUE)
    ax.set(xlim=(-0.8, len(first) - 0.2), ylim=(-0.5, max(node[1] for node in drawn) + 0.5))
    ax.axis("off")
    return figure


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
            ax.add_patch(Rectangle((x + 0.04, y + 0.08), 0.92, 0.84, facecolor=WARM if last else LIGHT if empty else PALE,
                                   edgecolor=ORANGE if last else GREY, linewidth=1.5 if last else 0.6))  # fmt: skip
            ax.text(x + 0.5, y + 0.5, persian_text(token), ha="center", va="center", fontsize=8, color=GREY if empty else BLACK)
    for x, y, name in ((total - length / 2, len(rows) + 0.3, "بافت"), (total - length - 0.5, len(rows) + 0.3, "هدف")):
        ax.text(x, y, persian_text(name), ha="center", va="center", fontsize=8.5, weight="bold")
    ax.set(xlim=(0, total), ylim=(0, len(rows) + 0.6))
    ax.axis("off")
    return figure


def lstm_cell() -> Figure:
    """One step of the LSTM: the cell's line above, four functions of input and state below, in the letters of the equation."""
    figure, ax = new_figure(4.6, 2.0)
    blank(ax, 9.2, 4.0)
    gates = {"f": (1.6, "σ"), "i": (3.1, "σ"), "g": (4.5, "tanh"), "o": (5.9, "σ")}
    for name, (x, function) in gates.items():
        box(ax, x, 1.35, function, 0.9, 0.5)
        side = -0.14 if name == "i" else 0.14  # where no arrow leans over it
        ax.text(x + side, 1.84, f"${name}_t$", ha="right" if name == "i" else "left", va="center", fontsize=8)
        arrow(ax, (x, 0.6), (x, 1.1))
    ax.plot([0.3, 5.9], [0.6, 0.6], color=BLACK, linewidth=0.9)
    ax.text(0.2, 0.6, "$x_t,\\ h_{t-1}$", ha="right", va="center", fontsize=8.5)
    joints = {"f": (1.6, 3.2, "×"), "sum": (3.8, 3.2, "+"), "in": (3.8, 2.3, "×"), "out": (7.1, 1.35, "×")}
    for x, y, sign in joints.values():
        ax.text(x, y, sign, ha="center", va="center", fontsize=10, zorder=3,
                bbox={"boxstyle": "circle,pad=0.12", "facecolor": WARM, "edgecolor": BLACK, "linewidth": 0.8})  # fmt: skip
    ax.text(0.2, 3.2, "$c_{t-1}$", ha="right", va="center", fontsize=8.5)
    arrow(ax, (0.3, 3.2), (1.32, 3.2), linewidth=1.8)
    arrow(ax, (1.88, 3.2), (3.52, 3.2), linewidth=1.8)
    arrow(ax, (4.08, 3.2), (8.5, 3.2), linewidth=1.8)
    ax.text(8.6, 3.2, "$c_t$", ha="left", va="center", fontsize=8.5)
    arrow(ax, (1.6, 1.6), (1.6, 2.92))
    arrow(ax, (3.1, 1.6), (3.58, 2.12))
    arrow(ax, (4.5, 1.6), (4.02, 2.12))
    arrow(ax, (3.8, 2.58), (3.8, 2.92))
    arrow(ax, (6.35, 1.35), (6.82, 1.35))
    arrow(ax, (7.1, 3.2), (7.1, 2.6))
    box(ax, 7.1, 2.35, "tanh", 0.9, 0.46, LIGHT)
    arrow(ax, (7.1, 2.12), (7.1, 1.63))
    arrow(ax, (7.38, 1.35), (8.5, 1.35))
    ax.text(8.6, 1.35, "$h_t$", ha="left", va="center", fontsize=8.5)
    for x, name in ((1.6, "فراموشی"), (3.1, "ورودی"), (4.5, "تازه"), (5.9, "خروجی")):
        ax.text(x, 0.3, persian_text(name), ha="center", va="center", fontsize=8, color=GREY)
    return figure


def transformer_parts(heads: int = 4, shared: int = 2) -> Figure:
    """Three panels, read from the right: a block, its KV cache while generating, query heads that share keys and values."""
    figure, axes = new_figure(6.4, 2.35, 1, 3, width_ratios=(1.25, 1.1, 1.0))
    _shared_heads(axes[0], heads, shared)
    _cache(axes[1])
    _block(axes[2])
    return figure


def _block(ax: Axes) -> None:
    blank(ax, 4.2, 6.0)
    ax.set_title(persian_text("یک بلوک"), fontsize=9)
    stream, branch = 0.9, 2.7
    arrow(ax, (stream, 0.2), (stream, 5.95), linewidth=1.8)
    for base, name in ((0.5, "Attention"), (3.0, "SwiGLU")):
        arrow(ax, (stream, base), (branch, base + 0.3), connectionstyle="angle,angleA=0,angleB=90")
        box(ax, branch, base + 0.55, "RMSNorm", 1.9, 0.5, LIGHT, fontsize=8)
        arrow(ax, (branch, base + 0.8), (branch, base + 1.02))
        box(ax, branch, base + 1.28, name, 1.9, 0.5, fontsize=8)
        arrow(ax, (branch, base + 1.53), (stream + 0.2, base + 1.95), connectionstyle="angle,angleA=90,angleB=0")
        ax.text(stream, base + 1.95, "+", ha="center", va="center", fontsize=9, zorder=3,
                bbox={"boxstyle": "circle,pad=0.1", "facecolor": WARM, "edgecolor": BLACK, "linewidth": 0.8})  # fmt: skip
    ax.text(stream - 0.15, 0.3, "$h_\\ell$", ha="right", va="center", fontsize=8.5)
    ax.text(stream - 0.15, 2.75, "$u_\\ell$", ha="right", va="center", fontsize=8.5)
    ax.text(stream - 0.15, 5.6, "$h_{\\ell+1}$", ha="right", va="center", fontsize=8.5)


def _cache(ax: Axes, steps: int = 6) -> None:
    """Rows are queries, columns keys, both from the first token at the right and top: only the last row is new."""
    blank(ax, steps + 1.2, steps + 2.2)
    ax.set_title(persian_text("حافظهٔ نهان"), fontsize=9)
    for row in range(steps):
        for column in range(row + 1):
            new = row == steps - 1
            x, y = steps - 1 - column + 0.9, steps - row + 0.4
            ax.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor=WARM if new else LIGHT, edgecolor=ORANGE if new else GREY,
                                   linewidth=1.3 if new else 0.5, hatch=None if new else "//////"))  # fmt: skip
    ax.text(steps / 2 + 0.9, 0.75, persian_text("کلیدها، از نخستین توکن"), ha="center", va="center", fontsize=8)
    ax.text(0.45, 1.85, persian_text("تازه"), ha="center", va="center", fontsize=8)


def _shared_heads(ax: Axes, heads: int, shared: int) -> None:
    blank(ax, heads + 1.4, 5.9)
    ax.set_title(persian_text("سرهای مشترک"), fontsize=9)
    group = heads // shared
    for head in range(heads):
        x = heads - head - 0.1
        box(ax, x, 4.6, "$Q$", 0.72, 0.62)
        middle = heads - (head // group * group + (group - 1) / 2) - 0.1
        arrow(ax, (middle, 2.35), (x, 4.27), color=GREY)
    for one in range(shared):
        box(ax, heads - (one * group + (group - 1) / 2) - 0.1, 2.0, "$K, V$", 1.3, 0.68, WARM)
    ax.text(heads / 2 + 0.4, 5.35, persian_text(f"{fa_int(heads)} سر پرسش"), ha="center", va="center", fontsize=8)
    ax.text(heads / 2 + 0.4, 1.15, persian_text(f"{fa_int(shared)} سر کلید و مقدار"), ha="center", va="center", fontsize=8)
