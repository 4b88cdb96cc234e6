"""What a PixelCNN is worth and what it sees: likelihood, bits per pixel, receptive field, calibration.

All of it is exact: the model's likelihood is a product of its outputs, so no bound and no sampling is involved. The
unit is nats per image, -log p(x) summed over all pixels, as in the literature on binarised MNIST; bits per pixel
divides it by H W ln 2. Not here: binarisation (``genmodels.data.mnist``), which changes this number more than most models
do.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from genmodels.errors import UserError
from genmodels.pixelcnn.model import Apply, PixelModel, loss_nats, whole


@torch.no_grad()
def nll_nats(model: PixelModel, images: Tensor, batch_size: int = 50, apply: Apply = whole) -> Tensor:
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
def calibration(model: PixelModel, images: Tensor, bins: int = 10, batch_size: int = 250) -> pd.DataFrame:
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
