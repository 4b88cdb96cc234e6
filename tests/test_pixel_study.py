"""The ablation: equal budgets, one change at a time, judged on validation; a forged one is contradicted."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from common import outcome, reseal
from genmodels import stages, store
from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.model import PixelCNN
from genmodels.pixelcnn.variants import PixelVariant, build
from genmodels.report.image_training import ablation_rows
from genmodels.report.names import PIXEL_RUNS
from genmodels.stages.image_study import PixelStudy, forward_flops
from genmodels.system import files
from test_stages import toy_images


class SmallStudy(PixelStudy):
    """The real runs at a size that takes no time."""

    def runs(self):  # noqa: ANN201
        def small(run):  # noqa: ANN001, ANN202
            config = run.experiment
            brief = replace(config.training, steps=3, warmup_steps=1, batch_size=4, evaluations=1)
            model = replace(config.model, channels=2)
            model = (
                replace(model, kernels=(5, 3, 1)) if hasattr(model, "kernels") else replace(model, layers=2, kernel=3)
            )
            return replace(
                run,
                experiment=replace(
                    config,
                    training=brief,
                    model=model,
                    validation_images=20,
                    curve_images=4,
                    test_images=10,
                ),
            )

        return {key: small(run) for key, run in super().runs().items()}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    toy = toy_images()
    monkeypatch.setattr(mnist, "load", lambda folder=None: toy)
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return SmallStudy()


def test_an_honest_study_verifies_and_a_forged_one_does_not(stage: SmallStudy) -> None:
    folder = stage.run("full")
    assert outcome(stage) == {"manifest": True} | dict.fromkeys(stage.runs(), True)
    result = stage.load("full")
    for key in stage.runs():
        assert result.on_validation(key).mean() == pytest.approx(result.runs.validation_nll_nats[key], abs=1e-3)
    assert result.runs.images_seen.nunique() == 1 and result.spread > 0
    assert set(result.effects) == set(stage.runs()) - {"spec"}
    rows = ablation_rows(result)
    assert (
        rows[0]["اختلاف"] == "—"
        and all("(" in row["اختلاف"] for row in rows[1:])
        and set(PIXEL_RUNS) == set(stage.runs()) - {"spec-seed-2", "spec-seed-3"}
    )
    difference = result.runs.validation_nll_nats["ours"] - result.runs.validation_nll_nats["spec"]
    assert result.effects["ours"][0] == pytest.approx(difference, abs=1e-3)
    metrics = files.read_json(folder / "metrics.json")
    metrics["runs"]["ours"]["opening"][0] *= 1.02
    metrics["runs"]["gates"]["parameters"] -= 1
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    found = outcome(stage)
    assert [key for key, held in found.items() if not held] == ["gates", "ours"]


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import test_pixel_study as t
from genmodels import __main__
t.mnist.load = lambda folder=None: t.toy_images()
study = t.SmallStudy()
runs = study.runs()
study.runs = lambda: {{"spec": runs["spec"]}}
t.stages.get = lambda name: study
sys.exit(__main__.main(["train", "pixelcnn-study"]))
"""


def test_under_torchrun_one_process_trains_and_waits_for_none(stage: SmallStudy, tmp_path: Path) -> None:
    """A study is not shared: rank 1 leaves at once, and rank 0 may not open a group that it would wait in for ever."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert set(store.load("pixelcnn-study", "full").metrics["runs"]) == {"spec"}


def test_budgets_are_equal_and_changes_single() -> None:
    runs = stages.get("pixelcnn-study").runs()
    flops = {key: forward_flops(build(run.experiment.model, run.variant)) for key, run in runs.items()}
    assert all(0.9 * flops["spec"] < count <= flops["spec"] for count in flops.values())
    plans = {key: replace(run.experiment.training, seed=1) for key, run in runs.items()}
    without = plans.pop("adamw")
    assert set(plans.values()) == {plans["spec"]}
    shared = {"batch_size", "steps", "warmup_steps", "ema_decay", "final_learning_rate", "weight_decay"}
    assert without.momentum == 0 and all(getattr(without, k) == getattr(plans["spec"], k) for k in shared)
    assert len({run.experiment.training.seed for key, run in runs.items() if key.startswith("spec")}) == 3
    changes = {
        key: (
            *vars(run.variant).values(),
            isinstance(run.experiment.model, GatedModelConfig),
            not run.expected_targets,
            key == "adamw",
        )
        for key, run in runs.items()
        if not key.startswith("spec-")
    }
    assert [sum(change) for change in changes.values()] == [0, 1, 1, 1, 1, 3, 1, 1]


def test_no_change_is_the_assignments_network_and_all_changes_are_ours() -> None:
    torch.manual_seed(1)
    plain = build(PixelCNNModelConfig(channels=4), PixelVariant())
    torch.manual_seed(1)
    spec = PixelCNN(PixelCNNModelConfig(channels=4))
    x = (torch.rand(2, 1, 28, 28) < 0.3).float()
    assert torch.equal(plain(x), spec(x))
    torch.manual_seed(1)
    assert torch.equal(build(PixelCNNModelConfig(channels=4), PixelVariant(placed=True))(x), spec(x))  # slopes of zero
    shipped, ours = stages.get("pixelcnn-gated").full, stages.get("pixelcnn-study").runs()["ours"]
    assert ours.experiment.model == shipped.model and type(build(ours.experiment.model, ours.variant)) is GatedPixelCNN
    with pytest.raises(UserError, match="the same residual and placed"):
        build(ours.experiment.model, PixelVariant(gated=True))


@pytest.mark.parametrize("key", ["residual", "gates", "place", "two-stacks", "ours"])
def test_every_variant_is_causal(key: str) -> None:
    run = stages.get("pixelcnn-study").runs()[key]
    torch.manual_seed(1)
    model = build(replace(run.experiment.model, channels=8), run.variant)
    for name, parameter in model.named_parameters():
        if name.endswith("slopes"):
            torch.nn.init.normal_(parameter)
    x = (torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1)) < 0.3).float().requires_grad_(True)
    here = 14 * 28 + 13
    (gradient,) = torch.autograd.grad(model(x).flatten()[here], x)
    assert (gradient.flatten()[here:] == 0).all() and gradient.flatten()[:here].abs().sum() > 0
