"""The command line: one clear line and an exit code for every mistake, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from genmodels.__main__ import main


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


@pytest.mark.parametrize("stage", ["pixelcnn", "rnn", "transformer"])
def test_training_without_data_says_how_to_get_them(capsys: pytest.CaptureFixture[str], tmp_path: Path, stage: str) -> None:
    code, error = run(capsys, "train", stage, "--profile", "smoke")
    assert code == 3 and one_line(error) and "genmodels data" in error
    assert not (tmp_path / "cache").exists()


def test_unknown_stage(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "train", "gan")
    assert code == 2 and one_line(error) and "pixelcnn, rnn, transformer" in error


def test_verify_without_results_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify", "pixelcnn"])
    out, error = capsys.readouterr()
    assert code == 2 and "FAIL pixelcnn/full manifest" in out and "train pixelcnn --profile full" in out and one_line(error)


@pytest.mark.parametrize("name", ["mnist", "wikipedia"])
def test_data_from_a_missing_path(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    code, error = run(capsys, "data", name, "--from", str(tmp_path / "nowhere"), "--to", str(tmp_path / "target"))
    assert code != 0 and one_line(error) and "nowhere" in error
    assert not (tmp_path / "target" / name).exists() or not list((tmp_path / "target" / name).iterdir())


def test_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = run(capsys, "bench", "nothing")
    assert code == 2 and one_line(error)


def test_bad_grammar_is_argparse_exit_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--profile", "huge"])
    assert stop.value.code == 2
