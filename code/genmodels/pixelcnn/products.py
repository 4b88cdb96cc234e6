"""Masked convolutions as plain matrix products, for training: features lie in memory as (H, W, B, C), as in ``spectral.py``.

Kept in that one order, a step of training never rearranges its features: the spectra want it, a 1x1 layer is one product
of it, and a shift by columns is a contiguous block of it. From outside they look like any (B, C, H, W). Two forms, each
equal to the layer's own up to rounding, in outputs and in all gradients:

* ``along_row``: a layer whose last tap is the pixel itself and whose others lie to its left: part "left" of type B, or 1x1.
  y[:, w] = b[:, w] + sum_s x[:, w - s] K_s, a product for each shift s, on views.
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


def at_places(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """The biases of ``conv`` at each place of images (B, C, H, W), as (H, W, C_out)."""
    return conv.biases(x.shape[2], x.shape[3]).permute(1, 2, 0)


def along_row(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer of part "left" and type B, or of a 1x1 layer."""
    taps = conv.live_weight[:, :, 0].permute(2, 1, 0).contiguous()  # (taps, C_in, C_out), the pixel's own last
    return seen(_AlongRow.apply(laid_out(x), taps, at_places(conv, x)))


def gathered(conv: MaskedConv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a layer with one input channel."""
    left, right, up, _ = conv.reach  # none reaches below its own row
    height, width = x.shape[2:]
    image = F.pad(x[:, 0], (left, max(0, right), up, 0)).permute(1, 2, 0)  # (H + up, W + left + right, B)
    _, _, rows, columns = conv.weight.shape
    taps = [image[row : row + height, column : column + width] for row in range(rows) for column in range(columns)]
    return seen(_AlongRow.apply(torch.stack(taps, -1), conv.live_weight.flatten(1).T[None], at_places(conv, x)))


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
