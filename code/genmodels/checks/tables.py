"""Outcomes as the report shows them: one row a point of the assignment, each check with what it found.

``failed`` (red) and ``unchecked`` (grey) are classes that the style sheet and the Lua filter colour in both formats;
marks and words say the same to who sees no colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from genmodels.report import persian
from genmodels.report.persian import fa_int
from genmodels.checks.check import Outcome
from genmodels.system.kinds import CONTRADICTED, HOLDS, UNCHECKED, kind

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
SAID = {HOLDS: ("✓", "درست"), CONTRADICTED: ("✗", "نادرست"), UNCHECKED: ("–", "این‌جا سنجیده نشد")}  # mark and word
ORDER = (CONTRADICTED, UNCHECKED, HOLDS)
WIDTHS = (20, 73, 10)  # shares of the line


def table(outcomes: Sequence[Outcome]) -> Markdown:
    """``table_rows`` as a Markdown table whose middle column gets most of the line."""
    from IPython.display import Markdown

    head, _, *body = persian.table(table_rows(outcomes)).data.split("\n")
    return Markdown("\n".join([head, "|" + "|".join("-" * width for width in WIDTHS) + "|", *body]))


def table_rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Rows for ``genmodels.report.persian.table``: section link, what is asked, checks with results, verdict.

    Within a row a failed check comes first and in red, one that was not made here next and in grey.
    """
    rows = []
    for point, (section, asked) in POINTS.items():
        made = [outcome for outcome in outcomes if outcome.point == point]
        if not made:
            continue
        rows.append({
            "بند": f"@{section}: {asked}",
            "بررسی‌ها (و یافته‌ها)": "؛ ".join(map(told, sorted(made, key=lambda each: ORDER.index(kind(each))))),
            "حاصل": tally(made),
        })
    return rows


def told(outcome: Outcome) -> str:
    """One check in a sentence: what holds (what was found)."""
    words = f"{outcome.title} ({outcome.result})"
    return words if kind(outcome) == HOLDS else coloured(words, kind(outcome))


def coloured(words: str, verdict: str) -> str:
    """Words with the mark of a verdict and in its colour, as Markdown."""
    words = f"{SAID[verdict][0]} {words}"
    return {HOLDS: words, CONTRADICTED: f"[**{words}**]{{.failed}}", UNCHECKED: f"[{words}]{{.unchecked}}"}[verdict]


def tally(made: Sequence[Any]) -> str:
    """How many checks (``Outcome`` or ``Check``) ended in which way, what failed first."""
    kinds = [kind(each) for each in made]
    return "؛ ".join(coloured(f"{fa_int(kinds.count(k))} {SAID[k][1]}", k) for k in ORDER if k in kinds)


def summary(outcomes: Sequence[Outcome], verified: Mapping[str, Sequence[Any]]) -> str:
    """All checks of the document in a word, those of ``verify`` (by stage) too, for running text; no Markdown."""
    kinds = [kind(each) for each in (*outcomes, *chain.from_iterable(verified.values()))]
    others = "".join(f"، {fa_int(kinds.count(k))} {SAID[k][1]}" for k in (CONTRADICTED, UNCHECKED) if k in kinds)
    return f"{fa_int(kinds.count(HOLDS))} از {fa_int(len(kinds))} {SAID[HOLDS][1]}{others}"
