"""Studies: several runs, one result; a stop loses no finished run; a forged one is contradicted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from common import outcome, reseal
from genmodels import store
from genmodels.config import RecurrentModelConfig, TextConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language import comparison
from genmodels.language.variants import Variant
from genmodels.report import recurrent, transformer
from genmodels.stages import language_study
from genmodels.stages.language import RecurrentStage, TransformerStage
from genmodels.system import files
from genmodels.training import loop, optimizers

TEXT = TextConfig(vocabulary=300)


def small(full, model, **changes):  # noqa: ANN001, ANN003, ANN201
    brief = replace(full.training, steps=4, warmup_steps=1, batch_size=4, evaluations=2, bf16=False)
    settings = {
        "model": model,
        "training": brief,
        "text": TEXT,
        "window": 8,
        "curve_documents": 1,
        "evaluation_documents": 2,
    }
    return replace(full, **settings | changes)


class SmallStudy(language_study.StudyStage):
    """The real stage with runs that take no time: an LSTM, two Transformers, one target a window, Muon."""

    name = "transformer-study"

    def runs(self) -> dict[str, language_study.StudyRun]:
        lstm = small(RecurrentStage.full, RecurrentModelConfig(embedding=6, hidden=8, layers=1, dropout=0.0))
        net = small(
            TransformerStage.full,
            TransformerModelConfig(width=8, layers=1, heads=2, kv_heads=2, hidden=8, dropout=0.1, context=8),
        )
        found = {
            "base": language_study.StudyRun(net),
            "gelu": language_study.StudyRun(net, Variant(feed_forward="gelu")),
            "lstm": language_study.StudyRun(lstm),
            "last": language_study.StudyRun(lstm, targets="last"),
        }
        if hasattr(torch.optim, "Muon"):
            found["muon"] = language_study.StudyRun(language_study._with_muon(net, 1e-2))
        return found


def toy_text() -> SimpleNamespace:
    rng = np.random.RandomState(0)
    splits = {"train": [60, 90], "validation": [20, 15, 30]}
    return SimpleNamespace(
        tokens={name: rng.randint(2, 300, sum(sizes)).astype(np.uint16) for name, sizes in splits.items()},
        offsets={name: np.cumsum([0, *sizes]) for name, sizes in splits.items()},
        characters={name: np.array(sizes) * 3 for name, sizes in splits.items()},
        tokenizer=SimpleNamespace(vocabulary_size=300),
        config=TEXT,
        identity={"name": "toy", "digest": "d" * 64, "corpus_sha256": "c" * 64, "corpus": "fluent"},
    )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    monkeypatch.setattr(language_study, "prepared", lambda config, folder=None: toy_text())
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return SmallStudy()


def test_an_honest_study_verifies(stage: SmallStudy) -> None:
    stage.run("full")
    assert outcome(stage) == {"manifest": True} | dict.fromkeys(stage.runs(), True)
    result = stage.load("full")
    assert list(result.runs.index) == list(stage.runs()) and set(result.history.run) == set(stage.runs())
    assert not list((store.cache_folder() / "checkpoints").glob("*.pt")) and not list(
        (store.cache_folder() / "checkpoints").glob("*.json")
    )
    for key in stage.runs():
        assert result.on_validation(key).loss == pytest.approx(result.runs.validation_loss_nats[key])
    assert result.on_validation("base").document_tokens.tolist() == [19, 14]
    assert result.runs.targets_seen["last"] * 8 == result.runs.targets_seen["lstm"]


def test_a_stop_between_runs_loses_none(stage: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    real = loop.train

    def counted(model, *arguments, label="", **named):  # noqa: ANN001, ANN002, ANN003, ANN202
        if label and len(trained) == 2:
            raise KeyboardInterrupt
        if label:
            trained.append(label)
        return real(model, *arguments, label=label, **named)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", counted)
        with pytest.raises(KeyboardInterrupt):
            stage.run("full")
    again: list[str] = []
    monkeypatch.setattr(loop, "train", lambda *a, label="", **n: (again.append(label), real(*a, label=label, **n))[1])
    stage.run("full")
    assert len(trained) == 2 and not set(trained) & set(again)
    assert all(outcome(stage).values())


def test_a_stopped_restart_leaves_nothing_old(stage: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in stage.runs():
        files.write_json(stage._finished(key, "full"), {"identity": "any"})

    def stopped(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        stage.run("full", restart=True)
    assert not any(stage._finished(key, "full").exists() for key in stage.runs())


def test_another_behaviour_and_forged_numbers_are_contradicted(
    stage: SmallStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stage.run("full")
    with monkeypatch.context() as patch:
        patch.setattr(optimizers, "learning_rate_at", lambda step, config: 0.05)
        changed = outcome(stage)
        assert changed["manifest"] and not any(changed[key] for key in stage.runs())
    metrics = files.read_json(folder / "metrics.json")
    metrics["runs"]["gelu"]["opening"][0] *= 1.02
    metrics["runs"]["lstm"]["parameters"] += 1
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    found = outcome(stage)
    assert not found["gelu"] and not found["lstm"] and found["base"] and found["last"]


def test_runs_of_another_setting_are_trained_again(stage: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept part belongs to its settings: a part of other settings is no shortcut."""
    run = stage.runs()["lstm"]
    kept = stage._finished("lstm", "full")
    files.write_json(kept, {"identity": "other", "measures": {"validation_loss_nats": 0.0}})
    part = stage._one("lstm", run, "full", toy_text())
    assert part["measures"]["validation_loss_nats"] > 1
    assert json.loads(kept.read_text())["identity"] != "other"


@pytest.mark.parametrize("part", [{}, {"history": []}, {"measures": {}, "history": []}, None, "[" * 200_000])
def test_a_damaged_finished_run_is_one_line(stage: SmallStudy, monkeypatch: pytest.MonkeyPatch, part: Any) -> None:
    """Of the right identity, but without what a finished run leaves; or no table at all."""
    kept = stage._finished("lstm", "full")
    monkeypatch.setattr(store, "run_identity", lambda config, data: "mine")
    files.write_json(kept, part if part is None else {"identity": "mine"} | (part if isinstance(part, dict) else {}))
    if isinstance(part, str):
        kept.write_text(part)
    with pytest.raises(
        UserError, match="lstm-full.json (is no finished run; delete it|cannot be read as JSON)"
    ) as error:
        stage._one("lstm", stage.runs()["lstm"], "full", toy_text())
    assert "\n" not in str(error.value)


def test_one_target_a_window_is_the_last_of_all_targets() -> None:
    """On the same window the two objectives agree at the last position."""
    run = SmallStudy().runs()["lstm"]
    model = SmallStudy().start(run, {})
    context = torch.randint(300, (3, 8), generator=torch.Generator().manual_seed(1))
    target = torch.randint(300, (3, 8), generator=torch.Generator().manual_seed(2))
    only_last = torch.full_like(target, -100)
    only_last[:, -1] = target[:, -1]
    wanted = model(context, targets=only_last)[0]
    torch.testing.assert_close(language_study.last_position_total(model, (context, target[:, -1])), wanted)
    assert SmallStudy().objective(replace(run, targets="last")).count((context, target[:, -1])) == 3


def test_the_real_studies_are_what_they_say() -> None:
    sizes = language_study.RecurrentStudy().runs()
    work = {}
    for key, run in sizes.items():
        if key.startswith("size-"):
            with torch.device("meta"):
                count = sum(p.numel() for p in language_study.RecurrentStudy().build(run).parameters())
            assert count == language_study._lstm_parameters(run.experiment.model, run.experiment.text.vocabulary)
            work[key] = count * run.experiment.training.steps
    assert len(work) >= 4 and max(work.values()) / min(work.values()) < 1.01  # equal operations
    base, *others = language_study.TransformerStudy().runs().values()
    assert {(r.experiment.training.steps, r.experiment.window) for r in others} == {
        (base.experiment.training.steps, 128)
    }
    assert len({json.dumps(str(run)) for run in [base, *others]}) == len(others) + 1


def test_tables_and_figure(stage: SmallStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("full")
    result = stage.load("full")
    found = comparison.effects(result)
    assert found.keys() == stage.runs().keys() - {"base"}
    for key, effect in found.items():
        assert effect.low <= effect.difference <= effect.high
        assert effect.difference == pytest.approx(
            result.runs.validation_loss_nats[key] - result.runs.validation_loss_nats["base"]
        )
    monkeypatch.setattr(transformer, "TRANSFORMER_RUNS", {"base": "پایه", "gelu": "GELU"})
    rows = transformer.ablation_rows(result, found)
    assert [row["دگرگونی"] for row in rows] == ["پایه", "GELU"] and rows[0]["اختلاف با پایه و بازهٔ ۹۵٪"] == "—"


def test_a_shipped_model_is_judged_on_the_studys_documents() -> None:
    of = {"manifest": {"data": {"digest": "a"}}}
    model = SimpleNamespace(metrics={"validation_document_nll_nats": [6.0, 10.0, 1000.0]}, **of)
    language_study = SimpleNamespace(metrics={"validation_document_tokens": [3, 5]}, **of)
    assert recurrent.same_documents(model, language_study) == 2.0
    language_study.manifest = {"data": {"digest": "b"}}
    assert np.isnan(recurrent.same_documents(model, language_study))
