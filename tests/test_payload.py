"""Every file of every result, spoilt on purpose in a copy: a failed check, never a traceback, never a pass.

The copies are re-sealed: the manifest's digests fit the spoilt files. What is dear (fingerprints, drawing, likelihoods) is left
out, so that each refusal here comes from what the files hold. Weights and slices that only a likelihood tells apart are told
apart by that of a few documents or images, below.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from common import reseal
from genmodels import stages, store
from genmodels.errors import StaleResult, UserError
from genmodels.stages import base, payload, trained
from genmodels.stages.base import verified
from genmodels.system import files

SHIPPED = Path(__file__).resolve().parents[1] / "cache"
DEAR = ("weights.safetensors", "slice.npz", "metrics.json")  # of a twin: the same shapes, other numbers
GARBAGE = {
    "empty": b"",
    "bytes": bytes(range(256)) * 8,
    "text": "سلام،\nدنیا\n".encode(),
    "list": b"[]",
    "table": b"{}",
    "number": b"0",
    "deep": b"[" * 200_000,
    "endless number": b"9" * 5000,
    "nan": b'{"slice": NaN}',
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The shipped results, whole: links, of which a test replaces those that it spoils."""
    place = tmp_path_factory.mktemp("cache")
    for manifest in SHIPPED.glob("*/full/manifest.json"):
        (target := place / manifest.parent.relative_to(SHIPPED)).mkdir(parents=True)
        for path in manifest.parent.iterdir():
            os.symlink(path, target / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENMODELS_CACHE", str(place))
        yield place


def spoil(cache: Path, name: str, file: str, content: bytes) -> Path:
    """The result's folder with another file in it, re-sealed."""
    folder = cache / name / "full"
    for changed, data in ((file, content), ("manifest.json", (folder / "manifest.json").read_bytes())):
        (folder / changed).unlink()
        (folder / changed).write_bytes(data)
    reseal(folder)
    return folder


def mend(cache: Path, name: str) -> None:
    folder = cache / name / "full"
    for path in folder.iterdir():
        if not path.is_symlink():
            path.unlink()
    for path in (SHIPPED / name / "full").iterdir():
        if not (folder / path.name).exists():
            os.symlink(path, folder / path.name)


def refused(stage: base.Stage) -> str:
    """The one line of the failed check; fails where nothing is contradicted."""
    failed = [check for check in stage.verify("full") if check.passed is False]
    assert failed and all("\n" not in check.detail and check.detail for check in failed)
    return failed[0].detail


def cheap(stage: base.Stage, patch: pytest.MonkeyPatch) -> None:
    """What would be made again holds: structure alone refuses. (The n-grams' counts and the text are cheap to make again.)"""
    if stage.name not in ("ngram", "text"):
        patch.setattr(stage, "contradict", lambda result: [])


def donors(name: str, file: str) -> Iterator[tuple[str, bytes]]:
    """The same file of other stages (of any name, where none has it), where its bytes are others: the four nearest in size."""
    own = SHIPPED / name / "full" / file
    kind = file.rpartition("-")[2]
    found = [path for path in sorted(SHIPPED.glob(f"*/full/*{kind}")) if path != own] or sorted(
        SHIPPED.glob(f"*/full/*{own.suffix}")
    )
    others = {path.read_bytes(): path for path in found} | {own.read_bytes(): own}
    near = sorted(others.items(), key=lambda pair: abs(len(pair[0]) - own.stat().st_size))
    for content, path in [pair for pair in near if pair[1] != own][:4]:
        yield f"{path.parts[-3]} {path.name}", content


def payload_of(name: str) -> list[str]:
    return sorted(path.name for path in (SHIPPED / name / "full").iterdir() if path.name != "manifest.json")


def shipped(name: str) -> base.Stage:
    stage = stages.get(name)
    try:
        stage.load("full")
    except UserError as error:
        pytest.skip(f"no such result here: {error}")
    return stage


@pytest.mark.parametrize("name", stages.STAGES)
def test_a_whole_result_belongs_together(cache: Path, name: str) -> None:
    stage = shipped(name)
    stage.belongs(stage.load("full"))


@pytest.mark.parametrize("name", stages.STAGES)
def test_every_spoilt_file_is_a_failed_check(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stage = shipped(name)
    cheap(stage, monkeypatch)
    for file in payload_of(name):
        whole = (SHIPPED / name / "full" / file).read_bytes()
        kinds = GARBAGE if file.endswith(".json") else {kind: GARBAGE[kind] for kind in ("empty", "bytes", "text")}
        for kind, content in (kinds | {"half": whole[: len(whole) // 2]}).items():
            spoil(cache, name, file, content)
            detail = refused(stage)
            assert len(detail) < 1000, (file, kind, detail)
        mend(cache, name)
        folder = spoil(cache, name, file, whole)
        manifest = files.read_json(folder / "manifest.json")
        (folder / file).unlink()
        del manifest["payload"][file]
        files.write_json(folder / "manifest.json", manifest)
        refused(stage)  # a file that is gone from folder and manifest alike
        mend(cache, name)
    (folder := cache / name / "full").joinpath("more.bin").write_bytes(b"x")
    spoil(cache, name, "metrics.json", (folder / "metrics.json").read_bytes())
    manifest = files.read_json(folder / "manifest.json")
    files.write_json(
        folder / "manifest.json",
        manifest | {"payload": manifest["payload"] | {"more.bin": files.file_digest(folder / "more.bin")}},
    )
    assert "more.bin" in refused(stage)
    mend(cache, name)


MANIFESTS: dict[str, Any] = {
    "payload": (0, [], {}, {"metrics.json": 0}),
    "data": ("x", {}, {"digest": 1}),
    "config": (0, []),
    "stage": (None,),
}


@pytest.mark.parametrize("name", stages.STAGES)
def test_every_spoilt_manifest_is_a_failed_check(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stage = shipped(name)
    whole = files.read_json(SHIPPED / name / "full" / "manifest.json")
    if "fingerprint" not in whole:
        cheap(stage, monkeypatch)
    path = cache / name / "full" / "manifest.json"
    spoilt = [whole | {key: value} for key, values in MANIFESTS.items() for value in values]
    spoilt += [{key: value for key, value in whole.items() if key != gone} for gone in ("payload", "data", "config")]
    spoilt += [{k: v for k, v in whole.items() if k != "fingerprint"}] * ("fingerprint" in whole)
    for content in [*map(json.dumps, spoilt), "", "[]", "[" * 200_000, "{"]:
        path.unlink()
        path.write_text(content)
        refused(stage)
    mend(cache, name)


@pytest.mark.parametrize("name", stages.STAGES)
def test_every_file_of_another_stage_is_a_failed_check(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stage = shipped(name)
    cheap(stage, monkeypatch)
    for file in payload_of(name):
        for donor, content in donors(name, file):
            spoil(cache, name, file, content)
            failed = [check for check in stage.verify("full") if check.passed is False]
            if not failed:  # a twin's: the same shapes, and what only computing tells apart
                assert isinstance(stage, trained.ModelStage) and file in DEAR, (file, donor)
                assert not few_hold(stage), (file, donor)
        mend(cache, name)


def few(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first document, or the first images, of a slice."""
    if "test_offsets" in arrays:
        end = arrays["test_offsets"][1]
        return {
            "test_ids": arrays["test_ids"][:end],
            "test_offsets": arrays["test_offsets"][:2],
            "test_characters": arrays["test_characters"][:1],
        }
    return {key: array[:3] for key, array in arrays.items()}


def few_hold(stage: trained.ModelStage) -> bool:
    """``verify``'s comparison on a few documents or images: what is in the cache against the shipped result."""
    now = stage.load("full")
    then = trained.Result(store.StoredResult(SHIPPED / stage.name / "full", now.manifest), now.config, stage.build)
    with torch.no_grad():
        again, stored = (stage.slice_metrics(one.config, few(one.slice), one.model()) for one in (now, then))
    same = now.metrics["slice"] == then.metrics["slice"]
    return same and all(check.passed for check in base.compare_metrics(again, stored))


@pytest.mark.parametrize("change", ["test_perplexity", "test_loss_nats", "train_tokens", "parameters", "tokens_seen"])
def test_an_embellished_headline_is_a_failed_check(cache: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Not only what is measured on the slice: every number that others say."""
    stage = shipped("transformer")
    cheap(stage, monkeypatch)
    metrics = stage.load("full").metrics
    metrics[change] = type(metrics[change])(metrics[change] * 0.9)
    spoil(cache, "transformer", "metrics.json", json.dumps(metrics).encode())
    assert change in refused(stage)
    mend(cache, "transformer")


@pytest.mark.parametrize(
    ("column", "value"),
    [("learning_rate", 0.1), ("step", 1), ("train_loss", np.nan), ("seconds", 1e9), ("epoch", 99.0)],
)
def test_a_history_of_another_training_is_a_failed_check(
    cache: Path, monkeypatch: pytest.MonkeyPatch, column: str, value: float
) -> None:
    stage = shipped("pixelcnn-homework")
    cheap(stage, monkeypatch)
    table = stage.load("full").history
    table.loc[2, column] = value
    spoil(cache, "pixelcnn-homework", "history.csv", table.to_csv(index=False).encode())
    assert "history.csv" in refused(stage)
    mend(cache, "pixelcnn-homework")


@pytest.mark.parametrize(
    "error", [KeyError("slice"), ValueError("a\nb"), ZeroDivisionError(), RecursionError(), StaleResult("one line")]
)
@pytest.mark.parametrize(
    ("at", "name"),
    [("load", "manifest"), ("belongs", "contents"), ("contradict", "contents"), ("contradict_with_data", "data")],
)
def test_any_exception_of_one_stage_is_its_own_failed_check(
    monkeypatch: pytest.MonkeyPatch, error: Exception, at: str, name: str
) -> None:
    """Before, in and after the making again; the other stage is verified all the same."""

    def fail(*_: object) -> Any:
        raise error

    class Whole(base.Stage):
        with_data = "data"
        config = run = belongs = contradict = contradict_with_data = lambda *_: []  # type: ignore[assignment]  # noqa: E731

        def load(self, profile: str) -> Any:
            return SimpleNamespace(manifest={"payload": {}})

    found = {"whole": Whole(), "broken": type("Broken", (Whole,), {at: fail})()}
    monkeypatch.setattr(stages, "get", found.get)
    (broken, failing), (whole, passing) = verified(["whole", "broken"], whole=True, workers=1)
    (failed,) = (check for check in failing if check.passed is False)
    assert (broken, failed.name) == ("broken", name) and "\n" not in failed.detail
    assert whole == "whole" and all(check.passed for check in passing)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [({}, {"a": 1}), ({"a": "x"}, {"a": float}), ({"a": True}, {"a": int}), ({"a": float("nan")}, {"a": float}), ([], payload.Each(int)),
     ([1, 2], [int]), (1.0, payload.About(1.1)), ("a", {"a": 1}), (None, {"a": 1}), ({"a": 1.0}, {"a": 1})],
)  # fmt: skip
def test_what_is_not_like_it_is_refused(found: Any, wanted: Any) -> None:
    with pytest.raises(StaleResult):
        payload.like(found, wanted, "it")


def test_what_is_like_it_passes() -> None:
    payload.like(
        {"a": 1.5, "b": [1, 2], "c": {"x": 1}, "more": None}, {"a": float, "b": [int, 2], "c": payload.Each(int)}, "it"
    )
    payload.like(1.0 + 1e-9, payload.About(1.0), "it")
