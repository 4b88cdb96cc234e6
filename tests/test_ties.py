"""Draws made again: rounding turns none, a change is caught, and a tie is counted as one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genmodels.config import GatedModelConfig, PixelCNNModelConfig, RecurrentModelConfig, TransformerModelConfig
from genmodels.language import generation
from genmodels.language.generation import generate, replay
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.pixelcnn import sampling
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.model import PixelCNN
from genmodels.system.proof import ROUNDING, Again


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image_model(kind: str) -> Any:
    torch.manual_seed(0)
    gated, plain = GatedModelConfig(channels=4, layers=3), PixelCNNModelConfig(channels=6, kernels=(7, 5, 1))
    model = PixelCNN(plain, (9, 8)) if kind == "plain" else GatedPixelCNN(gated, (9, 8))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.normal_(std=0.3)
    return model


def language_model(kind: str) -> Any:
    torch.manual_seed(0)
    small = TransformerModelConfig(width=16, layers=2, heads=2, kv_heads=1, hidden=24, dropout=0.0, context=16)
    model = RecurrentLM(RecurrentModelConfig(8, 12, 2, 0.0), 23) if kind == "rnn" else TransformerLM(small, 23)
    with torch.no_grad():
        model.embedding.weight.mul_(15)
    return model.eval()


def shaken(model: nn.Module, by: float, seed: int) -> nn.Module:
    """Every weight changed by a random share of itself: what rounding does at 1e-7, and another training at 1e-1."""
    draws = seeded(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1 + by * torch.randn(parameter.shape, generator=draws)
    return model


@given(st.lists(st.sampled_from([0.0, ROUNDING / 9, ROUNDING * 9, math.nan, math.inf]), max_size=20))
def test_every_draw_is_counted_once(gaps: list[float]) -> None:
    again = Again.of(torch.tensor(gaps, dtype=torch.float64))
    same, near = (sum(gap == wanted for gap in gaps) for wanted in (0.0, ROUNDING / 9))
    assert again == Again(len(gaps), len(gaps) - same - near, near)
    assert again.holds is (bool(gaps) and same + near == len(gaps)) and (again + again).ties == 2 * near


@pytest.mark.parametrize("kind", ["plain", "gated"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=6, deadline=None)
def test_rounding_turns_no_image_and_a_change_does(kind: str, seed: int) -> None:
    images = sampling.sample(image_model(kind), 40, seeded(seed))
    again = sampling.replay(shaken(image_model(kind), 1e-7, seed), images, seeded(seed))
    assert again.holds and again.draws == 40 * 72
    assert not sampling.replay(shaken(image_model(kind), 0.1, seed), images, seeded(seed)).holds
    assert not sampling.replay(image_model(kind), images, seeded(seed + 1)).holds
    assert not sampling.replay(image_model(kind), images, seeded(seed), temperature=1.1).holds


@given(seed=st.integers(0, 2**32), apart=st.floats(-20, -0.5), lit=st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_pixel_is_a_tie_only_within_rounding(seed: int, apart: float, lit: bool) -> None:
    """A model whose probability lies 10^apart beside the number drawn, on the wrong side of it for the pixel."""
    u = torch.rand(1, 1, 1, generator=seeded(seed), dtype=torch.float64)
    gap = 10.0**apart
    p = (u - gap if lit else u + gap).clamp(1e-9, 1 - 1e-9)
    gap = (u - p).abs().item()
    model = nn.Linear(1, 1).double()
    model.__dict__.update(image_size=(1, 1), check_images=lambda images: None, forward=lambda x: torch.logit(p)[None])
    again = sampling.replay(model, torch.tensor([[[[float(lit)]]]]), seeded(seed))  # type: ignore[arg-type]
    if gap > 1e-12:  # the logit and its inverse round, too
        assert (again.ties, again.differing) == ((1, 0) if gap < ROUNDING else (0, 1))


@pytest.mark.parametrize("kind", ["rnn", "transformer"])
@given(seed=st.integers(0, 2**32), top_p=st.sampled_from([None, 0.95]))
@settings(max_examples=4, deadline=None)
def test_rounding_turns_no_text_and_a_change_does(kind: str, seed: int, top_p: float | None) -> None:
    prompts = [[0, 4, 9], [0, 1, 2], [0, 5, 5]]
    drawn = generate(language_model(kind), prompts, 40, seeded(seed), temperature=0.8, stop=3, top_p=top_p)
    options = {"temperature": 0.8, "stop": 3, "max_new_tokens": 40, "top_p": top_p}
    for cached in (True, False):  # past the Transformer's context
        again = replay(
            shaken(language_model(kind), 1e-7, seed), prompts, drawn, seeded(seed), use_cache=cached, **options
        )
        assert again.holds and again.draws == sum(min(len(row) + 1, 40) for row in drawn)
    assert not replay(shaken(language_model(kind), 0.5, seed), prompts, drawn, seeded(seed), **options).holds
    assert not replay(language_model(kind), prompts, drawn, seeded(seed), **options | {"temperature": 0.4}).holds
    assert not replay(language_model(kind), prompts, [row[:-1] for row in drawn], seeded(seed), **options).holds
    changed = [[(token + 7) % 23 for token in row] for row in drawn]
    assert not replay(language_model(kind), prompts, changed, seeded(seed), **options).holds


def test_one_prompt_serves_all_its_samples() -> None:
    model = language_model("rnn")
    drawn = generate(model, [[0, 4]] * 5, 12, seeded(1))
    assert replay(model, [0, 4], drawn, seeded(1)) == Again(60, 0, 0) == replay(model, [[0, 4]] * 5, drawn, seeded(1))
    assert replay(model, [0, 4], [], seeded(1)) == Again() and not Again().holds


@given(u=st.floats(0.2, 1), apart=st.floats(-9, -1))
@settings(max_examples=50, deadline=None)
def test_a_token_is_a_tie_only_within_rounding(u: float, apart: float) -> None:
    """Two tokens whose border lies 10^apart below the number drawn: the first one was drawn by a tie, or not at all."""
    gap, number = 10.0**apart, torch.tensor([[u]], dtype=torch.float64)
    p = torch.tensor([[u - gap, 1 - u + gap]], dtype=torch.float64)
    assert generation._outside(p, torch.tensor([[0]]), number).item() == pytest.approx(gap, rel=1e-3)
    assert generation._outside(p, torch.tensor([[1]]), number).item() == 0


@pytest.mark.parametrize(("beside", "passes"), [(ROUNDING / 9, True), (ROUNDING * 9, False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_token_on_the_border_of_top_p_may_be_in_or_out(beside: float, passes: bool, side: int) -> None:
    """The third token is in where 0.9 of the probability do not fill the cut; a cut that rounding moves past it is a tie."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    inside = generation.Sampling(top_p=0.9 + beside if side < 0 else 0.9 - beside)  # on the other side of the border
    u = torch.tensor([[0.62]], dtype=torch.float64)  # of the second token, or of the first where the third is out
    token = torch.tensor([[0 if side < 0 else 1]])
    assert (Again.of(generation._gap(inside, logits, token, u)).holds) is passes


def test_what_is_no_number_is_no_tie() -> None:
    model = image_model("plain")
    images = sampling.sample(model, 2, seeded(1))
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    assert sampling.replay(model, images, seeded(1)).differing > 0
