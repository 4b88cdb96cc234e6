"""Stage ``pixelcnn-study``: what each part of the improved network is worth, one change apart, at an equal budget.

Every run of a seed sees the same images in the same order, and each variant has the channels that make its operations
about those of the assignment's network (never more). Three runs of that network with different seeds give the spread that
a difference has to exceed. All are judged on validation images, binarised once; the test set is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import (
    MUON,
    GatedModelConfig,
    GatedPixelCNNConfig,
    PixelCNNConfig,
    PixelCNNModelConfig,
    TrainingConfig,
    setting,
)
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn.evaluation import nll_nats
from genmodels.pixelcnn.model import PixelModel
from genmodels.pixelcnn.variants import PixelVariant, build
from genmodels.stages import payload
from genmodels.stages.images import ImageSet, image_objective, tiny_images
from genmodels.stages.trials import Trial, TrialsResult, TrialsStage
from genmodels.system.files import data_digest
from genmodels.system.meters import count_flops
from genmodels.training.batches import Batch, generator_for
from genmodels.training.loop import Objective

SPREAD = ("spec", "spec-seed-2", "spec-seed-3")


@dataclass(frozen=True)
class PixelRun(Trial):
    """One training of the study."""

    experiment: PixelCNNConfig
    variant: PixelVariant = field(default_factory=PixelVariant)
    expected_targets: bool = setting(True, "هدف میانگین‌گرفته")


@dataclass(frozen=True)
class Images:
    """What all runs train on and are judged on."""

    train: Tensor = field(repr=False)  # (N, 28, 28) uint8
    validation: Tensor = field(repr=False)  # (N, 1, 28, 28) zeros and ones
    digest: str


class PixelStudyResult(TrialsResult):
    """``on_validation(key)``: the losses of a run in nats, image by image, the same images for all runs."""

    def on_validation(self, key: str) -> np.ndarray:
        return np.array(self.metrics["runs"][key]["validation_image_nll_nats"])

    @property
    def effects(self) -> dict[str, tuple[float, float]]:
        """loss(run) - loss(spec) in nats an image, and its standard error over the images that both are judged on."""
        base, found = self.on_validation("spec"), {}
        for key in self.config:
            if key != "spec":
                apart = self.on_validation(key) - base
                found[key] = float(apart.mean()), float(apart.std(ddof=1) / len(apart) ** 0.5)
        return found

    @property
    def spread(self) -> float:
        """Standard deviation of the validation loss over the seeds of the assignment's network, nats an image."""
        return float(self.runs.loc[list(SPREAD), "validation_nll_nats"].std(ddof=1))


def forward_flops(model: PixelModel) -> int:
    """Counted floating-point operations of one image's forward pass (a multiplication and an addition are two)."""
    with torch.no_grad():
        return count_flops(lambda: model(torch.zeros(1, 1, *model.image_size, device=next(model.parameters()).device)))


class PixelStudy(TrialsStage):
    """One change alone, of the network (residual connections, gates, two stacks, biases that know the place) or of its
    training (drawn targets, AdamW); our network, which has three of them; three seeds' spread.

    The learning rates are the best of a few on the assignment's network (docs/LOG.md).
    """

    name = "pixelcnn-study"
    reads = "images"
    result = PixelStudyResult
    less = {
        "evening": {"steps": 30, "evaluations": 2, "curve_images": 50, "test_images": 200},
        "smoke": {"steps": 2, "batch_size": 2, "evaluations": 1, "curve_images": 2, "test_images": 8},
    }
    BUDGET: dict[str, Any] = {"batch_size": 16, "steps": 400, "warmup_steps": 40, "ema_decay": 0.99, "evaluations": 4}
    TRAINING = TrainingConfig(learning_rate=4e-3, momentum=MUON, **BUDGET)
    WITHOUT_MUON = TrainingConfig(learning_rate=2e-3, **BUDGET)

    def runs(self) -> dict[str, PixelRun]:
        plain = PixelCNNConfig(training=self.TRAINING, curve_images=200, test_images=1000)

        def stack(channels: int, **changes: bool) -> PixelRun:
            model = replace(PixelCNNModelConfig(), channels=channels)
            return PixelRun(replace(plain, model=model), PixelVariant(**changes))

        def two_stacks(channels: int, **changes: bool) -> PixelRun:
            variant = PixelVariant(**changes)
            model = GatedModelConfig(channels=channels, residual=variant.residual, placed=variant.placed)
            return PixelRun(GatedPixelCNNConfig(**vars(plain) | {"model": model}), variant)

        def seed(number: int) -> PixelRun:
            return PixelRun(replace(plain, training=replace(self.TRAINING, seed=number)))

        return {
            "spec": PixelRun(plain),
            "residual": stack(64, residual=True),
            "gates": stack(44, gated=True),
            "place": stack(64, placed=True),
            "two-stacks": two_stacks(56),
            "ours": two_stacks(40, gated=True, placed=True),
            "spec-seed-2": seed(2),
            "spec-seed-3": seed(3),
            "drawn": PixelRun(plain, expected_targets=False),
            "adamw": PixelRun(replace(plain, training=self.WITHOUT_MUON)),
        }

    def gather(self, runs: dict[str, PixelRun], folder: Path | None) -> Images:
        shared = {
            (r.experiment.binarization, r.experiment.validation_images, r.experiment.test_images) for r in runs.values()
        }
        if len(shared) != 1:
            raise UserError(
                f"the runs of {self.name} are judged on different images; give them one binarisation and one split"
            )
        how, held_out, count = shared.pop()
        images = mnist.load(folder)
        split = len(images.train_images) - held_out
        bits = mnist.binarize(images.train_images[split:], generator_for(1, "validation"), how)
        judged = mnist.every(bits, count)
        digest = data_digest(images.digest, mnist.pack_images(judged).tobytes())
        return Images(images.train_images[:split], judged, digest)

    def data(self, material: Images) -> dict[str, Any]:
        judged = len(material.validation)
        return {
            "name": "MNIST",
            "digest": material.digest,
            "train_images": len(material.train),
            "validation_images": judged,
        }

    def dataset(self, run: PixelRun, material: Images) -> Dataset[Batch]:
        return ImageSet(material.train)

    def parts_of_batch(self) -> tuple[tuple[str, type], ...]:
        return (("grey", np.uint8),)

    def build(self, run: PixelRun) -> PixelModel:
        return build(run.experiment.model, run.variant)

    def objective(self, run: PixelRun) -> Objective:
        return image_objective(run.experiment.binarization, run.expected_targets)

    def curve(self, run: PixelRun, material: Images) -> Callable[[nn.Module], dict[str, float]]:
        images = mnist.every(material.validation, run.experiment.curve_images)
        return lambda model: {"validation_loss": nll_nats(model, images).mean().item()}

    def measures(self, run: PixelRun, material: Images, model: nn.Module) -> dict[str, Any]:
        nll, plan = nll_nats(model, material.validation), run.training
        return {
            "live_parameters": model.live_parameters(),
            "forward_flops": forward_flops(model),
            "images_seen": plan.steps * plan.batch_size,
            "validation_nll_nats": nll.mean().item(),
            "validation_image_nll_nats": [round(value, 4) for value in nll.tolist()],
        }

    def run_belongs(self, run: PixelRun, measures: dict[str, Any], result: TrialsResult) -> dict[str, payload.Array]:
        plan, judged = run.training, result.manifest["data"].get("validation_images")
        payload.like(
            measures,
            {
                "live_parameters": int,
                "forward_flops": int,
                "images_seen": plan.steps * plan.batch_size,
                "validation_image_nll_nats": payload.Each(float),
            },
            "metrics.json",
        )
        losses = measures["validation_image_nll_nats"]
        payload.require(len(losses) == judged, f"metrics.json: the losses of {len(losses)} images, not of {judged}")
        mean = payload.About(sum(losses) / len(losses))  # each is rounded to four decimals
        payload.like(measures, {"validation_nll_nats": mean}, "metrics.json")
        return {"grey": payload.Array((mnist.SIDE, mnist.SIDE), high=255)}

    def tiny(self, run: PixelRun) -> tuple[PixelRun, Dataset[Batch]]:
        small, dataset = tiny_images(run.experiment)
        return replace(run, experiment=small), dataset
