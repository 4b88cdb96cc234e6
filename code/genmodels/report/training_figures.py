"""How fast PixelCNN trains, as the report shows it: the table of forms and the plot of the cost law.

The numbers come from the stage ``speed-training``; nothing is measured here. Labels are Persian, so that no chunk of the
report holds any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from genmodels.report.figures import GREY, new_figure, styles
from genmodels.report.persian import fa, fa_percent
from genmodels.report.plotting import persian_text

FORMS = {
    "naive": "هستهٔ کامل در ماسک", "naive-last": "هستهٔ کامل، `channels_last`",
    "half": "نیمهٔ علّی", "half-last": "نیمهٔ علّی، `channels_last`", "spectral": "تبدیل فوریه",
    "naive-bf16": "هستهٔ کامل، bf16", "half-bf16": "نیمهٔ علّی، bf16", "half-compiled": "نیمهٔ علّی، `torch.compile`",
}
VARIED = {"channels": "کانال‌ها", "layers": "لایه‌ها", "side": "پهنای تصویر"}


def form_rows(measured: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row a form that ran: images a second, ratio to the naive form, billions of operations, speed against a large matrix product."""
    return [
        {
            "روش": FORMS[row["form"]], "تصویر بر ثانیه": fa(row["images_per_second"], 1), "نسبت": fa(row["ratio"], 2),
            "عمل هر تصویر (میلیارد)": fa(row["flops"] / 1e9, 2),
            "عمل بر ثانیه (میلیارد)": fa(row["gflops_per_second"], 0), "نسبت به ضرب ماتریسی": fa_percent(row["of_product"], 0),
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
        (ax.xaxis, "عمل برای هر تصویر (میلیارد)"), (ax.yaxis, "زمان هر تصویر (میلی‌ثانیه)"), (right.yaxis, "زمان دوره (دقیقه)"),
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
