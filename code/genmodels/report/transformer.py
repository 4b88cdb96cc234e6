"""Section 2.5: the Transformer's parts and what each is worth, where attention goes, speeds, and the comparison.

The diagram is made from the equations beside it in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genmodels.language.comparison import Comparison
from genmodels.language.perplexity import Perplexity
from genmodels.report.canvas import GREY, LIGHT, LINES, ORANGE, WARM, arrow, blank, box, cell, joint, new_figure, styles
from genmodels.report.names import STAGE_NAMES, TRANSFORMER_RUNS, short_name
from genmodels.report.persian import fa, fa_int, fa_percent
from genmodels.report.plotting import PersianFormatter, persian_text, persian_ticks
from genmodels.report.provenance import raw_texts

PEERS = {"transformer": "nn.TransformerEncoderLayer", "rnn": "nn.LSTM"}  # PyTorch's class beside our network
NATS = "زیان (نات بر توکن)"


def parts(heads: int = 4, shared: int = 2) -> Figure:
    """Three panels, read from the right: a block, its KV cache while generating, heads that share keys and values."""
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
        joint(ax, stream, base + 1.95, "+", fontsize=9, pad=0.1)
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
            fill, edge, line, hatch = (WARM, ORANGE, 1.3, None) if new else (LIGHT, GREY, 0.5, "//////")
            cell(ax, x, y, 0.9, 0.9, fill, edge, linewidth=line, hatch=hatch)
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
    ax.text(
        heads / 2 + 0.4, 1.15, persian_text(f"{fa_int(shared)} سر کلید و مقدار"), ha="center", va="center", fontsize=8
    )


def maps(weights_of: Mapping[int, Any], names: Sequence[str]) -> Figure:
    """Attention weights (T, T) of some blocks, side by side: a row a reading token, a column a read one, both from right
    to left."""
    figure, axes = new_figure(6.6, 3.3, 1, len(weights_of), squeeze=False)
    top = max(
        float(np.max(np.asarray(weights)[1:])) for weights in weights_of.values()
    )  # the first token has one choice: 1
    labels = [persian_text(name) for name in names]
    for ax, (block, weights) in zip(axes[0], reversed(list(weights_of.items()))):
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


def ablation_rows(study: Any, found: Mapping[str, Comparison]) -> list[dict[str, str]]:
    """The base first, then every exchanged part with its effect; a positive one means that the base is better."""
    runs, rows = study.runs, []
    for key, label in TRANSFORMER_RUNS.items():
        row = runs.loc[key]
        effect = "—"
        if key in found:
            one = found[key]
            effect = f"{fa(one.difference, 3)} ({fa(one.low, 3)} تا {fa(one.high, 3)})"
        rows.append(
            {
                "دگرگونی": label,
                "پارامترها": fa_int(int(row.parameters)),
                "زیان اعتبارسنجی": fa(row.validation_loss_nats, 3),
                "اختلاف با پایه و بازهٔ ۹۵٪": effect,
                "جایگاه بر ثانیهٔ پردازنده": fa_int(round(row.targets_seen / max(row.cpu_seconds, 0.1), -2)),
            }
        )
    return rows


def cache_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a length and number of key and value heads: seconds with and without the cache, its size, the ratio."""
    return [
        {
            "سر کلید و مقدار": fa_int(row["kv_heads"]),
            "توکن": fa_int(row["tokens"]),
            "با حافظه": fa(row["cache_seconds"], 2),
            "بی حافظه": fa(row["plain_seconds"], 1),
            "نسبت": fa(row["ratio"], 1),
            "حافظه (مگابایت)": fa(row["cache_bytes"] / 1e6, 1),
        }
        for row in measured["rows"]
    ]


def peer_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a network: trained tokens a second, ours, the peer's, the peer's with our loss; ratios in brackets."""
    found = measured["training"]

    def told(key: str) -> str:
        return f"{fa_int(round(found[key]['tokens_per_second']))} ({fa(found[key]['ratio'], 2)}×)"

    return [
        {
            "شبکه": short_name(name),
            "ما": fa_int(round(found[name]["tokens_per_second"])),
            "همتا": f"`{peer}`",
            "همتا، زیان PyTorch (نسبت ما)": told(f"{name}_peer"),
            "همتا، زیان ما (نسبت ما)": told(f"{name}_peer_own_loss"),
        }
        for name, peer in PEERS.items()
    ]


def targets_seen(result: Any) -> int:
    """Targets of a training, without padding: epochs times the targets of one."""
    return round(float(result.history["epoch"].iloc[-1]) * result.metrics["train_tokens"])


def comparison_rows(results: Mapping[str, Any], speeds: Mapping[str, float]) -> list[dict[str, str]]:
    """The comparison of point 2.5: one row a quantity, one column a model; ``speeds`` in generated tokens a second."""
    quantities: list[tuple[str, Callable[[str, Any], str]]] = [
        ("پارامترها", lambda _, r: fa_int(r.metrics["parameters"])),
        ("هدف‌های دیده‌شده در آموزش", lambda _, r: fa_int(targets_seen(r))),
        ("دقیقهٔ پردازنده برای آموزش", lambda _, r: fa(r.manifest["cpu_seconds"] / 60, 1)),
        ("زیان آموزش در پایان (نات بر توکن)", lambda _, r: fa(float(r.history["train_loss"].iloc[-1]), 3)),
        ("سرگشتگی اعتبارسنجی", lambda _, r: fa(r.metrics["validation_perplexity"], 1)),
        ("سرگشتگی آزمون", lambda _, r: fa(r.metrics["test_perplexity"], 1)),
        ("بیت بر نویسه، آزمون", lambda _, r: fa(r.metrics["test_bits_per_character"], 3)),
        ("سرعت تولید (توکن بر ثانیهٔ پردازنده)", lambda name, _: fa(speeds[name], 0)),
    ]
    if apart := raw_texts(results):
        quantities.insert(0, ("متن", lambda name, _: apart[name]))
    return [
        {"سنجه": label} | {STAGE_NAMES[name]: show(name, result) for name, result in results.items()}
        for label, show in quantities
    ]


def against_counts_rows(margins: Mapping[str, Comparison], counted: Perplexity) -> list[dict[str, str]]:
    """The counted model first, then every network with its margin."""
    rows = [
        {
            "مدل": STAGE_NAMES["ngram"],
            "سرگشتگی آزمون": fa(counted.perplexity, 1),
            "کاهش سرگشتگی": "—",
            "اختلاف زیان و بازهٔ ۹۵٪": "—",
        }
    ]
    for name, margin in margins.items():
        rows.append(
            {
                "مدل": STAGE_NAMES[name],
                "سرگشتگی آزمون": fa(margin.ours.perplexity, 1),
                "کاهش سرگشتگی": fa_percent(margin.perplexity_share, 1) if margin.comparable else "—",
                "اختلاف زیان و بازهٔ ۹۵٪": f"{fa(margin.difference, 3)} ({fa(margin.low, 3)} تا {fa(margin.high, 3)})"
                if margin.comparable
                else "بر متنی دیگر",
            }
        )
    return rows


def loss_by_position(found: pd.DataFrame, limited: Mapping[int, float]) -> Figure:
    """Left: mean loss against the number of tokens before the target. Right: the Transformer's with its window cut."""
    figure, (left, right) = new_figure(6.6, 2.5, 1, 2, gridspec_kw={"width_ratios": [3, 2]})
    edges = [*found.index, found.index[-1] * 2]
    middle = np.sqrt(np.array(edges[:-1]) * np.array(edges[1:]))
    names = found.columns.drop("share")
    for name, (colour, style, marker) in zip(names, styles(len(names)), strict=True):
        left.plot(
            middle,
            found[name],
            color=colour,
            linestyle=style,
            marker=marker,
            linewidth=1.6,
            markersize=4,
            label=persian_text(STAGE_NAMES[name]),
        )
    left.set_xlabel(persian_text("توکن‌های پیش از هدف در سند"))
    left.set_ylabel(persian_text(NATS))
    left.legend(fontsize=8.5)
    colour, style, marker = LINES[2]
    right.plot(
        list(limited), list(limited.values()), color=colour, linestyle=style, marker=marker, linewidth=1.6, markersize=4
    )
    right.set_xlabel(persian_text("طول پنجرهٔ ترنسفورمر (توکن)"))
    right.set_ylabel(persian_text(NATS))
    for ax, places in ((left, found.index), (right, limited)):
        ax.set_xscale("log", base=2)
        ax.set_xticks(list(places), [fa_int(place) for place in places], fontsize=8.5)
        ax.minorticks_off()
        persian_ticks(ax)
    return figure
