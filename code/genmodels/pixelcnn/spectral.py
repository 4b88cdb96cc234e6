"""Masked convolutions in the forms that a processor without bf16 trains fastest: spectra, and plain matrix products.

Large kernels go through the discrete Fourier transform. A convolution is a product of spectra (Mathieu, Henaff and
LeCun 2014, arXiv 1312.5851): with k(t) the tap at offset t,

    y(p) = sum_t k(t) x(p + t)    <=>    Y(f) = X(f) K(f),    X(f) = sum_p x(p) e^{-2 pi i f p},    K(f) = sum_t k(t) e^{+2 pi i f t},

where the products mix the channels, one (C_in x C_out) matrix a frequency. Circular transforms of side 28 + 3 hold an
image and the longest overhang of a 7 x 7 kernel, so nothing wraps around. An image is real: half of the frequencies of
its rows suffice. 784 positions times 28 taps become 16 x 31 frequencies times four real products, about a tenth.

The transforms are matrix products, too (a side of 31 has no fast transform, and needs none): all a step does is GEMM.
For that the features lie in memory as (H, W, B, C); from outside they look like any (B, C, H, W). Kept in that one order,
a step of training never rearranges them: a 1x1 layer is one product of it, a shift by columns a contiguous block of it.

* ``along_row``: a layer whose last tap is the pixel itself and whose others lie to its left: part "left" of type B, or 1x1.
  y[:, w] = b[:, w] + sum_s x[:, w - s] K_s, a product for each shift s, on views.
* ``gathered``: a layer that reads one channel, the image. Its few taps are copied side by side: one product of them.

All are equal to ``MaskedConv2d`` up to rounding, in outputs and in all gradients. That includes causality: a later pixel is
felt at the size of the rounding error, not at all in exact arithmetic. So this form serves for training alone;
likelihoods, samples and proofs are computed by the direct one, which multiplies later pixels by nothing.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from genmodels.pixelcnn.masked_conv import MaskedConv2d


def to_hwbc(x: Tensor) -> Tensor:
    """(B, C, H, W) as (H, W, B, C), copied only where it does not lie so."""
    return x.permute(2, 3, 0, 1).contiguous()


def from_hwbc(x: Tensor) -> Tensor:
    """(H, W, B, C) as (B, C, H, W), without a copy."""
    return x.permute(2, 3, 0, 1)


def at_places(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """The biases of ``conv`` at each place of images (B, C, H, W), as (H, W, C_out)."""
    return conv.biases(x.shape[2], x.shape[3]).permute(1, 2, 0)


def along_row(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer of part "left" and type B, or of a 1x1 layer."""
    taps = conv.live_weight[:, :, 0].permute(2, 1, 0).contiguous()  # (taps, C_in, C_out), the pixel's own last
    return from_hwbc(_AlongRow.apply(to_hwbc(x), taps, at_places(conv, x)))


def gathered(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer with one input channel."""
    left, right, up, _ = conv.reach  # none reaches below its own row
    height, width = x.shape[2:]
    image = F.pad(x[:, 0], (left, max(0, right), up, 0)).permute(1, 2, 0)  # (H + up, W + left + right, B)
    _, _, rows, columns = conv.weight.shape
    taps = [image[row : row + height, column : column + width] for row in range(rows) for column in range(columns)]
    return from_hwbc(_AlongRow.apply(torch.stack(taps, -1), conv.live_weight.flatten(1).T[None], at_places(conv, x)))


class _AlongRow(torch.autograd.Function):
    """Features (H, W, B, C_in), taps (T, C_in, C_out), biases (H, W, C_out) -> (H, W, B, C_out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, biases: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps)
        height, width, batch, _ = x.shape
        y = biases[:, :, None].repeat(1, 1, batch, 1).flatten(1, 2)  # (H, W B, C_out)
        y.view(-1, y.size(-1)).addmm_(x.flatten(0, 2), taps[-1])
        x = x.flatten(1, 2)  # (H, W B, C_in): one column further is B rows further
        for shift in range(1, min(len(taps), width)):
            y[:, shift * batch :].baddbmm_(x[:, : -shift * batch], taps[-1 - shift].expand(height, -1, -1))
        return y.view(height, width, batch, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        height, width, batch, _ = x.shape
        flat, x = grad.contiguous().flatten(0, 2), x.flatten(1, 2)
        grad = flat.view(height, width * batch, -1)
        to_x = torch.mm(flat, taps[-1].T).view_as(x) if ctx.needs_input_grad[0] else None  # an image has no gradient
        to_taps = torch.zeros_like(taps)
        torch.mm(x.flatten(0, 1).T, flat, out=to_taps[-1])
        for shift in range(1, min(len(taps), width)):
            earlier, later = slice(None, -shift * batch), slice(shift * batch, None)
            if to_x is not None:
                to_x[:, earlier].baddbmm_(grad[:, later], taps[-1 - shift].T.expand(height, -1, -1))
            torch.sum(torch.bmm(x[:, earlier].transpose(1, 2), grad[:, later]), 0, out=to_taps[-1 - shift])
        to_x = None if to_x is None else to_x.view(height, width, batch, -1)
        return to_x, to_taps, flat.view(height, width, batch, -1).sum(2)


WORTH_TAPS = 20  # below, or with few channels or images, the transforms cost more than they save
WORTH_CHANNELS = 16
WORTH_IMAGES = 8


class Transforms:
    """The matrices of all transforms for one image size and one kernel rectangle (rows, columns) with its reach."""

    def __init__(self, size: tuple[int, int], kernel: tuple[int, int], left: int, up: int, dtype: torch.dtype) -> None:
        (self.height, self.width), (rows, columns) = size, kernel
        tall = self.height + max(up, rows - 1 - up)
        wide = self.width + max(left, columns - 1 - left)
        self.vertical, self.horizontal = tall // 2 + 1, wide  # frequencies kept
        down, across = (
            _waves(self.vertical, torch.arange(self.height), tall),
            _waves(wide, torch.arange(self.width), wide),
        )
        twice = torch.full((self.vertical,), 2.0, dtype=torch.float64)  # a frequency stands for its mirror image, too
        twice[0] = 1.0
        if tall % 2 == 0:
            twice[-1] = 1.0

        def keep(matrix: Tensor) -> Tensor:
            return matrix.to(dtype).contiguous()

        real, imaginary = down.real, down.imag
        self.down = keep(torch.stack([real, imaginary], 1).flatten(0, 1))  # (2 FH, H)
        self.down_back = keep(torch.stack([real, imaginary], 1).mul(twice[:, None, None] / tall).flatten(0, 1).T)
        real, imaginary = across.real, across.imag  # these act on complex rows, real parts first: (FW, 2 W)
        self.across = keep(torch.cat([real, -imaginary], 1)), keep(torch.cat([imaginary, real], 1))
        self.across_back = (  # (2 W, FW)
            keep(torch.cat([real.T, -imaginary.T]) / wide),
            keep(torch.cat([imaginary.T, real.T]) / wide),
        )
        taps = (
            _waves(self.vertical, torch.arange(rows) - up, tall).conj()[:, None, :, None]
            * _waves(wide, torch.arange(columns) - left, wide).conj()[None, :, None, :]
        ).reshape(self.vertical * wide, rows * columns)
        self.taps = keep(taps.real), keep(taps.imag)  # (F, rows * columns)
        weights = twice.repeat_interleave(wide) / (tall * wide)
        self.taps_back = keep((taps.real * weights[:, None]).T), keep((taps.imag * weights[:, None]).T)

    def spectrum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, each (F, B, C), of images (H, W, B, C)."""
        height, width, batch, channels = x.shape
        rows = (self.down @ x.reshape(height, -1)).view(self.vertical, 2 * width, batch * channels)
        real, imaginary = (torch.matmul(matrix, rows).view(-1, batch, channels) for matrix in self.across)
        return real, imaginary

    def images(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """(H, W, B, C) of the two parts of a spectrum, each (F, B, C)."""
        _, batch, channels = real.shape
        forth, back = (matrix.expand(self.vertical, -1, -1) for matrix in self.across_back)
        rows = torch.bmm(forth, real.view(self.vertical, self.horizontal, -1))
        rows.baddbmm_(back, imaginary.view(self.vertical, self.horizontal, -1))
        return (self.down_back @ rows.view(2 * self.vertical, -1)).view(self.height, self.width, batch, channels)

    def kernel_spectrum(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, each (F, C_in, C_out), of a kernel (C_out, C_in, rows, columns)."""
        outputs, inputs, rows, columns = kernel.shape
        taps = kernel.permute(2, 3, 1, 0).reshape(rows * columns, -1)
        real, imaginary = ((matrix @ taps).view(-1, inputs, outputs) for matrix in self.taps)
        return real, imaginary

    def kernel(self, real: Tensor, imaginary: Tensor, shape: torch.Size) -> Tensor:
        """The taps (C_out, C_in, rows, columns) that a spectrum (F, C_in, C_out) has inside the kernel's rectangle."""
        outputs, inputs, rows, columns = shape
        taps = self.taps_back[0] @ real.flatten(1) - self.taps_back[1] @ imaginary.flatten(1)
        return taps.view(rows, columns, inputs, outputs).permute(3, 2, 0, 1)


def _waves(frequencies: int, places: Tensor, side: int) -> Tensor:
    """exp(-2 pi i f p / side), (frequencies, places), in double precision."""
    angle = torch.outer(torch.arange(frequencies, dtype=torch.float64), places.double()) * (-2 * math.pi / side)
    return torch.polar(torch.ones_like(angle), angle)


@lru_cache(maxsize=None)
def transforms(size: tuple[int, int], kernel: tuple[int, int], left: int, up: int, dtype: torch.dtype) -> Transforms:
    """``Transforms``, made once."""
    return Transforms(size, kernel, left, up, dtype)


class _Convolution(torch.autograd.Function):
    """(H, W, B, C_in) images, kernel (C_out, C_in, rows, columns) -> (H, W, B, C_out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, plan: Transforms) -> Tensor:
        (xr, xi), (kr, ki) = plan.spectrum(x), plan.kernel_spectrum(kernel)
        ctx.save_for_backward(xr, xi, kr, ki)
        ctx.plan, ctx.shape = plan, kernel.shape
        return plan.images(torch.bmm(xr, kr).baddbmm_(xi, ki, alpha=-1), torch.bmm(xr, ki).baddbmm_(xi, kr))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        xr, xi, kr, ki = ctx.saved_tensors
        gr, gi = ctx.plan.spectrum(grad.contiguous())
        kr, ki, xr, xi = (part.transpose(1, 2) for part in (kr, ki, xr, xi))
        to_x = ctx.plan.images(torch.bmm(gr, kr).baddbmm_(gi, ki), torch.bmm(gi, kr).baddbmm_(gr, ki, alpha=-1))
        to_kernel = torch.bmm(xr, gr).baddbmm_(xi, gi), torch.bmm(xi, gr).baddbmm_(xr, gi, alpha=-1)
        return to_x, ctx.plan.kernel(*to_kernel, ctx.shape), None


def spectral(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` by spectra: (B, C_in, H, W) -> (B, C_out, H, W), whatever the sizes are worth."""
    left, _, up, _ = conv.reach
    plan = transforms((x.size(2), x.size(3)), tuple(conv.weight.shape[2:]), left, up, x.dtype)  # type: ignore[arg-type]
    return from_hwbc(_Convolution.apply(to_hwbc(x), conv.live_weight, plan) + at_places(conv, x)[:, :, None])


def apply_fastest(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` in the form that is quickest for this layer on a processor in fp32."""
    if len(x) < WORTH_IMAGES or conv.out_channels < WORTH_CHANNELS:
        return conv(x)
    if conv.in_channels == 1:
        return gathered(conv, x)
    if conv.kernel == 1 or (conv.part, conv.mask_type) == ("left", "B"):
        return along_row(conv, x)
    return spectral(conv, x) if conv.in_channels >= WORTH_CHANNELS and conv.mask.numel() >= WORTH_TAPS else conv(x)


def worth_spectral(x: Tensor) -> bool:
    """Is the training that these images (B, 1, H, W) are a batch of one for ``apply_fastest``: on a CPU, in fp32?"""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
