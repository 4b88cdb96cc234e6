"""Status and plan: whose a result is, what is stale, what a training brings with it, and what it is told to cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genmodels import stages, store
from genmodels.__main__ import main
from genmodels.config import to_plain
from genmodels.stages import page, status
from genmodels.system import precision
from genmodels.system.files import read_json

WEIGHTS, SHIPPED = "weights.safetensors", store.SHIPPED


def publish(name: str, profile: str = "full", seconds: float = 60.0, **data: Any) -> Path:
    manifest = {
        "config": to_plain(stages.get(name).config(profile)),
        "data": {"name": "toy", "digest": name} | data,
        "cpu_seconds": seconds,
    } | store.provenance()
    manifest["device"] |= {"bf16": False, "processes": 1}
    return store.publish(name, profile, manifest=manifest, metrics={}, files={WEIGHTS: name.encode()})


def weights(*names: str) -> dict[str, str]:
    return {name: store.load(name, "full").manifest["payload"][WEIGHTS] for name in names}


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "shipped.json")


def networks(text: str = "a") -> None:
    for name in ("rnn", "transformer", "rnn-classic", "ngram"):
        publish(name, corpus_sha256=text)
    publish("generation", weights=weights("rnn", "transformer", "rnn-classic"))


def test_whose_a_result_is(tmp_path: Path) -> None:
    assert status.row("ngram", "full").state == "absent"
    publish("ngram", corpus_sha256="a")
    assert status.row("ngram", "full").state == "own"
    store.list_shipped(stages.STAGES)
    assert (status.row("ngram", "full").state, status.row("ngram", "full").source) == ("shipped", "a")
    publish("ngram", corpus_sha256="b")
    assert status.row("ngram", "full").state == "own" and status.row("ngram", "smoke").state == "absent"


def test_what_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    networks()
    assert status.row("generation", "full").state == "own"
    store.publish(
        "rnn", "full", manifest=store.load("rnn", "full").manifest, metrics={}, files={WEIGHTS: b"trained again"}
    )
    found = status.row("generation", "full")
    assert found.state == "stale" and found.why == "made with other results of rnn than there are now"
    (store.result_folder("ngram", "full") / "metrics.json").write_text("{ }")
    assert status.row("ngram", "full").state == "stale" and "altered" in status.row("ngram", "full").why


def test_the_document_knows_what_was_made_before_a_new_training() -> None:
    networks()
    assert stages.Shipped("full").outdated() == {}
    again = store.load("rnn", "full").manifest
    store.publish("rnn", "full", manifest=again, metrics={}, files={WEIGHTS: b"trained again"})
    assert stages.Shipped("full").outdated() == {"generation": ["rnn"]}


def test_each_stage_that_needs_others_knows_when_they_changed() -> None:
    """By what each one's manifest says of them, in its own form."""
    needing = [name for name in stages.STAGES if stages.get(name).needs]
    for name in sorted({needed for name in needing for needed in stages.get(name).needs} - set(needing)):
        publish(name)
    loaded = {name: store.load(name, "full") for name in page.ALL}
    said = {"page": {"digest": page.identity(loaded)}, "transfer": {"weights": weights("transformer")["transformer"]}}
    for name in needing:
        publish(name, **said.get(name, {"weights": weights(*stages.get(name).needs)}))
        assert status.row(name, "full").state == "own", name
    one = {name: stages.get(name).needs[-1] for name in needing}
    for needed in set(one.values()):
        again = store.load(needed, "full").manifest
        store.publish(needed, "full", manifest=again, metrics={}, files={WEIGHTS: b"trained again"})
    assert {name: status.row(name, "full").state for name in needing} == dict.fromkeys(needing, "stale")


def test_what_is_shipped_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENMODELS_CACHE")
    monkeypatch.setattr(store, "SHIPPED", SHIPPED)
    manifests = [store.result_folder(name, "full") / "manifest.json" for name in stages.STAGES]
    if not all(
        path.is_file() and store.is_shipped(store.StoredResult(path.parent, read_json(path))) for path in manifests
    ):
        pytest.skip("results of your own lie in cache/, or none")
    assert {status.row(name, "full").state for name in stages.STAGES} == {"shipped"}
    assert status.plan(["ngram"], "full").names()[0] == "ngram"


def test_what_a_training_brings_with_it() -> None:
    networks()
    found = status.plan(["rnn"], "full")
    assert found.needed == {"generation": "made from rnn"} and found.names() == ["rnn", "generation"]
    assert status.plan(["ngram"], "full").needed == {}
    missing = status.plan(["generation"], "smoke").needed
    assert list(missing) == ["rnn", "transformer", "rnn-classic"] and missing["rnn"] == "read by generation, and absent"


def test_another_text_concerns_all_that_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    networks()
    monkeypatch.setattr(status, "at_hand", lambda reads, folder: {"text": "b", "images": "seeded"}[reads])
    found = status.plan(["rnn"], "full")
    assert set(found.needed) == {"transformer", "rnn-classic", "ngram", "generation"}
    assert found.needed["ngram"] == "of another text than the data folder's"
    publish("pixelcnn", test_set="static")
    publish("pixelcnn-threshold", test_set="threshold")
    assert set(status.plan(["pixelcnn-gated"], "full").needed) == {"pixelcnn"}


def test_what_is_stale_of_the_same_data_is_trained_with_it() -> None:
    networks()
    config = to_plain(stages.get("rnn-best").config("full"))
    config["training"]["steps"] *= 2
    other = {"config": config, "data": {"name": "toy", "digest": "d"}, "cpu_seconds": 1.0} | store.provenance()
    store.publish("rnn-best", "full", manifest=other, metrics={})
    assert "training.steps" in status.plan(["rnn"], "full").needed["rnn-best"]


def test_an_estimate_follows_numbers_that_were_edited() -> None:
    publish("rnn", seconds=600)
    before = status.minutes("rnn", "full")
    folder = store.result_folder("rnn", "full")
    manifest = read_json(folder / "manifest.json")
    manifest["config"]["training"]["steps"] *= 4  # what it was trained with; today's settings have a quarter
    store.write_json(folder / "manifest.json", manifest)
    assert before is not None and status.minutes("rnn", "full") == pytest.approx(
        (before - status.STARTING) / 4 + status.STARTING
    )


def test_the_data_at_hand(tmp_path: Path) -> None:
    assert status.at_hand("text", None) is status.at_hand("images", None) is status.at_hand("", None) is None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Persian-WikiText-1.txt").write_text("این متن فارسی است.\n\nاین هم.\n", "utf-8")
    assert len(status.at_hand("text", None) or "") == 64


def test_an_estimate_is_in_proportion_or_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "bf16_is_native", lambda kind: True)
    assert status.minutes("rnn", "full") is None
    publish("rnn", seconds=600)
    plan, short = (stages.get("rnn").config(name).training for name in ("full", "evening"))
    share = short.steps * short.batch_size / plan.steps / plan.batch_size
    assert status.minutes("rnn", "full") == pytest.approx(10 + status.STARTING)
    assert status.minutes("rnn", "evening") == pytest.approx(10 * share + status.STARTING)
    publish("rnn", "evening", seconds=120)
    assert status.minutes("rnn", "evening") == pytest.approx(2 + status.STARTING)
    told = status.told(["rnn", "transformer"], "evening")
    assert (
        told
        == "2 stages, profile evening: about 2 minutes of one processor core, and transformer, of which no result says how long"
    )


def test_status_tells_of_what_data_a_training_would_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    networks("b" * 64)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Persian-WikiText-1.txt").write_text("این متن فارسی است.\n\nاین هم.\n", "utf-8")
    assert main(["status", "rnn", "generation"]) == 0
    head, rnn, drawn, here = capsys.readouterr().out.splitlines()
    assert rnn.split()[:3] == ["rnn", "own", "b" * 10] and "rnn, transformer, rnn-classic" in drawn
    assert f"holds text {(status.at_hand('text', None) or '')[:10]}, images with test set none" in here


def test_less_text_takes_less_and_a_manifest_that_names_no_number_had_all() -> None:
    folder = publish("text", seconds=600)
    manifest = read_json(folder / "manifest.json")
    for corpus in manifest["config"].values():
        del corpus["documents"]
    store.write_json(folder / "manifest.json", manifest)
    assert status.minutes("text", "full") == status.minutes("text", "evening") == pytest.approx(10 + status.STARTING)
    assert (status.minutes("text", "smoke") or 10) < 0.3


def test_an_estimate_counts_the_final_measures_too() -> None:
    folder = publish("pixelcnn", seconds=0)
    manifest = read_json(folder / "manifest.json") | {"evaluation_seconds": 600}
    store.write_json(folder / "manifest.json", manifest)
    share = stages.get("pixelcnn").config("evening").test_images / stages.get("pixelcnn").config("full").test_images
    assert status.minutes("pixelcnn", "full") == pytest.approx(10 + status.STARTING)
    assert status.minutes("pixelcnn", "evening") == pytest.approx(10 * share + status.STARTING)


def test_training_says_what_it_will_do_and_does_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:  # fmt: skip
    networks()
    done: list[str] = []
    for name in ("rnn", "generation"):
        monkeypatch.setattr(stages.get(name), "run", lambda *_, name=name: done.append(name) or tmp_path)
    assert main(["train", "rnn"]) == 0 and done == ["rnn"]
    told = capsys.readouterr().out
    assert "not asked for, but concerned (train --needed trains them, too):\n  generation: made from rnn\n" in told
    assert "1 stages, profile full: about" in told
    assert main(["train", "rnn", "--needed"]) == 0 and done == ["rnn", "rnn", "generation"]
    assert "  generation: made from rnn\n2 stages" in capsys.readouterr().out
    assert main(["status", "rnn", "generation", "text"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["rnn", "own", "a"] and lines[3].split()[:2] == ["text", "absent"]
    assert lines[2].endswith("rnn, transformer, rnn-classic")


@pytest.mark.parametrize("native", [True, False])
def test_the_line_that_says_why_fp32(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is at hand: what it is asked is answered by a stub."""
    precision.bf16_is_native.cache_clear()
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(precision.torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda including_emulation=True: native)
    try:
        assert precision.why_fp32() == ("" if native else "the GPU Tesla T4 has no bf16 of its own: all in fp32")
        device = store.provenance()["device"]
        assert (device["kind"], device["name"], device["bf16"]) == ("cuda", "Tesla T4", native)
    finally:
        precision.bf16_is_native.cache_clear()
