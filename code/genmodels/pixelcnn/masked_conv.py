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
* ``MaskedConv2d`` stores and computes only the smallest rectangle that holds the live taps. For the mask above that is
  a (k//2 + 1, k) kernel with k//2 rows of padding above the image and none below: 28 taps instead of 49 at k = 7, and
  only its last row needs a mask.

A stack of such kernels is blind to a wedge on the right (``evaluation.receptive_field``). Gated PixelCNN (arXiv
1606.05328, sec. 2.3) cuts the mask in two parts, whose rectangles have no dead tap at all::

    above, A: 1 1 1     above, B: 1 1 1     left, A: 0 0 0     left, B: 0 0 0
              0 0 0               1 1 1              1 0 0              1 1 0
              0 0 0               0 0 0              0 0 0              0 0 0

``above`` sees whole rows. Its type A leaves out the centre's row; type B keeps it, in full: the features there were
made by a type A layer, and know only the rows above. ``left`` sees the rest: its own row, up to the centre.

The bias is never masked (it depends on no pixel), and zero padding leaks nothing (it is no pixel). Dead taps are zero
at birth and their gradient is zero, so AdamW, weight decay and EMA keep them zero. Not here: channel masks for colour
images (MNIST has one channel), and how the parts are put together (``gated.py``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.errors import UserError

PARTS = ("raster", "above", "left")


def causal_mask(mask_type: str, kernel: int, part: str = "raster") -> Tensor:
    """The (kernel, kernel) mask: 1 where a tap lies before the centre in raster order (type B: or on it), else 0.

    ``part`` "above" keeps whole rows before the centre's (type B: and the centre's own), "left" only the centre's row.
    Raises ``UserError`` for a type other than "A" or "B", an unknown part, an even or non-positive kernel, and a 1x1 of
    type A, which would leave no tap at all: its output would be a constant.
    """
    if mask_type not in ("A", "B"):
        raise UserError(f"mask type {mask_type!r} is unknown; give 'A' (centre hidden) or 'B' (centre seen)")
    if part not in PARTS:
        raise UserError(f"mask part {part!r} is unknown; choose one of {', '.join(PARTS)}")
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"kernel side {kernel} has no centre; give an odd side such as 1, 3, 5 or 7")
    if kernel == 1 and mask_type == "A":
        raise UserError("a 1x1 convolution with mask A has no tap left; give it mask B, or a larger kernel")
    half, own = kernel // 2, (1 if mask_type == "B" else 0)
    taps = torch.arange(kernel * kernel)  # raster index; the centre is kernel * half + half
    live = taps < (kernel * (half + own) if part == "above" else kernel * half + half + own)
    if part == "left":
        live &= taps >= kernel * half
    return live.float().view(kernel, kernel)


class _Masked(nn.Module):
    """What both forms share: the (masked) weight, a free bias, and initialisation by the number of *live* taps.

    ``rows`` and ``columns`` say which rectangle of the full kernel is stored.
    """

    def __init__(
        self, mask_type: str, in_channels: int, out_channels: int, kernel: int, part: str, rows: range, columns: range
    ) -> None:
        super().__init__()
        self.mask_type, self.kernel, self.part, self.rows, self.columns = mask_type, kernel, part, rows, columns
        self.in_channels, self.out_channels = in_channels, out_channels
        mask = self.stored(causal_mask(mask_type, kernel, part)).clone()
        self.register_buffer("mask", mask, persistent=False)  # (rows, columns)
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, len(rows), len(columns)))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.reset_parameters()

    def stored(self, full: Tensor) -> Tensor:
        """The stored rectangle of a full (..., k, k) kernel."""
        return full[..., self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

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
        part = "" if self.part == "raster" else f", part={self.part}"
        return f"{self.mask_type}, {self.in_channels}, {self.out_channels}, kernel={self.kernel}{part}"


class NaiveMaskedConv2d(_Masked):
    """The reference: full k x k kernel times its mask, symmetric padding. (B, C_in, H, W) -> (B, C_out, H, W)."""

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int, part: str = "raster") -> None:
        super().__init__(mask_type, in_channels, out_channels, kernel, part, range(kernel), range(kernel))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.kernel // 2)  # (B, C_out, H, W)


class MaskedConv2d(_Masked):
    """The fast form: only the rectangle of live taps is stored and computed. (B, C_in, H, W) -> (B, C_out, H, W).

    Equal to ``NaiveMaskedConv2d`` in outputs and gradients up to rounding (``to_naive``, ``from_naive``; tested).
    The weight is kept in channels-last order, which makes PyTorch run the whole stack channels-last.
    """

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int, part: str = "raster") -> None:
        live = causal_mask(mask_type, kernel, part).nonzero()  # (taps, 2)
        (top, left), (bottom, right) = live.amin(0).tolist(), live.amax(0).tolist()
        rows, columns = range(top, bottom + 1), range(left, right + 1)
        super().__init__(mask_type, in_channels, out_channels, kernel, part, rows, columns)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self.has_dead_taps = self.live_taps < self.mask.numel()

    @property
    def reach(self) -> tuple[int, int, int, int]:
        """How many columns the taps go to the left and to the right, and rows up and down, of the centre.

        -1 on one side means that the centre's own row or column is not among the taps.
        """
        half = self.kernel // 2
        return half - self.columns.start, self.columns[-1] - half, half - self.rows.start, self.rows[-1] - half

    @property
    def live_weight(self) -> Tensor:
        """The stored rectangle with its dead taps at zero, (C_out, C_in, rows, columns)."""
        return self.weight * self.mask if self.has_dead_taps else self.weight

    def biases(self, height: int, width: int) -> Tensor:
        """What is added at each place of an image, (C_out, H, W): everywhere the same."""
        return self.bias[:, None, None].expand(-1, height, width)

    def forward(self, x: Tensor) -> Tensor:
        left, right, up, down = self.reach
        side = left if left == right else 0  # columns that the convolution pads by itself, without a copy of the image
        margins = (left - side, right - side, up, down)  # -1 cuts a row or column off: it is no tap's business
        x = F.pad(x, margins) if any(margins) else x
        return F.conv2d(x, self.live_weight, self.bias, padding=(0, side))  # (B, C_out, H, W)


class PlacedMaskedConv2d(MaskedConv2d):
    """The same with a bias that knows the place: b + s_1 r + s_2 c, r and c from -1 to 1 down the rows and along the columns.

    Away from the border that is what a first layer makes of two more input channels that hold r and c (CoordConv, Liu et
    al. 2018, arXiv 1807.03247), at the price of two numbers an output channel. It depends on no pixel: nothing leaks.
    """

    def __init__(self, mask_type: str, in_channels: int, out_channels: int, kernel: int, part: str = "raster") -> None:
        super().__init__(mask_type, in_channels, out_channels, kernel, part)
        self.slopes = nn.Parameter(torch.zeros(out_channels, 2))  # down the rows, along the columns

    @property
    def live_parameters(self) -> int:
        return super().live_parameters + self.slopes.numel()

    def plane(self, height: int, width: int) -> Tensor:
        """s_1 r + s_2 c at each place of an image, (C_out, H, W)."""
        kind = {"dtype": self.slopes.dtype, "device": self.slopes.device}
        down, along = (torch.linspace(-1, 1, side, **kind) for side in (height, width))
        return self.slopes[:, 0, None, None] * down[:, None] + self.slopes[:, 1, None, None] * along

    def biases(self, height: int, width: int) -> Tensor:
        return super().biases(height, width) + self.plane(height, width)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + self.plane(x.shape[2], x.shape[3]).to(y.dtype)  # bf16 stays bf16


@torch.no_grad()
def to_naive(conv: MaskedConv2d) -> NaiveMaskedConv2d:
    """The reference layer that computes the same function: taps outside the stored rectangle are added as zeros.

    ``UserError`` for a layer that knows the place: there is no such reference.
    """
    if isinstance(conv, PlacedMaskedConv2d):
        raise UserError("a PlacedMaskedConv2d has no naive form; its bias is tested for itself")
    naive = NaiveMaskedConv2d(conv.mask_type, conv.in_channels, conv.out_channels, conv.kernel, conv.part)
    naive = naive.to(conv.weight)
    conv.stored(naive.weight.zero_()).copy_(conv.live_weight)
    naive.bias.copy_(conv.bias)
    return naive


@torch.no_grad()
def from_naive(naive: NaiveMaskedConv2d) -> MaskedConv2d:
    """The fast layer that computes the same function as ``naive`` (its dead rows are dropped)."""
    conv = MaskedConv2d(naive.mask_type, naive.in_channels, naive.out_channels, naive.kernel, naive.part)
    conv = conv.to(naive.weight)
    conv.weight.copy_(conv.stored(naive.weight * naive.mask))
    conv.bias.copy_(naive.bias)
    return conv
