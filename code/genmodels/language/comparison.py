"""Language models compared and probed, small and live: each within seconds on one core.

``slice`` is what a stage ships: ``test_ids`` (N,), ``test_offsets`` (D + 1,) and ``test_characters`` (D,) of the
held-out documents. Nothing here trains or reads a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels.language.base import LanguageModel
from genmodels.language.perplexity import Perplexity, bootstrap_interval, evaluate, summarize
from genmodels.language.recurrent import RecurrentLM, lstm_reference


def lstm_difference(model: RecurrentLM, tokens: Tensor) -> float:
    """Largest |fast - written-out| over the outputs of the first layer of a trained model on ``tokens`` (B, T)."""
    layer = model.layers[0]
    with torch.no_grad():
        x = model.embedding(tokens.t()) * model.width**0.5
        state = model.initial_state(tokens.shape[0])[0]
        fast, _ = layer(x, state)
        written, _ = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    return float((fast - written).abs().max())


def shipped_documents(slice_: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, offsets and characters of the first ``count`` documents of a slice: the arguments of ``evaluate``."""
    offsets = slice_["test_offsets"][: count + 1]
    return slice_["test_ids"][: offsets[-1]], offsets, slice_["test_characters"][:count]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same documents: ``difference`` is loss(ours) - loss(theirs), nats a token, ``low`` … ``high``
    its 95% interval by paired bootstrap over documents. Measured on different ones they have none: NaN, all lines."""

    ours: Perplexity
    theirs: Perplexity
    difference: float
    low: float
    high: float

    @property
    def comparable(self) -> bool:
        """Were both measured on the same documents, cut into the same tokens?"""
        return not math.isnan(self.difference)

    @property
    def certain(self) -> bool:
        """Does the interval exclude zero?"""
        return self.low > 0 or self.high < 0

    @property
    def perplexity_share(self) -> float:
        """The fraction by which our perplexity is lower than theirs."""
        return 1 - math.exp(self.difference)


def on_test(result: Any) -> Perplexity:
    """A shipped result's measures on all test documents: from its recorded sums per document, else (slowly) from the
    model."""
    sums = result.metrics.get("test_document_nll_nats")
    lengths = np.diff(result.slice["test_offsets"])
    if sums is None:
        return evaluate(result.model(), *shipped_documents(result.slice, len(lengths)), result.config.window)
    return summarize(np.asarray(sums), np.maximum(lengths - 1, 0), np.asarray(result.slice["test_characters"]))


def paired(ours: Perplexity, theirs: Perplexity, seed: int = 1) -> Comparison:
    """``ours`` against ``theirs``, if they were measured on the same documents."""
    if not np.array_equal(ours.document_tokens, theirs.document_tokens):
        return Comparison(ours, theirs, math.nan, -math.inf, math.inf)
    low, high = bootstrap_interval(ours, torch.Generator().manual_seed(seed), other=theirs)
    return Comparison(ours, theirs, ours.loss - theirs.loss, low, high)


def effects(study: Any, base: str = "base") -> dict[str, Comparison]:
    """Every run of a study against its run ``base``, on the validation documents."""
    reference = study.on_validation(base)
    return {key: paired(study.on_validation(key), reference) for key in study.config if key != base}


def future_gradient(model: LanguageModel, tokens: Tensor, position: int) -> tuple[float, float]:
    """(largest |d features at ``position`` / d embedding| over positions up to it, the same over later positions)."""
    kept: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = model.embedding.register_forward_hook(keep)
    try:
        features, _ = model.features(tokens[:1])
    finally:
        handle.remove()
    direction = torch.arange(1.0, features.shape[-1] + 1).cos()  # the plain sum of normalised features is a constant
    (gradient,) = torch.autograd.grad(features[0, position] @ direction, kept[0])
    reach = gradient.abs().amax(-1).flatten()  # one row, so that time first or batch first flattens alike
    return float(reach[: position + 1].max()), float(reach[position + 1 :].max())
