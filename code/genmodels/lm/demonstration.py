"""What the report computes about the language models while it is rendered: small, live, each within seconds on one
core.

Rows come with Persian headings, for ``genmodels.persian.table``; numbers that a sentence leans on are returned beside
them, so that the document can assert what it claims. ``slice`` is what a stage ships: ``test_ids`` (N,),
``test_offsets`` (D + 1,) and ``test_characters`` (D,) of the held-out documents. Nothing here trains or reads a file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from torch import Tensor

from genmodels.config import RecurrentModelConfig
from genmodels.lm.base import LanguageModel
from genmodels.lm.perplexity import Perplexity, bootstrap_interval, evaluate, summarize, token_losses
from genmodels.lm.recurrent import RecurrentLM, lstm_reference
from genmodels.persian import fa, fa_int, fa_percent

CORPUS_NAMES = {"fluent": "روان", "classic": "کلاسیک"}
MODEL_NAMES = {"rnn": "شبکهٔ بازگشتی", "transformer": "ترنسفورمر"}


def source(function: Callable[..., Any]) -> Markdown:
    """A function of the package as the reader sees it: its own source text, without the docstring."""
    text = inspect.getsource(function)
    if function.__doc__:
        head, _, rest = text.partition('"""')
        text = head.rstrip() + "\n" + rest.partition('"""')[2].lstrip("\n")
    return Markdown(f"```python\n{text.rstrip()}\n```")


def window_rows(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """``window_table`` under Persian headings."""

    def safe(text: str) -> str:  # an unescaped <bos> would be read as an HTML tag
        return text.replace(" | ", " · ").replace("<", "\\<").replace(">", "\\>")

    return [{"بافت (توکن‌های پیشین)": safe(row["context"]), "هدف (توکن بعدی)": safe(row["target"])} for row in rows]


def lstm_difference(model: RecurrentLM, tokens: Tensor) -> float:
    """Largest |fast - written-out| over the outputs of the first layer of a trained model on ``tokens`` (B, T)."""
    layer = model.layers[0]
    with torch.no_grad():
        x = model.embedding(tokens.t()) * model.width**0.5
        state = model.initial_state(tokens.shape[0])[0]
        fast, _ = layer(x, state)
        written, _ = lstm_reference(x, state, layer.input_weight, layer.hidden_weight, layer.bias)
    return float((fast - written).abs().max())


def size_rows(config: RecurrentModelConfig, vocabulary: int, train_tokens: int) -> list[dict[str, str]]:
    """Half, the chosen, and larger sizes: parameters, the embedding's share, training tokens a parameter."""
    rows = []
    for factor in (0.25, 0.5, 1, 2, 4):
        size = replace(config, embedding=int(config.embedding * factor), hidden=int(config.hidden * factor))
        with torch.device("meta"):  # shapes only: nothing is allocated
            model = RecurrentLM(size, vocabulary)
        count = sum(p.numel() for p in model.parameters())
        star = "**" if factor == 1 else ""
        rows.append(
            {
                "بُعد بردار واژه": fa_int(size.embedding),
                "بُعد حالت پنهان": fa_int(size.hidden),
                "پارامترها": f"{star}{fa_int(count)}{star}",
                "سهم بردارهای واژه": fa_percent(model.embedding.weight.numel() / count),
                "توکن آموزش به ازای هر پارامتر": fa(train_tokens / count, 2),
            }
        )
    return rows


def first_documents(slice_: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, offsets and characters of the first ``count`` documents of a slice: the arguments of ``evaluate``."""
    offsets = slice_["test_offsets"][: count + 1]
    return slice_["test_ids"][: offsets[-1]], offsets, slice_["test_characters"][:count]


def result_rows(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """Validation and test measures of shipped results, one row a model and split, beside the uniform model."""
    rows = []
    for name, result in results.items():
        for split, label in (("validation", "اعتبارسنجی"), ("test", "آزمون")):
            rows.append(
                {
                    "مدل": MODEL_NAMES[name],
                    "بخش": label,
                    "توکن": fa_int(result.metrics[f"{split}_tokens"]),
                    "زیان (نات بر توکن)": fa(result.metrics[f"{split}_loss_nats"], 3),
                    "سرگشتگی": fa(result.metrics[f"{split}_perplexity"], 1),
                    "بیت بر نویسه": fa(result.metrics[f"{split}_bits_per_character"], 3),
                }
            )
    return rows


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
                "توکن آزمون": fa_int(result.metrics["test_tokens"]),
                "سرگشتگی آزمون": fa(result.metrics["test_perplexity"], 1),
                "بیت بر نویسهٔ خود پیکره": fa(own, 3),
                "بیت بر نویسهٔ متن روان": fa(result.metrics.get("test_bits_per_fluent_character", own), 3),
            }
        )
    return rows


def surprise_rows(
    model: LanguageModel,
    ids: Sequence[int],
    decode: Callable[[list[int]], str],
    window: int,
    count: int = 12,
    start: int = 8,
) -> list[dict[str, str]]:
    """``count`` successive tokens of a document: p, loss in nats, and how many equally likely tokens that is worth."""
    losses = token_losses(model, ids, window)[start : start + count]
    return [
        {
            "توکن": _visible(decode([int(ids[start + k + 1])])),
            "احتمال": fa_percent(float(np.exp(-loss)), 2),
            "زیان (نات)": fa(float(loss), 2),
            "هم‌ارز با انتخاب از میان": fa(float(np.exp(loss)), 1),
        }
        for k, loss in enumerate(losses)
    ]


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
    def better(self) -> str:
        """Persian name of the model with the smaller loss."""
        return MODEL_NAMES["transformer" if self.difference < 0 else "rnn"]

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
        ("توکن‌های دیده‌شده در آموزش", lambda _, r: fa_int(r.metrics["tokens_seen"])),
        ("دقیقهٔ پردازنده برای آموزش", lambda _, r: fa(r.manifest["cpu_seconds"] / 60, 1)),
        ("زیان آموزش در پایان (نات بر توکن)", lambda _, r: fa(float(r.history["train_loss"].iloc[-1]), 3)),
        ("سرگشتگی اعتبارسنجی", lambda _, r: fa(r.metrics["validation_perplexity"], 1)),
        ("سرگشتگی آزمون", lambda _, r: fa(r.metrics["test_perplexity"], 1)),
        ("بیت بر نویسه، آزمون", lambda _, r: fa(r.metrics["test_bits_per_character"], 3)),
        ("سرعت تولید هنگام ساخت این سند (توکن بر ثانیه)", lambda name, _: fa(speeds[name], 0)),
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


def _visible(token: str) -> str:
    return token.replace("\n", "¶").strip(" ").replace("|", "\\|") or "␣"
