"""Networks between the assignment's and ours, one change apart: for the ablation (``stages/image_study.py``) alone.

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
from genmodels.pixelcnn.masked_conv import MaskedConv2d, PlacedMaskedConv2d
from genmodels.pixelcnn.model import Apply, PixelCNN, PixelModel, apply_directly, last


@dataclass(frozen=True)
class PixelVariant:
    """What is changed of the network that a config names."""

    residual: bool = setting(False, "اتصال باقی‌مانده")
    gated: bool = setting(False, "دروازه")
    placed: bool = setting(False, "بایاس جایگاه‌شناس")


class VariantPixelCNN(PixelCNN):
    """The assignment's stack with residual connections; its layers larger than 1x1 with gates instead of ReLU, or placed."""

    def __init__(self, config: PixelCNNModelConfig, variant: PixelVariant) -> None:
        super().__init__(config)
        self.variant = variant
        kind = PlacedMaskedConv2d if variant.placed else MaskedConv2d
        if variant.gated or variant.placed:
            for index, conv in enumerate(self.convolutions):
                if conv.kernel > 1:
                    outputs = (2 if variant.gated else 1) * conv.out_channels
                    self.convolutions[index] = kind(conv.mask_type, conv.in_channels, outputs, conv.kernel)
                    if not variant.gated:  # the same network at birth: only what is learned differs
                        self.convolutions[index].load_state_dict(conv.state_dict(), strict=False)

    def along(self, x: Tensor, told: list[Tensor], apply: Apply = apply_directly) -> Tensor:
        for index, conv in enumerate(self.convolutions[:-1]):
            new = apply(conv, x)
            new = gate(new) if self.variant.gated and conv.kernel > 1 else F.relu(new)  # (B, C, H, W)
            x = x + new if self.variant.residual and index else new
        return last(self.convolutions[-1], x, apply)


class PlainTwoStack(GatedPixelCNN):
    """Two stacks with ReLU instead of gates."""

    activation = staticmethod(F.relu)
    widen = 1


def build(config: PixelCNNModelConfig | GatedModelConfig, variant: PixelVariant) -> PixelModel:
    """The network of a run; ``UserError`` for two stacks whose own settings are not those of ``variant``."""
    if isinstance(config, PixelCNNModelConfig):
        return VariantPixelCNN(config, variant)
    if (config.residual, config.placed) != (variant.residual, variant.placed):
        raise UserError(
            f"two stacks are asked for as {variant} and as {config}; give both the same residual and placed"
        )
    return GatedPixelCNN(config) if variant.gated else PlainTwoStack(config)
