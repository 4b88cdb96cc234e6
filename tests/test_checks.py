"""The document's own checks: each holds on what is shipped, and fails where what it checks is broken."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genmodels import checks, stages
from genmodels.attention import cost
from genmodels.checks import arithmetic, language, tables
from genmodels.checks import text as text_checks
from genmodels.checks.check import Evidence, Outcome, Registered, _made, max_with_nan, registered, run
from genmodels.config import PixelCNNModelConfig
from genmodels.errors import CheckFailed
from genmodels.language import attention
from genmodels.language.kneser_ney import KneserNey
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN
from genmodels.render import verdict
from genmodels.stages.base import Check
from genmodels.text import bpe

STAGES = (
    "text", "pixelcnn", "pixelcnn-gated", "ngram", "rnn", "rnn-classic", "transformer", "mnist-classifier", "pixelcnn-samples",
)  # fmt: skip
REPORT = (Path(__file__).resolve().parents[1] / "report.qmd").read_text("utf-8")
IMAGE_PARTS = ("distances", "measures")
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return {name: stages.load(name) for name in STAGES}


@pytest.fixture
def evidence(shipped: dict[str, Any]) -> Evidence:
    """Results that a test may spoil: copies of everything that is read off disk."""
    loose = {}
    for name, result in shipped.items():
        files = {"slice": "slice.npz", "history": "history.csv"}
        parts = ["manifest", "metrics", *(part for part, file in files.items() if file in result.manifest["payload"])]
        kept = {part: copy.deepcopy(getattr(result, part)) for part in parts}
        loose[name] = SimpleNamespace(**kept, config=result.config, stored=result.stored)
        for part in ("model", "tokenizer", *IMAGE_PARTS):
            if hasattr(result, part):
                setattr(loose[name], part, getattr(result, part))
    loose["text"].held_out = list(shipped["text"].held_out)
    found = Evidence(loose)
    found.short = False  # whoever's results lie in cache/
    return found


def made(evidence: Evidence, key: str) -> Outcome:
    (outcome,) = run(evidence, {key})
    return outcome


def test_no_check_holds_on_what_is_no_number() -> None:
    assert max_with_nan(1.0, 3.0, 2.0) == 3.0 and all(
        map(math.isnan, (max_with_nan(0.0, math.nan), max_with_nan(math.nan, 0.0)))
    )


def test_every_check_holds_on_what_is_shipped(shipped: dict[str, Any]) -> None:
    outcomes = run(shipped)
    assert outcomes and not [outcome for outcome in outcomes if not outcome.passed]
    for outcome in outcomes:  # what a Persian reader sees: no Latin digits but in names, one line
        assert not re.search(r"(?<![A-Za-z0-9`])[0-9]", re.sub(r"`[^`]*`", "", outcome.title + outcome.result)), outcome
        assert "|" not in outcome.result and "\n" not in outcome.result


def test_every_point_has_checks_and_every_check_a_section() -> None:
    every = registered()
    assert len({each.title for each in every}) == len(every)
    assert {each.point for each in every} | set(tables.STAGE_POINTS.values()) | set(
        tables.CHECK_POINTS.values()
    ) == set(tables.POINTS)
    assert tables.STAGE_POINTS.keys() == stages.STAGES.keys()
    labels = {each.section for each in every} | {section for section, _ in tables.POINTS.values()}
    missing = [label for label in labels if f"{{#{label}}}" not in REPORT]
    assert not missing, f"no such section in report.qmd: {missing}"


# --- each check fails where what it checks is broken ------------------------------------------------------------------

SPOILS: dict[str, Callable[[Evidence, Patch], None]] = {}


def spoil(key: str) -> Callable[[Callable[[Evidence, Patch], None]], Any]:
    def register(function: Callable[[Evidence, Patch], None]) -> Any:
        assert key not in SPOILS
        SPOILS[key] = function
        return function

    return register


@pytest.mark.parametrize("key", [each.key for each in registered()])
def test_each_check_can_fail(key: str, evidence: Evidence, monkeypatch: Patch) -> None:
    assert key in SPOILS, f"no test shows that the check {key} can fail"
    SPOILS[key](evidence, monkeypatch)
    outcome = made(evidence, key)
    assert not outcome.passed and "اجرا نشد" not in outcome.result, outcome


def leaky(e: Evidence, m: Patch) -> None:
    """A network with mask B in the first layer."""
    torch.manual_seed(0)
    model = PixelCNN(PixelCNNModelConfig(channels=16))
    model.convolutions[0] = MaskedConv2d("B", 1, 16, 7)
    e.pixelcnn = model


for _key in ("causality", "field", "masks"):
    spoil(_key)(leaky)


@spoil("two-stacks")
def _(e: Evidence, m: Patch) -> None:  # the vertical stack reads one row too far
    vertical = e.networks["pixelcnn-gated"].layers[1].vertical
    m.setattr(vertical, "rows", range(vertical.rows.start + 1, vertical.rows.stop + 1))


def metric(stage: str, *path: Any, by: float = 1.01) -> Callable[[Evidence, Patch], None]:
    """One stored number that is off by a factor."""

    def change(e: Evidence, m: Patch) -> None:
        place = e.shipped[stage].metrics
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] *= by

    return change


spoil("splits")(lambda e, m: e.shipped["pixelcnn"].manifest["data"].update(train_images=55_000))
spoil("static-set")(lambda e, m: setattr(e, "test_images", e.test_images.maximum(e.test_images.roll(1, 3))))
spoil("layers")(lambda e, m: setattr(e, "pixelcnn", PixelCNN(PixelCNNModelConfig(kernels=(7,) * 5 + (5, 1, 1)))))
spoil("activations")(lambda e, m: m.setattr(torch.nn.functional, "relu", torch.nn.functional.leaky_relu))
spoil("curve")(lambda e, m: setattr(e.shipped["pixelcnn"], "history", e.shipped["pixelcnn"].history.iloc[::-1]))
spoil("tokens-are-text")(lambda e, m: e.shipped["text"].held_out.reverse())
spoil("vocabulary")(lambda e, m: e.shipped["rnn"].manifest["payload"].update({"tokenizer.json": "0"}))
spoil("lstm-size")(metric("rnn", "parameters"))
spoil("own-layers")(lambda e, m: e.rnn.add_module("extra", nn.LSTM(2, 2)))
spoil("commits")(lambda e, m: e.shipped["text"].manifest.update(commit="0" * 40 + "+changes"))
spoil("one-corpus")(lambda e, m: e.shipped["rnn"].manifest["data"].update(corpus_sha256="0"))


@spoil("dead-taps")
def _(e: Evidence, m: Patch) -> None:
    with torch.no_grad():
        e.pixelcnn.convolutions[2].weight[0, 0, 3, 6] = 1.0


spoil("classifier")(metric("mnist-classifier", "test_accuracy", by=0.99))


@spoil("quality-order")
def _(e: Evidence, m: Patch) -> None:  # the network's images no worse than real ones
    result = e.shipped["pixelcnn-samples"]
    result.measures = result.measures | {result.config.shown: result.measures["real-dynamic"]}


@spoil("not-memorised")
def _(e: Evidence, m: Patch) -> None:  # a network that gives its training images back
    e.shipped["pixelcnn-samples"].distances = lambda name: np.zeros(2000, dtype=int)


@spoil("clean-corpus")
def _(e: Evidence, m: Patch) -> None:
    e.documents = (np.array(e.tokenizer.encode("این جمله پانویس دارد.[۱۲]")), np.array([0, 5]))


class Spoilt:
    """An object with some of its methods replaced."""

    def __init__(self, whole: Any, **methods: Any) -> None:
        self.__dict__.update(methods, _whole=whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


@spoil("bpe-encodes")
def _(e: Evidence, m: Patch) -> None:
    whole = e.tokenizer
    e.tokenizer = Spoilt(whole, as_bpe=lambda: bpe.BPE(whole.as_bpe().merges[:-3000], first_id=2))


@spoil("documents-disjoint")
def _(e: Evidence, m: Patch) -> None:  # one test document counted as training text
    ids, offsets = e.documents
    copied = KneserNey.fit(ids[: offsets[1]], offsets[:2], 5, e.tokenizer.vocabulary_size)
    e.shipped["ngram"].model = lambda: copied


def test_an_outcome_that_somebodys_own_training_does_not_reach_contradicts_nothing(monkeypatch: Patch) -> None:
    few = {"train_images": 50_000, "test_images": 300}
    own = SimpleNamespace(manifest={"data": few}, config=SimpleNamespace(validation_images=10_000), stored="own")
    monkeypatch.setattr("genmodels.checks.check.is_shipped", lambda stored: stored == "shipped")
    (found,) = run({"pixelcnn": own}, {"splits"})
    assert found.passed is None and "نرسیده" in found.result and "۳۰۰" in found.result
    own.stored = "shipped"
    assert run({"pixelcnn": own}, {"splits"})[0].passed is False


def test_what_is_of_several_texts_is_not_checked() -> None:
    """A mixture is no contradiction: page 1 says so."""
    results = {
        name: SimpleNamespace(manifest={"data": {"name": name, "corpus_sha256": name}})
        for name in ("rnn", "rnn-classic", "text", "ngram")
    }
    evidence = SimpleNamespace(shipped=results, language={"rnn": None})
    assert text_checks.vocabulary(evidence) == text_checks.stop_words_gone(evidence) == (None, text_checks.MIXED)


@spoil("stop-words-gone")
def _(e: Evidence, m: Patch) -> None:
    ids = e.shipped["text"].tokenizer("classic").encode("کتاب از خانه")
    e.shipped["rnn-classic"].slice["test_ids"] = np.array(ids)


@spoil("lstm")
def _(e: Evidence, m: Patch) -> None:  # input and forget gates exchanged
    right = language.lstm_reference

    def exchanged(x: Any, state: Any, a: Any, b: Any, c: Any) -> Any:
        n = len(c) // 4
        order = [*range(n, 2 * n), *range(n), *range(2 * n, 4 * n)]
        return right(x, state, a[order], b[order], c[order])

    m.setattr(language, "lstm_reference", exchanged)


@spoil("equations")
def _(e: Evidence, m: Patch) -> None:
    m.setattr(torch.nn.functional, "silu", torch.nn.functional.gelu)


@spoil("attention-causal")
def _(e: Evidence, m: Patch) -> None:
    m.setattr(attention, "attention_fast", nn.functional.scaled_dot_product_attention)


@spoil("setting")
def _(e: Evidence, m: Patch) -> None:
    m.setitem(cost.SETTING, cost.o, cost.SETTING[cost.r])


def other_question(e: Evidence, m: Patch) -> None:
    """One number of the question misread: every part moves."""
    m.setitem(cost.SETTING, cost.n, cost.SETTING[cost.n] * 2)


for _letter in "abcdef":
    spoil(f"part-{_letter}")(other_question)


def test_the_expected_arithmetic_covers_every_printed_quantity() -> None:
    keys = set(cost.STEPS) | {key for part in cost.ALTERNATIVES.values() for key in part}
    assert keys == set(arithmetic.expected())
    assert arithmetic.printed("۱٬۷۱۷٬۹۸۶٬۹۱۸٫۴") == arithmetic.expected()["b"]


# --- how it is told ---------------------------------------------------------------------------------------------------


def outcome(key: str, point: str, passed: bool | None) -> Outcome:
    return Outcome(key, point, tables.POINTS[point][0], f"عنوان {key}", "۳ تا", passed, 0.1)


def test_a_check_that_cannot_be_made_has_failed() -> None:
    outcomes = run({}, {"splits", "setting"})
    assert [o.passed for o in outcomes] == [False, True] and "KeyError" in outcomes[0].result


def test_rows_put_what_failed_first_and_in_red() -> None:
    rows = tables.table_rows([outcome("p", "1.2", True), outcome("q", "1.2", False), outcome("r", "2.6f", True)])
    assert [row["بند"].split(":")[0] for row in rows] == ["@sec-1-2", "@sec-2-6-f"]
    assert rows[0]["بررسی‌ها (و یافته‌ها)"].startswith("[**✗ عنوان q")
    assert rows[0]["حاصل"] == "[**✗ ۱ نادرست**]{.failed}؛ ✓ ۱ درست"
    assert rows[1]["حاصل"] == "✓ ۱ درست" and ".failed" not in str(rows[1])
    text = tables.table([outcome("p", "1.2", True), outcome("q", "1.2", False)]).data
    assert text.count("\n") == 2 and "@sec-1-2" in text and "{.failed}" in text  # Markdown's words stay


def test_what_was_not_checked_is_grey_and_counted_apart() -> None:
    made = [outcome("p", "1.2", True), outcome("q", "1.2", None), outcome("r", "1.2", False)]
    (row,) = tables.table_rows(made)
    assert [part[:3] for part in row["بررسی‌ها (و یافته‌ها)"].split("؛ ")] == ["[**", "[– ", "عنو"]
    assert row["حاصل"] == "[**✗ ۱ نادرست**]{.failed}؛ [– ۱ این‌جا سنجیده نشد]{.unchecked}؛ ✓ ۱ درست"
    found = {"rnn": [Check("a", True, ""), Check("b", None, "no data")], "text": [Check("c", True, "")]}
    assert checks.summary(made, found) == "۳ از ۶ درست، ۱ نادرست، ۲ این‌جا سنجیده نشد"
    assert checks.summary(made[:1], {}) == "۱ از ۱ درست"


def test_a_point_is_shown_with_what_verify_found_of_it() -> None:
    rnn = [Check(name, True, "") for name in ("manifest", "behaviour", "test_perplexity")]
    transformer = [Check("test_perplexity", True, ""), Check("behaviour", False, "")]
    rows = tables.table_rows(
        [outcome("p", "2.5", True)], {"rnn": rnn, "transformer": transformer, "transformer-study": rnn[1:2]}
    )
    told = {row["بند"].split(":")[0]: row["بررسی‌ها (و یافته‌ها)"] for row in rows}
    names = tables.CHECK_NAMES
    assert (
        told["@sec-2-3"] == f"بازآزمایی: {names['test_perplexity']} (۲)"
        and told["@sec-provenance"] == f"بازآزمایی: {names['manifest']} (۱)"
    )
    failed, own, again = told["@sec-2-5"].split("؛ ")
    assert failed == f"[**✗ {names['behaviour']}، {tables.STAGE_NAMES['transformer']}**]{{.failed}}" and own.startswith(
        "عنوان p"
    )
    assert again == f"بازآزمایی: {tables.STAGE_NAMES['transformer-study']} (۱)"
    assert [row["حاصل"] for row in rows if "2-5" in row["بند"]] == ["[**✗ ۱ نادرست**]{.failed}؛ ✓ ۲ درست"]


def test_a_check_may_say_that_it_cannot_be_made_here() -> None:
    each = Registered("x", "1.1", "sec-1-1", "عنوان", lambda e: (None, "bf16 نیست"))
    assert _made(each, Evidence({})).passed is None


def test_the_verdict_tells_make(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "rubric.json"
    monkeypatch.setenv("GENMODELS_RUBRIC", str(path))
    with pytest.raises(CheckFailed, match="not rendered to its end"):
        verdict.judge()
    verdict.finish([outcome("p", "1.1", True)])
    assert "all 1 checks hold" in verdict.judge()
    verdict.finish([outcome("p", "1.1", True), outcome("q", "1.1", None)], {"rnn": [Check("whole", None, "no data")]})
    assert verdict.judge() == "rubric: all 1 checks hold, 2 not checked here"
    found = [Check("behaviour", True, ""), Check("manifest", False, "altered")]
    verdict.finish([outcome("p", "1.1", True)], {"rnn": found})
    with pytest.raises(CheckFailed, match="1 of 3 checks failed.*verify rnn manifest: altered"):
        verdict.judge()
    verdict.finish([outcome("p", "1.1", True), outcome("q", "1.3", False)])
    with pytest.raises(CheckFailed, match="q .1.3, sec-1-3") as failed:
        verdict.judge()
    assert failed.value.exit_code not in (0, 1, 2, 3, 4)
    path.write_text("[]")
    with pytest.raises(CheckFailed, match="no verdict"):
        verdict.judge()
