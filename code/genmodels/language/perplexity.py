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


@torch.no_grad()
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
    tokens = torch.as_tensor(np.asarray(tokens).astype(np.int64))
    offsets = np.asarray(offsets, dtype=np.int64)
    documents = len(offsets) - 1
    if documents < 1 or offsets[0] < 0 or offsets[-1] > len(tokens) or (np.diff(offsets) < 0).any():
        raise UserError(
            f"{len(offsets)} offsets do not cut {len(tokens)} tokens into documents; give 0 … {len(tokens)}, rising"
        )
    lengths = np.diff(offsets)
    counts = np.maximum(lengths - 1, 0)
    if counts.sum() == 0:
        raise UserError(f"the {documents} documents hold no token to predict; give documents of at least two tokens")
    spelt = np.zeros(documents, np.int64) if characters is None else np.asarray(characters, dtype=np.int64)
    if len(spelt) != documents:
        raise UserError(f"{len(spelt)} character counts for {documents} documents; give one count a document")
    model.check_tokens(tokens[int(offsets[0]) : int(offsets[-1])])

    nll = np.zeros(documents)
    with _evaluating(model):
        order = [d for d in np.argsort(-lengths, kind="stable") if lengths[d] > 1]
        if model.context is None:
            for group in _groups(order, lengths, batch_tokens, CHUNK):
                _add_recurrent(model, tokens, offsets, group, nll)
        else:
            window = _window(model, context)
            for pieces in _windows(order, offsets, window, batch_tokens):
                _add_windows(model, tokens, pieces, nll)
    return summarize(nll, counts, spelt)


def _window(model: LanguageModel, context: int | None) -> int:
    """The window of a Transformer: its own context, unless a shorter one is asked for."""
    if context is not None and not 1 <= context <= model.context:
        raise UserError(f"context {context} is not within 1 … {model.context}, which this model can take")
    return context or model.context


@torch.no_grad()
def token_losses(model: LanguageModel, ids: list[int] | np.ndarray | Tensor, context: int | None = None) -> np.ndarray:
    """-ln p of each token of one document after the first, nats, (n - 1,) float64, under the rules of ``evaluate``."""
    ids = torch.as_tensor(np.asarray(ids).astype(np.int64))
    if ids.ndim != 1 or len(ids) < 2:
        raise UserError(f"a document of shape {tuple(ids.shape)} has no token to predict; give at least two ids")
    model.check_tokens(ids)
    found = np.zeros(len(ids) - 1)
    with _evaluating(model):
        if model.context is None:
            state = model.initial_state(1)
            for start in range(0, len(ids) - 1, CHUNK):
                piece = ids[start : start + CHUNK + 1][None]
                features, state = model.features(piece[:, :-1].to(model.output_bias.device), state)
                found[start : start + CHUNK] = token_nll(model, features[0], piece[0, 1:]).numpy()
        else:
            window = _window(model, context)
            for start, stop, counted in window_plan(len(ids) - 1, window):
                features, _ = model.features(ids[None, start:stop].to(model.output_bias.device))
                found[counted:stop] = token_nll(
                    model, features[0, counted - start :], ids[counted + 1 : stop + 1]
                ).numpy()
    return found


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


def _groups(order: list[int], lengths: np.ndarray, batch_tokens: int, chunk: int) -> Iterator[list[int]]:
    """Documents of similar length, as many as make ``batch_tokens`` in one chunk."""
    at = 0
    while at < len(order):
        rows = max(1, batch_tokens // min(chunk, int(lengths[order[at]])))
        yield order[at : at + rows]
        at += rows


def _add_recurrent(
    model: LanguageModel, tokens: Tensor, offsets: np.ndarray, group: list[int], nll: np.ndarray
) -> None:
    """Read a batch of documents (longest first) chunk by chunk, carrying the state; finished documents leave the
    batch."""
    device = model.output_bias.device
    lengths = offsets[np.asarray(group) + 1] - offsets[group] - 1  # inputs of each, falling
    state = model.initial_state(len(group))
    for start in range(0, int(lengths[0]), CHUNK):
        rows = int((lengths > start).sum())
        width = min(CHUNK, int(lengths[0]) - start)
        batch = torch.full((rows, width + 1), IGNORED)
        for row in range(rows):
            piece = tokens[
                offsets[group[row]] + start : min(offsets[group[row]] + start + width + 1, offsets[group[row] + 1])
            ]
            batch[row, : len(piece)] = piece
        state = [tuple(part[:rows].contiguous() for part in layer) for layer in state]
        features, state = model.features(batch[:, :-1].clamp_min(0).to(device), state)
        _collect(model, features, batch[:, 1:], group[:rows], nll)


def _windows(
    order: list[int], offsets: np.ndarray, window: int, batch_tokens: int
) -> Iterator[list[tuple[int, int, int, int]]]:
    """Batches of (document, start, stop, first counted position) of like length; positions within ``tokens``."""
    pieces = [
        (document, int(offsets[document]) + start, int(offsets[document]) + stop, int(offsets[document]) + counted)
        for document in order
        for start, stop, counted in window_plan(int(offsets[document + 1] - offsets[document]) - 1, window)
    ]
    pieces.sort(key=lambda piece: piece[1] - piece[2])  # longest first; stable
    at = 0
    while at < len(pieces):
        rows = max(1, batch_tokens // (pieces[at][2] - pieces[at][1]))
        yield pieces[at : at + rows]
        at += rows


def _add_windows(
    model: LanguageModel, tokens: Tensor, pieces: list[tuple[int, int, int, int]], nll: np.ndarray
) -> None:
    width = pieces[0][2] - pieces[0][1]
    inputs = torch.zeros(len(pieces), width, dtype=torch.int64)
    targets = torch.full((len(pieces), width), IGNORED)
    for row, (_, start, stop, counted) in enumerate(pieces):
        inputs[row, : stop - start] = tokens[start:stop]
        targets[row, counted - start : stop - start] = tokens[counted + 1 : stop + 1]
    features, _ = model.features(inputs.to(model.output_bias.device))
    _collect(model, features, targets, [piece[0] for piece in pieces], nll)


def _collect(model: LanguageModel, features: Tensor, targets: Tensor, documents: list[int], nll: np.ndarray) -> None:
    """Add the losses of the positions that count to their documents."""
    counted = targets != IGNORED  # (B, T)
    losses = token_nll(model, features[counted.to(features.device)], targets[counted]).numpy()
    owners = np.repeat(np.asarray(documents), counted.sum(1).numpy())
    np.add.at(nll, owners, losses)
