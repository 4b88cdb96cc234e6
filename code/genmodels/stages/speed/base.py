"""Stages ``speed-…`` (measured ratios of speed) and ``vocabularies``: measurements shipped with their manifest.

A module gives ``SETTINGS`` (profile -> plain settings), ``measure(settings, folder)`` and ``agree()``, or
``agree(texts)`` where held-out texts are what is agreed on. Times belong to the
machine in the manifest and cannot be made again elsewhere; what ``verify`` contradicts is what makes a ratio meaningful:
that the fast way and the slow way give the same thing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from genmodels.config import chosen_profile
from genmodels.errors import UserError
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage
from genmodels.store import result_folder
from genmodels.system.files import data_digest
from genmodels.system.meters import Clock


class SpeedStage(Stage):
    """One benchmark as a result; ``module`` measures."""

    module: str

    def _measured(self) -> Any:
        return import_module(self.module)

    def config(self, profile: str) -> dict[str, Any]:
        settings = self._measured().SETTINGS
        return settings.get(profile, settings["full"])

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Measure and publish; minutes at most, so there is no checkpoint (``restart`` changes nothing)."""
        settings = self.config(profile)
        clock = Clock()
        metrics = self._measured().measure(settings, folder)
        data = {"name": "none"} | metrics.pop("data", {})
        data["digest"] = data_digest(self.name, repr(sorted(settings.items())))
        return self.publish(profile, settings, data, clock.spent(), metrics=metrics)

    def measured(self, profile: str, device: str = "cpu") -> Iterator[str]:
        """What this machine gives, as lines of Markdown; nothing is published. ``UserError`` for a GPU that is not to be had."""
        module = self._measured()
        if device != "cuda":
            return _told(module.measure(self.config(profile)))
        if not hasattr(module, "on_card"):
            raise UserError(f"{self.name} is measured on the processor alone; leave --device out")
        return _told(module.on_card())

    @abstractmethod
    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What ``measure`` gives for these settings, as ``payload.like`` reads it."""

    def belongs(self, result: ShippedResult) -> None:
        """The measures of these settings; named and numbered as they ask."""
        payload.files(result.manifest, "metrics.json")
        digest = data_digest(self.name, repr(sorted(result.config.items())))
        payload.like(result.manifest, {"data": {"digest": digest, "name": str}}, "manifest.json")
        payload.like(result.metrics, self.shape(result.config), "metrics.json")

    def contradict(self, result: ShippedResult) -> list[Check]:
        return self._measured().agree()


def _told(found: dict[str, Any]) -> Iterator[str]:
    """A table for each list of rows, and for each table of rows by name; a line for anything else."""
    for key, value in found.items():
        rows = (
            [{key: name, **row} for name, row in value.items() if isinstance(row, dict)]
            if isinstance(value, dict)
            else value
        )
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            columns = list(dict.fromkeys(column for row in rows for column in row))
            yield f"\n| {' | '.join(columns)} |\n|{'--:|' * len(columns)}"
            yield from (f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |" for row in rows)
        else:
            yield f"\n{key}: {value}"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _numbers(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, float)


class DecodingSpeed(SpeedStage):
    name, module = "speed-decoding", "genmodels.stages.speed.decoding"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        numbers = _numbers("cache_seconds", "plain_seconds", "ratio", "cache_bytes", "positions_ratio")
        speeds = _numbers(*map(str, settings["batches"]))
        rows = [{"kv_heads": heads, "tokens": n} for heads in settings["kv_heads"] for n in settings["lengths"]]
        networks = {"rnn": speeds, "transformer": speeds}
        return {"rows": [row | numbers for row in rows], "networks": networks, "generated": int}


class PeerSpeed(SpeedStage):
    name, module = "speed-peers", "genmodels.stages.speed.peers"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        ours = {"parameters": int, "tokens_per_second": float}
        kinds = {"": ours, "_peer": ours | {"ratio": float}, "_peer_own_loss": ours | {"ratio": float}}
        rows = {f"{name}{peer}": kind for name in ("rnn", "transformer") for peer, kind in kinds.items()}
        seconds = _numbers("ours_seconds", "peer_seconds", "ratio")
        return {"training": rows, "generation": {"tokens": settings["tokens"]} | seconds}


class SamplingSpeed(SpeedStage):
    name, module = "speed-sampling", "genmodels.stages.speed.sampling"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        ways = ("naive", "naive-half", "cropped", "incremental", "floor")
        rows = [{"way": way} | _numbers("cpu_seconds", "ratio") for way in ways]
        return {"rows": rows, "flops": _numbers("floor", "forward", "incremental")}


class _HeldOutSpeed(SpeedStage):
    """One whose ways are compared on the held-out texts that stage ``text`` ships."""

    def contradict(self, result: ShippedResult) -> list[Check]:
        """On any held-out texts: those of the same profile, or of the document that shows a shipped speed beside its own text."""
        from genmodels import stages

        profiles = (result.manifest["profile"], chosen_profile())
        there = [profile for profile in profiles if (result_folder("text", profile) / "manifest.json").is_file()]
        return self._measured().agree(stages.load("text", (there or profiles)[0]).held_out)


class TextSpeed(_HeldOutSpeed):
    name, module = "speed-text", "genmodels.stages.speed.preparation"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        step = _numbers("megabytes", "plain_mb_per_second", "mb_per_second", "ratio")
        whole = _numbers("megabytes", "cpu_seconds", "seconds", "peak_megabytes")
        runs = [{"factor": n, "workers": workers} | whole for n in (1, settings["times"]) for workers in (1, 2)]
        return {"steps": [{"step": name} | step for name in ("normalize", "classic")], "whole": runs}


class BPESpeed(_HeldOutSpeed):
    name, module = "speed-bpe", "genmodels.stages.speed.bpe"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        row = dict.fromkeys(("pieces", "readings", "recount_readings"), int)
        row |= _numbers("seconds", "tokenizers_seconds", "ratio")
        return {"characters": int, "rows": [{"vocabulary": size} | row for size in settings["vocabularies"]]}


class TrainingSpeed(SpeedStage):
    name, module = "speed-training", "genmodels.stages.speed.training"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        form = _numbers("seconds", "images_per_second", "ratio", "flops", "gflops_per_second", "of_product")
        point = dict.fromkeys(("channels", "layers", "side"), int) | _numbers("flops", "seconds")
        fitted = {name: _numbers("seconds", "flops") for name in settings["law"]}
        return {
            "forms": payload.Each({"form": str} | form),
            "left_out": dict,
            "product": payload.Each(float),
            "differences": payload.Each(float),
            "law": [
                {"varied": name, name: value} | {k: v for k, v in point.items() if k != name}
                for name, values in settings["law"].items()
                for value in values
            ],
            "exponents": {"flops": float} | fitted,
        }


class Vocabularies(SpeedStage):
    """Not a speed, but a measurement of the same kind: minutes, no weights."""

    name, module = "vocabularies", "genmodels.stages.speed.vocabularies"
    reads = "text"

    def shape(self, settings: dict[str, Any]) -> dict[str, Any]:
        row = dict.fromkeys(("vocabulary", "tokens", "characters", "words"), int)
        row |= _numbers("perplexity", "bits_per_character", "word_perplexity")
        return {"rows": [row] * len(settings["vocabularies"])}

    def contradict(self, result: ShippedResult) -> list[Check]:
        from genmodels import stages

        reference = None
        if not result.config["train_documents"]:  # all of the text, as stage ngram counts it
            ngram = stages.load("ngram", result.manifest["profile"]).metrics
            reference = ngram["vocabulary"], ngram["test_perplexity"]
        return self._measured().consistent(result.metrics["rows"], reference)
