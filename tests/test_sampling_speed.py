"""The samplers' benchmark: it times what it says, and its result verifies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.stages.speed import sampling
from genmodels.stages.speed.base import SamplingSpeed


def test_a_run_is_published_and_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    stage = SamplingSpeed()
    stage.run("smoke")
    found = stage.load("smoke").metrics
    rows = {row["way"]: row for row in found["rows"]}
    assert rows["naive"]["ratio"] == 1
    for row in rows.values():
        assert row["ratio"] == pytest.approx(rows["naive"]["cpu_seconds"] / row["cpu_seconds"])
    assert found["flops"]["floor"] <= found["flops"]["forward"]
    assert 0.8 < found["flops"]["incremental"] / found["flops"]["floor"] < 1.2  # rows above the first cost it nothing
    assert all(check.passed for check in stage.verify("smoke"))


def test_a_sampler_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sampling.sample

    def forgetful(model: object, count: int, *arguments: object, method: str, **options: object) -> torch.Tensor:
        images = real(model, count, *arguments, method=method, **options)
        return images.roll(1, -1) if method == "incremental" else images

    monkeypatch.setattr(sampling, "sample", forgetful)
    assert not any(check.passed for check in sampling.agree())


def test_a_sampler_that_forgets_the_biases_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        MaskedConv2d, "biases", lambda conv, height, width: conv.bias.new_zeros(conv.out_channels, height, width)
    )
    assert not any(check.passed for check in sampling.agree())
