"""Perplexity, exactly: every held-out token is predicted once, with as much left context as the model can take.

    L = -(1/N) sum_t ln p(x_t | x_<t)            mean negative log-likelihood, nats a token
    perplexity = exp(L)                          the number of equally likely tokens that would be as hard
    bits per character = N L / (C ln 2)          C characters of text: does not depend on the tokenizer

A document of n ids (the first is <bos>, the last <eos>) has n - 1 targets. How much a target's prediction may look at:

- recurrent: the whole document before it; the state is carried from chunk to chunk.
- Transformer with context W: windows of W tokens, each moved on by W/2. The first window counts all its targets, a
  later one only those of its second half: every target sees all of the document before it, or at least W/2 tokens.

Documents are sorted by length and padded to batches; padding has no influence (causal models, right padding).
Deterministic. The interval is a bootstrap over documents (Efron & Tibshirani 1993), since tokens of one document are
not independent. Not here: n-gram models (they are measured by their own module on the same targets).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.errors import UserError
from genmodels.language.base import BLOCK, IGNORED, LanguageModel

CHUNK = 256
"""Tokens of a document that a recurrent model reads at once."""


@dataclass(frozen=True)
class Perplexity:
    """What an evaluation found. Arrays hold one value a document, in the documents' order.

    ``loss``: nats a token. ``characters`` of the text that the tokens spell, whose total may be 0 (unknown).
    """

    nll_nats: float
    tokens: int
    loss: float
    perplexity: float
    bits_per_character: float
    document_nll_nats: np.ndarray  # (D,) float64
    document_tokens: np.ndarray  # (D,) int64
    document_characters: np.ndarray  # (D,) int64


def summarize(nll_nats: np.ndarray, tokens: np.ndarray, characters: np.ndarray) -> Perplexity:
    """The measures of a corpus from its documents' sums (each (D,)); without characters, ``bits_per_character`` is
    nan."""
    total, count, spelt = float(nll_nats.sum()), int(tokens.sum()), int(characters.sum())
    loss = total / count
    bits = total / (spelt * math.log(2)) if spelt else math.nan
    return Perplexity(
        total, count, loss, math.inf if loss > 709 else math.exp(loss), bits, nll_nats, tokens, characters
    )


def evaluate(
    model: LanguageModel,
    tokens: np.ndarray | Tensor,
    offsets: np.ndarray,
    characters: np.ndarray | None = None,
    context: int | None = None,
    batch_tokens: int = 4096,
) -> Perplexity:
    """Perplexity of ``model`` on the documents ``tokens[offsets[d] : offsets[d + 1]]``.

    ``characters`` (D,): characters of each document's text. ``context``: the Transformer's window (default: its own
    context); a recurrent model needs none and ignores it. ``batch_tokens``: tokens a forward pass (speed and memory
    only). Raises ``UserError`` for no documents, no targets, offsets that do not fit, or a token id outside the
    vocabulary.
    """
    losses = target_losses(model, tokens, offsets, context, batch_tokens)
    counts = target_counts(offsets)
    documents = len(counts)
    spelt = np.zeros(documents, np.int64) if characters is None else np.asarray(characters, dtype=np.int64)
    if len(spelt) != documents:
        raise UserError(f"{len(spelt)} character counts for {documents} documents; give one count a document")
    nll = np.bincount(np.repeat(np.arange(documents), counts), weights=losses, minlength=documents)
    return summarize(nll, counts, spelt)


def target_counts(offsets: np.ndarray) -> np.ndarray:
    """Targets of each document, (D,): its tokens but the first."""
    return np.maximum(np.diff(np.asarray(offsets, dtype=np.int64)) - 1, 0)


@torch.no_grad()
def target_losses(
    model: LanguageModel,
    tokens: np.ndarray | Tensor,
    offsets: np.ndarray,
    context: int | None = None,
    batch_tokens: int = 4096,
) -> np.ndarray:
    """-ln p of every target, document after document: (N,) float64, nats. Arguments and errors as of ``evaluate``."""
    tokens = torch.as_tensor(np.asarray(tokens).astype(np.int64))
    offsets = np.asarray(offsets, dtype=np.int64)
    documents = len(offsets) - 1
    if documents < 1 or offsets[0] < 0 or offsets[-1] > len(tokens) or (np.diff(offsets) < 0).any():
        found = f"{len(offsets)} offsets do not cut {len(tokens)} tokens into documents"
        raise UserError(f"{found}; give 0 … {len(tokens)}, rising")
    lengths, begins = np.diff(offsets), np.cumsum([0, *target_counts(offsets)])  # of each document's targets
    if begins[-1] == 0:
        raise UserError(f"the {documents} documents hold no token to predict; give documents of at least two tokens")
    model.check_tokens(tokens[int(offsets[0]) : int(offsets[-1])])
    order = [int(d) for d in np.argsort(-lengths, kind="stable") if lengths[d] > 1]
    losses = np.zeros(begins[-1])
    with _evaluating(model):
        if model.context is None:
            passes = _recurrent(model, tokens, offsets, order, batch_tokens)
        else:
            passes = _windowed(model, tokens, offsets, order, _window(model, context), batch_tokens)
        for features, targets, documents_of, positions in passes:
            counted = targets != IGNORED  # (B, T)
            places = torch.from_numpy(begins[documents_of])[:, None] + positions
            losses[places[counted].numpy()] = token_nll(model, features[counted.to(features.device)], targets[counted])
    return losses


def _window(model: LanguageModel, context: int | None) -> int:
    """The window of a Transformer: its own context, unless a shorter one is asked for."""
    if context is not None and not 1 <= context <= model.context:
        raise UserError(f"context {context} is not within 1 … {model.context}, which this model can take")
    return context or model.context


def window_plan(inputs: int, window: int) -> list[tuple[int, int, int]]:
    """Windows over ``inputs`` positions: (start, stop, first position whose target counts). Positions are counted
    once each."""
    stride, plan, counted = max(1, window // 2), [], 0
    while counted < inputs:
        stop = min(inputs, window if not plan else counted + stride)
        plan.append((max(0, stop - window), stop, counted))
        counted = stop
    return plan


def token_nll(model: LanguageModel, features: Tensor, targets: Tensor) -> Tensor:
    """-ln p of ``targets`` (N,) from features (N, width): (N,) on the CPU, fp64; block by block, so that memory stays
    small."""
    targets = targets.to(features.device)
    found = [
        F.cross_entropy(model.logits(features[k : k + BLOCK]), targets[k : k + BLOCK], reduction="none")
        for k in range(0, len(targets), BLOCK)
    ]
    return torch.cat(found).double().cpu()


def bootstrap_interval(
    result: Perplexity,
    generator: torch.Generator,
    other: Perplexity | None = None,
    measure: Callable[[Perplexity], float] = lambda found: found.loss,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Percentile interval of ``measure`` under resampling of documents; with ``other``, of the paired difference.

    The difference is measure(result) - measure(other), both on the same documents in the same order. For a ratio of
    perplexities, exponentiate the interval of the loss difference.
    """
    kept = np.flatnonzero(result.document_tokens)  # documents with something to predict
    if other is not None and not np.array_equal(result.document_tokens, other.document_tokens):
        raise UserError("the two results have different documents or tokens; evaluate both models on the same ones")
    if not 0 < confidence < 1 or resamples < 1:
        raise UserError(
            f"confidence {confidence} and resamples {resamples}: give a confidence between 0 and 1, resamples >= 1"
        )
    values = np.empty(resamples)
    for k in range(resamples):
        chosen = kept[torch.randint(len(kept), (len(kept),), generator=generator).numpy()]
        values[k] = measure(_resampled(result, chosen)) - (measure(_resampled(other, chosen)) if other else 0.0)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resampled(result: Perplexity, chosen: np.ndarray) -> Perplexity:
    return summarize(
        result.document_nll_nats[chosen], result.document_tokens[chosen], result.document_characters[chosen]
    )


@contextlib.contextmanager
def _evaluating(model: LanguageModel) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the block, the former mode after it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


Pass = tuple[Tensor, Tensor, list[int], Tensor]
"""Features (B, T, width), targets (B, T) with ``IGNORED`` where none counts, each row's document, positions in it (B, T)."""


def _recurrent(
    model: LanguageModel, tokens: Tensor, offsets: np.ndarray, order: list[int], batch_tokens: int
) -> Iterator[Pass]:
    """Documents of like length side by side (one at a time would fetch all weights for every single token), chunk by
    chunk, carrying the state; the longest come first, and who has ended leaves the batch."""
    lengths, device = np.diff(offsets) - 1, model.output_bias.device  # inputs of each
    while order:
        count = max(1, batch_tokens // min(CHUNK, int(lengths[order[0]]) + 1))
        group, order = order[:count], order[count:]
        state = model.initial_state(len(group))
        for start in range(0, int(lengths[group[0]]), CHUNK):
            reading = [document for document in group if lengths[document] > start]
            width = min(CHUNK, int(lengths[group[0]]) - start)
            batch = torch.full((len(reading), width + 1), IGNORED)
            for row, document in enumerate(reading):
                piece = tokens[offsets[document] + start : offsets[document + 1]][: width + 1]
                batch[row, : len(piece)] = piece
            state = [tuple(part[: len(reading)].contiguous() for part in layer) for layer in state]
            features, state = model.features(batch[:, :-1].clamp_min(0).to(device), state)
            yield features, batch[:, 1:], reading, torch.arange(start, start + width).expand(len(reading), -1)


def _windowed(
    model: LanguageModel, tokens: Tensor, offsets: np.ndarray, order: list[int], window: int, batch_tokens: int
) -> Iterator[Pass]:
    """Windows of like length side by side. A short one is filled up behind its end, where no position of it looks."""
    pieces = [
        (document, *piece)
        for document in order
        for piece in window_plan(int(offsets[document + 1] - offsets[document]) - 1, window)
    ]
    pieces.sort(key=lambda piece: piece[1] - piece[2])  # longest first; stable
    while pieces:
        width = pieces[0][2] - pieces[0][1]
        count = max(1, batch_tokens // width)
        group, pieces = pieces[:count], pieces[count:]
        inputs = torch.zeros(len(group), width, dtype=torch.int64)
        targets = torch.full((len(group), width), IGNORED)
        for row, (document, start, stop, counted) in enumerate(group):
            text = tokens[offsets[document] : offsets[document + 1]]
            inputs[row, : stop - start] = text[start:stop]
            targets[row, counted - start : stop - start] = text[counted + 1 : stop + 1]
        features, _ = model.features(inputs.to(model.output_bias.device))
        starts = torch.tensor([start for _, start, _, _ in group])
        yield features, targets, [document for document, *_ in group], starts[:, None] + torch.arange(width)
