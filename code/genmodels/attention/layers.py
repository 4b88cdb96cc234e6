"""Attention written out in matrix products, and what they really cost: FLOPs and bytes counted, leaks differentiated.

Scores, mask, softmax, weighted sum, as in Vaswani et al. 2017, with any number of K/V heads (Ainslie et al. 2023) and a
cache; and Linformer's low-rank layer (Wang et al. 2020, equation 7; E and F shared by the heads, their section 4).
``torch.utils.flop_counter`` counts matrix products while the code runs; on the ``meta`` device tensors have shapes and
no contents, so n = 2²⁰ costs nothing. The fused ``scaled_dot_product_attention`` is not used: on the CPU the counter
reads 0 for it. These layers exist to be counted: no bias, no dropout, no batch. The language model's are in ``language/``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genmodels.attention.cost import exact
from genmodels.attention.scaling import LAYER_FLOPS
from genmodels.errors import UserError
from genmodels.system.meters import count_flops

Cache = tuple[Tensor, Tensor]  # keys and values, each (V, P, Dh)


@dataclass(frozen=True)
class Weights:
    """Projections of one layer: query and output (D, D), key and value (D, V·Dh)."""

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    heads: int
    kv_heads: int


def make_weights(
    width: int, heads: int, kv_heads: int | None = None, generator: torch.Generator | None = None, **options: Any
) -> Weights:
    """Random projections of variance 1/D; ``options`` are torch's (``device``, ``dtype``).

    Raises ``UserError`` where the heads do not divide the width, or the K/V heads do not divide the heads.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    if min(width, heads, kv_heads) < 1 or width % heads or heads % kv_heads:
        raise UserError(
            f"width {width}, heads {heads}, kv_heads {kv_heads} do not fit; "
            "heads must divide the width, and kv_heads must divide heads"
        )
    narrow = width // heads * kv_heads

    def matrix(columns: int) -> Tensor:
        return torch.randn(width, columns, generator=generator, **options) * width**-0.5

    return Weights(matrix(width), matrix(narrow), matrix(narrow), matrix(width), heads, kv_heads)


def project(x: Tensor, w: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (H, T, Dh), keys and values (V, T, Dh) of ``x`` (T, D)."""
    return (
        (x @ w.query).unflatten(-1, (w.heads, -1)).transpose(0, 1),  # (H, T, Dh)
        (x @ w.key).unflatten(-1, (w.kv_heads, -1)).transpose(0, 1),  # (V, T, Dh)
        (x @ w.value).unflatten(-1, (w.kv_heads, -1)).transpose(0, 1),  # (V, T, Dh)
    )


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool = True) -> Tensor:
    """Attention of the last T of S positions: q (H, T, Dh), k and v (V, S, Dh) → (H, T, Dh).

    The H/V queries that share a key head are stacked along T: keys are shared without being copied.
    """
    (heads, length, _), (kv_heads, seen, _) = q.shape, k.shape
    q = q.reshape(kv_heads, heads // kv_heads * length, -1)  # (V, G·T, Dh)
    scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5  # (V, G·T, S)
    if causal and length > 1:  # a single new token is the last one: it may see everything
        future = torch.ones(length, seen, dtype=torch.bool, device=q.device).triu(seen - length + 1)  # (T, S)
        scores = scores.view(heads, length, seen).masked_fill(future, -torch.inf).view(kv_heads, -1, seen)
    return (scores.softmax(-1) @ v).reshape(heads, length, -1)  # (H, T, Dh)


def merge(heads: Tensor, w: Weights) -> Tensor:
    """Heads (H, T, Dh) side by side and through the output projection: (T, D)."""
    return heads.transpose(0, 1).flatten(1) @ w.output


def attention(x: Tensor, w: Weights, causal: bool = True, cache: Cache | None = None) -> tuple[Tensor, Cache]:
    """A whole layer on ``x`` (T, D), going on from ``cache``: output (T, D) and the cache with T more positions."""
    q, k, v = project(x, w)
    if cache is not None:
        k, v = torch.cat([cache[0], k], 1), torch.cat([cache[1], v], 1)  # (V, P + T, Dh)
    return merge(attend(q, k, v, causal), w), (k, v)


def linformer(x: Tensor, w: Weights, e: Tensor, f: Tensor) -> Tensor:
    """Linformer's layer on ``x`` (T, D): E and F (K, T) shorten keys and values from T positions to K mixtures.

    No mask exists for it: each mixture holds every position, the later ones too.
    """
    q, k, v = project(x, w)
    return merge(attend(q, e @ k, f @ v, causal=False), w)  # e @ k: (K, T) (H, T, Dh) → (H, K, Dh)


class PeakBytes(TorchDispatchMode):
    """Most bytes of tensors made inside the ``with`` block that were alive at once: ``.peak``. Exact, on any device."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        known = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._watch(tensor.untyped_storage(), known)
        return made

    def _watch(self, storage: torch.UntypedStorage, known: set[int]) -> None:
        address = storage._cdata
        if address in self._seen or address in known:  # a view, or something that was there before
            return
        self._seen.add(address)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, address, storage.nbytes())

    def _release(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.live -= size


KINDS: dict[str, dict[str, int]] = {
    "mha": {"h": 8, "v": 8},
    "gqa": {"h": 8, "v": 2},
    "mqa": {"h": 8, "v": 1},
    "groups64": {"h": 64, "v": 64},
    "cached": {"h": 8, "v": 8},
    "linformer64": {"h": 8, "v": 8, "k": 64},
    "linformer512": {"h": 8, "v": 8, "k": 512},
}


@dataclass(frozen=True)
class Count:
    """One layer at one length: FLOPs of its matrix products, counted by running it and derived."""

    kind: str
    length: int
    counted: int
    derived: int


def compare(
    kinds: Sequence[str] = tuple(KINDS), lengths: Sequence[int] = (1024, 4096, 2**17), width: int = 512
) -> list[Count]:
    """Counted against derived FLOPs, kind by kind and length by length; runs on ``meta``, hence in milliseconds."""
    return [
        Count(kind, length, _counted(kind, length, width), _derived(kind, length, width))
        for kind in kinds
        for length in lengths
    ]


def _derived(kind: str, length: int, width: int) -> int:
    name = kind.rstrip("0123456789")
    numbers = KINDS[kind] | {"n": length, "t": length, "d": width}
    return int(exact(sum(LAYER_FLOPS.get(name, LAYER_FLOPS["attention"])), **numbers))


def _counted(kind: str, length: int, width: int) -> int:
    shape = KINDS[kind]
    w = make_weights(width, shape["h"], shape["v"], device="meta")
    if kind == "cached":
        past = torch.empty(shape["v"], length - 1, width // shape["h"], device="meta")
        return count_flops(lambda: attention(torch.empty(1, width, device="meta"), w, cache=(past, past)))
    x = torch.empty(length, width, device="meta")
    if "k" in shape:
        e = torch.empty(shape["k"], length, device="meta")
        return count_flops(lambda: linformer(x, w, e, e))
    return count_flops(lambda: attention(x, w))


def sensitivity(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(T, T): entry (i, j) is the norm of the derivative of output i with respect to input j, for ``x`` (T, D)."""
    jacobian = torch.autograd.functional.jacobian(layer, x, vectorize=True)  # (T, D, T, D)
    return jacobian.square().sum((1, 3)).sqrt()


def causality(length: int = 12, width: int = 8, rank: int = 4, seed: int = 1) -> dict[str, Tensor]:
    """``sensitivity`` of a tiny causal attention and of a tiny Linformer layer with the same weights (float64)."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    x = torch.randn(length, width, **options)
    w = make_weights(width, 2, **options)
    e, f = (torch.randn(rank, length, **options) * length**-0.5 for _ in range(2))
    return {
        "causal": sensitivity(lambda x: attention(x, w)[0], x),
        "linformer": sensitivity(lambda x: linformer(x, w, e, f), x),
    }
