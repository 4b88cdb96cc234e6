"""Question 2.6 in exact arithmetic: what attention costs for n = 4096 and d = 512, each quantity a sympy expression.

Nothing here is a float: the share, the overhead and the throughput are rationals, the logarithm stays symbolic until
it is exact. ``STEPS`` is the reading taken, ``ALTERNATIVES`` every other reading of a part, ``chain`` carries any
start through the parts after it. n²d is the cost of Vaswani et al. 2017 (Table 1). Units: n²d and all that is derived
from it count multiply-adds; keys with ``_flops`` count floating-point operations (a multiply-add is two).

How the expressions grow with n, and where they cross, is in ``attention/scaling.py``; counting by running is in
``attention/layers.py``; the Persian words are in ``report/attention.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from genmodels.attention.quantity import Log2, Quantity, product, substitute

n, d, r, g, o, p = sp.symbols("n d r g o p", positive=True)  # length, width, share, groups, overhead, throughput
h, m = sp.symbols("h m", positive=True)  # heads, new tokens

SETTING: dict[sp.Symbol, sp.Rational] = {
    n: sp.Integer(4096),
    d: sp.Integer(512),
    r: sp.Rational(1, 5),
    g: sp.Integer(64),
    o: sp.Rational(7, 20),
    p: sp.Rational(3, 4),
    h: sp.Integer(8),  # the base model of Vaswani et al. has d = 512 and 8 heads; only the softmax count depends on it
    m: sp.Integer(819),  # r n = 819.2 is not a whole number of tokens
}


def exact(expression: sp.Expr, **replaced: Any) -> sp.Expr:
    """``expression`` with the question's numbers put in, exactly; keywords replace or add some (``k=64, n=2**20``).

    Raises ``UserError`` for a float (write 0.2 as ``Fraction(1, 5)``) and for a symbol left without a number.
    """
    return substitute(expression, SETTING | {sp.Symbol(name, positive=True): value for name, value in replaced.items()})


def _index(rows: list[tuple[str, str, sp.Expr]]) -> dict[str, Quantity]:
    return {key: Quantity(key, symbol, expression, SETTING) for key, symbol, expression in rows}


_extra = sp.Add(sp.Pow(p, -1), -1, evaluate=False)
_log = Log2(n)

# The reading taken: each part goes on from the one before; ``_group`` is the critical path, ``_total`` the whole work.
STEPS: Mapping[str, Quantity] = _index(
    [
        ("a", "C_{a}", product(n**2, d)),
        ("b", "C_{b}", product(r, n**2, d)),
        ("c_group", "C_{c}", product(r, n**2, d, over=(g,))),
        ("c_total", "T_{c}", product(r, n**2, d)),
        ("d_group", "C_{d}", product(1 + o, r, n**2, d, over=(g,))),
        ("d_total", "T_{d}", product(1 + o, r, n**2, d)),
        ("e_group", "C_{e}", product(1 + o, r, n**2, d, over=(g, p))),
        ("e_total", "T_{e}", product(1 + o, r, n**2, d, over=(p,))),
        ("e_extra_group", r"C_{e} - C_{d}", product(_extra, 1 + o, r, n**2, d, over=(g,))),
        ("e_extra_total", r"T_{e} - T_{d}", product(_extra, 1 + o, r, n**2, d)),
        ("f", "C_{f}", product(n, _log, d)),
        ("f_group", "C_{f,e}", product(1 + o, r, n, _log, d, over=(g, p))),
        ("f_total", "T_{f,e}", product(1 + o, r, n, _log, d, over=(p,))),
        ("f_ratio", r"\frac{C_{a}}{C_{f}}", product(n, over=(_log,))),
    ]
)

_rn = product(r, n)
_low, _high = (kind(_rn, evaluate=False) for kind in (sp.floor, sp.ceiling))  # 819 and 820 whole tokens
_causal_pairs = sp.Add(product(m, n - m), product(m, sp.Add(m, 1, evaluate=False), over=(2,)), evaluate=False)

# Every other reading that a solution sheet may have taken, by part.
ALTERNATIVES: Mapping[str, Mapping[str, Quantity]] = {
    "a": _index(
        [
            ("a_both_products", "", product(2, n**2, d)),
            ("a_both_flops", "", product(4, n**2, d)),
            ("a_projections_flops", "", product(8, n, d**2)),
            ("a_all_flops", "", sp.Add(product(4, n**2, d), product(8, n, d**2), evaluate=False)),
            ("a_softmax_flops", "", product(h, n, sp.Add(6 * n, -2, evaluate=False))),
            ("a_causal", "", product(n, sp.Add(n, 1, evaluate=False), d, over=(2,))),
        ]
    ),
    "b": _index(
        [
            ("b_square", "", product(sp.Pow(_rn, 2, evaluate=False), d)),
            ("b_819", "", product(_low, n, d)),
            ("b_820", "", product(_high, n, d)),
            ("b_819_square", "", product(sp.Pow(_low, 2, evaluate=False), d)),
            ("b_820_square", "", product(sp.Pow(_high, 2, evaluate=False), d)),
            ("b_causal", "", product(_causal_pairs, d)),
            ("b_flops", "", product(4, r, n**2, d)),
        ]
    ),
    "d": _index(
        [
            ("d_only_group", "", product(o, r, n**2, d, over=(g,))),
            ("d_only_total", "", product(o, r, n**2, d)),
            ("d_share_group", "", product(r, n**2, d, over=(g, 1 - o))),
            ("d_share_total", "", product(r, n**2, d, over=(1 - o,))),
        ]
    ),
    "e": _index(
        [
            ("e_quarter_group", "", product(2 - p, 1 + o, r, n**2, d, over=(g,))),
            ("e_quarter_total", "", product(2 - p, 1 + o, r, n**2, d)),
            ("e_quarter_extra_group", "", product(1 - p, 1 + o, r, n**2, d, over=(g,))),
            ("e_quarter_extra_total", "", product(1 - p, 1 + o, r, n**2, d)),
            ("e_done_group", "", product(p, 1 + o, r, n**2, d, over=(g,))),
            ("e_done_total", "", product(p, 1 + o, r, n**2, d)),
        ]
    ),
    "f": _index(
        [
            ("f_ln", "", product(n, sp.log(n), d)),
            ("f_ln_group", "", product(1 + o, r, n, sp.log(n), d, over=(g, p))),
            ("f_ln_total", "", product(1 + o, r, n, sp.log(n), d, over=(p,))),
            ("f_quarter_group", "", product(2 - p, 1 + o, r, n, _log, d, over=(g,))),
            ("f_share", "", product(_rn, Log2(_rn), d)),
        ]
    ),
}

# Where part (b) may have left the chain; each goes on through (c), (d) and (e).
CHAIN_STARTS: Mapping[str, sp.Expr] = {
    "full": product(n**2, d),
    "share": product(r, n**2, d),
    "square": product(sp.Pow(_rn, 2, evaluate=False), d),
    "whole_819": product(_low, n, d),
    "whole_820": product(_high, n, d),
    "log": product(n, _log, d),
    "share_log": product(r, n, _log, d),
}


def chain(start: sp.Expr, per_group: bool) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Exact results of (c), (d) and (e) for a cost that (b) has left at ``start``."""
    shared = start / g if per_group else start
    return exact(shared), exact(shared * (1 + o)), exact(shared * (1 + o) / p)
