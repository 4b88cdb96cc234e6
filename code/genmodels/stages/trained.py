"""Stages that train: how a kind of training begins and behaves, and how one trained model is made, shipped and checked.

A stage's *fingerprint* is the losses of the first optimiser steps of its own kind of model at a tiny size on
tiny fixed inputs, through the same training loop in fp64. It is kept in the manifest and made again by ``verify``:
a refactoring leaves it alone, a change of what training does moves it, and then the stage must be trained again.
"""

from __future__ import annotations

import math
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
from genmodels.errors import StaleResult
from genmodels.stages import payload
from genmodels.stages.base import Check, ShippedResult, Stage, compare_metrics
from genmodels.system import precision, processes
from genmodels.system.meters import Clock
from genmodels.training import batches, loop
from genmodels.training.batches import Batch
from genmodels.training.loop import Objective

FINGERPRINT_STEPS = 8
HALF_TOLERANCE = 1e-4  # relative
FINGERPRINT_TOLERANCE = 1e-9  # relative; emulated processors differ by 4e-16, the smallest change that is tried by 4e-7


@dataclass(frozen=True)
class Material:
    """What a stage trains on. ``data`` (name, digest, …) goes into the manifest; ``arrays`` become slice.npz."""

    dataset: Dataset[Any]
    data: dict[str, Any]
    arrays: dict[str, np.ndarray]
    files: dict[str, bytes]
    context: Any  # whatever the stage's own evaluations need


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


class Trainable(ABC):
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


class ModelStage(Trainable, Stage):
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
            round_to_half(model, lambda: self.curve_point(config, material, model))
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


def round_to_half(model: nn.Module, losses: Callable[[], dict[str, float]]) -> None:
    """Round the weights to fp16 (``precision.packed`` then keeps them in half the bytes), unless that moves a loss of the curve
    by ``HALF_TOLERANCE`` or more; what is measured and shipped afterwards is the rounded network."""
    before, exact = losses(), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: t.half().float() if t.is_floating_point() else t for name, t in exact.items()})
    if not largest_difference(list(losses().values()), list(before.values())) < HALF_TOLERANCE:
        model.load_state_dict(exact)


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
