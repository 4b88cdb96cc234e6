"""Stage ``pixelcnn-homework``: the assignment's network trained as it usually is, the baseline for drawn images.

Thresholded images, PyTorch's default initialisation (which counts the dead half of each kernel as fan-in), Adam with a
constant rate of 1e-3 and batches of 128, no averaging, no clipping, one pass over the data: what an epoch of the usual
solution gives. Its likelihood is of thresholded images and compares with no other in the report.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from genmodels import mnist
from genmodels.config import PixelCNNConfig, TrainingConfig
from genmodels.files import data_digest
from genmodels.pixelcnn.model import PixelCNN, loss_nats
from genmodels.stages.base import Material, training_profile
from genmodels.stages.pixelcnn import SLICE_TEST_IMAGES, ImageSet, PixelCNNStage, every
from genmodels.training import Objective

NO_CLIP = 1e9
FULL = PixelCNNConfig(
    training=TrainingConfig(
        batch_size=128, steps=390, learning_rate=1e-3, final_learning_rate=1e-3, warmup_steps=0, beta2=0.999,
        gradient_clip=NO_CLIP, evaluations=6,
    ),
    binarization="threshold", curve_images=250, test_images=1000,
)


class HomeworkStage(PixelCNNStage):
    name = "pixelcnn-homework"

    def config(self, profile: str) -> PixelCNNConfig:
        smoke = profile == "smoke"
        return replace(
            FULL,
            training=training_profile(FULL.training, profile, steps=8),
            curve_images=50 if smoke else FULL.curve_images,
            test_images=100 if smoke else FULL.test_images,
        )

    def build(self, config: PixelCNNConfig) -> PixelCNN:
        model = super().build(config)
        with torch.no_grad():
            for conv in model.convolutions:
                bound = 1 / math.sqrt(conv.in_channels * conv.kernel**2)  # nn.Conv2d's own, of the whole kernel
                nn.init.uniform_(conv.weight, -bound, bound).mul_(conv.mask)
                nn.init.uniform_(conv.bias, -bound, bound)
        return model

    def objective(self) -> Objective:
        return Objective(
            total=lambda model, batch: loss_nats(model(batch[0]), batch[0]).sum(),
            count=lambda batch: len(batch[0]),
            prepare=lambda batch, _: (mnist.threshold(batch[0]),),
        )

    def material(self, config: PixelCNNConfig, folder: Path | None) -> Material:
        images = mnist.load(folder)
        split = len(images.train_images) - config.validation_images
        test = mnist.threshold(every(images.test_images, config.test_images))
        packed = mnist.pack_images(test)
        data = {
            "name": "MNIST", "digest": data_digest(images.digest, packed.tobytes()),
            "test_set": "threshold", "train_images": split, "test_images": len(test),
        }
        context = {"validation": mnist.threshold(images.train_images[split:]), "test": test, "test_set": "threshold"}
        arrays = {"test_images": mnist.pack_images(every(test, SLICE_TEST_IMAGES // 2))}
        return Material(ImageSet(images.train_images[:split]), data, arrays, {}, context)
