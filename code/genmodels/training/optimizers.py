"""What moves the weights: the optimiser, its learning rate and weight decay at each step, and the average that is kept.

- AdamW with decoupled weight decay: Loshchilov & Hutter, arXiv 1711.05101.
- Muon (Jordan et al. 2024) for the matrices and kernels inside a network: the momentum of a matrix is replaced by the
  nearest half-orthogonal matrix, found by a few Newton-Schulz steps, so that all directions are learned at one pace.
  Scaled to the size of AdamW's updates (Liu et al. 2025, arXiv 2502.16982), so that one learning rate serves both. A convolution's kernel is a matrix, too: all taps of
  all input channels against the output channels; and so are the two slopes of each bias that knows its place. Embeddings,
  biases and gains stay with AdamW.
- Learning rate: linear warm-up, then a cosine (arXiv 1608.03983) or a constant rate with a cooldown (arXiv 2405.18392).
- Averaging: exponential moving average of the weights with a warmed-up decay; it is what is evaluated and kept.

The training loop knows no more of an optimiser than torch's own interface.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genmodels.config import TrainingConfig
from genmodels.errors import UserError
from genmodels.system.precision import bf16_is_native


class Uncompiled(torch.optim.Optimizer):
    """PyTorch's optimiser without the wrappers that import its compiler (three processor seconds in every process that
    trains) to tell it to leave these methods alone: no step is ever compiled here."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class AdamW(Uncompiled, torch.optim.AdamW):
    """PyTorch's AdamW; see ``Uncompiled``."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def make_optimizer(model: nn.Module, config: TrainingConfig) -> AdamW | MuonWithAdamW:
    """What ``config`` asks for; weight decay on matrices only (biases and gains are left free)."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.momentum:
        return MuonWithAdamW(model, trainable, config)
    return adamw(trainable, config)


def adamw(parameters: list[nn.Parameter], config: TrainingConfig) -> AdamW:
    """AdamW in groups of equal weight decay and equal pace; see ``rate_share``."""
    groups = [
        {
            "params": [p for p in parameters if (p.ndim >= 2) is matrices and _pace(p) == (share, first)],
            "weight_decay": config.weight_decay if matrices else 0.0,
            "share": share,
            "first_step": first,
        }
        for share, first in dict.fromkeys([(1.0, 0), *map(_pace, parameters)])
        for matrices in (True, False)
    ]
    return AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2))


def _pace(parameter: nn.Parameter) -> tuple[float, int]:
    """What a parameter says of itself: its share of the learning rate, and the step from which on it moves."""
    return getattr(parameter, "rate_share", 1.0), getattr(parameter, "rate_from", 0)


def rate_share(group: dict[str, Any], step: int) -> float:
    """Which share of the learning rate a group of parameters has in ``step``: none before its first one."""
    return group.get("share", 1.0) if step >= group.get("first_step", 0) else 0.0


def as_matrix(tensor: Tensor) -> Tensor:
    """A matrix, or a convolution's kernel (C_out, C_in, rows, columns), as (outputs, inputs): C_out by taps times C_in.

    A view for the two memory formats that kernels have here; the order of the columns means nothing to Muon.
    """
    return tensor.permute(0, *range(2, tensor.ndim), 1).flatten(1) if not tensor.is_contiguous() else tensor.flatten(1)


def half_orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """U V^T of the singular value decomposition U S V^T, roughly: singular values between about 0.5 and 1.5.

    Newton-Schulz steps on an odd polynomial of degree five with the coefficients of Jordan et al. Products in bf16
    where the processor has it, which is exact enough for a direction, else in fp32 (emulated bf16 takes minutes); those
    of an fp64 matrix in fp64.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    low = torch.promote_types(matrix.dtype, torch.float32)
    if low == torch.float32 and bf16_is_native(matrix.device.type):
        low = torch.bfloat16
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).to(low)
    x = x / x.norm().clamp(min=1e-7)  # spectral norm at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(Uncompiled):
    """Nesterov momentum, made half-orthogonal, on matrices and kernels; decoupled weight decay.

    An update's root mean square is 0.2 ``lr``, about that of AdamW's (arXiv 2502.16982, sec. 2.2).
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state, keep = self.state[parameter], group["momentum"]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - keep)
                update = as_matrix(parameter.grad.lerp(state["momentum"], keep))
                size = group["lr"] * 0.2 * math.sqrt(max(update.shape))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                as_matrix(parameter.data).sub_(half_orthogonal(update), alpha=size)


def _mixes(parameter: nn.Parameter) -> bool:
    """A matrix, or a kernel with several channels on both sides: one channel leaves no directions to balance."""
    return parameter.ndim == 2 or parameter.ndim > 2 and min(parameter.shape[:2]) > 1


class MuonWithAdamW:
    """Two optimisers behind one interface. ``UserError`` where nothing is for Muon."""

    def __init__(self, model: nn.Module, parameters: list[nn.Parameter], config: TrainingConfig) -> None:
        tables = {id(p) for part in model.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
        inner = [p for p in parameters if _mixes(p) and id(p) not in tables]
        if not inner:
            raise UserError("this model has no inner matrices for Muon; train it with AdamW")
        chosen = {id(p) for p in inner}
        muon = Muon(inner, config.learning_rate, config.weight_decay, config.momentum)
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            muon,
            adamw([p for p in parameters if id(p) not in chosen], config),
        )

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


def steady_steps(config: TrainingConfig) -> int:
    """How many steps come before the cooldown; 0 where the learning rate falls all the way."""
    return math.floor((1 - config.cooldown) * config.steps) if config.cooldown else 0


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Linear warm-up to ``learning_rate``, then down to ``final_learning_rate``.

    Down half a cosine; or, with a ``cooldown``, constant until the last ``cooldown`` share of the steps and
    then by 1 - sqrt(progress) (Hägele et al. 2024, arXiv 2405.18392, sec. 3).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    swing = config.learning_rate - config.final_learning_rate
    if config.cooldown:
        start = steady_steps(config)
        progress = max(0, step - start) / max(1, config.steps - start)
        return config.final_learning_rate + swing * (1 - math.sqrt(progress))
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.final_learning_rate + swing * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def weight_decays_at(step: int, config: TrainingConfig) -> bool:
    """Whether the weights decay in this step; ``weight_decay_from`` leaves them alone at first."""
    return step >= config.weight_decay_from


class Schedule:
    """Learning rate and weight decay of an optimiser's groups, step by step; made before a state is restored, which
    brings those of its own step."""

    def __init__(self, optimizer: torch.optim.Optimizer | MuonWithAdamW, config: TrainingConfig) -> None:
        self.optimizer, self.config = optimizer, config
        self.decays = [group["weight_decay"] for group in optimizer.param_groups]

    def apply(self, step: int) -> None:
        for group, decay in zip(self.optimizer.param_groups, self.decays, strict=True):
            group["lr"] = learning_rate_at(step, self.config) * rate_share(group, step)
            group["weight_decay"] = decay if weight_decays_at(step, self.config) else 0.0


class WeightAverage:
    """Exponential moving average of a model's parameters; decay 0 means "the weights themselves"."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.model = decay, model
        self.weights = [p.detach().clone() for p in model.parameters()] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:  # early on a long memory would keep the random start: let it lengthen with the run
            rate = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [p.detach() for p in self.model.parameters()], rate)

    @torch.no_grad()
    def keep(self) -> None:
        """The model holds the averaged weights from now on."""
        if self.decay:
            torch._foreach_copy_(list(self.model.parameters()), self.weights)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model holds the averaged weights."""
        if not self.decay:
            yield
            return
        before = [p.detach().clone() for p in self.model.parameters()]
        self.keep()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list(self.model.parameters()), before)
