"""The training loop: exact resume, stateless order, data-parallel equality, clear errors."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

from common import PATIENCE
from genmodels.config import TrainingConfig
from genmodels.errors import UserError
from genmodels.system import files
from genmodels.training import checkpoints, loop
from genmodels.training.batches import Batch, BatchOrder, generator_for
from genmodels.training.loop import Objective
from genmodels.training.optimizers import learning_rate_at

CONFIG = TrainingConfig(
    batch_size=8,
    steps=12,
    learning_rate=0.05,
    warmup_steps=2,
    ema_decay=0.9,
    bf16=False,
    evaluations=3,
    weight_decay=0.1,
)


class Points(Dataset):
    """Noisy line fitting: inputs (N, 3), targets (N, 1)."""

    def __init__(self, size: int = 36) -> None:
        self.x = torch.randn(size, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        return (self.x[indices],)


def make_model(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 1))


OBJECTIVE = Objective(
    total=lambda model, batch: (model(batch[0]) - batch[1]).pow(2).sum(),
    count=lambda batch: len(batch[0]),
    prepare=lambda batch, generator: (
        batch[0],
        batch[0].sum(1, keepdim=True) + 0.1 * torch.randn(len(batch[0]), 1, generator=generator),
    ),
)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def untimed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


class StopAt(Exception):
    pass


def train_with_stops(tmp_path: Path, stops: list[int], evaluations: int = 3) -> tuple[list[torch.Tensor], loop.Record]:
    """Train, breaking off hard (as by a kill) at the given steps, each time from the last checkpoint."""
    config, path = replace(CONFIG, evaluations=evaluations), tmp_path / "run.pt"
    for stop in [*stops, None]:
        model, steps = make_model(), iter(range(10_000))

        def total(m: nn.Module, batch: Batch, stop: int | None = stop, steps=steps) -> torch.Tensor:
            if stop is not None and next(steps) >= stop:
                raise StopAt
            return OBJECTIVE.total(m, batch)

        try:
            record = loop.train(
                model,
                Points(),
                replace(OBJECTIVE, total=total),
                config,
                evaluate=lambda m: {"test_loss": float(m[0].weight.sum())},
                checkpoint=path,
                checkpoint_seconds=-1.0,
                identity="x",
            )
        except StopAt:
            continue
        return weights(model), record
    raise AssertionError("never finished")


@pytest.mark.parametrize("stops", [[1], [5], [11], [3, 4, 2], [1] * 8])
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, stops: list[int]) -> None:
    whole, record = train_with_stops(tmp_path / "a", [])
    broken, again = train_with_stops(tmp_path / "b", stops)
    assert all(torch.equal(a, b) for a, b in zip(whole, broken, strict=True))
    assert record.losses == again.losses and len(again.losses) == CONFIG.steps
    assert untimed(record.history) == untimed(again.history)


def test_the_loss_falls_and_history_has_its_rows(tmp_path: Path) -> None:
    _, record = train_with_stops(tmp_path, [])
    assert [row["step"] for row in record.history] == [4, 8, 12]
    assert record.history[-1]["train_loss"] < 0.5 * record.history[0]["train_loss"]


def test_ctrl_c_saves_and_says_where(tmp_path: Path) -> None:
    def interrupt_at_step_5(model: nn.Module, batch: Batch, seen: list[int] = []) -> torch.Tensor:  # noqa: B006
        seen.append(1)
        if len(seen) == 5:
            assert threading.current_thread() is threading.main_thread()
            signal.raise_signal(signal.SIGINT)
        return OBJECTIVE.total(model, batch)

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt, match="step 5 of 12"):
        loop.train(
            make_model(), Points(), replace(OBJECTIVE, total=interrupt_at_step_5), CONFIG, checkpoint=path, identity="x"
        )
    assert checkpoints.load_checkpoint(path, "x")["record"]["step"] == 5
    model = make_model()
    loop.train(model, Points(), OBJECTIVE, CONFIG, checkpoint=path, identity="x")
    whole, _ = train_with_stops(tmp_path / "whole", [])
    assert all(torch.equal(a, b) for a, b in zip(whole, weights(model), strict=True))


def test_checkpoint_of_another_run_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save_checkpoint(path, {"identity": "a" * 64})
    with pytest.raises(UserError, match="belongs to run aaaa"):
        loop.train(make_model(), Points(), OBJECTIVE, CONFIG, checkpoint=path, identity="b" * 64)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged.*--restart"):
        loop.train(make_model(), Points(), OBJECTIVE, CONFIG, checkpoint=path, identity="a" * 64)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):  # noqa: ANN204
            return os.mkdir, (str(tmp_path / "pwned"),)

    torch.save({"identity": "x", "evil": Evil()}, tmp_path / "run.pt")
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load_checkpoint(tmp_path / "run.pt", "x")
    assert not (tmp_path / "pwned").exists()


def test_a_loss_that_is_not_finite_is_one_clear_error() -> None:
    broken = replace(OBJECTIVE, total=lambda model, batch: model(batch[0]).sum() * float("nan"))
    with pytest.raises(UserError, match="not finite"):
        loop.train(make_model(), Points(), broken, CONFIG)


def test_too_small_a_set_is_refused() -> None:
    with pytest.raises(UserError, match="4 examples, fewer than one batch of 8"):
        loop.train(make_model(), Points(4), OBJECTIVE, CONFIG)


@given(size=st.integers(1, 40), batch=st.integers(1, 10), start=st.integers(0, 30), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_order_visits_each_example_once_an_epoch_from_any_start(size: int, batch: int, start: int, seed: int) -> None:
    if size < batch:
        return
    per_epoch = size // batch
    stop = max(start, 3 * per_epoch)
    whole = list(BatchOrder(size, batch, seed, 0, stop))
    assert list(BatchOrder(size, batch, seed, start, stop)) == whole[start:]
    for epoch in range(3):
        seen = [i for indices in whole[epoch * per_epoch : (epoch + 1) * per_epoch] for i in indices]
        assert len(seen) == len(set(seen)) == per_epoch * batch and set(seen) <= set(range(size))


def test_learning_rate_rises_then_falls_to_its_end() -> None:
    rates = [learning_rate_at(step, replace(CONFIG, final_learning_rate=0.01)) for step in range(CONFIG.steps + 1)]
    assert rates[0] == pytest.approx(0.025) and max(rates) == rates[1] == pytest.approx(0.05)
    assert all(a >= b for a, b in zip(rates[2:], rates[3:])) and rates[-1] == pytest.approx(0.01)


def test_a_cooldown_starts_late_and_the_steps_before_it_know_no_length() -> None:
    plan = lambda steps: TrainingConfig(steps=steps, warmup_steps=4, learning_rate=0.5, cooldown=0.25)  # noqa: E731
    short, long = ([learning_rate_at(step, plan(steps)) for step in range(steps + 1)] for steps in (40, 80))
    assert short[3:31] == [0.5] * 28 and short[:31] == long[:31]
    assert all(a > b for a, b in zip(short[30:], short[31:])) and short[-1] == 0
    assert short[30 + 5] == pytest.approx(0.5 * (1 - 0.5**0.5))  # half-way down


def cooling(steps: int, evaluations: int, **changes: float) -> TrainingConfig:
    return TrainingConfig(
        **vars(CONFIG) | {"steps": steps, "evaluations": evaluations, "cooldown": 0.25, "momentum": 0.95} | changes
    )


def cooled(
    folder: Path, steps: int, evaluations: int, commit: str = "", **changes: float
) -> tuple[list[torch.Tensor], loop.Record]:
    """Train with a cooldown at the end, keeping the state before it in ``folder`` (or going on from the one found there)."""
    config = cooling(steps, evaluations, **changes)
    steady = loop.Steady(folder / "steady.pt", repr(loop.of_any_length(config)))
    model = make_model()
    record = loop.train(
        model,
        Points(),
        OBJECTIVE,
        config,
        evaluate=lambda m: {"test_loss": float(m[0].weight.sum())},
        steady=steady,
        commit=commit,
    )
    return weights(model), record


def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, record = cooled(tmp_path / "a", 24, 6, "b")
    cooled(tmp_path / "b", 12, 3, "a")
    assert "going on" not in capsys.readouterr().err
    joined, again = cooled(tmp_path / "b", 24, 6, "b")
    assert "going on from step 9 of a shorter training" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(whole, joined, strict=True)) and record.losses == again.losses
    assert untimed(record.history) == untimed(again.history) and len(again.history) == 6
    assert (record.commits, again.commits) == (["b"], ["a", "b"])  # whose code made which part is not lost


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.04},
        {"evaluations": 4},
        {"steps": 25, "evaluations": 6},
        {"steps": 12, "evaluations": 3},
        {"steps": 8, "evaluations": 2},
    ],
    ids=["other settings", "other evaluations", "uneven evaluations", "the same length", "a shorter one"],
)
def test_only_a_longer_training_of_the_same_settings_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, float]
) -> None:
    cooled(tmp_path, 12, 3)
    _, record = cooled(tmp_path, **{"steps": 24, "evaluations": 6} | changes)  # type: ignore[arg-type]
    assert "going on" not in capsys.readouterr().err and len(record.losses) == changes.get("steps", 24)


def test_weights_may_decay_from_a_step_on(tmp_path: Path) -> None:
    """Before it the training is the one without decay, bit for bit; a state from before it brings no zero with it."""
    _, plain = cooled(tmp_path / "plain", 12, 3, weight_decay=0.0)
    decay = {"weight_decay": 0.5, "weight_decay_from": 9}
    ended, late = cooled(tmp_path / "late", 12, 3, **decay)
    assert late.losses[:10] == plain.losses[:10] and late.losses[10:] != plain.losses[10:]
    assert cooled(tmp_path / "never", 12, 3, weight_decay=0.5, weight_decay_from=12)[1].losses == plain.losses

    state = torch.load(tmp_path / "plain" / "steady.pt", weights_only=True)  # after nine steps without decay
    torch.save(state | {"identity": ""}, tmp_path / "resumed.pt")
    model = make_model()
    loop.train(model, Points(), OBJECTIVE, cooling(12, 3, **decay), checkpoint=tmp_path / "resumed.pt")
    assert all(torch.equal(a, b) for a, b in zip(ended, weights(model), strict=True))


def test_a_damaged_state_of_a_shorter_training_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "steady.pt").write_bytes(b"PK")
    _, record = cooled(tmp_path, 12, 3)
    assert len(record.losses) == 12


def muon(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimizer"]["parts"][0]


def adamw(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimizer"]["parts"][1]


MISFITS = {
    "no weights": lambda s: s.pop("model"),
    "one weight less": lambda s: s["model"].pop("0.weight"),
    "one more": lambda s: s["model"].update(more=torch.zeros(1)),
    "another shape": lambda s: s["model"].update({"0.bias": torch.zeros(6)}),
    "no tensor": lambda s: s["model"].update({"0.bias": 3}),
    "no average": lambda s: s.pop("average"),
    "average of another shape": lambda s: s["average"].__setitem__(0, torch.zeros(2, 2)),
    "a shorter average": lambda s: s["average"].pop(),
    "no optimiser": lambda s: s.pop("optimizer"),
    "no moments": lambda s: muon(s).pop("state"),
    "moments of another shape": lambda s: adamw(s)["state"][0].update(exp_avg=torch.zeros(1, 1)),
    "half the moments": lambda s: adamw(s)["state"][1].pop("exp_avg_sq"),
    "moments of fewer": lambda s: muon(s)["state"].pop(1),
    "other groups": lambda s: adamw(s)["param_groups"].pop(),
    "one optimiser": lambda s: s["optimizer"]["parts"].pop(),
    "no record": lambda s: s.pop("record"),
    "no losses": lambda s: s["record"].pop("losses"),
    "other steps": lambda s: s["record"].update(step=3),
    "losses that are none": lambda s: s["record"].update(losses=["x"] * s["record"]["step"]),
    "a table": lambda s: s.update(record=[]),
}


@pytest.fixture(scope="module")
def after_nine_steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("steady")
    cooled(place, 12, 3, weight_decay=0.0)
    return torch.load(place / "steady.pt", weights_only=True)


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_checkpoint_that_does_not_fit_its_run_is_one_line(
    tmp_path: Path, after_nine_steps: dict[str, Any], misfit: str
) -> None:
    """Of the right identity, but with something missing or of another shape; as a shorter training it is passed over."""
    state = copy.deepcopy(after_nine_steps)
    MISFITS[misfit](state)
    torch.save(state | {"identity": ""}, tmp_path / "run.pt")
    with pytest.raises(UserError, match=r"run\.pt does not fit its run: .*; start over with --restart") as error:
        loop.train(make_model(), Points(), OBJECTIVE, cooling(12, 3), checkpoint=tmp_path / "run.pt")
    assert "\n" not in str(error.value)
    torch.save(state, tmp_path / "steady.pt")
    model, record = cooled(tmp_path, 16, 4, weight_decay=0.0)
    assert len(record.losses) == 16 and all(isinstance(loss, float) for loss in record.losses)


def test_a_set_smaller_than_a_batch_asks_for_more_data() -> None:
    with pytest.raises(UserError, match="3 examples, fewer than one batch of 8; give a larger corpus"):
        BatchOrder(3, 8, 1, 0, 2)


def test_streams_are_independent_and_fixed() -> None:
    draw = lambda *key: torch.rand(4, generator=generator_for(*key)).tolist()  # noqa: E731
    assert draw(1, "order", 0) == draw(1, "order", 0)
    assert len({tuple(draw(*key)) for key in [(1, "order", 0), (1, "order", 1), (2, "order", 0), (1, "draws", 0)]}) == 4


WORKER = """
import json, os, sys, torch
sys.path.insert(0, {tests!r})
import test_training as t
from genmodels.training import loop as training
model = t.make_model(dropout=0.0)
record = training.train(model, t.Points(), t.OBJECTIVE, t.CONFIG)
if os.environ["RANK"] == "0":
    json.dump([record.losses, [p.tolist() for p in model.parameters()]], open({out!r}, "w"))
"""


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """torchrun with two gloo processes: the same global batch, the same losses and weights to rounding."""
    out, script = tmp_path / "two.json", tmp_path / "two.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(loop.__file__).parents[2])}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=PATIENCE)
    two, two_weights = json.loads(out.read_text())
    model = make_model(dropout=0.0)
    one = loop.train(model, Points(), OBJECTIVE, CONFIG).losses
    assert one == pytest.approx(two, rel=1e-5)
    for a, b in zip(model.parameters(), two_weights, strict=True):
        torch.testing.assert_close(a.detach(), torch.tensor(b), rtol=1e-4, atol=1e-6)


def test_ctrl_c_at_the_last_step_and_while_measuring_costs_nothing(tmp_path: Path) -> None:
    """A finished run leaves its checkpoint, so that a stop during the measuring that follows loses no training."""
    path, whole = tmp_path / "run.pt", make_model()

    def interrupt_at_the_end(model: nn.Module, batch: Batch, seen: list[int] = []) -> torch.Tensor:  # noqa: B006
        seen.append(1)
        if len(seen) == CONFIG.steps:
            signal.raise_signal(signal.SIGINT)
        return OBJECTIVE.total(model, batch)

    with pytest.raises(KeyboardInterrupt, match="step 12 of 12"):
        loop.train(
            make_model(),
            Points(),
            replace(OBJECTIVE, total=interrupt_at_the_end),
            CONFIG,
            checkpoint=path,
            identity="x",
        )
    record = loop.train(whole, Points(), OBJECTIVE, CONFIG, checkpoint=path, identity="x")
    assert (
        len(record.losses) == CONFIG.steps and checkpoints.load_checkpoint(path, "x")["record"]["step"] == CONFIG.steps
    )
    again, _ = train_with_stops(tmp_path / "whole", [])
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), again, strict=True))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_checkpoint_on_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save_checkpoint(path, {"identity": "x"})
    before = path.read_bytes()
    opened = os.fdopen
    monkeypatch.setattr(
        files.os,
        "fdopen",
        lambda descriptor, *rest, **more: (
            os.close(descriptor),
            opened(os.open("/dev/full", os.O_WRONLY), *rest, **more),
        )[1],
    )
    with pytest.raises(UserError, match="cannot write .*run.pt: No space left on device"):
        checkpoints.save_checkpoint(path, {"identity": "x", "weights": torch.zeros(100_000)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_batch_that_ranks_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        loop, "Ranks", lambda alone: type("R", (), {"size": 3, "rank": 0, "leave": lambda self: None})()
    )
    with pytest.raises(UserError, match="batch_size 8 cannot be shared by 3"):
        loop.train(make_model(), Points(), OBJECTIVE, CONFIG)
