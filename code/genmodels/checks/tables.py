"""Outcomes as the report shows them: a row a point of the assignment, each check with what it found; and ``verify``'s.

``failed`` (red) and ``unchecked`` (grey) are classes that the style sheet and the Lua filter colour in both formats;
marks and words say the same to who sees no colour.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from genmodels.checks.check import Outcome
from genmodels.report import persian
from genmodels.report.names import STAGE_NAMES
from genmodels.report.persian import fa, fa_int
from genmodels.system.proof import CONTRADICTED, HOLDS, UNCHECKED, kind

if TYPE_CHECKING:
    from IPython.display import Markdown

# Point of the assignment -> (its section, what it asks); in the order of the table.
POINTS = {
    "1.1": ("sec-1-1", "MNIST"),
    "1.2": ("sec-1-2", "ماسک‌ها"),
    "1.3": ("sec-1-3", "آموزش"),
    "1.4": ("sec-1-4", "تصویرها"),
    "2.1": ("sec-2-1", "متن، BPE"),
    "2.2": ("sec-2-2", "n-gram"),
    "2.3": ("sec-2-3", "سرگشتگی"),
    "2.4": ("sec-2-4", "نمونه‌ها"),
    "2.5": ("sec-2-5", "ترنسفورمر"),
    "2.6a": ("sec-2-6-a", "(آ)"),
    "2.6b": ("sec-2-6-b", "(ب)"),
    "2.6c": ("sec-2-6-c", "(ج)"),
    "2.6d": ("sec-2-6-d", "(د)"),
    "2.6e": ("sec-2-6-e", "(ه)"),
    "2.6f": ("sec-2-6-f", "(و)"),
    "all": ("sec-provenance", "همه"),
}
# What ``verify`` finds belongs to a point, too: by the name of its check, else by the result that it is of.
CHECK_POINTS = {"manifest": "all", "test_perplexity": "2.3", "test_bits_per_character": "2.3", "documents": "2.3"}
STAGE_POINTS = {
    "speed-training": "1.2", "page": "all",
    "pixelcnn": "1.3", "pixelcnn-gated": "1.3", "pixelcnn-threshold": "1.3", "pixelcnn-homework": "1.3", "pixelcnn-study": "1.3",
    "mnist-classifier": "1.4", "pixelcnn-samples": "1.4", "speed-sampling": "1.4",
    "text": "2.1", "speed-text": "2.1", "speed-bpe": "2.1", "vocabularies": "2.1",
    "ngram": "2.2", "rnn": "2.2", "rnn-classic": "2.2", "rnn-best": "2.2", "rnn-study": "2.2", "rnn-study-small": "2.2",
    "generation": "2.4",
    "transformer": "2.5", "transformer-classic": "2.5", "transformer-best": "2.5", "transformer-study": "2.5", "transfer": "2.5", "speed-decoding": "2.5", "speed-peers": "2.5",
}  # fmt: skip
SAID = {HOLDS: ("✓", "درست"), CONTRADICTED: ("✗", "نادرست"), UNCHECKED: ("–", "این‌جا سنجیده نشد")}  # mark and word
ORDER = (CONTRADICTED, UNCHECKED, HOLDS)
WIDTHS = (20, 73, 10)  # shares of the line
CHECK_NAMES = {
    "manifest": "درستی پرونده‌ها و تنظیم‌ها",
    "behaviour": "اثر انگشت رفتار",
    "test_nll_nats": "زیان روی برش آزمون (نات بر تصویر)",
    "test_perplexity": "سرگشتگی روی متن آزمون",
    "test_accuracy": "درستی رده‌بند روی آزمون",
    "documents": "زیان، سند به سند",
    "tokens_per_word": "توکن بر واژه در متن دیده‌نشده",
    "round_trip_share": "رمزگشایی دقیق متن",
    "test_bits_per_character": "بیت بر نویسه روی متن آزمون",
    "contents": "آنچه در نتیجه است",
    "opening": "نخستین گام‌ها در اندازهٔ کامل",
    "counts": "شمارها",
    "rounded": "مدل با وزن‌های گردشده",
    "slice": "نام سنجه‌ها",
    "whole_test_nll_nats": "زیان روی همهٔ آزمون (نات بر تصویر)",
    "weights": "وزن‌ها همان وزن‌های امروزند",
    "samples": "نمونه‌ها دوباره",
    "measures": "سنجه‌ها",
    "cool": "دمای پایین‌تر",
    "independent": "پیکسل‌های مستقل",
    "real-dynamic": "آزمون واقعی",
    "real-threshold": "آزمون واقعی، آستانه‌ای",
    "worst": "بدترین نمونه‌ها",
    "neighbours": "همسایه‌ها",
    "likelihood": "میانگین زیان",
    "unlikely": "نامحتمل‌ترین‌ها",
    "merges": "ادغام‌ها",
    "normalize": "نرمال‌سازی",
    "classic": "پیکرهٔ کلاسیک",
    "attention": "توجه",
    "LSTM": "LSTM",
    "cross-entropy": "آنتروپی متقاطع",
    "cache": "با حافظهٔ نهان و بی آن، سرها",
    "raster": "نمونه‌گیرها",
    "two stacks": "نمونه‌گیرها، دو پشته",
    "half-last": "پیچش سریع",
    "spectral": "پیچش طیفی",
    "two-stacks": "دو پشته",
    "one loss": "یک زیان",
    "ngram": "همان کنسر–نی",
}
DETAILS = {  # what a check of ``verify`` says on the command line -> in the document; any other is shown as it is
    r"(\S+), stored (\S+)": "از نو {}، ثبت‌شده {}",
    r"largest relative difference (\S+)": "بیشترین اختلاف نسبی {}",
    r"(\d+) of (\d+) draws come out otherwise.*": "{} از {} قرعه چیز دیگری داد",
    r"takes the data and minutes: make verify": "داده و چند دقیقه می‌خواهد: فرمان verify",
    r"made by preparation version (\d+), today's is (\d+)": "از نسخهٔ {} آماده‌سازی است؛ نسخهٔ امروز {} است",
    r"no data: .*": "داده نیست",
    r"no bf16.*": "این پردازنده bf16 ندارد",
    r"made before the new training of .*": "پیش از آموزش تازهٔ شبکه‌هایش ساخته شده است",
}


def table(outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]] | None = None) -> Markdown:
    """``table_rows`` as a Markdown table whose middle column gets most of the line."""
    from IPython.display import Markdown

    head, _, *body = persian.table(table_rows(outcomes, verified)).data.split("\n")
    return Markdown("\n".join([head, "|" + "|".join("-" * width for width in WIDTHS) + "|", *body]))


def table_rows(
    outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]] | None = None
) -> list[dict[str, str]]:
    """Rows for ``genmodels.report.persian.table``: section link, what is asked, checks with results, verdict.

    The checks are the document's own, then those of ``verify`` (by stage) that are made nowhere else, by kind and number.
    Within a row a failed check comes first and in red, one that was not made here next and in grey.
    """
    rows = []
    for point, (section, asked) in POINTS.items():
        made = [outcome for outcome in outcomes if outcome.point == point]
        again = _again(verified or {}, point)
        if not made and not again:
            continue
        said = [(kind(outcome), f"{outcome.title} ({outcome.result})") for outcome in made]
        left = [(stage, check) for stage, check in again if kind(check) != HOLDS]
        said += [
            (kind(check), f"{_retest(stage, check.name)}، {STAGE_NAMES.get(stage, stage)}") for stage, check in left
        ]
        said.sort(key=lambda one: ORDER.index(one[0]))
        told = [words if ended == HOLDS else coloured(words, ended) for ended, words in said]
        held = Counter(_retest(stage, check.name) for stage, check in again if kind(check) == HOLDS)
        if held:
            told.append("بازآزمایی: " + "، ".join(f"{words} ({fa_int(count)})" for words, count in held.items()))
        rows.append(
            {
                "بند": f"@{section}: {asked}",
                "بررسی‌ها (و یافته‌ها)": "؛ ".join(told),
                "حاصل": tally([*made, *(check for _, check in again)]),
            }
        )
    return rows


def _again(verified: Mapping[str, Sequence[Any]], point: str) -> list[tuple[str, Any]]:
    """(stage, check) of what ``verify`` found for one point."""
    return [
        (stage, check) for stage, found in verified.items() for check in found if _point(stage, check.name) == point
    ]


def _point(stage: str, check: str) -> str:
    return CHECK_POINTS.get(check) or STAGE_POINTS.get(stage, "all")


def _retest(stage: str, check: str) -> str:
    """What a check of ``verify`` is of: its kind, or the study whose run it is."""
    name = None if "-study" in stage else CHECK_NAMES.get(check) or CHECK_NAMES.get(check.partition(" ")[0])
    return name or STAGE_NAMES.get(stage, f"`{stage}`")


def coloured(words: str, verdict: str) -> str:
    """Words with the mark of a verdict and in its colour, as Markdown."""
    words = f"{SAID[verdict][0]} {words}"
    return {HOLDS: words, CONTRADICTED: f"[**{words}**]{{.failed}}", UNCHECKED: f"[{words}]{{.unchecked}}"}[verdict]


def tally(made: Sequence[Any]) -> str:
    """How many checks (``Outcome`` or ``Check``) ended in which way, what failed first."""
    kinds = [kind(each) for each in made]
    return "؛ ".join(coloured(f"{fa_int(kinds.count(k))} {SAID[k][1]}", k) for k in ORDER if k in kinds)


def held(outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]], point: str) -> Markdown:
    """How the checks of one point ended, the document's own and ``verify``'s: «✓ ۱۲ درست», or «—» without a check."""
    from IPython.display import Markdown

    again = [check for _, check in _again(verified, point)]
    return Markdown(tally([*(outcome for outcome in outcomes if outcome.point == point), *again]) or "—")


def summary(outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]]) -> str:
    """All checks of the document in a word, those of ``verify`` (by stage) too, for running text; no Markdown."""
    kinds = [kind(each) for each in (*outcomes, *chain.from_iterable(verified.values()))]
    others = "".join(f"، {fa_int(kinds.count(k))} {SAID[k][1]}" for k in (CONTRADICTED, UNCHECKED) if k in kinds)
    return f"{fa_int(kinds.count(HOLDS))} از {fa_int(len(kinds))} {SAID[HOLDS][1]}{others}"


def retests(found: Mapping[str, Sequence[Any]]) -> Markdown:
    """How ``verify``'s attempts at contradicting each result ended: a row a result, one for all that does not hold."""
    rows = []
    for name, attempts in found.items():
        labels = dict.fromkeys(_check_name(check.name) or f"`{check.name}`" for check in attempts)
        stage = STAGE_NAMES.get(name, f"`{name}`")
        rows.append({"مرحله": stage, "بررسی‌ها": "، ".join(labels), "حاصل": tally(attempts)})
        for check in attempts:
            if (ended := kind(check)) != HOLDS:
                words = f"{_check_name(check.name) or _foreign(check.name)}: {_persian_detail(check.detail)}"
                cells = {"مرحله": stage, "بررسی‌ها": words, "حاصل": SAID[ended][1]}
                rows.append({column: coloured(cell, ended) for column, cell in cells.items()})
    return persian.table(rows)


def _check_name(name: str) -> str | None:
    """``samples rnn`` is named by its first word and the stage; ``None`` where a check has no Persian name."""
    first, _, rest = name.partition(" ")
    if name in CHECK_NAMES or not rest or first not in CHECK_NAMES:
        return CHECK_NAMES.get(name)
    return f"{CHECK_NAMES[first]}: {STAGE_NAMES.get(rest, CHECK_NAMES.get(rest, rest))}"


def _persian_detail(detail: str) -> str:
    for pattern, words in DETAILS.items():
        if match := re.fullmatch(pattern, detail):
            return words.format(*(fa(float(number)) for number in match.groups()))
    return _foreign(detail)


def _foreign(text: str) -> str:
    """English words within Persian ones, as Markdown that is nothing but text."""
    return "[" + re.sub(r"([\\`*\[\]{}<>$@^~#])", r"\\\1", text) + "]{dir=ltr}"
