"""What studies share: several short trainings side by side, one choice apart, judged on validation data alone.

A run that is finished is kept beside the checkpoints until all are, so that a stop loses nothing. Weights are not shipped.
What ``verify`` contradicts: the behaviour of each run at a tiny size, its number of parameters, and its *opening*: the
loss of its first step at full size, made again in fp32 from the seeded weights and the shipped first batch. Before
anything is learned a loss is the same on every machine: to the rounding of fp32, or of the bf16 in which the stored one
was made, and to what other dropout masks change.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from genmodels import store
from genmodels.config import TrainingConfig, to_plain
from genmodels.errors import UserError
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage
from genmodels.stages.profiles import Less, at
from genmodels.stages.trained import FINGERPRINT_TOLERANCE, Trainable, first_loss, largest_difference
from genmodels.system import processes
from genmodels.system.files import read_json, write_json
from genmodels.training import batches, loop

OPENING_TOLERANCE = 1e-4  # relative; emulated processors differ by 1.4e-6 in fp32, another batch by 1e-2
NOISY_OPENING_TOLERANCE = 3e-3  # where the stored loss is of bf16 products (1.5e-4) or of other dropout masks (1.3e-3)
RECENT = 60  # steps that the reported training loss is the mean of


@dataclass(frozen=True)
class Trial:
    """One training of a study: an experiment, as a stage of one model has it; a subclass adds what of it is unusual."""

    experiment: Any

    @property
    def training(self) -> TrainingConfig:
        return self.experiment.training


class TrialsResult(ShippedResult):
    """``runs``: one row a run, by its key."""

    @property
    def runs(self) -> pd.DataFrame:
        rows = {
            key: {name: value for name, value in self.metrics["runs"][key].items() if np.isscalar(value)}
            for key in self.config
        }
        return pd.DataFrame.from_dict(rows, orient="index")


def _finished_part(path: Path, identity: str) -> dict[str, Any] | None:
    """What an earlier call kept of the finished run ``identity``, if it did; ``UserError`` where that is damaged."""
    part = read_json(path) if path.exists() else {}
    mine = isinstance(part, dict) and part.get("identity") == identity
    if not isinstance(part, dict) or mine and not {"measures", "history", "seconds"} <= part.keys():
        raise UserError(f"{path} is no finished run; delete it, or start over with --restart")
    return part if mine else None


class TrialsStage(Trainable, Stage):
    """A dictionary of runs, each a ``Trial``; a subclass gives the rest.

    ``material`` below is whatever ``gather`` read for all runs.
    """

    result: type[TrialsResult] = TrialsResult
    files: tuple[str, ...] = ("history.csv", "metrics.json", "slice.npz")
    less: Less  # what of each run's experiment is smaller in the other profiles

    @abstractmethod
    def runs(self) -> dict[str, Any]:
        """The runs of the ``full`` profile, in order."""

    @abstractmethod
    def gather(self, runs: dict[str, Any], folder: Path | None) -> Any:
        """The data of all runs; ``UserError`` where they are not judged on the same."""

    @abstractmethod
    def data(self, material: Any) -> dict[str, Any]:
        """Name, digest, … for the manifest."""

    @abstractmethod
    def dataset(self, run: Any, material: Any) -> Dataset[Any]:
        """What a run trains on."""

    @abstractmethod
    def curve(self, run: Any, material: Any) -> Callable[[nn.Module], dict[str, float]]:
        """What is measured in the course of a training."""

    @abstractmethod
    def measures(self, run: Any, material: Any, model: nn.Module) -> dict[str, Any]:
        """What is measured after it, on validation data."""

    @abstractmethod
    def parts_of_batch(self) -> tuple[tuple[str, type], ...]:
        """The name of each tensor of a batch, and the type it has in a training."""

    def initialize(self, model: nn.Module, arrays: dict[str, np.ndarray]) -> None:
        """Data-dependent initialisation from ``common_arrays``, if a study has one."""

    @abstractmethod
    def run_belongs(self, run: Any, measures: dict[str, Any], result: TrialsResult) -> dict[str, payload.Array]:
        """See that the measures of a run are its own (``StaleResult`` if not). Returns what the parts of a batch are."""

    def common_arrays(self, material: Any) -> dict[str, np.ndarray]:
        """What the slice holds beside the first batches."""
        return {}

    def common_metrics(self, runs: dict[str, Any], material: Any) -> dict[str, Any]:
        """What the metrics hold beside the runs'."""
        return {}

    def plan(self, run: Any, measures: dict[str, Any]) -> TrainingConfig:
        """The training whose history is kept: the run's, unless a study chose of it."""
        return run.training

    def extra(self, profile: str) -> dict[str, Any]:
        """What else ``store.publish`` is to write, of a study that ships more than ``files``."""
        return {}

    def config(self, profile: str) -> dict[str, Any]:
        return {
            key: replace(run, experiment=at(profile, run.experiment, self.less)) for key, run in self.runs().items()
        }

    def start(self, run: Any, arrays: dict[str, np.ndarray]) -> nn.Module:
        """The seeded model, initialised."""
        model = self.seeded_model(run)
        self.initialize(model, arrays)
        return model

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Train every run that is not finished yet, then publish all. Returns the result's folder."""
        runs = self.config(profile)
        material = self.gather(runs, folder)
        with store.only_run(self.name, profile):
            if restart:  # all of them now: a stop on the way must leave none for the next call to take for its own
                for kept in (self._finished(key, profile) for key in runs):
                    kept.unlink(missing_ok=True)
                    kept.with_suffix(".pt").unlink(missing_ok=True)
            return self._run(profile, runs, material)

    def _run(self, profile: str, runs: dict[str, Any], material: Any) -> Path:
        parts = {key: self._one(key, run, profile, material) for key, run in runs.items()}
        arrays = self.common_arrays(material)
        for key, run in runs.items():
            arrays |= {f"{key}_{name}": found for name, found in self._first_batches(run, material).items()}
        spent = {
            "seconds": sum(part["seconds"] for part in parts.values()),
            "cpu_seconds": sum(part["measures"]["cpu_seconds"] for part in parts.values()),
        }
        manifest = {
            "fingerprint": {key: self.fingerprint(run) for key, run in runs.items()},
            "commits": sorted({commit for part in parts.values() for commit in part.get("commits", ["unknown"])}),
        }
        path = self.publish(
            profile,
            runs,
            self.data(material),
            {name: round(value, 1) for name, value in spent.items()},
            manifest=manifest,
            arrays=arrays,
            metrics={"runs": {key: part["measures"] for key, part in parts.items()}}
            | self.common_metrics(runs, material),
            history=pd.concat([pd.DataFrame(part["history"]).assign(run=key) for key, part in parts.items()]),
            **self.extra(profile),
        )
        for key in runs:
            self._finished(key, profile).unlink(missing_ok=True)
            self._finished(key, profile).with_suffix(".pt").unlink(missing_ok=True)
        return path

    def _finished(self, key: str, profile: str) -> Path:
        return store.checkpoint_path(f"{self.name}-{key}", profile).with_suffix(".json")

    def _one(self, key: str, run: Any, profile: str, material: Any) -> dict[str, Any]:
        """One training and its measures, or what an earlier call kept of them."""
        kept = self._finished(key, profile)
        checkpoint = kept.with_suffix(".pt")
        identity = store.run_identity(to_plain(run), {"digest": self.data(material)["digest"]})
        if (part := _finished_part(kept, identity)) is not None:
            return part
        model = self.start(run, self.common_arrays(material))
        record = loop.train(
            model,
            self.dataset(run, material),
            self.objective(run),
            run.training,
            evaluate=self.curve(run, material),
            checkpoint=checkpoint,
            identity=identity,
            label=f"{self.name} {key}",
            commit=store.commit(),
            alone=True,
        )
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # fp32 on GPUs, too
            found = self.measures(run, material, model)
        measures = (
            {"parameters": sum(p.numel() for p in model.parameters())}
            | found
            | {
                "train_loss_nats": float(np.mean(record.losses[-RECENT:])),
                "cpu_seconds": round(record.cpu_seconds, 1),
                "opening": record.losses[:1],
            }
        )
        part = {"identity": identity, "measures": measures, "history": record.history}
        part |= {"seconds": record.seconds, "commits": record.commits}
        if processes.is_leader():
            write_json(kept, part)
            checkpoint.unlink(missing_ok=True)
        return part

    def _first_batches(self, run: Any, material: Any) -> dict[str, np.ndarray]:
        """Each part of the first step's batch, (1, B, …), in as few bytes as the data sets need."""
        dataset, plan = self.dataset(run, material), run.training
        order = batches.BatchOrder(len(dataset), plan.batch_size, plan.seed, 0, 1)  # type: ignore[arg-type]
        found = [dataset.__getitems__(indices) for indices in order]
        kept = {
            name: np.stack([batch[i].numpy() for batch in found]) for i, (name, _) in enumerate(self.parts_of_batch())
        }
        return {name: array.astype(np.int32) if array.dtype == np.int64 else array for name, array in kept.items()}

    def opening(self, key: str, run: Any, model: nn.Module, arrays: dict[str, np.ndarray]) -> float:
        """The loss of a run's first step at full size, on its own first batch, by its model as it starts."""
        batch = tuple(torch.from_numpy(arrays[f"{key}_{name}"][0].astype(kind)) for name, kind in self.parts_of_batch())
        return first_loss(model.train(), batch, self.objective(run), run.training.seed)

    def belongs(self, result: TrialsResult) -> None:
        payload.files(result.manifest, *self.files)
        kinds = {"fingerprint": dict.fromkeys(result.config, list), "seconds": float}
        payload.like(result.manifest, kinds, "manifest.json")
        payload.like(result.metrics, {"runs": dict.fromkeys(result.config, dict)}, "metrics.json")
        wanted, seconds = self.common_shapes(result), result.manifest["seconds"]
        payload.require("run" in result.history, "history.csv names no runs")
        unknown = set(result.history["run"]) - result.config.keys()
        payload.require(not unknown, f"history.csv has runs that the settings have not: {', '.join(map(str, unknown))}")
        for key, run in result.config.items():
            measures = result.metrics["runs"][key]
            shared = {"parameters": int, "train_loss_nats": float, "cpu_seconds": float, "opening": payload.Each(float)}
            payload.like(measures, shared, f"metrics.json, {key}")
            steps = (len(measures["opening"]), run.training.batch_size)
            parts, plan = self.run_belongs(run, measures, result), self.plan(run, measures)
            for name, part in parts.items():
                wanted[f"{key}_{name}"] = replace(part, shape=steps + part.shape)
            rows = result.history[result.history["run"] == key].drop(columns="run")
            if plan.evaluations or len(rows):
                payload.history(rows, plan, ("validation_loss",), seconds)
                seconds -= rows["seconds"].iloc[-1]
        payload.arrays(result.slice, wanted)

    def common_shapes(self, result: TrialsResult) -> dict[str, payload.Array]:
        """What ``common_arrays`` are; ``StaleResult`` where they do not belong."""
        return {}

    def contradict(self, result: TrialsResult) -> list[Check]:
        checks = []
        for key, run in result.config.items():
            measures, model = result.metrics["runs"][key], self.start(run, result.slice)
            bf16 = result.manifest["device"].get("bf16", True)  # the first manifests, of processors with it, do not say
            noisy = bf16 and run.training.bf16 or getattr(run.experiment.model, "dropout", 0)
            differs = largest_difference(self.fingerprint(run), result.manifest["fingerprint"][key])
            apart = largest_difference([self.opening(key, run, model, result.slice)], measures["opening"][:1])
            size = sum(p.numel() for p in model.parameters())
            held = differs <= FINGERPRINT_TOLERANCE and size == measures["parameters"]
            held &= apart <= (NOISY_OPENING_TOLERANCE if noisy else OPENING_TOLERANCE)
            detail = f"behaviour differs by {differs:.1e}, the first loss by {apart:.1e}; {size:,} parameters"
            checks.append(Check(key, held, detail))
        return checks
