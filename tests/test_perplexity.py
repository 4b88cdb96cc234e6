"""Perplexity: every target once, with the promised left context; equal to a plain loop; exact for known models."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language import perplexity
from genmodels.language.base import LanguageModel
from genmodels.language.perplexity import bootstrap_interval, evaluate, summarize, target_losses, window_plan
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM

VOCABULARY = 23
LENGTHS = [5, 40, 1, 2, 17, 0, 33, 40]
OFFSETS = np.cumsum([0, *LENGTHS])
TOKENS = np.random.RandomState(0).randint(0, VOCABULARY, OFFSETS[-1]).astype(np.uint16)
CHARACTERS = np.array([3 * length for length in LENGTHS])


def recurrent() -> RecurrentLM:
    torch.manual_seed(0)
    return RecurrentLM(RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=0.5), VOCABULARY)


def transformer(context: int = 16) -> TransformerLM:
    torch.manual_seed(0)
    model = TransformerLM(
        TransformerModelConfig(width=16, layers=2, heads=2, kv_heads=1, hidden=24, dropout=0.5, context=context),
        VOCABULARY,
    )
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # a model with opinions
    return model


def plain_loop(model: LanguageModel, visible: int | None) -> np.ndarray:
    """Per document sum of -ln p, one forward pass a token over exactly what that token may see."""
    model.eval()
    sums = np.zeros(len(LENGTHS))
    for d, (a, b) in enumerate(zip(OFFSETS[:-1], OFFSETS[1:])):
        for t in range(a + 1, b):
            start = a
            if visible is not None and t - a > visible:  # beyond the first window: windows that move by visible / 2
                stride = visible // 2
                stop = min(a + visible + math.ceil((t - a - visible) / stride) * stride, b - 1)
                start = stop - visible
            logits = model(torch.from_numpy(TOKENS[start:t].astype(np.int64))[None])[0][0, -1]
            sums[d] -= torch.log_softmax(logits.double(), 0)[int(TOKENS[t])].item()
    return sums


@pytest.mark.parametrize(
    ("make", "context"), [(recurrent, None), (transformer, 16), (transformer, 10), (transformer, 7)]
)
@pytest.mark.parametrize("batch_tokens", [4096, 40])
def test_equals_a_plain_loop(make, context: int | None, batch_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity, "CHUNK", 13)  # so that states are carried over several chunks
    model = make().train()
    found = evaluate(model, TOKENS, OFFSETS, CHARACTERS, context, batch_tokens=batch_tokens)
    assert model.training
    with torch.no_grad():
        expected = plain_loop(model, context)
    np.testing.assert_allclose(found.document_nll_nats, expected, rtol=1e-5)
    assert found.tokens == sum(max(0, length - 1) for length in LENGTHS) == found.document_tokens.sum()
    assert found.loss == pytest.approx(expected.sum() / found.tokens, rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert found.bits_per_character == pytest.approx(expected.sum() / math.log(2) / CHARACTERS.sum(), rel=1e-6)


@pytest.mark.parametrize("make", [recurrent, transformer])
def test_uniform_model_has_the_vocabulary_as_perplexity(make) -> None:
    model = make()
    with torch.no_grad():
        model.embedding.weight.zero_()
    found = evaluate(model, TOKENS, OFFSETS)
    assert found.perplexity == pytest.approx(VOCABULARY, rel=1e-6)
    assert math.isnan(found.bits_per_character)


@given(inputs=st.integers(0, 300), window=st.integers(1, 40))
@settings(deadline=None)
def test_windows_count_every_position_once_with_half_a_window_before(inputs: int, window: int) -> None:
    counted = []
    for start, stop, first in window_plan(inputs, window):
        assert 0 <= start <= first < stop <= inputs and stop - start <= window
        counted += range(first, stop)
        for position in range(first, stop):
            assert position - start >= min(position, window // 2 - 1)
    assert counted == list(range(inputs))


@pytest.mark.parametrize("make", [recurrent, transformer])
def test_a_documents_losses_do_not_depend_on_those_beside_it(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity, "CHUNK", 13)
    model = make()
    document = TOKENS[OFFSETS[6] : OFFSETS[7]]
    losses, together = target_losses(model, document, [0, 33]), target_losses(model, TOKENS, OFFSETS)
    assert losses.shape == (32,) and together.shape == (sum(max(0, n - 1) for n in LENGTHS),)
    first = sum(max(0, n - 1) for n in LENGTHS[:6])
    np.testing.assert_allclose(losses, together[first : first + 32], rtol=1e-4)
    assert losses.sum() == pytest.approx(evaluate(model, TOKENS, OFFSETS).document_nll_nats[6], rel=1e-5)


def test_evaluation_is_deterministic_and_leaves_the_seed_alone() -> None:
    model = recurrent()
    torch.manual_seed(7)
    first = evaluate(model, TOKENS, OFFSETS)
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))
    assert evaluate(model, TOKENS, OFFSETS).nll_nats == first.nll_nats


@pytest.mark.parametrize("context", [0, -3, 99])
def test_a_window_that_the_model_cannot_take_is_refused(context: int) -> None:
    with pytest.raises(UserError, match=f"context {context} is not within 1"):
        evaluate(transformer(), TOKENS, OFFSETS, context=context)


def test_a_loss_beyond_all_bounds_is_no_traceback() -> None:
    assert summarize(np.array([800.0]), np.array([1]), np.array([4])).perplexity == math.inf


def result(losses: np.ndarray, tokens: np.ndarray) -> perplexity.Perplexity:
    return summarize(losses * tokens, tokens, 4 * tokens)


def test_bootstrap_interval() -> None:
    rng = np.random.RandomState(0)
    tokens = rng.randint(10, 91, 200)
    base = 5 + 0.5 * rng.randn(200)
    found = result(base, tokens)
    low, high = bootstrap_interval(found, torch.Generator().manual_seed(1))
    assert low < found.loss < high
    spread = math.sqrt(((tokens * (base - found.loss)) ** 2).sum()) / tokens.sum()  # of a ratio of sums
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    better = result(base - 0.1 + 0.01 * rng.randn(200), tokens)  # paired: the documents' own spread cancels
    low, high = bootstrap_interval(better, torch.Generator().manual_seed(1), other=found)
    assert -0.11 < low < high < -0.09
    assert bootstrap_interval(found, torch.Generator().manual_seed(3)) == bootstrap_interval(
        found, torch.Generator().manual_seed(3)
    )
    empty = result(np.array([5.0, 0.0]), np.array([3, 0]))  # a document without a target is drawn by nobody
    assert bootstrap_interval(empty, torch.Generator().manual_seed(1)) == (5.0, 5.0)
    with pytest.raises(UserError, match="same ones"):
        bootstrap_interval(found, torch.Generator(), other=result(base[:9], tokens[:9]))


def test_mistakes_are_named() -> None:
    model = recurrent()
    with pytest.raises(UserError, match="token id 23 is outside"):
        evaluate(model, np.array([0, 23, 1]), np.array([0, 3]))
    with pytest.raises(UserError, match="offsets"):
        evaluate(model, TOKENS, np.array([0]))
    with pytest.raises(UserError, match="offsets"):
        evaluate(model, TOKENS, np.array([0, len(TOKENS) + 1]))
    with pytest.raises(UserError, match="no token to predict"):
        evaluate(model, TOKENS, np.array([0, 1, 2]))
    with pytest.raises(UserError, match="character counts"):
        evaluate(model, TOKENS, OFFSETS, CHARACTERS[:-1])


def test_memory_holds_no_logits_of_a_whole_batch() -> None:
    """The widest tensor of logits is one block, whatever the batch."""
    seen: list[int] = []
    model = recurrent()
    original = model.logits
    model.logits = lambda features: seen.append(len(features)) or original(features)  # type: ignore[method-assign]
    tokens = np.random.RandomState(0).randint(0, VOCABULARY, 3000)
    evaluate(model, tokens, np.array([0, 1500, 3000]))
    assert max(seen) <= perplexity.BLOCK and sum(seen) == 2998
