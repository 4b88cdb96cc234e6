"""Outcomes as the report shows them: one row a point of the assignment, each check with what it found.

The words ``passed`` and ``failed`` are classes that the style sheet and the Lua filter colour in both formats; the
marks ✓ and ✗ say the same to who sees no colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genmodels import persian
from genmodels.persian import fa_int
from genmodels.rubric.checks import Outcome

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
HOLDS, FAILS = "✓ {} برقرار", "[**✗ {} نابرقرار**]{{.failed}}"
WIDTHS = (20, 73, 10)  # shares of the line


def table(outcomes: Sequence[Outcome]) -> Markdown:
    """``table_rows`` as a Markdown table whose middle column gets most of the line."""
    from IPython.display import Markdown

    head, _, *body = persian.table(table_rows(outcomes)).data.split("\n")
    return Markdown("\n".join([head, "|" + "|".join("-" * width for width in WIDTHS) + "|", *body]))


def table_rows(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Rows for ``genmodels.persian.table``: section link, what is asked, checks with results, verdict.

    Within a row a failed check comes first and in red.
    """
    rows = []
    for point, (section, asked) in POINTS.items():
        made = [outcome for outcome in outcomes if outcome.point == point]
        if not made:
            continue
        failed = sum(not outcome.passed for outcome in made)
        rows.append({
            "بند": f"@{section}: {asked}",
            "بررسی‌ها (و یافته‌ها)": "؛ ".join(map(told, sorted(made, key=lambda outcome: outcome.passed))),
            "حاصل": FAILS.format(fa_int(failed)) if failed else HOLDS.format(fa_int(len(made))),
        })
    return rows


def told(outcome: Outcome) -> str:
    """One check in a sentence: what holds (what was found)."""
    words = f"{outcome.title} ({outcome.result})"
    return words if outcome.passed else f"[**✗ {words}**]{{.failed}}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """All checks in a word, for running text; Markdown without backslashes."""
    held = sum(outcome.passed for outcome in outcomes)
    return f"{fa_int(held)} از {fa_int(len(outcomes))}"
