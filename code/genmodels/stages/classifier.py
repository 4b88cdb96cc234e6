"""Stage ``mnist-classifier``: the instrument for the quality of drawn images, trained on dynamically binarised digits.

It will be shown zeros and ones, so it is trained on them, moved by up to a pixel. Its accuracy is stated on one seeded
binarisation of the 10,000 test images, whose labels are known; that whole set is shipped, so that ``verify`` counts every
image again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import ClassifierConfig, ClassifierModelConfig, TrainingConfig
from genmodels.data import mnist
from genmodels.pixelcnn.quality import CLASSES, DigitClassifier, measured
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE
from genmodels.stages.profiles import at
from genmodels.stages.trained import Material, ModelStage, Result
from genmodels.system.files import data_digest
from genmodels.system.precision import widened
from genmodels.training.batches import Batch, generator_for
from genmodels.training.loop import Objective

FULL = ClassifierConfig(
    training=TrainingConfig(
        batch_size=64,
        steps=4680,
        learning_rate=2e-3,
        warmup_steps=100,
        ema_decay=0.998,
        bf16=False,
        evaluations=10,
    ),
)
LESS = {
    "evening": {"steps": 1560, "evaluations": 6},
    "smoke": {
        "steps": 40,
        "evaluations": 4,
        "curve_images": 50,
        "test_images": 500,
    },
}


class LabelledSet(Dataset[Batch]):
    """Grey images (N, 28, 28) uint8 and their classes (N,), given a batch at a time."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.images[indices], self.labels[indices]


class ClassifierStage(ModelStage):
    name = "mnist-classifier"
    reads = "images"
    curve = ("validation_loss", "test_loss")

    def config(self, profile: str) -> ClassifierConfig:
        return at(profile, FULL, LESS)

    def build(self, config: ClassifierConfig) -> DigitClassifier:
        return DigitClassifier(config.model)

    def objective(self, config: Any) -> Objective:
        return Objective(
            total=lambda model, batch: F.cross_entropy(widened(model(batch[0])), batch[1], reduction="sum"),
            count=lambda batch: len(batch[0]),
            prepare=lambda batch, draws: (shifted(mnist.binarize(batch[0], draws), draws), batch[1].long()),
        )

    def material(self, config: ClassifierConfig, folder: Path | None) -> Material:
        images = mnist.load(folder)
        split = len(images.train_images) - config.validation_images
        held_out = mnist.binarize(images.train_images[split:], generator_for(config.training.seed, "validation"))
        bits = mnist.seeded_static(images.test_images, config.training.seed).view(-1, 1, 28, 28).float()
        test, labels = mnist.every(bits, config.test_images), mnist.every(images.test_labels, config.test_images)
        arrays = {"test_images": mnist.pack_images(test), "test_labels": labels.numpy()}
        data = {
            "name": "MNIST",
            "digest": data_digest(images.digest, arrays["test_images"].tobytes()),
            "train_images": split,
            "test_images": len(test),
        }
        context = {"validation": (held_out, images.train_labels[split:]), "test": (test, labels)}
        return Material(
            LabelledSet(images.train_images[:split], images.train_labels[:split]), data, arrays, {}, context
        )

    def curve_point(self, config: ClassifierConfig, material: Material, model: nn.Module) -> dict[str, float]:
        found = {}
        for split in ("validation", "test"):
            images, labels = (mnist.every(part, config.curve_images) for part in material.context[split])
            found[f"{split}_loss"] = score(model, images, labels)["nll_nats"]
        return found

    def final_metrics(self, config: ClassifierConfig, material: Material, model: DigitClassifier) -> dict[str, Any]:
        return {
            f"{split}_{name}": value
            for split, part in material.context.items()
            for name, value in score(model, *part).items()
        } | {"test_images": len(material.context["test"][0])}

    def slice_metrics(self, result_config: Any, arrays: dict[str, np.ndarray], model: nn.Module) -> dict[str, float]:
        images, labels = mnist.unpack_images(arrays["test_images"]), torch.from_numpy(arrays["test_labels"])
        return {f"test_{name}": value for name, value in score(model, images, labels).items()}

    def belongs(self, result: Result) -> None:
        """The slice is the whole test set: it makes the digest of the data, and its measures are the headline's."""
        super().belongs(result)
        data, metrics = result.manifest["data"], result.metrics
        payload.like(data, {"name": "MNIST", "train_images": int, "test_images": int}, "manifest.json, data")
        count = data["test_images"]
        payload.require(
            0 < count <= result.config.test_images, f"manifest.json: {count} test images, not the settings'"
        )
        labels = payload.Array((count,), high=CLASSES - 1)
        payload.arrays(result.slice, {"test_images": payload.Array((count, mnist.PIXELS // 8)), "test_labels": labels})
        same = data["digest"] == data_digest(mnist.DIGEST, result.slice["test_images"].tobytes())
        payload.require(same, "slice.npz: the test images are not those of the manifest's data")
        wanted = {f"{split}_{name}": float for split in ("validation", "test") for name in ("accuracy", "nll_nats")}
        payload.like(metrics, wanted | {"test_images": count}, "metrics.json")
        names = ("test_accuracy", "test_nll_nats")
        measured = {name: payload.About(metrics[name], METRIC_TOLERANCE) for name in names}
        payload.like(metrics["slice"], measured, "metrics.json, slice")

    def tiny(self, config: ClassifierConfig) -> tuple[ClassifierConfig, Dataset[Batch]]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (16, 28, 28), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, CLASSES, (16,), dtype=torch.uint8, generator=generator)
        small = replace(config, model=ClassifierModelConfig(channels=(4, 4, 4), features=8))
        return small, LabelledSet(images, labels)


def shifted(images: Tensor, generator: torch.Generator, reach: int = 1) -> Tensor:
    """Each image (B, 1, H, W) moved by up to ``reach`` pixels down and aside, zeros coming in: a class does not move."""
    count, _, height, width = images.shape
    wide = F.pad(images, (reach,) * 4)[:, 0]  # (B, H + 2 reach, W + 2 reach)
    by = torch.randint(0, 2 * reach + 1, (count, 2), generator=generator)
    rows, columns = by[:, :1] + torch.arange(height), by[:, 1:] + torch.arange(width)
    return wide[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def score(model: DigitClassifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """``accuracy`` (share) and ``nll_nats`` (mean cross-entropy) on labelled images (N, 1, 28, 28) of zeros and ones."""
    _, logs = measured(model, images)
    wanted = labels.long()
    return {
        "accuracy": (logs.argmax(1) == wanted).float().mean().item(),
        "nll_nats": F.nll_loss(logs, wanted).item(),
    }
