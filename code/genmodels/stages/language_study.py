"""Stages ``rnn-study``, ``rnn-study-small`` and ``transformer-study``: choices of the language networks, one apart.

They are judged on validation documents; the test text is not read. What is kept, shipped and contradicted: ``trials.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels.config import MUON, LanguageModelConfig, RecurrentModelConfig, TransformerModelConfig
from genmodels.errors import UserError
from genmodels.language.base import LanguageModel, linear_cross_entropy, log_unigram
from genmodels.language.perplexity import Perplexity, evaluate, summarize
from genmodels.language.recurrent import RecurrentLM
from genmodels.language.variants import Variant, VariantLM
from genmodels.stages import payload
from genmodels.stages.language import TOKENS, RecurrentStage, TransformerStage, first_documents
from genmodels.stages.trials import Trial, TrialsResult, TrialsStage
from genmodels.text.prepare import PreparedText, prepared
from genmodels.text.windows import IGNORED, NgramDataset
from genmodels.training.batches import Batch
from genmodels.training.loop import Objective


@dataclass(frozen=True)
class StudyRun(Trial):
    """One training of a study: an experiment, and what of it is unusual."""

    experiment: LanguageModelConfig
    variant: Variant = field(default_factory=Variant)
    targets: str = "all"  # or "last": one target a window


class StudyResult(TrialsResult):
    """``on_validation(key)``: the losses of a run, document by document."""

    def on_validation(self, key: str) -> Perplexity:
        """The validation measures of a run, for paired comparisons; characters are not kept."""
        losses = np.array(self.metrics["runs"][key]["validation_document_nll_nats"])
        tokens = np.array(self.metrics["validation_document_tokens"])
        return summarize(losses, tokens, np.zeros_like(tokens))


def last_position_total(model: nn.Module, batch: Batch) -> Tensor:
    """Summed cross-entropy of the one target after each window."""
    context, target = batch  # (B, T), (B,)
    features, _ = model.features(context)
    return linear_cross_entropy(features[:, -1], model.output_weight, model.output_bias, target)


class StudyStage(TrialsStage):
    """Trainings of language models on the same prepared text."""

    result = StudyResult
    reads = "text"
    less = {
        "evening": {"steps": 25, "evaluations": 2, "curve_documents": 5, "evaluation_documents": 20},
        "smoke": {"steps": 2, "batch_size": 1, "evaluations": 1, "curve_documents": 1, "evaluation_documents": 1},
    }

    def gather(self, runs: dict[str, StudyRun], folder: Path | None) -> PreparedText:
        if len({(run.experiment.text, run.experiment.evaluation_documents) for run in runs.values()}) != 1:
            raise UserError(f"the runs of {self.name} are judged on different texts; give them one TextConfig")
        return prepared(next(iter(runs.values())).experiment.text, folder)

    def data(self, material: PreparedText) -> dict[str, Any]:
        return material.identity | {"train_tokens": len(material.tokens["train"])}

    def dataset(self, run: StudyRun, material: PreparedText) -> NgramDataset:
        return NgramDataset(
            material.tokens["train"], material.offsets["train"], run.experiment.window, targets=run.targets
        )

    def parts_of_batch(self) -> tuple[tuple[str, type], ...]:
        return (("contexts", np.int64), ("targets", np.int64))

    def build(self, run: StudyRun) -> LanguageModel:
        config = run.experiment
        if isinstance(config.model, RecurrentModelConfig):
            return RecurrentLM(config.model, config.text.vocabulary)
        return VariantLM(config.model, run.variant, config.text.vocabulary)

    def objective(self, run: StudyRun) -> Objective:
        if run.targets == "last":
            return Objective(total=last_position_total, count=lambda batch: len(batch[1]))
        return TOKENS

    def initialize(self, model: LanguageModel, arrays: dict[str, np.ndarray]) -> None:
        """The output bias starts at the unigram distribution."""
        if "unigram_counts" in arrays:
            model.initialize_output_bias(log_unigram(arrays["unigram_counts"]))

    def common_arrays(self, material: PreparedText) -> dict[str, np.ndarray]:
        return {"unigram_counts": np.bincount(material.tokens["train"], minlength=material.config.vocabulary)}

    def common_metrics(self, runs: dict[str, StudyRun], material: PreparedText) -> dict[str, Any]:
        judged = next(iter(runs.values())).experiment.evaluation_documents
        tokens = np.diff(material.offsets["validation"])[: judged or None] - 1
        return {"train_tokens": len(material.tokens["train"]), "validation_document_tokens": tokens.tolist()}

    def curve(self, run: StudyRun, material: PreparedText) -> Callable[[nn.Module], dict[str, float]]:
        documents = first_documents(material, "validation", run.experiment.curve_documents)
        return lambda model: {"validation_loss": evaluate(model, *documents, run.experiment.window).loss}

    def measures(self, run: StudyRun, material: PreparedText, model: nn.Module) -> dict[str, Any]:
        config = run.experiment
        found = evaluate(model, *first_documents(material, "validation", config.evaluation_documents), config.window)
        targets = config.window if run.targets == "all" else 1
        return {
            "targets_seen": config.training.steps * config.training.batch_size * targets,
            "validation_loss_nats": found.loss,
            "validation_perplexity": found.perplexity,
            "validation_bits_per_character": found.bits_per_character,
            "validation_tokens": found.tokens,
            "validation_document_nll_nats": found.document_nll_nats.tolist(),
        }

    def run_belongs(self, run: StudyRun, measures: dict[str, Any], result: TrialsResult) -> dict[str, payload.Array]:
        config = run.experiment
        payload.like(result.metrics, {"validation_document_tokens": payload.Each(int)}, "metrics.json")
        tokens, targets = result.metrics["validation_document_tokens"], config.window if run.targets == "all" else 1
        payload.like(
            measures,
            {
                "targets_seen": config.training.steps * config.training.batch_size * targets,
                "validation_tokens": sum(tokens),
                "validation_document_nll_nats": [float] * len(tokens),
                "validation_bits_per_character": float,
            },
            "metrics.json",
        )
        loss = math.fsum(measures["validation_document_nll_nats"]) / max(sum(tokens), 1)
        wanted = {"validation_loss_nats": payload.About(loss), "validation_perplexity": payload.About(math.exp(loss))}
        payload.like(measures, wanted, "metrics.json")
        ids = payload.Array((config.window,), low=IGNORED, high=config.text.vocabulary - 1)
        one = replace(ids, shape=(), low=0)
        return {"contexts": replace(ids, low=0), "targets": ids if run.targets == "all" else one}

    def common_shapes(self, result: TrialsResult) -> dict[str, payload.Array]:
        tokens = result.manifest["data"].get("train_tokens")
        payload.like(result.metrics, {"train_tokens": tokens}, "metrics.json")
        counts = result.slice.get("unigram_counts", np.zeros(0))
        payload.require(counts.sum() == tokens, f"slice.npz: the unigram counts are not those of {tokens} tokens")
        return {"unigram_counts": payload.Array((None,))}

    def tiny(self, run: StudyRun) -> tuple[StudyRun, Dataset[Batch]]:
        config = run.experiment
        if isinstance(config.model, RecurrentModelConfig):
            model: Any = RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=config.model.dropout)
        else:
            shared = config.model.heads // config.model.kv_heads
            model = TransformerModelConfig(
                width=16,
                layers=2,
                heads=4,
                kv_heads=max(1, 4 // shared),
                hidden=24,
                dropout=config.model.dropout,
                context=16,
            )
        small = replace(config, model=model, window=16, text=replace(config.text, vocabulary=50))
        tokens = np.random.RandomState(0).randint(2, 50, 400).astype(np.uint16)
        return replace(run, experiment=small), NgramDataset(tokens, np.array([0, 150, 400]), 16, targets=run.targets)


def _experiment(full: LanguageModelConfig, steps: int, evaluations: int = 5, **changes: Any) -> LanguageModelConfig:
    """A shipped experiment with fewer steps, judged on the first hundred validation documents."""
    plain = replace(full.training, steps=steps, warmup_steps=100, evaluations=evaluations)
    few: dict[str, Any] = {"training": plain, "curve_documents": 20, "evaluation_documents": 100}
    return replace(full, **(few | changes))


def _with_muon(experiment: LanguageModelConfig, learning_rate: float) -> LanguageModelConfig:
    return replace(experiment, training=replace(experiment.training, learning_rate=learning_rate, momentum=MUON))


class RecurrentStudy(StudyStage):
    """How large the LSTM should be at an equal number of operations; Muon; one target a window against all."""

    name = "rnn-study"
    STEPS = 1100
    SIZES = ((128, 256), (192, 384), (256, 512), (320, 640), (448, 896))  # embedding, hidden

    def runs(self) -> dict[str, StudyRun]:
        full = RecurrentStage.full
        runs = _sizes(self.SIZES, self.STEPS)
        equal = runs[f"size-{RecurrentStage.network.embedding}"].experiment
        runs["muon"] = StudyRun(_with_muon(equal, full.training.learning_rate))
        windows = replace(equal, window=16, training=replace(equal.training, steps=240, batch_size=128, evaluations=0))
        runs["targets-all"] = StudyRun(windows)
        runs["targets-last"] = StudyRun(windows, targets="last")
        return runs


class SmallRecurrentStudy(StudyStage):
    """The first study's best size was its smallest: smaller ones, at the same number of operations."""

    name = "rnn-study-small"
    SIZES = ((64, 128), (96, 192))

    def runs(self) -> dict[str, StudyRun]:
        return _sizes(self.SIZES, RecurrentStudy.STEPS)


def _sizes(sizes: tuple[tuple[int, int], ...], steps: int) -> dict[str, StudyRun]:
    """LSTMs of some (embedding, hidden) sizes, each with the operations of ``steps`` steps of the shipped one."""
    full, network = RecurrentStage.full, RecurrentStage.network
    reference = _lstm_parameters(network, full.text.vocabulary)
    runs = {}
    for embedding, hidden in sizes:
        model = replace(network, embedding=embedding, hidden=hidden)
        count = round(steps * reference / _lstm_parameters(model, full.text.vocabulary))
        runs[f"size-{embedding}"] = StudyRun(_experiment(full, count, model=model))
    return runs


def _lstm_parameters(model: RecurrentModelConfig, vocabulary: int) -> int:
    """The number of parameters by the formula (the network itself would take memory to count)."""
    sizes = [model.embedding] + [model.hidden] * (model.layers - 1) + [model.embedding]
    return vocabulary * (model.embedding + 1) + sum(4 * b * (a + b + 1) for a, b in zip(sizes[:-1], sizes[1:]))


class TransformerStudy(StudyStage):
    """Each modern part exchanged for its predecessor at equal tokens; Muon; a second seed as the yardstick."""

    name = "transformer-study"
    STEPS = 600

    def runs(self) -> dict[str, StudyRun]:
        full = TransformerStage.full
        base = _experiment(full, self.STEPS)
        seed = replace(base, training=replace(base.training, seed=2))
        fewer = replace(base, model=replace(TransformerStage.network, kv_heads=1))
        return {
            "base": StudyRun(base),
            "muon": StudyRun(_with_muon(base, full.training.learning_rate)),
            "learned": StudyRun(base, Variant(position="learned")),
            "layer": StudyRun(base, Variant(normalization="layer")),
            "post": StudyRun(base, Variant(order="post")),
            "gelu": StudyRun(base, Variant(feed_forward="gelu")),
            "untied": StudyRun(base, Variant(tied=False)),
            "multi-query": StudyRun(fewer),
            "second-seed": StudyRun(seed),
        }
