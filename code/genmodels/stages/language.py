"""Stages ``rnn``, ``transformer``, ``rnn-classic``, ``rnn-best`` and ``transformer-best``: next-token models on the same
prepared Persian tokens.

Both train on windows of the n-gram data set (targets at every position), by summed cross-entropy per token, and are
measured on whole held-out documents, every token once. The evaluation slice ships the test documents' token ids.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import LanguageModelConfig, RecurrentModelConfig, TextConfig, TrainingConfig, TransformerModelConfig
from genmodels.lm.perplexity import evaluate
from genmodels.lm.recurrent import RecurrentLM
from genmodels.lm.transformer import TransformerLM
from genmodels.ranks import Batch
from genmodels.stages.base import Material, ModelStage, training_profile
from genmodels.text.ngram import NgramDataset
from genmodels.text.prepare import prepared
from genmodels.training import Objective

TRAINING = TrainingConfig(
    batch_size=16, steps=3200, learning_rate=5e-3, warmup_steps=200, weight_decay=0.05, ema_decay=0.998, evaluations=10,
)


def cross_entropy_total(model: nn.Module, batch: Batch) -> Tensor:
    """Summed next-token cross-entropy in nats over the positions that have a target."""
    context, target = batch  # (B, T), (B, T)
    return model(context, targets=target)[0]


class LanguageStage(ModelStage):
    """What the two networks share; a subclass gives the full config and the network."""

    @property
    @abstractmethod
    def full(self) -> LanguageModelConfig: ...

    @abstractmethod
    def tiny_model(self) -> RecurrentModelConfig | TransformerModelConfig: ...

    def config(self, profile: str) -> LanguageModelConfig:
        smoke = profile == "smoke"
        return replace(
            self.full,
            training=training_profile(self.full.training, profile, steps=30),
            curve_documents=4 if smoke else self.full.curve_documents,
            evaluation_documents=8 if smoke else self.full.evaluation_documents,
        )

    def objective(self) -> Objective:
        return Objective(total=cross_entropy_total, count=lambda batch: int((batch[1] != -100).sum()))

    def material(self, config: LanguageModelConfig, folder: Path | None) -> Material:
        text = prepared(config.text, folder)
        dataset = NgramDataset(text.tokens["train"], text.offsets["train"], config.window)
        held_out = {split: first_documents(text, split, config.evaluation_documents) for split in ("validation", "test")}
        ids, offsets, characters = held_out["test"]
        arrays = {"test_ids": ids, "test_offsets": offsets, "test_characters": characters}
        data = {
            "name": text.corpus_name, "digest": text.digest, "corpus_sha256": text.corpus_digest, "corpus": config.text.corpus,
            "train_tokens": int(len(text.tokens["train"])), "test_tokens": int(len(ids)),
        }
        return Material(dataset, data, arrays, {"tokenizer.json": text.tokenizer.to_bytes()}, {"text": text} | held_out)

    def initialize(self, model: nn.Module, material: Material) -> None:
        """Start from the unigram distribution: the output bias is the log relative frequency (add-one)."""
        counts = np.bincount(material.context["text"].tokens["train"], minlength=model.vocabulary)
        model.initialize_output_bias(torch.from_numpy(np.log((counts + 1) / (counts + 1).sum())).float())

    def curve_point(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, float]:
        documents = first_documents(material.context["text"], "validation", config.curve_documents)
        return {"validation_loss": evaluate(model, *documents, config.window).loss}

    def final_metrics(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, Any]:
        metrics: dict[str, Any] = {"corpus": config.text.corpus}
        for split in ("validation", "test"):
            found = evaluate(model, *material.context[split], config.window)
            metrics |= {
                f"{split}_loss_nats": found.loss, f"{split}_perplexity": found.perplexity,
                f"{split}_bits_per_character": found.bits_per_character, f"{split}_tokens": found.tokens,
                f"{split}_document_nll_nats": found.document_nll_nats.tolist(),
            }
        metrics["train_tokens"] = material.data["train_tokens"]
        metrics["tokens_seen"] = config.training.steps * config.training.batch_size * config.window
        return metrics

    def slice_metrics(self, result_config: Any, arrays: dict[str, np.ndarray], model: nn.Module) -> dict[str, float]:
        documents = (arrays["test_ids"], arrays["test_offsets"], arrays["test_characters"])
        found = evaluate(model, *documents, result_config.window)
        return {"test_perplexity": found.perplexity, "test_bits_per_character": found.bits_per_character}

    def tiny(self, config: LanguageModelConfig) -> tuple[LanguageModelConfig, Dataset[Batch]]:
        tokens = np.random.RandomState(0).randint(2, 50, 400).astype(np.uint16)
        small = replace(config, model=self.tiny_model(), window=16, text=replace(config.text, vocabulary=50))
        return small, NgramDataset(tokens, np.array([0, 150, 400]), 16)


def first_documents(text: Any, split: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, offsets and character counts of the first ``count`` documents of a split (0: all)."""
    offsets, characters = text.offsets[split], text.characters[split]
    if count:
        offsets, characters = offsets[: count + 1], characters[:count]
    return np.asarray(text.tokens[split][: offsets[-1]]), np.asarray(offsets), np.asarray(characters)


class RecurrentStage(LanguageStage):
    name = "rnn"
    full = LanguageModelConfig(model=RecurrentModelConfig(), training=TRAINING)

    def build(self, config: LanguageModelConfig) -> RecurrentLM:
        return RecurrentLM(config.model, config.text.vocabulary)

    def tiny_model(self) -> RecurrentModelConfig:
        return RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=self.full.model.dropout)


class OnClassic(LanguageStage):
    """A network on the corpus that the assignment's whole preparation leaves, for about as many epochs.

    Beside its own characters, its loss is also spread over those of the fluent text it was made from.
    """

    def final_metrics(self, config: LanguageModelConfig, material: Material, model: nn.Module) -> dict[str, Any]:
        metrics = super().final_metrics(config, material, model)
        documents = len(metrics["test_document_nll_nats"])
        original = int(np.sum(material.context["text"].fluent_characters["test"][:documents]))
        bits = metrics["test_loss_nats"] * metrics["test_tokens"] / math.log(2)
        return metrics | {"test_fluent_characters": original, "test_bits_per_fluent_character": bits / original}


def on_classic(full: LanguageModelConfig) -> LanguageModelConfig:
    """The same experiment on the classic corpus."""
    return replace(full, text=TextConfig(corpus="classic"), training=replace(full.training, steps=1850))


class ClassicRecurrentStage(OnClassic, RecurrentStage):
    name = "rnn-classic"
    full = on_classic(RecurrentStage.full)


class TransformerStage(LanguageStage):
    name = "transformer"
    full = LanguageModelConfig(model=TransformerModelConfig(), training=replace(TRAINING, learning_rate=3e-3))

    def build(self, config: LanguageModelConfig) -> TransformerLM:
        return TransformerLM(config.model, config.text.vocabulary)

    def tiny_model(self) -> TransformerModelConfig:
        return TransformerModelConfig(width=16, layers=2, heads=4, kv_heads=2, hidden=24, dropout=self.full.model.dropout, context=16)


class ClassicTransformerStage(OnClassic, TransformerStage):
    name = "transformer-classic"
    full = on_classic(TransformerStage.full)


# The second row of the comparison: the budget is no longer the same for both, each is trained longer and regularised for it.
LONGER = {"steps": 4800, "weight_decay": 0.1}


class BestRecurrentStage(RecurrentStage):
    """The LSTM with more dropout and half as many steps again."""

    name = "rnn-best"
    full = replace(
        RecurrentStage.full, model=RecurrentModelConfig(dropout=0.2), training=replace(RecurrentStage.full.training, **LONGER),
    )


class BestTransformerStage(TransformerStage):
    """The Transformer with more dropout, half as many steps again, and twice the context at the same positions a
    step (of which more are padding)."""

    name = "transformer-best"
    full = replace(
        TransformerStage.full, model=TransformerModelConfig(dropout=0.2, context=256), window=256,
        training=replace(TransformerStage.full.training, batch_size=8, **LONGER),
    )
