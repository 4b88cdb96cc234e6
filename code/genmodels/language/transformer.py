"""A decoder-only Transformer language model, written from its parts (no ``nn.Transformer``, no
``nn.MultiheadAttention``).

    h_0 = embedding of the tokens
    u_l = h_l + Attention(RMSNorm(h_l))            who said what before me
    h_{l+1} = u_l + SwiGLU(RMSNorm(u_l))           what follows from it
    logits = E RMSNorm(h_L) + b                    E: the embedding matrix (tied weights, arXiv 1608.05859)

- Normalisation before each branch (Xiong et al. 2020, arXiv 2002.04745) by RMSNorm (Zhang & Sennrich 2019, arXiv
  1910.07467): x / sqrt(mean(x^2) + eps) * gain.
- SwiGLU (Shazeer 2020, arXiv 2002.05202): W_down( silu(W_gate x) (.) W_up x ), silu(z) = z sigma(z).
- Positions by rotation inside the attention (``attention.py``), so there is no position embedding.
- Residual projections start smaller by 1 / sqrt(2 layers) (Radford et al. 2019), so that depth does not swell the
  stream.

Not here: training, decoding, Linformer and other approximate attentions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.attention import CausalSelfAttention, KVCache
from genmodels.language.base import LanguageModel, dropout


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * gain over the last dimension, computed in fp32 or wider."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gain.shape, self.gain, self.eps)


class SwiGLU(nn.Module):
    """The feed-forward part of a block: ``hidden`` gated features of each position by itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # (B, T, hidden) each
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Attention and SwiGLU, each behind its norm and added to the stream."""

    def __init__(self, config: TransformerModelConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width)
        self.attention = CausalSelfAttention(config.width, config.heads, config.kv_heads, config.context)
        self.feed_forward_norm = RMSNorm(config.width)
        self.feed_forward = SwiGLU(config.width, config.hidden)
        self.dropout = config.dropout

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + dropout(self.attention(self.attention_norm(x), cache), self.dropout, self.training)
        return x + dropout(self.feed_forward(self.feed_forward_norm(x)), self.dropout, self.training)


class TransformerLM(LanguageModel):
    """Embedding -> blocks -> norm -> tied output. State: a list of ``KVCache``, one a block; ``None`` without a
    cache."""

    def __init__(self, config: TransformerModelConfig, vocabulary: int) -> None:
        super().__init__(vocabulary, config.width)
        if config.layers < 1 or config.hidden < 1 or config.context < 1 or not 0 <= config.dropout < 1:
            raise UserError(f"a Transformer wants layers, hidden, context >= 1 and 0 <= dropout < 1, got {config}")
        self.config, self.context = config, config.context
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = RMSNorm(config.width)
        # Small, because weights are tied: the stream carries the input's embedding, and the logit of "the same token
        # again" grows with its square. At 1 / sqrt(width) the first loss is 13.7 nats instead of 7.3 (docs/LOG.md).
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            for linear in (block.attention.query_key_value, block.feed_forward.gate_up):
                nn.init.normal_(linear.weight, std=1 / math.sqrt(config.width))
            for linear in (block.attention.output, block.feed_forward.down):
                nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features * 2 * config.layers))

    def initial_state(self, batch: int, capacity: int | None = None) -> list[KVCache]:
        """Empty caches for ``batch`` sequences, with room for ``capacity`` tokens (default: the whole context)."""
        room = self.context if capacity is None else min(capacity, self.context)
        kinds = [block.attention for block in self.blocks]
        return [KVCache(batch, kind.kv_heads, room, kind.head, self.output_bias) for kind in kinds]

    def features(self, tokens: Tensor, state: list[KVCache] | None = None) -> tuple[Tensor, list[KVCache] | None]:
        """(B, T) ids -> (B, T, C) normed features. With ``state``, tokens continue what is cached; the cache grows in
        place.

        Raises ``UserError`` where the sequence would be longer than ``config.context``.
        """
        length = tokens.shape[1] + (state[0].length if state else 0)
        if length > self.context:
            raise UserError(
                f"a sequence of {length} tokens exceeds the context of {self.context}; give the last {self.context}"
            )
        x = dropout(self.embed(tokens, length - tokens.shape[1]), self.config.dropout, self.training)
        for index, block in enumerate(self.blocks):
            x = block(x, state[index] if state else None)
        return self.final_norm(x), state

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        """(B, T) ids of positions ``start`` ... -> (B, T, C), the stream before the first block."""
        return self.embedding(tokens) * math.sqrt(self.width)
