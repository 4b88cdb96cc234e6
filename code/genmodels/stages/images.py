"""Stages ``pixelcnn`` (the assignment's network on binarised MNIST, exactly as suggested), ``pixelcnn-gated`` (our improved
network, the same data), ``pixelcnn-threshold`` (the assignment's network, trained and tested on thresholded images) and ``pixelcnn-homework`` (the
same, trained as it usually is).

Trained with dynamic binarisation (a fresh Bernoulli draw each time an image is shown; Salakhutdinov & Murray 2008),
validated on the last training images binarised once, tested on the static set of Larochelle & Murray (2011) where
the user has it, else on a seeded binarisation of the test images; the metrics say which. With ``binarization``
"threshold" all three sets are cut at one half instead: another distribution, whose likelihoods compare to no other.

Expected targets. Given its grey image g, the bits x_i are independent, so that the loss of pixel i can be averaged over
x_i exactly while the earlier bits, which the network reads, stay drawn:

    E[ -x_i log p_i - (1 - x_i) log(1 - p_i) | x_1, ..., x_{i-1}, g ] = -g_i log p_i - (1 - g_i) log(1 - p_i).

The gradient keeps its expectation and each pixel's term loses variance (Blackwell 1947); the target is g_i instead of x_i.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import MUON, GatedModelConfig, GatedPixelCNNConfig, PixelCNNConfig, TrainingConfig
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn.evaluation import bits_per_pixel, nll_nats
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.model import PixelCNN, PixelModel, apply_directly, cross_entropy_nats, loss_nats
from genmodels.pixelcnn.spectral import apply_fastest, worth_spectral
from genmodels.stages import payload
from genmodels.stages.base import Check, compare_metrics
from genmodels.stages.profiles import Less, at
from genmodels.stages.trained import Material, ModelStage, Result
from genmodels.system.files import data_digest
from genmodels.system.places import data_folder
from genmodels.system.precision import autocast
from genmodels.training.batches import Batch, generator_for
from genmodels.training.loop import Objective

SLICE_TEST_IMAGES = 500
SLICE_TRAIN_IMAGES = 500
WHOLE = "whole_test_nll_nats"  # the check that takes the data

PACE: dict[str, Any] = {"learning_rate": 4e-3, "warmup_steps": 100, "ema_decay": 0.998, "momentum": MUON}
FULL = PixelCNNConfig(
    training=TrainingConfig(
        batch_size=128,
        steps=9200,
        evaluations=23,
        cooldown=0.45,
        weight_decay=0.1,
        weight_decay_from=4200,
        expected_targets=True,
        **PACE,
    ),
    curve_images=500,
)


def in_brief(evening_steps: int) -> Less:
    """The other profiles of a network on images: small batches, at which the same images make more steps."""
    return {
        "evening": {
            "steps": evening_steps,
            "batch_size": 32,
            "evaluations": 8,
            "curve_images": 100,
            "test_images": 1000,
        },
        "smoke": {"steps": 4, "batch_size": 4, "evaluations": 4, "curve_images": 4, "test_images": 60},
    }


class ImageSet(Dataset[Batch]):
    """Grey images (N, 28, 28) uint8, given a batch at a time; the objective binarises them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return (self.images[index],)

    def __getitems__(self, indices: list[int]) -> Batch:
        return (self.images[indices],)


def image_objective(binarization: str, expected: bool) -> Objective:
    """Mean negative log-likelihood of freshly binarised images; with expected targets, averaged over each pixel's own draw."""
    if expected and binarization != "dynamic":
        raise UserError(
            f"expected targets average over a draw, and {binarization!r} draws nothing; set expected_targets=False"
        )

    def prepare(batch: Batch, generator: torch.Generator) -> Batch:
        bits = mnist.binarize(batch[0], generator, binarization)  # (B, 1, H, W)
        return bits, mnist.lit(batch[0]) if expected else bits

    def total(model: nn.Module, batch: Batch) -> Tensor:
        bits, targets = batch
        return cross_entropy_nats(model(bits, apply_fastest if worth_spectral(bits) else apply_directly), targets).sum()

    return Objective(total=total, count=lambda batch: len(batch[0]), prepare=prepare)


def tiny_images(config: PixelCNNConfig) -> tuple[PixelCNNConfig, Dataset[Batch]]:
    """The experiment with four channels, on fixed noise: for fingerprints."""
    grey = torch.randint(0, 256, (16, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return replace(config, model=replace(config.model, channels=4)), ImageSet(grey)


class PixelCNNStage(ModelStage):
    name = "pixelcnn"
    reads = "images"
    with_data: str | None = WHOLE
    curve = ("validation_loss", "test_loss")
    full: PixelCNNConfig = FULL
    less: Less = in_brief(evening_steps=600)

    def config(self, profile: str) -> PixelCNNConfig:
        return at(profile, self.full, self.less)

    def build(self, config: PixelCNNConfig) -> PixelModel:
        return PixelCNN(config.model)

    def objective(self, config: PixelCNNConfig) -> Objective:
        return image_objective(config.binarization, config.training.expected_targets)

    def material(self, config: PixelCNNConfig, folder: Path | None) -> Material:
        images = mnist.load(folder)
        split = len(images.train_images) - config.validation_images
        seed = config.training.seed
        held_out = mnist.binarize(images.train_images[split:], generator_for(seed, "validation"), config.binarization)
        test_set, test = mnist.test_bits(images, config.binarization, seed, folder)
        if test_set == "seeded":
            print(f"{self.name}: the published static test set is {mnist.NO_STATIC}", file=sys.stderr)
        test = mnist.every(test, config.test_images)
        packed = mnist.pack_images(test)
        arrays = {
            "test_images": mnist.pack_images(mnist.every(test, SLICE_TEST_IMAGES)),
            "train_grey": mnist.every(images.train_images[:split], SLICE_TRAIN_IMAGES).numpy(),
        }
        data = {
            "name": "MNIST",
            "digest": data_digest(images.digest, packed.tobytes()),
            "test_set": test_set,
            "train_images": split,
            "test_images": len(test),
        }
        context = {"validation": held_out, "test": test, "test_set": test_set}
        return Material(ImageSet(images.train_images[:split]), data, arrays, {}, context)

    def curve_point(self, config: PixelCNNConfig, material: Material, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        with autocast(device.type, config.training.bf16):
            found = {}
            for split in ("validation", "test"):
                images = mnist.every(material.context[split], config.curve_images)
                found[f"{split}_loss"] = torch.cat([loss_nats(model, part.to(device)) for part in images.split(50)])
            return {name: losses.mean().item() for name, losses in found.items()}

    def final_metrics(self, config: PixelCNNConfig, material: Material, model: PixelModel) -> dict[str, Any]:
        nll = nll_nats(model, material.context["test"])
        validation = nll_nats(model, mnist.every(material.context["validation"], config.test_images))
        return {
            "test_set": material.context["test_set"],
            "test_images": len(nll),
            "test_nll_nats": nll.mean().item(),
            "test_nll_standard_error": (nll.std() / len(nll) ** 0.5).item(),
            "test_bits_per_pixel": bits_per_pixel(nll.mean().item()),
            "validation_nll_nats": validation.mean().item(),
            "live_parameters": model.live_parameters(),
        }

    def slice_metrics(self, result_config: Any, arrays: dict[str, np.ndarray], model: nn.Module) -> dict[str, float]:
        """By spectra where they are quicker: equal to the direct form up to rounding, by which stage ``pixelcnn-samples`` scores."""
        return {
            "test_nll_nats": nll_nats(model, mnist.unpack_images(arrays["test_images"]), apply=apply_fastest)
            .mean()
            .item()
        }

    def belongs(self, result: Result) -> None:
        super().belongs(result)
        config, data, metrics = result.config, result.manifest["data"], result.metrics
        kinds = {"name": "MNIST", "test_set": str, "train_images": int, "test_images": int}
        payload.like(data, kinds, "manifest.json, data")
        count, test_set = data["test_images"], data["test_set"]
        fits = (test_set == "threshold") == (config.binarization == "threshold") and count <= config.test_images
        payload.require(fits, f"manifest.json: {count} images of the test set {test_set!r} are not the settings'")
        payload.arrays(
            result.slice,
            {
                "test_images": payload.Array((min(SLICE_TEST_IMAGES, data["test_images"]), mnist.PIXELS // 8)),
                "train_grey": payload.Array((min(SLICE_TRAIN_IMAGES, data["train_images"]), mnist.SIDE, mnist.SIDE)),
            },
        )
        wanted: dict[str, Any] = {
            "test_nll_nats": float,
            "test_nll_standard_error": float,
            "validation_nll_nats": float,
        }
        payload.like(metrics, wanted | {"slice": {"test_nll_nats": float}}, "metrics.json")
        wanted = {name: data[name] for name in ("test_set", "test_images")}
        wanted["test_bits_per_pixel"] = payload.About(bits_per_pixel(metrics["test_nll_nats"]))
        payload.like(metrics, wanted | {"live_parameters": result.model().live_parameters()}, "metrics.json")

    def contradict_with_data(self, profile: str, folder: Path | None) -> list[Check]:
        """The likelihood of the whole test set; not checked where the set of the result is not in the data folder."""
        place = data_folder(folder)
        if not all(mnist.find(place, name) for name in mnist.RAW_MD5):
            return [Check(WHOLE, None, f"no data: {place} holds no MNIST")]
        result = self.load(profile)
        test_set, bits = mnist.test_bits(
            mnist.load(folder), result.config.binarization, result.config.training.seed, folder
        )
        if test_set != (wanted := result.metrics["test_set"]):
            return [Check(WHOLE, None, f"no data: {place} gives the {test_set} test set, the result's is {wanted}")]
        images = mnist.every(bits, result.config.test_images)
        again = {WHOLE: nll_nats(result.model(), images, apply=apply_fastest).mean().item()}
        return compare_metrics(again, {WHOLE: result.metrics["test_nll_nats"]})

    def tiny(self, config: PixelCNNConfig) -> tuple[PixelCNNConfig, Dataset[Batch]]:
        return tiny_images(config)


class GatedStage(PixelCNNStage):
    """Our improved network on the same data, by the same protocol."""

    name = "pixelcnn-gated"
    full = GatedPixelCNNConfig(
        training=TrainingConfig(
            batch_size=64, steps=7200, evaluations=18, cooldown=0.4, weight_decay=0.1, expected_targets=True, **PACE
        ),
        curve_images=500,
    )
    less = in_brief(evening_steps=300)

    def build(self, config: PixelCNNConfig) -> PixelModel:
        assert isinstance(config.model, GatedModelConfig)
        return GatedPixelCNN(config.model)


class ThresholdStage(PixelCNNStage):
    """The assignment's network on thresholded images: what most homework reports, another unit of measure altogether."""

    name = "pixelcnn-threshold"
    with_data = None  # a minute more for a likelihood that is set beside no published one; the slice has to do
    full = replace(
        FULL,
        binarization="threshold",
        training=TrainingConfig(batch_size=64, steps=2800, evaluations=8, **PACE),
    )
    less = in_brief(evening_steps=200)


NO_CLIP = 1e9


class HomeworkStage(ThresholdStage):
    """The assignment's network trained as it usually is, the baseline that ours have to beat.

    Thresholded images, PyTorch's default initialisation (which counts the dead half of each kernel as fan-in), Adam with a
    constant rate of 1e-3, batches of 128, no averaging, no clipping, one pass over the data. Its likelihood is one of
    thresholded images and compares only with that of ``pixelcnn-threshold``.
    """

    name = "pixelcnn-homework"
    full = replace(
        ThresholdStage.full,
        training=TrainingConfig(
            batch_size=128,
            steps=390,
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            warmup_steps=0,
            beta2=0.999,
            gradient_clip=NO_CLIP,
            evaluations=6,
        ),
    )

    def build(self, config: PixelCNNConfig) -> PixelModel:
        model = super().build(config)
        with torch.no_grad():
            for conv in model.convolutions:
                bound = 1 / math.sqrt(conv.in_channels * conv.kernel**2)  # nn.Conv2d's own, of the whole kernel
                nn.init.uniform_(conv.weight, -bound, bound).mul_(conv.mask)
                nn.init.uniform_(conv.bias, -bound, bound)
        return model
