"""What stage ``transfer`` measures: of an arm's final networks, and of the pre-trained one as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genmodels.config import TransferConfig
from genmodels.data.hafez import TARGETS
from genmodels.language import adaptation, verse
from genmodels.language.generation import generate
from genmodels.language.perplexity import evaluate
from genmodels.language.transformer import TransformerLM
from genmodels.stages import payload
from genmodels.stages.base import METRIC_TOLERANCE
from genmodels.stages.transfer_texts import TransferTexts
from genmodels.stages.trials import Trial
from genmodels.text.tokenizer import Tokenizer
from genmodels.training import loop
from genmodels.training.batches import generator_for

TEMPERATURE = 0.8  # of the poems whose form is measured; the first is shown


@dataclass
class Trained:
    """One training of an arm, at its best moment on validation text."""

    run: Trial
    network: TransformerLM
    validation: float  # nats a token
    step: int
    record: loop.Record


def measured(tried: list[Trained], finals: list[Trained], material: TransferTexts) -> dict[str, Any]:
    """An arm: ``tried`` with each rate, ``finals`` of the best rate with each seed."""
    config, network = finals[0].run.experiment, finals[0].network
    text = material.training_text(config)
    validation, test = (material.documents(config, split) for split in ("validation", "test"))
    to_bits = (len(validation[0]) - len(validation[2])) / validation[2].sum() / math.log(2)
    judged = [evaluate(each.network, *test) for each in finals]
    found = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "train_documents": len(text),
        "train_characters": sum(map(len, text)),
        "train_windows": len(material.dataset(replace(config, replay=0.0))),
        "rate": finals[0].run.training.learning_rate,
        "rates": {f"{each.run.training.learning_rate:g}": each.validation * to_bits for each in tried},
        "stopped": [each.step for each in finals],
        "validation_bits_per_character": [each.validation * to_bits for each in finals],
        "test_bits_per_character": [each.bits_per_character for each in judged],
        "test_document_nll_nats": [each.document_nll_nats.round(3).tolist() for each in judged],
        "train_loss_nats": finals[0].record.history[-1]["train_loss"],
        "opening": tried[0].record.losses[:1],
    }
    if config.start == "pretrained":
        there = material.remembered
        found["wikipedia_bits_per_character"] = [evaluate(e.network, *there).bits_per_character for e in finals]
        found["averages"] = _averages(config, finals[0], material)
    if config.target == "verse":
        found |= _poems(config, network, material.tokenizer_of(config))
    return found


def _averages(config: TransferConfig, final: Trained, material: TransferTexts) -> dict[str, dict[str, float]]:
    """Networks between the pre-trained one and the trained one, by the trained one's share."""
    found = {}
    old, new = material.result.stored.weights(), final.network.state_dict()
    for share in config.averages:
        between = TransformerLM(config.model, config.vocabulary)
        between.load_state_dict(adaptation.averaged(old, new, share))
        between.eval()
        read = {split: material.documents(config, split) for split in ("validation", "test")}
        read["wikipedia"] = material.remembered
        found[f"{share:g}"] = {
            f"{name}_bits_per_character": evaluate(between, *documents).bits_per_character
            for name, documents in read.items()
        }
    return found


def _poems(config: TransferConfig, network: TransformerLM, tokenizer: Tokenizer) -> dict[str, Any]:
    """The form of poems drawn from the beginning, and the first of them."""
    draws = generator_for(config.training.seed, "transfer poems")
    prompts = [[tokenizer.bos]] * config.poems
    rows = generate(network, prompts, config.poem_tokens, draws, temperature=TEMPERATURE, stop=tokenizer.eos)
    poems = [tokenizer.decode(row) for row in rows]
    # A poem that was cut short ends within a line, which is none then.
    whole = [p if len(row) < config.poem_tokens else p.rpartition("\n")[0] or p for p, row in zip(poems, rows)]
    return {"form": verse.form(whole), "sample": poems[0]}


def before(material: TransferTexts) -> dict[str, Any]:
    """The pre-trained model as it is, and the form of what people wrote."""
    network = material.result.model()
    found: dict[str, Any] = {"before": {}, "form": {}}
    for target in TARGETS:
        judged = evaluate(network, *material.test_documents(target))
        nats = judged.document_nll_nats.round(3).tolist()
        found["before"][target] = {"bits_per_character": judged.bits_per_character, "document_nll_nats": nats}
    there = evaluate(network, *material.remembered)
    found["before"]["wikipedia"] = {
        "bits_per_character": there.bits_per_character,
        "characters": int(there.document_characters.sum()),
    }
    poems = list(material.texts["verse"]["test"])
    found["form"] = {"people": verse.form(poems), "shuffled": verse.form(verse.shuffled(poems, seed=1))}
    return found


def measures_belong(config: TransferConfig, measures: dict[str, Any], characters: np.ndarray) -> None:
    """See that what ``measured`` found is an arm's own, and in agreement with itself; ``StaleResult`` if not.

    ``characters`` (D,) of the test documents.
    """
    each = [float] * config.seeds
    wanted: dict[str, Any] = {
        "rates": {f"{rate:g}": float for rate in config.rates},
        "validation_bits_per_character": each,
        "test_document_nll_nats": [[float] * len(characters)] * config.seeds,
        "stopped": [int] * config.seeds,
        "train_documents": int,
        "train_windows": int,
        "train_characters": int,
        "trained_parameters": int,
    }
    payload.like(measures, wanted, "metrics.json")
    rates, validation = measures["rates"], measures["validation_bits_per_character"]
    best = min(rates, key=lambda rate: rates[rate])
    nats = [math.fsum(row) / math.log(2) / int(characters.sum()) for row in measures["test_document_nll_nats"]]
    wanted = {
        "rate": payload.About(float(best)),
        "rates": {best: payload.About(validation[0])},
        "test_bits_per_character": [payload.About(bits, METRIC_TOLERANCE) for bits in nats],
    }
    if config.start == "pretrained":
        wanted["wikipedia_bits_per_character"] = each
        wanted["averages"] = {f"{share:g}": payload.Each(float) for share in config.averages}
    if config.target == "verse":
        wanted |= {"form": payload.Each(float), "sample": str}
    payload.like(measures, wanted, "metrics.json")


def before_belongs(metrics: dict[str, Any]) -> None:
    """See that the metrics hold what ``before`` finds."""
    rows = dict.fromkeys(TARGETS, {"bits_per_character": float, "document_nll_nats": payload.Each(float)})
    rows["wikipedia"] = {"bits_per_character": float, "characters": int}
    forms = dict.fromkeys(("people", "shuffled"), payload.Each(float))
    payload.like(metrics, {"before": rows, "form": forms}, "metrics.json")
