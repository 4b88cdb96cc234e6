"""Small experiments that the report runs while it is rendered: what masks do, what binarisation costs, what is seen.

Each takes a second or two on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genmodels.config import PixelCNNModelConfig
from genmodels.pixelcnn.evaluation import nll_nats, receptive_field
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, loss_nats

STACKS = ("ABB", "BBB", "AAA")  # masks of the first three layers: the right one, a leak, a blindness


@dataclass(frozen=True)
class MaskTrial:
    """One choice of masks on a small stack: what its centre output sees, and its loss after a short training."""

    own_gradient: float  # |d logit_i / d x_i|
    nearest_seen: int  # distance in pixels to the nearest seen pixel of the same row, at or left of the output's own
    pixels_seen: int  # earlier pixels that influence the output
    nll_nats: float  # after the short training, on the images it was trained on


def mask_trials(
    images: Tensor, steps: int = 60, channels: int = 8, kernel: int = 5, seed: int = 0
) -> dict[str, MaskTrial]:
    """Three small stacks that differ in their masks alone: A then B, all B, all A. ``images`` (N, 1, 28, 28) binary.

    The receptive field is taken by gradients at the image's centre; then each stack is trained ``steps`` steps.
    """
    trials = {}
    for name in STACKS:
        torch.manual_seed(seed)
        model = PixelCNN(PixelCNNModelConfig(channels=channels, kernels=(kernel, kernel, kernel, 1)))
        for index, mask_type in enumerate(name):
            old = model.convolutions[index]
            model.convolutions[index] = MaskedConv2d(mask_type, old.in_channels, old.out_channels, kernel)
        field = receptive_field(model)  # (28, 28), at row 14 and column 14
        in_row = [distance for distance in range(15) if field[14, 14 - distance] > 0]
        earlier = field.flatten()[: 14 * 28 + 14] > 0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            batch = images[torch.randint(len(images), (16,), generator=generator)]
            optimizer.zero_grad()
            (loss_nats(model, batch).mean() / 784).backward()
            optimizer.step()
        nats = nll_nats(model, images[:100]).mean().item()
        trials[name] = MaskTrial(field[14, 14].item(), min(in_row), int(earlier.sum()), nats)
    return trials


@dataclass(frozen=True)
class Sight:
    """How many earlier pixels an output has, sees, misses in the blind spot, and misses for being out of reach."""

    earlier: int
    seen: int
    blind: int
    far: int


def sight(model: PixelCNN, field: Tensor, row: int, column: int) -> Sight:
    """Count ``field`` (``receptive_field`` at (row, column)): unseen within the stack's reach is the blind spot."""
    reach = model.layer_table()[-1]["rows_up"]
    height, width = field.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    earlier = rows * width + columns < row * width + column
    near = (row - rows <= reach) & ((columns - column).abs() <= reach)
    unseen = earlier & (field == 0)
    kinds = (earlier, earlier & (field > 0), unseen & near, unseen & ~near)
    return Sight(*(int(kind.sum()) for kind in kinds))


def unseen_nearby(field: Tensor, row: int, column: int) -> int:
    """How many earlier pixels are unseen (zero in ``field``) inside the smallest rectangle around the seen ones."""
    seen = field > 0
    height, width = field.shape
    earlier = torch.arange(height * width).view(height, width) < row * width + column
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    inside = torch.zeros_like(seen)
    inside[rows.min() : row + 1, columns.min() : columns.max() + 1] = True
    return int((earlier & inside & ~seen).sum())


def binarization_entropy_nats(grey: Tensor) -> float:
    """Mean over images of the entropy of one Bernoulli draw of their pixels, in nats. ``grey`` (N, 28, 28) uint8.

    This much of the likelihood of a dynamically binarised image is noise of the draw: H(x) >= H(x | grey), so no model
    of the bits can have a mean loss below it.
    """
    p = grey.double() / 255
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1).mean().item()
