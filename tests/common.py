"""What several test files need: a forger's tools, and the check that dropout follows the seed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

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
