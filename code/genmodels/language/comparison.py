"""What the report computes about the language models while it is rendered: small, live, each within seconds on one
core.

Rows come with Persian headings, for ``genmodels.report.persian.table``; numbers that a sentence leans on are returned beside
them, so that the document can hold it against them. ``slice`` is what a stage ships: ``test_ids`` (N,),
``test_offsets`` (D + 1,) and ``test_characters`` (D,) of the held-out documents. Nothing here trains or reads a file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from torch import Tensor

from genmodels.language.base import LanguageModel
from genmodels.language.perplexity import Perplexity, bootstrap_interval, evaluate, summarize
from genmodels.language.recurrent import RecurrentLM, lstm_reference
from genmodels.report.persian import fa, fa_int, fa_percent

CORPUS_NAMES = {"fluent": "روان", "classic": "کلاسیک"}
MODEL_NAMES = {
    "ngram": "کنسر–نی", "rnn": "شبکهٔ بازگشتی", "transformer": "ترنسفورمر",
    "rnn-best": "بازگشتی، بهترین تنظیم", "transformer-best": "ترنسفورمر، بهترین تنظیم",
}


def source(function: Callable[..., Any]) -> Markdown:
    """A function of the package as the reader sees it: its own source text, without the docstring."""
    text = inspect.getsource(function)
    if function.__doc__:
        head, _, rest = text.partition('"""')
        text = head.rstrip() + "\n" + rest.partition('"""')[2].lstrip("\n")
    return Markdown(f"```python\n{text.rstrip()}\n```")


def lstm_difference(model: RecurrentLM, tokens: Tensor) -> float:
    """Largest |fast - written-out| over the outputs of the first layer of a trained model on ``tokens`` (B, T)."""
    layer = model.layers[0]
    with torch.no_grad():
        x = model.embedding(tokens.t()) * model.width**0.5
        state = model.initial_state(tokens.shape[0])[0]
        fast, _ = layer(x, state)
        written, _ = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    return float((fast - written).abs().max())


def first_documents(slice_: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, offsets and characters of the first ``count`` documents of a slice: the arguments of ``evaluate``."""
    offsets = slice_["test_offsets"][: count + 1]
    return slice_["test_ids"][: offsets[-1]], offsets, slice_["test_characters"][:count]


def result_rows(results: Mapping[str, Any], words: int) -> list[dict[str, str]]:
    """Measures of shipped results on the same held-out documents, one row a model; ``words`` of the test text."""
    return [
        {
            "مدل": MODEL_NAMES[name],
            "سرگشتگی اعتبارسنجی": fa(result.metrics["validation_perplexity"], 1),
            "سرگشتگی آزمون": fa(result.metrics["test_perplexity"], 1),
            "زیان آزمون (نات بر توکن)": fa(result.metrics["test_loss_nats"], 3),
            "بیت بر نویسه": fa(result.metrics["test_bits_per_character"], 3),
            "سرگشتگی بر واژه": fa_int(round(math.exp(result.metrics["test_loss_nats"] * result.metrics["test_tokens"] / words))),
        }
        for name, result in results.items()
    ]


def corpus_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The same network on the two corpora: corpus name -> shipped result. Bits are spread over the corpus's own
    characters and over those of the fluent text that both were made from."""
    rows = []
    for name, result in results.items():
        own = result.metrics["test_bits_per_character"]
        rows.append(
            {
                "پیکره": CORPUS_NAMES[name],
                "توکن آموزش": fa_int(result.metrics["train_tokens"]),
                "هدف آزمون": fa_int(result.metrics["test_tokens"]),
                "سرگشتگی آزمون": fa(result.metrics["test_perplexity"], 1),
                "بیت بر نویسهٔ خود پیکره": fa(own, 3),
                "بیت بر نویسهٔ متن روان": fa(result.metrics.get("test_bits_per_fluent_character", own), 3),
            }
        )
    return rows


@dataclass(frozen=True)
class Comparison:
    """Two models on the same documents. ``difference`` is loss(transformer) - loss(rnn), nats a token, with its
    interval."""

    rnn: Perplexity
    transformer: Perplexity
    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Does the interval exclude zero?"""
        return self.low > 0 or self.high < 0

    @property
    def reading(self) -> str:
        """What the interval says, in Persian."""
        if self.certain:
            return "این بازه صفر را در بر ندارد، پس اختلاف تنها از گوناگونی سندها نیست"
        return "این بازه صفر را در بر دارد، پس این آزمون میان دو مدل داوری نمی‌کند"


def on_test(result: Any) -> Perplexity:
    """A shipped result's measures on all test documents: from its recorded sums per document, else (slowly) from the
    model."""
    sums = result.metrics.get("test_document_nll_nats")
    lengths = np.diff(result.slice["test_offsets"])
    if sums is None:
        return evaluate(result.model(), *first_documents(result.slice, len(lengths)), result.config.window)
    return summarize(np.asarray(sums), np.maximum(lengths - 1, 0), np.asarray(result.slice["test_characters"]))


def paired(ours: Perplexity, theirs: Perplexity, seed: int) -> tuple[float, float, float]:
    """loss(ours) - loss(theirs) in nats a token, and its 95% interval by paired bootstrap over documents."""
    low, high = bootstrap_interval(ours, torch.Generator().manual_seed(seed), other=theirs)
    return ours.loss - theirs.loss, low, high


def compare(rnn: Any, transformer: Any, seed: int = 1) -> Comparison:
    """Both shipped models on the same test documents."""
    ours, theirs = on_test(transformer), on_test(rnn)
    return Comparison(theirs, ours, *paired(ours, theirs, seed))


@dataclass(frozen=True)
class Margin:
    """A network against the counted n-grams on the same documents: ``perplexity_share`` is the fraction by which its
    perplexity is lower; ``low`` … ``high`` the 95% interval of its loss minus theirs, nats a token."""

    perplexity: float
    difference: float
    low: float
    high: float

    @property
    def perplexity_share(self) -> float:
        return 1 - math.exp(self.difference)


def against_counts(results: Mapping[str, Any], counted: Perplexity, seed: int = 1) -> dict[str, Margin]:
    """Each shipped network against ``counted``."""
    measured = {name: on_test(result) for name, result in results.items()}
    return {name: Margin(ours.perplexity, *paired(ours, counted, seed)) for name, ours in measured.items()}


def against_counts_rows(margins: Mapping[str, Margin], counted: Perplexity) -> list[dict[str, str]]:
    """The counted model first, then every network with its margin."""
    rows = [{"مدل": "کنسر–نی", "سرگشتگی آزمون": fa(counted.perplexity, 1), "کاهش سرگشتگی": "—", "اختلاف زیان و بازهٔ ۹۵٪": "—"}]
    for name, margin in margins.items():
        rows.append(
            {
                "مدل": MODEL_NAMES[name],
                "سرگشتگی آزمون": fa(margin.perplexity, 1),
                "کاهش سرگشتگی": fa_percent(margin.perplexity_share, 1),
                "اختلاف زیان و بازهٔ ۹۵٪": f"{fa(margin.difference, 3)} ({fa(margin.low, 3)} تا {fa(margin.high, 3)})",
            }
        )
    return rows


def comparison_rows(results: Mapping[str, Any], speeds: Mapping[str, float]) -> list[dict[str, str]]:
    """The comparison of point 2.5: one row a quantity, one column a model; ``speeds`` in generated tokens a second."""
    quantities: list[tuple[str, Callable[[str, Any], str]]] = [
        ("پارامترها", lambda _, r: fa_int(r.metrics["parameters"])),
        ("جایگاه‌های دیده‌شده در آموزش", lambda _, r: fa_int(r.metrics["tokens_seen"])),
        ("دقیقهٔ پردازنده برای آموزش", lambda _, r: fa(r.manifest["cpu_seconds"] / 60, 1)),
        ("زیان آموزش در پایان (نات بر توکن)", lambda _, r: fa(float(r.history["train_loss"].iloc[-1]), 3)),
        ("سرگشتگی اعتبارسنجی", lambda _, r: fa(r.metrics["validation_perplexity"], 1)),
        ("سرگشتگی آزمون", lambda _, r: fa(r.metrics["test_perplexity"], 1)),
        ("بیت بر نویسه، آزمون", lambda _, r: fa(r.metrics["test_bits_per_character"], 3)),
        ("سرعت تولید (توکن بر ثانیهٔ پردازنده)", lambda name, _: fa(speeds[name], 0)),
    ]
    return [
        {"سنجه": label} | {MODEL_NAMES[name]: show(name, result) for name, result in results.items()}
        for label, show in quantities
    ]


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
