"""Stages ``rnn`` and ``transformer``, ``…-classic`` and ``…-best``: next-token models on prepared Persian tokens.

Both networks train on windows of the n-gram data set (targets at every position), by summed cross-entropy per token, and are
measured on whole held-out documents, every token once. The evaluation slice ships the test documents' token ids.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import (
    LanguageModelConfig,
    RecurrentModelConfig,
    TextConfig,
    TrainingConfig,
    TransformerModelConfig,
)
from genmodels.language.base import log_unigram
from genmodels.language.perplexity import evaluate, summarize
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.transformer import TransformerLM
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE, Check
from genmodels.stages.profiles import Less, at
from genmodels.stages.trained import Material, ModelStage, Result
from genmodels.text.prepare import prepared
from genmodels.text.tokenizer import Tokenizer
from genmodels.text.windows import IGNORED, NgramDataset
from genmodels.training.batches import Batch
from genmodels.training.loop import Objective

TRAINING = TrainingConfig(
    batch_size=16, steps=3200, learning_rate=5e-3, warmup_steps=200, weight_decay=0.05, ema_decay=0.998, evaluations=10
)

ASKED = 16  # one test document in so many is scored again by ``verify``: other weights show in any of them


def cross_entropy_total(model: nn.Module, batch: Batch) -> Tensor:
    """Summed next-token cross-entropy in nats over the positions that have a target."""
    context, target = batch  # (B, T), (B, T)
    return model(context, targets=target)[0]


TOKENS = Objective(total=cross_entropy_total, count=lambda batch: int((batch[1] != IGNORED).sum()))


def in_brief(evening_steps: int) -> Less:
    """The other profiles of a language model."""
    return {
        "evening": {"steps": evening_steps, "evaluations": 5, "curve_documents": 10},
        "smoke": {"steps": 4, "batch_size": 1, "evaluations": 2, "curve_documents": 1},
    }


class LanguageStage(ModelStage):
    """What the two networks share; a subclass gives the full config and the network."""

    files = (*ModelStage.files, "tokenizer.json")
    reads = "text"
    less: Less = in_brief(evening_steps=250)

    @property
    @abstractmethod
    def full(self) -> LanguageModelConfig: ...

    @abstractmethod
    def tiny_model(self) -> RecurrentModelConfig | TransformerModelConfig: ...

    def config(self, profile: str) -> LanguageModelConfig:
        return at(profile, self.full, self.less)

    def objective(self, config: Any) -> Objective:
        return TOKENS

    def material(self, config: LanguageModelConfig, folder: Path | None) -> Material:
        text = prepared(config.text, folder)
        dataset = NgramDataset(text.tokens["train"], text.offsets["train"], config.window)
        held_out = {
            split: first_documents(text, split, config.evaluation_documents) for split in ("validation", "test")
        }
        ids, offsets, characters = held_out["test"]
        arrays = {"test_ids": ids, "test_offsets": offsets, "test_characters": characters}
        data = text.identity | {"train_tokens": int(len(text.tokens["train"])), "test_tokens": int(len(ids))}
        return Material(dataset, data, arrays, {"tokenizer.json": text.tokenizer.to_bytes()}, {"text": text} | held_out)

    def initialize(self, model: nn.Module, material: Material) -> None:
        """Start from the unigram distribution: the output bias is the log relative frequency (add-one)."""
        counts = np.bincount(material.context["text"].tokens["train"], minlength=model.vocabulary)
        model.initialize_output_bias(log_unigram(counts))

    def curve_point(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, float]:
        documents = first_documents(material.context["text"], "validation", config.curve_documents)
        return {"validation_loss": evaluate(model, *documents, context=config.window).loss}

    def final_metrics(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, Any]:
        metrics: dict[str, Any] = {"corpus": config.text.corpus}
        for split in ("validation", "test"):
            ids, offsets, characters = material.context[split]
            found = evaluate(model, ids, offsets, characters, config.window)
            metrics |= {
                f"{split}_loss_nats": found.loss,
                f"{split}_perplexity": found.perplexity,
                f"{split}_bits_per_character": found.bits_per_character,
                f"{split}_tokens": found.tokens,
                f"{split}_document_nll_nats": found.document_nll_nats.tolist(),
            }
        metrics["train_tokens"] = material.data["train_tokens"]
        metrics["tokens_seen"] = config.training.steps * config.training.batch_size * config.window
        return metrics

    def slice_metrics(self, result_config: Any, arrays: dict[str, np.ndarray], model: nn.Module) -> dict[str, float]:
        documents = (arrays["test_ids"], arrays["test_offsets"], arrays["test_characters"])
        found = evaluate(model, *documents, result_config.window)
        return {"test_perplexity": found.perplexity, "test_bits_per_character": found.bits_per_character}

    def contradict(self, result: Result) -> list[Check]:
        """Of the test documents every ``ASKED``-th: their stored losses, which make up the headline (``belongs``)."""
        return super().contradict(_Asked(result))

    def belongs(self, result: Result) -> None:
        """The tokenizer makes the shipped tokens; the measures are those of one list of losses."""
        payload.files(result.manifest, *self.files)
        tokenizer = Tokenizer.load(result.stored.folder / "tokenizer.json")
        super().belongs(result)
        config, data, metrics = result.config, result.manifest["data"], result.metrics
        plan = config.training
        documents = payload.documents(result.slice, config.text.vocabulary, data.get("test_tokens"))
        payload.require(len(result.slice) == 3, "slice.npz holds more than the test documents")
        payload.tokenized(tokenizer, *documents)
        payload.like(data, {"corpus": config.text.corpus, "train_tokens": int}, "manifest.json, data")
        wanted: dict[str, Any] = {
            "corpus": config.text.corpus,
            "train_tokens": data["train_tokens"],
            "tokens_seen": plan.steps * plan.batch_size * config.window,
        }
        characters, tokens = int(documents[2].sum()), int(len(documents[0]) - len(documents[2]))
        for split in ("validation", "test"):
            counted = {f"{split}_document_nll_nats": payload.Each(float), f"{split}_tokens": int}
            payload.like(metrics, counted, "metrics.json")
            nats, count = math.fsum(metrics[f"{split}_document_nll_nats"]), metrics[f"{split}_tokens"]
            wanted |= {
                f"{split}_loss_nats": payload.About(nats / max(count, 1)),
                f"{split}_bits_per_character": float,
                f"{split}_perplexity": payload.About(math.exp(nats / max(count, 1))),
            }
        wanted |= {
            "test_tokens": tokens,
            "test_document_nll_nats": [float] * len(documents[2]),
            "test_bits_per_character": payload.About(nats / math.log(2) / characters),
        }
        headlines = ("test_perplexity", "test_bits_per_character")
        wanted["slice"] = {name: payload.About(metrics.get(name, math.nan), METRIC_TOLERANCE) for name in headlines}
        payload.like(metrics, wanted, "metrics.json")

    def tiny(self, config: LanguageModelConfig) -> tuple[LanguageModelConfig, Dataset[Batch]]:
        tokens = np.random.RandomState(0).randint(2, 50, 400).astype(np.uint16)
        small = replace(config, model=self.tiny_model(), window=16, text=replace(config.text, vocabulary=50))
        return small, NgramDataset(tokens, np.array([0, 150, 400]), 16)


class _Asked(Result):
    """A result whose slice, and what is stored of it, are of some of its documents."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.stored, result.config, result._build)
        ids, offsets, characters = (result.slice[f"test_{name}"] for name in ("ids", "offsets", "characters"))
        asked = range(0, len(characters), ASKED)
        tokens = np.diff(offsets)[::ASKED]
        losses = np.array(self.metrics["test_document_nll_nats"])[::ASKED]
        found = summarize(losses, tokens - 1, characters[::ASKED])
        headlines = {"test_perplexity": found.perplexity, "test_bits_per_character": found.bits_per_character}
        self.metrics = self.metrics | {"slice": headlines}
        self._slice = {
            "test_ids": np.concatenate([ids[offsets[d] : offsets[d + 1]] for d in asked]),
            "test_offsets": np.concatenate([[0], np.cumsum(tokens)]),
            "test_characters": characters[::ASKED],
        }

    @property
    def slice(self) -> dict[str, np.ndarray]:
        return self._slice


def first_documents(text: Any, split: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, offsets and character counts of the first ``count`` documents of a split (0: all)."""
    offsets, characters = text.offsets[split], text.characters[split]
    if count:
        offsets, characters = offsets[: count + 1], characters[:count]
    return np.asarray(text.tokens[split][: offsets[-1]]), np.asarray(offsets), np.asarray(characters)


class RecurrentStage(LanguageStage):
    name = "rnn"
    network = RecurrentModelConfig()
    full = LanguageModelConfig(model=network, training=TRAINING)

    def build(self, config: LanguageModelConfig) -> RecurrentLM:
        assert isinstance(config.model, RecurrentModelConfig)
        return RecurrentLM(config.model, config.text.vocabulary)

    def tiny_model(self) -> RecurrentModelConfig:
        return RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=self.full.model.dropout)


class OnClassic(LanguageStage):
    """A network on the corpus that the assignment's whole preparation leaves, for about as many epochs.

    Beside its own characters, its loss is also spread over those of the fluent text it was made from.
    """

    less = in_brief(evening_steps=145)

    def final_metrics(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, Any]:
        metrics = super().final_metrics(config, material, model)
        documents = len(metrics["test_document_nll_nats"])
        original = int(np.sum(material.context["text"].fluent_characters["test"][:documents]))
        bits = metrics["test_loss_nats"] * metrics["test_tokens"] / math.log(2)
        return metrics | {"test_fluent_characters": original, "test_bits_per_fluent_character": bits / original}

    def belongs(self, result: Result) -> None:
        super().belongs(result)
        payload.like(result.metrics, {"test_fluent_characters": int}, "metrics.json")
        bits = result.metrics["test_loss_nats"] * result.metrics["test_tokens"] / math.log(2)
        spread = payload.About(bits / max(result.metrics["test_fluent_characters"], 1))
        payload.like(result.metrics, {"test_bits_per_fluent_character": spread}, "metrics.json")


def on_classic(full: LanguageModelConfig) -> LanguageModelConfig:
    """The same experiment on the classic corpus."""
    return replace(full, text=TextConfig(corpus="classic"), training=replace(full.training, steps=1850))


class ClassicRecurrentStage(OnClassic, RecurrentStage):
    name = "rnn-classic"
    full = on_classic(RecurrentStage.full)


class TransformerStage(LanguageStage):
    name = "transformer"
    network = TransformerModelConfig()
    full = LanguageModelConfig(model=network, training=replace(TRAINING, learning_rate=3e-3))

    def build(self, config: LanguageModelConfig) -> TransformerLM:
        assert isinstance(config.model, TransformerModelConfig)
        return TransformerLM(config.model, config.text.vocabulary)

    def tiny_model(self) -> TransformerModelConfig:
        return TransformerModelConfig(
            width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=self.full.model.dropout, context=16
        )


class ClassicTransformerStage(OnClassic, TransformerStage):
    name = "transformer-classic"
    full = on_classic(TransformerStage.full)


# The second row of the comparison: the budget is no longer the same for both, each is trained longer and regularised for it.
LONGER: dict[str, Any] = {"steps": 4800, "weight_decay": 0.1}


class BestRecurrentStage(RecurrentStage):
    """The LSTM with more dropout and half as many steps again."""

    name = "rnn-best"
    full = replace(
        RecurrentStage.full,
        model=RecurrentModelConfig(dropout=0.2),
        training=replace(RecurrentStage.full.training, **LONGER),
    )
    less = in_brief(evening_steps=125)


class BestTransformerStage(TransformerStage):
    """The Transformer with more dropout, half as many steps again, and twice the context at the same positions a
    step (of which more are padding)."""

    name = "transformer-best"
    full = replace(
        TransformerStage.full,
        model=TransformerModelConfig(dropout=0.2, context=256),
        window=256,
        training=replace(TransformerStage.full.training, batch_size=8, **LONGER),
    )
    less = in_brief(evening_steps=125)
