"""The command line: one clear line and an exit code for every mistake, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import PATIENCE
from genmodels import stages, store
from genmodels.__main__ import main
from genmodels.data import fetch_wikipedia
from genmodels.errors import UserError
from genmodels.render import document as rendering
from genmodels.render import submission
from genmodels.system import files, processes
from genmodels.training import batches


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
def test_training_without_data_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stage: str
) -> None:
    code, error = run(capsys, "train", stage, "--profile", "smoke")
    assert code == 3 and one_line(error) and "genmodels data" in error
    assert not (tmp_path / "cache").exists()


def test_unknown_stage(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "train", "gan")
    assert code == 2 and one_line(error) and ", ".join(stages.STAGES) in error


def test_verify_without_results_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", "pixelcnn"])
    out, error = capsys.readouterr()
    assert (
        code == 5
        and "FAIL pixelcnn/full manifest" in out
        and "train pixelcnn --profile full" in out
        and one_line(error)
    )


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


def test_without_a_home_a_path_in_it_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container whose user has no entry in the system's list, and no HOME."""
    pwd = pytest.importorskip("pwd")

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("GENMODELS_DATA", "~/x")
    assert main(["prepare"]) == 2
    assert "GENMODELS_DATA=~/x: there is no such home folder; write the path in full" in capsys.readouterr().err
    assert fetch_wikipedia.check_credentials() is None and submission.machine_path(b"~") is None


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems know no such names")
def test_names_that_are_no_utf8_lose_no_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    odd.mkdir()
    words = ["شهر بزرگی در کنار رود آرام است", "مردم در بازار میوه و نان می‌خرند", "کتاب‌های تازه را در خانه می‌خوانیم"]
    text = "\n\n".join(f"{words[i % 3]} و {words[(i // 3) % 3]} شماره {i}." for i in range(90)) + "\n"
    (odd / os.fsdecode(b"\xfe.txt")).write_text(text, "utf-8")
    monkeypatch.setenv("GENMODELS_PREPARED", str(odd / "prepared"))
    assert main(["prepare", "--data", str(odd / os.fsdecode(b"\xfe.txt"))]) == 0
    told = capsys.readouterr()
    assert (
        "fluent train:" in told.out and "genmodels: \ufffd.txt: " in told.err and "of the letters Persian" in told.err
    )
    with pytest.raises(UserError, match="has a name that is no UTF-8; rename it"):
        rendering.render(odd)


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["nothing"], ["text"], ["speed-bpe", "--device", "cuda"]):
        code, error = run(capsys, "bench", *arguments)
        assert code == 2 and one_line(error)


def test_a_benchmark_prints_what_its_stage_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed-decoding", "--profile", "smoke"]) == 0
    told = capsys.readouterr().out
    assert "# speed-decoding\n" in told and "\n| kv_heads | tokens | cache_seconds |" in told and "\n| rnn | " in told


def test_bad_grammar_is_argparse_exit_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--profile", "huge"])
    assert stop.value.code == 2


@pytest.mark.skipif(
    sys.version_info < (3, 13) and not sys.prefix.isascii(),
    reason="Python itself cannot start there (site.py reads .pth files)",
)
def test_a_persian_path_in_a_locale_without_persian(tmp_path: Path) -> None:
    """Locale C without Python's own remedies: the message is one line with the path in it, not a UnicodeEncodeError."""
    place = tmp_path / "پوشهٔ نتیجه"
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "GENMODELS_CACHE": str(place),
    }
    environment.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-m", "genmodels", "verify", "text"], env=environment, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 5 and str(place) in done.stdout.decode("utf-8") and one_line(done.stderr.decode("utf-8"))


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (None, 0), (False, 5)])
def test_only_a_contradiction_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, passed: bool | None, code: int
) -> None:
    from genmodels.stages import base, commands

    checks = [base.Check("manifest", True, "whole"), base.Check("opening", passed, "no bf16")]
    monkeypatch.setattr(commands, "verified", lambda names, *_, **__: iter([(name, checks) for name in names]))
    assert main(["verify", "text"]) == code
    out, error = capsys.readouterr()
    _, line, *end = out.splitlines()
    assert (
        line
        == {
            True: "ok   text/full opening: no bf16",
            None: "--   text/full opening: not checked here: no bf16",
            False: "FAIL text/full opening: no bf16",
        }[passed]
    )
    told = {True: "verify: all 2 checks hold", None: "verify: all 1 checks hold, 1 not checked here"}
    assert end == ([told[passed]] if passed is not False else []) and error.startswith(
        "error: 1 of 2" if passed is False else ""
    )


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


def test_of_several_processes_one_prepares_and_all_train(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    for name in stages.STAGES:
        monkeypatch.setattr(stages.get(name), "run", lambda *_, name=name: ran.append(name))
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert main(["train"]) == 0 and capsys.readouterr().out == ""
    assert ran == [name for name in stages.STAGES if stages.get(name).shares_work]
    assert {"pixelcnn", "rnn", "transformer"} <= set(ran) and not {"text", "ngram", "generation", "speed-peers"} & set(
        ran
    )
    ran.clear()
    monkeypatch.setenv("RANK", "0")
    assert main(["train"]) == 0 and ran == list(stages.STAGES)


@pytest.mark.parametrize("command", ["train", "verify", "bench"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_all_names_before_any_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, place: int
) -> None:
    monkeypatch.setattr(stages, "get", lambda name: pytest.fail("it works"))
    names = ["speed-decoding", "speed-peers"] if command == "bench" else ["speed-bpe", "text"]
    names.insert(place, "typo")
    code, error = run(capsys, command, *names)
    assert code == 2 and one_line(error) and "'typo'" in error and names[0 if place else 1] in error


STRAY = [
    {"RANK": "1"}, {"WORLD_SIZE": "4"}, {"RANK": "4", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
    {"WORLD_SIZE": "two"}, {"RANK": "-1"}, {"WORLD_SIZE": "0"}, {"LOCAL_RANK": "x"}, {"RANK": "1", "WORLD_SIZE": "2"},
]  # fmt: skip


@pytest.mark.parametrize("stray", STRAY, ids=str)
@pytest.mark.parametrize("stage", ["text", "pixelcnn"])
def test_stray_variables_of_torchrun_are_one_line_and_no_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stray: dict[str, str], stage: str
) -> None:
    for name, value in stray.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stages.get(stage), "run", lambda *_: pytest.fail("it trains"))
    code, error = run(capsys, "train", stage, "--profile", "smoke")
    assert (
        code == 2
        and one_line(error)
        and all(f"{name}={value}" in error for name, value in stray.items())
        and "unset" in error
    )


@pytest.mark.parametrize(
    "harmless",
    [{}, {"WORLD_SIZE": "", "RANK": ""}, {"RANK": "0"}, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}],
    ids=str,
)
def test_variables_of_one_process_change_nothing(monkeypatch: pytest.MonkeyPatch, harmless: dict[str, str]) -> None:
    for name, value in harmless.items():
        monkeypatch.setenv(name, value)
    assert processes.place() == (0, 1, 0) and processes.is_leader() and batches.Ranks().size == 1
    assert store.provenance()["device"]["processes"] == 1


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_below_one_are_refused_before_anything_else(capsys: pytest.CaptureFixture[str], workers: int) -> None:
    """Also where the text is prepared already: the check comes before the data are looked for."""
    code, error = run(capsys, "prepare", "--workers", str(workers))
    assert code == 2 and one_line(error) and "at least 1" in error


@pytest.mark.parametrize(
    "content",
    ["[" * 200_000, '{"a":' * 100_000, "9" * 5000, "\ud800".encode("utf-8", "surrogatepass").decode("latin1")],
)
def test_json_that_cannot_be_read_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content, "utf-8")
    with pytest.raises(UserError, match="a.json cannot be read as JSON") as error:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(error.value)
