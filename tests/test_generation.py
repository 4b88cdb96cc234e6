"""Generation: one interface for both networks; seeds, cache, filters, stops and batches; and the measures of the
result."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.base import LanguageModel
from genmodels.language.continuations import copied_share, distinct_n, repetition_rate
from genmodels.language.generation import Sampling, _draw, generate
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM

VOCABULARY = 23


def recurrent() -> LanguageModel:
    torch.manual_seed(0)
    model = RecurrentLM(RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=0.5), VOCABULARY).double()
    with torch.no_grad():
        model.embedding.weight.mul_(15)
    return model


def transformer() -> LanguageModel:
    torch.manual_seed(0)
    config = TransformerModelConfig(width=16, layers=2, heads=2, kv_heads=1, hidden=24, dropout=0.5, context=16)
    model = TransformerLM(config, VOCABULARY).double()
    with torch.no_grad():
        model.embedding.weight.mul_(15)
    return model


both = pytest.mark.parametrize("make", [recurrent, transformer])


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@both
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8, "repetition_penalty": 1.3}, {"greedy": True}]
)
def test_cache_changes_nothing_even_beyond_the_context(make, options: dict) -> None:
    model = make()  # 50 tokens: three times the Transformer's context
    with_cache = generate(model, [[0, 4, 9], [0, 1, 2]], 50, seeded(), use_cache=True, **options)
    without = generate(model, [[0, 4, 9], [0, 1, 2]], 50, seeded(), use_cache=False, **options)
    assert with_cache == without
    assert [len(row) for row in with_cache] == [50, 50]


@both
def test_the_seed_decides(make) -> None:
    model = make().train()
    assert generate(model, [0, 3], 20, seeded(1)) == generate(model, [0, 3], 20, seeded(1))
    assert generate(model, [0, 3], 20, seeded(1)) != generate(model, [0, 3], 20, seeded(2))
    assert model.training  # the mode is restored; dropout was off


@both
def test_greedy_is_top_1_and_follows_the_logits(make) -> None:
    model = make().eval()
    greedy = generate(model, [0, 3], 12, seeded(), greedy=True)[0]
    assert greedy == generate(model, [0, 3], 12, seeded(5), top_k=1)[0]
    sequence = [0, 3]
    for token in greedy:
        assert token == int(model(torch.tensor([sequence]))[0][0, -1].argmax())
        sequence.append(token)


@both
def test_first_token_has_the_models_distribution(make) -> None:
    model = make().eval()
    p = torch.softmax(model(torch.tensor([[0, 3]]))[0][0, -1], 0).detach().numpy()
    drawn = [row[0] for row in generate(model, [[0, 3]] * 4000, 1, seeded())]
    shares = np.bincount(drawn, minlength=VOCABULARY) / 4000
    assert np.abs(shares - p).max() < 4 * math.sqrt(0.25 / 4000)


@both
def test_prompts_of_unequal_length_run_one_by_one(make) -> None:
    model, generator = make(), seeded()
    together = generate(model, [[0, 3, 5], [0], [0, 7]], 10, seeded())
    assert together == [generate(model, prompt, 10, generator)[0] for prompt in ([0, 3, 5], [0], [0, 7])]
    prompts = torch.tensor([[0, 3], [0, 4]])
    assert (
        generate(model, prompts, 5, seeded())
        == generate(model, prompts.numpy(), 5, seeded())
        == generate(model, prompts.tolist(), 5, seeded())
    )


@both
def test_stop_token_ends_its_row_only(make) -> None:
    model = make()
    free = generate(model, [[0, 3], [0, 4], [0, 5]], 40, seeded())
    stopped = generate(model, [[0, 3], [0, 4], [0, 5]], 40, seeded(), stop=[6, 11])
    for whole, cut in zip(free, stopped):
        ends = [k for k, token in enumerate(whole) if token in (6, 11)]
        assert cut == whole[: ends[0] if ends else 40]
    assert any(len(row) < 40 for row in stopped)
    first = generate(model, [0, 3], 1, seeded())[0][0]
    assert generate(model, [0, 3], 5, seeded(), stop=first) == [[]]
    assert generate(model, [0, 3], 0, seeded()) == [[]]


logits_rows = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=30).map(lambda row: torch.tensor([row]))


@given(logits=logits_rows, k=st.integers(1, 40), p=st.floats(0.05, 1.0), floor=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_filters_keep_the_likeliest(logits: torch.Tensor, k: int, p: float, floor: float) -> None:
    plain = torch.softmax(logits, 1)[0]
    size = len(plain)
    top_k = Sampling(top_k=k).probabilities(logits)[0]
    assert (top_k > 0).sum() == min(k, size)
    assert plain[top_k > 0].min() >= torch.sort(plain, descending=True).values[min(k, size) - 1]
    top_p = Sampling(top_p=p).probabilities(logits)[0]
    kept = plain[top_p > 0]
    assert kept.sum() >= p - 1e-4 and kept.sum() - kept.min() < p + 1e-4  # enough, and no token too many
    min_p = Sampling(min_p=floor).probabilities(logits)[0]
    assert ((min_p > 0) == (plain >= floor * plain.max())).all()
    for filtered in (top_k, top_p, min_p):
        assert filtered.sum().item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(
            filtered[filtered > 0], plain[filtered > 0] / plain[filtered > 0].sum(), rtol=1e-4, atol=1e-6
        )


ANY = st.floats(allow_subnormal=True)
anything = st.builds(
    Sampling,
    temperature=st.one_of(st.sampled_from([1e-30, 1e30, 1.0]), st.floats(1e-30, 1e30), ANY),
    top_k=st.one_of(st.none(), st.integers(-1, 40), st.floats(0, 5)),
    top_p=st.one_of(st.none(), st.sampled_from([1e-46, 5e-324, 1.0]), st.floats(0, 1), ANY),
    min_p=st.one_of(st.none(), st.floats(0, 1), ANY),
    repetition_penalty=st.one_of(st.sampled_from([1e-40, 1e-30, 1e30, 1e39, 1.0]), st.floats(1e-30, 1e30), ANY),
    greedy=st.booleans(),
)
wild_rows = st.lists(
    st.tuples(st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1e9, -1e9, -math.inf])), st.booleans()),
    min_size=1, max_size=20,
).filter(lambda row: any(z > -math.inf for z, _ in row))  # fmt: skip


@given(sampling=anything, row=wild_rows)
@example(Sampling(top_p=1e-46), [(0.0, False)] * 3)
@example(Sampling(repetition_penalty=1e39), [(1.0, True), (-1.0, True)])
@example(Sampling(temperature=1e-30), [(1e9, True), (2e9, False), (-math.inf, False)])
@example(Sampling(1e-30, 1, 5e-324, 1.0, 1e30), [(-3e38, True)])
@settings(deadline=None, max_examples=200)
def test_every_setting_is_refused_or_gives_a_distribution(sampling: Sampling, row: list[tuple[float, bool]]) -> None:
    """Over the whole space: one clear line, or probabilities that sum to 1, with the likeliest token among them."""
    logits, seen = torch.tensor([[z for z, _ in row]]), torch.tensor([[was for _, was in row]])
    try:
        sampling.check()
    except UserError as error:
        assert "\n" not in str(error)
        return
    p = sampling.probabilities(logits, seen)
    assert p.dtype == torch.float32 and torch.isfinite(p).all() and (p >= 0).all()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    assert not (p[0] > 0)[torch.isinf(logits[0])].any()  # what cannot follow does not
    r = sampling.repetition_penalty
    z = torch.where(seen, torch.where(logits > 0, logits.double() / r, logits.double() * r), logits.double())
    assert (
        z.max() - z[0, p[0].argmax()]
    ) / sampling.temperature < 1e-6  # the likeliest, or one that fp32 cannot tell from it
    assert int(_draw(p, seeded())[0, 0]) in (p[0] > 0).nonzero().flatten().tolist()
    if sampling.top_k is not None:
        assert (p > 0).sum() <= sampling.top_k


@given(size=st.integers(1, 60), kept=st.integers(1, 60), shift=st.floats(-50, 50, width=32))
@example(10, 3, 0.0)
@example(10, 8, 0.0)
@settings(deadline=None)
def test_top_p_keeps_no_tied_token_too_many(size: int, kept: int, shift: float) -> None:
    """Of n equal tokens, p = k/n is reached by k of them."""
    kept = min(kept, size)
    p = Sampling(top_p=kept / size).probabilities(torch.full((1, size), shift))
    assert (p > 0).sum() == kept and p.max() == p[p > 0].min()


@pytest.mark.parametrize("p", [1e-8, 1e-20, 1e-44])
def test_a_tiny_p_is_the_likeliest_token(p: float) -> None:
    assert Sampling(top_p=p).probabilities(torch.tensor([[0.0, 3.0, 1.0, 3.0]])).tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("row", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf] * 2])
@pytest.mark.parametrize("greedy", [False, True])
def test_logits_that_leave_no_token_are_one_line(row: list[float], greedy: bool) -> None:
    with pytest.raises(UserError, match="leave no token to draw"):
        Sampling(greedy=greedy).probabilities(torch.tensor([[1.0, 2.0], row]))
    model = transformer()
    with torch.no_grad():
        model.output_bias[:] = torch.tensor(row).repeat(VOCABULARY // 2 + 1)[:VOCABULARY]
    with pytest.raises(UserError, match="leave no token to draw"):
        generate(model, [0, 3], 2, seeded(), greedy=greedy)


def test_temperature_and_penalty_by_hand() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    torch.testing.assert_close(Sampling(temperature=0.5).probabilities(logits), torch.softmax(2 * logits, 1))
    seen = torch.tensor([[True, False, True]])
    expected = torch.softmax(torch.tensor([[1.0, 1.0, -2.0]]), 1)
    torch.testing.assert_close(Sampling(repetition_penalty=2.0).probabilities(logits, seen), expected)


def test_penalty_reduces_repetition() -> None:
    model = transformer()
    plain = generate(model, [[0]] * 8, 40, seeded())
    penalised = generate(model, [[0]] * 8, 40, seeded(), repetition_penalty=3.0)
    assert distinct_n(penalised, 1) >= distinct_n(plain, 1)
    assert repetition_rate(penalised, 1) < repetition_rate(plain, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": 0}, "top_k 0"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": 1e-40}, "repetition_penalty 1e-40"),
        ({"repetition_penalty": 1e39}, "repetition_penalty"),
        ({"temperature": 1e-31}, "temperature 1e-31"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 2.5}, "top_k 2.5"),
        ({"top_p": math.nan}, "top_p"),
    ],
)
def test_settings_without_meaning_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(recurrent(), [0], 3, seeded(), **options)


@both
def test_bad_prompts_are_refused_before_anything_runs(make) -> None:
    model = make()
    for prompt in ([], [[]], [[0], []]):
        with pytest.raises(UserError, match="prompt is empty"):
            generate(model, prompt, 3, seeded())
    with pytest.raises(UserError, match="token id 23 is outside"):
        generate(model, [[0, 1], [23]], 3, seeded())
    with pytest.raises(UserError, match="token id -1 is outside"):
        generate(model, [-1], 3, seeded())
    with pytest.raises(UserError, match="negative"):
        generate(model, [0], -1, seeded())


def test_measures_by_hand() -> None:
    assert distinct_n([[1, 2, 1, 2]], 2) == pytest.approx(2 / 3)
    assert distinct_n([[1, 2], [1, 2]], 2) == 0.5  # never across two texts
    assert repetition_rate([[1, 2, 1, 2], [1, 2]], 2) == pytest.approx(1 / 4)
    assert (
        math.isnan(distinct_n([[1]], 2))
        and math.isnan(repetition_rate([[1]], 2))
        and math.isnan(copied_share([[1]], np.arange(9), 2))
    )
    training = np.array([5, 6, 7, 8, 9, 5, 6], dtype=np.uint16)
    assert copied_share([[6, 7, 8, 1, 5, 6, 7]], training, 3) == pytest.approx(2 / 5)
    assert copied_share([[6, 7, 8]], training[:2], 3) == 0
    with pytest.raises(UserError, match="n >= 1"):
        distinct_n([[1]], 0)


@given(
    training=st.lists(st.integers(0, 3), max_size=60),
    texts=st.lists(st.lists(st.integers(0, 3), max_size=20), max_size=4),
    n=st.integers(1, 5),
)
@settings(deadline=None)
def test_copied_share_equals_a_plain_search(training: list[int], texts: list[list[int]], n: int) -> None:
    known = {tuple(training[k : k + n]) for k in range(len(training) - n + 1)}
    grams = [tuple(text[k : k + n]) for text in texts for k in range(len(text) - n + 1)]
    found = copied_share(texts, np.array(training, dtype=np.uint16), n)
    assert math.isnan(found) if not grams else found == pytest.approx(sum(gram in known for gram in grams) / len(grams))
