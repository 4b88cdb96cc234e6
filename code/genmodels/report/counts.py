"""Section 2.2, counting: sparsity, how far back known n-grams reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from genmodels.report.canvas import GREY, LINES, SKY, new_figure
from genmodels.report.persian import fa, fa_percent, fa_sci, table, transposed
from genmodels.report.plotting import persian_text, persian_ticks


def sparsity_table(orders: pd.DataFrame, vocabulary: int) -> Markdown:
    """How many n-grams there could be, how many there are, and how few of the test's are among them."""
    return table(
        {
            "n": int(row.order),
            "ممکن، $V^n$": fa_sci(float(vocabulary) ** row.order, 1),
            "دیده‌شده در آموزش": int(row.ngrams),
            "تنها یک‌بار دیده‌شده": fa_percent(row.once_share, 1),
            "نادیده در میان n-gramهای آزمون": _share(row.unseen_test_share),
        }
        for row in orders.itertuples()
    )


def _share(value: float) -> str:
    """A percentage with one decimal, or as many as a tiny one needs."""
    return fa_percent(value, 1 if value == 0 or value >= 5e-4 else 3)


def continuations_table(words: pd.DataFrame) -> Markdown:
    """Common words: occurrences, different tokens before them, and the ratio."""
    rows = [
        {
            "واژه": f"«{row.token}»",
            "رخداد": int(row.count_),
            "شمار پیوند": int(row.contexts),
            "نسبت": fa_percent(row.contexts / row.count_, 1),
        }
        for row in words.rename(columns={"count": "count_"}).itertuples()  # tuples have a method count
    ]
    return table(transposed(rows, "واژه"))


def orders_table(orders: pd.DataFrame) -> Markdown:
    """Each order's discounts, measures and cost."""
    return table(
        {
            "n": int(row.order),
            "$D_1$": fa(row.discounts[0], 2),
            "$D_2$": fa(row.discounts[1], 2),
            "$D_{3+}$": fa(row.discounts[2], 2),
            "سرگشتگی اعتبارسنجی": fa(row.validation_perplexity, 1),
            "سرگشتگی آزمون": fa(row.test_perplexity, 1),
            "بیت بر نویسه": fa(row.test_bits_per_character, 3),
            "سرگشتگی آزمون، افزودن یک": fa(row.add_one_test_perplexity, 0),
            "شمارش (ثانیهٔ پردازنده)": fa(row.fit_cpu_seconds, 2),
        }
        for row in orders.itertuples()
    )


def known_lengths(matches: pd.DataFrame) -> Figure:
    """Share of the test tokens (bars) and their mean loss (line) by the length of the longest known n-gram."""
    figure, (top, below) = new_figure(5.2, 2.6, 2, 1, sharex=True)
    labels = [fa(int(length)) for length in matches.length]
    places = range(len(labels))
    top.bar(places, 100 * matches.share, color=SKY, edgecolor="black", linewidth=0.6, width=0.62)
    for place, share in zip(places, matches.share):
        top.annotate(
            _share(share), (place, 100 * share), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9
        )
    top.set_ylabel(persian_text("درصد توکن‌ها"))
    top.set_ylim(0, 118 * matches.share.max())
    colour, style, marker = LINES[1]
    below.plot(places, matches.loss_nats, color=colour, linestyle=style, marker=marker, linewidth=1.8)
    mean = float((matches.share * matches.loss_nats).sum())
    below.axhline(mean, color=GREY, linewidth=1, linestyle=":")
    below.annotate(
        persian_text("میانگین"),
        (places[-1], mean),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color="#555555",
        fontsize=9,
    )
    below.set_ylim(0, None)
    below.set_ylabel(persian_text("زیان (نات)"))
    below.set_xticks(list(places), labels)
    below.set_xlabel(persian_text("طول بلندترین n-gram آشنا که به توکن می‌رسد"))
    for ax in (top, below):
        persian_ticks(ax)
    return figure


def samples_table(samples: Iterable[Mapping[str, Any]]) -> Markdown:
    """One drawn text an order, line ends shown as ¶."""
    return table({"n": int(row["order"]), "نمونه": row["text"].strip().replace("\n", " ¶ ")} for row in samples)
