"""Section 2.1: what preparation did to the text, the reading of lemmas, and BPE, live and as trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import Markdown
from matplotlib.figure import Figure

from genmodels.report.canvas import BLUE, GREY, LIGHT, PALE, WARM, box, new_figure
from genmodels.report.names import CLASSIC_STEPS, NORMALIZATION_STEPS, SPLIT_NAMES
from genmodels.report.persian import fa, fa_int, fa_percent, table, transposed
from genmodels.system.places import ASSETS
from genmodels.text.bpe import BPE, train

READING = ASSETS / "lemma-reading.tsv"
TOY_TEXT = "کتاب کتاب کتاب کتابی کتابی کتب بتاب"
FIRST_STRONG, RIGHT_TO_LEFT, END = "\u2068", "\u2067", "\u2069"  # isolates of Unicode's bidirectional algorithm
LRM, RLM = "\u200e", "\u200f"  # marks: give neighbouring punctuation the direction of the word it belongs to
SEPARATOR = " · "  # between the symbols of one word
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def cleaning(statistics: dict[str, Any]) -> Markdown:
    """The rules in order: name, reason, one real example, and what each did to this corpus.

    ``table`` gives every number Persian digits; the examples must stay as they stood, so they are put in afterwards.
    """
    examples: dict[str, str] = {}
    rows = []
    for row in statistics["rules"]:
        cells = []
        for text in row["example"] or ():
            name = f"x{len(examples)}x".ljust(len(text), "x")  # as long as the text: ``table`` measures columns
            examples[name] = _literal(text) if text.strip() else "(حذف)"
            cells.append(name)
        before, after = cells or (None, None)
        changed = row["removed"] + row["changed"]
        row_cells = {"قاعده": row["label"], "چرا": row["reason"], "پیش": before, "پس": after}
        rows.append(row_cells | {"بند": row["paragraphs"], "نویسه": changed})
    text = table(rows).data
    for name, example in examples.items():
        text = text.replace(f"| {name} |", f"| {example} |")
    return Markdown(text)


def _literal(text: str) -> str:
    """Corpus text for a Markdown cell, nothing in it read as markup, isolated from the direction around it."""
    return RIGHT_TO_LEFT + _PUNCTUATION.sub(r"\\\1", " ".join(text.split())) + END


def splits(fluent: dict[str, Any]) -> Markdown:
    """Size of the three parts after preparation."""
    return table(
        {
            "بخش": SPLIT_NAMES[split],
            "سند": row["documents"],
            "بند": row["paragraphs"],
            "نویسه": row["characters"],
            "واژه": row["words"],
            "توکن": row["tokens"],
            "توکن بر واژه": fa(row["tokens_per_word"], 2),
        }
        for split, row in ((split, fluent["splits"][split]) for split in SPLIT_NAMES)
    )


def normalization(rows: list[dict[str, Any]]) -> Markdown:
    """Words, types and characters of the training text after each step."""
    return table(
        {
            "متن آموزش": NORMALIZATION_STEPS[row["step"]],
            "واژه": row["words"],
            "گونهٔ واژه": row["types"],
            "گونهٔ یک‌بار دیده‌شده": row["once"],
            "نویسهٔ متمایز": row["characters"],
        }
        for row in rows
    )


def stop_words(words: dict[str, Any]) -> Markdown:
    """The commonest stop words, with their number in the training text."""
    rows = [{"ایست‌واژه": word, "بار": count} for word, count in words["stop_words"]["most_common"][:8]]
    return table(transposed(rows, "ایست‌واژه"))


def lemmatization(words: dict[str, Any]) -> Markdown:
    """Tokens, types and unseen share after each step of the classic preparation."""
    return table(
        {
            "متن": CLASSIC_STEPS[stage],
            "شمار در آموزش": words[stage]["tokens"],
            "گونهٔ آموزش": words[stage]["types"],
            "گونهٔ یک‌بار دیده‌شده": fa_percent(words[stage]["once_share"]),
            "واژهٔ نادیده در آزمون": fa_percent(words[stage]["unseen_test_share"]),
        }
        for stage in CLASSIC_STEPS
    )


def lemmas(examples: list[list[Any]]) -> Markdown:
    """Words and their lemmas, right ones and wrong ones."""
    rows = [{"واژه": word, "لم": lemma, "درست": "بله" if right else "نه"} for word, lemma, right in examples]
    return table(transposed(rows, "واژه"))


def lemma_reading() -> list[dict[str, str]]:
    """The committed reading of 100 lemmas: rows ``word``, ``hazm``, ``right`` (yes or no), ``note``."""
    lines = READING.read_text("utf-8").splitlines()
    header, *rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return [dict(zip(header, row, strict=True)) for row in rows]


def reading_corpus() -> str:
    """sha256 of the raw file whose words were read."""
    return READING.read_text("utf-8").partition("# corpus sha256: ")[2].partition("\n")[0]


def share_interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson, 1927): usable for few hits, unlike the normal approximation."""
    centre = (hits + z * z / 2) / (count + z * z)
    half = z * math.sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return centre - half, centre + half


def symbol(text: str) -> str:
    """One BPE symbol as code (space ``_``, half-space ``-``, lone bytes in hexadecimal), Persian ones right to left."""
    mark = RLM if any("\u0600" <= character <= "\u06ff" for character in text) else LRM
    return f"{FIRST_STRONG}`{mark}{text}{mark}`{END}"


def toy_bpe(merges: int = 10) -> tuple[BPE, Markdown]:
    """Our BPE trained on seven short words, and its merges: pair, how often it was counted, the new symbol."""
    bpe = train([TOY_TEXT], 256 + merges)
    rows = [
        {
            "گام": index,
            "جفت": f"{symbol(bpe.text(left))} + {symbol(bpe.text(right))}",
            "بار": count,
            "نماد نو": symbol(bpe.text(255 + index)),
        }
        for index, ((left, right), count) in enumerate(zip(bpe.merges, bpe.counts), 1)
    ]
    return bpe, table(rows)


def merge_tree(trace: Sequence[Mapping[str, Any]]) -> Figure:
    """The merges of one word as a tree, its bytes below, its tokens above; the number at a node is its merge's rank.

    ``trace``: one row a step with ``symbols`` after it, the ``pair`` merged and its ``rank`` (``None`` in the first).
    A node stands above both its parts.
    """
    first = trace[0]["symbols"]
    figure, ax = new_figure(6.2, 2.35)
    nodes = [
        (float(len(first) - 1 - i), 0, symbol) for i, symbol in enumerate(first)
    ]  # x, level, symbol; right to left
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
            ax.plot(
                [part[0], part[0], x], [part[1] + 0.3, level - 0.15, level - 0.15], color=GREY, linewidth=0.8, zorder=0
            )
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


def vocabularies(study: dict[str, Any], rest: int, width: int = 256) -> Markdown:
    """Vocabulary size against length; the last column is the share of a tied embedding matrix of ``width`` columns.

    ``rest``: the network's other parameters, which do not depend on the vocabulary.
    """
    return table(
        {
            "واژگان": row["vocabulary"],
            "توکن بر واژه": fa(row["tokens_per_word"], 2),
            "نویسه بر توکن": fa(row["characters_per_token"], 2),
            "پارامتر بردارهای واژه": row["vocabulary"] * width,
            "سهم از پارامترها": fa_percent(row["vocabulary"] * width / (row["vocabulary"] * width + rest)),
        }
        for row in study["vocabularies"]
    )


def shown_words(rows: list[list[Any]]) -> Markdown:
    """How some words are cut."""
    return table(
        {"واژه": word, "توکن‌ها": SEPARATOR.join(map(symbol, symbols)), "شمار": fa_int(len(symbols))}
        for word, symbols in rows
    )


def preparation_steps(metrics: dict[str, Any]) -> Markdown:
    """Stage ``speed-text``: hazm called plainly and our way, megabytes of UTF-8 a processor second."""
    names = {"normalize": "نرمال‌سازی (پیکرهٔ روان)", "classic": "نرمال‌سازی، ایست‌واژه، لم (پیکرهٔ کلاسیک)"}
    return table(
        {
            "کار": names[row["step"]],
            "hazm به شیوهٔ ساده": fa(row["plain_mb_per_second"], 2),
            "راه ما": fa(row["mb_per_second"], 2),
            "نسبت": fa(row["ratio"], 1),
        }
        for row in metrics["steps"]
    )


def preparation_whole(metrics: dict[str, Any]) -> Markdown:
    """Stage ``speed-text``: the whole preparation by size of the text and number of worker processes."""
    return table(
        {
            "متن (مگابایت)": fa(row["megabytes"], 1),
            "فرایند کارگر": row["workers"],
            "ثانیه": fa(row["seconds"], 1),
            "ثانیهٔ پردازنده": fa(row["cpu_seconds"], 1),
            "اوج حافظه (مگابایت)": fa_int(round(row["peak_megabytes"])),
        }
        for row in metrics["whole"]
    )


def bpe_training(metrics: dict[str, Any]) -> Markdown:
    """Stage ``speed-bpe``: readings of pieces and processor seconds of our trainer and of ``tokenizers``."""
    return table(
        {
            "واژگان": row["vocabulary"],
            "خواندن تکه‌ها": row["readings"],
            "با بازشماری کامل": row["recount_readings"],
            "ما (ثانیه)": fa(row["seconds"], 2),
            "`tokenizers` (ثانیه)": fa(row["tokenizers_seconds"], 2),
            "نسبت": fa(row["ratio"], 1),
        }
        for row in metrics["rows"]
    )
