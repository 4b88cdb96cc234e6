"""How the cost of attention grows with the length n: FLOPs of layers, bytes, decoding, and where the curves cross.

Matrix products only, two FLOPs a multiply-add, as ``torch.utils.flop_counter`` counts them (``attention/layers.py``
checks these expressions against it). Grouped-query attention: Ainslie et al. 2023; its limit v = 1 is multi-query
attention, Shazeer 2019. Linformer: Wang et al. 2020, a rank k for keys and values over the sequence. The feed-forward
layer of "block" has two matrices d × 4d, as in Vaswani et al. 2017. Softmax, norms and biases are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from genmodels.attention.cost import SETTING, d, exact, h, n
from genmodels.attention.quantity import Log2, Quantity, product

v, k, b, t, c = sp.symbols("v k b t c", positive=True)  # K/V heads, rank, bytes a number, keys seen, hidden constant

RANKS = (64, 128, 256, 512)
HALF_PRECISION = 2  # bytes

# FLOPs of one layer: projections (query and output 4nd², key and value 4nd² · v/h) and the core.
_projections = 4 * n * d**2 * (1 + v / h)
LAYER_FLOPS: Mapping[str, tuple[sp.Expr, sp.Expr]] = {
    "attention": (_projections, 4 * n**2 * d),
    "cached": (_projections.subs(n, 1), 4 * t * d),  # one new token that attends to t keys, itself among them
    "linformer": (8 * n * d**2, 8 * n * k * d),  # two projections along the sequence, scores, weighted sum: 2nkd each
}

# Bytes that have to stay: scores of all heads, low-rank scores, keys and values of one layer.
SCORE_BYTES = b * h * n**2
LINFORMER_SCORE_BYTES = b * h * n * k
CACHE_BYTES = 2 * b * n * d * v / h

# Scores and weighted sums of generating n tokens one by one, with a cache and without (all positions again each time).
DECODING_CACHED = sp.factor(sp.summation(4 * t * d, (t, 1, n)))
DECODING_NAIVE = sp.factor(sp.summation(4 * t**2 * d, (t, 1, n)))
DECODING_GAIN = sp.simplify(DECODING_NAIVE / DECODING_CACHED)


@dataclass(frozen=True)
class Crossover:
    """The length from which ``cheaper`` costs less than ``dearer``; both are functions of n."""

    key: str
    dearer: sp.Expr
    cheaper: sp.Expr
    length: sp.Expr


def solve_length(dearer: sp.Expr, cheaper: sp.Expr) -> sp.Expr | None:
    """The largest real n > 0 at which the two cost the same, exactly; ``None`` where they never meet.

    Two roots exist where a logarithm is involved (the branches of Lambert's W); they must be numbers to be compared.
    """
    equation = sp.expand((dearer - cheaper).rewrite(sp.log) / (n * d))
    roots = [root for root in sp.solve(equation, n) if root.free_symbols or abs(sp.im(sp.N(root, 30))) < 1e-20]
    if len(roots) > 1:
        roots.sort(key=lambda root: sp.re(sp.N(root, 30)))
    return roots[-1] if roots else None


def _crossover(key: str, dearer: sp.Expr, cheaper: sp.Expr) -> Crossover:
    length = solve_length(dearer, cheaper)
    assert length is not None, key
    return Crossover(key, dearer, cheaper, length)


CROSSOVERS: tuple[Crossover, ...] = (
    _crossover("rank", n**2 * d, n * k * d),
    _crossover("rank_flops", 4 * n**2 * d, 8 * n * k * d),
    _crossover("projections", 4 * n**2 * d, 8 * n * d**2),
    _crossover("block", 4 * n**2 * d, 24 * n * d**2),
    _crossover("log_rank", n * Log2(n) * d, n * k * d),
)


def log_crossover(constant: int) -> sp.Expr | None:
    """From which n is n²d more than ``constant`` · n log₂n d? ``None``: it always is (``constant`` < e ln 2)."""
    return solve_length(n**2 * d, constant * n * Log2(n) * d)


def linformer(rank: int) -> Quantity:
    """The order n·k·d of a Linformer layer with rank ``rank``, as a quantity that derives itself."""
    return Quantity(f"linformer_{rank}", "C_{k}", product(n, k, d), SETTING | {k: sp.Integer(rank)})


def block_gain(rank: int, length: int | None = None) -> sp.Expr:
    """How many times fewer FLOPs a whole Transformer block takes with Linformer's layer than with full attention."""
    numbers = {"k": rank} | ({} if length is None else {"n": length})
    rest = 24 * n * d**2
    return exact((rest + 4 * n**2 * d) / (rest + 8 * n * k * d), **numbers)


Series = dict[str, list[int]]  # one value a length, by name


def curves(lengths: Sequence[int], ranks: Sequence[int] = (64, 256)) -> tuple[Series, Series]:
    """What ``attention_lengths.cost_curves`` draws: FLOPs, and bytes (half precision, 8 heads).

    The logarithmic method gets the constant of full attention, 4: its own is not known.
    """
    flops = {"full": 4 * n**2 * d, "log": 4 * n * Log2(n) * d, "projections": 8 * n * d**2}
    flops |= {f"linformer_{rank}": 8 * n * rank * d for rank in ranks}
    memory = {"scores": SCORE_BYTES, "cache": CACHE_BYTES}
    memory |= {f"linformer_{rank}": LINFORMER_SCORE_BYTES.subs(k, rank) for rank in ranks}
    return _values(flops, lengths), _values(memory, lengths)


def crossings(ranks: Sequence[int] = (64, 256)) -> list[tuple[int, int]]:
    """Points (length, FLOPs) where full attention meets Linformer's of each rank, and the four projections."""
    meetings = {row.key: row.length for row in CROSSOVERS}
    lengths = {int(exact(meetings["rank_flops"], k=rank)) for rank in ranks} | {int(exact(meetings["projections"]))}
    return [(length, int(exact(4 * n**2 * d, n=length))) for length in sorted(lengths)]


def _values(expressions: Mapping[str, sp.Expr], lengths: Sequence[int]) -> Series:
    numbers = {"b": HALF_PRECISION, "v": 8}
    return {
        name: [int(sp.floor(exact(x, n=length, **numbers))) for length in lengths] for name, x in expressions.items()
    }
