"""Losses token by token: aligned with the measured perplexity, grouped without loss, summed to words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.language import loss_profile
from genmodels.language.kneser_ney import KneserNey
from genmodels.language.perplexity import evaluate, target_losses
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.report import perplexity, transformer
from genmodels.text.tokenizer import Tokenizer

TEXTS = ["قارهٔ آسیا بزرگ است، و می‌گویند ۴۵ کشور دارد.\nقارهٔ دیگر اروپا است.", "کتاب‌ها را خوانده‌اند! ۱۲ کتاب."] * 2


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 330)


@pytest.fixture(scope="module")
def results(tokenizer: Tokenizer) -> dict[str, SimpleNamespace]:
    rows = [[tokenizer.bos, *tokenizer.encode(text), tokenizer.eos] for text in TEXTS]
    ids, offsets = np.concatenate(rows).astype(np.uint16), np.cumsum([0, *map(len, rows)])
    slice_ = {"test_ids": ids, "test_offsets": offsets, "test_characters": np.array(list(map(len, TEXTS)))}
    size = tokenizer.vocabulary_size
    torch.manual_seed(0)
    models = {
        "ngram": KneserNey.fit(ids, offsets, 3, size),
        "rnn": RecurrentLM(RecurrentModelConfig(8, 8, 1, 0.0), size).eval(),
        "transformer": TransformerLM(TransformerModelConfig(8, 1, 2, 2, 8, 0.0, 8), size).eval(),
    }
    config = SimpleNamespace(window=8)
    return {
        name: SimpleNamespace(slice=slice_, config=config, model=lambda m=model: m) for name, model in models.items()
    }


@pytest.fixture(scope="module")
def found(results: dict[str, SimpleNamespace]) -> loss_profile.Profile:
    return loss_profile.profile(results)


def test_token_losses_sum_to_the_measured_perplexity(results, found) -> None:  # noqa: ANN001
    for name in ("rnn", "transformer"):
        slice_ = results[name].slice
        whole = evaluate(results[name].model(), slice_["test_ids"], slice_["test_offsets"], context=8)
        assert found.losses[name].sum() == pytest.approx(whole.nll_nats, rel=1e-6)
        sums = np.bincount(found.documents, weights=found.losses[name])
        assert sums == pytest.approx(whole.document_nll_nats, rel=1e-6)
    assert len(found.tokens) == len(results["rnn"].slice["test_ids"]) - len(TEXTS)
    assert found.places.min() == 1 and (np.diff(found.places)[np.diff(found.documents) == 0] == 1).all()


def test_side_by_side_gives_what_one_document_at_a_time_gives(results, found) -> None:  # noqa: ANN001
    for name in ("rnn", "transformer"):
        slice_, model = results[name].slice, results[name].model()
        bounds = zip(slice_["test_offsets"], slice_["test_offsets"][1:])
        alone = [target_losses(model, slice_["test_ids"][a:b], [0, b - a], 8) for a, b in bounds]
        assert found.losses[name] == pytest.approx(np.concatenate(alone), abs=1e-5)


def test_groups_lose_no_token(found, tokenizer) -> None:  # noqa: ANN001
    counts = np.bincount(found.tokens, minlength=tokenizer.vocabulary_size) * 7
    for table in (
        loss_profile.by_frequency(found, counts),
        loss_profile.by_position(found),
        loss_profile.by_part(found, tokenizer),
    ):
        assert table.share.sum() == pytest.approx(1)
        for name in found.losses:
            assert (table.share * table[name]).sum() == pytest.approx(found.losses[name].mean())


def test_bands_hold_what_their_edges_say(found, tokenizer) -> None:  # noqa: ANN001
    counts = np.zeros(tokenizer.vocabulary_size, int)
    counts[found.tokens[0]] = 10
    bands = loss_profile.by_frequency(found, counts)
    assert list(bands.index) == [0, 10]
    assert bands.share[10] == pytest.approx((found.tokens == found.tokens[0]).mean())
    assert loss_profile.by_position(found).share[1] == pytest.approx((found.places == 1).mean())


@pytest.mark.parametrize(
    ("token", "part"),
    [
        (" کتاب", "word"),
        ("\u200cها", "continuation"),
        ("ها", "continuation"),
        ("،", "punctuation"),
        (" «", "punctuation"),
        (" ", "word"),
        ("\u200c", "continuation"),
        (" ۱۲", "digits"),
        ("۴", "digits"),
        ("\n", "border"),
        ("", "border"),
        ("\ufffd", "continuation"),
    ],
)
def test_the_part_of_a_token(token: str, part: str) -> None:
    assert loss_profile.PARTS[loss_profile.part_of_word(token)] == part


def test_the_first_token_of_a_paragraph_begins_a_word(tokenizer: Tokenizer) -> None:
    text = "کتاب"
    ids = [*tokenizer.encode(text), *tokenizer.encode("\n"), *tokenizer.encode(text)]
    one = loss_profile.Profile(
        np.array(ids), np.arange(1, len(ids) + 1), np.zeros(len(ids), int), {"m": np.ones(len(ids))}
    )
    assert loss_profile.by_part(one, tokenizer).share["word"] == pytest.approx(2 / len(ids))


def test_words_of_a_passage_carry_their_tokens_losses(found, tokenizer) -> None:  # noqa: ANN001
    words = loss_profile.passage(found, tokenizer, 1, 100)
    assert " ".join(word.text for word in words) == TEXTS[1]
    inside = found.documents == 1
    for name in found.losses:
        end = found.losses[name][inside][-1]  # <eos> is no word: it stays with the last one
        total = sum(word.losses[name] for word in words)
        assert total == pytest.approx(found.losses[name][inside].sum()) and end > 0
    assert len(loss_profile.passage(found, tokenizer, 0, 5)) == 5


def test_words_of_the_test_text_are_counted(results, tokenizer) -> None:  # noqa: ANN001
    assert loss_profile.count_words(results["rnn"], tokenizer) == sum(len(text.split()) for text in TEXTS)


def test_results_on_other_documents_are_left_out(results) -> None:  # noqa: ANN001
    other = SimpleNamespace(slice=results["rnn"].slice | {"test_ids": results["rnn"].slice["test_ids"][::-1]})
    first = next(iter(results))
    found = loss_profile.profile(results | {"other": other})
    assert list(found.losses) == list(results) and first in found.losses


def test_limited_context_at_the_models_own_is_its_loss(results) -> None:  # noqa: ANN001
    limited = loss_profile.limited_context(results["transformer"], (2, 8), len(TEXTS))
    slice_ = results["transformer"].slice
    whole = evaluate(results["transformer"].model(), slice_["test_ids"], slice_["test_offsets"])
    assert limited[8] == pytest.approx(whole.loss, rel=1e-6) and limited[2] != limited[8]


def test_figures_and_rows(found, tokenizer, results) -> None:  # noqa: ANN001
    words = loss_profile.passage(found, tokenizer, 0, 12)
    figure = perplexity.heat_strip(words)
    assert len(figure.axes[0].patches) == len(words) * 3 + 6  # three models, and the scale
    edges = [(p.get_x(), p.get_x() + p.get_width()) for p in figure.axes[0].patches]
    assert min(a for a, _ in edges) >= 0 and max(b for _, b in edges) <= 6.6
    darkest = max(words, key=lambda word: word.losses["ngram"])
    bars = figure.axes[0].patches[: len(words) * 3 : 3]
    shades = [bar.get_facecolor()[0] for bar in bars]
    assert shades[words.index(darkest)] == min(shades)
    transformer.loss_by_position(loss_profile.by_position(found), {2: 5.0, 4: 4.5})
    counts = np.bincount(found.tokens, minlength=tokenizer.vocabulary_size)
    rows = perplexity.frequency_rows(loss_profile.by_frequency(found, counts))
    assert rows and all(len(row) == 5 for row in rows)
    assert len(perplexity.part_rows(loss_profile.by_part(found, tokenizer))) >= 4


def test_the_first_documents_have_the_losses_that_all_have(results, found) -> None:  # noqa: ANN001
    first = loss_profile.profile(results, documents=2)
    count = len(first.tokens)
    assert first.documents.max() == 1 and 0 < count < len(found.tokens)
    assert all(first.losses[name] == pytest.approx(found.losses[name][:count], abs=1e-6) for name in found.losses)
