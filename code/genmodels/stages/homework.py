"""Stage ``pixelcnn-homework``: the assignment's network trained as it usually is, the baseline that ours have to beat.

Thresholded images, PyTorch's default initialisation (which counts the dead half of each kernel as fan-in), Adam with a
constant rate of 1e-3, batches of 128, no averaging, no clipping, one pass over the data. Its likelihood is one of
thresholded images and compares only with that of ``pixelcnn-threshold``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from genmodels.config import PixelCNNConfig, TrainingConfig
from genmodels.pixelcnn.model import PixelModel
from genmodels.stages.images import ThresholdStage

NO_CLIP = 1e9


class HomeworkStage(ThresholdStage):
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
