"""Attention: the reference, the fused kernel, grouped heads, rotary positions and the cache, each held against
another."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from genmodels.errors import UserError
from genmodels.language.attention import (
    CausalSelfAttention,
    KVCache,
    RotaryPositions,
    _attention_batched,
    attention_fast,
    attention_reference,
    attention_weights,
    causal_mask,
    repeat_heads,
)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def inputs(dtype: torch.dtype, kv_heads: int = 4, queries: int = 9, keys: int = 9) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, queries, 8), (2, kv_heads, keys, 8), (2, kv_heads, keys, 8)]
    return tuple(torch.randn(s, generator=generator, dtype=dtype, requires_grad=True) for s in shapes)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("queries", "keys"), [(9, 9), (3, 9), (1, 9), (1, 1)])
def test_fused_kernel_equals_the_reference(dtype: torch.dtype, kv_heads: int, queries: int, keys: int) -> None:
    q, k, v = inputs(dtype, kv_heads, queries, keys)
    written, fused = attention_reference(q, k, v), attention_fast(q, k, v)
    torch.testing.assert_close(fused, written, rtol=0, atol=TOLERANCE[dtype])
    for a, b in zip(
        torch.autograd.grad(written.square().sum(), (q, k, v)), torch.autograd.grad(fused.square().sum(), (q, k, v))
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize(("queries", "keys"), [(9, 9), (3, 9)])
def test_batched_kernel_equals_the_reference(queries: int, keys: int) -> None:
    q, k, v = inputs(torch.float64, 4, queries, keys)
    torch.testing.assert_close(_attention_batched(q, k, v), attention_reference(q, k, v), rtol=0, atol=1e-10)
    low = [x.detach().bfloat16().requires_grad_() for x in inputs(torch.float64, 2, queries, keys)]
    torch.testing.assert_close(
        attention_fast(*low).double(), attention_reference(*(x.double() for x in low)), rtol=0.05, atol=0.05
    )


def test_reference_is_the_formula_for_one_query() -> None:
    q, k, v = (x.detach() for x in inputs(torch.float64))
    i, head = 5, 2
    scores = [float(q[0, head, i] @ k[0, head, j]) / math.sqrt(8) for j in range(i + 1)]
    weights = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
    expected = sum(w * v[0, head, j] for j, w in enumerate(weights))
    torch.testing.assert_close(attention_reference(q, k, v)[0, head, i], expected, rtol=0, atol=1e-12)


def test_weights_are_causal_distributions() -> None:
    q, k, _ = inputs(torch.float64, queries=4)
    weights = attention_weights(q, k)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 4, dtype=torch.float64))
    assert (weights[..., ~causal_mask(4, 9)] == 0).all()
    assert (weights[..., causal_mask(4, 9)] > 0).all()
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_grouped_heads_are_multi_head_with_repeated_keys() -> None:
    q, k, v = inputs(torch.float64, kv_heads=2)
    expected = F.scaled_dot_product_attention(q, k[:, [0, 0, 1, 1]], v[:, [0, 0, 1, 1]], is_causal=True)
    torch.testing.assert_close(attention_fast(q, k, v), expected, rtol=0, atol=1e-10)
    assert repeat_heads(k, 4).shape == q.shape


def test_scores_depend_on_the_distance_alone() -> None:
    rotate = RotaryPositions(8, 200).double()
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=generator, dtype=torch.float64)

    def score(at_query: int, at_key: int) -> float:
        return float((rotate(q, at_query) * rotate(k, at_key)).sum())

    for distance in (0, 1, 17):
        scores = [score(start + distance, start) for start in (0, 3, 150)]
        assert max(scores) - min(scores) < 1e-5  # the table of angles is kept in fp32
    assert abs(score(20, 3) - score(21, 3)) > 1e-3
    assert rotate(q, 77).norm() == pytest.approx(float(q.norm()), rel=1e-6)
    assert torch.equal(rotate(q, 0), q)


def test_rotation_by_hand() -> None:
    x = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 1, 4)  # pair (0, 2) turns by t, pair (1, 3) by t / 100
    turned = RotaryPositions(4, 10)(x, 3)[0, 0, 0]
    torch.testing.assert_close(turned, torch.tensor([math.cos(3), 0.0, math.sin(3), 0.0]))


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_cache_gives_what_the_whole_sequence_gives(kv_heads: int) -> None:
    torch.manual_seed(0)
    attention = CausalSelfAttention(16, 4, kv_heads, context=12).double()
    x = torch.randn(2, 12, 16, dtype=torch.float64)
    cache = KVCache(2, kv_heads, 12, 4, x)
    parts = [attention(piece, cache) for piece in x.split([5, 1, 4, 1, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), attention(x), rtol=0, atol=1e-12)
    assert cache.length == 12 and cache.bytes() == 2 * 2 * kv_heads * 12 * 4 * 8
    with pytest.raises(UserError, match="12 tokens"):
        cache.append(*(torch.zeros(2, kv_heads, 1, 4, dtype=torch.float64) for _ in range(2)))


def test_impossible_shapes_are_refused() -> None:
    for width, heads, kv_heads in [(16, 3, 3), (16, 4, 3), (12, 4, 4), (16, 0, 1)]:  # 12 / 4: an odd head cannot rotate
        with pytest.raises(UserError, match="multiple"):
            CausalSelfAttention(width, heads, kv_heads, context=8)
