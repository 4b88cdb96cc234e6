"""Drawn images as a result: drawn, measured and scored again from what is shipped; refused when any of it changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common import outcome, reseal
from genmodels import stages, store
from genmodels.config import ClassifierModelConfig, PixelCNNModelConfig
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn.quality import near
from genmodels.pixelcnn.sampling import independent, sample
from genmodels.report import image_samples as section
from genmodels.report import names
from genmodels.stages import image_samples
from genmodels.stages.classifier import ClassifierStage, shifted
from genmodels.stages.image_samples import INDEPENDENT, ImageSamplesConfig, ImageSamplesStage, first_images
from genmodels.stages.images import PixelCNNStage
from genmodels.system import files, processes

REAL_LOAD = stages.load
CONFIG = ImageSamplesConfig(models=("pixelcnn", "pixelcnn-threshold"), samples=30, neighbours=20, cool=12)
HONEST = (
    "manifest", "weights", "samples pixelcnn-threshold", "samples pixelcnn", "samples cool", "measures real-dynamic",
    "measures real-threshold", "measures pixelcnn-threshold", "measures pixelcnn", "measures independent", "worst", "neighbours",
    "likelihood", "unlikely",
)  # fmt: skip


def brief(config: Any, model: Any) -> Any:
    """Any image stage's settings at a size that trains in a second."""
    training = replace(config.training, steps=6, warmup_steps=1, batch_size=8, evaluations=2, bf16=False)
    return replace(config, training=training, model=model, validation_images=20, curve_images=10, test_images=40)


class SmallPixelCNN(PixelCNNStage):
    def config(self, profile: str) -> Any:
        return brief(super().config("smoke"), PixelCNNModelConfig(channels=4, kernels=(7, 3, 1)))


class SmallThreshold(SmallPixelCNN):
    """Another model, which says that it was taught thresholded images."""

    name = "pixelcnn-threshold"

    def config(self, profile: str) -> Any:
        config = super().config(profile)
        return replace(config, binarization="threshold", training=replace(config.training, expected_targets=False))


class SmallClassifier(ClassifierStage):
    def config(self, profile: str) -> Any:
        return brief(super().config("smoke"), ClassifierModelConfig(channels=(4, 4, 4), features=8))


class SmallSamples(ImageSamplesStage):
    def config(self, profile: str) -> ImageSamplesConfig:
        return CONFIG


def toy_images() -> mnist.MNIST:
    """Blots: darker towards the class's own corner, so that there is something to learn."""
    generator = torch.Generator().manual_seed(3)

    def draw_some(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(count, dtype=torch.uint8) % 10
        images = torch.randint(0, 90, (count, 28, 28), generator=generator)
        for image, label in zip(images, labels.tolist()):
            image[2 * label : 2 * label + 6] += 160
        return images.to(torch.uint8), labels

    return mnist.MNIST(*draw_some(60), *draw_some(40), digest="f" * 64)


def with_models(folder: Path, patch: pytest.MonkeyPatch) -> SmallSamples:
    """The stage, with two tiny image models and a tiny classifier, trained, in its cache."""
    toy = toy_images()
    patch.setattr(mnist, "load", lambda folder=None: toy)
    patch.setattr(mnist, "DIGEST", toy.digest)
    patch.setattr(mnist, "static_test_set", lambda folder=None: None)
    patch.setenv("GENMODELS_CACHE", str(folder / "cache"))
    small = {each.name: each for each in (SmallPixelCNN(), SmallThreshold(), SmallClassifier())}
    patch.setattr(stages, "load", lambda name, profile="full": small[name].load(profile))
    for each in small.values():
        each.run("full")
    return SmallSamples()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSamples:
    return with_models(tmp_path, monkeypatch)


def test_an_honest_result_verifies_and_is_complete(stage: SmallSamples) -> None:
    stage.run("full")
    assert outcome(stage) == dict.fromkeys(HONEST, True)
    result = stage.load("full")
    assert result.measures.keys() == {"real-dynamic", "real-threshold", INDEPENDENT, *CONFIG.models}
    assert result.images("pixelcnn").shape == (30, 1, 28, 28) and result.images("cool").shape == (12, 1, 28, 28)
    first = sample(stages.load("pixelcnn").model(), 5, torch.Generator().manual_seed(CONFIG.seed))
    assert torch.equal(first, result.images("pixelcnn")[:5])  # the first of the seed, however many are drawn
    toy = toy_images()
    assert result.slice["labels"].tolist() == toy.test_labels.tolist()
    nll = result.slice["nll"]
    assert result.class_nll[3] == pytest.approx(nll[toy.test_labels.numpy() == 3].mean(), rel=1e-6)
    assert (
        result.metrics["unlikely"]["nll_nats"][0] == pytest.approx(nll.max()) and result.metrics["test_set"] == "seeded"
    )
    plain = mnist.threshold(toy.train_images[:40])
    apart = (result.images("pixelcnn")[:1, None] != plain[None]).flatten(2).sum(2)
    assert result.distances("pixelcnn")[0] == apart.min()


def test_the_classifiers_accuracy_is_counted_again(stage: SmallSamples) -> None:
    assert all(outcome(SmallClassifier()).values())
    folder = store.result_folder("mnist-classifier", "full")
    metrics = files.read_json(folder / "metrics.json")
    metrics["slice"]["test_accuracy"] += 0.01
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    assert outcome(SmallClassifier()) == {"manifest": True, "contents": False}  # the headline says otherwise
    metrics["test_accuracy"] += 0.01
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    assert outcome(SmallClassifier())["test_accuracy"] is False


def test_models_trained_again_make_the_images_stale(stage: SmallSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the shipped results; images from before a user's own training are not checked."""
    stage.run("full")
    stored = stages.load("pixelcnn").stored
    weights = {key: value + 0.3 for key, value in stored.weights().items()}
    kept = {"history": stored.history, "arrays": stored.slice, "metrics": stored.metrics}
    manifest = {
        "config": stored.manifest["config"],
        "data": stored.manifest["data"],
        "fingerprint": stored.manifest["fingerprint"],
    }
    store.publish("pixelcnn", "full", manifest=manifest, weights=weights, **kept)
    assert outcome(stage) == {"manifest": True, "weights": None}
    monkeypatch.setattr(store, "is_shipped", lambda result: True)
    found = outcome(stage)
    assert not any(found[name] for name in ("weights", "samples pixelcnn", "samples cool", "unlikely"))
    assert found["samples pixelcnn-threshold"] and found["measures pixelcnn"]


def flip(name: str) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda arrays, metrics: arrays.update({name: arrays[name] ^ np.uint8(0b00010000)})


def better(*path: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    def change(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
        for step in path[:-1]:
            metrics = metrics[step]
        metrics[path[-1]] = metrics[path[-1]] * 0.97

    return change


FORGED = [
    (
        lambda arrays, metrics: arrays.update({"mean-image": arrays["mean-image"] * np.float32(0.9)}),
        {"measures independent"},
    ),
    (flip("images--pixelcnn"), {"samples pixelcnn", "measures pixelcnn", "neighbours"}),
    (flip("images--cool"), {"samples cool"}),
    (flip("images--real-dynamic"), {"measures real-dynamic"}),
    (flip("images--neighbours"), {"neighbours"}),
    (flip("images--unlikely"), {"unlikely"}),
    (better("measures", "pixelcnn", "frechet"), {"measures pixelcnn"}),
    (better("measures", "real-threshold", "confidence"), {"measures real-threshold"}),
    (better("measures", "pixelcnn-threshold", "distance_median"), {"measures pixelcnn-threshold"}),
    (better("unlikely", "nll_nats", 0), {"unlikely"}),
    (lambda arrays, metrics: arrays.update(nll=arrays["nll"] * np.float32(0.99)), {"likelihood", "unlikely"}),
    (lambda arrays, metrics: metrics["worst"]["places"].reverse(), {"worst"}),
    (
        lambda arrays, metrics: arrays.update({"distances--pixelcnn": arrays["distances--pixelcnn"] + np.uint16(9)}),
        {"neighbours"},
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One honest result for all forgeries."""
    with pytest.MonkeyPatch.context() as patch:
        stage = with_models(tmp_path_factory.mktemp("made"), patch)
        folder = stage.run("full")
        yield stage, folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("forge", "noticed"), FORGED, ids=range(len(FORGED)))
def test_a_forged_result_is_contradicted(made: Any, forge: Callable[..., None], noticed: set[str]) -> None:
    stage, folder, kept = made
    with np.load(folder / "slice.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    metrics = files.read_json(folder / "metrics.json")
    forge(arrays, metrics)
    try:
        files.write_bytes(folder / "slice.npz", store.array_bytes(**arrays))
        files.write_json(folder / "metrics.json", metrics)
        reseal(folder)
        found = outcome(stage)
    finally:
        for name, content in kept.items():
            files.write_bytes(folder / name, content)
    assert noticed <= {name for name, passed in found.items() if not passed}
    assert found["weights"] and found["manifest"]


def test_chunks_of_any_size_draw_the_same(stage: SmallSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stages.load("pixelcnn").model()
    whole = first_images(model, 17, seed=4)
    monkeypatch.setattr("genmodels.stages.image_samples.CHUNK", 5)
    assert torch.equal(first_images(model, 17, seed=4), whole) and not torch.equal(
        first_images(model, 17, seed=5), whole
    )


def test_processes_beside_each_other_draw_the_same(stage: SmallSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = image_samples._drawn_beside(CONFIG, "full")
    monkeypatch.setattr(processes, "START_METHOD", "fork")  # the toy stages live in this process
    monkeypatch.setattr(image_samples, "cores", lambda: 2)
    monkeypatch.setattr(image_samples, "BESIDE", 1)
    beside = image_samples._drawn_beside(CONFIG, "full")
    assert list(beside) == list(alone) == list(CONFIG.models)
    assert all(torch.equal(beside[name], alone[name]) for name in alone)


def test_independent_pixels_are_lit_at_their_own_rates() -> None:
    mean = torch.linspace(0, 1, 784).view(28, 28)
    images = independent(mean, 2000, seed=3)
    assert (images.mean(0)[0] - mean).abs().max() < 0.06 and torch.equal(independent(mean, 5, seed=3), images[:5])
    assert not images[:, 0, 0, 0].any() and images[:, 0, -1, -1].all()


def test_a_model_that_is_not_there_is_not_skipped(stage: SmallSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "load", REAL_LOAD)
    monkeypatch.setattr(
        SmallSamples, "config", lambda self, profile: replace(CONFIG, models=("pixelcnn-other", "pixelcnn"))
    )
    with pytest.raises(UserError, match="no stage 'pixelcnn-other'"):
        stage.run("full")


def test_the_model_that_is_shown_must_be_among_them(stage: SmallSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SmallSamples, "config", lambda self, profile: replace(CONFIG, shown="other"))
    with pytest.raises(UserError, match="none of pixelcnn, pixelcnn-threshold"):
        stage.run("full")


def test_being_near_is_read_beside_real_images() -> None:
    floor = np.arange(1, 101)
    assert near(floor, floor)["distance_below"] == pytest.approx(0.01, abs=0.011)
    assert near(np.zeros(10), floor) == {"distance_median": 0.0, "distance_below": 1.0}


def test_shifted_images_keep_their_shape_and_move_by_a_pixel() -> None:
    image = torch.zeros(200, 1, 28, 28)
    image[:, :, 10, 20] = 1
    moved = shifted(image, torch.Generator().manual_seed(0))
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert moved.sum() == 200 and places == {(r, c) for r in (9, 10, 11) for c in (19, 20, 21)}
    corner = torch.ones(50, 1, 4, 4)
    assert not torch.equal(shifted(corner, torch.Generator().manual_seed(0)), corner)


@pytest.mark.filterwarnings("error:Glyph")
def test_the_report_can_show_all_of_it(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = made[0].load("full")
    monkeypatch.setitem(names.SHORT_NAMES, "pixelcnn-threshold", "PixelCNN آستانه‌ای")
    rows = section.quality_rows(result)
    assert [row["تصویرها"] for row in rows].count("آزمون واقعی") == 2 and len(rows) == 5
    assert {row["دودویی‌سازی"] for row in rows} == {"پویا", "آستانه‌ای"}
    pictures = section.gallery_rows(result)
    assert [len(images) for _, images, _ in pictures] == [10] * 4 and [len(words) for *_, words in pictures] == [
        0,
        10,
        10,
        10,
    ]
    image = result.images("pixelcnn")[0, 0]
    figures = (
        section.gallery(pictures),
        section.temperatures(result.images("pixelcnn"), result.images("cool"), 0.8),
        section.hardness(image, image * 0.5, image * 0.7, result.class_nll),
    )
    for figure in figures:
        figure.savefig(io.BytesIO(), format="svg")


def test_edges_are_on_both_sides_of_a_border() -> None:
    image = np.zeros((5, 6))
    image[2:, 3:] = 1
    wanted = np.zeros((5, 6), dtype=bool)
    wanted[1:3, 3:] = wanted[2:, 2:4] = True
    assert np.array_equal(section.near_edge(image), wanted)
