"""Question 2.6 as the report prints it: derivations as display mathematics, results with Persian digits, tables.

Only layout lives here: numbers come from ``attention_cost``, ``attention_scaling``, ``attention_flops`` and
``attention_timing``, words from ``attention_labels``. Inside mathematics digits stay Latin (mathematics fonts have no
Persian ones); in prose and in tables they are Persian. An exact number is never rounded; a rounded one carries ≈.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from IPython.display import Markdown
from sympy import LambertW, latex

from genmodels.attention.cost import ALTERNATIVES, CHAIN_STARTS, SETTING, STEPS, chain, exact, r
from genmodels.attention.layers import Count
from genmodels.report.attention_labels import (
    ALTERNATIVE_LABELS, CROSSOVER_LABELS, GROWTH_LABELS, KIND_LABELS, PARTS, START_LABELS, STEP_LABELS, SYMBOL_LABELS,
)
from genmodels.attention.scaling import (
    CACHE_BYTES, CROSSOVERS, HALF_PRECISION, LAYER_FLOPS, LINFORMER_SCORE_BYTES, RANKS, SCORE_BYTES, linformer,
    log_crossover,
)
from genmodels.attention.growth import fitted_exponent
from genmodels.attention.quantity import Quantity, aligned, decimal, exact_decimal
from genmodels.report.persian import fa, fa_int, fa_sci, table, transposed


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
    """Steps as display mathematics, two quantities beside each other: equation, substitution, exact number, scientific notation.

    ``label`` (``eq-…``) makes the first display a target of cross-references.
    """
    quantities = [STEPS[key] if isinstance(key, str) else key for key in keys]
    blocks = [f"$$ {aligned(*quantities[start : start + 2])} $$" for start in range(0, len(quantities), 2)]
    if label:
        blocks[0] += f" {{#{label}}}"
    return Markdown("\n\n".join(blocks))


def _table(rows: list[dict[str, str]], widths: Sequence[int]) -> Markdown:
    """``persian.table`` with given shares of the line for its columns: a formula is shorter on paper than its LaTeX.

    Columns that hold mathematics are centred: left-to-right cells would stand at the far side of right-to-left headings.
    """
    head, _, *body = table(rows).data.split("\n")
    rules = [
        f":{'-' * (width - 2)}:" if any("$" in text for text in (name, *(row[name] for row in rows))) else "-" * width
        for name, width in zip(rows[0], widths, strict=True)
    ]
    return Markdown("\n".join([head, f"|{'|'.join(rules)}|", *body]))


def setting() -> Markdown:
    """The numbers that the question gives."""
    symbols = {str(symbol): value for symbol, value in SETTING.items()}
    rows = [
        {"نماد": f"${name}$", "معنا": meaning, "مقدار": fa_exact(symbols[name])}
        for name, meaning in SYMBOL_LABELS.items()
    ]
    return _table(transposed(rows, "نماد"), (8, *[14] * len(rows)))


def _closed(quantity: Quantity) -> str:
    """The exact number; where it has no finite decimal, its closed form before the rounded one."""
    text, value = fa_exact(quantity.value), quantity.value
    if not text.startswith("≈"):
        return text
    return f"{fa_int(int(value.p))}/{fa_int(int(value.q))} {text}" if value.is_Rational else f"${quantity.exact_latex}$ {text}"


def _row(part: str, label: str, quantity: Quantity) -> dict[str, str]:
    return {"بخش": f"({PARTS[part[0]]})", "کمیت": label, "فرمول": f"${quantity.equation}$",
            "مقدار دقیق": _closed(quantity), "نماد علمی": fa_sci(float(quantity.value))}


def summary() -> Markdown:
    """All results of the reading taken, in order."""
    return _table([_row(key, STEP_LABELS[key], quantity) for key, quantity in STEPS.items()], (6, 27, 19, 19, 13))


def alternatives(part: str) -> Markdown:
    """The other readings of one part ("a" … "f")."""
    rows = [_row(key, ALTERNATIVE_LABELS[key], quantity) for key, quantity in ALTERNATIVES[part].items()]
    return _table([{name: cell for name, cell in row.items() if name != "بخش"} for row in rows], (32, 20, 21, 13))


def chains() -> Markdown:
    """(ج), (د) and (ه) for every start that (ب) may have left, per group and in total."""
    rows = []
    for key, start in CHAIN_STARTS.items():
        for per_group, scope in ((True, "هر گروه"), (False, "مجموع")):
            shared, loaded, slowed = map(fa_exact, chain(start, per_group))
            rows.append({"آغاز از (ب)": START_LABELS[key], "دامنه": scope, "(ج)": shared, "(د)": loaded, "(ه)": slowed})
    return _table(rows, (22, 9, 18, 19, 19))


def grouped_query(heads: int = 64, kv_heads: Sequence[int] = (64, 16, 8, 1)) -> Markdown:
    """What sharing K/V heads really saves: projections and cache, not scores."""
    rows = []
    for shared in kv_heads:
        numbers = {"h": heads, "v": shared}
        projections, core = (exact(part, **numbers) for part in LAYER_FLOPS["attention"])
        rows.append({
            "سرهای کلید و مقدار": fa_int(shared), "FLOP امتیازها و جمع": fa_exact(core),
            "FLOP نگاشت‌ها": fa_exact(projections),
            "حافظهٔ نهان هر لایه (بایت)": fa_exact(exact(CACHE_BYTES, b=HALF_PRECISION, **numbers)),
        })
    return table(rows)


def ranks() -> Markdown:
    """Linformer's n·k·d for several ranks, its full FLOPs, and the end of the chain of factors."""
    rows = []
    for rank in RANKS:
        order = linformer(rank).value
        group, total = (fa_exact(chain(order * SETTING[r], per_group)[2]) for per_group in (True, False))
        rows.append({
            "رتبه $k$": fa_int(rank), "$n k d$": fa_exact(order),
            "$8 n k d$ (FLOP)": fa_exact(exact(LAYER_FLOPS["linformer"][1], k=rank)),
            "زنجیر: هر گروه": group, "زنجیر: مجموع": total, "نسبت (آ) به آن": fa_exact(STEPS["a"].value / order),
        })
    return _table(rows, (8, 17, 18, 16, 18, 11))


def crossovers(rank: int = 256, constants: Sequence[int] = (1, 16, 64, 256)) -> Markdown:
    """Lengths at which two costs meet, solved by sympy; ``constants`` are hidden factors of the logarithmic method."""
    claim, solution, at_rank = "از این طول به بعد", "حل", f"طول ($k = {rank}$)"
    rows = []
    for row in CROSSOVERS:
        length = exact(row.length, k=rank)
        rows.append({claim: CROSSOVER_LABELS[row.key], solution: f"$n = {_latex(row.length)}$",
                     at_rank: fa_exact(length) if length < 10**9 else fa_sci(float(length))})
    for constant in constants:
        meeting = log_crossover(constant)
        rows.append({claim: f"روش لگاریتمی با ضریب پنهان {fa_int(constant)} ارزان‌تر",
                     solution: "برابر نمی‌شوند" if meeting is None else f"$n = {_latex(meeting)}$",
                     at_rank: "هر طولی" if meeting is None else fa_exact(meeting)})
    return _table(rows, (38, 32, 16))


def _latex(expression: Any) -> str:
    """A solution in simple LaTeX; Lambert's W with its branch as an index."""
    for lambert in expression.atoms(LambertW):
        branch = lambert.args[1] if len(lambert.args) > 1 else 0
        factor = latex(expression / lambert, ln_notation=True)
        return rf"{factor} \, W_{{{branch}}}\left({latex(lambert.args[0], ln_notation=True)}\right)"
    return latex(expression, ln_notation=True)


def long_inputs(powers: Iterable[int] = (12, 14, 17, 20), rank: int = 256) -> Markdown:
    """Orders of cost at great lengths, and the bytes of the scores of one layer with 8 heads in half precision."""
    rows = []
    for power in powers:
        numbers = {"n": 2**power, "k": rank, "b": HALF_PRECISION}
        full, log, low = (exact(x.expression, **numbers) for x in (STEPS["a"], STEPS["f"], linformer(rank)))
        scores, low_scores = (exact(x, **numbers) for x in (SCORE_BYTES, LINFORMER_SCORE_BYTES))
        rows.append({
            "طول $n$": fa_int(2**power), "$n^2 d$": fa_sci(float(full)), "$n \\log_2(n) d$": fa_sci(float(log)),
            f"$n k d$ ($k = {rank}$)": fa_sci(float(low)), "$n / \\log_2 n$": fa(float(full / log), 0),
            "$n / k$": fa_exact(full / low), "امتیازهای کامل (GB)": fa(float(scores) / 1e9, 2),
            "امتیازهای Linformer (GB)": fa(float(low_scores) / 1e9, 2),
        })
    return _table(rows, (12, 12, 13, 13, 11, 9, 13, 13))


def counts(found: Iterable[Count]) -> Markdown:
    """Counted against derived FLOPs."""
    return _table([{
        "لایه": KIND_LABELS[row.kind], "طول $n$": fa_int(row.length), "شمرده": fa_int(row.counted),
        "از فرمول": fa_int(row.derived), "تفاوت": fa_int(row.counted - row.derived),
    } for row in found], (32, 10, 20, 20, 8))


def growth(rows: Sequence[dict[str, Any]]) -> Markdown:
    """Measured milliseconds and counted megabytes of the core of one layer; the last row is the fitted power of n."""
    shown = {key: label for key, label in GROWTH_LABELS.items() if key in rows[0]}
    lengths = [row["n"] for row in rows]
    body = [{"طول $n$": fa_int(row["n"])} for row in rows]
    last = {"طول $n$": "**توان برازش‌شده**"}
    for key, label in shown.items():
        values = [row[key] for row in rows]
        for cells, value in zip(body, values):
            cells[label] = fa(value * (1e3 if key.endswith("seconds") else 1e-6), 1)
        last[label] = f"**{fa(fitted_exponent(lengths, values), 2)}**"
    return table([*body, last])
