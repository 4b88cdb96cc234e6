"""Shipped manifests get fingerprints of today's format, where the old check still holds: ``python -m genmodels.stages.reseal``.

Old is: the losses of eight steps in fp32. On a processor like that of the results (AVX2 without bf16, one thread) they are
made again to the last bits of fp32, so that 1e-6 is asked for, not the 1e-3 of old. A result whose old fingerprint is not
made again is left alone, and named. The manifest says by which commit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

from torch import nn
from torch.utils.data import Dataset

from genmodels import stages, store
from genmodels.training import loop
from genmodels.config import TrainingConfig
from genmodels.errors import UserError
from genmodels.system.files import read_json, write_json
from genmodels.stages import base, trials
from genmodels.training.loop import Objective

OLD_TOLERANCE = 1e-6


def as_before(start: Callable[[], nn.Module], dataset: Dataset[Any], objective: Objective, config: TrainingConfig) -> list[float]:
    """The fingerprint of format 1 until now."""
    brief = replace(config, steps=8, warmup_steps=1, batch_size=4, bf16=False, evaluations=0)
    return loop.train(start(), dataset, objective, brief, alone=True).losses


def fingerprints(stage: base.ModelStage | trials.TrialsStage, config: Any) -> dict[str, list[float]]:
    """By run; a stage of one training has one, called ""."""
    runs = {"": config} if isinstance(stage, base.ModelStage) else config
    return {key: stage.fingerprint(run) for key, run in runs.items()}


def reseal(name: str) -> bool:
    """Whether the manifest of stage ``name`` got a new fingerprint (or needs none)."""
    stage = stages.get(name)
    if not isinstance(stage, base.ModelStage | trials.TrialsStage):
        return True
    path, result = store.result_folder(name, "full") / "manifest.json", stage.load("full")
    manifest = read_json(path)
    single = isinstance(manifest["fingerprint"], list)
    kept = {"": manifest["fingerprint"]} if single else manifest["fingerprint"]
    with mock.patch.object(base, "behaviour", as_before), mock.patch.object(trials, "behaviour", as_before):
        old = fingerprints(stage, result.config)
    worst = max(base.largest_difference(old.get(key, []), losses) for key, losses in kept.items())
    fresh, holds = fingerprints(stage, result.config), worst <= OLD_TOLERANCE and old.keys() == kept.keys()
    print(f"{'ok  ' if holds else 'FAIL'} {name}: the old fingerprint differs by {worst:.1e}", flush=True)
    if holds:
        write_json(path, manifest | {"fingerprint": fresh[""] if single else fresh, "fingerprint_commit": store.commit()})
    return holds


def main() -> int:
    if "+" in store.commit() or store.commit() == "unknown":
        raise UserError("the code differs from its commit; commit it first, so that the manifests can name it")
    return int(not all([reseal(name) for name in stages.STAGES]))


if __name__ == "__main__":
    sys.exit(main())
