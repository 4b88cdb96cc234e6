"""Continuing a text: one way of decoding for every language model here, token by token.

At each step the logits z of the next token pass, in this order, through

    repetition penalty r   z_v -> z_v / r if z_v > 0 else z_v r, for tokens already in the sequence (arXiv 1909.05858)
    temperature tau        z_v -> z_v / tau; tau < 1 sharpens, tau > 1 flattens
    top-k                  only the k likeliest tokens stay (Fan et al. 2018, arXiv 1805.04833)
    top-p                  only the smallest set of likeliest tokens whose probability reaches p (arXiv 1904.09751)
    min-p                  only tokens with at least min_p times the probability of the likeliest (arXiv 2407.01082)

and one token is drawn from softmax(z) by the given generator; ``greedy=True`` takes the likeliest instead. Every row
draws one uniform number a step, by inversion of the cumulative distribution, so that a sample depends on the
generator's seed only.

A Transformer sees at most ``context`` tokens. When the sequence outgrows that, its older half is forgotten (the
window then holds the last context/2 tokens and grows again), with the cache and without it alike; so both give the
same tokens. Not here: beam search, and the measures of the generated text (``continuations.py``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genmodels.errors import UserError
from genmodels.language.base import LanguageModel
from genmodels.system.proof import ROUNDING, Again

Choose = Callable[[Tensor, Tensor | None], Tensor]

SMALLEST, LARGEST = 1e-30, 1e30  # of temperature and penalty: whatever the fp32 logits, no quotient overflows
_ROUNDING = 1e-6  # share of top_p by which a sum of fp32 probabilities may miss it and still have reached it


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from the logits; ``check`` refuses settings without meaning."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    greedy: bool = False

    def check(self) -> None:
        """Raise ``UserError`` naming the first setting that is out of range."""
        bounds = f"between {SMALLEST} and {LARGEST}"
        if not SMALLEST <= self.temperature <= LARGEST:
            likeliest = "for the likeliest token each time use greedy=True"
            raise UserError(f"temperature {self.temperature} is not {bounds}; {likeliest}")
        if self.top_k is not None and not _is_count(self.top_k):
            raise UserError(f"top_k {self.top_k} leaves no token; give a whole number from 1 on, or None for no limit")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p {self.top_p} is not a probability above 0; give 0 < top_p <= 1, or None")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UserError(f"min_p {self.min_p} is outside 0 … 1; give 0 <= min_p <= 1, or None")
        if not SMALLEST <= self.repetition_penalty <= LARGEST:
            raise UserError(f"repetition_penalty {self.repetition_penalty} is not {bounds}; 1 means no penalty")

    def probabilities(self, logits: Tensor, seen: Tensor | None = None) -> Tensor:
        """(B, V) logits -> (B, V) fp32 probabilities of the next token; ``seen`` (B, V): is this token in the sequence
        already? -inf is a token that cannot follow. Raises ``UserError`` for a row of logits that leaves no token."""
        z = _drawable(logits).float()
        if self.repetition_penalty != 1 and seen is not None:
            z = z.double()
            z = torch.where(seen, torch.where(z > 0, z / self.repetition_penalty, z * self.repetition_penalty), z)
        if self.greedy:
            return torch.zeros_like(z, dtype=torch.float32).scatter_(1, z.argmax(1, keepdim=True), 1.0)
        z = ((z - z.amax(1, keepdim=True)) / self.temperature).float()  # at most 0: it may fall to -inf, never overflow
        if self.top_k is not None and self.top_k < z.shape[1]:
            kept = torch.topk(z, self.top_k, dim=1).indices  # exactly k, also where logits tie
            z = torch.full_like(z, -torch.inf).scatter_(1, kept, z.gather(1, kept))
        p = torch.softmax(z, dim=1)
        if self.top_p is not None and self.top_p < 1:
            falling, order = torch.sort(p, dim=1, descending=True, stable=True)
            before = torch.zeros_like(falling, dtype=torch.float64)  # the probability of everything likelier
            before[:, 1:] = falling.double().cumsum(1)[:, :-1]
            kept = before < self.top_p * (1 - _ROUNDING)
            kept[:, 0] = True
            p = torch.zeros_like(p).scatter_(1, order, torch.where(kept, falling, 0.0))
        if self.min_p is not None:
            p = torch.where(p >= self.min_p * p.amax(1, keepdim=True), p, 0.0)
        return p / p.sum(1, keepdim=True)


def _is_count(value: object) -> bool:
    try:
        return operator.index(value) >= 1  # type: ignore[arg-type]
    except TypeError:
        return False


def _drawable(logits: Tensor) -> Tensor:
    """``logits`` (B, V), each row of which has a largest finite one: no NaN, no infinity, not all -inf."""
    if not torch.isfinite(logits.amax(1)).all():  # a NaN is the largest of its row
        raise UserError("the model's logits leave no token to draw (NaN, inf, -inf for all); its weights are damaged")
    return logits


def generate(
    model: LanguageModel,
    prompt_ids: Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor,
    max_new_tokens: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    stop: int | Sequence[int] | None = None,
    use_cache: bool = True,
    greedy: bool = False,
) -> list[list[int]]:
    """The new tokens of each prompt, one list a prompt, without the prompt; a ``stop`` token ends its list and is
    left out.

    ``prompt_ids``: one prompt (a list of ids) or several. Prompts of equal length run as one batch; others one by
    one, in order. ``use_cache=False`` reads the whole sequence anew at each step (slower, same tokens: for tests and
    timing). Raises ``UserError`` for an empty prompt, an unknown token id, or a setting out of range.
    """
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty, greedy)
    prompts = _as_prompts(prompt_ids)
    if len({len(prompt) for prompt in prompts}) > 1:
        groups = [[prompt] for prompt in prompts]
        _check(model, prompts, max_new_tokens, sampling)  # before the first group runs
    else:
        groups = [prompts]
    stops = _as_stops(stop)
    results: list[list[int]] = []
    for group in groups:
        rows: list[list[int]] = [[] for _ in group]
        open_rows = [True] * len(group)
        for tokens in _steps(model, group, max_new_tokens, _chooser(sampling, generator), sampling, use_cache):
            for row, token in enumerate(tokens):
                open_rows[row] = open_rows[row] and token not in stops
                if open_rows[row]:
                    rows[row].append(token)
            if not any(open_rows):
                break
        results += rows
    return results


def replay(
    model: LanguageModel,
    prompt_ids: Sequence[int] | Sequence[Sequence[int]],
    drawn: Sequence[Sequence[int]],
    generator: torch.Generator,
    temperature: float = 1.0,
    top_p: float | None = None,
    max_new_tokens: int | None = None,
    stop: int | None = None,
    use_cache: bool = False,
) -> Again:
    """The tokens ``drawn``, as continuations of one prompt or of prompts of equal length, drawn again: each token after
    those that were drawn before it.

    With a generator in the state that ``generate`` began with (the same ``stop`` and ``max_new_tokens``; default: the
    longest row's), the answer holds where ``generate`` was right, whatever the way of computing: one token that a tie
    within rounding turns does not change those after it. A row shorter than ``max_new_tokens`` must have ended with
    ``stop``. The cut of top-p has ties, too: a token that gets in or drops out within rounding.
    """
    prompts = _as_prompts(prompt_ids)
    prompts = prompts * len(drawn) if len(prompts) == 1 else prompts
    sampling, rows = Sampling(temperature, top_p=top_p), [[int(token) for token in row] for row in drawn]
    count = max(map(len, rows), default=0) if max_new_tokens is None else max_new_tokens
    # What each row must have drawn, its end included.
    ends = [row + [stop] if stop is not None and len(row) < count else row for row in rows]
    steps = max(map(len, ends), default=0)
    told = torch.tensor([row + [stop or 0] * (steps - len(row)) for row in ends])  # what is over is not looked at
    told = told.view(len(rows), steps)
    model.check_tokens(told)
    found: list[Tensor] = []

    def choose(logits: Tensor, seen: Tensor | None) -> Tensor:
        tokens = told[:, len(found), None].to(logits.device)  # (B, 1)
        found.append(_gap(sampling, logits, tokens, _uniform(logits, generator))[:, 0])
        return tokens

    for _ in _steps(model, prompts, steps, choose, sampling, use_cache):
        pass
    return Again.of(torch.cat([found[k][[len(row) > k for row in ends]] for k in range(steps)])) if steps else Again()


def _chooser(sampling: Sampling, generator: torch.Generator) -> Choose:
    def choose(logits: Tensor, seen: Tensor | None) -> Tensor:
        if sampling.greedy and seen is None:
            return _drawable(logits).argmax(1, keepdim=True)  # what the line below would draw, without the distribution
        return _draw(sampling.probabilities(logits, seen), generator)

    return choose


def _steps(
    model: LanguageModel,
    prompts: list[list[int]],
    count: int,
    choose: Choose,
    sampling: Sampling,
    use_cache: bool,
) -> Iterator[list[int]]:
    """Per step the next token of every row; ``choose`` gives it from logits (B, V) and tokens seen, (B, V) or ``None``."""
    _check(model, prompts, count, sampling)
    device = model.output_bias.device
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            tokens = torch.tensor(prompts, device=device)  # (B, T), all that has been read or written
            seen = None
            if sampling.repetition_penalty != 1:
                seen = torch.zeros(len(prompts), model.vocabulary, dtype=torch.bool, device=device)
                seen.scatter_(1, tokens, True)
            start, fresh, state = 0, 0, None  # the window's first token; the first token that the state has not read
            for _ in range(count):
                moved = _window_start(tokens.shape[1], start, model.context)
                if moved != start or state is None or not use_cache:
                    start = fresh = moved
                    room = tokens.shape[1] - start + count
                    state = model.initial_state(len(prompts), room) if use_cache else None
                features, state = model.features(tokens[:, fresh:], state)
                fresh = tokens.shape[1]
                logits = model.logits(features[:, -1])  # (B, V)
                drawn = choose(logits, seen)  # (B, 1)
                tokens = torch.cat([tokens, drawn], dim=1)
                if seen is not None:
                    seen.scatter_(1, drawn, True)
                yield drawn[:, 0].tolist()
    finally:
        model.train(training)


def _window_start(length: int, start: int, context: int | None) -> int:
    """Where the visible window of a sequence of ``length`` tokens begins, given where it began a step before."""
    if context is None or length - start <= context:
        return start
    return length - max(1, context // 2)


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    """(B, V) probabilities -> (B, 1) tokens by inversion: the first token at which the cumulative sum exceeds u."""
    u, cumulative = _uniform(p, generator), p.double().cumsum(1)
    drawn = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)  # (B, 1)
    last = p.shape[1] - 1 - (p.flip(1) > 0).int().argmax(1, keepdim=True)
    return torch.minimum(drawn, last)  # rounding must not lead past the last possible token


def _gap(sampling: Sampling, logits: Tensor, tokens: Tensor, u: Tensor) -> Tensor:
    """(B, 1): how far u (B, 1) lies from where ``_draw`` would have given ``tokens`` (B, 1); see ``ties``."""
    gap = _outside(sampling.probabilities(logits), tokens, u)
    if sampling.top_p is None or bool((gap == 0).all()):
        return gap  # another cut is asked for where this one gives another token
    cuts = (max(sampling.top_p - ROUNDING, ROUNDING), min(sampling.top_p + ROUNDING, 1.0))
    others = (_outside(replace(sampling, top_p=cut).probabilities(logits), tokens, u) for cut in cuts)
    return torch.where(gap == 0, gap, torch.minimum(gap, torch.minimum(*others).clamp(min=ROUNDING)))


def _outside(p: Tensor, tokens: Tensor, u: Tensor) -> Tensor:
    """(B, 1): how far u (B, 1) lies outside the stretches of the cumulative sums of p (B, V) that belong to ``tokens``."""
    cumulative, total = p.double().cumsum(1), p.double().sum(1, keepdim=True)
    end = cumulative.gather(1, tokens) / total
    outside = torch.maximum(end - p.double().gather(1, tokens) / total - u, u - end)
    return torch.where(outside < 1e-12, 0 * outside, outside)  # 0 * NaN stays no number


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """One number a row, (B, 1), fp64."""
    draws = torch.rand(like.shape[0], 1, generator=generator, dtype=torch.float64, device=generator.device)
    return draws.to(like.device)


def _check(model: LanguageModel, prompts: list[list[int]], count: int, sampling: Sampling) -> None:
    sampling.check()
    if count < 0:
        raise UserError(f"max_new_tokens {count} is negative; give 0 or more")
    for prompt in prompts:
        if not prompt:
            raise UserError("the prompt is empty; give at least one token, such as <bos>")
        model.check_tokens(torch.tensor(prompt))


def _as_prompts(prompt_ids: Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor) -> list[list[int]]:
    plain = prompt_ids.tolist() if isinstance(prompt_ids, (np.ndarray, Tensor)) else list(prompt_ids)
    nested = bool(plain) and not isinstance(plain[0], (int, np.integer))
    return [[int(token) for token in row] for row in (plain if nested else [plain])]


def _as_stops(stop: int | Sequence[int] | None) -> frozenset[int]:
    return frozenset() if stop is None else frozenset([stop] if isinstance(stop, (int, np.integer)) else stop)
