"""Language models compared and probed, and the rows that the report makes of it: the numbers are the right ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from common import future_gradient
from genmodels import stages
from genmodels.config import RecurrentModelConfig, TransformerModelConfig
from genmodels.errors import StaleResult
from genmodels.language import comparison as lm
from genmodels.language.attention import attention_weights
from genmodels.language.continuations import topic_share
from genmodels.language.perplexity import evaluate
from genmodels.language.recurrent import RecurrentLM, lstm_reference
from genmodels.language.transformer import TransformerLM
from genmodels.report import continuations, settings, transformer

VOCABULARY = 40
IDS = np.random.RandomState(0).randint(2, VOCABULARY, 200)
SLICE = {"test_ids": IDS, "test_offsets": np.array([0, 60, 100, 200]), "test_characters": np.array([90, 60, 150])}


class Letters:
    """A stand-in tokenizer: a letter a token."""

    bos, eos = 0, 1

    def encode(self, text: str) -> list[int]:
        return [2 + ord(letter) % (VOCABULARY - 2) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(0x620 + i) for i in ids)


def models() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    small = TransformerModelConfig(width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=0.0, context=32)
    return {
        "rnn": RecurrentLM(RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=0.0), VOCABULARY),
        "transformer": TransformerLM(small, VOCABULARY),
    }


def results(recorded: bool) -> dict[str, SimpleNamespace]:
    found = {}
    for name, model in models().items():
        sums = evaluate(model, *SLICE.values(), 32).document_nll_nats.tolist()
        metrics = {"test_document_nll_nats": sums} if recorded else {}
        found[name] = SimpleNamespace(
            slice=SLICE, metrics=metrics, config=SimpleNamespace(window=32), model=lambda model=model: model
        )
    return found


def test_recorded_sums_and_the_model_agree() -> None:
    found = [{name: lm.on_test(result) for name, result in results(recorded).items()} for recorded in (False, True)]
    live, recorded = (lm.paired(each["transformer"], each["rnn"]) for each in found)
    assert recorded.difference == pytest.approx(live.difference, rel=1e-9)
    assert (recorded.low, recorded.high) == pytest.approx((live.low, live.high), rel=1e-9)
    assert recorded.low <= recorded.difference <= recorded.high


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_future_gradient(name: str) -> None:
    past, future = future_gradient(models()[name].eval(), torch.randint(2, VOCABULARY, (1, 20)), position=7)
    assert past > 0 and future == 0


def test_the_fast_lstm_is_the_written_out_one() -> None:
    model, tokens = models()["rnn"], torch.randint(2, VOCABULARY, (2, 9))
    layer, state = model.layers[0], model.initial_state(2)[0]
    with torch.no_grad():
        x = model.embedding(tokens.t()) * model.width**0.5
        fast, _ = layer(x, state)
        written, _ = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    assert 0 <= float((fast - written).abs().max()) < 1e-5


def test_source_shows_the_code_without_its_docstring() -> None:
    shown = settings.source(attention_weights).data
    assert shown.startswith("```python\n# genmodels/language/attention.py\ndef attention_weights")
    assert '"""' not in shown and "softmax" in shown and "..." not in shown


def test_source_cuts_a_long_function_and_says_so() -> None:
    shown = settings.source(lm.texts_compared, begin="drawn, measured", end="losses = ").data.split("\n")
    assert shown[1:3] == ["# genmodels/language/comparison.py", "def texts_compared(models, result, starts, setting):"]
    assert shown[3].strip() == shown[-2].strip() == "..." and len(shown) == 8
    with pytest.raises(ValueError, match="no line holds"):
        settings.source(lm.texts_compared, begin="nothing of the kind")


def test_topic_share_finds_texts_that_stay_and_texts_that_do_not() -> None:
    embedding = torch.eye(9)
    starts = [[0, 1], [3, 4], [6, 7]]
    stays = [[[1, 2, 0]], [[4, 5, 3]], [[7, 8, 6]]]
    assert topic_share(starts, stays, embedding) == 1.0
    assert topic_share(starts, [stays[1], stays[2], stays[0]], embedding) == 0.0
    assert np.isnan(topic_share(starts, [[], [], []], embedding))


def test_texts_are_rated_by_both_networks() -> None:
    """The mean loss of a text is what ``evaluate`` finds for the same tokens behind the same beginning."""
    networks = models()
    drawn = [[[5, 6, 7], [8]], [[9, 10], []]]
    measured = {"greedy": {"repetition": 0.5}, "temperature-0.8": {"repetition": 0.25, "distinct_2": 0.75}}
    result = SimpleNamespace(ids=lambda name, setting: drawn, measures=dict.fromkeys(networks, measured))
    starts = [[0, 3], [0, 4]]
    found = lm.texts_compared(networks, result, starts)
    for (name, told), other in zip(found.items(), reversed(list(networks))):
        losses = {rater: np.mean(_token_by_token(network, starts, drawn)) for rater, network in networks.items()}
        assert told.own_loss == pytest.approx(losses[name], rel=1e-4)
        assert told.others_loss == pytest.approx(losses[other], rel=1e-4)
        assert (told.greedy_repetition, told.repetition, told.distinct_2) == (0.5, 0.25, 0.75)


def _token_by_token(network: Any, starts: list[list[int]], drawn: list[list[list[int]]]) -> list[float]:
    """Losses of the drawn tokens, read one after the other as in generation."""
    found = []
    for start, sample in [(start, sample) for start, samples in zip(starts, drawn) for sample in samples if sample]:
        features, state = network.features(torch.tensor([start]), network.initial_state(1, 16))
        for token in sample:
            found.append(float(-torch.log_softmax(network.logits(features)[0, -1], -1)[token].detach()))
            features, state = network.features(torch.tensor([[token]]), state)
    return found


def test_generated_text_cannot_break_a_table() -> None:
    assert continuations.plain_line("a|b\n<c> *d* ") == "a\\|b ¶ \\<c\\> \\*d\\*"
    assert continuations.plain_line("") == "—"


def test_margin_against_counts_is_the_difference_of_losses() -> None:
    found = results(recorded=True)
    counted = evaluate(models()["rnn"], *SLICE.values(), 32)  # the same network: no margin at all
    margins = {name: lm.paired(lm.on_test(result), counted) for name, result in found.items()}
    assert (
        margins["rnn"].difference == margins["rnn"].low == margins["rnn"].high == margins["rnn"].perplexity_share == 0
    )
    other = margins["transformer"]
    assert other.low <= other.difference <= other.high
    assert other.ours.perplexity == pytest.approx(counted.perplexity * (1 - other.perplexity_share))
    assert len(transformer.against_counts_rows(margins, counted)) == 3


def test_bits_of_a_classic_corpus_are_also_spread_over_the_fluent_text() -> None:
    measured = {"train_tokens": 9, "test_tokens": 5, "test_perplexity": 4.0, "test_bits_per_character": 2.0}
    fluent = SimpleNamespace(metrics=measured)
    classic = SimpleNamespace(metrics=measured | {"test_bits_per_fluent_character": 1.25})
    first, second = continuations.corpus_rows({"fluent": fluent, "classic": classic})
    assert first["بیت بر نویسهٔ متن روان"] == first["بیت بر نویسهٔ خود پیکره"] != second["بیت بر نویسهٔ متن روان"]


def measured(stage: str) -> dict:
    try:
        return stages.load(stage).metrics
    except StaleResult as error:
        pytest.skip(str(error))


def test_a_row_for_each_length_and_each_network() -> None:
    found = measured("speed-decoding")
    rows = transformer.cache_rows(found)
    assert len(rows) == len(found["rows"]) and all(len(row) == 6 for row in rows)
    assert rows[0]["توکن"] == "۲۵۶" and rows[0]["نسبت"] == "۵٫۳"


def test_a_peer_beside_each_network() -> None:
    found = measured("speed-peers")
    first, second = transformer.peer_rows(found)
    assert "nn.TransformerEncoderLayer" in first["همتا"] and "nn.LSTM" in second["همتا"]
    assert first["همتا، زیان PyTorch (نسبت ما)"].endswith("(۲٫۱۵×)")
