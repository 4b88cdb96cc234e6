"""Section 2.1's generated tables and its live BPE example: numbers of stage ``text`` in, Markdown out."""

from __future__ import annotations

import re
from typing import Any

from IPython.display import Markdown

from genmodels.report.persian import fa, fa_int, fa_percent, table, transposed
from genmodels.text.bpe import BPE, train

SPLIT_NAMES = {"train": "آموزش", "validation": "اعتبارسنجی", "test": "آزمون"}
STEP_NAMES = {"raw": "خام", "cleaned": "پاک‌سازی‌شده", "normalized": "نرمال‌شده با hazm"}
STAGE_NAMES = {"words": "واژه‌ها و نشانه‌ها", "content": "پس از حذف ایست‌واژه و نشانه", "lemmas": "پس از لم‌یابی"}
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
        rows.append(row_cells | {"شمار بندها": row["paragraphs"], "شمار نویسه‌ها": changed})
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
            "سند": row["documents"], "بند": row["paragraphs"], "نویسه": row["characters"],
            "واژه": row["words"], "توکن": row["tokens"], "توکن بر واژه": fa(row["tokens_per_word"], 2),
        }
        for split, row in ((split, fluent["splits"][split]) for split in SPLIT_NAMES)
    )


def normalization(rows: list[dict[str, Any]]) -> Markdown:
    """Words, types and characters of the training text after each step."""
    return table(
        {
            "متن آموزش": STEP_NAMES[row["step"]], "واژه": row["words"], "گونهٔ واژه": row["types"],
            "گونهٔ یک‌بار دیده‌شده": row["once"], "نویسهٔ متمایز": row["characters"],
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
            "متن": STAGE_NAMES[stage], "شمار در آموزش": words[stage]["tokens"], "گونهٔ آموزش": words[stage]["types"],
            "گونهٔ یک‌بار دیده‌شده": fa_percent(words[stage]["once_share"]),
            "واژهٔ نادیده در آزمون": fa_percent(words[stage]["unseen_test_share"]),
        }
        for stage in STAGE_NAMES
    )


def lemmas(examples: list[list[Any]]) -> Markdown:
    """Words and their lemmas, right ones and wrong ones."""
    rows = [{"واژه": word, "لم": lemma, "درست": "بله" if right else "نه"} for word, lemma, right in examples]
    return table(transposed(rows, "واژه"))


def symbol(text: str) -> str:
    """One BPE symbol as code (space ``_``, half-space ``-``, lone bytes in hexadecimal), Persian ones right to left."""
    mark = RLM if any("\u0600" <= character <= "\u06ff" for character in text) else LRM
    return f"{FIRST_STRONG}`{mark}{text}{mark}`{END}"


def toy_bpe(merges: int = 10) -> tuple[BPE, Markdown]:
    """Our BPE trained on seven short words, and its merges: pair, how often it was counted, the new symbol."""
    bpe = train([TOY_TEXT], 256 + merges)
    rows = [
        {"گام": index, "جفت": f"{symbol(bpe.text(left))} + {symbol(bpe.text(right))}", "بار": count,
         "نماد نو": symbol(bpe.text(255 + index))}
        for index, ((left, right), count) in enumerate(zip(bpe.merges, bpe.counts), 1)
    ]
    return bpe, table(rows)


def vocabularies(study: dict[str, Any], rest: int, width: int = 256) -> Markdown:
    """Vocabulary size against length; the last column is the share of a tied embedding matrix of ``width`` columns.

    ``rest``: the network's other parameters, which do not depend on the vocabulary.
    """
    return table(
        {
            "واژگان": row["vocabulary"], "توکن بر واژه": fa(row["tokens_per_word"], 2),
            "نویسه بر توکن": fa(row["characters_per_token"], 2), "پارامتر بردارهای واژه": row["vocabulary"] * width,
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
            "کار": names[row["step"]], "hazm به شیوهٔ ساده": fa(row["plain_mb_per_second"], 2),
            "راه ما": fa(row["mb_per_second"], 2), "نسبت": fa(row["ratio"], 1),
        }
        for row in metrics["steps"]
    )


def preparation_whole(metrics: dict[str, Any]) -> Markdown:
    """Stage ``speed-text``: the whole preparation by size of the text and number of worker processes."""
    return table(
        {
            "متن (مگابایت)": fa(row["megabytes"], 1), "فرایند کارگر": row["workers"], "ثانیه": fa(row["seconds"], 1),
            "ثانیهٔ پردازنده": fa(row["cpu_seconds"], 1), "اوج حافظه (مگابایت)": fa_int(round(row["peak_megabytes"])),
        }
        for row in metrics["whole"]
    )


def bpe_training(metrics: dict[str, Any]) -> Markdown:
    """Stage ``speed-bpe``: readings of pieces and processor seconds of our trainer and of ``tokenizers``."""
    return table(
        {
            "واژگان": row["vocabulary"], "خواندن تکه‌ها": row["readings"], "با بازشماری کامل": row["recount_readings"],
            "ما (ثانیه)": fa(row["seconds"], 2), "`tokenizers` (ثانیه)": fa(row["tokenizers_seconds"], 2),
            "نسبت": fa(row["ratio"], 1),
        }
        for row in metrics["rows"]
    )


def tokenizer_dependence(metrics: dict[str, Any]) -> Markdown:
    """Stage ``vocabularies``: the same model and text, three tokenizers."""
    return table(
        {
            "واژگان": row["vocabulary"], "توکن آزمون": row["tokens"], "سرگشتگی": fa(row["perplexity"], 1),
            "بیت بر نویسه": fa(row["bits_per_character"], 3), "سرگشتگی بر واژه": fa_int(round(row["word_perplexity"])),
        }
        for row in metrics["rows"]
    )
