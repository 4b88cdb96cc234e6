"""What all stages share: run (train, measure, publish), load, and verify (try to contradict).

A stage's *fingerprint* is the losses of the first optimiser steps of its own kind of model at a tiny size on
tiny fixed inputs, through the same training loop in fp64. It is kept in the manifest and made again by ``verify``:
a refactoring leaves it alone, a change of what training does moves it, and then the stage must be trained again.
"""

from __future__ import annotations

import math
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from genmodels import store
from genmodels.config import to_plain
from genmodels.errors import StaleResult, UserError
from genmodels.stages import payload
from genmodels.system import precision, processes
from genmodels.system.timing import Clock
from genmodels.training import batches, loop
from genmodels.training.loop import Objective
from genmodels.training.ranks import Batch

FINGERPRINT_STEPS = 8
FINGERPRINT_TOLERANCE = 1e-9  # relative; emulated processors differ by 4e-16, the smallest change that is tried by 4e-7
METRIC_TOLERANCE = 1e-4  # relative; the same weights on the same slice


@dataclass(frozen=True)
class Material:
    """What a stage trains on. ``data`` (name, digest, …) goes into the manifest; ``arrays`` become slice.npz."""

    dataset: Dataset[Any]
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]
    files: dict[str, bytes]
    context: Any  # whatever the stage's own evaluations need


@dataclass(frozen=True)
class Check:
    """One attempt at contradiction: what was compared, whether it holds, what was found.

    ``passed`` is ``None`` where it was not checked here; ``detail`` then says why (no data, no bf16).
    """

    name: str
    passed: bool | None
    detail: str


class ShippedResult:
    """A shipped result opened for the report: settings, manifest, measures, curve and evaluation slice."""

    def __init__(self, stored: store.StoredResult, config: Any) -> None:
        self.stored, self.config = stored, config
        self.manifest, self.metrics = stored.manifest, stored.metrics

    @property
    def history(self) -> pd.DataFrame:
        return self.stored.history

    @property
    def slice(self) -> dict[str, np.ndarray]:
        return self.stored.slice


class Result(ShippedResult):
    """A shipped result with its trained network."""

    def __init__(self, stored: store.StoredResult, config: Any, build: Callable[[Any], nn.Module]) -> None:
        super().__init__(stored, config)
        self._build = build

    def model(self) -> nn.Module:
        """The trained network, in evaluation mode; a fresh one each time, so that an experiment on it stays its own.

        Raises ``StaleResult`` where the stored weights are another network's.
        """
        weights, model = self.stored.weights(), self._build(self.config)
        wanted, given = ({name: tuple(t.shape) for name, t in part.items()} for part in (model.state_dict(), weights))
        if wanted != given:
            name = next(name for name in [*wanted, *given] if wanted.get(name) != given.get(name))
            raise StaleResult(
                f"the weights of {self.manifest['stage']!r} are another network's: {name} has shape "
                f"{given.get(name, 'none')}, its config wants {wanted.get(name, 'none')}; "
                + store.remake(self.manifest["stage"], self.manifest["profile"])
            )
        model.load_state_dict(weights)
        return model.eval()


class Stage(ABC):
    """What can be run, loaded and verified under a name."""

    name: str
    shares_work = False  # among the processes of a torchrun; where not, rank 0 works alone
    result: Callable[[store.StoredResult, Any], Any] = ShippedResult
    reads = ""  # what it is made from: "text", "images", or nothing that could be another's
    needs: tuple[str, ...] = ()  # stages whose results it reads
    with_data: str | None = None  # the check of ``contradict_with_data``, of a stage that has one

    @abstractmethod
    def config(self, profile: str) -> Any:
        """The frozen settings of a profile."""

    @abstractmethod
    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Make the result from the data in ``folder`` and publish it. Returns the result's folder."""

    def load(self, profile: str) -> Any:
        """Open the shipped result; ``StaleResult`` where it does not belong to today's config or was altered."""
        config = self.config(profile)
        return self.result(store.load(self.name, profile, config), config)

    def publish(
        self,
        profile: str,
        config: Any,
        data: dict[str, Any],
        spent: dict[str, float],
        *,
        manifest: dict[str, Any] | None = None,
        **payload: Any,
    ) -> Path:
        """Write a result: ``data`` says what it was made from, ``spent`` what it took, ``payload`` is ``store.publish``'s."""
        whole = {"config": to_plain(config), "data": data} | spent | (manifest or {}) | store.provenance()
        return store.publish(self.name, profile, manifest=whole, **payload)

    def verify(self, profile: str) -> list[Check]:
        """Payload and config first, then what the files hold; what else can be contradicted only if those hold."""
        checks: list[Check] = []
        try:
            result = self.load(profile)
            detail = f"{len(result.manifest['payload'])} files match their sha256; settings are today's"
            checks = [Check("manifest", True, detail)]
            self.belongs(result)
            return checks + self.contradict(result)
        except Exception as error:  # what is wrong with one result is its own failed check, not the end of all
            return [*checks, Check("contents" if checks else "manifest", False, told(error))]

    @abstractmethod
    def belongs(self, result: Any) -> None:
        """Parse every file of the payload, see that it is of this result (``payload.py``); ``StaleResult`` if not."""

    @abstractmethod
    def contradict(self, result: Any) -> list[Check]:
        """Make again what can be made again without the data, and compare."""

    def contradict_with_data(self, profile: str, folder: Path | None) -> list[Check]:
        """The check ``with_data``, or that it was not made here where the data are absent; most stages have none: their
        slice is all there is to say."""
        return []


class Training(ABC):
    """How a kind of training begins and behaves: what a stage of one model and the trials of a study have in common.

    ``config`` below is a dataclass that has a ``training``.
    """

    @abstractmethod
    def build(self, config: Any) -> nn.Module:
        """The untrained model (its initial weights follow the global seed)."""

    @abstractmethod
    def objective(self, config: Any) -> Objective:
        """The training loss."""

    @abstractmethod
    def tiny(self, config: Any) -> tuple[Any, Dataset[Any]]:
        """The same kind of training at a tiny size with fixed synthetic inputs, for the fingerprint."""

    def seeded_model(self, config: Any) -> nn.Module:
        """The untrained model of the config's seed."""
        torch.manual_seed(batches.seed_for(config.training.seed, "weights"))
        return self.build(config)

    def fingerprint(self, config: Any) -> list[float]:
        """The behaviour of this kind of training at a tiny size: losses of the first steps and, last, that of the averaged
        weights without dropout, in fp64 (``precision.exact``).

        The few steps have all parts of a whole training: they begin with a warm-up, and weights that decay late decay in
        the second half.
        """
        small, dataset = self.tiny(config)
        plan, objective = small.training, self.objective(small)
        brief = replace(
            plan,
            steps=FINGERPRINT_STEPS,
            warmup_steps=min(2, plan.warmup_steps),
            batch_size=4,
            bf16=False,
            evaluations=0,
            weight_decay_from=min(plan.weight_decay_from, FINGERPRINT_STEPS // 2),
        )
        with precision.exact():
            model = self.seeded_model(small)
            losses = loop.train(model, dataset, objective, brief, alone=True).losses
            first = dataset.__getitems__([0, 1, 2, 3])  # type: ignore[attr-defined]
            return [*losses, first_loss(model, first, objective, brief.seed)]


class ModelStage(Training, Stage):
    """One trained model: a subclass says what is particular, this class how a result is made and checked."""

    shares_work = True
    files: tuple[str, ...] = ("history.csv", "metrics.json", "slice.npz", "weights.safetensors")
    curve: tuple[str, ...] = ("validation_loss",)  # what ``curve_point`` gives

    @abstractmethod
    def material(self, config: Any, folder: Path | None) -> Material:
        """Training set, data identity and evaluation slice, from the data folder."""

    @abstractmethod
    def curve_point(self, config: Any, material: Material, model: nn.Module) -> dict[str, float]:
        """Losses on the curve's slices, for one row of the history."""

    @abstractmethod
    def final_metrics(self, config: Any, material: Material, model: nn.Module) -> dict[str, Any]:
        """The full measures, made once after training."""

    @abstractmethod
    def slice_metrics(self, result_config: Any, arrays: dict[str, np.ndarray], model: nn.Module) -> dict[str, float]:
        """The headline metrics on the shipped slice alone: what ``verify`` makes again."""

    def initialize(self, model: nn.Module, material: Material) -> None:
        """Data-dependent initialisation, if the stage has one."""

    def run(self, profile: str, folder: Path | None = None, restart: bool = False) -> Path:
        """Train (or resume), measure, publish. Returns the result's folder."""
        config = self.config(profile)
        material = self.material(config, folder)
        with store.only_run(self.name, profile) if processes.is_leader() else nullcontext():
            return self._run(profile, config, material, restart)

    def _run(self, profile: str, config: Any, material: Material, restart: bool) -> Path:
        model = self.seeded_model(config)
        self.initialize(model, material)
        checkpoint = store.checkpoint_path(self.name, profile)
        lengths = replace(config, training=loop.of_any_length(config.training))
        steady = loop.Steady(checkpoint.with_suffix(".steady.pt"), store.run_identity(to_plain(lengths), material.data))
        if restart:
            checkpoint.unlink(missing_ok=True)
            steady.path.unlink(missing_ok=True)
        record = loop.train(
            model,
            material.dataset,
            self.objective(config),
            config.training,
            evaluate=lambda m: self.curve_point(config, material, m),
            checkpoint=checkpoint,
            identity=store.run_identity(to_plain(config), material.data),
            steady=steady,
            label=f"{self.name} {profile}",
            commit=store.commit(),
        )
        if not processes.is_leader():  # the other processes of a torchrun leave the writing to rank 0
            return store.result_folder(self.name, profile)
        measuring = Clock()
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # fp32 on GPUs, too
            metrics = self.final_metrics(config, material, model)
            metrics["slice"] = self.slice_metrics(config, material.arrays, model.cpu())  # as ``verify`` will
        metrics["parameters"] = sum(p.numel() for p in model.parameters())
        spent = {"seconds": round(record.seconds, 1), "cpu_seconds": round(record.cpu_seconds, 1)}
        spent["evaluation_seconds"] = measuring.spent()["seconds"]
        path = self.publish(
            profile,
            config,
            material.data,
            spent,
            manifest={"fingerprint": self.fingerprint(config), "commits": record.commits},
            metrics=metrics,
            history=pd.DataFrame(record.history),
            weights=model.state_dict(),
            arrays=material.arrays,
            files=material.files,
        )
        checkpoint.unlink(missing_ok=True)
        return path

    def load(self, profile: str) -> Result:
        config = self.config(profile)
        return Result(store.load(self.name, profile, config), config, self.build)

    def belongs(self, result: Result) -> None:
        manifest, plan = result.manifest, result.config.training
        payload.files(manifest, *self.files)
        payload.like(manifest, {"fingerprint": list, "seconds": float}, "manifest.json")
        _ = result.metrics, result.slice, result.history  # parsed before the network is built
        model = result.model()
        kinds = {name: tensor.dtype for name, tensor in model.state_dict().items()}
        sound = all(t.dtype == kinds[name] and t.isfinite().all() for name, t in result.stored.weights().items())
        payload.require(sound, "weights.safetensors holds numbers of another kind, or not finite ones")
        measures = {"parameters": sum(p.numel() for p in model.parameters()), "slice": payload.Each(float)}
        payload.like(result.metrics, measures, "metrics.json")
        images = manifest["data"].get("train_images")
        per_epoch = images // plan.batch_size if isinstance(images, int) else None
        payload.history(result.history, plan, self.curve, manifest["seconds"], per_epoch)

    def contradict(self, result: Result) -> list[Check]:
        """The behaviour of today's training, then the headline metrics from the shipped weights and slice."""
        checks = [same_behaviour(self.fingerprint(result.config), result.manifest["fingerprint"])]
        with torch.no_grad():
            again = self.slice_metrics(result.config, result.slice, result.model())
        return checks + compare_metrics(again, result.metrics["slice"])


def told(error: Exception) -> str:
    """An exception in one line: a ``UserError`` is one already, any other with its kind and place."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text[:200]} ({Path(place.filename).name}:{place.lineno})"


@torch.no_grad()
def first_loss(model: nn.Module, batch: Batch, objective: Objective, seed: int) -> float:
    """Mean loss of a batch of the data set, with the draws of a training's first step."""
    batch = loop.draw(batch, objective, seed, 0)
    return float(objective.total(model, batch)) / objective.count(batch)


def largest_difference(now: Sequence[float], then: Sequence[float]) -> float:
    """Relative to ``then``; infinite where the two differ in length, are empty, or hold what is not a finite number."""
    if len(now) != len(then) or not now or not all(map(math.isfinite, (*now, *then))):
        return math.inf
    return max(abs(a - b) / abs(b) for a, b in zip(now, then))


def same_behaviour(now: Sequence[float], then: Sequence[float]) -> Check:
    """Whether a fingerprint made again is the stored one."""
    worst = largest_difference(now, then)
    return Check("behaviour", worst <= FINGERPRINT_TOLERANCE, f"largest relative difference {worst:.1e}")


def compare_metrics(again: dict[str, float], stored: dict[str, float]) -> list[Check]:
    """One check a metric, and one that the same metrics were stored."""
    checks = []
    if again.keys() != stored.keys():
        checks.append(Check("slice", False, f"measures {sorted(again)} were stored as {sorted(stored)}"))
    for key, value in again.items():
        wanted = stored.get(key, float("nan"))
        checks.append(
            Check(key, abs(value - wanted) <= METRIC_TOLERANCE * abs(wanted), f"{value:.6g}, stored {wanted:.6g}")
        )
    return checks
