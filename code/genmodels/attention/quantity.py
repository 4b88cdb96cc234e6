"""Exact quantities that write their own derivation: equation, substitution, exact number, scientific notation.

A ``Quantity`` keeps a sympy expression and the numbers to put in; the report prints what it says about itself, so
the document cannot drift from what was computed. Floats are refused: numbers are ints, fractions or sympy rationals.
The LaTeX is kept to what Pandoc turns into MathML and into Typst math alike. It knows nothing of attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import sympy as sp

from genmodels.errors import UserError


class Log2(sp.Function):
    """Base-2 logarithm that prints as such and is an integer at powers of two (sympy alone writes log(x)/log(2))."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        if x.is_Integer and x > 0 and (int(x) & (int(x) - 1)) == 0:
            return sp.Integer(int(x).bit_length() - 1)
        return None

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(x) / sp.log(2)

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(precision)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log_{{2}}{power}\left({printer._print(self.args[0])}\right)"


def product(*factors: Any, over: tuple[Any, ...] = ()) -> sp.Expr:
    """A product that keeps the order of its factors when printed: ``n^{2} d``, not ``d n^{2}``."""
    return sp.Mul(*map(sp.sympify, factors), *(sp.Pow(x, -1, evaluate=False) for x in over), evaluate=False)


def substitute(expression: sp.Expr, numbers: Mapping[sp.Symbol, Any]) -> sp.Expr:
    """``expression`` with ``numbers`` put in for its symbols, exactly.

    Raises ``UserError`` for a number that is not exact (a float) and for a symbol left without a number.
    """
    rationals = {}
    for symbol, value in numbers.items():
        if not isinstance(value, (int, Fraction, sp.Rational)):
            raise UserError(f"{symbol} is {value!r}, which is not exact; give an int or a Fraction")
        rationals[symbol] = sp.Rational(value.numerator, value.denominator)
    result = sp.expand_log(expression.subs(rationals).doit(), force=True)  # ln 4096 becomes 12 ln 2
    if result.free_symbols:
        raise UserError(f"no number for {', '.join(sorted(map(str, result.free_symbols)))}; give it as well")
    return result


def exact_decimal(value: Any) -> str:
    """Exact decimal digits of a rational ("26843545.6"); "" where they never end, and for irrational numbers."""
    value = sp.sympify(value)
    if not value.is_Rational:
        return ""
    places, rest = 0, int(value.q)
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for prime in (2, 5):
        while rest % prime == 0:
            rest, places = rest // prime, places + 1
    if rest != 1:
        return ""
    with localcontext() as context:
        context.prec = len(str(abs(int(value.p)))) + places + 2
        text = format(Decimal(int(value.p)) / Decimal(int(value.q)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal(value: Any, digits: int = 40) -> Decimal:
    """``value`` as a ``Decimal`` of ``digits`` significant digits, for rounding and scientific notation."""
    return Decimal(str(sp.N(sp.sympify(value), digits)))


@dataclass(frozen=True)
class Quantity:
    """One number of an answer: ``symbol`` is its LaTeX name, ``numbers`` what its symbols stand for."""

    key: str
    symbol: str
    expression: sp.Expr
    numbers: Mapping[sp.Symbol, Any]

    @property
    def value(self) -> sp.Expr:
        """The exact number."""
        return substitute(self.expression, self.numbers)

    @property
    def equation(self) -> str:
        """The formula in symbols, as LaTeX."""
        return sp.latex(self.expression, order="none", ln_notation=True)

    @property
    def substitution(self) -> str:
        """The same formula with the numbers in the places of the symbols, as LaTeX."""
        names = {symbol: exact_decimal(value) for symbol, value in self.numbers.items()}
        return sp.latex(self.expression, order="none", ln_notation=True, mul_symbol="times", symbol_names=names)

    @property
    def exact_latex(self) -> str:
        """The exact number with thousands separators; a closed form where no finite decimal exists."""
        digits = exact_decimal(self.value)
        return _grouped(digits) if digits else sp.latex(self.value, ln_notation=True, mul_symbol="times")

    @property
    def scientific_latex(self) -> str:
        """Three significant digits, as ``8.59 \\times 10^{9}``."""
        mantissa, exponent = f"{decimal(self.value):.2e}".split("e")
        return rf"{mantissa} \times 10^{{{int(exponent)}}}"

    @property
    def steps(self) -> tuple[str, str, str]:
        """Formula, substitution, and the exact number with its scientific notation, as LaTeX."""
        return self.equation, self.substitution, rf"{self.exact_latex} \approx {self.scientific_latex}"


def aligned(*quantities: Quantity) -> str:
    """The lines of one quantity, or of several beside each other, as one ``aligned`` block.

    One block, because Pandoc's Typst writer takes the borders of two neighbouring ones away.
    """
    lines = []
    for place, row in enumerate(zip(*(quantity.steps for quantity in quantities))):
        names = [quantity.symbol if place == 0 else "" for quantity in quantities]
        lines.append(r" & \qquad ".join(f"{name} &= {step}".strip() for name, step in zip(names, row)))
    body = r" \\ ".join(lines)
    return rf"\begin{{aligned}} {body} \end{{aligned}}"


def _grouped(digits: str) -> str:
    """``\\text{8,589,934,592}``: as text, because a comma in math gets the space of a list in Typst and in MathML."""
    whole, _, fraction = digits.partition(".")
    return rf"\text{{{int(whole):,}{'.' + fraction if fraction else ''}}}"
