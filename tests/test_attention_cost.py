"""The exact answers of question 2.6, each worked out here by hand in integers and fractions."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from genmodels.attention.cost import ALTERNATIVES, CHAIN_STARTS, SETTING, STEPS, chain, d, exact, n, o, r
from genmodels.attention.quantity import Log2, Quantity, exact_decimal, product, substitute
from genmodels.attention.scaling import (
    CROSSOVERS,
    DECODING_CACHED,
    DECODING_GAIN,
    DECODING_NAIVE,
    block_gain,
    crossings,
    curves,
    linformer,
    log_crossover,
)
from genmodels.errors import UserError
from genmodels.report import attention as labels
from genmodels.report import attention as tables
from genmodels.report import attention_lengths as lengths

A = 4096 * 4096 * 512
B = Fraction(A, 5)
GROUP, TOTAL = B / 64, B
LOG = 4096 * 12 * 512


def fraction(value: sp.Expr) -> Fraction:
    assert value.is_Rational, value
    return Fraction(int(value.p), int(value.q))


def test_given_numbers() -> None:
    given_numbers = {str(symbol): fraction(value) for symbol, value in SETTING.items()}
    assert given_numbers == {
        "n": 4096,
        "d": 512,
        "r": Fraction(1, 5),
        "g": 64,
        "o": Fraction(35, 100),
        "p": Fraction(75, 100),
        "h": 8,
        "m": 819,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", 8_589_934_592),
        ("b", Fraction("1717986918.4")),
        ("c_group", Fraction("26843545.6")),
        ("c_total", Fraction("1717986918.4")),
        ("d_group", Fraction("36238786.56")),
        ("d_total", Fraction("2319282339.84")),
        ("e_group", Fraction("48318382.08")),
        ("e_total", Fraction("3092376453.12")),
        ("e_extra_group", Fraction("12079595.52")),
        ("e_extra_total", Fraction("773094113.28")),
        ("f", 25_165_824),
        ("f_group", Fraction("141557.76")),
        ("f_total", Fraction("9059696.64")),
        ("f_ratio", Fraction(1024, 3)),
    ],
)
def test_steps(key: str, value: Fraction) -> None:
    assert fraction(STEPS[key].value) == value


def test_steps_follow_from_one_another() -> None:
    overhead, slow = Fraction(135, 100), Fraction(4, 3)
    value = {key: fraction(quantity.value) for key, quantity in STEPS.items()}
    assert value["a"] == A and value["b"] == B
    for scope, start in (("group", GROUP), ("total", TOTAL)):
        assert value[f"c_{scope}"] == start
        assert value[f"d_{scope}"] == start * overhead
        assert value[f"e_{scope}"] == start * overhead * slow
        assert value[f"e_extra_{scope}"] == value[f"d_{scope}"] / 3 == value[f"e_{scope}"] - value[f"d_{scope}"]
    assert value["f"] == LOG and value["f_group"] == Fraction(LOG, 5 * 64) * overhead * slow == value["f_total"] / 64
    assert len(value) == 14


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a_both_products", 17_179_869_184),
        ("a_both_flops", 34_359_738_368),
        ("a_projections_flops", 8_589_934_592),
        ("a_all_flops", 42_949_672_960),
        ("a_softmax_flops", 8 * 4096 * (6 * 4096 - 2)),
        ("a_causal", 4_296_015_872),
        ("b_square", Fraction("343597383.68")),
        ("b_819", 1_717_567_488),
        ("b_820", 1_719_664_640),
        ("b_819_square", 343_429_632),
        ("b_820_square", 344_268_800),
        ("b_flops", Fraction("6871947673.6")),
        ("b_causal", 512 * sum(range(4096 - 819 + 1, 4096 + 1))),
        ("d_only_group", Fraction("9395240.96")),
        ("d_only_total", Fraction("601295421.44")),
        ("d_share_group", GROUP / Fraction(65, 100)),
        ("d_share_total", TOTAL / Fraction(65, 100)),
        ("e_quarter_group", Fraction("45298483.2")),
        ("e_quarter_total", Fraction("2899102924.8")),
        ("e_quarter_extra_group", Fraction("9059696.64")),
        ("e_quarter_extra_total", Fraction("579820584.96")),
        ("e_done_group", Fraction("27179089.92")),
        ("e_done_total", Fraction("1739461754.88")),
    ],
)
def test_alternatives(key: str, value: Fraction) -> None:
    assert fraction(ALTERNATIVES[key[0]][key].value) == value


def test_logarithmic_alternatives() -> None:
    value = {key: quantity.value for key, quantity in ALTERNATIVES["f"].items()}
    assert value["f_ln"] == LOG * sp.log(2)
    assert value["f_ln_total"] == sp.Rational(LOG * 9, 25) * sp.log(2) == value["f_ln_group"] * 64
    share = sp.Rational(4096 * 512, 5) * (12 - sp.log(5) / sp.log(2))
    assert abs(sp.N(value["f_share"] - share, 30)) < 1e-15


@pytest.mark.parametrize(
    ("key", "start"),
    [
        ("full", Fraction(A)),
        ("share", B),
        ("square", Fraction(A, 25)),
        ("whole_819", Fraction(819 * 4096 * 512)),
        ("whole_820", Fraction(820 * 4096 * 512)),
        ("log", Fraction(LOG)),
        ("share_log", Fraction(LOG, 5)),
    ],
)
def test_chain(key: str, start: Fraction) -> None:
    for per_group in (True, False):
        shared = start / 64 if per_group else start
        wanted = (shared, shared * Fraction(27, 20), shared * Fraction(9, 5))
        assert tuple(map(fraction, chain(CHAIN_STARTS[key], per_group))) == wanted
    assert set(CHAIN_STARTS) == {"full", "share", "square", "whole_819", "whole_820", "log", "share_log"}


@pytest.mark.parametrize(("rank", "value"), [(64, 2**27), (128, 2**28), (256, 536_870_912), (512, 1_073_741_824)])
def test_linformer_order(rank: int, value: int) -> None:
    assert linformer(rank).value == value


def test_nothing_is_a_float() -> None:
    quantities = [*STEPS.values(), *(quantity for part in ALTERNATIVES.values() for quantity in part.values())]
    assert not any(x.atoms(sp.Float) for quantity in quantities for x in (quantity.expression, quantity.value))
    for wrong in (0.2, "0.2", None):
        with pytest.raises(UserError, match="not exact"):
            exact(n * r, r=wrong)
    with pytest.raises(UserError, match="no number for k"):
        exact(n * sp.Symbol("k", positive=True))
    assert exact(n * r, r=Fraction(1, 4), n=8) == 2


def test_crossovers() -> None:
    length = {row.key: row.length for row in CROSSOVERS}
    k = sp.Symbol("k", positive=True)
    assert length == {"rank": k, "rank_flops": 2 * k, "projections": 2 * d, "block": 6 * d, "log_rank": 2**k}
    assert [exact(length[key]) for key in ("projections", "block")] == [1024, 3072]
    for row in CROSSOVERS:  # equal there, dearer a little beyond
        here, beyond = ({"k": 7, "n": int(exact(row.length, k=7)) * factor} for factor in (1, 2))
        assert exact(row.dearer, **here) == exact(row.cheaper, **here)
        assert exact(row.dearer, **beyond) > exact(row.cheaper, **beyond)


def test_crossover_with_a_hidden_constant() -> None:
    assert log_crossover(1) is None  # n > log2 n for every n
    assert log_crossover(2) == 4  # of the two roots, 2 and 4, the larger
    for constant in (16, 64, 256):
        root = sp.N(log_crossover(constant), 30)
        assert abs(root - constant * sp.log(root, 2)) < 1e-20 and root > constant
    for constant, length in ((16, 128), (64, 1024), (256, 4096)):
        assert length > constant * (length.bit_length() - 1) and length > log_crossover(constant).evalf()


def test_decoding_with_a_cache() -> None:
    for length in (1, 2, 10):
        assert exact(DECODING_CACHED, n=length, d=3) == sum(4 * step * 3 for step in range(1, length + 1))
        assert exact(DECODING_NAIVE, n=length, d=3) == sum(4 * step**2 * 3 for step in range(1, length + 1))
    assert exact(DECODING_GAIN) == 2731


def test_block_gain() -> None:
    assert block_gain(256) == 2  # (24 · 512 + 4 · 4096) / (24 · 512 + 8 · 256)
    assert block_gain(256, 2**20) == sp.Rational(24 * 512 + 4 * 2**20, 24 * 512 + 8 * 256)


def test_curves() -> None:
    flops, memory = curves([128, 4096], ranks=(64,))
    assert flops["full"] == [4 * 128**2 * 512, 34_359_738_368] and flops["linformer_64"][1] == 1_073_741_824
    assert flops["log"] == [4 * 128 * 7 * 512, 4 * LOG] and flops["projections"][1] == 8_589_934_592
    assert memory["scores"][1] == 2 * 8 * 4096**2 and memory["cache"][1] == 8_388_608
    assert crossings((64, 256)) == [(length, 4 * length**2 * 512) for length in (128, 512, 1024)]


# --- how a quantity writes itself ---


def test_derivation_shows_every_step() -> None:
    assert STEPS["a"].equation == "n^{2} d" and STEPS["a"].substitution == r"4096^{2} \times 512"
    assert STEPS["a"].exact_latex == r"\text{8,589,934,592}" and STEPS["a"].scientific_latex == r"8.59 \times 10^{9}"
    assert STEPS["e_group"].substitution == (
        r"\frac{\left(1 + 0.35\right) \times 0.2 \times 4096^{2} \times 512}{64 \times 0.75}"
    )
    assert STEPS["f_ratio"].exact_latex == r"\frac{1024}{3}"


def test_substitution_evaluates_to_the_value() -> None:
    """The printed line with numbers, read back as arithmetic, gives the printed number."""
    for quantity in STEPS.values():
        text = quantity.substitution.replace(r"\left", "").replace(r"\right", "").replace(r"\log_{2}(4096)", "12")
        text = text.replace(r"\times", "*").replace("^{2}", "**2")
        while r"\frac" in text:
            text, replaced = re.subn(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
            assert replaced
        text = re.sub(r"\d+(?:\.\d+)?", lambda number: f"Fraction('{number[0]}')", text)
        assert eval(text, {"Fraction": Fraction}) == fraction(quantity.value), quantity.key


@given(st.integers(1, 10**30), st.integers(0, 30), st.integers(0, 30))
def test_exact_decimal_is_exact(numerator: int, twos: int, fives: int) -> None:
    value = Fraction(numerator, 2**twos * 5**fives)
    assert Fraction(Decimal(exact_decimal(sp.Rational(value.numerator, value.denominator)))) == value


def test_exact_decimal_refuses_what_never_ends() -> None:
    assert exact_decimal(sp.Rational(1, 3)) == exact_decimal(sp.log(2)) == exact_decimal(sp.Rational(1, 14)) == ""
    assert exact_decimal(100) == "100" and exact_decimal(sp.Rational(-1, 8)) == "-0.125"


@given(st.integers(0, 200))
def test_log2_of_powers(power: int) -> None:
    assert Log2(sp.Integer(2) ** power) == power


def test_log2_elsewhere() -> None:
    assert abs(sp.N(Log2(sp.Integer(10)), 30) - sp.log(10, 2).evalf(30)) < 1e-25
    assert sp.latex(Log2(n)) == r"\log_{2}\left(n\right)"
    assert Log2(sp.Integer(3)).rewrite(sp.log) == sp.log(3) / sp.log(2)


def test_product_keeps_its_order() -> None:
    z, a = sp.symbols("z a", positive=True)
    quantity = Quantity("x", "X", product(z, a, over=(4,)), {z: 3, a: Fraction(1, 2)})
    assert quantity.equation == r"\frac{z a}{4}" and quantity.value == sp.Rational(3, 8)
    assert substitute(1 + o, {o: Fraction(1, 2)}) == sp.Rational(3, 2)


# --- the tables of the report ---


def test_every_key_has_its_word() -> None:
    assert list(labels.STEP_LABELS) == list(STEPS)
    assert set(labels.ALTERNATIVE_LABELS) == {key for part in ALTERNATIVES.values() for key in part}
    assert set(labels.START_LABELS) == set(CHAIN_STARTS)
    assert {row.key for row in CROSSOVERS} == set(labels.CROSSOVER_LABELS)


def test_persian_numbers() -> None:
    assert tables.answer("a") == "۸٬۵۸۹٬۹۳۴٬۵۹۲" and tables.answer("e_group") == "۴۸٬۳۱۸٬۳۸۲٫۰۸"
    assert tables.fa_exact(sp.Rational(1024, 3)) == "≈ ۳۴۱٫۳۳"


def test_tables_hold_the_numbers() -> None:
    text = tables.summary().data
    for key in STEPS:
        assert tables.answer(key) in text
    assert all(number in tables.readings().data for number in ("۸۱۹", "۲٬۸۹۹٬۱۰۲٬۹۲۴٫۸", "۱۳۲٬۷۱۰٫۴"))
    assert tables.chains().data.count("\n") == 1 + 2 * len(CHAIN_STARTS)
    assert tables.grouped_query().data.count("۳۴٬۳۵۹٬۷۳۸٬۳۶۸") == 4 and "۱۳۱٬۰۷۲" in tables.grouped_query().data
    for made in (tables.setting(), lengths.ranks(), lengths.crossovers(), lengths.long_inputs()):
        rows = made.data.splitlines()
        assert len({row.count("|") for row in rows}) == 1
        assert not re.search("[0-9]", re.sub(r"\$[^$]*\$", "", made.data))  # outside mathematics digits are Persian


def test_derivation_markdown() -> None:
    text = tables.derivation("c_group", "c_total", label="eq-c").data
    assert text.count("$$") == 2 and text.count("{#eq-c}") == 1 and text.count(r"\begin{aligned}") == 1
    assert r"& \qquad T_{c} &= r n^{2} d" in text and text.count("&=") == 6
    assert tables.derivation("f", "f_group", "f_total").data.count("$$") == 4  # two displays
    assert r"\begin{aligned} C_{c} &= \frac{r n^{2} d}{g}" in text
