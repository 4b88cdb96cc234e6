"""The command line: one clear line and an exit code for every mistake, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genmodels import render as rendering
from genmodels import stages, submission, wikipedia_fetch
from genmodels.__main__ import main
from genmodels.errors import UserError


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(list(arguments))
    return code, capsys.readouterr().err


def one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1


@pytest.fixture(autouse=True)
def empty_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GENMODELS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GENMODELS_PREPARED", str(tmp_path / "prepared"))


@pytest.mark.parametrize("stage", ["pixelcnn", "rnn", "rnn-classic", "transformer"])
def test_training_without_data_says_how_to_get_them(capsys: pytest.CaptureFixture[str], tmp_path: Path, stage: str) -> None:
    code, error = run(capsys, "train", stage, "--profile", "smoke")
    assert code == 3 and one_line(error) and "genmodels data" in error
    assert not (tmp_path / "cache").exists()


def test_unknown_stage(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "train", "gan")
    assert code == 2 and one_line(error) and ", ".join(stages.STAGES) in error


def test_verify_without_results_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", "pixelcnn"])
    out, error = capsys.readouterr()
    assert code == 2 and "FAIL pixelcnn/full manifest" in out and "train pixelcnn --profile full" in out and one_line(error)


@pytest.mark.parametrize("name", ["mnist", "wikipedia"])
def test_data_from_a_missing_path(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    code, error = run(capsys, "data", name, "--from", str(tmp_path / "nowhere"), "--to", str(tmp_path / "target"))
    assert code != 0 and one_line(error) and "nowhere" in error
    assert not (tmp_path / "target" / name).exists() or not list((tmp_path / "target" / name).iterdir())


@pytest.mark.parametrize("path", ["x" * 256, "ی" * 128, "a/" * 2100, "~no-such-user/x"])
@pytest.mark.parametrize(
    "command", [["prepare", "--data"], ["train", "mnist-classifier", "--data"], ["data", "mnist", "--from"], ["data", "wikipedia", "--to"],
                ["render", "--output"], ["verify", "mnist-classifier", "--data"], ["GENMODELS_DATA", "prepare"],
                ["GENMODELS_CACHE", "verify", "text"], ["GENMODELS_PREPARED", "prepare", "--data", "raw"]],
)  # fmt: skip
def test_a_path_that_cannot_be_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "Persian-WikiText-1.txt").write_text("متن\n\n" * 9, "utf-8")
    if command[0].isupper():
        monkeypatch.setenv(command[0], path)
        arguments = command[1:]
    else:
        arguments = [*command, path]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and len(told.err) < 400
    assert any(reason in told.out + told.err for reason in ("too long", "no such home folder"))


def test_without_a_home_a_path_in_it_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose user has no entry in the system's list, and no HOME."""
    pwd = pytest.importorskip("pwd")

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("GENMODELS_DATA", "~/x")
    assert main(["prepare"]) == 2
    assert "GENMODELS_DATA=~/x: there is no such home folder; write the path in full" in capsys.readouterr().err
    assert wikipedia_fetch.check_credentials() is None and submission.machine_path(b"~") is None


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems know no such names")
def test_names_that_are_no_utf8_lose_no_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    odd.mkdir()
    words = ["شهر بزرگی در کنار رود آرام است", "مردم در بازار میوه و نان می‌خرند", "کتاب‌های تازه را در خانه می‌خوانیم"]
    text = "\n\n".join(f"{words[i % 3]} و {words[(i // 3) % 3]} شماره {i}." for i in range(90)) + "\n"
    (odd / os.fsdecode(b"\xfe.txt")).write_text(text, "utf-8")
    monkeypatch.setenv("GENMODELS_PREPARED", str(odd / "prepared"))
    assert main(["prepare", "--data", str(odd / os.fsdecode(b"\xfe.txt"))]) == 0
    told = capsys.readouterr()
    assert "fluent train:" in told.out and "genmodels: \ufffd.txt: " in told.err and "of the letters Persian" in told.err
    with pytest.raises(UserError, match="has a name that is no UTF-8; rename it"):
        rendering.render(odd)


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "bench", "nothing")
    assert code == 2 and one_line(error)


def test_bad_grammar_is_argparse_exit_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--profile", "huge"])
    assert stop.value.code == 2


@pytest.mark.skipif(
    sys.version_info < (3, 13) and not sys.prefix.isascii(), reason="Python itself cannot start there (site.py reads .pth files)"
)
def test_a_persian_path_in_a_locale_without_persian(tmp_path: Path) -> None:
    """Locale C without Python's own remedies: the message is one line with the path in it, not a UnicodeEncodeError."""
    place = tmp_path / "پوشهٔ نتیجه"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "GENMODELS_CACHE": str(place)}
    environment.pop("PYTHONIOENCODING", None)
    done = subprocess.run([sys.executable, "-m", "genmodels", "verify", "text"], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 2 and str(place) in done.stdout.decode("utf-8") and one_line(done.stderr.decode("utf-8"))


def test_an_unwritable_cache_is_told_before_the_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "file"))
    stage = stages.get("pixelcnn")
    monkeypatch.setattr(stage, "material", lambda config, folder: None)
    monkeypatch.setattr(stage, "_run", lambda *_: pytest.fail("it trains"))
    code, error = run(capsys, "train", "pixelcnn", "--profile", "smoke")
    assert code == 2 and one_line(error) and "cannot write" in error and "GENMODELS_CACHE" in error


def test_of_several_processes_one_prepares_and_all_train(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    for name in stages.STAGES:
        monkeypatch.setattr(stages.get(name), "run", lambda *_, name=name: ran.append(name))
    monkeypatch.setenv("RANK", "1")
    assert main(["train"]) == 0 and capsys.readouterr().out == ""
    assert ran == [name for name in stages.STAGES if stages.get(name).shares_work]
    assert {"pixelcnn", "rnn", "transformer"} <= set(ran) and not {"text", "ngram", "generation", "speed-peers"} & set(ran)
    ran.clear()
    monkeypatch.setenv("RANK", "0")
    assert main(["train"]) == 0 and ran == list(stages.STAGES)
