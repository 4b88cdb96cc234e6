"""Point 2.6: every printed number again, by whole numbers and fractions of plain Python from the question's own data.

Nothing of ``attention.cost`` is used to make the expected values: the formulas are written once more, as loops and
sums where the package has closed forms, and compared exactly. Irrational ones (natural logarithms) are compared to 30
digits. What the report prints is compared too, digit by digit.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from genmodels.attention import cost
from genmodels.attention.quantity import decimal
from genmodels.checks.check import Evidence, Finding, check
from genmodels.report.attention import fa_exact
from genmodels.report.persian import fa_int

N, D, HEADS, GROUPS = 4096, 512, 8, 64  # the question's sequence and width, the paper's heads, the question's groups
SHARE, OVERHEAD, POWER = Fraction(20, 100), Fraction(35, 100), Fraction(75, 100)
LOG2_N = len(bin(N)) - 3  # 4096 = 2^12
NEW = 819  # whole tokens in a fifth of 4096
_LATIN = {persian: latin for latin, persian in zip("0123456789", "۰۱۲۳۴۵۶۷۸۹")} | {"٫": ".", "٬": ""}


def _ln(x: Fraction | int) -> Fraction:
    """Natural logarithm to 50 digits, as a fraction."""
    with localcontext() as context:
        context.prec = 50
        x = Fraction(x)
        return Fraction((Decimal(x.numerator) / Decimal(x.denominator)).ln())


def _chain(start: Fraction | int, groups: int = 1) -> tuple[Fraction, Fraction, Fraction]:
    """(c), (d) and (e) from what (b) left: divided among groups, with overhead, on a slower processor."""
    shared = Fraction(start) / groups
    return shared, shared * (1 + OVERHEAD), shared * (1 + OVERHEAD) / POWER


def expected() -> dict[str, Fraction]:
    """The exact value of every key of ``STEPS`` and ``ALTERNATIVES``."""
    a = sum(N * D for _ in range(N))  # each of n queries with each of n keys, d multiply-adds each
    b = SHARE * a
    values: dict[str, Any] = {"a": a, "b": b, "f": N * LOG2_N * D, "f_ratio": Fraction(N, LOG2_N)}
    for end, groups in (("_group", GROUPS), ("_total", 1)):
        c, d, slow = _chain(b, groups)
        values |= {f"c{end}": c, f"d{end}": d, f"e{end}": slow, f"e_extra{end}": slow - d}
        values[f"f{end}"] = _chain(SHARE * N * LOG2_N * D, groups)[2]
        values |= {f"d_only{end}": d - c, f"d_share{end}": c / (1 - OVERHEAD)}
        values |= {f"e_quarter{end}": d * Fraction(125, 100), f"e_quarter_extra{end}": d * Fraction(25, 100)}
        values |= {f"e_done{end}": d * POWER, f"f_ln{end}": _chain(SHARE * N * _ln(N) * D, groups)[2]}
    values |= {
        "a_both_products": 2 * a,
        "a_both_flops": 2 * 2 * a,
        "a_projections_flops": 4 * 2 * N * D * D,
        "a_all_flops": 4 * a + 8 * N * D * D,
        "f_quarter_group": _chain(SHARE * N * LOG2_N * D, GROUPS)[1] * Fraction(125, 100),
        "a_causal": sum(range(1, N + 1)) * D,
        # per score: scale, less the maximum, exp, divide = 4, and n - 1 comparisons and n - 1 additions a row
        "a_softmax_flops": HEADS * N * (4 * N + 2 * (N - 1)),
        "b_square": (SHARE * N) ** 2 * D,
        "b_flops": 4 * b,
        "b_causal": sum(range(N - NEW + 1, N + 1)) * D,
        "f_ln": N * _ln(N) * D,
        "f_share": SHARE * N * _ln(SHARE * N) / _ln(2) * D,
    }
    for whole in (NEW, NEW + 1):
        values |= {f"b_{whole}": whole * N * D, f"b_{whole}_square": whole * whole * D}
    return {key: Fraction(value) for key, value in values.items()}


def printed(text: str) -> Fraction:
    """The number that a reader reads: Persian digits and marks undone."""
    return Fraction("".join(_LATIN.get(c, c) for c in text if c in _LATIN or c == "."))


def agrees(quantity: Any, wanted: Fraction) -> bool:
    """Is the package's number ``wanted``, exactly where it is rational, and does the report print it so?"""
    value = quantity.value
    if value.is_Rational:
        if Fraction(int(value.p), int(value.q)) != wanted:
            return False
    elif abs(Fraction(decimal(value, 40)) / wanted - 1) > Fraction(1, 10**30):
        return False
    shown = fa_exact(value)
    return printed(shown) == (round(wanted, 2) if "≈" in shown else wanted)


def part_agrees(letter: str) -> Finding:
    """All numbers of one part: the reading taken and the others."""
    quantities: dict[str, Any] = dict(cost.STEPS)
    for part in cost.ALTERNATIVES.values():
        quantities |= part
    wanted = expected()
    keys = [key for key in quantities if key.split("_")[0] == letter]
    right = [key for key in keys if key in wanted and agrees(quantities[key], wanted[key])]
    main = next(key for key in (letter, f"{letter}_group") if key in cost.STEPS)
    answer = fa_exact(cost.STEPS[main].value)
    return len(right) == len(keys) > 0, f"{answer}، {fa_int(len(right))} عدد از {fa_int(len(keys))}"


@check("setting", "2.6a", "sec-2-6", "داده‌های سؤال")
def setting(e: Evidence) -> Finding:
    wanted = {cost.n: N, cost.d: D, cost.r: SHARE, cost.g: GROUPS, cost.o: OVERHEAD, cost.p: POWER}
    same = all(Fraction(int(cost.SETTING[s].p), int(cost.SETTING[s].q)) == value for s, value in wanted.items())
    return same, f"{fa_int(len(wanted))} عدد"


def _register(part: str, letter: str) -> None:
    @check(f"part-{part}", f"2.6{part}", f"sec-2-6-{part}", f"عددهای ({letter}) = کسرهای پایتون")
    def part_holds(e: Evidence) -> Finding:
        return part_agrees(part)


for _part, _letter in zip("abcdef", "آبجدهو", strict=True):
    _register(_part, _letter)
