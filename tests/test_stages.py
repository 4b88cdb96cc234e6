"""Stages: what is published can be contradicted; the fingerprint feels behaviour and ignores refactoring."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from common import PATIENCE, outcome, reseal
from genmodels import stages, store
from genmodels.config import PixelCNNModelConfig
from genmodels.data import mnist
from genmodels.errors import StaleResult, UserError
from genmodels.stages import base, trained, trials
from genmodels.stages.base import verified
from genmodels.stages.images import FULL, HomeworkStage, PixelCNNStage, ThresholdStage, image_objective
from genmodels.system import files
from genmodels.training import loop


class SmallPixelCNN(PixelCNNStage):
    """The real stage, at a size that trains in a second."""

    def config(self, profile: str):  # noqa: ANN201
        config = super().config("smoke")
        brief = replace(config.training, steps=6, warmup_steps=1, batch_size=8, evaluations=2, bf16=False)
        return replace(
            config,
            training=brief,
            model=PixelCNNModelConfig(channels=4, kernels=(7, 3, 1)),
            validation_images=20,
            curve_images=10,
            test_images=20,
        )


def toy_images() -> mnist.MNIST:
    generator = torch.Generator().manual_seed(3)
    draw = lambda count: torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=generator)  # noqa: E731
    labels = torch.zeros(60, dtype=torch.uint8)
    return mnist.MNIST(draw(60), labels, draw(30), labels[:30], digest="f" * 64)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallPixelCNN:
    toy = toy_images()
    monkeypatch.setattr(mnist, "load", lambda folder=None: toy)
    monkeypatch.setattr(mnist, "static_test_set", lambda folder=None: None)
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path / "cache"))
    return SmallPixelCNN()


def test_an_honest_result_verifies(stage: SmallPixelCNN) -> None:
    folder = stage.run("full")
    assert outcome(stage) == {"manifest": True, "behaviour": True, "test_nll_nats": True}
    result = stage.load("full")
    assert result.metrics["test_set"] == "seeded" and len(result.history) == 2
    assert not store.checkpoint_path("pixelcnn", "full").exists()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert {
        "config",
        "data",
        "payload",
        "commit",
        "versions",
        "device",
        "seconds",
        "finished_utc",
        "fingerprint",
    } <= manifest.keys()
    assert manifest["config"]["training"]["seed"] == 1 and len(manifest["data"]["digest"]) == 64


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import test_stages as t
t.mnist.load = lambda folder=None: t.toy_images()
t.mnist.static_test_set = lambda folder=None: None
t.SmallPixelCNN().run("full")
"""


def test_two_processes_publish_one_result_that_verifies(stage: SmallPixelCNN, tmp_path: Path) -> None:
    """The whole way under torchrun: rank 0 alone measures and writes; no process is left waiting for the other."""
    stage.run("full")
    alone = stage.load("full")
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "destroy_process_group" not in done.stderr and "Traceback" not in done.stderr
    together = stage.load("full")
    assert together.manifest["device"]["processes"] == 2 and all(outcome(stage).values())
    # The same batches in two halves: other sums, whose rounding Muon's steps amplify.
    assert together.metrics["test_nll_nats"] == pytest.approx(alone.metrics["test_nll_nats"], rel=5e-3)
    kept = [path.name for path in (tmp_path / "cache" / "checkpoints").iterdir()]
    assert kept == ["pixelcnn-full.steady.pt"]  # what a longer training would go on from
    assert "going on" not in done.stderr


def test_swapped_weights_with_a_forged_manifest_are_contradicted(stage: SmallPixelCNN) -> None:
    from safetensors.torch import save_file

    folder = stage.run("full")
    weights = {k: v + 0.1 for k, v in stage.load("full").stored.weights().items()}
    save_file(weights, folder / "weights.safetensors")
    assert outcome(stage) == {"manifest": False}
    reseal(folder)
    assert outcome(stage) == {"manifest": True, "behaviour": True, "test_nll_nats": False}


def test_weights_of_another_network_are_refused_by_name(stage: SmallPixelCNN) -> None:
    folder = stage.run("smoke")
    other = stage.build(replace(stage.config("smoke"), model=PixelCNNModelConfig(channels=5, kernels=(7, 3, 1))))
    (folder / "weights.safetensors").write_bytes(save({name: t.contiguous() for name, t in other.state_dict().items()}))
    reseal(folder)
    with pytest.raises(StaleResult, match=r"convolutions\.0\.weight has shape \(5, 1, .*wants \(4, 1, .*make it again"):
        stage.load("smoke").model()
    assert outcome(stage, "smoke") == {"manifest": True, "contents": False}  # a failed check, not the end of all checks
    (folder / "manifest.json").write_text("{")
    assert outcome(stage, "smoke") == {"manifest": False}


@pytest.mark.parametrize(
    ("now", "worst"), [([1.0, 2.2], 0.1), ([1.0], math.inf), ([1.0, math.nan], math.inf), ([], math.inf)]
)
def test_what_cannot_be_compared_differs(now: list[float], worst: float) -> None:
    assert trained.largest_difference(now, [1.0, 2.0] if now else []) == pytest.approx(worst)


def test_an_embellished_metric_is_contradicted(stage: SmallPixelCNN) -> None:
    folder = stage.run("full")
    metrics = files.read_json(folder / "metrics.json")
    metrics["slice"]["test_nll_nats"] *= 0.99
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    assert outcome(stage)["test_nll_nats"] is False


def test_the_whole_test_set_is_asked_where_it_is(stage: SmallPixelCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stage.run("full")
    (check,) = stage.contradict_with_data("full", folder)
    assert check.passed is None and check.detail.startswith("no data:")  # no raw files in that folder
    monkeypatch.setattr(mnist, "find", lambda folder, name: folder / name)
    (check,) = stage.contradict_with_data("full", None)
    assert check.name == "whole_test_nll_nats" and check.passed
    metrics = files.read_json(folder / "metrics.json")
    metrics["test_nll_nats"] *= 0.999
    files.write_json(folder / "metrics.json", metrics)
    reseal(folder)
    (check,) = stage.contradict_with_data("full", None)
    assert check.passed is False
    monkeypatch.setattr(mnist, "static_test_set", lambda folder=None: torch.zeros(30, 784, dtype=torch.uint8))
    (check,) = stage.contradict_with_data("full", None)
    assert check.passed is None and "static" in check.detail  # another test set contradicts nothing


def test_all_are_verified_alike_by_one_process_and_by_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    names = ["text", "pixelcnn", "ngram"]
    alone, beside = (list(verified(names, workers=number)) for number in (1, 2))
    assert alone == beside and [name for name, _ in alone] == names[::-1]
    assert all(len(checks) == 1 and not checks[0].passed for _, checks in alone)


@pytest.mark.parametrize(
    ("holds", "whole", "expected"),
    [
        (True, True, [True, True]),
        (None, True, [None, True]),
        (True, False, [True, None]),
        (False, True, [False]),
        (False, False, [False]),
    ],
)
def test_the_data_are_asked_once_the_rest_is_not_contradicted(
    monkeypatch: pytest.MonkeyPatch, holds: bool | None, whole: bool, expected: list[bool | None]
) -> None:
    class Stub:
        with_data = "whole"

        def verify(self, profile: str) -> list[base.Check]:
            return [base.Check("manifest", holds, profile)]

        def contradict_with_data(self, profile: str, folder: Path | None) -> list[base.Check]:
            return [base.Check("whole", True, str(folder))]

    monkeypatch.setattr(stages, "get", lambda name: Stub())
    ((name, checks),) = verified(["any"], "smoke", whole=whole, folder=Path("data"))
    assert name == "any" and [check.passed for check in checks] == expected


def mean_gradient(objective: loop.Objective, model: torch.nn.Module, grey: torch.Tensor) -> torch.Tensor:
    """The gradient averaged over all binarisations of one image, each with its probability."""
    chance = mnist.lit(grey).double()
    _, targets = objective.prepare((grey,), torch.Generator())
    expected = bool(((targets > 0) & (targets < 1)).any())
    undecided = ((chance > 0) & (chance < 1)).nonzero()
    mean = torch.zeros(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    for pattern in range(2 ** len(undecided)):
        bits, weight = (chance == 1).double(), 1.0
        for place, index in enumerate(map(tuple, undecided.tolist())):
            bits[index] = pattern >> place & 1
            weight *= float(chance[index] if bits[index] else 1 - chance[index])
        model.zero_grad()
        objective.total(model, (bits, targets if expected else bits)).backward()
        mean += weight * torch.cat([p.grad.flatten() for p in model.parameters()])
    return mean


def test_expected_targets_leave_the_expected_gradient() -> None:
    torch.manual_seed(0)
    model = PixelCNNStage().build(replace(FULL, model=PixelCNNModelConfig(channels=3, kernels=(3, 3, 1)))).double()
    grey = torch.zeros(1, 28, 28, dtype=torch.uint8)
    grey[0, 10:12, 10:12] = torch.tensor([[255, 60], [128, 200]], dtype=torch.uint8)
    averaged = image_objective("dynamic", True)
    assert torch.equal(averaged.prepare((grey,), torch.Generator())[1], mnist.lit(grey))
    drawn = mean_gradient(image_objective("dynamic", False), model, grey)
    assert drawn.norm() > 0 and torch.allclose(mean_gradient(averaged, model, grey), drawn, rtol=1e-6, atol=1e-6)


def test_expected_targets_need_a_draw() -> None:
    with pytest.raises(UserError, match="'threshold' draws nothing; set expected_targets=False"):
        image_objective("threshold", True)


def test_the_usual_training_starts_from_torchs_own_initialisation() -> None:
    stage = HomeworkStage()
    config = stage.config("full")
    kernels = config.model.kernels
    model = stage.seeded_model(replace(config, model=replace(config.model, channels=8)))
    for conv, kernel in zip(model.convolutions, kernels, strict=True):
        bound = (conv.in_channels * kernel**2) ** -0.5
        live = conv.weight[:, :, conv.mask.bool()]
        assert live.abs().max() <= bound and live.abs().max() > 0.8 * bound
        assert not conv.weight[:, :, ~conv.mask.bool()].any()
    assert config.model == ThresholdStage().config("full").model and config.binarization == "threshold"


def test_changed_training_behaviour_is_noticed(stage: SmallPixelCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    """How small a change may be: ``test_fingerprint.py``."""
    stage.run("full")
    monkeypatch.setattr(loop, "make_optimizer", lambda model, config: torch.optim.AdamW(model.parameters(), lr=0.1))
    assert outcome(stage) == {"manifest": True, "behaviour": False, "test_nll_nats": True}


def test_final_measures_are_made_where_the_training_was(stage: SmallPixelCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU in fp32, not in TF32; the slice on the CPU, as ``verify`` has it."""
    told: list[object] = []

    def told_by(owner: object, name: str, what: object = "") -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a: (told.append(what or torch.backends.cudnn.allow_tf32), real(*a))[1])

    told_by(torch.nn.Module, "cpu", "to the CPU")
    told_by(stage, "final_metrics"), told_by(stage, "slice_metrics", "slice")
    stage.run("full")
    assert told == [False, "to the CPU", "slice"]


def test_another_config_names_the_field(stage: SmallPixelCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("full")
    config = stage.config("full")
    factors = {"learning_rate": 1.001, "seed": 2, "ema_decay": 0.999, "gradient_clip": 0.9, "momentum": 1.01}
    for name, factor in factors.items():
        stored = getattr(config.training, name)
        other = replace(config, training=replace(config.training, **{name: factor * stored}))
        monkeypatch.setattr(stage, "config", lambda profile, other=other: other)
        (check,) = stage.verify("full")
        assert not check.passed and f"training.{name}: asked {factor * stored}, stored {stored}" in check.detail


@pytest.mark.parametrize("name", list(stages.STAGES))
def test_shipped_results_belong_to_todays_settings_and_behaviour(name: str) -> None:
    stage = stages.get(name)
    result = stage.load("full")
    for commit in (result.manifest["commit"], result.manifest.get("fingerprint_commit", "")):
        assert "+changes" not in commit and commit != "unknown"
    # What takes a while (slices, first steps at full size, drawings, timings) is left to the report's last table, which
    # tests/test_report.py has executed, and to `make verify`.
    if isinstance(stage, trained.ModelStage):
        again = stage.fingerprint(result.config)
        assert again == pytest.approx(result.manifest["fingerprint"], rel=trained.FINGERPRINT_TOLERANCE)
    elif isinstance(stage, trials.TrialsStage):
        for key, run in result.config.items():
            again = stage.fingerprint(run)
            assert again == pytest.approx(result.manifest["fingerprint"][key], rel=trained.FINGERPRINT_TOLERANCE), key
