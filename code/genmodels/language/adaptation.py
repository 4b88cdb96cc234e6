"""Carrying a trained network over to another text: what of it moves, how fast, and how far.

- ``adapt`` chooses what is trained: all of it, its biases and gains (as BitFit, Ben Zaken et al. 2021, arXiv 2106.10199), the
  embedding, the last block, a low-rank update (LoRA), or all of it step by step (ULMFiT).
- LoRA (Hu et al. 2021, arXiv 2106.09685): W + (a/r) B A with W frozen, A (r, in) random, B (out, r) zero, on every matrix
  inside the blocks. It begins as the network that it adapts, and ``merge`` gives a network without it.
- Discriminative rates and gradual unfreezing (Howard & Ruder 2018, arXiv 1801.06146, sec. 3.2, 3.3): the last block at the whole
  rate from the first step on, each one below it at 1/2.6 of the rate of the one above, and later. A parameter says so itself
  (``rate_share``, ``rate_from``); ``training/optimizers.py`` reads it.
- ``averaged``: weights between the old ones and the new (Wortsman et al. 2021, arXiv 2109.01903).

Not here: the training (``training/loop.py``), and what it trains on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.errors import UserError
from genmodels.language.transformer import TransformerLM

METHODS = ("full", "bias", "embedding", "last-block", "lora", "gradual")
DECAY = 2.6  # of the rate, from a block to the one below it (ULMFiT)
SCALE = 16  # a of LoRA: the update counts a/r, so that one learning rate serves all ranks


def arm_name(target: str, kilobytes: int, kind: str) -> str:
    """The key of an arm of stage ``transfer``: the target text, its size (0: all of it), the start or the way."""
    return f"{target}-{kilobytes or 'all'}-{kind}"


class LoRALinear(nn.Module):
    """A frozen linear map plus a trained one of rank ``rank``: x -> W x + (SCALE / rank) B (A x)."""

    def __init__(self, inner: nn.Linear, rank: int) -> None:
        super().__init__()
        if not 1 <= rank <= min(inner.weight.shape):
            most = min(inner.weight.shape)
            raise UserError(f"rank {rank} is no rank of a matrix {tuple(inner.weight.shape)}; give 1 … {most}")
        self.inner, self.scale = inner.requires_grad_(False), SCALE / rank
        kind = {"dtype": inner.weight.dtype, "device": inner.weight.device}
        self.down = nn.Parameter(torch.randn(rank, inner.in_features, **kind) / math.sqrt(inner.in_features))
        self.up = nn.Parameter(torch.zeros(inner.out_features, rank, **kind))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.inner(x) + self.scale * F.linear(F.linear(x, self.down), self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        self.inner.weight += self.scale * self.up @ self.down
        return self.inner


def adapt(network: TransformerLM, method: str, rank: int = 0, steps: int = 0) -> TransformerLM:
    """``network`` with what ``method`` trains left free and all else frozen; changed in place, and returned.

    ``rank``: of LoRA. ``steps``: of the training, over whose first half ``gradual`` unfreezes. ``UserError`` for a method that
    is none.
    """
    if method not in METHODS:
        raise UserError(f"there is no way to adapt called {method!r}; the ways are {', '.join(METHODS)}")
    whole = method in ("full", "gradual")
    network.requires_grad_(whole)
    if method == "lora":
        _each_linear(network, lambda linear: LoRALinear(linear, rank))
    for name, parameter in network.named_parameters():
        if method == "bias":
            parameter.requires_grad_(parameter.ndim == 1)
        elif method == "embedding":
            parameter.requires_grad_(name == "embedding.weight")
        elif method == "last-block":
            parameter.requires_grad_(_depth(name, network) == 0)
        elif method == "gradual":
            depth = _depth(name, network)
            parameter.rate_share = DECAY**-depth
            parameter.rate_from = depth * steps // (2 * (len(network.blocks) + 1))
    return network


def _depth(name: str, network: TransformerLM) -> int:
    """How many blocks lie between a parameter and the network's end; the embedding, at both ends, counts as the first."""
    if name.startswith("blocks."):
        return len(network.blocks) - 1 - int(name.split(".")[1])
    return len(network.blocks) if name == "embedding.weight" else 0


def merge(network: TransformerLM) -> TransformerLM:
    """``network`` with every low-rank update added to its matrix: the same function, no part more. In place."""
    _each_linear(network, lambda part: part.merged() if isinstance(part, LoRALinear) else part)
    return network


def _each_linear(network: TransformerLM, made: Callable[[nn.Module], nn.Module]) -> None:
    """Exchange every linear map (or ``LoRALinear``) inside the blocks for what ``made`` makes of it."""
    for block in network.blocks:
        for owner in (block.attention, block.feed_forward):
            for name, part in list(owner.named_children()):
                if isinstance(part, nn.Linear | LoRALinear):
                    setattr(owner, name, made(part))


def trained(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters that are trained, by name."""
    return {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}


@torch.no_grad()
def restore(network: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Put what ``trained`` copied back; ``UserError`` where it is another network's."""
    mine = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if mine.keys() != kept.keys() or any(mine[name].shape != kept[name].shape for name in mine):
        raise UserError("the kept weights are another network's, or of another way to adapt it")
    for name, parameter in mine.items():
        parameter.copy_(kept[name])


def averaged(old: Mapping[str, Tensor], new: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) old + share new, weight by weight."""
    return {
        name: torch.lerp(old[name], weight, share) if weight.is_floating_point() else weight
        for name, weight in new.items()
    }
