"""What every language model here shares: tied embeddings, output bias, the summed cross-entropy, token checks.

A model factorises the probability of a token sequence by the chain rule, p(x) = prod_t p(x_t | x_<t), and gives for
each position a vector of logits z over the vocabulary, p(x_t = v | x_<t) = softmax(z)_v. A subclass says only how a
sequence of tokens becomes a sequence of features (``features``); the logits are

    z = E h + b,                 E: the input embedding matrix itself (weight tying: Press & Wolf 2017, arXiv
    1608.05859).

``linear_cross_entropy`` computes the loss of all positions without ever holding the (positions, vocabulary) matrix:
blocks of positions, whose gradient softmax(z) - onehot(target) is formed while the block is still in the processor's
cache. It is exact, not an approximation such as sampled softmax. Not here: the networks (``recurrent.py``,
``transformer.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.errors import UserError
from genmodels.system.precision import is_exact
from genmodels.text.windows import IGNORED

BLOCK = 256
"""Positions per block of the loss: 256 x 8000 fp32 logits are 8 MB, which a server core's cache holds."""


class LanguageModel(nn.Module):
    """Base of the next-token models: ``forward`` gives logits or the summed loss; subclasses give ``features``.

    ``vocabulary``: number of token ids (0 ... vocabulary - 1). ``width``: size of the embedding and of the features.
    """

    context: int | None = None
    """The longest sequence the model can take at once; ``None`` where there is no bound."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        if vocabulary < 2 or width < 1:
            raise UserError(
                f"a language model wants a vocabulary of >= 2 and a width of >= 1, got {vocabulary} and {width}"
            )
        self.vocabulary, self.width = vocabulary, width
        self.embedding = nn.Embedding(vocabulary, width)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))

    def features(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(B, T) token ids -> features (B, T, width), whose position t depends on tokens 0 ... t, and the new state."""
        raise NotImplementedError

    def initial_state(self, batch: int, capacity: int | None = None) -> Any:
        """The state before the first token of ``batch`` sequences (``capacity``: tokens to make room for, where it
        matters)."""
        raise NotImplementedError

    def forward(self, tokens: Tensor, state: Any = None, targets: Tensor | None = None) -> tuple[Tensor, Any]:
        """(logits (B, T, V), state); with ``targets`` (B, T) instead (summed cross-entropy in nats (), state).

        ``state``: what an earlier call or ``initial_state`` gave, to continue those sequences; ``None`` starts afresh.
        ``targets``: the token after each position; ``IGNORED`` positions count nothing. This form is what training
        uses: it needs a fraction of the time and memory of the logits. Raises ``UserError`` for tokens of a wrong
        shape.
        """
        if tokens.ndim != 2 or tokens.numel() == 0:
            raise UserError(
                f"tokens have shape {tuple(tokens.shape)}, the model wants (batch, time) with at least one token"
            )
        features, state = self.features(tokens, state)
        if targets is None:
            return self.logits(features), state
        return linear_cross_entropy(features, self.output_weight, self.output_bias, targets), state

    @property
    def output_weight(self) -> Tensor:
        """(V, width): the rows that features are compared with; the embedding itself."""
        return self.embedding.weight

    def logits(self, features: Tensor) -> Tensor:
        """(..., width) -> (..., V): scores before the softmax."""
        return F.linear(features, self.output_weight, self.output_bias)

    @torch.no_grad()
    def initialize_output_bias(self, log_unigram: Tensor) -> None:
        """Start from the unigram distribution: ``log_unigram`` (V,), natural logarithms of the tokens' frequencies.

        Then the first steps need not spend themselves on learning which tokens are frequent.
        """
        if log_unigram.shape != self.output_bias.shape:
            raise UserError(f"log_unigram has shape {tuple(log_unigram.shape)}, the model wants ({self.vocabulary},)")
        self.output_bias.copy_(log_unigram)

    def check_tokens(self, tokens: Tensor) -> None:
        """Raise ``UserError`` naming the first id that is outside the vocabulary (a mistake of the caller's
        tokenizer)."""
        wrong = tokens[(tokens < 0) | (tokens >= self.vocabulary)]
        if wrong.numel():
            raise UserError(
                f"token id {int(wrong[0])} is outside this model's vocabulary 0 … {self.vocabulary - 1}; "
                "encode the text with the tokenizer the model was trained with"
            )


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """``F.dropout``. Where all must be ``exact`` its masks come from uniform numbers, which every machine draws alike:
    PyTorch asks MKL for Bernoulli numbers where it has it, and draws other ones where not."""
    if not is_exact():
        return F.dropout(x, rate, training)
    return x * (torch.rand_like(x) >= rate) / (1 - rate) if training else x


def locked_dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Variational dropout (Gal & Ghahramani 2016, arXiv 1512.05287): one mask a sequence, the same at all its times.

    ``x``: (T, B, D), time first; the mask is (1, B, D), its survivors scaled by 1 / (1 - rate).
    """
    if not training or rate == 0:
        return x
    return x * dropout(x.new_ones(1, x.shape[1], x.shape[2]), rate, training)


def log_unigram(counts: np.ndarray) -> Tensor:
    """Add-one log relative frequencies of the tokens, (V,) fp32."""
    return torch.from_numpy(np.log((counts + 1) / (counts + 1).sum())).float()


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy (nats, fp32 or wider) of logits = features weight^T + bias, without storing the logits.

    ``features`` (..., D), ``weight`` (V, D), ``bias`` (V,), ``targets`` (...) with ``IGNORED`` where nothing counts.
    Under autocast the two matrix products run in its dtype, the softmax and the sums in fp32.
    """
    device = features.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    if not torch.is_grad_enabled():  # ``apply`` asks the parameters whether gradients are wanted, not the mode
        weight, bias = weight.detach(), bias.detach()
    return _LinearCrossEntropy.apply(features.flatten(0, -2).to(low), weight, weight.to(low), bias, targets.flatten())


class _LinearCrossEntropy(torch.autograd.Function):
    """Loss and its gradients in one pass over blocks: d loss / d logits = softmax(logits) - onehot(target)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, master: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        wide = torch.promote_types(bias.dtype, torch.float32)
        low_bias = bias.to(features.dtype)
        wanted = any(ctx.needs_input_grad)
        total = torch.zeros((), dtype=wide, device=features.device)
        if wanted:
            grad_features = torch.empty_like(features)
            grad_weight = torch.zeros(weight.shape, dtype=wide, device=weight.device)
            grad_bias = torch.zeros(bias.shape, dtype=wide, device=bias.device)
        for start in range(0, len(targets), BLOCK):
            block, target = features[start : start + BLOCK], targets[start : start + BLOCK, None]
            counts = target != IGNORED
            target = target.clamp_min(0)
            logits = F.linear(block, weight, low_bias)  # (N, V)
            p = torch.softmax(logits, 1, dtype=wide)  # (N, V)
            at_target = p.gather(1, target)
            total -= (at_target.clamp_min(torch.finfo(wide).tiny).log() * counts).sum()
            if wanted:
                p.scatter_(1, target, at_target - 1)
                p *= counts  # (N, V): now the gradient of the loss with respect to the logits
                grad_bias += p.sum(0)
                low = p.to(weight.dtype)
                torch.mm(low, weight, out=grad_features[start : start + BLOCK])
                grad_weight += torch.mm(low.t(), block)
        if wanted:
            ctx.save_for_backward(grad_features, grad_weight.to(master.dtype), grad_bias.to(bias.dtype))
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        grad_features, grad_weight, grad_bias = ctx.saved_tensors
        return (grad_features * scale).to(grad_features.dtype), grad_weight * scale, None, grad_bias * scale, None
