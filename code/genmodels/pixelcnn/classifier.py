"""A small classifier of binarised digits: the measuring instrument for the quality of drawn images, not an answer itself.

Three convolutions (the first with stride 2), ReLU, a pooling, two linear maps; after LeCun et al. 1998. What is wanted of
it is its penultimate layer: there images of a kind lie close together, so that the distance between two sets of images can be
taken there (``quality.py``). Not here: training (``stages/classifier.py``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import ClassifierModelConfig
from genmodels.errors import UserError

CLASSES = 10
SIDE = 28


class Convolution(nn.Module):
    """A plain convolution, He initialisation: (B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        deviation = math.sqrt(2.0 / (in_channels * kernel * kernel))
        weight = torch.randn(out_channels, in_channels, kernel, kernel) * deviation
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))  # the fast order on CPUs
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.weight.shape[-1] // 2)


class DigitClassifier(nn.Module):
    """Binary images (B, 1, 28, 28) of zeros and ones to logits (B, 10)."""

    def __init__(self, config: ClassifierModelConfig = ClassifierModelConfig()) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        self.convolutions = nn.ModuleList(
            [Convolution(1, first, kernel=5, stride=2), Convolution(first, second), Convolution(second, third)]
        )
        self.gather = nn.Linear(third * (SIDE // 4) ** 2, config.features)
        self.decide = nn.Linear(config.features, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer, (B, ``config.features``), not negative. ``UserError`` for images of another shape."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, SIDE, SIDE) or not x.is_floating_point():
            wanted = f"wants float images (B, 1, {SIDE}, {SIDE})"
            raise UserError(f"the classifier {wanted}, not {x.dtype} of shape {tuple(x.shape)}")
        first, second, third = self.convolutions
        x = F.relu(first(x))  # (B, C, 14, 14)
        x = F.max_pool2d(F.relu(second(x)), 2)  # (B, C, 7, 7)
        x = F.relu(third(x))
        return F.relu(self.gather(x.flatten(1)))  # (B, features)

    def forward(self, x: Tensor) -> Tensor:
        return self.decide(self.features(x))  # (B, 10)


@torch.no_grad()
def measured(model: DigitClassifier, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Features (N, D) and log-probabilities (N, 10) of images, fp32 on the CPU, in batches."""
    features, logs = [], []
    for batch in images.split(batch_size):
        found = model.features(batch.to(model.decide.weight.device))
        features.append(found.cpu())
        logs.append(F.log_softmax(model.decide(found), dim=1).cpu())
    return torch.cat(features), torch.cat(logs)
