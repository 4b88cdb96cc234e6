"""Stage ``transfer``: an honest result verifies, a stop loses no arm, what is forged is contradicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common import outcome, reseal
from genmodels import store
from genmodels.config import TextConfig, TransformerModelConfig
from genmodels.data import hafez
from genmodels.errors import UserError
from genmodels.language import adaptation
from genmodels.language.transformer import TransformerLM
from genmodels.stages import transfer, transfer_texts
from genmodels.stages.transfer_arms import SHIPPED, arms
from genmodels.stages.transfer_texts import TransferTexts, chosen, encoded, first
from genmodels.stages.trials import Trial
from genmodels.system import files
from genmodels.text.tokenizer import Tokenizer
from genmodels.text.windows import IGNORED, Joined, NgramDataset
from genmodels.training import loop

LINES = (
    "توانا بود هر که دانا بود",
    "ز دانش دل پیر برنا بود",
    "خرد چشم جان است چون بنگری",
    "تو بی چشم شادان جهان نسپری",
)
MODEL = TransformerModelConfig(width=8, layers=2, heads=2, kv_heads=2, hidden=8, dropout=0.1, context=16)
KEPT = (
    SHIPPED,
    "verse-25-full",
    "verse-25-scratch",
    "verse-25-own",
    "verse-25-replay",
    "verse-100-full",
    "prose-25-full",
)
VOCABULARY = 300


class SmallTransfer(transfer.TransferStage):
    """The real stage with tiny networks: a few arms of each kind."""

    def runs(self) -> dict[str, Trial]:
        return {key: Trial(small(config)) for key, config in arms().items() if key in KEPT}


def small(config):  # noqa: ANN001, ANN201
    plan = replace(config.training, steps=4, warmup_steps=1, batch_size=2, evaluations=2)
    sizes = {"vocabulary": VOCABULARY, "window": 16, "poems": 2, "poem_tokens": 12, "rank": min(config.rank, 2)}
    return replace(config, model=MODEL, training=plan, seeds=min(config.seeds, 2), **sizes)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallTransfer:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    texts = {"train": (LINES, LINES[::-1]) * 6, "validation": (LINES[1:],), "test": (LINES[:2], LINES[2:])}
    monkeypatch.setattr(hafez, "load", lambda folder=None: {"verse": texts, "prose": texts})
    tokenizer = Tokenizer.train(["\n".join(LINES)] * 3, VOCABULARY)
    tokenizer.save(store.result_folder("transformer", "full") / "tokenizer.json")
    torch.manual_seed(0)
    network = TransformerLM(MODEL, VOCABULARY).eval()
    ids, offsets, characters = encoded(tokenizer, ["\n".join(LINES), LINES[0]] * 9)
    source = SimpleNamespace(
        stored=SimpleNamespace(weights=network.state_dict),
        model=lambda: network,
        slice={"test_ids": ids, "test_offsets": offsets, "test_characters": characters},
        manifest={"payload": {"weights.safetensors": "w" * 64}, "data": {}},
        config=SimpleNamespace(text=TextConfig(vocabulary=VOCABULARY)),
    )
    for module in (transfer, transfer_texts):
        monkeypatch.setattr(module, "pretrained", lambda name: source)
    wiki = SimpleNamespace(
        tokens={"train": ids}, offsets={"train": offsets}, tokenizer=tokenizer, config=TextConfig(vocabulary=VOCABULARY)
    )
    monkeypatch.setattr(transfer_texts, "prepared", lambda config, folder=None: wiki)
    return SmallTransfer()


def test_an_honest_result_verifies(stage: SmallTransfer) -> None:
    stage.run("full")
    assert outcome(stage) == dict.fromkeys(
        ["manifest", "weights", "documents before", f"documents {SHIPPED}", *KEPT], True
    )
    result = stage.load("full")
    wanted = {"source": "transformer/full", "preparation": 1, "corpus_sha256": "unknown"}
    assert result.manifest["data"]["pretrained"] == wanted
    for key, run in result.config.items():
        measures, config = result.metrics["runs"][key], run.experiment
        assert len(measures["test_bits_per_character"]) == config.seeds == len(measures["stopped"])
        assert measures["rate"] == min(config.rates, key=lambda rate: measures["rates"][f"{rate:g}"])
        assert ("wikipedia_bits_per_character" in measures) == (config.start == "pretrained")
        assert ("form" in measures) == (config.target == "verse")
        assert result.on_test(key, 0).bits_per_character == pytest.approx(
            measures["test_bits_per_character"][0], rel=1e-3
        )
    assert set(result.metrics["runs"]["verse-100-full"]["averages"]) == {"0.25", "0.5", "0.75"}
    left = [path.name for path in (store.cache_folder() / "checkpoints").iterdir()]
    assert not left


def test_a_stop_between_arms_loses_none(stage: SmallTransfer, monkeypatch: pytest.MonkeyPatch) -> None:
    real, labels = loop.train, []

    def counted(*arguments, label="", **named):  # noqa: ANN002, ANN003, ANN202
        if label:
            labels.append(label.split()[1])
            if len(set(labels)) == 3:
                raise KeyboardInterrupt
        return real(*arguments, label=label, **named)

    monkeypatch.setattr(loop, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        stage.run("full")
    done = set(labels[:-1])
    labels.clear()
    monkeypatch.setattr(loop, "train", lambda *a, label="", **n: (labels.append(label), real(*a, label=label, **n))[1])
    stage.run("full")
    assert len(done) == 2 and not done & {label.split()[1] for label in labels if label}
    assert all(outcome(stage).values())


def test_rate_and_stopping_are_those_of_the_validation_text(
    stage: SmallTransfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network that is judged is the one of the best moment, of the best rate; the test text has no say."""
    told = iter([5.0, 4.0, 3.0, 6.0, 2.0, 7.0])  # two evaluations of each of two rates, then of the second seed
    monkeypatch.setattr(
        SmallTransfer, "curve", lambda self, run, material: lambda model: {"validation_loss": next(told)}
    )
    runs = stage.config("full")
    material = stage.gather(runs, None)
    part = stage._one("verse-25-full", runs["verse-25-full"], "full", material)
    assert part["measures"]["rate"] == 3e-3 and part["measures"]["stopped"] == [2, 2]


def test_forged_numbers_are_contradicted(stage: SmallTransfer) -> None:
    folder = stage.run("full")
    whole = files.read_json(folder / "metrics.json")

    def forged(change) -> dict[str, bool]:  # noqa: ANN001
        metrics = files.read_json(folder / "metrics.json")
        change(metrics)
        files.write_json(folder / "metrics.json", metrics)
        reseal(folder)
        found = outcome(stage)
        files.write_json(folder / "metrics.json", whole)
        reseal(folder)
        return found

    def embellished(metrics) -> None:  # noqa: ANN001
        arm = metrics["runs"][SHIPPED]
        arm["test_document_nll_nats"] = [[0.9 * nats for nats in row] for row in arm["test_document_nll_nats"]]
        arm["test_bits_per_character"] = [0.9 * bits for bits in arm["test_bits_per_character"]]

    assert forged(embellished)[f"documents {SHIPPED}"] is False
    assert forged(lambda m: m["runs"]["verse-25-own"]["opening"].__setitem__(0, 1.0))["verse-25-own"] is False
    assert forged(lambda m: m["runs"][SHIPPED].update(rate=0.5))["contents"] is False
    assert forged(lambda m: m["runs"]["verse-25-full"]["stopped"].clear())["contents"] is False
    assert forged(lambda m: m["before"].pop("wikipedia"))["contents"] is False


def test_another_pretrained_model_is_contradicted(stage: SmallTransfer, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("full")
    other = SimpleNamespace(manifest={"payload": {"weights.safetensors": "v" * 64}})
    monkeypatch.setattr(transfer, "pretrained", lambda name: other)
    assert outcome(stage) == {"manifest": True, "weights": False}


def test_documents_are_cut_as_they_should(stage: SmallTransfer) -> None:
    config = stage.runs()["verse-25-full"].experiment
    material = TransferTexts.read([config], None)
    documents = encoded(material.tokenizer, LINES)
    ids, offsets, characters = chosen(documents, 2)
    assert [material.tokenizer.decode(ids[a:b]) for a, b in zip(offsets, offsets[1:])] == list(LINES[::2])
    assert characters.tolist() == [len(line) for line in LINES[::2]]
    assert first(documents, 1)[0].tolist() == [0, *material.tokenizer.encode(LINES[0]), 1]
    text = "\n".join(LINES)
    enough = replace(config, kilobytes=1)
    assert material.training_text(config) == material.texts["verse"]["train"]
    assert len(material.training_text(enough)) == -(-1000 // len(text.encode()))


def test_replay_takes_its_share_of_windows(stage: SmallTransfer) -> None:
    config = stage.runs()["verse-25-replay"].experiment
    material = TransferTexts.read([config], None)
    target = material.dataset(replace(config, replay=0.0))
    plan = replace(config.training, steps=3 * len(target), batch_size=4)  # nine times the target, three of Wikipedia's
    mixed = material.dataset(replace(config, training=plan))
    assert isinstance(mixed, Joined) and config.replay == 0.25
    contexts, _ = mixed.__getitems__(list(range(len(mixed))))
    own = {tuple(row) for row in target.__getitems__(list(range(len(target))))[0].tolist()}
    assert sum(tuple(row) in own for row in contexts.tolist()) >= 9 * len(target)
    assert len(mixed) == 12 * len(target)


def test_joined_data_sets_give_the_windows_of_their_parts() -> None:
    one, two = (NgramDataset(np.arange(2, 40) + k, np.array([0, 38]), 6) for k in (0, 100))
    joined = Joined((one, np.array([1, 1, 0])), (two, np.array([2])))
    context, target = joined.__getitems__([3, 0, 2])
    for row, (part, index) in enumerate([(two, 2), (one, 1), (one, 0)]):
        assert torch.equal(context[row], part[index][0]) and torch.equal(target[row], part[index][1])
    assert len(joined) == 4


def test_positions_without_a_target_count_nothing() -> None:
    torch.manual_seed(0)
    network = TransformerLM(replace(MODEL, dropout=0.0), 30)
    context, target = torch.randint(30, (2, 3, 9))
    target[0, 4:] = IGNORED
    torch.testing.assert_close(transfer.spoken_total(network, (context, target)), network(context, targets=target)[0])


def test_the_arms_are_what_they_say() -> None:
    found = arms()
    assert (
        SHIPPED in found
        and found[SHIPPED].method == "lora"
        and len({str(config) for config in found.values()}) == len(found)
    )
    for key, config in found.items():
        assert key.startswith(f"{config.target}-{config.kilobytes or 'all'}-") and config.method in adaptation.METHODS
        assert not config.training.bf16 and len(config.rates) in (2, 3)
        assert (config.start == "own") == key.endswith("-own")
    smoke = transfer.TransferStage().config("smoke")
    assert all(run.experiment.seeds == 1 for run in smoke.values())
    assert smoke.keys() == found.keys() and {run.experiment.source for run in smoke.values()} == {"transformer/smoke"}


def test_without_the_ghazals_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install 'hafez==0.4.2'"):
        transfer.TransferStage().run("full", tmp_path)
