"""Numbers and tables as a Persian reader expects them: digits ۰–۹, ٫ for the decimal point, ٬ between thousands.

Unicode's bidirectional algorithm (UAX #9) moves a leading minus, and the operators between numbers, to the wrong side
inside right-to-left text. Every result that holds one is therefore wrapped in U+2066 … U+2069 (left-to-right isolate).
All functions return ``str`` (Quarto's inline expressions want text); none of them parses or rounds twice.
What it does not do: shape letters for matplotlib (``genmodels.report.plotting`` does) or choose what to report.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import Markdown

PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
LRI, PDI = "\u2066", "\u2069"  # isolate a left-to-right run; its end
MINUS, DECIMAL, THOUSANDS, PERCENT = "\u2212", "٫", "٬", "٪"
_LONGEST = 10**1000  # whole numbers from here on are told by their power of ten
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

# What must survive in running text: `code`, $math$, link targets, HTML tags, and words with a Latin letter (conv1).
_KEEP = r"(?P<tick>`+).*?(?P=tick)|\$[^$]+\$|\]\([^)]*\)|<[^>]+>|(?=[0-9.\-]*[A-Za-z_])[A-Za-z0-9_][A-Za-z0-9_.\-/+:]*"
_DOTTED = r"[0-9]+(?:\.[0-9]+){2,}"  # a version, an address, a section: no decimal number
_NUMBER = rf"(?:{_DOTTED}|[0-9][0-9,]*(?:\.[0-9]+)?)"
_SIGNED = rf"(?<![\w.)\]])[-{MINUS}+±]{_NUMBER}"
_OPERATOR = rf"(?:[-{MINUS}–×±·^]| [-{MINUS}–×±·^] )"
_TOKEN = re.compile(rf"(?P<keep>{_KEEP})|(?P<number>(?:{_SIGNED}|{_NUMBER})(?:{_OPERATOR}{_NUMBER})*)")
_THOUSANDS_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
# What a pipe of a cell may stand in: `code` and $math$, where Pandoc sees no border, and after a backslash.
_PIPE = re.compile(
    r"(?P<whole>(?P<tick>(?<!`)`+(?!`)).*?(?<!`)(?P=tick)(?!`)|\$[^\s$](?:[^$]*[^\s$])?\$(?!\d)|\\.)|[|`$]"
)  # fmt: skip


def isolate(text: str) -> str:
    """``text`` as one left-to-right unit that its right-to-left surroundings cannot reorder."""
    return f"{LRI}{text}{PDI}"


def fa(value: Any, digits: int | None = None, grouping: bool = True) -> str:
    """A number with Persian digits; text is passed through with the numbers in it converted.

    ``digits``: places after the decimal point; ``None`` keeps an integer as it is and gives a float up to six
    significant digits. ``grouping``: ٬ between thousands (switch it off for years and identifiers). Numpy scalars,
    one-element tensors, fractions and decimals are taken too, of any size. Not-a-number reads «نامعین», infinity ∞.
    """
    if isinstance(value, str):
        return _text(value)
    value = _number(value)
    if isinstance(value, bool):
        return "بله" if value else "نه"
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) >= _LONGEST):
        return fa_sci(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "نامعین" if math.isnan(value) else "∞" if value > 0 else isolate(MINUS + "∞")
    if digits is not None:
        plain = f"{Decimal(value) if isinstance(value, int) else value:.{digits}f}"
    elif isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        plain = str(int(value))
    else:
        plain = f"{value:.6g}"
        if "e" in plain:
            return fa_sci(value)
    return _digits(plain, grouping)


def fa_int(value: Any, grouping: bool = True) -> str:
    """A whole number, ۱۲٬۳۴۵. Raises ``ValueError`` for a value with a fraction: rounding is the caller's decision."""
    value = _number(value)
    if not isinstance(value, int) and not (math.isfinite(value) and value == int(value)):
        raise ValueError(f"fa_int wants a whole number, not {value!r}; use fa(value, digits)")
    return _digits(str(int(value)), grouping) if abs(value) < _LONGEST else fa_sci(value)


def fa_sci(value: Any, digits: int = 2) -> str:
    """Scientific notation, ۱٫۲۳×۱۰⁴, isolated; ``digits`` places after the point of the mantissa. Zero stays ۰."""
    value = _number(value)
    if isinstance(value, int):
        value = float(value) if abs(value) < 1e300 else Decimal(value)
    if value == 0 or not (isinstance(value, Decimal) or math.isfinite(value)):
        return fa(value)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return isolate(_digits(mantissa, False).strip(LRI + PDI) + "×۱۰" + str(int(exponent)).translate(SUPERSCRIPT))


def fa_percent(fraction: Any, digits: int = 1) -> str:
    """A fraction as a percentage: 0.987 → ۹۸٫۷٪."""
    number = fa(100 * _number(fraction), digits)
    return number[:-1] + PERCENT + PDI if number.endswith(PDI) else number + PERCENT


def _number(value: Any) -> int | float | Decimal:
    """Any kind of number as an int or a float; as a ``Decimal`` where a float would be infinite or zero instead."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, (int, float)):
        return value
    try:
        near = float(value)
    except OverflowError:
        near = math.inf
    exact = Decimal(value.numerator) / Decimal(value.denominator) if isinstance(value, Fraction) else value
    lost = isinstance(exact, Decimal) and exact.is_finite() and (math.isinf(near) or (exact and not near))
    return exact if lost else near


def jalali(day: datetime.date) -> tuple[int, int, int]:
    """(year, month, day) in the Persian calendar, by the 33-year cycle of leap years; exact for 1178–1633 AP."""
    year, left = 1400, (day - datetime.date(2021, 3, 21)).days  # 1 Farvardin 1400
    while left < 0:
        year -= 1
        left += 365 + _is_leap(year)
    while left >= 365 + _is_leap(year):
        left -= 365 + _is_leap(year)
        year += 1
    month, left = (left // 31, left % 31) if left < 186 else (6 + (left - 186) // 30, (left - 186) % 30)
    return year, month + 1, left + 1


def _is_leap(year: int) -> bool:
    return year % 33 in (1, 5, 9, 13, 17, 22, 26, 30)


def table(
    rows: Iterable[Mapping[str, Any]] | Any, widths: Sequence[int] | None = None, centred: Collection[str] = ()
) -> Markdown:
    """A Markdown table of ``rows`` (dicts, or a DataFrame) with Persian digits, for a chunk that has a ``tbl-cap``.

    Columns are the union of the keys, in order of appearance. Integers and floats go through ``fa``; text keeps its
    `code`, its $math$ and every word with a Latin letter. ``None`` and a missing key read «—». Where a table is too
    wide for a line, Pandoc shares it by the dashes: ``widths``, else as the content is. ``centred``: columns by name.
    Raises ``ValueError`` without rows, or where the widths are not one a column.
    """
    from IPython.display import Markdown

    records = rows.to_dict("records") if hasattr(rows, "to_dict") else [dict(row) for row in rows]
    if not records:
        raise ValueError("table() wants at least one row")
    columns = list(dict.fromkeys(key for record in records for key in record))
    body = [[_cell(name) for name in columns]] + [[_cell(r.get(name)) for name in columns] for r in records]
    wanted = widths or [
        min(60, max(3, *(len(re.sub(r"[`*\\]", "", cell)) for cell in column))) for column in zip(*body)
    ]
    dashes = [
        f":{'-' * (width - 2)}:" if name in centred else "-" * width
        for name, width in zip(columns, wanted, strict=True)
    ]
    lines = ["| " + " | ".join(row) + " |" for row in body]
    return Markdown("\n".join([lines[0], f"|{'|'.join(dashes)}|", *lines[1:]]))


def transposed(rows: Iterable[Mapping[str, Any]], head: str) -> list[dict[str, Any]]:
    """``rows`` with rows and columns exchanged, for ``table``: few narrow columns of many rows waste a page's width.

    The values of the column ``head``, which must differ, become the headings; every other column becomes a row.
    """
    records = [dict(row) for row in rows]
    names = [name for name in records[0] if name != head]
    return [{head: name} | {str(record[head]): record[name] for record in records} for name in names]


def _cell(value: Any) -> str:
    """One cell: a single line without a border in it; a space that must not break stays one.

    A lone backtick or dollar is escaped too: with one of another cell it would enclose the border between them.
    """
    if value is None:
        return "—"
    line = re.sub(r"[ \t\r\n]+", " ", fa(value)).strip(" ")
    return _PIPE.sub(lambda match: match[0] if match["whole"] else "\\" + match[0], line)


def _text(text: str) -> str:
    """``text`` with its free-standing numbers converted; what ``_KEEP`` names is left alone."""

    def convert(match: re.Match[str]) -> str:
        if match["keep"]:
            return match["keep"]
        number = match["number"]
        pointed = re.sub(_NUMBER, lambda m: m[0].replace(".", DECIMAL) if m[0].count(".") == 1 else m[0], number)
        persian = _THOUSANDS_COMMA.sub(THOUSANDS, pointed).translate(PERSIAN_DIGITS)
        persian = persian.replace("-", MINUS if number[0] == "-" else "-")
        return isolate(persian) if re.search(rf"[-{MINUS}–+×±·^]", number) else persian

    return _TOKEN.sub(convert, text)


def _digits(plain: str, grouping: bool) -> str:
    """A formatted number such as ``-1234.50`` in Persian; minus zero loses its sign."""
    negative = plain.startswith("-") and any(c in "123456789" for c in plain)
    whole, _, fraction = plain.lstrip("-").partition(".")
    if grouping:
        whole = f"{int(whole):,}".replace(",", THOUSANDS)
    persian = (f"{whole}{DECIMAL}{fraction}" if fraction else whole).translate(PERSIAN_DIGITS)
    return isolate(MINUS + persian) if negative else persian
