"""Stage ``transfer``: what a model that has read Wikipedia brings to another text, and what it forgets for it.

The pre-trained model is the shipped ``transformer`` (made by the preparation that its manifest names). An *arm* is one
way of learning one target text of one size: from the pre-trained weights, or from scratch, with its tokenizer or one of
its own. Each tries its learning rates with the first seed; rate and moment of stopping are chosen on validation ghazals;
then the chosen rate is trained with the other seeds. The test ghazals are read once per final network, and beside them
Wikipedia test documents, for what was forgotten. A finished arm is kept until all are (``trials.py``).

Shipped of the networks: the low-rank update of arm ``SHIPPED``, with which ``verify`` reads every ``ASKED``-th test ghazal
again. What else it contradicts: behaviour and opening of each arm (``trials.py``), and the model that all were made from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.utils.data import Dataset

from genmodels import store
from genmodels.config import TrainingConfig, TransferConfig, TransformerModelConfig, to_plain
from genmodels.data.hafez import TARGETS
from genmodels.language import adaptation
from genmodels.language.base import linear_cross_entropy, log_unigram
from genmodels.language.perplexity import Perplexity, evaluate, summarize
from genmodels.language.transformer import TransformerLM
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE, Check
from genmodels.stages.trained import FINGERPRINT_STEPS, largest_difference
from genmodels.stages.transfer_arms import LESS, SHIPPED, arms
from genmodels.stages.transfer_measures import Trained, before, before_belongs, measured, measures_belong
from genmodels.stages.transfer_texts import (
    TransferTexts,
    chosen,
    first,
    pretrained,
)
from genmodels.stages.trials import Trial, TrialsResult, TrialsStage, _finished_part
from genmodels.system.files import write_bytes, write_json
from genmodels.text.windows import IGNORED, NgramDataset
from genmodels.training import loop
from genmodels.training.batches import Batch, seed_for
from genmodels.training.loop import Objective

ASKED = 8  # one test ghazal in so many is scored again by ``verify``
PARTS = ("ids", "offsets", "characters")


def spoken_total(model: nn.Module, batch: Batch) -> Tensor:
    """Summed next-token cross-entropy (nats) of the positions that have a target; the others cost no logits."""
    context, target = batch  # (B, T), (B, T)
    features, _ = model.features(context)
    said = target != IGNORED
    return linear_cross_entropy(features[said], model.output_weight, model.output_bias, target[said])


SPOKEN = Objective(total=spoken_total, count=lambda batch: int((batch[1] != IGNORED).sum()))


class TransferResult(TrialsResult):
    """``on_test(key, seed)``: an arm ghazal by ghazal, for paired comparisons over characters."""

    def characters(self, target: str) -> np.ndarray:
        """(D,) of the test documents."""
        return self.slice[f"test_{target}_characters"]

    def on_test(self, key: str, seed: int | None = None) -> Perplexity:
        """The test measures of an arm's seed (default: mean over seeds); ``tokens`` are characters here, since the
        tokenizers of two arms differ."""
        rows = np.array(self.metrics["runs"][key]["test_document_nll_nats"])  # (seeds, D)
        target = self.config[key].experiment.target
        characters = self.characters(target)[: rows.shape[1]]
        return summarize(rows.mean(0) if seed is None else rows[seed], characters, characters)


class TransferStage(TrialsStage):
    name = "transfer"
    result = TransferResult
    files = (*TrialsStage.files, "weights.safetensors")
    reads = "text"
    needs = ("transformer",)
    less = LESS

    def runs(self) -> dict[str, Trial]:
        return {key: Trial(config) for key, config in arms().items()}

    def config(self, profile: str) -> dict[str, Trial]:
        """As of any study; the pre-trained model is that of the profile, too."""
        return {key: with_source(run, f"transformer/{profile}") for key, run in super().config(profile).items()}

    # --- what is trained ----------------------------------------------------------------------------------------------

    def gather(self, runs: dict[str, Trial], folder: Path | None) -> TransferTexts:
        return TransferTexts.read((run.experiment for run in runs.values()), folder)

    def data(self, material: TransferTexts) -> dict[str, Any]:
        return material.identity

    def dataset(self, run: Trial, material: TransferTexts) -> Dataset[Batch]:
        return material.dataset(run.experiment)

    def parts_of_batch(self) -> tuple[tuple[str, type], ...]:
        return (("contexts", np.int64), ("targets", np.int64))

    def build(self, run: Trial) -> TransformerLM:
        return TransformerLM(run.experiment.model, run.experiment.vocabulary)

    def objective(self, run: Trial) -> Objective:
        return SPOKEN

    def seeded_model(self, run: Trial) -> TransformerLM:
        """A random network, adapted: of the fingerprint, which needs no pre-trained one."""
        return self._adapted(super().seeded_model(run), run)

    def start(self, run: Trial, arrays: dict[str, np.ndarray]) -> TransformerLM:
        """The network as an arm's training finds it: pre-trained, or random with the unigram distribution."""
        network, config = super().seeded_model(run), run.experiment
        if config.start == "pretrained":
            network.load_state_dict(pretrained(config.source).stored.weights())
        else:
            network.initialize_output_bias(log_unigram(arrays[counts_name(config)]))
        return self._adapted(network, run)

    def _adapted(self, network: TransformerLM, run: Trial) -> TransformerLM:
        torch.manual_seed(seed_for(run.training.seed, "adaptation"))
        return adaptation.adapt(network, run.experiment.method, run.experiment.rank, run.training.steps)

    def curve(self, run: Trial, material: TransferTexts) -> Callable[[nn.Module], dict[str, float]]:
        documents = material.documents(run.experiment, "validation")
        return lambda model: {"validation_loss": evaluate(model, *documents).loss}

    def _one(self, key: str, run: Trial, profile: str, material: TransferTexts) -> dict[str, Any]:
        """All trainings of an arm and what was measured, or what an earlier call kept of them."""
        kept = self._finished(key, profile)
        identity = store.run_identity(to_plain(run), {"digest": material.identity["digest"]})
        weights = kept.with_suffix(".pt")
        if (part := _finished_part(kept, identity)) is not None and (key != SHIPPED or weights.exists()):
            return part
        arrays, seed = self.common_arrays(material), run.training.seed
        tried = [
            self._trained(key, with_plan(run, learning_rate=rate), material, arrays) for rate in run.experiment.rates
        ]
        best = min(tried, key=lambda each: each.validation)
        finals = [best]
        for other in range(1, run.experiment.seeds):
            finals.append(self._trained(key, with_plan(best.run, seed=seed + other), material, arrays))
        with torch.no_grad():
            found = measured(tried, finals, material)
        records = [each.record for each in (*tried, *finals[1:])]
        found["cpu_seconds"] = round(sum(record.cpu_seconds for record in records), 1)
        part = {"identity": identity, "measures": found, "history": best.record.history}
        part |= {"seconds": sum(record.seconds for record in records), "commits": best.record.commits}
        if key == SHIPPED:
            write_bytes(weights, save_safetensors(adaptation.trained(best.network)))
        write_json(kept, part)
        return part

    def _trained(self, key: str, run: Trial, material: TransferTexts, arrays: dict[str, np.ndarray]) -> Trained:
        """One training; its network as it was when it did best on validation text."""
        network, curve = self.start(run, arrays), self.curve(run, material)
        best: tuple[float, dict[str, Tensor]] = (math.inf, {})

        def evaluated(model: nn.Module) -> dict[str, float]:
            nonlocal best
            row = curve(model)
            if row["validation_loss"] < best[0]:
                best = row["validation_loss"], adaptation.trained(model)
            return row

        label = f"{self.name} {key} rate {run.training.learning_rate:g} seed {run.training.seed}"
        of: dict[str, Any] = {"evaluate": evaluated, "label": label, "commit": store.commit(), "alone": True}
        record = loop.train(network, self.dataset(run, material), SPOKEN, run.training, **of)
        adaptation.restore(network.cpu(), best[1])
        step = next(int(row["step"]) for row in record.history if row["validation_loss"] == best[0])
        return Trained(run, network, best[0], step, record)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def measures(self, run: Trial, material: TransferTexts, model: nn.Module) -> dict[str, Any]:
        raise NotImplementedError("an arm is measured as a whole: see transfer_measures")

    def common_arrays(self, material: TransferTexts) -> dict[str, np.ndarray]:
        """The test documents in the model's tokens, and the token counts that arms from scratch begin with."""
        fresh = [config for config in material.arms if config.start != "pretrained"]
        found = {counts_name(config): material.counts(config).astype(np.int32) for config in fresh}
        for target in TARGETS:
            found |= {f"test_{target}_{n}": array for n, array in zip(PARTS, material.test_documents(target))}
        return found

    def common_metrics(self, runs: dict[str, Trial], material: TransferTexts) -> dict[str, Any]:
        return before(material)

    def extra(self, profile: str) -> dict[str, Any]:
        return {"weights": load_safetensors(self._finished(SHIPPED, profile).with_suffix(".pt").read_bytes())}

    def made_from(self, data: dict[str, Any]) -> dict[str, str]:
        return {needed: str(data.get("weights")) for needed in self.needs}

    # --- what is contradicted -----------------------------------------------------------------------------------------

    def plan(self, run: Trial, measures: dict[str, Any]) -> TrainingConfig:
        return replace(run.training, learning_rate=measures["rate"])

    def run_belongs(self, run: Trial, measures: dict[str, Any], result: TrialsResult) -> dict[str, payload.Array]:
        config = run.experiment
        characters = result.slice[f"test_{config.target}_characters"]
        measures_belong(config, measures, characters[: config.evaluation_documents or None])
        ids = payload.Array((config.window,), low=IGNORED, high=config.vocabulary - 1)
        return {"contexts": replace(ids, low=0), "targets": ids}

    def common_shapes(self, result: TrialsResult) -> dict[str, payload.Array]:
        before_belongs(result.metrics)
        found: dict[str, payload.Array] = {}
        for target in TARGETS:
            ids, offsets, _ = (result.slice.get(f"test_{target}_{name}", np.zeros(0)) for name in PARTS)
            documents = len(result.metrics["before"][target]["document_nll_nats"])
            whole = len(offsets) == documents + 1 and offsets[0] == 0 and offsets[-1] == len(ids)
            payload.require(whole and (np.diff(offsets) >= 2).all(), f"slice.npz: no documents of {target}")
            kind = payload.Array((None,), high=result.config[SHIPPED].experiment.vocabulary - 1)
            shapes = (kind, payload.Array((documents + 1,)), payload.Array((documents,), low=1))
            found |= {f"test_{target}_{name}": shape for name, shape in zip(PARTS, shapes)}
        for run in result.config.values():
            if run.experiment.start != "pretrained":
                found[counts_name(run.experiment)] = payload.Array((run.experiment.vocabulary,))
        return found

    def belongs(self, result: TrialsResult) -> None:
        super().belongs(result)
        payload.like(result.manifest["data"], {"weights": str}, "manifest.json, data")
        network = self.seeded_model(result.config[SHIPPED])
        wanted = {name: tensor.shape for name, tensor in adaptation.trained(network).items()}
        found = result.stored.weights()
        fits = {name: tensor.shape for name, tensor in found.items()} == wanted
        payload.require(fits and all(t.isfinite().all() for t in found.values()), "weights.safetensors: no such update")

    def contradict(self, result: TrialsResult) -> list[Check]:
        source = result.config[SHIPPED].experiment.source
        other = pretrained(source)
        same = not self.changed_sources(result.manifest, {"transformer": other})
        detail = f"carried over from {'the shipped' if same else 'another'} {source}"
        checks = [Check("weights", same, detail)]
        return checks + self._documents(result, other) + super().contradict(result) if same else checks

    def _documents(self, result: TrialsResult, other: Any) -> list[Check]:
        """Every ``ASKED``-th test ghazal read again: by the pre-trained model, and with the shipped update."""
        run = result.config[SHIPPED]
        adapted = self.start(run, result.slice)
        adaptation.restore(adapted, result.stored.weights())
        target = run.experiment.target
        arm = result.metrics["runs"][SHIPPED]["test_document_nll_nats"][0]
        ids, offsets, characters = (result.slice[f"test_{target}_{name}"] for name in PARTS)
        rows = {
            "documents before": (other.model(), result.metrics["before"][target]["document_nll_nats"]),
            f"documents {SHIPPED}": (adaptation.merge(adapted).eval(), arm),
        }
        checks = []
        for name, (network, stored) in rows.items():
            asked = chosen(first((ids, offsets, characters), len(stored)), ASKED)
            apart = largest_difference(evaluate(network, *asked).document_nll_nats.tolist(), stored[::ASKED])
            detail = f"{len(asked[2])} documents, largest relative difference {apart:.1e}"
            checks.append(Check(name, apart <= METRIC_TOLERANCE, detail))
        return checks

    def tiny(self, run: Trial) -> tuple[Trial, Dataset[Batch]]:
        """Two small blocks, a low rank, and a training so short that all unfreezes in it."""
        config = run.experiment
        model = TransformerModelConfig(
            width=16, layers=2, heads=4, kv_heads=4, hidden=24, dropout=config.model.dropout, context=16
        )
        training = replace(config.training, steps=FINGERPRINT_STEPS, learning_rate=1e-3)
        small = replace(config, model=model, training=training, window=16, vocabulary=50, rank=min(config.rank, 2))
        tokens = np.random.RandomState(0).randint(2, 50, 400).astype(np.uint16)
        return replace(run, experiment=small), NgramDataset(tokens, np.array([0, 150, 400]), 16)


def with_plan(run: Trial, **changes: Any) -> Trial:
    """The arm with another rate or seed."""
    config = run.experiment
    return replace(run, experiment=replace(config, training=replace(config.training, **changes)))


def with_source(run: Trial, source: str) -> Trial:
    """The arm carried over from another result."""
    return replace(run, experiment=replace(run.experiment, source=source))


def counts_name(config: TransferConfig) -> str:
    """The name, in the slice, of the token counts of an arm's training text."""
    return f"counts_{config.target}_{config.kilobytes}_{config.vocabulary}"
