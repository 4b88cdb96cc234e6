"""Language models compared and probed, small and live: each within seconds on one core.

``slice`` is what a stage ships: ``test_ids`` (N,), ``test_offsets`` (D + 1,) and ``test_characters`` (D,) of the
held-out documents. Nothing here trains or reads a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genmodels.language.base import LanguageModel
from genmodels.language.continuations import topic_share
from genmodels.language.perplexity import Perplexity, bootstrap_interval, evaluate, summarize


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


@dataclass(frozen=True)
class Texts:
    """What was measured on the texts of one network: shares, and losses in nats a token.

    ``topic_share``: of the samples, those nearer to their own beginning than to any other (``text_measures.topic_share``).
    ``own_loss``, ``others_loss``: how the network itself and the other one rate the same texts.
    """

    greedy_repetition: float
    repetition: float
    distinct_2: float
    topic_share: float
    own_loss: float
    others_loss: float


def texts_compared(
    models: Mapping[str, LanguageModel], result: Any, starts: Sequence[Sequence[int]], setting: str = "temperature-0.8"
) -> dict[str, Texts]:
    """The samples of two networks (a result of stage ``generation``), each rated by both; ``starts``: the beginnings'
    tokens, ``<bos>`` first. Beginnings and texts are compared in the embedding of the first network."""
    embedding = next(iter(models.values())).embedding.weight.detach()
    found = {}
    for name in models:
        drawn, measured = result.ids(name, setting), result.measures[name]
        losses = {rater: _mean_loss(model, starts, drawn) for rater, model in models.items()}
        found[name] = Texts(
            measured["greedy"]["repetition"],
            measured[setting]["repetition"],
            measured[setting]["distinct_2"],
            topic_share(starts, drawn, embedding),
            losses.pop(name),
            *losses.values(),
        )
    return found


@torch.no_grad()
def _mean_loss(
    model: LanguageModel, starts: Sequence[Sequence[int]], drawn: Sequence[Sequence[Sequence[int]]]
) -> float:
    """Nats a drawn token, given its beginning and the tokens before it; the samples of a beginning are read at once."""
    total, count = 0.0, 0
    for start, samples in zip(starts, drawn, strict=True):
        rows = [torch.tensor([*start, *sample]) for sample in samples]
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, T); what is padded comes last
        targets = torch.nn.utils.rnn.pad_sequence([row[len(start) :] for row in rows], True, -1)  # (B, T - start)
        features = model.features(tokens[:, :-1])[0][:, len(start) - 1 :]
        losses = torch.nn.functional.cross_entropy(
            model.logits(features).transpose(1, 2), targets, ignore_index=-1, reduction="sum"
        )
        total, count = total + float(losses), count + int((targets >= 0).sum())
    return total / count if count else math.nan


def through_embedding(model: LanguageModel, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, T, E) of ``tokens`` (B, T), and the embedded tokens that they were computed from: what the embedding
    gave, (T, B, E) where a model reads time first, with a graph between the two and none before."""
    embedded: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    handle = model.embedding.register_forward_hook(keep)
    try:
        features, _ = model.features(tokens)
    finally:
        handle.remove()
    return features, embedded[0]
