"""Generated samples as a result: drawn again from the shipped weights, measured again, and refused when either changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common import outcome, reseal
from genmodels import stages, store
from genmodels.config import RecurrentModelConfig, TextConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.continuations import PROMPTS, SETTINGS, copied_share, longest_copy
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.report import continuations
from genmodels.report.names import DECODING_NAMES
from genmodels.stages import generation
from genmodels.stages.generation import AGAIN, GenerationConfig, GenerationStage
from genmodels.system import files
from genmodels.text.tokenizer import Tokenizer

WORDS = "قاره کتاب روستا فیلم نفت تیم پرنده دما کاربر پادشاه در شمال است و با از این".split()
CONFIG = GenerationConfig(
    subjects=("تاریخ", "ورزش"), networks=("rnn", "transformer"), settings=("greedy", AGAIN), samples=3, new_tokens=12
)


class SmallStage(GenerationStage):
    def config(self, profile: str) -> GenerationConfig:
        return CONFIG


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStage:
    """Two tiny networks stand in the cache; the text is a few random words."""
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    rng = np.random.RandomState(0)
    texts = [" ".join(rng.choice(WORDS, 60)) for _ in range(4)]
    tokenizer = Tokenizer.train(texts, 300)
    rows = [[tokenizer.bos, *tokenizer.encode(text), tokenizer.eos] for text in texts]
    tokens, offsets = np.concatenate(rows).astype(np.uint16), np.cumsum([0, *map(len, rows)])
    text = SimpleNamespace(
        tokens={"train": tokens, "test": tokens},
        offsets={"train": offsets, "test": offsets},
        tokenizer=tokenizer,
        config=TextConfig(),
        digest="d" * 64,
        corpus_name="toy",
    )
    monkeypatch.setattr(generation, "prepared", lambda config, folder=None: text)
    torch.manual_seed(0)
    size = tokenizer.vocabulary_size
    networks = {
        "rnn": RecurrentLM(RecurrentModelConfig(8, 8, 1, 0.0), size),
        "transformer": TransformerLM(TransformerModelConfig(8, 1, 2, 2, 8, 0.0, 16), size),
    }
    for name, network in networks.items():
        store.publish(
            name,
            "full",
            manifest={"config": {}, "data": {"digest": "d"}},
            metrics={},
            weights=network.state_dict(),
            files={"tokenizer.json": tokenizer.to_bytes()},
        )

    def load(name: str, profile: str = "full") -> SimpleNamespace:
        stored = store.load(name, profile)
        network = networks[name]
        network.load_state_dict(stored.weights())
        return SimpleNamespace(
            manifest=stored.manifest, config=SimpleNamespace(text=TextConfig()), model=lambda: network.eval()
        )

    monkeypatch.setattr(stages, "load", load)
    return SmallStage()


def test_an_honest_result_verifies_and_is_complete(stage: SmallStage) -> None:
    stage.run("full")
    assert outcome(stage) == dict.fromkeys(
        ("manifest", "weights", "samples rnn", "samples transformer", "measures"), True
    )
    result = stage.load("full")
    for network in CONFIG.networks:
        assert [len(rows) for rows in result.ids(network, AGAIN)] == [3, 3]
        assert [len(rows) for rows in result.ids(network, "greedy")] == [1, 1]  # the likeliest is the same every time
        assert len({tuple(row) for rows in result.ids(network, AGAIN) for row in rows}) > 1
        assert {"copied_8", "longest_copy", "distinct_1", "repetition"} <= result.measures[network][AGAIN].keys()
    assert result.metrics["reference"]["fluent"]["copied_8"] == 1  # here the test text is the training text
    rows = continuations.sample_rows(result, AGAIN, ("rnn", "transformer"), CONFIG.subjects)
    assert [row["آغاز"] for row in rows] == [PROMPTS[subject] for subject in CONFIG.subjects]
    assert continuations.temperature_rows(result, ("rnn",), "تاریخ")[0].keys() == {"دما", "بازگشتی"}
    assert len(continuations.measure_rows(result, {"rnn": CONFIG.settings})) == 3


@pytest.mark.parametrize("of_project", [True, False])
def test_networks_trained_again_make_the_samples_stale(
    stage: SmallStage, monkeypatch: pytest.MonkeyPatch, of_project: bool
) -> None:
    """Among the shipped results that is a fault; samples from before a user's own training are not checked."""
    monkeypatch.setattr(store, "is_shipped", lambda result: of_project)
    stage.run("full")
    torch.manual_seed(9)
    payload = {"tokenizer.json": (store.result_folder("rnn", "full") / "tokenizer.json").read_bytes()}
    size = stages.load("rnn").model().vocabulary
    other = RecurrentLM(RecurrentModelConfig(8, 8, 1, 0.0), size)
    store.publish(
        "rnn",
        "full",
        manifest={"config": {}, "data": {"digest": "d"}},
        metrics={},
        weights=other.state_dict(),
        files=payload,
    )
    found = outcome(stage)
    if of_project:
        assert found["weights"] is False and not found["samples rnn"] and found["samples transformer"]
    else:
        assert found == {"manifest": True, "weights": None}


def test_forged_samples_and_measures_are_contradicted(stage: SmallStage) -> None:
    folder = stage.run("full")
    with np.load(folder / "slice.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    arrays[f"rnn--{AGAIN}"][:, :, 0] = 5
    files.write_bytes(folder / "slice.npz", store.array_bytes(**arrays))
    reseal(folder)
    found = outcome(stage)
    assert not found["samples rnn"] and not found["measures"]
    stage.run("full")
    metrics = files.read_json(folder / "metrics.json")
    metrics["measures"]["transformer"]["greedy"]["distinct_2"] += 0.01
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    assert outcome(stage)["measures"] is False


def test_a_beginning_that_stands_in_the_training_text_is_named(
    stage: SmallStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = generation.prepared(TextConfig())
    inside = text.tokenizer.decode(text.tokens["train"][1:9]).strip()
    monkeypatch.setitem(PROMPTS, "تاریخ", " ".join(inside.split()[1:4]))
    assert files.read_json(stage.run("full") / "metrics.json")["familiar"] == ["تاریخ"]


def test_another_beginning_changes_no_other_sample(stage: SmallStage) -> None:
    model = stages.load("rnn").model()
    two = generation.continued(model, [[0, 5, 6], [0, 7]], AGAIN, CONFIG, stop=1)
    assert generation.continued(model, [[0, 5, 6], [0, 9, 9]], AGAIN, CONFIG, stop=1)[0] == two[0]


def test_real_windows_stay_inside_their_documents() -> None:
    text = SimpleNamespace(tokens={"test": np.arange(100)}, offsets={"test": np.array([0, 40, 100])})
    windows = generation.real_windows(text, 5, 10)
    assert len(windows) == 5 and all(np.diff(window).tolist() == [1] * 9 for window in windows)
    assert all(not (window[0] < 40 <= window[-1]) and 0 not in window and 40 not in window for window in windows)
    with pytest.raises(UserError, match="windows of 10 tokens"):
        generation.real_windows(text, 9, 10)


def test_the_longest_copy_is_the_longest() -> None:
    training = np.random.RandomState(1).randint(0, 50, 500)
    copied = training[100:117].tolist()
    assert longest_copy([[999, *copied, 998], [5, 6]], training) == 17
    assert copied_share([[999, *copied, 998]], training, 18) == 0
    assert longest_copy([[777]], training) == 0 and longest_copy([], training) == 0


def test_every_setting_has_a_name_and_means_something() -> None:
    assert SETTINGS.keys() == DECODING_NAMES.keys() and AGAIN in SETTINGS
    for options in SETTINGS.values():
        from genmodels.language.generation import Sampling

        Sampling(**options).check()
