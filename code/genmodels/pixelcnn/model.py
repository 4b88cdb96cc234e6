"""PixelCNN as the assignment asks: eight masked convolutions, 64 channels, ReLU between them, Sigmoid last.

Follows van den Oord et al. 2016 (arXiv 1601.06759, sec. 3.4 and table 1) in its simplest binary form: one mask A layer,
then mask B layers, one logit a pixel. Each output is the probability that its pixel is 1, given the earlier ones:

    -log p(x) = - sum_i [ x_i log s(z_i) + (1 - x_i) log(1 - s(z_i)) ],      s(z) = 1 / (1 + exp(-z)).

The network returns the logits z; ``probabilities`` applies the Sigmoid. The loss is computed from z, since in fp32 the
Sigmoid of 17 is already exactly 1 and its gradient 0. Not here: training, sampling (``sampling.py``), gates, residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d

Apply = Callable[[MaskedConv2d, Tensor], Tensor]


def apply_directly(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """The ordinary way of applying a layer: to whole images."""
    return conv(x)


class PixelModel(nn.Module):
    """A network of masked convolutions on binary images of ``image_size`` (rows, columns), one logit a pixel.

    A subclass writes its computation once, in two parts: ``above`` (what the finished rows say) and ``along`` (the pixel's
    own row, given that). Both reach for their layers through ``apply``, so that the same program runs on whole images here
    and, in ``sampling.py``, on windows, rows or single pixels. In between only elementwise functions may stand.
    """

    def __init__(self, image_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__()
        self.image_size = tuple(image_size)

    def above(self, x: Tensor, apply: Apply = apply_directly) -> list[Tensor]:
        """What ``along`` needs of the rows above, each (B, C, H, W); only layers of part "above" and 1x1 occur here."""
        return []

    def along(self, x: Tensor, told: list[Tensor], apply: Apply = apply_directly) -> Tensor:
        """Logits (B, 1, H, W) of images and what ``above`` told; layers of parts "raster" and "left"."""
        raise NotImplementedError

    def forward(self, x: Tensor, apply: Apply = apply_directly) -> Tensor:
        """Logits (B, 1, H, W), always fp32 or wider, of float images (B, 1, H, W) of zeros and ones.

        ``apply`` is how each layer is computed; a training may give another form of the same function (``spectral.py``).
        """
        self.check_shape(x)
        return self.along(x, self.above(x, apply), apply)

    def probabilities(self, x: Tensor) -> Tensor:
        """p(x_i = 1 | earlier pixels), (B, 1, H, W): the assignment's Sigmoid after the last layer."""
        return torch.sigmoid(self(x))

    def live_parameters(self) -> int:
        """Weights that can differ from zero, and biases, over the whole network."""
        return sum(module.live_parameters for module in self.modules() if isinstance(module, MaskedConv2d))

    def check_shape(self, x: Tensor) -> None:
        """Refuse, without reading a pixel, images of another type or size than the model's."""
        height, width = self.image_size
        if not x.is_floating_point():
            raise UserError(f"images are {x.dtype}, the model wants float zeros and ones; binarise them first")
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, height, width):
            raise UserError(f"images have shape {tuple(x.shape)}, the model wants (B, 1, {height}, {width})")

    def check_images(self, x: Tensor) -> None:
        """``check_shape``, and every pixel must be 0 or 1 (reads the pixels: once a data set, not once a step)."""
        self.check_shape(x)
        if x.numel() and not bool(((x == 0) | (x == 1)).all()):
            low, high = x.min().item(), x.max().item()
            raise UserError(f"images hold values in [{low:g}, {high:g}] that are not 0 or 1; binarise them first")


class PixelCNN(PixelModel):
    """A stack of ``len(config.kernels)`` masked convolutions."""

    def __init__(self, config: PixelCNNModelConfig = PixelCNNModelConfig(), image_size: tuple[int, int] = (28, 28)):
        super().__init__(image_size)
        if not config.kernels or config.channels < 1:
            raise UserError(f"PixelCNN needs at least one kernel and one channel, got {config}")
        self.config = config
        widths = [1] + [config.channels] * (len(config.kernels) - 1) + [1]
        self.convolutions = nn.ModuleList(
            MaskedConv2d("A" if index == 0 else "B", widths[index], widths[index + 1], kernel)
            for index, kernel in enumerate(config.kernels)
        )

    def along(self, x: Tensor, told: list[Tensor], apply: Apply = apply_directly) -> Tensor:
        for conv in self.convolutions[:-1]:
            x = F.relu(apply(conv, x))  # (B, C, H, W)
        return last(self.convolutions[-1], x, apply)

    def layer_table(self) -> list[dict[str, Any]]:
        """One dict a layer, read off the modules: place, mask, kernel, channels, activation, parameters, reach.

        ``parameters`` counts live weights and biases. ``rows_up`` and ``columns_aside`` say how far the stack up to
        this layer reaches from its pixel (a bound: the blind spot lies inside it).
        """
        rows, reach = [], 0
        for index, conv in enumerate(self.convolutions, start=1):
            reach += conv.kernel // 2
            rows.append(
                {
                    "layer": index,
                    "mask": conv.mask_type,
                    "kernel": f"{conv.kernel}×{conv.kernel}",
                    "in_channels": conv.in_channels,
                    "out_channels": conv.out_channels,
                    "activation": "Sigmoid" if index == len(self.convolutions) else "ReLU",
                    "parameters": conv.live_parameters,
                    "rows_up": reach,
                    "columns_aside": reach,
                }
            )
        return rows


def last(conv: MaskedConv2d, x: Tensor, apply: Apply) -> Tensor:
    """A last layer, one dot product a pixel: cheap enough to keep out of bf16, which would round the logits."""
    with torch.autocast(x.device.type, enabled=False):
        return apply(conv, x.to(conv.weight.dtype))  # (B, 1, H, W)


def loss_nats(model_or_logits: PixelModel | Tensor, images: Tensor) -> Tensor:
    """Negative log-likelihood of each binary image in nats, (B,): cross-entropy summed over its pixels, in fp32."""
    logits = model_or_logits if isinstance(model_or_logits, Tensor) else model_or_logits(images)
    return cross_entropy_nats(logits, images)


def cross_entropy_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """- sum_i [ t_i log s(z_i) + (1 - t_i) log(1 - s(z_i)) ] of each image, (B,), in fp32; both (B, 1, H, W), 0 <= t <= 1."""
    if logits.shape != targets.shape:
        shapes = f"logits {tuple(logits.shape)} and images {tuple(targets.shape)}"
        raise UserError(f"{shapes} differ in shape; give one logit a pixel")
    precise = torch.promote_types(logits.dtype, torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        each = F.binary_cross_entropy_with_logits(logits.to(precise), targets.to(precise), reduction="none")
        return each.flatten(1).sum(1)  # (B,)
