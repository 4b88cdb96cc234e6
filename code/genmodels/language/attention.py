"""Causal self-attention from scratch: the written-out reference, heads that share keys, rotary positions, the KV cache.

For each head, with queries Q (n, d), keys K (m, d), values V (m, d) (Vaswani et al. 2017, arXiv 1706.03762, eq. 1):

    S = Q K^T / sqrt(d);   S_ij = -inf where j lies in the future of i;   A = softmax(S) row by row;   output = A V.

- Grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245): ``heads / kv_heads`` query heads read one key/value
  head. kv_heads = heads is multi-head, kv_heads = 1 multi-query attention (Shazeer 2019, arXiv 1911.02150). The
  scores cost the same; what shrinks is the cache and the K/V projections.
- Rotary positions (RoPE; Su et al. 2021, arXiv 2104.09864): pair k of a query or key at position t is turned by the
  angle t * theta_k, theta_k = 10000^(-2k/d), so that a score depends on the distance of the two positions only.
- ``KVCache`` keeps the keys and values of all earlier tokens, so that a new token costs one row of S, not all of it.

``attention_reference`` is the formula; the module runs ``F.scaled_dot_product_attention``, which tests hold equal to
it. Not here: dropout on the attention weights (the fused kernel is exact; the block's branches are dropped instead).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.errors import UserError


def attention_reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scores, mask, softmax, weighted sum. ``q`` (B, H, T, D); ``k``, ``v`` (B, G, S, D), G dividing H, S >= T.

    The T queries are the last T of the S positions: query i may look at keys 0 ... S - T + i. Returns (B, H, T, D).
    """
    return attention_weights(q, k) @ repeat_heads(v, q.shape[1])  # (B, H, T, D)


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """The matrix A of ``attention_reference``, (B, H, T, S): row i says how much query i takes from each position."""
    keys = repeat_heads(k, q.shape[1])  # (B, H, S, D)
    scores = q @ keys.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, S)
    future = ~causal_mask(q.shape[2], k.shape[2], q.device)
    scores = scores.masked_fill(future, float("-inf"))
    return torch.softmax(scores, dim=-1)


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """(T, S) of booleans: may query i (at position S - T + i) look at key j?"""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """(B, G, S, D) -> (B, heads, S, D): each key/value head serves ``heads / G`` neighbouring query heads."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


class RotaryPositions(nn.Module):
    """RoPE for heads of dimension ``head``; the angles of positions 0 ... ``context`` - 1 are made once, in fp64."""

    def __init__(self, head: int, context: int, base: float = 10_000.0) -> None:
        super().__init__()
        theta = base ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)  # (D/2,)
        angles = torch.outer(torch.arange(context, dtype=torch.float64), theta)  # (context, D/2)
        both = torch.cat([angles, angles], dim=1)  # dimension k is paired with k + D/2
        self.register_buffer("cos", both.cos().to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("sin", both.sin().to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Turn ``x`` (B, H, T, D), whose first position is ``start``."""
        cos = self.cos[start : start + x.shape[2]].to(x.dtype)  # (T, D)
        sin = self.sin[start : start + x.shape[2]].to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin


class KVCache:
    """Keys and values of one layer for ``batch`` sequences, room for ``capacity`` positions; ``length`` are filled.

    Keys are kept after their rotation: a position's key never changes.
    """

    def __init__(self, batch: int, kv_heads: int, capacity: int, head: int, like: Tensor) -> None:
        self.keys = like.new_zeros(batch, kv_heads, capacity, head)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store ``k``, ``v`` (B, G, T, D) of the next T positions; returns all keys and values so far (B, G, length,
        D)."""
        end = self.length + k.shape[2]
        if k.shape[0] != self.keys.shape[0] or end > self.keys.shape[2]:
            room = f"{self.keys.shape[0]} sequences of {self.keys.shape[2]} tokens"
            raise UserError(f"the cache holds {room}, asked for {k.shape[0]} of {end}; ask initial_state for more room")
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def bytes(self) -> int:
        """Memory that the cache occupies."""
        return 2 * self.keys.numel() * self.keys.element_size()


class CausalSelfAttention(nn.Module):
    """Projections -> rotated queries and keys -> attention -> output projection, ``width`` numbers a position in and
    out."""

    def __init__(self, width: int, heads: int, kv_heads: int, context: int) -> None:
        super().__init__()
        if heads < 1 or kv_heads < 1 or width % (2 * heads) or heads % kv_heads:
            raise UserError(
                f"width {width}, heads {heads}, kv_heads {kv_heads}: "
                "width must be an even multiple of heads, and heads a multiple of kv_heads"
            )
        self.heads, self.kv_heads, self.head = heads, kv_heads, width // heads
        self.query_key_value = nn.Linear(width, (heads + 2 * kv_heads) * self.head, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.positions = RotaryPositions(self.head, context)

    def project(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> rotated queries (B, H, T, D), rotated keys (B, G, T, D), values (B, G, T, D)."""
        batch, time, _ = x.shape
        joint = self.query_key_value(x).view(batch, time, -1, self.head).transpose(1, 2)  # (B, H + 2G, T, D)
        turning, v = joint.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        q, k = self.positions(turning, start).split([self.heads, self.kv_heads], dim=1)
        return q, k, v

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C). With a cache, x are the positions after those cached."""
        q, k, v = self.project(x, cache.length if cache else 0)
        if cache is not None:
            k, v = cache.append(k, v)
        mixed = attention_fast(q, k, v)  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).flatten(2))


def attention_fast(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``attention_reference``, faster: the same numbers by the kernel that suits the case.

    Training in bf16 on a CPU takes batched matrix products: there the fused kernel's backward pass is 3 times slower
    (measured at T = 128, torch 2.13). Everything else takes the fused kernel, which never stores the (T, S) matrix.
    """
    queries, keys, grouped = q.shape[2], k.shape[2], q.shape[1] != k.shape[1]
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and keys <= 512:
        return _attention_batched(q, repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1]))
    if queries == keys and queries > 1:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    mask = causal_mask(queries, keys, q.device) if queries > 1 else None  # one query may look at everything before it
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


def _attention_batched(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The formula with scale, mask and scores in one batched product; equal head counts."""
    batch, heads, queries, head = q.shape
    mask = q.new_zeros(queries, k.shape[2]).masked_fill_(~causal_mask(queries, k.shape[2], q.device), float("-inf"))
    scores = torch.baddbmm(
        mask.expand(batch * heads, -1, -1), q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=1 / math.sqrt(head)
    )  # (B H, T, S)
    with torch.autocast("cpu", enabled=False):  # autocast would widen the softmax to fp32, whose sums are fp32 anyway
        weights = torch.softmax(scores, dim=-1)
    return torch.bmm(weights, v.flatten(0, 1)).unflatten(0, (batch, heads))
