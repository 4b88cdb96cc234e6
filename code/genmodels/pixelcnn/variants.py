"""Networks between the assignment's and ours, one change apart: for the ablation (``stages/pixel_study.py``) alone.

Each change costs operations at an equal number of channels (a gate doubles a layer's outputs), so that the study gives
every variant the channels that make its operations about equal to those of the assignment's network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from genmodels.config import GatedModelConfig, PixelCNNModelConfig, setting
from genmodels.errors import UserError
from genmodels.pixelcnn.gated import GatedPixelCNN, gate
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import Apply, PixelCNN, PixelModel, last, whole


@dataclass(frozen=True)
class PixelVariant:
    """What is changed of the network that a config names."""

    residual: bool = setting(False, "اتصال باقی‌مانده")
    gated: bool = setting(False, "دروازه")


class VariantPixelCNN(PixelCNN):
    """The assignment's stack with residual connections, or with gates instead of ReLU in its layers larger than 1x1."""

    def __init__(self, config: PixelCNNModelConfig, variant: PixelVariant) -> None:
        super().__init__(config)
        self.variant = variant
        if variant.gated:
            for index, conv in enumerate(self.convolutions):
                if conv.kernel > 1:
                    twice = 2 * conv.out_channels
                    self.convolutions[index] = MaskedConv2d(conv.mask_type, conv.in_channels, twice, conv.kernel)

    def along(self, x: Tensor, told: list[Tensor], apply: Apply = whole) -> Tensor:
        for index, conv in enumerate(self.convolutions[:-1]):
            new = apply(conv, x)
            new = gate(new) if self.variant.gated and conv.kernel > 1 else F.relu(new)  # (B, C, H, W)
            x = x + new if self.variant.residual and index else new
        return last(self.convolutions[-1], x, apply)


class PlainTwoStack(GatedPixelCNN):
    """Two stacks and nothing else of ours: ReLU instead of gates, no residual connection."""

    activation = staticmethod(F.relu)
    widen = 1
    residual = False


def build(config: PixelCNNModelConfig | GatedModelConfig, variant: PixelVariant) -> PixelModel:
    """The network of a run; ``UserError`` for two stacks with only one of gate and residual connection."""
    if isinstance(config, PixelCNNModelConfig):
        return VariantPixelCNN(config, variant)
    if variant.gated != variant.residual:
        raise UserError(f"two stacks come with both gates and residual connections or with neither, not with {variant}")
    return GatedPixelCNN(config) if variant.gated else PlainTwoStack(config)
