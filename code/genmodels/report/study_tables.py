"""What the studies found, as the report shows it: the size curve, what each part is worth, one target against all.

Numbers in, rows and figures out, labels Persian. The runs themselves: ``stages/language_study.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from genmodels.report.figures import GREY, new_figure, styles
from genmodels.language.comparison import paired
from genmodels.report.persian import fa, fa_int
from genmodels.report.plotting import persian_text, persian_ticks

VARIANTS = {
    "base": "مدل پایه",
    "second-seed": "همان با دانهٔ تصادفی دیگر",
    "learned": "بردار جایگاه آموختنی به جای RoPE",
    "layer": "LayerNorm به جای RMSNorm",
    "post": "هنجارش پس از شاخه",
    "gelu": "GELU به جای SwiGLU",
    "untied": "ماتریس خروجی جدا",
    "multi-query": "یک سر کلید و مقدار",
    "muon": "Muon به جای AdamW",
}


@dataclass(frozen=True)
class Effect:
    """loss(run) - loss(base), nats a token, with its 95% interval over validation documents (paired bootstrap)."""

    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Does the interval exclude zero?"""
        return self.low > 0 or self.high < 0


def effects(study: Any, base: str = "base", seed: int = 1) -> dict[str, Effect]:
    """Every run of a study against its run ``base``."""
    reference = study.on_validation(base)
    keys = [key for key in study.config if key != base]
    return {key: Effect(*paired(study.on_validation(key), reference, seed)) for key in keys}


def ablation_rows(study: Any, found: dict[str, Effect]) -> list[dict[str, str]]:
    """The base first, then every exchanged part with its effect; a positive one means that the base is better."""
    runs, rows = study.runs, []
    for key, label in VARIANTS.items():
        row = runs.loc[key]
        effect = "—"
        if key in found:
            one = found[key]
            effect = f"{fa(one.difference, 3)} ({fa(one.low, 3)} تا {fa(one.high, 3)})"
        rows.append({
            "دگرگونی": label, "پارامترها": fa_int(int(row.parameters)),
            "زیان اعتبارسنجی": fa(row.validation_loss_nats, 3), "اختلاف با پایه و بازهٔ ۹۵٪": effect,
            "جایگاه بر ثانیهٔ پردازنده": fa_int(round(row.targets_seen / max(row.cpu_seconds, 0.1), -2)),
        })
    return rows


def sizes(*studies: Any) -> pd.DataFrame:
    """The runs of different sizes in all ``studies``, by parameters; ``epochs``, and ``tokens_per_parameter`` of what each has seen."""
    runs = pd.concat([study.runs.assign(epochs=study.history.groupby("run")["epoch"].last()) for study in studies])
    found = runs[[key.startswith("size-") for key in runs.index]].sort_values("parameters")
    return found.assign(tokens_per_parameter=found.targets_seen / found.parameters)


def same_documents(result: Any, study: Any) -> float:
    """Validation loss of a shipped model, nats a token, on the documents that ``study`` is judged on: the first ones."""
    tokens = study.metrics["validation_document_tokens"]
    return sum(result.metrics["validation_document_nll_nats"][: len(tokens)]) / sum(tokens)


def size_rows(found: pd.DataFrame, chosen: str) -> list[dict[str, str]]:
    """One row a size; the chosen one bold."""
    rows = []
    for key, row in found.iterrows():
        star = "**" if key == chosen else ""
        rows.append({
            "بُعد بردار واژه": f"{star}{fa_int(int(key.removeprefix('size-')))}{star}",
            "پارامترها": fa_int(int(row.parameters)),
            "جایگاه‌های دیده‌شده": fa_int(int(row.targets_seen)),
            "دوره": fa(row.epochs, 1),
            "زیان آموزش": fa(row.train_loss_nats, 3),
            "زیان اعتبارسنجی": f"{star}{fa(row.validation_loss_nats, 3)}{star}",
        })
    return rows


def size_curve(found: pd.DataFrame) -> Figure:
    """Validation and training loss against the number of parameters (logarithmic), at an equal number of operations."""
    figure, ax = new_figure(5.6, 2.3)
    series = {"validation_loss_nats": "اعتبارسنجی", "train_loss_nats": "آموزش"}
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


def target_rows(study: Any) -> list[dict[str, str]]:
    """One target a window against a target at every position: the same model, the same windows, the same steps."""
    labels = {"targets-all": "همهٔ جایگاه‌ها", "targets-last": "تنها جایگاه آخر"}
    rows = []
    for key, label in labels.items():
        row = study.runs.loc[key]
        rows.append({
            "هدف‌ها": label, "هدف‌های دیده‌شده": fa_int(int(row.targets_seen)),
            "ثانیهٔ پردازنده": fa(row.cpu_seconds, 0),
            "هدف بر ثانیهٔ پردازنده": fa_int(round(row.targets_seen / max(row.cpu_seconds, 0.1))),
            "زیان اعتبارسنجی": fa(row.validation_loss_nats, 3),
            "سرگشتگی": fa(math.exp(row.validation_loss_nats), 0),
        })
    return rows
