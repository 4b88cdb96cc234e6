"""Attention maps: rows are distributions over the past, they reproduce the block's output, the profile adds up to one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genmodels.config import TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.attention import repeat_heads
from genmodels.language.attention_maps import KINDS, attention_maps, attention_profile
from genmodels.language.transformer import TransformerLM

CONFIG = TransformerModelConfig(width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=0.3, context=32)


@pytest.fixture
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(CONFIG, 30).eval()


def tokens(count: int = 20) -> np.ndarray:
    return np.random.RandomState(1).randint(0, 30, count).astype(np.uint16)


def test_rows_are_distributions_over_the_past(model: TransformerLM) -> None:
    maps = attention_maps(model, tokens())
    assert maps.shape == (2, 4, 20, 20)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 20))
    assert (maps.triu(1) == 0).all() and (maps >= 0).all()


@torch.no_grad()
def test_maps_are_those_the_network_used(model: TransformerLM) -> None:
    """The last block's output, rebuilt from its map, gives the network's own features."""
    ids = torch.from_numpy(tokens().astype(np.int64))[None]
    last, x = model.blocks[-1], model.embed(ids, 0)
    for block in model.blocks[:-1]:
        x = block(x)
    values = last.attention.project(last.attention_norm(x))[2]
    mixed = attention_maps(model, ids[0])[-1][None] @ repeat_heads(values, CONFIG.heads)
    x = x + last.attention.output(mixed.transpose(1, 2).flatten(2))
    x = x + last.feed_forward(last.feed_forward_norm(x))
    torch.testing.assert_close(model.final_norm(x), model.features(ids)[0])


def test_profile_shares_add_up_and_match_a_plain_count(model: TransformerLM) -> None:
    windows = [tokens(20), tokens(13)]
    found = attention_profile(model, windows)
    assert list(found.columns) == list(KINDS)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    previous = [float(attention_maps(model, w)[0, :, i, i - 1].mean()) for w in windows for i in range(2, len(w))]
    assert found.previous[1] == pytest.approx(sum(previous) / (19 + 12), rel=1e-5)


@pytest.mark.parametrize("count", [0, 33])
def test_texts_that_do_not_fit_are_refused(model: TransformerLM, count: int) -> None:
    with pytest.raises(UserError, match=f"1 to 32 tokens, got {count}"):
        attention_maps(model, tokens(count))
