"""Our networks beside PyTorch's ready-made ones of the same size: training and generation, in one run.

The peers are what one builds without writing a layer: ``nn.TransformerEncoderLayer`` with a causal mask (learned positions,
LayerNorm, GELU, as many parameters by the width of its feed-forward part) and ``nn.LSTM``, tied embeddings, logits and
``F.cross_entropy``. ``rows`` time a second peer too, with our loss of ``language/base.py``, so that the layers are compared alone.
A peer keeps no cache of keys and values, since those layers offer none: it reads the whole text for every token. One
thread, bf16 autocast in training as in ours; ratios of processor seconds, medians of interleaved repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import RecurrentModelConfig, TrainingConfig, TransformerModelConfig
from genmodels.language.attention import attention_reference
from genmodels.language.base import LanguageModel, linear_cross_entropy
from genmodels.language.generation import generate
from genmodels.language.recurrent import LSTMLayer, RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.stages.base import Check
from genmodels.stages.speed.decoding import evenly, summed
from genmodels.system.meters import interleaved, one_thread
from genmodels.system.precision import autocast
from genmodels.training.optimizers import make_optimizer

SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"vocabulary": 8000, "batch": 16, "window": 128, "steps": 2, "repeats": 5, "tokens": 512, "points": 9},
    "smoke": {"vocabulary": 200, "batch": 2, "window": 16, "steps": 1, "repeats": 1, "tokens": 16, "points": 3},
}


class PeerTransformer(nn.Module):
    """PyTorch's encoder layers with a causal mask; ``hidden`` for as many parameters as ``TransformerLM`` has."""

    def __init__(self, config: TransformerModelConfig, vocabulary: int, context: int, own_loss: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.width)
        self.positions = nn.Embedding(context, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.hidden * 3 // 2,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))
        self.own_loss = own_loss

    def features(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, C)."""
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)
        x = x + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        return self.layers(x, mask=mask, is_causal=True)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return _peer_loss(self, self.features(tokens), targets)


class PeerLSTM(nn.Module):
    """``nn.LSTM``: a layer of the hidden width, one of the embedding's, as in ``RecurrentLM``."""

    def __init__(self, config: RecurrentModelConfig, vocabulary: int, own_loss: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.first = nn.LSTM(config.embedding, config.hidden, batch_first=True)
        self.second = nn.LSTM(config.hidden, config.embedding, batch_first=True)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))
        self.own_loss, self.dropout = own_loss, nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.dropout(self.embedding(tokens))
        x = self.dropout(self.first(x)[0])
        return _peer_loss(self, self.dropout(self.second(x)[0]), targets)


def _peer_loss(peer: Any, features: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, as everybody writes it or by our blocks."""
    if peer.own_loss:
        return linear_cross_entropy(features, peer.embedding.weight, peer.output_bias, targets) / targets.numel()
    logits = F.linear(features, peer.embedding.weight, peer.output_bias)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """``training``: tokens a processor second of each model and ratios ours / peer; ``generation``: seconds and ratio."""
    torch.manual_seed(0)
    with one_thread():
        return {"training": _training(settings), "generation": _generation(settings)}


def _training(settings: dict[str, Any]) -> dict[str, Any]:
    vocabulary, context = settings["vocabulary"], max(settings["window"], TransformerModelConfig().context)
    wide, lstm = TransformerModelConfig(context=context), RecurrentModelConfig()
    models: dict[str, nn.Module] = {
        "transformer": TransformerLM(wide, vocabulary),
        "transformer_peer": PeerTransformer(wide, vocabulary, context),
        "transformer_peer_own_loss": PeerTransformer(wide, vocabulary, context, own_loss=True),
        "rnn": RecurrentLM(lstm, vocabulary),
        "rnn_peer": PeerLSTM(lstm, vocabulary),
        "rnn_peer_own_loss": PeerLSTM(lstm, vocabulary, own_loss=True),
    }
    batch = torch.randint(vocabulary, (2, settings["batch"], settings["window"]))
    steps = {name: _stepper(model.train(), batch) for name, model in models.items()}
    seconds = interleaved(steps, settings["steps"], settings["repeats"])
    tokens = settings["batch"] * settings["window"]
    found: dict[str, Any] = {
        name: {"parameters": sum(p.numel() for p in model.parameters()), "tokens_per_second": tokens / seconds[name]}
        for name, model in models.items()
    }
    for ours in ("transformer", "rnn"):
        for peer in (f"{ours}_peer", f"{ours}_peer_own_loss"):
            found[peer]["ratio"] = seconds[peer] / seconds[ours]
    return found


def _stepper(model: nn.Module, batch: Tensor) -> Callable[[], None]:
    """One optimiser step, as ``training/loop.py`` makes it."""
    optimizer = make_optimizer(model, TrainingConfig())

    def step() -> None:
        with autocast("cpu"):
            if isinstance(model, LanguageModel):
                loss = model(batch[0], targets=batch[1])[0] / batch[1].numel()
            else:
                loss = model(batch[0], batch[1])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _generation(settings: dict[str, Any]) -> dict[str, float]:
    """One text: ours with its cache; the peer's passes timed at evenly spaced lengths and summed (trapezoidal rule)."""
    length, vocabulary = settings["tokens"], settings["vocabulary"]
    config = TransformerModelConfig(context=length + 1)
    ours, peer = TransformerLM(config, vocabulary).eval(), PeerTransformer(config, vocabulary, length + 1).eval()
    places = evenly(length, settings["points"])

    def one(n: int) -> None:
        with torch.no_grad():
            F.linear(
                peer.features(torch.zeros(1, n, dtype=torch.int64))[:, -1], peer.embedding.weight, peer.output_bias
            )

    runs: dict[str, Callable[[], Any]] = {str(n): partial(one, n) for n in places}
    runs["ours"] = lambda: generate(ours, [[0]], length, torch.Generator(), greedy=True)
    seconds = interleaved(runs, 1, settings["repeats"])
    total = summed(places, [seconds[str(n)] for n in places])
    return {"tokens": length, "ours_seconds": seconds["ours"], "peer_seconds": total, "ratio": total / seconds["ours"]}


def agree() -> list[Check]:
    """The parts that are timed compute the same: attention, LSTM, loss."""
    torch.manual_seed(0)
    width, heads, time_, batch = 16, 4, 9, 2
    x = torch.randn(batch, time_, width)
    theirs = nn.MultiheadAttention(width, heads, bias=False, batch_first=True).eval()
    q, k, v = (
        part.view(batch, time_, heads, -1).transpose(1, 2) for part in F.linear(x, theirs.in_proj_weight).chunk(3, -1)
    )
    mine = theirs.out_proj(attention_reference(q, k, v).transpose(1, 2).flatten(2))
    mask = nn.Transformer.generate_square_subsequent_mask(time_)
    with torch.no_grad():
        attention = (theirs(x, x, x, attn_mask=mask, need_weights=False)[0] - mine).abs().max().item()
        layer, reference = LSTMLayer(width, 12), nn.LSTM(width, 12)
        for name, value in (
            ("weight_ih_l0", layer.input_weight),
            ("weight_hh_l0", layer.hidden_weight),
            ("bias_ih_l0", layer.bias),
        ):
            getattr(reference, name).copy_(value)
        reference.bias_hh_l0.zero_()
        zero = torch.zeros(time_, 12)
        lstm = (layer(x, (zero, zero))[0] - reference(x)[0]).abs().max().item()
        weight, bias, targets = torch.randn(30, width), torch.randn(30), torch.randint(30, (batch, time_))
        plain = F.cross_entropy(F.linear(x, weight, bias).flatten(0, 1), targets.flatten(), reduction="sum")
        loss = (linear_cross_entropy(x, weight, bias, targets) / plain - 1).abs().item()
    return [
        Check(name, gap < 1e-5, f"largest difference from PyTorch's own {gap:.1e}")
        for name, gap in (("attention", attention), ("LSTM", lstm), ("cross-entropy", loss))
    ]
