"""What a PixelCNN is worth and what it sees: likelihood, bits per pixel, receptive field, calibration, and small experiments.

The measures are exact: the model's likelihood is a product of its outputs, so no bound and no sampling is involved. The
unit is nats per image, -log p(x) summed over all pixels, as in the literature on binarised MNIST; bits per pixel
divides it by H W ln 2. The experiments (what masks do, what binarisation costs) take a second or two on one core. Not here:
binarisation (``genmodels.data.mnist``), which changes the likelihood more than most models do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from genmodels.config import PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import Apply, PixelCNN, PixelModel, apply_directly, loss_nats


@torch.no_grad()
def nll_nats(model: PixelModel, images: Tensor, batch_size: int = 50, apply: Apply = apply_directly) -> Tensor:
    """-log p(x) in nats of each image (N, 1, H, W) of zeros and ones: (N,), fp32 on the CPU, without autocast.

    The features of 50 images fit a processor's caches; 250 took up to 1.9 times as long. ``apply`` is how each layer is
    computed (``PixelModel.forward``). Raises ``UserError`` for images of another size, type or range.
    """
    model.check_images(images)
    device = next(model.parameters()).device
    with torch.autocast(device.type, enabled=False):
        batches = (batch.to(device) for batch in images.split(batch_size))
        parts = [loss_nats(model(batch, apply), batch).float().cpu() for batch in batches]
    return torch.cat(parts)


def bits_per_pixel(nats: float, pixels: int = 784) -> float:
    """Nats per image to bits per pixel: nats / (pixels ln 2)."""
    return nats / (pixels * math.log(2.0))


def receptive_field(
    model: PixelModel, row: int | None = None, column: int | None = None, draws: int = 8, seed: int = 0
) -> Tensor:
    """|d logit(row, column) / d pixel|, averaged over random images: (H, W), exactly zero where the model is blind.

    Computed by gradients through the model as it is (trained or not), so that it shows the masks, the padding, the
    blind spot and what training made of them. Without ``row`` and ``column``: the pixel in the middle of the image.
    Several draws are needed because a ReLU that happens to be closed hides a path; fp64 keeps far, tiny gradients
    from underflow.
    """
    height, width = model.image_size
    row, column = height // 2 if row is None else row, width // 2 if column is None else column
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(f"pixel ({row}, {column}) lies outside the {height}x{width} image")
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(draws, 1, height, width, generator=generator) < 0.5).double()
    images.requires_grad_(True)
    parameters = {name: value.detach().double().cpu() for name, value in model.state_dict().items()}
    masks = {name: value.double().cpu() for name, value in model.named_buffers()}
    logits = torch.func.functional_call(model, {**masks, **parameters}, (images,))  # (draws, 1, H, W)
    (gradient,) = torch.autograd.grad(logits[:, 0, row, column].sum(), images)
    return gradient.abs().mean((0, 1)).float()  # (H, W)


@torch.no_grad()
def calibration(model: PixelModel, images: Tensor, bins: int = 10, batch_size: int = 50) -> pd.DataFrame:
    """Does a predicted 0.3 come true in 30% of cases? One row a non-empty bin of predicted probability.

    Columns: ``predicted`` (mean probability in the bin), ``observed`` (share of ones there), ``pixels`` (how many).
    """
    model.check_images(images)
    device = next(model.parameters()).device
    predicted, observed, count = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for batch in images.split(batch_size):
        p = model.probabilities(batch.to(device)).flatten().double().cpu().numpy()
        x = batch.flatten().double().cpu().numpy()
        index = np.minimum((p * bins).astype(int), bins - 1)
        count += np.bincount(index, minlength=bins)
        predicted += np.bincount(index, weights=p, minlength=bins)
        observed += np.bincount(index, weights=x, minlength=bins)
    table = pd.DataFrame({"predicted": predicted, "observed": observed, "pixels": count.astype(int)})
    table = table[table.pixels > 0].reset_index(drop=True)
    return table.assign(predicted=table.predicted / table.pixels, observed=table.observed / table.pixels)


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
