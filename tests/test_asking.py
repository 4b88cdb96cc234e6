"""``genmodels continue`` and ``draw``: small untrained networks stand where results would; every refusal is one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from genmodels import store
from genmodels.__main__ import main
from genmodels.config import PixelCNNModelConfig, RecurrentModelConfig
from genmodels.language.recurrent import RecurrentLM
from genmodels.pixelcnn.model import PixelCNN
from genmodels.pixelcnn.sampling import sample
from genmodels.stages.images import PixelCNNStage
from genmodels.stages.language import LanguageStage
from genmodels.system import files
from genmodels.text import normalization
from genmodels.text.tokenizer import Tokenizer

WORDS = "این روستا در شمال استان"


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PixelCNN:
    """Each stage gives the same small network; of ``transformer-best`` there is no result."""
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    tokenizer = Tokenizer.train(["کتاب و پرنده در آب و هوا" * 20], 300)
    for name in ("transformer", "rnn-classic"):
        files.write_bytes(store.result_folder(name, "full") / "tokenizer.json", tokenizer.to_bytes())
    torch.manual_seed(0)
    writes = RecurrentLM(RecurrentModelConfig(8, 8, 1, 0.0), tokenizer.vocabulary_size).eval()
    draws = PixelCNN(PixelCNNModelConfig(2, (7, 1))).eval()

    def load(network: torch.nn.Module) -> object:
        def opened(stage: LanguageStage | PixelCNNStage, profile: str) -> object:
            missing = stage.name == "transformer-best" or profile != "full"
            return store.load(stage.name, profile) if missing else SimpleNamespace(model=lambda: network)

        return opened

    monkeypatch.setattr(LanguageStage, "load", load(writes))
    monkeypatch.setattr(PixelCNNStage, "load", load(draws))
    return draws


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_a_text_is_continued_by_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    first = asked(capsys, "continue", WORDS, "--tokens", "9", "--temperature", "2")
    assert first.startswith(normalization.normalize(WORDS)) and len(first) > len(WORDS) + 2
    assert asked(capsys, "continue", *WORDS.split(), "--tokens", "9", "--temperature", "2") == first
    assert asked(capsys, "continue", WORDS, "--tokens", "9", "--temperature", "2", "--seed", "5") != first
    greedy = [asked(capsys, "continue", WORDS, "--greedy", "--tokens", "5", "--seed", seed) for seed in "12"]
    assert greedy[0] == greedy[1]
    classic = asked(capsys, "continue", WORDS, "--model", "rnn-classic", "--tokens", "1")
    assert classic.startswith(normalization.classic(WORDS))


def test_images_are_drawn_into_one_sheet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, networks: PixelCNN
) -> None:
    sheet = tmp_path / "new" / "a.png"
    assert asked(capsys, "draw", "--count", "3", "--out", str(sheet)).strip() == str(sheet)
    wanted = sample(networks, 3, torch.Generator().manual_seed(0))
    pixels = imread(sheet)[::3, ::3, 0]  # three times as large; ink is black
    assert pixels.shape == (58, 58)
    places = [(0, 0), (0, 30), (30, 0)]
    for image, (top, left) in zip(wanted, places, strict=True):
        assert np.array_equal(pixels[top : top + 28, left : left + 28], 1 - image[0].numpy())
    assert (pixels[30:, 30:] == 1).all()
    before = sheet.read_bytes()
    asked(capsys, "draw", "--count", "3", "--out", str(sheet))
    assert sheet.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["continue", " "], "the text is empty"), (["continue", "و از", "--model", "rnn-classic"], "nothing is left of 'و از'"),
        (["continue", "\ud800"], "half a character"), (["continue", "ا", "--model", "gan"], "there is no model 'gan' that writes text; give one of rnn,"),
        (["continue", "ا", "--model", "pixelcnn"], "no model 'pixelcnn' that writes"), (["continue", "ا", "--model", "ngram"], "no model 'ngram'"),
        (["continue", "ا", "--model", "transformer-best"], "train transformer-best --profile full"),
        (["continue", "ا", "--profile", "smoke"], "train transformer --profile smoke"),
        (["continue", "ا", "--tokens", "0"], "tokens is 0; give a whole number from 1 to 10000"), (["continue", "ا", "--tokens", "9" * 50], "tokens is 999"),
        (["continue", "ا", "--seed", "-1"], "seed is -1"), (["continue", "ا", "--temperature", "nan"], "temperature nan"),
        (["continue", "ا", "--temperature", "0"], "temperature 0.0"), (["continue", "ا", "--top-p", "2"], "top_p 2.0"),
        (["continue", "ا", "--top-k", "0"], "top_k 0"), (["continue", "ا", "--min-p", "-1"], "min_p -1.0"),
        (["continue", "ا", "--repetition-penalty", "0"], "repetition_penalty 0.0"),
        (["draw", "--count", "0"], "count is 0; give a whole number from 1 to 10000"), (["draw", "--count", "10001"], "count is 10001"),
        (["draw", "--seed", str(2**63)], "seed is 9223372036854775808"), (["draw", "--temperature", "inf"], "temperature is inf"),
        (["draw", "--model", "rnn"], "there is no model 'rnn' that draws images; give one of pixelcnn,"), (["draw", "--profile", "smoke"], "train pixelcnn --profile smoke"),
        (["draw", "--out", "."], "ends in .png"), (["draw", "--out", "a.jpg"], "ends in .png"), (["draw", "--out", "file/a.png"], "cannot write"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_leaves_no_file(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "file").write_text("")
    monkeypatch.chdir(folder)
    if arguments[0] == "draw" and "--out" not in arguments:
        arguments = [*arguments, "--out", "a.png"]
    assert main(arguments) >= 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and complaint in error
    assert [path.name for path in folder.iterdir()] == ["file"]
