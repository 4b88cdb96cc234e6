"""Stages ``rnn-study``, ``rnn-study-small`` and ``transformer-study``: several short trainings side by side, one choice apart.

They serve choices, so they are judged on validation documents; the test text is not read. A run that is finished is
kept beside the checkpoints until all are, so that a stop loses nothing. Weights are not shipped. What ``verify`` contradicts:
the behaviour of each run at a tiny size, its number of parameters, and its *opening*: the losses of its first steps at
full size, made again from the shipped first batches.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels import batches, ranks, store, training
from genmodels.config import LanguageModelConfig, MuonTrainingConfig, RecurrentModelConfig, TransformerModelConfig, to_plain
from genmodels.errors import UserError
from genmodels.files import read_json, write_json
from genmodels.lm.base import LanguageModel, linear_cross_entropy
from genmodels.lm.perplexity import Perplexity, evaluate, summarize
from genmodels.lm.recurrent import RecurrentLM
from genmodels.lm.variants import Variant, VariantLM
from genmodels.ranks import Batch
from genmodels.stages.base import FINGERPRINT_STEPS, FINGERPRINT_TOLERANCE, Check, Opened, Stage
from genmodels.stages.language import RecurrentStage, TransformerStage, cross_entropy_total, first_documents
from genmodels.text.ngram import NgramDataset
from genmodels.text.prepare import PreparedText, prepared
from genmodels.training import Objective

OPENING_STEPS = 2
OPENING_TOLERANCE = 5e-3  # relative; bf16 products of different processors
RECENT = 60  # steps that the reported training loss is the mean of


@dataclass(frozen=True)
class StudyRun:
    """One training of a study: an experiment, and what of it is unusual."""

    experiment: LanguageModelConfig
    variant: Variant = field(default_factory=Variant)
    targets: str = "all"  # or "last": one target a window


class StudyResult(Opened):
    """``runs``: one row a run, by its key; ``on_validation(key)``: its losses, document by document."""

    @property
    def runs(self) -> pd.DataFrame:
        rows = {
            key: {name: value for name, value in self.metrics["runs"][key].items() if np.isscalar(value)}
            for key in self.config
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def on_validation(self, key: str) -> Perplexity:
        """The validation measures of a run, for paired comparisons; characters are not kept."""
        losses = np.array(self.metrics["runs"][key]["validation_document_nll_nats"])
        tokens = np.array(self.metrics["validation_document_tokens"])
        return summarize(losses, tokens, np.zeros_like(tokens))


def build(run: StudyRun) -> LanguageModel:
    """The untrained model of a run (its initial weights follow the global seed)."""
    config = run.experiment
    if isinstance(config.model, RecurrentModelConfig):
        return RecurrentLM(config.model, config.text.vocabulary)
    return VariantLM(config.model, run.variant, config.text.vocabulary)


def last_position_total(model: nn.Module, batch: Batch) -> Tensor:
    """Summed cross-entropy of the one target after each window."""
    context, target = batch  # (B, T), (B,)
    features, _ = model.features(context)
    return linear_cross_entropy(features[:, -1], model.output_weight, model.output_bias, target)


def objective(run: StudyRun) -> Objective:
    if run.targets == "last":
        return Objective(total=last_position_total, count=lambda batch: len(batch[1]))
    return Objective(total=cross_entropy_total, count=lambda batch: int((batch[1] != -100).sum()))


def start(run: StudyRun, log_unigram: Tensor | None = None) -> LanguageModel:
    """The seeded model, its output bias at the unigram distribution."""
    torch.manual_seed(batches.seed_for(run.experiment.training.seed, "weights"))
    model = build(run)
    if log_unigram is not None:
        model.initialize_output_bias(log_unigram)
    return model


def tiny_losses(run: StudyRun) -> list[float]:
    """The behaviour of a run: losses of the first steps of its kind at a tiny size, in fp32."""
    config = run.experiment
    if isinstance(config.model, RecurrentModelConfig):
        model: Any = RecurrentModelConfig(embedding=8, hidden=12, layers=2, dropout=config.model.dropout)
    else:
        shared = config.model.heads // config.model.kv_heads
        model = TransformerModelConfig(
            width=16, layers=2, heads=4, kv_heads=max(1, 4 // shared), hidden=24, dropout=config.model.dropout, context=16
        )
    brief = replace(
        config.training, steps=FINGERPRINT_STEPS, warmup_steps=1, batch_size=4, bf16=False, evaluations=0
    )
    small = replace(
        run, experiment=replace(config, model=model, training=brief, window=16, text=replace(config.text, vocabulary=50))
    )
    tokens = np.random.RandomState(0).randint(2, 50, 400).astype(np.uint16)
    dataset = NgramDataset(tokens, np.array([0, 150, 400]), 16, targets=run.targets)
    return training.train(start(small), dataset, objective(small), brief, alone=True).losses


class _Replay(Dataset):
    """Gives kept batches one after the other, whatever is asked for."""

    def __init__(self, contexts: np.ndarray, targets: np.ndarray) -> None:
        self.batches = iter(zip(torch.from_numpy(contexts.astype(np.int64)), torch.from_numpy(targets.astype(np.int64))))
        self.size = contexts.shape[0] * contexts.shape[1]

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, indices: list[int]) -> Batch:
        return next(self.batches)


def opening_losses(run: StudyRun, contexts: np.ndarray, targets: np.ndarray, log_unigram: Tensor) -> list[float]:
    """The losses of a run's first steps at full size, on its own first batches (steps, B, T)."""
    brief = replace(run.experiment.training, steps=len(contexts), evaluations=0)
    replay = _Replay(contexts, targets)
    return training.train(start(run, log_unigram), replay, objective(run), brief, alone=True).losses


def log_unigram(counts: np.ndarray) -> Tensor:
    """Add-one log relative frequencies."""
    return torch.from_numpy(np.log((counts + 1) / (counts + 1).sum())).float()


class StudyStage(Stage):
    """A dictionary of runs; a subclass gives it."""

    @abstractmethod
    def runs(self) -> dict[str, StudyRun]:
        """The runs of the ``full`` profile, in order."""

    def config(self, profile: str) -> dict[str, StudyRun]:
        runs = self.runs()
        return runs if profile == "full" else {key: _short(run) for key, run in runs.items()}

    def plain_config(self, profile: str) -> dict[str, Any]:
        return {key: to_plain(run) for key, run in self.config(profile).items()}

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Train every run that is not finished yet, then publish all. Returns the result's folder."""
        runs = self.config(profile)
        if len({(run.experiment.text, run.experiment.evaluation_documents) for run in runs.values()}) != 1:
            raise UserError(f"the runs of {self.name} are judged on different texts; give them one TextConfig")
        text = prepared(next(iter(runs.values())).experiment.text, folder)
        with store.only_run(self.name, profile):
            parts = {key: self._one(key, run, profile, text, restart) for key, run in runs.items()}
        judged = next(iter(runs.values())).experiment.evaluation_documents
        metrics = {
            "runs": {key: part["measures"] for key, part in parts.items()},
            "train_tokens": len(text.tokens["train"]),
            "validation_document_tokens": (np.diff(text.offsets["validation"])[: judged or None] - 1).tolist(),
        }
        history = pd.concat([pd.DataFrame(part["history"]).assign(run=key) for key, part in parts.items()])
        arrays = {"unigram_counts": _unigram(text)}
        for key, run in runs.items():
            contexts, targets = _first_batches(run, text)
            arrays |= {f"{key}_contexts": contexts, f"{key}_targets": targets}
        manifest = {
            "config": self.plain_config(profile),
            "data": {
                "name": text.corpus_name, "digest": text.digest, "corpus_sha256": text.corpus_digest,
                "corpus": text.config.corpus, "train_tokens": len(text.tokens["train"]),
            },
            "seconds": round(sum(part["seconds"] for part in parts.values()), 1),
            "cpu_seconds": round(sum(part["measures"]["cpu_seconds"] for part in parts.values()), 1),
            "fingerprint": {key: tiny_losses(run) for key, run in runs.items()},
        }
        path = store.publish(
            self.name, profile, manifest=manifest | store.provenance(), metrics=metrics, history=history, arrays=arrays
        )
        for key in runs:
            self._finished(key, profile).unlink(missing_ok=True)
        return path

    def _finished(self, key: str, profile: str) -> Path:
        return store.checkpoint_path(f"{self.name}-{key}", profile).with_suffix(".json")

    def _one(self, key: str, run: StudyRun, profile: str, text: PreparedText, restart: bool) -> dict[str, Any]:
        """One training and its measures, or what an earlier call kept of them."""
        config, kept = run.experiment, self._finished(key, profile)
        checkpoint = kept.with_suffix(".pt")
        identity = store.run_identity(to_plain(run), {"digest": text.digest})
        if restart:
            kept.unlink(missing_ok=True)
            checkpoint.unlink(missing_ok=True)
        if kept.exists() and (part := read_json(kept)).get("identity") == identity:
            return part
        dataset = NgramDataset(text.tokens["train"], text.offsets["train"], config.window, targets=run.targets)
        curve = first_documents(text, "validation", config.curve_documents)
        model = start(run, log_unigram(_unigram(text)))
        record = training.train(
            model, dataset, objective(run), config.training,
            evaluate=lambda m: {"validation_loss": evaluate(m, *curve, config.window).loss},
            checkpoint=checkpoint, identity=identity, label=f"{self.name} {key}",
        )
        found = evaluate(model.cpu(), *first_documents(text, "validation", config.evaluation_documents), config.window)
        targets = config.window if run.targets == "all" else 1
        measures = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "targets_seen": config.training.steps * config.training.batch_size * targets,
            "train_loss_nats": float(np.mean(record.losses[-RECENT:])),
            "validation_loss_nats": found.loss, "validation_perplexity": found.perplexity,
            "validation_bits_per_character": found.bits_per_character, "validation_tokens": found.tokens,
            "validation_document_nll_nats": found.document_nll_nats.tolist(),
            "cpu_seconds": round(record.cpu_seconds, 1), "opening": record.losses[:OPENING_STEPS],
        }
        part = {"identity": identity, "measures": measures, "history": record.history, "seconds": record.seconds}
        if ranks.leads():
            write_json(kept, part)
            checkpoint.unlink(missing_ok=True)
        return part

    def load(self, profile: str) -> StudyResult:
        return StudyResult(store.load(self.name, profile, self.plain_config(profile)), self.config(profile))

    def contradict(self, result: StudyResult) -> list[Check]:
        checks = []
        unigram = log_unigram(result.slice["unigram_counts"])
        for key, run in result.config.items():
            measures, batches_ = result.metrics["runs"][key], [result.slice[f"{key}_{part}"] for part in ("contexts", "targets")]
            behaviour = _worst(tiny_losses(run), result.manifest["fingerprint"][key])
            opening = _worst(opening_losses(run, *batches_, unigram), measures["opening"])
            size = sum(p.numel() for p in build(run).parameters())
            held = behaviour <= FINGERPRINT_TOLERANCE and opening <= OPENING_TOLERANCE and size == measures["parameters"]
            detail = f"behaviour differs by {behaviour:.1e}, the first losses by {opening:.1e}; {size:,} parameters"
            checks.append(Check(key, held, detail))
        return checks


def _worst(now: list[float], then: list[float]) -> float:
    """Largest relative difference; infinite where there is nothing to compare."""
    if len(now) != len(then):
        return float("inf")
    return max((abs(a - b) / abs(b) for a, b in zip(now, then)), default=float("inf"))


def _unigram(text: PreparedText) -> np.ndarray:
    return np.bincount(text.tokens["train"], minlength=text.tokenizer.vocabulary_size)


def _first_batches(run: StudyRun, text: PreparedText) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and targets of the first steps, (steps, B, …) int32."""
    config = run.experiment
    dataset = NgramDataset(text.tokens["train"], text.offsets["train"], config.window, targets=run.targets)
    order = batches.BatchOrder(len(dataset), config.training.batch_size, config.training.seed, 0, OPENING_STEPS)
    found = [dataset.__getitems__(indices) for indices in order]
    return tuple(np.stack([batch[part].numpy() for batch in found]).astype(np.int32) for part in (0, 1))


def _short(run: StudyRun) -> StudyRun:
    """The ``smoke`` profile: a few steps, a few documents."""
    brief = replace(run.experiment.training, steps=4, warmup_steps=1, evaluations=min(1, run.experiment.training.evaluations))
    return replace(run, experiment=replace(run.experiment, training=brief, curve_documents=2, evaluation_documents=2))


def _experiment(full: LanguageModelConfig, steps: int, evaluations: int = 5, **changes: Any) -> LanguageModelConfig:
    """A shipped experiment with fewer steps, judged on the first hundred validation documents."""
    plain = replace(full.training, steps=steps, warmup_steps=100, evaluations=evaluations)
    return replace(full, **({"training": plain, "curve_documents": 20, "evaluation_documents": 100} | changes))


def _with_muon(experiment: LanguageModelConfig, learning_rate: float) -> LanguageModelConfig:
    settings = {name: getattr(experiment.training, name) for name in experiment.training.__dataclass_fields__}
    return replace(experiment, training=MuonTrainingConfig(**settings | {"learning_rate": learning_rate}))


class RecurrentStudy(StudyStage):
    """How large the LSTM should be at an equal number of operations; Muon; one target a window against all."""

    name = "rnn-study"
    STEPS = 1100
    SIZES = ((128, 256), (192, 384), (256, 512), (320, 640), (448, 896))  # embedding, hidden

    def runs(self) -> dict[str, StudyRun]:
        full = RecurrentStage.full
        runs = _sizes(self.SIZES, self.STEPS)
        equal = runs[f"size-{full.model.embedding}"].experiment
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
    full = RecurrentStage.full
    reference = _lstm_parameters(full.model, full.text.vocabulary)
    runs = {}
    for embedding, hidden in sizes:
        model = replace(full.model, embedding=embedding, hidden=hidden)
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
        fewer = replace(base, model=replace(base.model, kv_heads=1))
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
