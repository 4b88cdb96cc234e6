"""The one training loop: every model, one process or many, stopped and resumed to the same bits.

What makes the resume exact is that no random state is carried: the order of the examples is a function of
(seed, epoch), every draw inside a step a function of (seed, step), and the learning rate of the step alone.
A checkpoint therefore holds only weights, optimiser state, the averaged weights and the record so far. Where the rate
stays constant until a cooldown, the state before it is the same for every length of the training: it is kept
(``Steady``), and a longer training goes on from there.

- Optimiser: AdamW or Muon (``training/optimizers.py``), linear warm-up, then a cosine (arXiv 1608.03983) or a constant rate with
  a cooldown (arXiv 2405.18392); gradients are clipped by their total norm.
- Averaging: exponential moving average of the weights with a warmed-up decay; it is what is evaluated and kept.
- Scale-out: under ``torchrun`` the same call becomes data-parallel (``training/ranks.py``), in a process group of its own that
  it leaves when it returns. Every rank draws the whole global batch and keeps its share, so that the losses equal
  those of a single process. (Dropout masks are drawn per rank: with dropout the equality is statistical.)

This module knows no model by name; a stage gives it a data set, an ``Objective`` and an evaluation.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
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
from genmodels.system.progress import progress_bar
from genmodels.training.batches import BatchOrder, generator_for, seed_for
from genmodels.training.checkpoints import StopRequest, load_checkpoint, misfit, save_checkpoint
from genmodels.training.optimizers import MuonWithAdamW, make_optimizer, rate_share
from genmodels.training.ranks import Batch, Ranks


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


def steady_steps(config: TrainingConfig) -> int:
    """How many steps come before the cooldown; 0 where the learning rate falls all the way."""
    return math.floor((1 - config.cooldown) * config.steps) if config.cooldown else 0


def evaluation_steps(config: TrainingConfig) -> list[int]:
    """After which steps the history gets its rows."""
    found = {round(config.steps * (k + 1) / config.evaluations) for k in range(config.evaluations)}
    return sorted(found - {0})


def of_any_length(config: TrainingConfig) -> TrainingConfig:
    """What trainings that differ in their length alone have in common; evaluations must come equally often."""
    if not config.cooldown or not config.evaluations or config.steps % config.evaluations:
        return config
    return replace(config, steps=config.steps // config.evaluations, evaluations=1, cooldown=0.0)


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Linear warm-up to ``learning_rate``, then down to ``final_learning_rate``.

    Down half a cosine; or, with a ``cooldown``, constant until the last ``cooldown`` share of the steps and
    then by 1 - sqrt(progress) (Hägele et al. 2024, arXiv 2405.18392, sec. 3).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    swing = config.learning_rate - config.final_learning_rate
    if config.cooldown:
        start = steady_steps(config)
        progress = max(0, step - start) / max(1, config.steps - start)
        return config.final_learning_rate + swing * (1 - math.sqrt(progress))
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.final_learning_rate + swing * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def weight_decays_at(step: int, config: TrainingConfig) -> bool:
    """Whether the weights decay in this step; ``weight_decay_from`` leaves them alone at first."""
    return step >= config.weight_decay_from


class WeightAverage:
    """Exponential moving average of a model's parameters; decay 0 means "the weights themselves"."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.model = decay, model
        self.weights = [p.detach().clone() for p in model.parameters()] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:  # early on a long memory would keep the random start: let it lengthen with the run
            rate = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [p.detach() for p in self.model.parameters()], rate)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model holds the averaged weights."""
        if not self.decay:
            yield
            return
        parameters = list(self.model.parameters())
        kept = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            torch._foreach_copy_(parameters, self.weights)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, kept)


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
        return _train(
            ranks,
            model,
            dataset,
            objective,
            config,
            evaluate,
            checkpoint,
            checkpoint_seconds,
            identity,
            steady,
            label,
            commit,
        )
    finally:
        ranks.leave()


def _train(
    ranks: Ranks,
    model: nn.Module,
    dataset: Dataset[Any],
    objective: Objective,
    config: TrainingConfig,
    evaluate: Callable[[nn.Module], dict[str, float]] | None,
    checkpoint: Path | None,
    checkpoint_seconds: float,
    identity: str,
    steady: Steady | None,
    label: str,
    commit: str,
) -> Record:
    """``train`` among ``ranks``."""
    if config.batch_size % ranks.size:
        found = f"batch_size {config.batch_size} cannot be shared by {ranks.size} processes"
        raise UserError(f"{found}; start a number that divides it")
    model.to(ranks.device).train()
    average = WeightAverage(model, config.ema_decay)
    optimizer = make_optimizer(model, config)
    decays = [
        group["weight_decay"] for group in optimizer.param_groups
    ]  # a restored state brings those of its own step
    record = Record()

    def fits(state: dict[str, Any]) -> str | None:
        fresh = _snapshot("", model, optimizer, average, record)
        return misfit(state, fresh, getattr(optimizer, "parts", (optimizer,)))

    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, identity)
        if reason := fits(state):
            raise UserError(f"checkpoint {checkpoint} does not fit its run: {reason}; start over with --restart")
        _restore(state, model, optimizer, average, record)
    elif steady is not None and (state := _shorter(steady, config, fits)) is not None:
        _restore(state, model, optimizer, average, record)
        print(f"{label}: going on from step {record.step} of a shorter training ({steady.path})", file=sys.stderr)
    if commit and commit not in record.commits:
        record.commits.append(commit)
    if int(ranks.sum(torch.tensor(record.step, device=ranks.device))) != record.step * ranks.size:
        raise UserError(
            f"process {ranks.rank} is at step {record.step}, others are not; give all the same cache folder"
        )
    wrapped = DistributedDataParallel(model) if ranks.size > 1 else model

    order = BatchOrder(len(dataset), config.batch_size, config.seed, record.step, config.steps)  # type: ignore[arg-type]
    batches = DataLoader(dataset, batch_sampler=order, collate_fn=lambda batch: batch)
    moments = evaluation_steps(config)
    pending: list[Tensor] = []  # losses still on the device: fetched only when they are needed
    since = len(record.history) and int(record.history[-1]["step"])
    saved = started = time.monotonic()
    base_seconds, base_cpu, cpu_started = record.seconds, record.cpu_seconds, time.process_time()

    def settle() -> None:
        record.losses += torch.stack(pending).tolist() if pending else []
        pending.clear()
        if not all(map(math.isfinite, record.losses[since:])):
            way_out = "lower learning_rate or switch bf16 off in the stage's settings"
            raise UserError(f"the loss is not finite before step {record.step}; {way_out}")
        record.seconds = base_seconds + time.monotonic() - started
        record.cpu_seconds = base_cpu + time.process_time() - cpu_started

    def save(path: Path | None, of: str) -> None:
        settle()
        if path is not None and ranks.rank == 0:
            save_checkpoint(path, _snapshot(of, model, optimizer, average, record))

    bar = progress_bar(
        total=config.steps, initial=record.step, desc=label, unit="step", disable=None if ranks.rank == 0 else True
    )
    with StopRequest() as stop, bar:
        for batch in batches:
            step = record.step
            batch = draw(batch, objective, config.seed, step, ranks.rank)
            share = tuple(part.to(ranks.device, non_blocking=True) for part in ranks.share(batch))
            for group, decay in zip(optimizer.param_groups, decays, strict=True):
                group["lr"] = learning_rate_at(step, config) * rate_share(group, step)
                group["weight_decay"] = decay if weight_decays_at(step, config) else 0.0
            with autocast(ranks.device.type, config.bf16):
                loss = objective.total(wrapped, share) / objective.count(batch)
            (loss * ranks.size).backward()  # DDP divides the summed gradients by the number of ranks
            nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(step)
            loss = widened(loss.detach())
            signals = ranks.sum(torch.stack([loss, torch.tensor(float(stop.asked), device=loss.device)]))
            pending.append(signals[0])
            record.step += 1
            bar.update()
            if record.step in moments:
                settle()
                row = {"step": record.step, "epoch": record.step / order.per_epoch, "seconds": record.seconds}
                row["learning_rate"] = learning_rate_at(step, config)
                row["train_loss"] = sum(record.losses[since:]) / (record.step - since)
                since = record.step
                if evaluate is not None and ranks.rank == 0:
                    with average.applied(), torch.no_grad():
                        model.eval()
                        row |= evaluate(model)
                        model.train()
                record.history.append(row)
                bar.set_postfix({k: f"{v:.3f}" for k, v in row.items() if k.endswith("loss")})
            if steady is not None and record.step == steady_steps(config):
                save(steady.path, steady.identity)
            if signals[1] > 0 if ranks.size > 1 else stop.asked:
                save(checkpoint, identity)
                raise KeyboardInterrupt(
                    f"stopped after step {record.step} of {config.steps}; the same command goes on from there"
                )
            if time.monotonic() - saved > checkpoint_seconds:
                save(checkpoint, identity)
                saved = time.monotonic()
        save(checkpoint, identity)  # what follows, measuring, may take minutes: a stop there costs no training
    if average.decay:
        with torch.no_grad():
            torch._foreach_copy_(list(model.parameters()), average.weights)
    model.eval()
    return record


def _snapshot(
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | MuonWithAdamW,
    average: WeightAverage,
    record: Record,
) -> dict[str, Any]:
    return {
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.weights,
        "record": dict(vars(record)),
    }


def _shorter(
    steady: Steady, config: TrainingConfig, fits: Callable[[dict[str, Any]], str | None]
) -> dict[str, Any] | None:
    """The state that a shorter training of the same kind kept; one of the same length is none: it starts anew."""
    if not steady.path.exists():
        return None
    try:
        state = load_checkpoint(steady.path, steady.identity)
    except UserError:  # damaged, or of other settings: a saving that is not to be had
        return None
    return state if fits(state) is None and state["record"]["step"] < steady_steps(config) else None


def _restore(
    state: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | MuonWithAdamW,
    average: WeightAverage,
    record: Record,
) -> None:
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for kept, loaded in zip(average.weights, state["average"], strict=True):
        kept.copy_(loaded)
    vars(record).update({"commits": ["unknown"]} | state["record"])
