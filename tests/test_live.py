"""The models inside the page: the engine in JavaScript, under Node, computes what the package computes.

Tiny networks with random weights, so that no shipped result decides; every kind of layer that the page can be given.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from genmodels.errors import UserError
from genmodels.language.generation import Sampling
from genmodels.language.kneser_ney import KneserNey
from genmodels.language.perplexity import target_losses
from genmodels.pixelcnn.sampling import draw
from genmodels.report import live
from genmodels.system.whole_weights import quantise, rounded, uniforms
from genmodels.text.cleaning import clean_paragraph
from genmodels.text.normalization import normalize

NODE = shutil.which("node")
WIDGETS = Path(__file__).resolve().parents[1] / "assets" / "html" / "widgets"
ENGINE = [str(WIDGETS / f"{name}.js") for name in ("engine", "networks", "counts", "painters")]
needs_node = pytest.mark.skipif(NODE is None, reason="no Node here: the engine is tested in the browser alone")
LEVELS, LINES = 15, 600


def engine(content: dict[str, Any], *asks: list[Any]) -> list[Any]:
    told = json.dumps({"scripts": ENGINE, "content": content, "asks": asks})
    done = subprocess.run([NODE, Path(__file__).with_name("engine.cjs")], input=told, capture_output=True, text=True)
    assert not done.returncode and not done.stderr, done.stderr
    return json.loads(done.stdout)


def numbers(values: list[Any]) -> np.ndarray:
    return np.array([-np.inf if value == "-inf" else value for value in values], dtype=float)


@pytest.fixture(scope="module")
def language_models() -> dict[str, Any]:
    return tiny_models.language()


@pytest.fixture(scope="module")
def image_models() -> dict[str, Any]:
    return tiny_models.images()


def language_content(models: dict[str, Any]) -> dict[str, Any]:
    return {
        name: live.counts(model) if isinstance(model, KneserNey) else live.language_model(model, LEVELS)
        for name, model in models.items()
    }


def test_whole_numbers_are_within_half_a_step() -> None:
    weight = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0))
    weight[2] = 0
    whole, scale = quantise(weight, 31)
    assert whole.dtype == torch.int8 and whole.abs().amax() == 31 and not whole[2].any()
    assert ((whole * scale.view(5, 1, 1) - weight).abs() <= scale.view(5, 1, 1) * 0.50001).all()
    for levels in (0, 128):
        with pytest.raises(UserError, match="eight bits"):
            quantise(weight, levels)


@needs_node
def test_random_numbers_are_the_same_in_both_languages() -> None:
    places = [0, 1, 2, 783, 784, 10**6, 2**31 - 1]
    seeds = (0, 1, 7, 2**32 - 1)
    found = engine({}, *(["draws", seed, places] for seed in seeds))
    assert found == [uniforms(seed, np.array(places)).tolist() for seed in seeds]
    many = uniforms(3, np.arange(100_000))
    assert abs(many.mean() - 0.5) < 0.005 and abs(np.corrcoef(many[1:], many[:-1])[0, 1]) < 0.01


@needs_node
def test_bytes_come_back_from_their_signs() -> None:
    contents = [np.random.RandomState(count).bytes(count) for count in range(1, 40)]
    signs = [live.written(content) for content in contents]
    for content, (size, text) in zip(contents, signs):
        assert size == len(content) and not set('"/<\\') & set(text) and len(text) == 2 * -(-8 * size // 13)
    found = engine({}, *(["bytesOf", text, size] for size, text in signs))
    assert list(map(bytes, found)) == contents


@needs_node
def test_logits_losses_and_looks_are_those_of_the_rounded_model(language_models: dict[str, Any]) -> None:
    for seed in (1, 2):
        ids = [0, *np.random.RandomState(seed).randint(1, tiny_models.VOCABULARY, 15).tolist()]
        asks = [["read", name, ids] for name in language_models], [["logits", name, ids] for name in language_models]
        answers = engine(language_content(language_models), *asks[0], *asks[1])
        for (name, model), read, logits in zip(language_models.items(), answers[:3], answers[3:]):
            if isinstance(model, KneserNey):
                with np.errstate(divide="ignore"):
                    wanted = np.log(model.distribution(ids))
                losses = -model.log_probabilities(np.array(ids), np.array([0, len(ids)]))
            else:
                model = rounded(model, LEVELS)
                with torch.no_grad():
                    wanted = model(torch.tensor([ids]))[0][0, -1].numpy()
                losses = target_losses(model, ids, np.array([0, len(ids)]))
            assert np.allclose(numbers(logits), wanted, atol=1e-3, rtol=0), name
            assert np.allclose(read["losses"], losses, atol=1e-3, rtol=0)
            p = np.exp(wanted - np.logaddexp.reduce(wanted))
            likely = np.argsort(-p, kind="stable")[:10]
            assert np.allclose([each for _, each in read["likeliest"]], p[likely], atol=1e-3)
        looks = answers[1]["looks"]
        assert [len(row) for row in looks] == list(range(1, 17)) and np.allclose([sum(row) for row in looks], 1)


@needs_node
def test_a_longer_text_forgets_its_older_half_as_generate_does(language_models: dict[str, Any]) -> None:
    """Also where the model had read a shorter one before, or another one."""
    model = rounded(language_models["transformer"], LEVELS)
    ids = [0, *np.random.RandomState(2).randint(1, tiny_models.VOCABULARY, 29).tolist()]
    lengths, window = (5, 16, 17, 20, 30, 18, 3), {5: 5, 16: 16, 17: 8, 20: 11, 30: 12, 18: 9, 3: 3}
    answers = engine(
        language_content(language_models), *(["logits", "transformer", ids[:length]] for length in lengths)
    )
    for length, found in zip(lengths, answers):
        with torch.no_grad():
            wanted = model(torch.tensor([ids[length - window[length] : length]]))[0][0, -1].numpy()
        assert np.allclose(found, wanted, atol=1e-3), length


@needs_node
def test_the_same_seed_gives_the_same_continuation(language_models: dict[str, Any]) -> None:
    content, settings = language_content(language_models), {"temperature": 0.8, "topK": 40, "topP": 0.9}
    sampling, ids = Sampling(temperature=0.8, top_k=40, top_p=0.9), [0, 5, 17]
    wanted = {
        name: tiny_models.continued(model, LEVELS, ids, 11, 8, sampling) for name, model in language_models.items()
    }
    asks = [
        ["next", name, [*ids, *new[:at]], settings, 11, at] for name, new in wanted.items() for at in range(len(new))
    ]
    assert engine(content, *asks) == [token for new in wanted.values() for token in new]


@needs_node
def test_every_cut_keeps_what_sampling_keeps() -> None:
    logits = np.random.RandomState(3).randn(50) * 2
    cases = [(t, k, p) for t in (0.5, 1.0, 1.7) for k in (None, 1, 7) for p in (None, 0.3, 0.95)]
    places = np.linspace(0.001, 0.999, 23)
    asks = [
        ["choose", logits.tolist(), u, {"temperature": t} | ({"topK": k} if k else {}) | ({"topP": p} if p else {})]
        for t, k, p in cases
        for u in places
    ]
    wanted = [tiny_models.drawn(logits, u, Sampling(t, k, p)) for t, k, p in cases for u in places]
    assert engine({}, *asks) == wanted


@needs_node
def test_images_are_those_of_the_package_pixel_by_pixel(image_models: dict[str, Any]) -> None:
    given = (torch.rand(28, 28, generator=torch.Generator().manual_seed(9)) < 0.3).float()
    numbers = torch.from_numpy(uniforms(5, np.arange(3 * 784))).view(3, 28, 28)
    pixels, content = given.flatten().int().tolist(), {n: live.image_model(m, 127) for n, m in image_models.items()}
    cases = [(name, kept) for name in image_models for kept in (0, 100, 784)]
    asks = [ask for name, kept in cases for ask in (["begin", name, pixels, kept, 3, 0.9, 5], *[["row"]] * 28)]
    answers = engine(content, *asks)
    for case, (name, kept) in enumerate(cases):
        rows = [row * 3 if len(row) == 1 else row for row in answers[29 * case + 1 : 29 * case + 29]]
        found = {
            key: np.array([[part[key] for part in row] for row in rows]).transpose(1, 0, 2) for key in ("pixels", "p")
        }
        model, mask = rounded(image_models[name], 127), torch.arange(784).view(28, 28) < kept
        wanted = draw(model, numbers, temperature=0.9, given=given, mask=mask)[:, 0]
        assert np.array_equal(found["pixels"], wanted.numpy()), (name, kept)
        with torch.no_grad():
            logits = model(wanted[:, None])[:, 0].double()
        assert np.allclose(found["p"], torch.sigmoid(logits / 0.9).numpy(), atol=1e-5)


def test_the_engine_is_short() -> None:
    assert sum(len(Path(path).read_text("utf-8").splitlines()) for path in [*ENGINE, WIDGETS / "live.js"]) <= LINES


PROSE = "و این جمله‌ای از متنی بلند است که از پاک‌سازی می‌گذرد."
TYPED = {  # what a reader may type -> what it becomes
    "كتاب هاي علي": "کتاب‌های علی",
    "در سال 1999 و ٢٠٠٠": "در سال ۱۹۹۹ و ۲۰۰۰",
    "H2O و COVID-19": "H2O و COVID-19",
    "می نویسد و نمی خواند": "می‌نویسد و نمی‌خواند",
    "کتابها  بزرگ تر شد": "کتابها بزرگ‌تر شد",
    "سلام ، دنیا !": "سلام، دنیا!",
    'او گفت "بله" و رفت': "او گفت «بله» و رفت",
    "کِتابِ أحمد": "کتاب احمد",
    "کـــتاب": "کتاب",
    "خانه ای در رده ی نخست": "خانه‌ای در رده‌ی نخست",
    "چرا?چون": "چرا؟ چون",
    "خانهها": "خانه‌ها",
    " \u200cایران\u200c ": "ایران",
    "": "",
}


@needs_node
def test_typed_text_becomes_what_the_models_were_taught() -> None:
    """Where hazm's lists of words are not needed the page normalises as ``text.normalization`` does, and says so."""
    script = (
        "globalThis.report = {}; require(process.argv[1]);"
        "const [classes, texts] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "process.stdout.write(JSON.stringify(texts.map(report.typed(classes))))"
    )
    texts = [*TYPED, *TYPED.values()]
    done = subprocess.run(
        [NODE, "-e", script, WIDGETS / "typed.js"],
        input=json.dumps([live.classes(), texts]), capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert [each["text"] for each in found] == [*TYPED.values()] * 2
    for given, each in zip(texts, found):
        assert bool(each["changes"]) == (given != each["text"]), given
        taught = normalize(clean_paragraph(f"{given.strip()} {PROSE}"))
        assert taught == f"{each['text']} {PROSE}".strip(), given
