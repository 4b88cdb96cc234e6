"""Fingerprints: the same on every machine, and moved by every small change of what a training does."""

from __future__ import annotations

import inspect
import textwrap
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from genmodels import stages
from genmodels.language import attention, transformer
from genmodels.language import base as lm_base
from genmodels.pixelcnn import masked_conv
from genmodels.stages import images
from genmodels.stages.trained import FINGERPRINT_TOLERANCE, largest_difference
from genmodels.system import precision
from genmodels.training import batches, loop, optimizers


def make(name: str) -> list[float]:
    stage = stages.get(name)
    return stage.fingerprint(stage.config("full"))


honest = cache(make)


MUTATIONS: dict[str, tuple[str, Any, str, str, str]] = {  # stage, owner, function, text, what stands there instead
    "learning rate 0.1% off": ("pixelcnn", optimizers, "learning_rate_at", "swing = ", "swing = 1.001 * "),
    "warm-up from zero": ("pixelcnn", optimizers, "learning_rate_at", "(step + 1)", "step"),
    "linear cooldown": ("pixelcnn", optimizers, "learning_rate_at", "math.sqrt(progress)", "progress"),
    "decay from the start": ("pixelcnn", optimizers, "weight_decays_at", "step >= config.weight_decay_from", "True"),
    "decay 1% off": ("pixelcnn", optimizers.Muon, "step", '* group["weight_decay"]', '* 1.01 * group["weight_decay"]'),
    "momentum 0.1% off": ("pixelcnn", optimizers.Muon, "step", '"momentum"]\n', '"momentum"] * 0.999\n'),
    "no Nesterov": ("pixelcnn", optimizers.Muon, "step", "keep))", "1))"),
    "Newton-Schulz coefficient": ("pixelcnn", optimizers, "half_orthogonal", "3.4445", "3.4446"),
    "size of updates": ("pixelcnn", optimizers.Muon, "step", "max(update.shape)", "min(update.shape)"),
    "beta2": ("pixelcnn", optimizers, "adamw", "config.beta2", "0.991"),
    "biases decay": ("rnn", optimizers, "adamw", "else 0.0", "else config.weight_decay"),
    "gradients not clipped": ("pixelcnn", loop._Run, "step", "config.gradient_clip)", "math.inf)"),
    "memory of the average": ("pixelcnn", optimizers.WeightAverage, "update", "10 + step", "11 + step"),
    "other order": ("pixelcnn", batches.BatchOrder, "__iter__", '"order", epoch', '"order", epoch + 1'),
    "other draws": ("pixelcnn", loop, "draw", '"draws", step', '"draws", step + 1'),
    "other masks of dropout": ("rnn", loop, "draw", '"dropout", step', '"dropout", step + 1'),
    "dropout 0.11 instead of 0.1": ("rnn", lm_base, "dropout", "    if not", "    rate *= 1.1\n    if not"),
    "mean instead of sum": ("pixelcnn", images, "cross_entropy_nats", ".sum(1)", ".mean(1)"),
    "drawn targets": ("pixelcnn", images, "image_objective", "mnist.lit(batch[0]) if expected else bits", "bits"),
    "mask A sees its pixel": ("pixelcnn", masked_conv, "causal_mask", '1 if mask_type == "B" else 0', "1"),
    "initialisation 0.1% off": ("pixelcnn", masked_conv._Masked, "reset_parameters", "sqrt(2.0", "sqrt(2.004"),
    "attention to the future": ("transformer", attention, "attention_fast", "is_causal=True", "is_causal=False"),
    "epsilon of the norm": ("transformer", transformer.RMSNorm, "forward", "self.eps", "2 * self.eps"),
}


@pytest.mark.parametrize("change", MUTATIONS)
def test_a_small_change_of_a_training_is_noticed(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    name, owner, function, text, instead = MUTATIONS[change]
    wanted, real = honest(name), getattr(owner, function)
    source = textwrap.dedent(inspect.getsource(real))
    assert source.count(text) == 1
    found: dict[str, Any] = {}
    exec(compile(source.replace(text, instead), change, "exec"), inspect.unwrap(real).__globals__, found)
    monkeypatch.setattr(owner, function, found[function])
    worst = largest_difference(make(name), wanted)
    print(f"{change}: {worst:.1e}")
    assert worst > 10 * FINGERPRINT_TOLERANCE


@pytest.mark.parametrize("name", ["pixelcnn-gated", "mnist-classifier", "rnn", "transformer"])
def test_nothing_of_the_machine_is_in_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No bf16, no GPU, no fp32, no dropout mask of a library; and fp32 is what trainings go on in afterwards."""
    wanted = honest(name)
    monkeypatch.setattr(precision, "bf16_is_native", lambda kind: True)
    monkeypatch.setattr(optimizers, "bf16_is_native", lambda kind: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(F, "dropout", None)
    seen, backward = [], torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: (seen.append(loss.dtype), backward(loss))[1])
    assert make(name) == wanted and set(seen) == {torch.float64}
    assert any(loss != torch.tensor(loss).item() for loss in wanted)  # not even the record is rounded to fp32
    assert torch.get_default_dtype() == torch.float32 and batches.Ranks(alone=True).device.type == "cuda"


def test_dropout_drawn_alike_everywhere_keeps_the_mean() -> None:
    with precision.exact():
        torch.manual_seed(1)
        kept = lm_base.dropout(torch.ones(100_000), 0.1, True)
        assert lm_base.dropout(kept, 0.1, False) is kept
    assert set(kept.tolist()) == {0.0, 1 / 0.9} and kept.mean().item() == pytest.approx(1, abs=0.01)
