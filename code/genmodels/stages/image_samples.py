"""Stage ``pixelcnn-samples``: thousands of images of every image model, measured beside real test images.

For each model the first ``samples`` images of the seed: Fréchet distance, classes, confidence of the shipped classifier,
nearest training images (``pixelcnn/quality.py``), each held to training images binarised as it was taught them; so is the row
of real test images, the floor. At the other end ``independent``: each pixel drawn alone from the mean training image. Of the
model shown also: the same seed at a lower temperature, its worst samples, the test images it finds least likely, by class.
Ships packed bits and small arrays; ``verify`` draws the first images again, measures all again, scores the least likely again,
but not what needs the training images: the reference's mean and covariance, and the search among all of them. A result
whose models or classifier have been trained again since is refused. Another model is one more name in ``MODELS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels import stages, store
from genmodels.config import setting
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn import quality
from genmodels.pixelcnn.evaluation import nll_nats
from genmodels.pixelcnn.quality import CLASSES, measured
from genmodels.pixelcnn.sampling import independent, replay, sample
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE, Check, ShippedResult, Stage, weights_of
from genmodels.stages.profiles import at
from genmodels.system.files import data_digest
from genmodels.system.meters import Clock
from genmodels.system.processes import Workers, cores
from genmodels.training.batches import generator_for

MODELS = ("pixelcnn", "pixelcnn-gated", "pixelcnn-threshold", "pixelcnn-homework")
INDEPENDENT = "independent"  # the baseline's name; no stage, it is drawn from the shipped mean image
REAL = "real"  # rows of real test images are called real-<binarisation>
BESIDE = 1000  # samples of a model from which on the models are drawn beside each other, by a process a core
CHUNK = 250  # images drawn at once; the seed's numbers are the same in chunks of any size
REPLAYED = 25  # images of each model that verify draws again: 19,600 draws, each of which another network or seed turns
MEASURES = ("frechet", "classes_apart", "confidence", "unsure", "distance_median", "distance_below")


@dataclass(frozen=True)
class ImageSamplesConfig:
    """What is drawn and what it is held to."""

    models: tuple[str, ...] = setting(MODELS, "مدل‌ها")
    shown: str = setting("pixelcnn", "مدلی که نمونه‌هایش نشان داده می‌شود")
    classifier: str = setting("mnist-classifier", "رده‌بند")
    samples: int = setting(5000, "نمونه‌های هر مدل", "و تصویرهای آزمون واقعی")
    neighbours: int = setting(2000, "نمونه‌هایی که همسایه‌شان جست‌وجو می‌شود", "نخستین‌ها")
    temperature: float = setting(0.8, "دمای پایین‌تر", "همان دانه")
    cool: int = setting(100, "نمونه‌های دمای پایین‌تر")
    gallery: int = setting(10, "تصویرهای هر ردیف")
    reference: int = setting(0, "تصویرهای مرجع", "تصویرهای آموزش که همه با آن‌ها سنجیده می‌شوند", off=0)
    seed: int = setting(0, "دانهٔ تصادفی")


class ImageSamplesResult(ShippedResult):
    """Images and measures; names are those of the models, and ``real-<binarisation>``."""

    @property
    def measures(self) -> dict[str, dict[str, float]]:
        return self.metrics["measures"]

    def images(self, name: str) -> Tensor:
        """(N, 1, 28, 28): samples of a model or real images; ``cool``, ``neighbours`` and ``unlikely`` of the one shown."""
        if name == INDEPENDENT:  # nothing but noise to compress: made again instead of shipped
            return independent(torch.from_numpy(self.slice["mean-image"]), self.config.samples, self.config.seed)
        return mnist.unpack_images(self.slice[f"images--{name}"])

    def distances(self, name: str) -> np.ndarray:
        """(M,) pixels from the first samples to their nearest training images."""
        return self.slice[f"distances--{name}"].astype(int)

    def reference(self, binarization: str) -> quality.Reference:
        gaussian = quality.Gaussian(self.slice[f"mean--{binarization}"], self.slice[f"covariance--{binarization}"])
        return quality.Reference(gaussian, self.slice[f"shares--{binarization}"])

    def binarization(self, name: str) -> str:
        return self.metrics["binarization"][name]

    @property
    def class_nll(self) -> list[float]:
        """Mean nats per image of the test images of each class, by the model that is shown."""
        nll, labels = self.slice["nll"].astype(float), self.slice["labels"]
        return [float(nll[labels == digit].mean()) for digit in range(CLASSES)]


def first_images(model: Any, count: int, seed: int, temperature: float = 1.0) -> Tensor:
    """The first ``count`` images of the seed, (N, 1, 28, 28)."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    return torch.cat([sample(model, size, generator, temperature=temperature) for size in sizes])


def _drawn_beside(config: ImageSamplesConfig, profile: str) -> dict[str, Tensor]:
    """Every model's first images; the same whatever the number of processes."""
    with Workers(min(cores(), len(config.models)) if config.samples >= BESIDE else 1) as pool:
        jobs = [(name, profile, config.samples, config.seed) for name in config.models]
        return dict(zip(config.models, map(mnist.unpack_images, pool.map(_drawn, jobs)), strict=True))


def _drawn(job: tuple[str, str, int, int]) -> np.ndarray:
    name, profile, count, seed = job
    return mnist.pack_images(first_images(stages.load(name, profile).model(), count, seed))


class ImageSamplesStage(Stage):
    name = "pixelcnn-samples"
    reads = "images"
    needs = (*MODELS, ImageSamplesConfig().classifier)
    result = ImageSamplesResult

    def config(self, profile: str) -> ImageSamplesConfig:
        smoke = {"samples": 100, "neighbours": 20, "reference": 1000}
        return at(profile, ImageSamplesConfig(), {"evening": {"samples": 500, "neighbours": 500}, "smoke": smoke})

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Draw, measure, publish: about a minute a model, by a process a core. ``restart`` is void: no checkpoint."""
        config = self.config(profile)
        clock = Clock()
        results = {name: stages.load(name, profile) for name in (*config.models, config.classifier)}
        if config.shown not in config.models:
            raise UserError(f"the model to show, {config.shown!r}, is none of {', '.join(config.models)}")
        classifier, shown = results[config.classifier].model(), results[config.shown]
        images, plan = mnist.load(folder), shown.config
        test_set, test = mnist.test_bits(images, plan.binarization, plan.training.seed, folder)
        if test_set != shown.metrics["test_set"]:
            found = f"the test set here is {test_set!r}, that of {config.shown} is {shown.metrics['test_set']!r}"
            raise UserError(f"{found}; give the data folder of its training, or {store.remake(config.shown, profile)}")
        test = mnist.every(test, plan.test_images)
        real = {"dynamic": test, "threshold": mnist.threshold(mnist.every(images.test_images, plan.test_images))}
        train = images.train_images[: len(images.train_images) - plan.validation_images]
        train = mnist.every(train, config.reference or len(train))
        kinds = {name: results[name].config.binarization for name in config.models} | {INDEPENDENT: "dynamic"}
        mean = (train.double().mean(0) / 255).float()
        drawn = {INDEPENDENT: independent(mean, config.samples, config.seed)} | _drawn_beside(config, profile)
        drawn |= {f"{REAL}-{kind}": mnist.every(real[kind], config.samples) for kind in set(kinds.values())}
        model = shown.model()
        nll = nll_nats(model, test)
        unlikely = nll.argsort(descending=True)[: config.gallery]
        arrays = {
            "mean-image": mean.numpy(),
            "images--cool": mnist.pack_images(first_images(model, config.cool, config.seed, config.temperature)),
            "nll": nll.numpy(),
            "labels": images.test_labels[quality.sources(test, images.test_images)].numpy(),
            "images--unlikely": mnist.pack_images(test[unlikely]),
        }
        metrics = {
            "measures": _measure(config, classifier, train, kinds, drawn, arrays),
            "test_set": test_set,
            "binarization": kinds | {f"{REAL}-{kind}": kind for kind in kinds.values()},
            "unlikely": {"places": unlikely.tolist(), "nll_nats": nll[unlikely].tolist()},
            "worst": quality.least_certain(measured(classifier, drawn[config.shown])[1], config.gallery),
        }
        digest = data_digest(images.digest, mnist.pack_images(test).tobytes())
        data = {"name": "MNIST", "digest": digest, "weights": weights_of(results)}
        return self.publish(profile, config, data, clock.spent(), metrics=metrics, arrays=arrays)

    def belongs(self, result: ImageSamplesResult) -> None:
        config, profile = result.config, result.manifest["profile"]
        payload.files(result.manifest, "metrics.json", "slice.npz")
        weights = dict.fromkeys((*config.models, config.classifier), str)
        payload.like(result.manifest["data"], {"name": "MNIST", "weights": weights}, "manifest.json, data")
        kinds = {name: stages.get(name).config(profile).binarization for name in config.models}
        kinds |= {INDEPENDENT: "dynamic"} | {f"{REAL}-{kind}": kind for kind in ("dynamic", *kinds.values())}
        first = [float] * config.gallery
        wanted = {
            "binarization": kinds,
            "test_set": str,
            "unlikely": {"places": [int] * config.gallery, "nll_nats": first},
            "worst": {"places": [int] * config.gallery, "entropy_bits": first},
            "measures": dict.fromkeys(kinds, dict.fromkeys(MEASURES, float)),
        }
        payload.like(result.metrics, wanted, "metrics.json")
        payload.arrays(result.slice, _shapes(result, kinds))

    def contradict(self, result: ImageSamplesResult) -> list[Check]:
        config, profile = result.config, result.manifest["profile"]
        results = {name: stages.load(name, profile) for name in (*config.models, config.classifier)}
        checks = [self.same_sources(result, results)]
        networks = {name: results[name].model() for name in config.models}
        drawn = [(name, networks[name], 1.0) for name in networks]
        drawn.append(("cool", networks[config.shown], config.temperature))
        for name, network, temperature in drawn:  # full forward passes draw them again from the same numbers
            images = result.images(name)[:REPLAYED]
            again = replay(network, images, torch.Generator().manual_seed(config.seed), temperature)
            checks.append(Check(f"samples {name}", again.holds, f"{again} in {len(images)} images"))
        classifier = results[config.classifier].model()
        for name in result.measures:
            features, logs = measured(classifier, result.images(name))
            checks.append(_measured_again(name, result, features, logs))
            if name == config.shown:
                checks.append(_worst_again(result, quality.class_entropy_bits(logs)))
        return [*checks, *_neighbours(result), *_likelihood(result, results[config.shown], networks[config.shown])]


def _measure(
    config: ImageSamplesConfig,
    classifier: Any,
    train: Tensor,
    kinds: dict[str, str],
    drawn: dict[str, Tensor],
    arrays: dict[str, np.ndarray],
) -> dict[str, dict[str, float]]:
    """The measures of all images in ``drawn``; ``arrays`` gets the images, what they are held to, and the distances."""
    found: dict[str, dict[str, float]] = {}
    plain = mnist.threshold(train)  # what neighbours are looked for in, whatever the model was taught
    for kind in sorted(set(kinds.values())):
        bits = mnist.binarize(train, generator_for(config.seed, "reference"), kind)
        reference = quality.Reference.of(classifier, bits)
        arrays |= {f"mean--{kind}": reference.gaussian.mean, f"covariance--{kind}": reference.gaussian.covariance}
        arrays[f"shares--{kind}"] = reference.shares
        for name in (f"{REAL}-{kind}", *(name for name in kinds if kinds[name] == kind)):
            some = mnist.every(drawn[name], config.neighbours) if name.startswith(REAL) else drawn[name]
            distances, places = quality.nearest(some[: config.neighbours], plain)
            arrays[f"distances--{name}"] = distances.numpy().astype(np.uint16)
            if name != INDEPENDENT:
                arrays[f"images--{name}"] = mnist.pack_images(drawn[name])
            floor = arrays[f"distances--{REAL}-{kind}"].astype(int)
            found[name] = quality.measures(classifier, drawn[name], reference) | quality.near(distances.numpy(), floor)
            if name == config.shown:
                arrays["images--neighbours"] = mnist.pack_images(plain[places[: config.gallery]])
    return found


def _measured_again(name: str, result: ImageSamplesResult, features: Tensor, logs: Tensor) -> Check:
    """Measures from the shipped images; shares of images may differ by those that lie within rounding of a border."""
    kind, stored = result.binarization(name), result.measures[name]
    again = quality.measures_of(features, logs, result.reference(kind))
    again |= quality.near(result.distances(name), result.distances(f"{REAL}-{kind}"))
    turned = {"unsure": quality.undecided(logs), "classes_apart": quality.undecided(logs)}
    differences = {key: abs(value - stored[key]) - turned.get(key, 0.0) for key, value in again.items()}
    apart = np.max([by / max(abs(stored[key]), 1e-2) for key, by in differences.items()])  # which a NaN wins
    return Check(f"measures {name}", apart <= METRIC_TOLERANCE * 10, f"largest relative difference {apart:.1e}")


def _worst_again(result: ImageSamplesResult, entropy: Tensor) -> Check:
    """The stored places hold the largest entropies (N,), in order, whichever of two equal ones comes first."""
    stored = result.metrics["worst"]
    largest = entropy.sort(descending=True).values[: result.config.gallery].numpy()
    there = entropy[stored["places"]].numpy()
    alike = (np.allclose(found, largest, rtol=METRIC_TOLERANCE, atol=0) for found in (there, stored["entropy_bits"]))
    same = len(set(stored["places"])) == len(largest) and all(alike)
    return Check("worst", same, "the worst samples, found again")


def _shapes(result: ImageSamplesResult, kinds: dict[str, str]) -> dict[str, payload.Array]:
    """What the arrays are, by name; of real images there may be fewer than of samples."""
    config, found = result.config, result.slice
    tested, packed = len(found.get("nll", ())), mnist.PIXELS // 8
    shapes = {"mean-image": payload.Array((mnist.SIDE, mnist.SIDE), "f", high=1)}
    for kind in set(kinds.values()):
        size = len(found.get(f"mean--{kind}", ()))
        shapes[f"mean--{kind}"] = payload.Array((size,), "f", low=-np.inf)
        shapes[f"covariance--{kind}"] = payload.Array((size, size), "f", low=-np.inf)
        shapes[f"shares--{kind}"] = payload.Array((CLASSES,), "f", high=1)
    for name in kinds:
        count = min(config.samples, tested) if name.startswith(REAL) else config.samples
        shapes[f"distances--{name}"] = payload.Array((min(config.neighbours, count),), high=mnist.PIXELS)
        if name != INDEPENDENT:
            shapes[f"images--{name}"] = payload.Array((count, packed))
    pictures = {"neighbours": config.gallery, "unlikely": config.gallery, "cool": config.cool}
    shapes |= {f"images--{name}": payload.Array((count, packed)) for name, count in pictures.items()}
    return shapes | {"nll": payload.Array((tested,), "f"), "labels": payload.Array((tested,), high=CLASSES - 1)}


def _neighbours(result: ImageSamplesResult) -> list[Check]:
    """The shown pairs lie as far apart as the stored distances say."""
    neighbours = result.images("neighbours")
    first = result.images(result.config.shown)[: len(neighbours)]
    again = (first != neighbours).flatten(1).sum(1).numpy()
    same = np.array_equal(again, result.distances(result.config.shown)[: len(again)])
    return [Check("neighbours", same, f"distances {', '.join(map(str, again))} pixels")]


def _likelihood(result: ImageSamplesResult, shown: Any, network: Any) -> list[Check]:
    """The likelihoods of all test images have the mean that the model's own stage found; the least likely, scored again."""
    nll, stored, wanted = result.slice["nll"].astype(float), result.metrics["unlikely"], shown.metrics["test_nll_nats"]
    whole = abs(nll.mean() / wanted - 1) <= METRIC_TOLERANCE
    again = nll_nats(network, result.images("unlikely")).numpy()
    places = np.argsort(-nll, kind="stable")[: len(again)].tolist()
    same = np.allclose(again, stored["nll_nats"], rtol=METRIC_TOLERANCE)
    same &= np.allclose(nll[places], stored["nll_nats"], rtol=1e-6)
    return [
        Check("likelihood", whole, f"mean of {len(nll)} images {nll.mean():.6g}, the stage's own {wanted:.6g}"),
        Check("unlikely", same, f"{len(again)} least likely images, {again.min():.4g} to {again.max():.4g} nats"),
    ]
