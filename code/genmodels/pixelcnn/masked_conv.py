"""Masked convolution, types A and B, from scratch: the readable form and the fast one, equal to rounding.

PixelCNN (van den Oord, Kalchbrenner and Kavukcuoglu 2016, arXiv 1601.06759, sec. 3.4) writes the likelihood of an
image as a product over its pixels in raster order (row by row, left to right),

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1}),

so no output may see its own pixel or a later one. A k x k kernel sees them all; the mask sets those taps to zero::

    k = 3     A: 1 1 1     B: 1 1 1
                 1 0 0        1 1 0
                 0 0 0        0 0 0

Type A (first layer) leaves out the centre too: the input's channel *is* the pixel to be predicted. Type B (every later
layer) keeps the centre: the feature there was made by a type A layer, and knows only earlier pixels.

* ``NaiveMaskedConv2d`` multiplies the full kernel by the mask: the reference, as most texts write it.
* ``MaskedConv2d`` never computes the rows below the centre, which are zero anyway: a (k//2 + 1, k) kernel with
  k//2 rows of padding above the image and none below. 28 taps instead of 49 at k = 7, and only its last row needs a
  mask.

The bias is never masked (it depends on no pixel), and zero padding leaks nothing (it is no pixel). Dead taps are zero
at birth and their gradient is zero, so AdamW, weight decay and EMA keep them zero. Not here: channel masks for colour
images (MNIST has one channel), and the two-stack convolution without blind spot (gated PixelCNN).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.errors import UserError


def causal_mask(mask_type: str, kernel: int) -> Tensor:
    """The (kernel, kernel) mask: 1 where a tap lies before the centre in raster order (type B: or on it), else 0.

    Raises ``UserError`` for a type other than "A" or "B", an even or non-positive kernel, and a 1x1 of type A,
    which would leave no tap at all: its output would be a constant.
    """
    if mask_type not in ("A", "B"):
        raise UserError(f"mask type {mask_type!r} is unknown; give 'A' (centre hidden) or 'B' (centre seen)")
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"kernel side {kernel} has no centre; give an odd side such as 1, 3, 5 or 7")
    if kernel == 1 and mask_type == "A":
        raise UserError("a 1x1 convolution with mask A has no tap left; give it mask B, or a larger kernel")
    centre = (kernel * kernel) // 2  # raster index of the centre tap
    live = centre + (1 if mask_type == "B" else 0)
    return (torch.arange(kernel * kernel) < live).float().view(kernel, kernel)


class _Masked(nn.Module):
    """What both forms share: the (masked) weight, a free bias, and initialisation by the number of *live* taps."""

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int, rows: int) -> None:
        super().__init__()
        self.mask_type, self.kernel = mask_type, kernel
        self.in_channels, self.out_channels = in_channels, out_channels
        self.register_buffer("mask", causal_mask(mask_type, kernel)[:rows].clone(), persistent=False)  # (rows, k)
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, rows, kernel))  # (C_out, C_in, rows, k)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.reset_parameters()

    @property
    def live_taps(self) -> int:
        """How many taps of the kernel the mask leaves alive."""
        return int(self.mask.sum())

    @property
    def live_parameters(self) -> int:
        """Weights that can differ from zero, and the biases (dead taps are not counted)."""
        return self.live_taps * self.in_channels * self.out_channels + self.out_channels

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """He initialisation (arXiv 1502.01852, eq. 10) on the live fan-in; dead taps and biases become zero.

        PyTorch's default counts the dead half of the kernel as fan-in too, and so starts with activations that
        shrink from layer to layer.
        """
        deviation = math.sqrt(2.0 / (self.live_taps * self.in_channels))
        self.weight.normal_(0.0, deviation, generator=generator).mul_(self.mask)
        self.bias.zero_()

    def extra_repr(self) -> str:
        return f"{self.mask_type}, {self.in_channels}, {self.out_channels}, kernel={self.kernel}"


class NaiveMaskedConv2d(_Masked):
    """The reference: full k x k kernel times its mask, symmetric padding. (B, C_in, H, W) -> (B, C_out, H, W)."""

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(mask_type, in_channels, out_channels, kernel, rows=kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.kernel // 2)  # (B, C_out, H, W)


class MaskedConv2d(_Masked):
    """The fast form: only the causal half of the kernel is stored and computed. (B, C_in, H, W) -> (B, C_out, H, W).

    Equal to ``NaiveMaskedConv2d`` in outputs and gradients up to rounding (``to_naive``, ``from_naive``; tested).
    The weight is kept in channels-last order, which makes PyTorch run the whole stack channels-last.
    """

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(mask_type, in_channels, out_channels, kernel, rows=kernel // 2 + 1)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        half = self.kernel // 2
        x = F.pad(x, (0, 0, half, 0)) if half else x  # (B, C_in, half + H, W): rows above only
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=(0, half))  # (B, C_out, H, W)


@torch.no_grad()
def to_naive(conv: MaskedConv2d) -> NaiveMaskedConv2d:
    """The reference layer that computes the same function: the rows below the centre are added as zeros."""
    naive = NaiveMaskedConv2d(conv.mask_type, conv.in_channels, conv.out_channels, conv.kernel).to(conv.weight)
    naive.weight.zero_()[:, :, : conv.kernel // 2 + 1] = conv.weight * conv.mask
    naive.bias.copy_(conv.bias)
    return naive


@torch.no_grad()
def from_naive(naive: NaiveMaskedConv2d) -> MaskedConv2d:
    """The fast layer that computes the same function as ``naive`` (its dead rows are dropped)."""
    conv = MaskedConv2d(naive.mask_type, naive.in_channels, naive.out_channels, naive.kernel).to(naive.weight)
    conv.weight.copy_((naive.weight * naive.mask)[:, :, : naive.kernel // 2 + 1])
    conv.bias.copy_(naive.bias)
    return conv
