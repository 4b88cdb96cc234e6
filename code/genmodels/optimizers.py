"""The optimisers: AdamW, and Muon for the matrices inside a network with AdamW for the rest.

- AdamW with decoupled weight decay: Loshchilov & Hutter, arXiv 1711.05101.
- Muon (Jordan et al. 2024): the momentum of a matrix is replaced by the nearest half-orthogonal matrix, found by a few
  Newton-Schulz steps, so that all directions are learned at one pace. Scaled to the size of AdamW's updates (Liu et al.
  2025, arXiv 2502.16982), so that one learning rate serves both. Embeddings, biases and gains stay with AdamW.

The training loop sets ``lr`` in ``param_groups`` and knows no more of an optimiser than torch's own interface.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from genmodels.config import MuonTrainingConfig, TrainingConfig
from genmodels.errors import UserError


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW | MuonWithAdamW:
    """What ``config`` asks for; weight decay on matrices only (biases and gains are left free)."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if isinstance(config, MuonTrainingConfig):
        return MuonWithAdamW(model, trainable, config)
    return adamw(trainable, config)


def adamw(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2))


class MuonWithAdamW:
    """Two optimisers behind one interface. ``UserError`` where this torch has no Muon or nothing is for it."""

    def __init__(self, model: nn.Module, parameters: list[nn.Parameter], config: MuonTrainingConfig) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise UserError(f"torch {torch.__version__} has no Muon; install torch 2.9 or newer for this experiment")
        tables = {id(p) for part in model.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
        inner = [p for p in parameters if p.ndim == 2 and id(p) not in tables]
        if not inner:
            raise UserError("this model has no inner matrices for Muon; train it with AdamW")
        chosen = {id(p) for p in inner}
        muon = torch.optim.Muon(
            inner, lr=config.learning_rate, weight_decay=config.weight_decay, momentum=config.momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        self.parts: tuple[torch.optim.Optimizer, ...] = (muon, adamw([p for p in parameters if id(p) not in chosen], config))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, kept in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(kept)
