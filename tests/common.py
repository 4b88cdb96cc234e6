"""What several test files need: a forger's tools, and the check that dropout follows the seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from genmodels.language.base import LanguageModel
from genmodels.language.comparison import through_embedding
from genmodels.stages.base import Stage
from genmodels.system import files

PATIENCE = 1200  # seconds after which a child process is taken to hang: however busy the machine, no clock decides


def outcome(stage: Stage, profile: str = "full") -> dict[str, bool]:
    """Name of each check of ``verify`` -> whether it passed."""
    return {check.name: check.passed for check in stage.verify(profile)}


def reseal(folder: Path) -> None:
    """What a forger would do: make the manifest's digests fit the altered payload."""
    manifest = files.read_json(folder / "manifest.json")
    manifest["payload"] = {name: files.file_digest(folder / name) for name in manifest["payload"]}
    files.write_json(folder / "manifest.json", manifest)


def future_gradient(model: LanguageModel, tokens: torch.Tensor, position: int) -> tuple[float, float]:
    """(largest |d features at ``position`` / d embedding| over positions up to it, the same over later positions)."""
    features, embedded = through_embedding(model, tokens[:1])
    direction = torch.arange(1.0, features.shape[-1] + 1).cos()  # the plain sum of normalised features is a constant
    (gradient,) = torch.autograd.grad(features[0, position] @ direction, embedded)
    reach = gradient.abs().amax(-1).flatten()  # one row, so that time first or batch first flattens alike
    return float(reach[: position + 1].max()), float(reach[position + 1 :].max())


FRONT = """---
title: "سند"
lang: fa
dir: rtl
number-sections: true
---
"""


def check_dropout_follows_the_seed(model: nn.Module, tokens: torch.Tensor) -> None:
    """In training the global seed alone decides the masks; in evaluation there are none."""

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return model(tokens)[0]

    model.train()
    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    model.eval()
    assert torch.equal(run(3), run(4))
