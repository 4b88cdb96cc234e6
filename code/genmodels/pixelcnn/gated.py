"""Our improved PixelCNN (``gated``): two stacks without blind spot, gates, residual connections.

The idea is that of Gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328, secs. 2.2, 2.3 and fig. 2). A *vertical*
stack reads whole rows, all above the pixel's own; a *horizontal* stack reads the pixel's own row to the left of it and
is told, in every layer, what the vertical one knows. Together they see every earlier pixel within their reach:

    a_l = V_l * v_{l-1},                                   v_l = v_{l-1} + g(a_l)
    b_l = H_l * h_{l-1} + L_l v_l,                         h_l = h_{l-1} + O_l g(b_l)
    g([p, q]) = tanh(p) sigmoid(q)                         (first and second half of the channels)

V_l has part "above", H_l part "left" of the mask; L_l and O_l are 1x1. The stacks never mix the other way: v must not
learn of the pixel's own row. Four things differ from the paper: the link reads what the vertical gate lets through (there,
what the gate is given); the vertical stack has a residual connection too, or neither has (``GatedModelConfig.residual``);
the image is shifted down once, by the type A mask of V_1, instead of the vertical features in every layer; and V_l and H_l
may know where on the image they are (``GatedModelConfig.placed``, ``PlacedMaskedConv2d``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genmodels.config import GatedModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.masked_conv import MaskedConv2d, PlacedMaskedConv2d
from genmodels.pixelcnn.model import Apply, PixelModel, apply_directly, last


def gate(x: Tensor) -> Tensor:
    """tanh(first half of the channels) * sigmoid(second half): (B, 2C, ...) -> (B, C, ...)."""
    return _Gate.apply(x)  # type: ignore[no-any-return]


class _Gate(torch.autograd.Function):
    """Its gradient is written into one tensor that lies in memory as the input does; autograd would join two, rearranged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        signal, valve = (half(part) for half, part in zip((torch.tanh, torch.sigmoid), x.chunk(2, dim=1)))
        ctx.save_for_backward(signal, valve)
        ctx.like = torch.empty_like(x, device="meta")
        return signal * valve

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        signal, valve = ctx.saved_tensors
        to_x = torch.empty_like(ctx.like, device=grad.device)
        to_signal, to_valve = to_x.chunk(2, dim=1)
        torch.mul(grad * valve, 1 - signal * signal, out=to_signal)
        torch.mul(grad * signal, valve * (1 - valve), out=to_valve)
        return to_x


class TwoStackLayer(nn.Module):
    """The four convolutions of one layer; ``widen`` is 2 where a gate halves the channels again, else 1.

    ``placed``: the two large ones know the place of their pixel.
    """

    def __init__(self, mask_type: str, in_channels: int, channels: int, kernel: int, widen: int, placed: bool) -> None:
        super().__init__()
        large = PlacedMaskedConv2d if placed else MaskedConv2d
        self.vertical = large(mask_type, in_channels, widen * channels, kernel, part="above")
        self.link = MaskedConv2d("B", channels, widen * channels, 1)
        self.horizontal = large(mask_type, in_channels, widen * channels, kernel, part="left")
        self.output = MaskedConv2d("B", channels, channels, 1)


class GatedPixelCNN(PixelModel):
    """``config.layers`` two-stack layers and a head of two 1x1 convolutions."""

    activation: Callable[[Tensor], Tensor] = staticmethod(gate)
    widen = 2  # the gate halves the channels

    def __init__(self, config: GatedModelConfig = GatedModelConfig(), image_size: tuple[int, int] = (28, 28)) -> None:
        super().__init__(image_size)
        if config.layers < 1 or config.channels < 1:
            raise UserError(f"GatedPixelCNN needs at least one layer and one channel, got {config}")
        self.config = config
        self.layers = nn.ModuleList(
            TwoStackLayer("A", 1, config.channels, config.first_kernel, self.widen, config.placed)
            if index == 0
            else TwoStackLayer("B", config.channels, config.channels, config.kernel, self.widen, config.placed)
            for index in range(config.layers)
        )
        self.head = MaskedConv2d("B", config.channels, config.channels, 1)
        self.logit = MaskedConv2d("B", config.channels, 1, 1)
        for (
            parameter
        ) in self.parameters():  # channels first: a gate halves the channels, and either half lies in one piece
            parameter.data = parameter.data.contiguous()

    def above(self, x: Tensor, apply: Apply = apply_directly) -> list[Tensor]:
        told = []
        for index, layer in enumerate(self.layers):
            x = self._grow(index, x, self.activation(apply(layer.vertical, x)))  # (B, C, H, W): the vertical stack
            told.append(apply(layer.link, x))  # (B, 2C, H, W)
        return told

    def along(self, x: Tensor, told: list[Tensor], apply: Apply = apply_directly) -> Tensor:
        for index, (layer, rows_above) in enumerate(zip(self.layers, told)):
            new = apply(layer.output, self.activation(apply(layer.horizontal, x) + rows_above))
            x = self._grow(index, x, new)  # (B, C, H, W): the horizontal stack
        return last(self.logit, F.relu(apply(self.head, F.relu(x))), apply)

    def _grow(self, index: int, x: Tensor, new: Tensor) -> Tensor:
        """The residual connection; the first layer has the image below it and takes none."""
        return x + new if index and self.config.residual else new
