"""The Transformer with one part exchanged: the defaults are the shipped model, every variant is a causal language model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from common import future_gradient
from genmodels.config import TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.transformer import TransformerLM
from genmodels.language.variants import Variant, VariantLM

CONFIG = TransformerModelConfig(width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=0.0, context=24)
VOCABULARY = 40
VARIANTS = [
    Variant(),
    Variant(position="learned"),
    Variant(normalization="layer"),
    Variant(order="post"),
    Variant(feed_forward="gelu"),
    Variant(tied=False),
    Variant("learned", "layer", "post", "gelu", False),
]


def built(variant: Variant, config: TransformerModelConfig = CONFIG) -> VariantLM:
    torch.manual_seed(3)
    return VariantLM(config, variant, VOCABULARY).eval()


def tokens(length: int = 20) -> torch.Tensor:
    return torch.randint(VOCABULARY, (2, length), generator=torch.Generator().manual_seed(1))


def test_the_default_variant_is_the_shipped_model() -> None:
    torch.manual_seed(3)
    plain = TransformerLM(CONFIG, VOCABULARY).eval()
    same = built(Variant())
    assert plain.state_dict().keys() == same.state_dict().keys()
    assert torch.equal(plain(tokens())[0], same(tokens())[0])


@pytest.mark.parametrize("variant", VARIANTS[1:], ids=str)
def test_every_variant_differs_from_the_default_and_sees_no_future(variant: Variant) -> None:
    model = built(variant)
    assert not torch.allclose(model(tokens())[0], built(Variant())(tokens())[0])
    past, future = future_gradient(model, tokens(), position=9)
    assert past > 0 and future == 0


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_cache_gives_what_one_pass_gives(variant: Variant) -> None:
    model = built(variant)
    with torch.no_grad():
        whole, _ = model(tokens())
        state = model.initial_state(2)
        parts = []
        for piece in tokens().split(7, dim=1):
            logits, state = model(piece, state)
            parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_parameter_learns(variant: Variant) -> None:
    model = built(variant).train()
    model(tokens()[:, :-1], targets=tokens()[:, 1:])[0].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_the_rotary_model_does_not_care_where_a_text_begins_and_the_learned_one_does() -> None:
    with torch.no_grad():
        for variant, same in ((Variant(), True), (Variant(position="learned"), False)):
            attention = built(variant).blocks[0].attention
            x = torch.randn(1, 6, CONFIG.width, generator=torch.Generator().manual_seed(0))
            (q, k, _), (q2, k2, _) = attention.project(x), attention.project(x, start=9)
            k, k2 = (keys.repeat_interleave(2, 1) for keys in (k, k2))
            torch.testing.assert_close(q @ k.mT, q2 @ k2.mT, rtol=1e-4, atol=1e-4)  # scores see distances only
            model = built(variant)
            assert torch.allclose(model.embed(tokens(), 0), model.embed(tokens(), 4)) == same


def test_gelu_costs_as_many_parameters_as_swiglu() -> None:
    count = lambda model: sum(p.numel() for p in model.parameters())  # noqa: E731
    assert count(built(Variant(feed_forward="gelu"))) == count(built(Variant()))
    assert count(built(Variant(tied=False))) == count(built(Variant())) + VOCABULARY * CONFIG.width


def test_post_norm_normalises_the_stream_itself() -> None:
    features, _ = built(Variant(order="post")).features(tokens())
    assert features.pow(2).mean(-1).sqrt().allclose(torch.ones(2, 20), atol=1e-3)  # the gains are still one


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(UserError, match="feed_forward 'relu' is unknown; choose one of swiglu, gelu"):
        built(Variant(feed_forward="relu"))
    with pytest.raises(UserError, match="order 'sandwich'"):
        built(replace(Variant(), order="sandwich"))
