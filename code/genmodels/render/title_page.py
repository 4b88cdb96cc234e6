"""What stands on the title page: names and numbers as written, Persian dates, letters that a font has."""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from typing import Any

from genmodels.errors import UserError
from genmodels.render.options import line_of, required
from genmodels.report.persian import PERSIAN_DIGITS, jalali
from genmodels.system.places import ASSETS

FONTS = ASSETS / "fonts"


def check(options: dict[str, Any], text: str, source: str) -> None:
    """Refuse a title page that would have blanks in it: a name in letters that no font has."""
    for key in ("title", "subtitle", "author", "student-id", "date"):
        written = unicodedata.normalize("NFC", json.dumps(options.get(key), ensure_ascii=False, default=str))
        if missing := uncovered(written, ("Cc", "Cf", "Zs")):
            names = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:5])
            where = f"{source}{line_of(f'{key}:', text)}"
            raise UserError(f"{where}: no font of the report has {names} in {key}:; write it in other letters")


def uncovered(text: str, invisible: tuple[str, ...] = ("Cc", "Cf", "Mn", "Zs")) -> list[str]:
    """The characters of ``text`` that no font in ``assets/fonts`` can draw, sorted; without those of ``invisible``."""
    from fontTools.ttLib import TTFont

    covered: set[int] = set()
    for name in ("Vazirmatn-Regular", "JetBrainsMono-Regular"):
        with TTFont(required(FONTS / f"{name}.ttf"), lazy=True) as font:
            covered |= set(font.getBestCmap())
    return sorted(c for c in set(text) - {"⁻"} if ord(c) not in covered and unicodedata.category(c) not in invisible)


def literal(value: Any) -> str:
    """A name or number as Markdown that Pandoc's "smart" leaves alone: ``4--5`` and ``O'Brien`` stay what they are."""
    smart = r"(?<!\\)(?:['\"]|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.)"
    return re.sub(smart, r"\\\g<0>", unicodedata.normalize("NFC", str(value)))


def date(value: Any, style: str | None, months: list[str]) -> str:
    """An ISO date (or ``today``) in the Persian calendar, like Quarto's ``date-format: long``; other text as it is."""
    if value == "today":
        value = datetime.date.today()
    try:
        value = value.date() if isinstance(value, datetime.datetime) else value
        day = value if isinstance(value, datetime.date) else datetime.date.fromisoformat(str(value))
    except ValueError:
        if re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", str(value)):
            raise UserError(f"the date {value} is in no calendar; write year-month-day, such as 2026-01-05") from None
        return str(value)
    if style not in ("long", None):
        raise UserError(f"the date-format {style} is outside the subset (long is in it)")
    year, month, number = jalali(day)
    return f"{number} {months[month - 1]} {year}".translate(PERSIAN_DIGITS)
