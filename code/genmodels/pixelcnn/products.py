"""Masked convolutions as plain matrix products, for training: features lie in memory as (H, W, B, C), as in ``spectral.py``.

Kept in that one order, a step of training never rearranges its features: the spectra want it, a 1x1 layer is one product
of it, and a shift by columns is a contiguous block of it. From outside they look like any (B, C, H, W). Three forms, each
equal to ``MaskedConv2d`` up to rounding, in outputs and in all gradients:

* ``pointwise``: a 1x1 layer.
* ``along_row``: a layer of part "left", type B. y[:, w] = sum_s x[:, w - s] K_s, a product for each shift s, on views.
* ``gathered``: a layer that reads one channel, the image. Its few taps are copied side by side: one product of them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from genmodels.pixelcnn.masked_conv import MaskedConv2d


def laid_out(x: Tensor) -> Tensor:
    """(B, C, H, W) as (H, W, B, C), copied only where it does not lie so."""
    return x.permute(2, 3, 0, 1).contiguous()


def seen(x: Tensor) -> Tensor:
    """(H, W, B, C) as (B, C, H, W), without a copy."""
    return x.permute(2, 3, 0, 1)


def pointwise(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a 1x1 layer."""
    return seen(F.linear(laid_out(x), conv.weight.flatten(1), conv.bias))


def along_row(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer of part "left" and type B."""
    taps = conv.live_weight[:, :, 0].permute(2, 1, 0).contiguous()  # (taps, C_in, C_out), the pixel's own last
    return seen(_AlongRow.apply(laid_out(x), taps, conv.bias))


def gathered(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer with one input channel."""
    left, right, up, _ = conv.reach  # none reaches below its own row
    height, width = x.shape[2:]
    image = F.pad(x[:, 0], (left, max(0, right), up, 0)).permute(1, 2, 0)  # (H + up, W + left + right, B)
    _, _, rows, columns = conv.weight.shape
    taps = [image[row : row + height, column : column + width] for row in range(rows) for column in range(columns)]
    return seen(F.linear(torch.stack(taps, -1), conv.live_weight.flatten(1), conv.bias))


class _AlongRow(torch.autograd.Function):
    """Features (H, W, B, C_in), taps (T, C_in, C_out), bias (C_out,) -> (H, W, B, C_out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps)
        height, width, batch, _ = x.shape
        flat = x.flatten(0, 2)
        y = torch.addmm(bias, flat, taps[-1]).view(height, width * batch, -1)
        x = x.flatten(1, 2)  # (H, W B, C_in): one column further is B rows further
        for shift in range(1, min(len(taps), width)):
            y[:, shift * batch :].baddbmm_(x[:, : -shift * batch], taps[-1 - shift].expand(height, -1, -1))
        return y.view(height, width, batch, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        height, width, batch, _ = x.shape
        flat, x = grad.contiguous().flatten(0, 2), x.flatten(1, 2)
        grad = flat.view(height, width * batch, -1)
        to_x = torch.mm(flat, taps[-1].T).view_as(x)
        to_taps = torch.zeros_like(taps)
        torch.mm(x.flatten(0, 1).T, flat, out=to_taps[-1])
        for shift in range(1, min(len(taps), width)):
            earlier, later = slice(None, -shift * batch), slice(shift * batch, None)
            to_x[:, earlier].baddbmm_(grad[:, later], taps[-1 - shift].T.expand(height, -1, -1))
            torch.sum(torch.bmm(x[:, earlier].transpose(1, 2), grad[:, later]), 0, out=to_taps[-1 - shift])
        return to_x.view(height, width, batch, -1), to_taps, flat.sum(0)
