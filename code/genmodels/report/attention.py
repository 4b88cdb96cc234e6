"""Section 2.6, the question's answers: derivations as display mathematics, exact results, other readings.

Only layout lives here: numbers come from ``genmodels.attention``, words stand first; long inputs,
counting and timing are in ``attention_lengths``. Inside mathematics digits stay Latin (mathematics fonts have no
Persian ones); in prose and in tables they are Persian. An exact number is never rounded; a rounded one carries ≈.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from IPython.display import Markdown

from genmodels.attention.cost import ALTERNATIVES, CHAIN_STARTS, SETTING, STEPS, chain, exact
from genmodels.attention.quantity import Quantity, aligned, decimal, exact_decimal
from genmodels.attention.scaling import CACHE_BYTES, HALF_PRECISION, LAYER_FLOPS
from genmodels.report.persian import fa, fa_int, fa_sci, table, transposed

LETTERS = {"a": "آ", "b": "ب", "c": "ج", "d": "د", "e": "ه", "f": "و"}

STEP_LABELS = {
    "a": "توجه استاندارد",
    "b": "حافظهٔ نهان، ۲۰٪ دنباله",
    "c_group": "۶۴ گروه: هر گروه",
    "c_total": "۶۴ گروه: مجموع",
    "d_group": "با ۳۵٪ سربار: هر گروه",
    "d_total": "با ۳۵٪ سربار: مجموع",
    "e_group": "پردازندهٔ ۷۵٪: هر گروه",
    "e_total": "پردازندهٔ ۷۵٪: مجموع",
    "e_extra_group": "افزودهٔ پردازنده: هر گروه",
    "e_extra_total": "افزودهٔ پردازنده: مجموع",
    "f": "روش n log n",
    "f_group": "روش n log n، همان زنجیر: هر گروه",
    "f_total": "روش n log n، همان زنجیر: مجموع",
    "f_ratio": "نسبت (آ) به (و)",
}

ALTERNATIVE_LABELS = {
    "a_both_products": "هر دو ضرب، امتیازها و جمع وزن‌دار (ضرب‌وجمع)",
    "a_both_flops": "همان به FLOP (هر ضرب‌وجمع دو FLOP)",
    "a_projections_flops": "چهار نگاشت خطی Q، K، V و خروجی (FLOP)",
    "a_all_flops": "همهٔ ضرب‌های ماتریسی لایه (FLOP)",
    "a_softmax_flops": "مقیاس و softmax با ۸ سر (عمل ساده)",
    "a_causal": "تنها جفت‌های علّی، هر توکن تا خودش (ضرب‌وجمع)",
    "b_square": "پرسش و کلید هر دو ۲۰٪",
    "b_819": "۸۱۹ توکن، همهٔ کلیدها",
    "b_820": "۸۲۰ توکن، همهٔ کلیدها",
    "b_819_square": "۸۱۹ توکن با یکدیگر",
    "b_820_square": "۸۲۰ توکن با یکدیگر",
    "b_causal": "۸۱۹ توکن تازه، علّی: هر کدام تا خودش",
    "b_flops": "خوانش اصلی به FLOP، هر دو ضرب",
    "d_only_group": "تنها خود سربار: هر گروه",
    "d_only_total": "تنها خود سربار: مجموع",
    "d_share_group": "۳۵٪ از کل سربار باشد: هر گروه",
    "d_share_total": "۳۵٪ از کل سربار باشد: مجموع",
    "e_quarter_group": "۲۵٪ به زمان افزوده شود: هر گروه",
    "e_quarter_total": "۲۵٪ به زمان افزوده شود: مجموع",
    "e_quarter_extra_group": "تنها همان ۲۵٪ افزوده: هر گروه",
    "e_quarter_extra_total": "تنها همان ۲۵٪ افزوده: مجموع",
    "e_done_group": "کاری که در زمان پیشین انجام می‌شود: هر گروه",
    "e_done_total": "کاری که در زمان پیشین انجام می‌شود: مجموع",
    "f_quarter_group": "۲۵٪ به زمان افزوده شود، همان زنجیر: هر گروه",
    "f_ln": "لگاریتم طبیعی",
    "f_ln_group": "لگاریتم طبیعی، همان زنجیر: هر گروه",
    "f_ln_total": "لگاریتم طبیعی، همان زنجیر: مجموع",
    "f_share": "تنها روی ۲۰٪ دنباله، لگاریتم هم از ۲۰٪",
}

START_LABELS = {
    "full": "همهٔ دنباله",
    "share": "**۲۰٪ پرسش‌ها (خوانش اصلی)**",
    "square": "۲۰٪ پرسش، ۲۰٪ کلید",
    "whole_819": "۸۱۹ توکن",
    "whole_820": "۸۲۰ توکن",
    "log": "لگاریتمی، همهٔ دنباله",
    "share_log": "لگاریتمی، ۲۰٪",
}

KIND_LABELS = {
    "mha": "چندسر، ۸ سر",
    "gqa": "پرسش‌گروهی، ۸ سر و ۲ سر کلید",
    "mqa": "چندپرسشی، ۸ سر و ۱ سر کلید",
    "groups64": "۶۴ گروه: ۶۴ سر، ۶۴ سر کلید",
    "cached": "یک توکن تازه با حافظهٔ نهان",
    "linformer64": "Linformer، رتبهٔ ۶۴",
    "linformer512": "Linformer، رتبهٔ ۵۱۲",
}

CROSSOVER_LABELS = {
    "rank": "Linformer ارزان‌تر از توجه کامل، با شمارش سؤال",
    "rank_flops": "همان، با شمارش همهٔ ضرب‌ها",
    "projections": "خود توجه گران‌تر از چهار نگاشت خطی",
    "block": "خود توجه گران‌تر از همهٔ دیگر ضرب‌های بلوک",
    "log_rank": "Linformer ارزان‌تر از روش n log n",
}

SYMBOL_LABELS = {
    "n": "طول دنباله",
    "d": "بُعد مدل",
    "r": "سهم دنباله در (ب)",
    "g": "شمار گروه‌ها در (ج)",
    "o": "سربار در (د)",
    "p": "توان پردازنده در (ه)",
}

GROWTH_LABELS = {
    "full_seconds": "توجه کامل (ms)",
    "fused_seconds": "هستهٔ ادغام‌شده (ms)",
    "linformer_seconds": "Linformer (ms)",
    "full_bytes": "توجه کامل (MB)",
    "linformer_bytes": "Linformer (MB)",
}

CURVE_LABELS = {  # in the order of the legend; a rank in braces
    "full": "توجه کامل، ۴n²d", "scores": "امتیازها، ۲hn²", "log": "روش n log n، ۴n log₂n d",
    "cache": "حافظهٔ نهان، ۴nd", "linformer": "Linformer، رتبهٔ {}", "projections": "چهار نگاشت خطی، ۸nd²",
}  # fmt: skip


def fa_exact(value: Any) -> str:
    """An exact number with Persian digits and separators; where its decimals never end, ≈ and two of them."""
    digits = exact_decimal(value)
    if digits:
        whole, _, fraction = digits.partition(".")
        return fa(f"{int(whole):,}" + (f".{fraction}" if fraction else ""))
    return "≈ " + fa(f"{decimal(value):,.2f}")


def answer(key: str) -> str:
    """The exact result of a step, for inline use in prose."""
    return fa_exact(STEPS[key].value)


def derivation(*keys: str | Quantity, label: str | None = None) -> Markdown:
    """Steps as display mathematics, two quantities beside each other: equation, substitution, exact number, scientific
    notation.

    ``label`` (``eq-…``) makes the first display a target of cross-references.
    """
    quantities = [STEPS[key] if isinstance(key, str) else key for key in keys]
    blocks = [f"$$ {aligned(*quantities[start : start + 2])} $$" for start in range(0, len(quantities), 2)]
    if label:
        blocks[0] += f" {{#{label}}}"
    return Markdown("\n\n".join(blocks))


def formula_table(rows: list[dict[str, str]], widths: Sequence[int]) -> Markdown:
    """``persian.table`` with shares of the line for its columns: a formula is shorter on paper than its LaTeX.

    Columns that hold mathematics are centred: left-to-right cells would stand far from right-to-left headings.
    """
    centred = [name for name in rows[0] if any("$" in text for text in (name, *(row[name] for row in rows)))]
    return table(rows, widths, centred)


def setting() -> Markdown:
    """The numbers that the question gives."""
    symbols = {str(symbol): value for symbol, value in SETTING.items()}
    rows = [
        {"نماد": f"${name}$", "معنا": meaning, "مقدار": fa_exact(symbols[name])}
        for name, meaning in SYMBOL_LABELS.items()
    ]
    return formula_table(transposed(rows, "نماد"), (8, *[14] * len(rows)))


def _closed(quantity: Quantity) -> str:
    """The exact number; a fraction whose decimals never end before the rounded one, a logarithm as the rounded one alone
    (its formula stands beside it)."""
    text, value = fa_exact(quantity.value), quantity.value
    closed = text.startswith("≈") and value.is_Rational
    return f"{fa_int(int(value.p))}/{fa_int(int(value.q))} {text}" if closed else text


def _row(part: str, label: str, quantity: Quantity) -> dict[str, str]:
    return {
        "بخش": f"({LETTERS[part[0]]})",
        "کمیت": label,
        "فرمول": f"${quantity.equation}$",
        "مقدار دقیق": _closed(quantity),
        "نماد علمی": fa_sci(float(quantity.value)),
    }


def summary() -> Markdown:
    """All results of the reading taken, in order."""
    return formula_table(
        [_row(key, STEP_LABELS[key], quantity) for key, quantity in STEPS.items()], (6, 27, 19, 19, 13)
    )


def readings() -> Markdown:
    """The other readings of every part that has some, in one table."""
    rows = [
        _row(key, ALTERNATIVE_LABELS[key], quantity)
        for part in ALTERNATIVES
        for key, quantity in ALTERNATIVES[part].items()
    ]
    return formula_table(rows, (6, 30, 19, 20, 13))


def chains() -> Markdown:
    """(ج), (د) and (ه) for every start that (ب) may have left, per group and in total."""
    rows = []
    for key, start in CHAIN_STARTS.items():
        for per_group, scope in ((True, "هر گروه"), (False, "مجموع")):
            shared, loaded, slowed = map(fa_exact, chain(start, per_group))
            rows.append({"آغاز از (ب)": START_LABELS[key], "دامنه": scope, "(ج)": shared, "(د)": loaded, "(ه)": slowed})
    return formula_table(rows, (22, 9, 18, 19, 19))


def grouped_query(heads: int = 64, kv_heads: Sequence[int] = (64, 16, 8, 1)) -> Markdown:
    """What sharing K/V heads really saves: projections and cache, not scores."""
    rows = []
    for shared in kv_heads:
        numbers = {"h": heads, "v": shared}
        projections, core = (exact(part, **numbers) for part in LAYER_FLOPS["attention"])
        rows.append(
            {
                "سرهای کلید و مقدار": fa_int(shared),
                "FLOP امتیازها و جمع": fa_exact(core),
                "FLOP نگاشت‌ها": fa_exact(projections),
                "حافظهٔ نهان هر لایه (بایت)": fa_exact(exact(CACHE_BYTES, b=HALF_PRECISION, **numbers)),
            }
        )
    return table(rows)
