"""Stage ``ngram``: shipped counts give the perplexity again without the corpus, and forgeries are contradicted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common import outcome, reseal
from genmodels import store
from genmodels.config import NgramConfig, TextConfig
from genmodels.errors import UserError
from genmodels.language import kneser_ney
from genmodels.language.kneser_ney import KneserNey
from genmodels.report import counts
from genmodels.report.persian import fa
from genmodels.stages import ngram
from genmodels.system import files

GOOD = dict.fromkeys(["manifest", "behaviour", "test_perplexity", "test_bits_per_character", "documents"], True)
ARRAYS = ("tokens", "offsets", "characters")


def split(seed: int, documents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.RandomState(seed)
    rows = [[0, *(2 + rng.geometric(0.1, rng.randint(5, 60)) % 48), 1] for _ in range(documents)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return np.concatenate(rows).astype(np.uint16), offsets, 3 * np.diff(offsets)


class SmallNgram(ngram.NgramStage):
    def config(self, profile: str) -> NgramConfig:
        return replace(super().config(profile), orders=(1, 2, 4), text=TextConfig(vocabulary=300), sample_tokens=6)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallNgram:
    parts = {"train": split(1, 60), "validation": split(2, 5), "test": split(3, 5)}
    text = SimpleNamespace(
        identity={"name": "toy", "digest": "d" * 64, "corpus_sha256": "c" * 64, "corpus": "fluent"},
        tokenizer=SimpleNamespace(bos=0, eos=1, decode=lambda ids: "".join(" " + chr(ord("ب") + i) for i in ids)),
        **{name: {k: part[i] for k, part in parts.items()} for i, name in enumerate(ARRAYS)},
    )
    monkeypatch.setattr(ngram, "COMMON", 20)
    monkeypatch.setattr(ngram, "prepared", lambda config, folder=None: text)
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return SmallNgram()


def test_verifies_without_the_corpus(stage: SmallNgram, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("full")
    monkeypatch.setattr(ngram, "prepared", None)
    assert outcome(stage) == GOOD
    result = stage.load("full")
    tokens, offsets, characters = split(3, 5)
    whole = KneserNey.fit(*split(1, 60)[:2], 4, 300).evaluate(tokens, offsets, characters)
    assert result.metrics["test_perplexity"] == pytest.approx(whole.perplexity, rel=1e-12)
    assert result.test().perplexity == pytest.approx(whole.perplexity, rel=1e-12)
    assert result.test().bits_per_character == pytest.approx(whole.bits_per_character, rel=1e-12)
    assert result.test(2).perplexity == pytest.approx(result.orders.test_perplexity[1], rel=1e-12)
    assert result.model().log_probabilities(tokens, offsets).sum() == pytest.approx(-whole.nll_nats)
    with pytest.raises(UserError, match="order 3 was not counted; the orders are 1, 2, 4"):
        result.test(3)


def test_the_table_of_orders(stage: SmallNgram) -> None:
    stage.run("full")
    result = stage.load("full")
    train, test = (split(seed, count)[:2] for seed, count in ((1, 60), (3, 5)))

    def grams(tokens: np.ndarray, offsets: np.ndarray, n: int) -> list[tuple]:
        rows = [tokens[a:b].tolist() for a, b in zip(offsets, offsets[1:])]
        return [tuple(row[i : i + n]) for row in rows for i in range(n == 1, len(row) - n + 1)]

    for row in result.orders.itertuples():
        known, held_out = grams(*train, row.order), grams(*test, row.order)
        assert row.ngrams == len(set(known))
        assert row.once_share == pytest.approx(np.mean([known.count(gram) == 1 for gram in set(known)]))
        assert row.unseen_test_share == pytest.approx(np.mean([gram not in set(known) for gram in held_out]))
        assert row.add_one_test_perplexity > 1
    assert result.matches.share.sum() == pytest.approx(1)
    assert (result.matches.share * result.matches.loss_nats).sum() == pytest.approx(result.metrics["test_loss_nats"])
    assert all(5 <= len(drawn["text"].split()) - drawn["text"].count("\n") <= 7 for drawn in result.metrics["samples"])
    assert len(result.continuations) == 8 and (result.continuations["count"] >= 20).all()
    word = result.continuations.iloc[0]
    token = ord(word.token) - ord("ب")
    before = [a for a, b in grams(*train, 2) if b == token]
    assert (word["count"], word.contexts) == (len(before), len(set(before)))
    ratios = result.continuations.contexts / result.continuations["count"]
    assert ratios[:4].max() <= ratios[4:].min()


def test_figures_and_tables(stage: SmallNgram) -> None:
    stage.run("full")
    result = stage.load("full")
    top, below = counts.known_lengths(result.matches).axes
    assert sum(bar.get_height() for bar in top.patches) == pytest.approx(100)
    assert list(below.lines[0].get_ydata()) == list(result.matches.loss_nats)
    assert counts.sparsity_table(result.orders, 300).data.count("\n") == 4
    assert fa(result.metrics["test_perplexity"], 1) in counts.orders_table(result.orders).data
    assert f"«{result.continuations.token[0]}»" in counts.continuations_table(result.continuations).data
    assert counts.samples_table([{"order": 2, "text": " الف\nب"}]).data.endswith("| ۲ | الف ¶ ب |")


@pytest.mark.parametrize("forgery", ["metric", "counts", "impossible counts", "documents"])
def test_a_forgery_is_contradicted(stage: SmallNgram, forgery: str) -> None:
    folder = stage.run("full")
    if forgery == "metric":
        metrics = files.read_json(folder / "metrics.json")
        metrics["test_perplexity"] *= 1 - 1e-6
        files.write_json(folder / "metrics.json", metrics)
        wrong = {"contents"}  # the order's own row says otherwise
    elif forgery == "documents":
        arrays = dict(stage.load("full").slice)
        arrays["document_nll_nats"][-1] = arrays["document_nll_nats"][-1][::-1]  # the same altogether
        (folder / "slice.npz").write_bytes(store.array_bytes(**arrays))
        wrong = {"documents"}
    else:
        arrays = dict(np.load(io.BytesIO((folder / "counts.npz").read_bytes())))
        arrays["totals_4"] = arrays["totals_4"] + (1 if forgery == "counts" else -1)
        (folder / "counts.npz").write_bytes(store.array_bytes(**arrays))
        wrong = {"test_perplexity", "test_bits_per_character", "documents"} if forgery == "counts" else {"counts"}
    assert outcome(stage) == {"manifest": False}
    reseal(folder)
    assert {name for name, passed in outcome(stage).items() if not passed} == wrong


def test_what_is_no_model_or_no_number_is_a_failed_check(stage: SmallNgram) -> None:
    folder = stage.run("full")
    arrays = dict(np.load(io.BytesIO((folder / "counts.npz").read_bytes())))
    arrays.pop("vocabulary")
    (folder / "counts.npz").write_bytes(store.array_bytes(**arrays))
    manifest = files.read_json(folder / "manifest.json")
    manifest["fingerprint"] = manifest["fingerprint"][:-1]
    files.write_json(folder / "manifest.json", manifest)
    reseal(folder)
    assert outcome(stage) == {"manifest": True, "behaviour": False, "counts": False}


def test_changed_behaviour_is_noticed(stage: SmallNgram, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("full")
    honest = kneser_ney._discounts
    monkeypatch.setattr(kneser_ney, "_discounts", lambda counts, imposed: 0.98 * honest(counts, imposed))
    assert outcome(stage)["behaviour"] is False


def test_profiles_and_bad_orders(stage: SmallNgram, monkeypatch: pytest.MonkeyPatch) -> None:
    smoke = ngram.NgramStage().config("smoke")
    assert smoke.orders == NgramConfig().orders and 0 < smoke.text.documents < 100
    monkeypatch.setattr(stage, "config", lambda profile: replace(NgramConfig(), orders=(3, 2)))
    with pytest.raises(UserError, match="must rise"):
        stage.run("full")
    monkeypatch.setattr(stage, "config", lambda profile: replace(SmallNgram.config(stage, "full"), train_documents=7))
    stage.run("full")
    assert stage.load("full").metrics["train_tokens"] == split(1, 60)[1][7]
