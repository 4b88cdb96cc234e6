"""Numbers and tables in Persian: digits, signs, isolation, and what must be left alone."""

from __future__ import annotations

import datetime
import subprocess
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmodels.report.persian import LRI, PDI, fa, fa_int, fa_percent, fa_sci, jalali, table, transposed

LATIN = str.maketrans("۰۱۲۳۴۵۶۷۸۹٫−", "0123456789.-")


def parsed(text: str) -> float:
    return float(text.strip(LRI + PDI).replace("٬", "").translate(LATIN))


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0, None, "۰"), (12345, None, "۱۲٬۳۴۵"), (64.0, None, "۶۴"), (3.14159, 2, "۳٫۱۴"), (0.001, None, "۰٫۰۰۱"),
        (-3.5, None, f"{LRI}−۳٫۵{PDI}"), (-0.001, 2, "۰٫۰۰"), (float("nan"), None, "نامعین"), (float("inf"), 1, "∞"),
        (np.float32(0.5), None, "۰٫۵"), (np.int64(7), None, "۷"), (True, None, "بله"),
        (1e-8, None, f"{LRI}۱٫۰۰×۱۰⁻⁸{PDI}"),
        (Fraction(1, 3), None, "۰٫۳۳۳۳۳۳"), (Fraction(-1, 3), 2, f"{LRI}−۰٫۳۳{PDI}"), (Fraction(6, 2), None, "۳"),
        (Fraction(1, 10**400), None, f"{LRI}۱٫۰۰×۱۰⁻⁴⁰⁰{PDI}"), (Decimal("0.5"), None, "۰٫۵"), (Decimal("NaN"), None, "نامعین"),
        (Decimal("-1e400"), None, f"{LRI}−۱٫۰۰×۱۰⁴⁰⁰{PDI}"), (10**400, None, "۱۰" + "٬۰۰۰" * 133),
        (10**400, 1, "۱۰" + "٬۰۰۰" * 133 + "٫۰"), (np.longdouble(1.5), None, "۱٫۵"),
    ],
)  # fmt: skip
def test_fa(value: object, digits: int | None, expected: str) -> None:
    assert fa(value, digits) == expected


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_numbers_survive_the_round_trip(whole: int, digits: int) -> None:
    value = whole / 10**digits
    assert parsed(fa(value, digits)) == float(f"{value:.{digits}f}")
    assert parsed(fa_int(whole)) == whole
    assert not set("0123456789") & set(fa(value, digits))


@given(st.floats(-1e9, 1e9))
def test_a_sign_is_always_isolated(value: float) -> None:
    text = fa(value, 3)
    assert ("−" in text) == text.startswith(LRI) == text.endswith(PDI)


def test_scientific_percent_and_whole() -> None:
    assert fa_sci(12345) == f"{LRI}۱٫۲۳×۱۰⁴{PDI}"
    assert fa_sci(-1.2e-5, 1) == f"{LRI}−۱٫۲×۱۰⁻⁵{PDI}"
    assert fa_sci(0) == "۰"
    assert fa_percent(0.987) == "۹۸٫۷٪"
    assert fa_percent(-0.5) == f"{LRI}−۵۰٫۰٪{PDI}"
    assert fa(1404, grouping=False) == "۱۴۰۴"
    for value in (2.5, Fraction(1, 2), float("inf"), float("nan")):
        with pytest.raises(ValueError, match="whole number"):
            fa_int(value)
    assert fa(-(10**5000)) == f"{LRI}−۱٫۰۰×۱۰⁵⁰⁰⁰{PDI}"  # Python itself refuses to write more than 4300 digits
    assert fa_sci(10**400) == f"{LRI}۱٫۰۰×۱۰⁴⁰⁰{PDI}" and fa_int(Fraction(4, 2)) == "۲"
    assert fa_percent(Fraction(1, 3)) == "۳۳٫۳٪"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.11.7", "۳.۱۱.۷"), ("192.168.1.1", "۱۹۲.۱۶۸.۱.۱"), ("در 10.0.0.0/8.", "در ۱۰.۰.۰.۰/۸."), ("v1.2.3", "v1.2.3"),
        ("3.11.7–3.13.2", f"{LRI}۳.۱۱.۷–۳.۱۳.۲{PDI}"), ("بند 2.6.1 و 2.5", "بند ۲.۶.۱ و ۲٫۵"), ("2026.01.15", "۲۰۲۶.۰۱.۱۵"),
    ],
)  # fmt: skip
def test_versions_and_addresses_are_no_decimals(text: str, expected: str) -> None:
    assert fa(text) == expected


def test_text_keeps_code_math_and_latin_words() -> None:
    text = "conv1 `a1` 28×28 $x_1$ v1.2.3 3.5 ثانیه 1,234 -2"
    assert fa(text) == f"conv1 `a1` {LRI}۲۸×۲۸{PDI} $x_1$ v1.2.3 ۳٫۵ ثانیه ۱٬۲۳۴ {LRI}−۲{PDI}"
    assert fa("0.1–0.2") == f"{LRI}۰٫۱–۰٫۲{PDI}"
    assert fa("GPT-2 و [پیوند](a1.html)") == "GPT-2 و [پیوند](a1.html)"


def test_table() -> None:
    rows = [{"نام": "`conv1|x`", "شمار": 1200}, {"نام": "ب\nپ", "خطا": -0.5}]
    lines = table(rows).data.splitlines()
    assert lines[0] == "| نام | شمار | خطا |"
    assert set(lines[1]) == {"|", "-"}
    assert lines[2] == "| `conv1|x` | ۱٬۲۰۰ | — |"  # in code a pipe is no border, and a backslash would be shown
    assert lines[3] == f"| ب پ | — | {LRI}−۰٫۵{PDI} |"
    with pytest.raises(ValueError, match="row"):
        table([])


def test_no_cell_moves_a_border() -> None:
    """Each cell as Pandoc reads it: one cell a value, whatever stands in it."""
    import pypandoc

    shown = {
        r"a\|b": "a|b",
        "a|b|": "a|b|",
        r"a\\|b": r"a\|b",
        "`x|y`": "x|y",
        "``x`|y``": "x`|y",
        "$p(x|y)$": "p(x|y)",
        "`": "`",
        "|": "|",
        "$5": "$۵",
        "6$": "۶$",
        "x\\": "x\\",
        r"\`a|b\`": "`a|b`",
        "a\n|\nb": "a | b",
        r"a\|": "a|",
        "۵|": "۵|",
        "`a|": "`a|",
    }
    rows = [{"الف": cell, "ب": cell, "پ|ت": 1} for cell in shown]
    command = [pypandoc.get_pandoc_path(), "--from=markdown-smart", "--to=html", "--wrap=none", "--mathml"]
    page = subprocess.run(command, input=table(rows).data.encode(), capture_output=True, check=True).stdout.decode()
    body = page.split("<tbody>")[1].split("<tr>")[1:]
    assert len(body) == len(rows) and "<th>پ|ت</th>" in page
    for row, text in zip(body, shown.values()):
        cells = row.split("<td>")[1:]
        assert len(cells) == 3 and cells[2].startswith("۱</td>")
        assert (
            "<math" in cells[0]
            if text.startswith("p(")
            else [cell.split("</td>")[0].replace("<code>", "").replace("</code>", "") for cell in cells[:2]]
            == [text] * 2
        )


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ((2026, 1, 15), (1404, 10, 25)), ((2025, 3, 20), (1403, 12, 30)), ((2025, 3, 21), (1404, 1, 1)),
        ((2024, 3, 20), (1403, 1, 1)), ((1979, 2, 11), (1357, 11, 22)), ((2026, 11, 23), (1405, 9, 2)),
    ],
)  # fmt: skip
def test_jalali(day: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert jalali(datetime.date(*day)) == expected


@given(st.dates(datetime.date(1850, 1, 1), datetime.date(2200, 1, 1)))
def test_jalali_days_follow_one_another(day: datetime.date) -> None:
    year, month, number = jalali(day)
    after = jalali(day + datetime.timedelta(1))
    assert after in ((year, month, number + 1), (year, month + 1, 1), (year + 1, 1, 1))
    assert 1 <= month <= 12 and 1 <= number <= (31 if month <= 6 else 30)


def test_a_table_turned() -> None:
    rows = [{"واژه": "الف", "بار": 3, "سهم": 0.5}, {"واژه": "ب", "بار": 2, "سهم": 0.25}]
    turned = transposed(rows, "واژه")
    assert turned == [{"واژه": "بار", "الف": 3, "ب": 2}, {"واژه": "سهم", "الف": 0.5, "ب": 0.25}]
    assert [list(row) for row in transposed(turned, "واژه")] == [["واژه", "بار", "سهم"]] * 2


def test_a_cell_is_one_line_and_keeps_spaces_that_must_not_break() -> None:
    assert "| n\u00a0=\u00a0۵ و بس |" in table([{"مدل": " n\u00a0=\u00a0۵\n  و بس "}]).data
