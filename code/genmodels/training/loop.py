"""The one training loop: every model, one process or many, stopped and resumed to the same bits.

What makes the resume exact is that no random state is carried: the order of the examples is a function of
(seed, epoch), every draw inside a step a function of (seed, step), and the learning rate of the step alone.
A checkpoint therefore holds only weights, optimiser state, the averaged weights and the record so far. Where the rate
stays constant until a cooldown, the state before it is the same for every length of the training: it is kept
(``Steady``), and a longer training goes on from there.

- What moves the weights: ``training/optimizers.py``; gradients are clipped by their total norm.
- Scale-out: under ``torchrun`` the same call becomes data-parallel (``training/batches.py``), in a process group of its own that
  it leaves when it returns. Every rank draws the whole global batch and keeps its share, so that the losses equal
  those of a single process. (Dropout masks are drawn per rank: with dropout the equality is statistical.)

This module knows no model by name; a stage gives it a data set, an ``Objective`` and an evaluation.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from genmodels.config import TrainingConfig
from genmodels.errors import UserError
from genmodels.system.precision import autocast, is_exact, widened
from genmodels.system.processes import progress_bar
from genmodels.training.batches import Batch, BatchOrder, Ranks, generator_for, seed_for
from genmodels.training.checkpoints import StopRequest, load_checkpoint, misfit, save_checkpoint
from genmodels.training.optimizers import Schedule, WeightAverage, make_optimizer, steady_steps


@dataclass(frozen=True)
class Objective:
    """What is minimised: ``total(model, batch) / count(batch)``.

    ``total`` is the summed loss of a (share of a) batch, differentiable; ``count`` how many units the whole
    batch spreads over (images, tokens); ``prepare`` draws what is random in a batch, such as a binarisation.
    """

    total: Callable[[nn.Module, Batch], Tensor]
    count: Callable[[Batch], int]
    prepare: Callable[[Batch, torch.Generator], Batch] = lambda batch, _generator: batch


@dataclass
class Record:
    """What a run leaves behind. ``losses[i]`` is the mean loss of step i; ``history`` a row per evaluation; ``commits``:
    those of the code that trained, in turn."""

    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    step: int = 0
    commits: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Steady:
    """Where the state before the cooldown is kept, and the identity that all lengths of the training have in common."""

    path: Path
    identity: str


def evaluation_steps(config: TrainingConfig) -> list[int]:
    """After which steps the history gets its rows."""
    found = {round(config.steps * (k + 1) / config.evaluations) for k in range(config.evaluations)}
    return sorted(found - {0})


def of_any_length(config: TrainingConfig) -> TrainingConfig:
    """What trainings that differ in their length alone have in common; evaluations must come equally often."""
    if not config.cooldown or not config.evaluations or config.steps % config.evaluations:
        return config
    return replace(config, steps=config.steps // config.evaluations, evaluations=1, cooldown=0.0)


def draw(batch: Batch, objective: Objective, seed: int, step: int, rank: int = 0) -> Batch:
    """A batch with what ``objective`` draws in a step; the seed that its dropout masks follow is set."""
    batch = objective.prepare(batch, generator_for(seed, "draws", step))
    torch.manual_seed(seed_for(seed, "dropout", step, rank))
    return tuple(part.double() if is_exact() and part.is_floating_point() else part for part in batch)


def train(
    model: nn.Module,
    dataset: Dataset[Any],
    objective: Objective,
    config: TrainingConfig,
    *,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    identity: str = "",
    steady: Steady | None = None,
    label: str = "",
    commit: str = "",
    alone: bool = False,
) -> Record:
    """Train ``model`` in place for ``config.steps`` steps; on return it holds the averaged weights.

    ``dataset`` gives a whole batch at once through ``__getitems__(indices) -> tuple of tensors``.
    ``evaluate`` runs ``config.evaluations`` times, evenly spaced, on the averaged weights; its values join the
    history row. An existing ``checkpoint`` of the same ``identity`` is continued; Ctrl-C writes one and raises
    ``KeyboardInterrupt``; a finished run leaves one, which the caller deletes when its result is safe. ``steady``:
    where to keep the state before the cooldown, and to go on from where a shorter training kept it. ``commit``: of the
    code that trains, for the record. ``alone``: train in this process, even under ``torchrun``. Raises ``UserError`` for
    a loss that is not finite, a batch that ranks cannot share, or ranks that see different checkpoints.
    """
    ranks = Ranks(alone)
    try:
        run = _Run(ranks, model, objective, config, evaluate, checkpoint, identity, steady, label)
        run.go_on(commit)
        run.train(dataset, checkpoint_seconds)
        return run.record
    finally:
        ranks.leave()


@dataclass
class _Run:
    """One training under way: what it works with, its state, and what happens to the state."""

    ranks: Ranks
    model: nn.Module
    objective: Objective
    config: TrainingConfig
    evaluate: Callable[[nn.Module], dict[str, float]] | None
    checkpoint: Path | None
    identity: str
    steady: Steady | None
    label: str

    def __post_init__(self) -> None:
        if self.config.batch_size % self.ranks.size:
            found = f"batch_size {self.config.batch_size} cannot be shared by {self.ranks.size} processes"
            raise UserError(f"{found}; start a number that divides it")
        self.model.to(self.ranks.device).train()
        self.average = WeightAverage(self.model, self.config.ema_decay)
        self.optimizer = make_optimizer(self.model, self.config)
        self.schedule = Schedule(self.optimizer, self.config)
        self.record = Record()
        self.pending: list[Tensor] = []  # losses still on the device: fetched only when they are needed

    def go_on(self, commit: str) -> None:
        """From a checkpoint, from what a shorter training kept, or from nothing; all ranks from the same step."""
        record, ranks = self.record, self.ranks
        if self.checkpoint is not None and self.checkpoint.exists():
            state = load_checkpoint(self.checkpoint, self.identity)
            if reason := self.misfit(state):
                found = f"checkpoint {self.checkpoint} does not fit its run: {reason}"
                raise UserError(f"{found}; start over with --restart")
            self.restore(state)
        elif self.steady is not None and (kept := self.shorter(self.steady)) is not None:
            self.restore(kept)
            print(
                f"{self.label}: going on from step {record.step} of a shorter training ({self.steady.path})",
                file=sys.stderr,
            )
        if commit and commit not in record.commits:
            record.commits.append(commit)
        if int(ranks.sum(torch.tensor(record.step, device=ranks.device))) != record.step * ranks.size:
            found = f"process {ranks.rank} is at step {record.step}, others are not"
            raise UserError(f"{found}; give all the same cache folder")
        self.since = len(record.history) and int(record.history[-1]["step"])  # of the last evaluation
        self.began = time.monotonic() - record.seconds, time.process_time() - record.cpu_seconds

    def train(self, dataset: Dataset[Any], checkpoint_seconds: float) -> None:
        """The steps that are left; in the end the model holds the averaged weights."""
        config, record, ranks = self.config, self.record, self.ranks
        network = DistributedDataParallel(self.model) if ranks.size > 1 else self.model
        order = BatchOrder(len(dataset), config.batch_size, config.seed, record.step, config.steps)  # type: ignore[arg-type]
        batches = DataLoader(dataset, batch_sampler=order, collate_fn=lambda batch: batch)
        moments, saved = evaluation_steps(config), time.monotonic()
        silent = None if ranks.rank == 0 else True
        bar = progress_bar(total=config.steps, initial=record.step, desc=self.label, unit="step", disable=silent)
        with StopRequest() as stop, bar:
            for batch in batches:
                asked = self.step(network, batch, stop)
                bar.update()
                if record.step in moments:
                    row = self.measure(record.step / order.per_epoch)
                    bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k.endswith("loss")})
                if self.steady is not None and record.step == steady_steps(config):
                    self.save(self.steady.path, self.steady.identity)
                if asked:
                    self.save(self.checkpoint, self.identity)
                    found = f"stopped after step {record.step} of {config.steps}"
                    raise KeyboardInterrupt(f"{found}; the same command goes on from there")
                if time.monotonic() - saved > checkpoint_seconds:
                    self.save(self.checkpoint, self.identity)
                    saved = time.monotonic()
            self.save(self.checkpoint, self.identity)  # measuring may take minutes: a stop there costs no training
        self.average.keep()
        self.model.eval()

    def step(self, network: nn.Module, batch: Batch, stop: StopRequest) -> bool:
        """One step on a global batch; whether any process was asked to stop."""
        config, ranks, step = self.config, self.ranks, self.record.step
        batch = draw(batch, self.objective, config.seed, step, ranks.rank)
        share = tuple(part.to(ranks.device, non_blocking=True) for part in ranks.share(batch))
        self.schedule.apply(step)
        with autocast(ranks.device.type, config.bf16):
            loss = self.objective.total(network, share) / self.objective.count(batch)
        (loss * ranks.size).backward()  # DDP divides the summed gradients by the number of ranks
        nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(step)
        loss = widened(loss.detach())
        signals = ranks.sum(torch.stack([loss, torch.tensor(float(stop.asked), device=loss.device)]))
        self.pending.append(signals[0])
        self.record.step += 1
        return bool(signals[1] > 0) if ranks.size > 1 else stop.asked

    def settle(self) -> None:
        """Bring the record up to the last step."""
        record = self.record
        record.losses += torch.stack(self.pending).tolist() if self.pending else []
        self.pending.clear()
        if not all(map(math.isfinite, record.losses[self.since :])):
            way_out = "lower learning_rate or switch bf16 off in the stage's settings"
            raise UserError(f"the loss is not finite before step {record.step}; {way_out}")
        record.seconds = time.monotonic() - self.began[0]
        record.cpu_seconds = time.process_time() - self.began[1]

    def measure(self, epoch: float) -> dict[str, float]:
        """A row of the history, with what ``evaluate`` finds for the averaged weights."""
        self.settle()
        record = self.record
        row = {"step": record.step, "epoch": epoch, "seconds": record.seconds}
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        row["train_loss"] = sum(record.losses[self.since :]) / (record.step - self.since)
        self.since = record.step
        if self.evaluate is not None and self.ranks.rank == 0:
            with self.average.applied(), torch.no_grad():
                row |= self.evaluate(self.model.eval())
                self.model.train()
        record.history.append(row)
        return row

    def save(self, path: Path | None, identity: str) -> None:
        self.settle()
        if path is not None and self.ranks.rank == 0:
            save_checkpoint(path, self.snapshot(identity))

    def snapshot(self, identity: str) -> dict[str, Any]:
        return {
            "identity": identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "record": dict(vars(self.record)),
        }

    def misfit(self, state: dict[str, Any]) -> str | None:
        """What of ``state`` is not of this run; asked before anything is restored."""
        return misfit(state, self.snapshot(""), getattr(self.optimizer, "parts", (self.optimizer,)))

    def shorter(self, steady: Steady) -> dict[str, Any] | None:
        """The state that a shorter training of the same kind kept; one of the same length is none: it starts anew."""
        if not steady.path.exists():
            return None
        try:
            state = load_checkpoint(steady.path, steady.identity)
        except UserError:  # damaged, or of other settings: a saving that is not to be had
            return None
        return state if self.misfit(state) is None and state["record"]["step"] < steady_steps(self.config) else None

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for kept, loaded in zip(self.average.weights, state["average"], strict=True):
            kept.copy_(loaded)
        vars(self.record).update({"commits": ["unknown"]} | state["record"])
