"""What the moving figures of the page are given: blocks that only HTML shows, formulas and masks that say the truth."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

from genmodels.attention.cost import STEPS, d, n
from genmodels.attention.quantity import Log2
from genmodels.config import PixelCNNModelConfig
from genmodels.data.mnist import unpack_images
from genmodels.errors import UserError
from genmodels.language.loss_profile import Word
from genmodels.pixelcnn.model import PixelCNN
from genmodels.report import widgets
from genmodels.text.bpe import train
from test_persian_lint import L, complaints

SCRIPTS = Path(__file__).resolve().parents[1] / "assets" / "html" / "widgets"


def content(block) -> dict:  # noqa: ANN001
    (text,) = re.findall(
        r'^```\{=html\}\n<script type="application/json" id="data-\w+">(.*)</script>\n```$', block.data
    )
    return json.loads(text)


def test_a_block_cannot_end_its_script() -> None:
    block = widgets.block("x", {"text": "</script><b>"})
    assert block.data.count("</script>") == 1 and content(block) == {"text": "</script><b>"}


def test_masks_are_the_models_own() -> None:
    model = PixelCNN(PixelCNNModelConfig(channels=2, kernels=(3, 1)))
    found = content(widgets.field(model, torch.zeros(28, 28), 3, 4))
    assert found["layers"] == [[[-1, -1], [-1, 0], [-1, 1], [0, -1]], [[0, 0]]]
    assert (found["row"], found["column"], found["height"], found["width"]) == (3, 4, 28, 28)


def test_images_come_back_from_their_bits() -> None:
    images = (torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    found = content(widgets.drawing(images))
    packed = np.frombuffer(base64.b64decode(found["images"]), np.uint8).reshape(3, -1)
    assert torch.equal(unpack_images(packed), images) and found["count"] == 3


def test_merges_come_back_and_must_fit() -> None:
    bpe = train(["کتاب کتاب کتابی"], 270, first_id=2)
    found = content(widgets.merges(bpe, " کتاب"))
    pairs = np.frombuffer(base64.b64decode(found["pairs"]), "<u2").reshape(-1, 2)
    assert [tuple(pair) for pair in pairs.tolist()] == bpe.merges and found["first"] == 2
    with pytest.raises(UserError, match="16 bits"):
        widgets.merges(type(bpe)([(2, 3)] * 66_000))


def test_every_step_of_2_6_becomes_a_tree() -> None:
    def value(tree, numbers):  # noqa: ANN001, ANN202
        if isinstance(tree, str):
            return numbers.get(tree) or sp.Rational(tree)
        name, *rest = tree
        if name == "^":
            return value(rest[0], numbers) ** rest[1]
        parts = [value(part, numbers) for part in rest]
        return {"+": sp.Add, "*": sp.Mul, "log2": Log2}[name](*parts)

    found = content(widgets.costs())
    numbers = {name: sp.Rational(text) for name, text in found["setting"].items()}
    assert set(numbers) == {"n", "d", "r", "g", "o", "p"} and [key for key, _ in found["steps"]] == list(STEPS)
    for key, tree in found["steps"]:
        assert value(tree, numbers) == STEPS[key].value, key
    for unknown in (sp.sin(n), d**n, sp.floor(n)):
        with pytest.raises(UserError, match="cannot compute"):
            widgets.tree(unknown)


def test_a_passage_carries_every_tokens_loss() -> None:
    word = Word("کتابی", ("کتاب", "ی"), {"ngram": (1.23456, 0.5), "rnn": (1.0, 0.25)})
    found = content(widgets.passage([word]))
    assert found["words"] == [{"text": "کتابی", "pieces": ["کتاب", "ی"], "losses": [[1.235, 0.5], [1.0, 0.25]]}]
    assert found["models"] == ["ngram", "rnn"] and 1.25 < found["top"] < 1.74
    assert word.losses == {"ngram": pytest.approx(1.73456), "rnn": 1.25}


def test_scripts_are_short_and_their_words_are_clean() -> None:
    scripts = sorted(SCRIPTS.glob("*.js"))
    listed = re.findall(r'widgets/(\w+\.js)"', (SCRIPTS.parent / "head.html").read_text("utf-8"))
    assert sorted(listed) == [path.name for path in scripts] and listed[:2] == ["theme.js", "shared.js"]
    for path in scripts:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 150, path.name
        if path.name == "typed.js":  # patterns, no prose
            continue
        words = re.findall(rf'[^"`${{}}\n]*{L}{L}[^"`${{}}\n]*', text)  # what stands between quotes and inserted values
        found = [line for word in words for line in complaints(word)]
        assert not found, (path.name, found)
