"""The Transformer with one part exchanged: what each modern choice is worth, measured at equal tokens.

``VariantLM(config, Variant(), vocabulary)`` is ``TransformerLM``; every field of ``Variant`` exchanges one part for what it
replaced:

- ``position="learned"``: a vector a position added to the embedding (Vaswani et al. 2017) instead of rotation;
- ``normalization="layer"``: LayerNorm (Ba et al. 2016, arXiv 1607.06450) instead of RMSNorm;
- ``order="post"``: the norm after each branch's sum (Vaswani et al. 2017) instead of before the branch;
- ``feed_forward="gelu"``: two matrices and GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415), wider by half so that the
  parameters are as many as SwiGLU's;
- ``tied=False``: an output matrix of its own.

Only experiments use it (``stages/language_study.py``); the shipped model is ``TransformerLM``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import TransformerModelConfig, setting
from genmodels.errors import UserError
from genmodels.language.attention import KVCache
from genmodels.language.base import dropout
from genmodels.language.transformer import Block, TransformerLM

CHOICES = {
    "position": ("rotary", "learned"),
    "normalization": ("rms", "layer"),
    "order": ("pre", "post"),
    "feed_forward": ("swiglu", "gelu"),
}


@dataclass(frozen=True)
class Variant:
    """Which part stands where; the defaults are the shipped model's."""

    position: str = setting("rotary", "جایگاه")
    normalization: str = setting("rms", "هنجارش")
    order: str = setting("pre", "جای هنجارش")
    feed_forward: str = setting("swiglu", "لایهٔ پیش‌خور")
    tied: bool = setting(True, "وزن‌های مشترک")


class VariantLM(TransformerLM):
    """``TransformerLM`` with the parts that ``variant`` names. ``UserError`` for a name that is not in ``CHOICES``."""

    def __init__(self, config: TransformerModelConfig, variant: Variant, vocabulary: int) -> None:
        for field, names in CHOICES.items():
            if getattr(variant, field) not in names:
                raise UserError(f"{field} {getattr(variant, field)!r} is unknown; choose one of {', '.join(names)}")
        super().__init__(config, vocabulary)
        self.variant = variant
        if variant.feed_forward == "gelu":
            for block in self.blocks:
                block.feed_forward = GELUFeedForward(config.width, config.hidden * 3 // 2, config.layers)
        if variant.normalization == "layer":
            self.final_norm = nn.LayerNorm(config.width)
            for block in self.blocks:
                block.attention_norm, block.feed_forward_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        if variant.order == "post":
            self.blocks = nn.ModuleList(PostNormBlock(block) for block in self.blocks)
            self.final_norm = nn.Identity()  # the last block ends with its norm
        if variant.position == "learned":
            self.position_embedding = nn.Embedding(config.context, config.width)
            nn.init.normal_(self.position_embedding.weight, std=0.02)
            for block in self.blocks:
                block.attention.positions = _Unrotated()
        if not variant.tied:
            self.unembedding = nn.Embedding(vocabulary, config.width)  # a table of rows, like the embedding
            nn.init.normal_(self.unembedding.weight, std=0.02)

    @property
    def output_weight(self) -> Tensor:
        return self.embedding.weight if self.variant.tied else self.unembedding.weight

    def embed(self, tokens: Tensor, start: int) -> Tensor:
        x = super().embed(tokens, start)
        if self.variant.position == "learned":
            places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
            x = x + self.position_embedding(places) * math.sqrt(self.width)  # as large as the tokens' own vectors
        return x


class GELUFeedForward(nn.Module):
    """W_down gelu(W_up x)."""

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        nn.init.normal_(self.up.weight, std=1 / math.sqrt(width))
        nn.init.normal_(self.down.weight, std=1 / math.sqrt(hidden * 2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class PostNormBlock(nn.Module):
    """The parts of a ``Block`` in the order of Vaswani et al.: norm(x + branch(x))."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.attention, self.attention_norm = block.attention, block.attention_norm
        self.feed_forward, self.feed_forward_norm = block.feed_forward, block.feed_forward_norm
        self.dropout = block.dropout

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = self.attention_norm(x + dropout(self.attention(x, cache), self.dropout, self.training))
        return self.feed_forward_norm(x + dropout(self.feed_forward(x), self.dropout, self.training))


class _Unrotated(nn.Module):
    """Stands where RoPE stood and leaves queries and keys as they are."""

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return x
