"""Stages ``speed-…`` (measured ratios of speed) and ``vocabularies``: measurements shipped with their manifest.

A module gives ``SETTINGS`` (profile -> plain settings), ``measure(settings, folder)`` and ``agree()``. Times belong to the
machine in the manifest and cannot be made again elsewhere; what ``verify`` contradicts is what makes a ratio meaningful:
that the fast way and the slow way give the same thing.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

from genmodels import store
from genmodels.files import data_digest
from genmodels.stages.base import Check, Opened, Stage


class SpeedStage(Stage):
    """One benchmark as a result; ``module`` measures."""

    module: str

    def _measured(self) -> Any:
        return import_module(self.module)

    def config(self, profile: str) -> dict[str, Any]:
        return self._measured().SETTINGS[profile]

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Measure and publish; minutes at most, so there is no checkpoint (``restart`` changes nothing)."""
        settings = self.config(profile)
        started, cpu = time.monotonic(), time.process_time()
        metrics = self._measured().measure(settings, folder)
        manifest = {
            "config": settings,
            "data": {"name": metrics.pop("data", "none"), "digest": data_digest(self.name, repr(sorted(settings.items())))},
            "seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        return store.publish(self.name, profile, manifest=manifest | store.provenance(), metrics=metrics)

    def load(self, profile: str) -> Opened:
        config = self.config(profile)
        return Opened(store.load(self.name, profile, config), config)

    def contradict(self, result: Opened) -> list[Check]:
        return self._measured().agree()


class DecodingSpeed(SpeedStage):
    name, module = "speed-decoding", "genmodels.lm.decoding_speed"


class PeerSpeed(SpeedStage):
    name, module = "speed-peers", "genmodels.lm.peers"


class SamplingSpeed(SpeedStage):
    name, module = "speed-sampling", "genmodels.pixelcnn.sampling_speed"


class TextSpeed(SpeedStage):
    name, module = "speed-text", "genmodels.text.speed"


class BPESpeed(SpeedStage):
    name, module = "speed-bpe", "genmodels.text.bpe_speed"


class TrainingSpeed(SpeedStage):
    name, module = "speed-training", "genmodels.pixelcnn.training_speed"


class Vocabularies(SpeedStage):
    """Not a speed, but a measurement of the same kind: minutes, no weights."""

    name, module = "vocabularies", "genmodels.lm.vocabularies"

    def contradict(self, result: Opened) -> list[Check]:
        from genmodels import stages

        ngram = stages.load("ngram").metrics
        whole = not result.config["train_documents"]
        reference = (ngram["vocabulary"], ngram["test_perplexity"]) if whole else None
        return self._measured().consistent(result.metrics["rows"], reference)
