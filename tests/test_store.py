"""The store: results are whole or absent, and anything that does not belong is refused by name."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genmodels import store
from genmodels.config import PixelCNNConfig, TrainingConfig, differences, to_plain
from genmodels.errors import StaleResult, UserError, WeightsAbsent
from genmodels.stages.base import Stage
from genmodels.system import files

CONFIG = {"training": {"learning_rate": 0.001, "steps": 5}, "model": {"kernels": [7, 1]}}
MANIFEST = {"config": CONFIG, "data": {"name": "toy", "digest": "d" * 64}, "fingerprint": [1.0]}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(value: float = 1.0) -> Path:
    return store.publish(
        "toy",
        "full",
        manifest=MANIFEST,
        metrics={"loss": value},
        history=pd.DataFrame([{"step": 1, "train_loss": value}]),
        weights={"w": torch.full((3,), value)},
        arrays={"ids": np.arange(4)},
        files={"note.txt": "سلام".encode()},
    )


def test_round_trip(cache: Path) -> None:
    assert publish(2.0) == cache / "toy" / "full"
    result = store.load("toy", "full", CONFIG, "d" * 64)
    assert result.metrics == {"loss": 2.0} and result.history["train_loss"].tolist() == [2.0]
    assert result.weights()["w"].tolist() == [2.0] * 3 and result.slice["ids"].tolist() == [0, 1, 2, 3]
    assert sorted(p.name for p in (cache / "toy").iterdir()) == ["full"]  # nothing temporary stays


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "weights.safetensors", "slice.npz", "note.txt"])
def test_one_changed_byte_is_refused(name: str) -> None:
    path = publish() / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StaleResult, match=f"{name} was altered.*genmodels train toy"):
        store.load("toy", "full")


def test_missing_and_stray_files_are_refused() -> None:
    folder = publish()
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(StaleResult, match="extra.bin"):
        store.load("toy", "full")
    (folder / "extra.bin").unlink()
    (folder / "slice.npz").unlink()
    with pytest.raises(StaleResult, match="slice.npz"):
        store.load("toy", "full")


def test_without_its_weights_a_result_is_not_contradicted() -> None:
    class Toy(Stage):
        name = "toy"
        config = run = belongs = contradict = lambda *_: CONFIG  # type: ignore[assignment]

    folder = publish()
    (folder / store.WEIGHTS).unlink()
    with pytest.raises(WeightsAbsent, match="the weights of 'toy'.* not here; .*WITH_WEIGHTS=1.* train toy"):
        store.load("toy", "full")
    (check,) = Toy().verify("full")
    assert check.passed is None and "not here" in check.detail
    (folder / "note.txt").unlink()  # more is missing: no hand-in has left that behind
    assert [check.passed for check in Toy().verify("full")] == [False]


def test_no_result_says_how_to_make_it() -> None:
    with pytest.raises(StaleResult, match="python -m genmodels train toy --profile full"):
        store.load("toy", "full")


def test_the_differing_field_is_named() -> None:
    publish()
    asked = {"training": {"learning_rate": 0.002, "steps": 5}, "model": {"kernels": [7, 1]}}
    with pytest.raises(StaleResult, match=r"training.learning_rate: asked 0.002, stored 0.001"):
        store.load("toy", "full", asked)
    with pytest.raises(StaleResult, match=r"data digest: asked eeee"):
        store.load("toy", "full", CONFIG, "e" * 64)
    with pytest.raises(StaleResult, match=r"momentum: asked 0.9, stored '\(absent\)'"):
        store.load("toy", "full", CONFIG | {"momentum": 0.9})


def test_broken_or_foreign_manifest_is_refused() -> None:
    folder = publish()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"stage": "other"}))
    with pytest.raises(StaleResult, match="holds stage 'other'"):
        store.load("toy", "full")
    (folder / "manifest.json").write_text(
        json.dumps({key: value for key, value in manifest.items() if key != "payload"})
    )
    with pytest.raises(StaleResult, match="lacks payload; make it again"):
        store.load("toy", "full")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        store.load("toy", "full")


def test_a_full_disk_keeps_the_old_result(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(1.0)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(UserError, match="No space left on device"):
        publish(2.0)
    assert store.load("toy", "full").metrics == {"loss": 1.0}
    assert sorted(p.name for p in (cache / "toy").iterdir()) == ["full"]


def test_a_rename_that_fails_keeps_the_old_result(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of the two renames that put the new folder in the old one's place."""
    target, real = publish(1.0), os.replace

    def fails(source: Path, place: Path) -> None:
        if place == target and source.suffix != ".old":
            raise OSError(errno.EACCES, "Permission denied")
        real(source, place)

    monkeypatch.setattr(store.os, "replace", fails)
    with pytest.raises(UserError, match="Permission denied"):
        publish(2.0)
    assert store.load("toy", "full").metrics == {"loss": 1.0}
    assert sorted(p.name for p in (cache / "toy").iterdir()) == ["full"]


def test_a_kill_between_the_two_renames_loses_nothing(cache: Path) -> None:
    old = publish(1.0).rename(cache / "toy" / ".full.killed.old")
    other = store.publish("toy", "smoke", manifest=MANIFEST, metrics={})  # no business of another profile
    assert old.exists() and other.exists()
    publish(2.0)
    assert store.load("toy", "full").metrics == {"loss": 2.0}
    assert sorted(p.name for p in (cache / "toy").iterdir()) == ["full", "smoke"]


def test_unwritable_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot write"):
        publish()


def test_provenance_names_commit_versions_and_device() -> None:
    found = store.provenance()
    assert set(found) == {"commit", "versions", "device", "finished_utc"}
    assert (
        torch.__version__.startswith(found["versions"]["torch"].split("+")[0])
        and found["device"]["threads"] == torch.get_num_threads()
    )
    assert str(store.PROJECT) not in json.dumps(found)


def test_atomic_writer_leaves_old_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "نام با فاصله" / "f.txt"
    with pytest.raises(RuntimeError), files.atomic_writer(target, "w") as stream:
        stream.write("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.atomic_writer(target, "w") as stream:
        stream.write("half")
        raise RuntimeError
    assert target.read_text() == "old" and len(list(target.parent.iterdir())) == 1


def test_data_digest_keeps_borders() -> None:
    assert files.data_digest("ab", "c") != files.data_digest("a", "bc") != files.data_digest("abc")


HOLDER = """
import sys
from genmodels.store import only_run
with only_run("toy", "full"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_training_of_the_same_stage_is_refused_until_the_first_is_gone(cache: Path) -> None:
    """Another process holds the lock; it is killed without a chance to clean up, and the way is free."""
    environment = os.environ | {"GENMODELS_CACHE": str(cache)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(
            UserError, match=rf"another training of toy, profile full, is running.*process {holder.pid}\)"
        ):
            with store.only_run("toy", "full"):
                raise AssertionError("two at once")
        with store.only_run("toy", "smoke"):
            pass
    finally:
        holder.kill()
        holder.wait()
    with store.only_run("toy", "full"):
        pass
    assert not list((cache / "checkpoints").iterdir())


def test_one_after_the_other_through_a_waiting_lock(tmp_path: Path) -> None:
    """Twelve threads count in a file; without exclusion (also while the lock file is deleted and made anew) they lose some."""
    counter = tmp_path / "count"
    counter.write_text("0")

    def add(_: int) -> None:
        for _ in range(15):
            with files.exclusive_lock(tmp_path / "lock"):
                counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(add, range(12)))
    assert counter.read_text() == "180" and not (tmp_path / "lock").exists()


def test_a_field_that_a_manifest_lacks_counts_as_its_default() -> None:
    """On the settings of a training of today, nested and in a mapping, as studies keep them."""
    plan = TrainingConfig(learning_rate=2e-3, momentum=0.95)
    asked = {"one": PixelCNNConfig(training=plan)}
    stored = to_plain(asked)
    assert differences(asked, stored) == []
    del stored["one"]["training"]["cooldown"], stored["one"]["training"]["momentum"]  # as before either field was there
    assert differences(asked, stored) == ["one.training.momentum: asked 0.95, stored 0.0"]
    assert differences({"one": PixelCNNConfig(training=replace(plan, momentum=0.0))}, stored) == []
    changed = {"one": PixelCNNConfig(training=replace(plan, momentum=0.0, learning_rate=2.002e-3))}
    assert differences(changed, stored) == ["one.training.learning_rate: asked 0.002002, stored 0.002"]
    stored["one"]["training"]["gone"] = 1  # a field that today's code has not
    assert differences({"one": PixelCNNConfig(training=replace(plan, momentum=0.0))}, stored) == [
        "one.training.gone: asked '(absent)', stored 1"
    ]
