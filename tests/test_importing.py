"""``results import``: an honest zip takes its place; whatever else a zip can be is refused in one line, and nothing changes."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genmodels import stages, store
from genmodels.__main__ import main
from genmodels.config import to_plain
from genmodels.stages import importing
from genmodels.system.files import read_json


def publish(name: str = "ngram", value: float = 1.0, config: object = None) -> Path:
    plain = to_plain(config or stages.get(name).config("smoke"))
    manifest = {"config": plain, "data": {"name": "toy", "digest": "0"}} | store.provenance()
    return store.publish(name, "smoke", manifest=manifest, metrics={"value": value}, arrays={"a": np.arange(3)})


def packed(path: Path, folder: Path, prefix: str = "cache/") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{prefix}{folder.parent.name}/{folder.name}/{file.name}")
    return path


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip of one result; the cache in force is another, empty one."""
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "elsewhere"))
    path = packed(tmp_path / "results.zip", publish())
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "home"))
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_result_comes_home_over_the_one_that_lies_there(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    old = publish(value=2.0)
    assert main(["results", "import", str(made)]) == 0
    assert capsys.readouterr().out.strip() == str(old)
    assert store.load("ngram", "smoke").metrics == {"value": 1.0}
    assert files(tmp_path / "home") == [f"ngram/smoke/{n}" for n in ("manifest.json", "metrics.json", "slice.npz")]


def test_a_zip_with_and_without_the_cache_folder_and_with_strange_files(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    packed(again, Path(os.environ["GENMODELS_CACHE"]).parent / "elsewhere/ngram/smoke", "kaggle/output/")
    with zipfile.ZipFile(again, "a") as archive:
        archive.writestr("__MACOSX/ngram/smoke/._manifest.json", "x")
        archive.writestr("notes/readme.txt", "not of a result")
    assert importing.import_results(again) == [tmp_path / "home/ngram/smoke"]


def refused(path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    kept = publish(value=2.0)
    before = files(home)
    assert main(["results", "import", str(path)]) != 0
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error
    assert files(home) == before and read_json(kept / "metrics.json") == {"value": 2.0}
    assert not list(home.parent.rglob("evil*"))
    return error


def rewritten(made: Path, change: dict[str, bytes | None], **more: bytes) -> Path:
    """The zip with members changed (None: left out) and added."""
    with zipfile.ZipFile(made) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in {**{f"cache/ngram/smoke/{n}": c for n, c in change.items()}, **more}.items():
        members.pop(name, None)
        if content is not None:
            members[name] = content
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics.json": b"{}"}, "was altered"),
        ({"metrics.json": None}, "missing or not in the manifest"),
        ({"more.txt": b"x"}, "missing or not in the manifest"),
        ({"manifest.json": b"{"}, "cannot be read as JSON"),
        ({"manifest.json": None}, "holds no result"),
        ({"big.bin": bytes(30 << 20)}, "more than results take"),
    ],
)
def test_an_altered_result_is_refused(change: dict[str, bytes | None], said: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert said in refused(rewritten(made, change), tmp_path / "home", capsys)


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil/ngram/x", "cache\\..\\..\\evil.txt", "C:/evil/a/b"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert "leaves the folder" in refused(rewritten(made, {}, **{name: b"x"}), tmp_path / "home", capsys)


def test_a_link_an_unknown_stage_and_profile_and_a_second_copy_are_refused(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    link = zipfile.ZipInfo("cache/ngram/smoke/evil")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    original = made.read_bytes()
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in refused(made, tmp_path / "home", capsys)
    for name, said in {
        "cache/evil/smoke/manifest.json": "there is no stage 'evil'",
        "cache/ngram/evil/manifest.json": "the profiles are full, evening, smoke",
        "other/ngram/smoke/manifest.json": "twice",
    }.items():
        made.write_bytes(original)
        assert said in refused(rewritten(made, {}, **{name: b"{}"}), tmp_path / "home", capsys)


def test_a_result_of_other_settings_is_refused(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "elsewhere"))
    plain = to_plain(stages.get("ngram").config("smoke"))
    packed(made, publish(config=plain | {"orders": [1, 2]}))
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "home"))
    assert "other settings: orders" in refused(made, tmp_path / "home", capsys)


def test_what_is_no_zip_is_refused(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, whole = tmp_path / "home", made.read_bytes()
    assert "is missing" in refused(tmp_path / "nowhere.zip", home, capsys)
    assert "cannot read" in refused(tmp_path, home, capsys)
    made.write_bytes(whole[: len(whole) // 2])
    assert "cannot be unpacked" in refused(made, home, capsys)
    place = whole.index(b'"value"')
    made.write_bytes(whole[:place] + b"X" + whole[place + 1 :])
    assert "cannot be unpacked" in refused(made, home, capsys)


def test_the_zip_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "import"]) == 2 and "which zip?" in capsys.readouterr().err
