"""Verifying a language model: a part of its test documents, each against its stored loss, tells what is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genmodels.language.perplexity import evaluate
from genmodels.stages.language import ASKED, RecurrentStage, TransformerStage
from genmodels.stages.trained import Result, round_to_half


def shipped(stage: Any) -> Result:
    """A tiny network and its losses on ten documents, as they would be read from disk."""
    config, _ = stage.tiny(stage.config("smoke"))
    model, lengths = stage.seeded_model(config), np.arange(2, 42, 2)
    for parameter in model.parameters():
        parameter.data += torch.linspace(-1, 1, parameter.numel()).view_as(
            parameter
        )  # untrained, all tokens are as likely
    ids = np.random.RandomState(1).randint(2, 50, lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    arrays = {"test_ids": ids, "test_offsets": offsets, "test_characters": 3 * lengths}
    losses = evaluate(model, ids, offsets, 3 * lengths, config.window).document_nll_nats.tolist()
    stored = SimpleNamespace(
        manifest={"fingerprint": stage.fingerprint(config), "stage": stage.name, "profile": "smoke"},
        metrics={"test_document_nll_nats": losses},
        slice=arrays,
        kept=dict(model.state_dict()),
    )
    stored.weights = lambda: stored.kept
    return Result(stored, config, stage.build)  # type: ignore[arg-type]


def failed(stage: Any, result: Result) -> list[str]:
    return [check.name for check in stage.contradict(result) if not check.passed]


@pytest.mark.parametrize("stage", [RecurrentStage(), TransformerStage()], ids=lambda stage: stage.name)
def test_some_documents_tell_another_network_and_another_loss(stage: Any) -> None:
    result, both = shipped(stage), ["test_perplexity", "test_bits_per_character"]
    assert not failed(stage, result)
    losses = result.metrics["test_document_nll_nats"]
    losses[ASKED] *= 1.01
    assert failed(stage, result) == both
    losses[ASKED] /= 1.01
    result.stored.kept = {name: value * 1.1 for name, value in result.stored.kept.items()}  # type: ignore[attr-defined]
    assert failed(stage, result) == both
    result = shipped(stage)
    result.slice["test_ids"][:] = torch.from_numpy(result.slice["test_ids"]).flip(0).numpy()
    assert failed(stage, result) == both


def test_weights_are_rounded_to_half_unless_a_loss_feels_it() -> None:
    network = torch.nn.Linear(3, 3)
    exact = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    round_to_half(network, lambda: {"loss": float(network.weight.detach().abs().double().mean()) + 10})
    rounded = network.state_dict()
    assert all(torch.equal(rounded[name], tensor.half().float()) for name, tensor in exact.items())
    network.load_state_dict(exact)
    for far in (lambda: float((network.weight - exact["weight"]).abs().sum()) + 1e-9, lambda: float("nan")):
        round_to_half(network, lambda: {"loss": far()})
        assert all(torch.equal(tensor, exact[name]) for name, tensor in network.state_dict().items())
