"""Where a trained Transformer looks: the matrix A of every block and head on one text, and what it does on average.

The blocks are run one after the other as ``TransformerLM.features`` runs them; the weights are those of the reference
formula (``attention.attention_weights``), since the fused kernel never stores them. A map shows where information is
read, not why a token was predicted (Jain & Wallace 2019, arXiv 1902.10186).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from genmodels.errors import UserError
from genmodels.language.attention import attention_weights
from genmodels.language.transformer import TransformerLM
from genmodels.text.tokenizer import Tokenizer

KINDS = ("first", "itself", "previous", "near", "far")
NEAR = 8  # "near": 2 to 8 tokens back


@torch.no_grad()
def attention_maps(model: TransformerLM, tokens: Sequence[int] | np.ndarray) -> Tensor:
    """Weights (blocks, heads, T, T) of a text of T ids: row i says how much position i takes from each j <= i.

    Raises ``UserError`` where the text is empty or longer than the model's context.
    """
    ids = torch.as_tensor(np.asarray(tokens, dtype=np.int64))[None]  # (1, T)
    if not 0 < ids.shape[1] <= model.context:
        raise UserError(f"attention maps want 1 to {model.context} tokens, got {ids.shape[1]}")
    found, x = [], model.embed(ids, 0)
    for block in model.eval().blocks:
        q, k, _ = block.attention.project(block.attention_norm(x))
        found.append(attention_weights(q, k)[0])  # (H, T, T)
        x = block(x)
    return torch.stack(found)


def attention_profile(model: TransformerLM, windows: Sequence[np.ndarray]) -> pd.DataFrame:
    """Mean share of each block's attention by where it goes, a row a block; rows of every query but the first count.

    Columns: the text's first token, the token itself, the previous one, those 2 to 8 back, those further back (none of
    which is the first).
    """
    totals = torch.zeros(len(model.blocks), len(KINDS), dtype=torch.float64)
    queries = 0
    for window in windows:
        weights = attention_maps(model, window).double().mean(1)[:, 1:]  # (L, T - 1, T), over heads
        rows, columns = torch.arange(1, len(window))[:, None], torch.arange(len(window))
        back, first = rows - columns, columns == 0
        masks = (
            first.expand_as(back),
            back == 0,
            (back == 1) & ~first,
            (2 <= back) & (back <= NEAR) & ~first,
            (back > NEAR) & ~first,
        )
        totals += torch.stack([(weights * mask).sum((1, 2)) for mask in masks], dim=1)
        queries += len(window) - 1
    return pd.DataFrame((totals / max(1, queries)).numpy(), columns=KINDS, index=range(1, len(totals) + 1))


def opening(tokenizer: Tokenizer, ids: np.ndarray, count: int) -> tuple[np.ndarray, list[str]]:
    """The first tokens of a document, at least ``count`` and up to the end of a word, and their texts as labels."""
    end = count
    while end < len(ids) and not tokenizer.decode(ids[end : end + 1]).startswith((" ", "\n")):
        end += 1
    names = ["‹آغاز›"] + [tokenizer.decode([int(i)]).strip(" ").replace("\n", "¶") for i in ids[1:end]]
    return np.asarray(ids[:end]), names
