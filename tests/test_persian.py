"""Numbers and tables in Persian: digits, signs, isolation, and what must be left alone."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmodels.persian import LRI, PDI, fa, fa_int, fa_percent, fa_sci, jalali, table, transposed

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
    with pytest.raises(ValueError, match="whole number"):
        fa_int(2.5)


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
    assert lines[2] == r"| `conv1\|x` | ۱٬۲۰۰ | — |"
    assert lines[3] == f"| ب پ | — | {LRI}−۰٫۵{PDI} |"
    with pytest.raises(ValueError, match="row"):
        table([])


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
