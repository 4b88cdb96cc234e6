"""An LSTM language model, the cell written by us.

The cell is that of Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000. With input x_t, previous
output h_{t-1} and previous memory c_{t-1}, sigma the logistic function and (.) the elementwise product:

    [i f g o] = W x_t + U h_{t-1} + b                       four blocks of H numbers
    c_t = sigma(f) (.) c_{t-1} + sigma(i) (.) tanh(g)       keep some of the memory, write some of the new
    h_t = sigma(o) (.) tanh(c_t)                            show some of it

``lstm_reference`` is exactly this, step by step. Training uses the same weights by faster ways that tests hold equal
to it: under CPU autocast ``_LeanLSTM`` (all W x_t in one matrix product; a loop of one product and a few elementwise
operations a step; one product for each weight's gradient), else PyTorch's fused ``torch.lstm``.

Regularised by variational dropout (one mask a sequence, arXiv 1512.05287) on the embeddings, between layers and on the
output, after Merity et al. 2018 (arXiv 1708.02182); weights tied (arXiv 1608.05859). Not here: training, decoding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import RecurrentModelConfig
from genmodels.errors import UserError
from genmodels.language.base import LanguageModel, locked_dropout

OUTPUT_SCALE = 4.0
"""Factor between the last layer's outputs and the embeddings that they are compared with."""

LayerState = tuple[Tensor, Tensor]
"""(h, c) of one layer, each (B, H)."""


def lstm_reference(
    x: Tensor, state: LayerState, input_weight: Tensor, hidden_weight: Tensor, bias: Tensor
) -> tuple[Tensor, LayerState]:
    """The equations as they stand. ``x`` (T, B, I), ``input_weight`` (4H, I), ``hidden_weight`` (4H, H), ``bias``
    (4H,).

    Returns the outputs h_1 ... h_T (T, B, H) and the last (h, c).
    """
    h, c = state  # (B, H), (B, H)
    outputs = []
    for x_t in x:  # (B, I)
        gates = x_t @ input_weight.T + h @ hidden_weight.T + bias  # (B, 4H)
        i, f, g, o = gates.chunk(4, dim=-1)  # (B, H) each
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), (h, c)


class LSTMLayer(nn.Module):
    """One LSTM over a whole sequence: ``inputs`` numbers a step in, ``hidden`` out."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_weight = nn.Parameter(torch.empty(4 * hidden, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        bound = 1 / math.sqrt(hidden)
        nn.init.uniform_(self.input_weight, -bound, bound)
        nn.init.uniform_(self.hidden_weight, -bound, bound)
        with torch.no_grad():  # remember by default (Jozefowicz et al. 2015): sigma(1) = 0.73 of the memory is kept
            self.bias[hidden : 2 * hidden] = 1.0

    def forward(self, x: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """(T, B, I), ((B, H), (B, H)) -> (T, B, H) and the last state: what ``lstm_reference`` gives, faster."""
        h, c = state
        learns = torch.is_grad_enabled() and self.hidden_weight.requires_grad and not h.requires_grad
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and learns:
            gates = F.linear(x, self.input_weight, self.bias)  # (T, B, 4H) in bf16, all times in one product
            weight = self.hidden_weight.to(torch.get_autocast_dtype("cpu"))
            outputs, h, c = _LeanLSTM.apply(gates, weight, h.float(), c.float())
            return outputs, (h, c)
        if x.shape[0] == 1:  # decoding, token by token: the fused kernel would rearrange its weights at every call
            return lstm_reference(x, state, self.input_weight, self.hidden_weight, self.bias)
        weights = [self.input_weight, self.hidden_weight, self.bias, torch.zeros_like(self.bias)]
        outputs, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, self.training, False, False)
        return outputs, (h[0], c[0])


class RecurrentLM(LanguageModel):
    """Embedding -> LSTM layers -> tied output. State: a list of (h, c), one a layer."""

    def __init__(self, config: RecurrentModelConfig, vocabulary: int) -> None:
        super().__init__(vocabulary, config.embedding)
        if config.layers < 1 or config.hidden < 1 or not 0 <= config.dropout < 1:
            raise UserError(f"an LSTM wants layers >= 1, hidden >= 1 and 0 <= dropout < 1, got {config}")
        self.config = config
        # The last layer speaks the language of the embeddings, since its output is compared with them (tied weights).
        sizes = [config.embedding] + [config.hidden] * (config.layers - 1) + [config.embedding]
        self.layers = nn.ModuleList(LSTMLayer(a, b) for a, b in zip(sizes[:-1], sizes[1:]))
        # One matrix in two roles: small as output weights (the first logits are near the output bias), so it is scaled
        # up as input, and the outputs, which stay well inside (-1, 1), are scaled up too. Without the two factors the
        # same 150 steps end 0.4 nats higher.
        nn.init.normal_(self.embedding.weight, std=0.02)

    def initial_state(self, batch: int, capacity: int | None = None) -> list[LayerState]:
        """Zeros: nothing read yet."""
        weight = self.output_bias
        return [(weight.new_zeros(batch, layer.hidden), weight.new_zeros(batch, layer.hidden)) for layer in self.layers]

    def features(self, tokens: Tensor, state: list[LayerState] | None = None) -> tuple[Tensor, list[LayerState]]:
        """(B, T) ids -> (B, T, E) outputs of the last layer, and every layer's state after the last token."""
        if state is None:
            state = self.initial_state(tokens.shape[0])
        rate, last = self.config.dropout, []
        x = self.embedding(tokens.t()) * math.sqrt(self.width)  # (T, B, E)
        x = locked_dropout(x, rate, self.training)
        for layer, before in zip(self.layers, state, strict=True):
            x, after = layer(x, before)  # (T, B, H)
            x = locked_dropout(x, rate, self.training)
            last.append(after)
        return OUTPUT_SCALE * x.transpose(0, 1), last  # (B, T, E)


class _LeanLSTM(torch.autograd.Function):
    """The recurrence alone, with its gradient written out. Inputs: gates (T, B, 4H) = W x + b, U (4H, H), h, c (B, H).

    Products run in U's dtype (bf16), everything elementwise and the memory c in fp32. The starting state gets no
    gradient.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, width = gates.shape
        n, low = width // 4, weight.dtype
        opened = torch.empty(steps, batch, width)  # the gates after their nonlinearities
        memories = torch.empty(steps + 1, batch, n)
        outputs = torch.empty(steps + 1, batch, n, dtype=low)
        memories[0], outputs[0] = c, h
        transposed = weight.t()
        for t in range(steps):
            a = opened[t]
            torch.add(gates[t], torch.mm(outputs[t], transposed), out=a)
            a[:, : 2 * n].sigmoid_()
            a[:, 2 * n : 3 * n].tanh_()
            a[:, 3 * n :].sigmoid_()
            i, f, g, o = a.chunk(4, 1)
            torch.mul(f, memories[t], out=memories[t + 1]).addcmul_(i, g)
            h = torch.tanh(memories[t + 1]).mul_(o)  # (B, H)
            outputs[t + 1] = h
        ctx.save_for_backward(opened, memories, outputs, weight)
        return outputs[1:], h, memories[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        opened, memories, outputs, weight = ctx.saved_tensors
        steps, batch, width = opened.shape
        n = width // 4
        grad_gates = torch.empty(steps, batch, width, dtype=weight.dtype)
        dh, dc = grad_h.clone(), grad_c.clone()
        dz = torch.empty(batch, width)  # gradient before the nonlinearities
        di, df, dg, do = dz.chunk(4, 1)
        for t in reversed(range(steps)):
            i, f, g, o = opened[t].chunk(4, 1)
            shown = torch.tanh(memories[t + 1])
            dh += grad_outputs[t]
            torch.mul(dh, shown, out=do).mul_(o).mul_(1 - o)
            dc.addcmul_(dh.mul_(o), 1 - shown * shown)
            torch.mul(dc, g, out=di).mul_(i).mul_(1 - i)
            torch.mul(dc, memories[t], out=df).mul_(f).mul_(1 - f)
            torch.mul(dc, i, out=dg).mul_(1 - g * g)
            dc *= f
            grad_gates[t] = dz
            dh = torch.mm(grad_gates[t], weight).float()
        flat = grad_gates.view(-1, width)
        grad_weight = torch.mm(flat.t(), outputs[:-1].reshape(-1, n))
        return grad_gates, grad_weight, None, None
