"""Section 1.3: published likelihoods beside ours, what each part is worth, calibration, the speed of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from genmodels.report.canvas import BLACK, BLUE, GREY, SKY, new_figure, styles
from genmodels.report.names import PIXEL_RUNS, STAGE_NAMES
from genmodels.report.persian import fa, fa_int, fa_percent, table
from genmodels.report.plotting import persian_text, persian_ticks
from genmodels.report.sentences import PUBLISHED, STATIC

FORMS = {
    "naive": "هستهٔ کامل در ماسک", "naive-last": "هستهٔ کامل، `channels_last`",
    "half": "نیمهٔ علّی", "half-last": "نیمهٔ علّی، `channels_last`", "spectral": "تبدیل فوریه",
    "naive-bf16": "هستهٔ کامل، bf16", "half-bf16": "نیمهٔ علّی، bf16", "half-compiled": "نیمهٔ علّی، `torch.compile`",
}  # fmt: skip
VARIED = {"channels": "کانال‌ها", "layers": "لایه‌ها", "side": "پهنای تصویر"}


def published(pixelcnn: Any, gated: Any) -> Markdown:
    """What papers printed, then our two networks; a number of ours on another test set is not put beside them."""
    name, loss, source = "مدل", "زیان آزمون (نات بر تصویر)", "منبع"
    rows = [
        {name: f"{key} ({found.remark})" if found.remark else key, loss: fa(found.nats, 2), source: found.source}
        for key, found in PUBLISHED.items()
    ]
    for label, result in ((STAGE_NAMES["pixelcnn"], pixelcnn), (f"{STAGE_NAMES['pixelcnn-gated']} ما", gated)):
        ours = fa(result.metrics["test_nll_nats"], 2) if result.metrics["test_set"] == STATIC else "آزمون دیگر"
        rows.append({name: f"**{label}**", loss: f"**{ours}**", source: "@sec-1-3"})
    return table(rows, centred=(loss,))


def ablation_rows(study: Any) -> list[dict[str, str]]:
    """One row a change of the assignment's network, with its effect on the validation loss (minus: better)."""
    rows = []
    for key, label in PIXEL_RUNS.items():
        run, effect = study.runs.loc[key], study.effects.get(key)
        rows.append(
            {
                "شبکه": label,
                "کانال": fa_int(study.config[key].experiment.model.channels),
                "پارامتر زنده": fa_int(int(run.live_parameters)),
                "GFLOP هر گذر": fa(run.forward_flops / 1e9, 2),
                "زیان اعتبارسنجی": fa(run.validation_nll_nats, 2),
                "اختلاف": f"{fa(effect[0], 2)} ({fa(effect[1], 2)})" if effect else "—",
            }
        )
    return rows


def reliability(table: pd.DataFrame) -> Figure:
    """The reliability diagram: predicted probability against observed frequency, below it the pixels in each bin."""
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


def form_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a form that ran: images a second, ratio to the naive form, billions of operations, speed against a large
    matrix product."""
    return [
        {
            "روش": FORMS[row["form"]],
            "تصویر بر ثانیه": fa(row["images_per_second"], 1),
            "نسبت": fa(row["ratio"], 2),
            "عمل هر تصویر (میلیارد)": fa(row["flops"] / 1e9, 2),
            "عمل بر ثانیه (میلیارد)": fa(row["gflops_per_second"], 0),
            "نسبت به ضرب ماتریسی": fa_percent(row["of_product"], 0),
        }
        for row in measured["forms"]
    ]


def cost_law(measured: Mapping[str, Any], epoch_images: int) -> Figure:
    """Milliseconds of a step for one image against its counted operations, and the fitted line; both axes logarithmic.

    On the right the same times as minutes of an epoch of ``epoch_images`` images.
    """
    points = measured["law"]
    figure, ax = new_figure(5.2, 2.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for (name, label), (colour, _, marker) in zip(VARIED.items(), styles(len(VARIED)), strict=True):
        found = [point for point in points if point["varied"] == name]
        place = [point["flops"] / 1e9 for point in found], [1e3 * point["seconds"] for point in found]
        look = {"markerfacecolor": "none", "markeredgewidth": 1.5, "markersize": 6 if marker != "s" else 8}
        ax.plot(*place, linestyle="none", marker=marker, color=colour, label=persian_text(label), **look)
    flops, taken = (np.log([point[what] for point in points]) for what in ("flops", "seconds"))
    power = measured["exponents"]["flops"]
    ends = np.array([flops.min(), flops.max()])
    fitted = np.exp(power * (ends - flops.mean()) + taken.mean())
    label = persian_text(f"برازش با توان {fa(power, 2)}")
    ax.plot(np.exp(ends) / 1e9, 1e3 * fitted, color=GREY, linewidth=1.2, zorder=0, label=label)
    minutes = epoch_images / 60 / 1e3
    right = ax.secondary_yaxis("right", functions=(lambda value: value * minutes, lambda value: value / minutes))
    for axis, name in (
        (ax.xaxis, "عمل برای هر تصویر (میلیارد)"),
        (ax.yaxis, "زمان هر تصویر (میلی‌ثانیه)"),
        (right.yaxis, "زمان دوره (دقیقه)"),
    ):
        _one_two_five(axis)
        axis.set_label_text(persian_text(name))
    ax.legend(loc="upper left", fontsize=9)
    return figure


def _one_two_five(axis: Axis) -> None:
    """Logarithmic ticks at 1, 2 and 5 times the powers of ten, written out."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: fa(value)))
