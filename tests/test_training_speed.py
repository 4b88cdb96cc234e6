"""The benchmark of PixelCNN's training: equal things are timed, operations are counted right, the result verifies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genmodels.config import PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn import spectral
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN
from genmodels.stages.speed import training
from genmodels.stages.speed.base import TrainingSpeed
from genmodels.stages.speed.training import ASSIGNED, FORMS, SETTINGS, network, random_bits, stepper
from genmodels.system.meters import count_flops


def direct(conv: torch.nn.Module, positions: int, first: bool) -> int:
    """Forward, the kernel's gradient, and (but for the first layer) the images': two FLOPs a stored tap and position."""
    return 2 * positions * conv.weight.numel() * (2 if first else 3)


def by_spectra(conv: MaskedConv2d, side: int, batch: int) -> int:
    """The products of ``spectral._Convolution``, forward and backward, for a whole batch."""
    outputs, inputs, rows, columns = conv.weight.shape
    tall, wide = side + rows - 1, side + columns // 2
    kept = tall // 2 + 1
    transform = 4 * kept * side * side + 8 * kept * wide * side  # of one channel of one image, there or back
    mixing = 3 * 4 * 2 * kept * wide * batch * inputs * outputs  # three complex products: forward, images, kernel
    kernels = 2 * 2 * 2 * kept * wide * rows * columns * inputs * outputs
    return 2 * batch * (inputs + outputs) * transform + mixing + kernels


@pytest.mark.parametrize("name", ["naive", "naive-last", "half", "half-last", "spectral"])
@pytest.mark.parametrize(("layers", "side", "batch"), [(4, 8, 8), (5, 9, 9)])
def test_counted_flops_are_those_of_the_closed_form(name: str, layers: int, side: int, batch: int) -> None:
    model = network(FORMS[name], 16, layers, side)
    counted = count_flops(stepper(model, FORMS[name], random_bits(batch, side)))
    expected = 0
    for index, conv in enumerate(model.convolutions):
        if name == "spectral" and conv.kernel == 7 and index:
            expected += by_spectra(conv, side, batch)
        else:
            expected += batch * direct(conv, side * side, index == 0)
    assert counted == expected


def test_the_base_is_the_assignments_network() -> None:
    ours, assigned = network(FORMS["half"], **ASSIGNED), PixelCNN(PixelCNNModelConfig())
    assert ours.config == assigned.config and ours.image_size == assigned.image_size
    for name, value in SETTINGS["full"]["base"].items():
        assert value in SETTINGS["full"]["law"][name]  # each series passes through it


def test_all_forms_agree() -> None:
    checks = training.agree()
    assert [check.name for check in checks] == ["half-last", "spectral", "two-stacks"] and all(
        check.passed for check in checks
    )


def test_a_form_that_computes_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = spectral.spectral
    monkeypatch.setattr(spectral, "spectral", lambda conv, x: real(conv, (x + x.detach()) / 2))  # half a gradient
    assert [check.passed for check in training.agree()] == [True, False, False]
    monkeypatch.undo()
    monkeypatch.setattr(MaskedConv2d, "live_weight", property(lambda conv: conv.weight * 1.0001 * conv.mask))
    assert not training.agree()[0].passed


def test_what_cannot_run_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(model: object) -> object:
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(training, "bf16_is_native", lambda kind: False)
    monkeypatch.setattr(torch, "compile", lambda model: lambda *given: no_compiler(model))
    left_out = training._forms(SETTINGS["smoke"] | {"compile": True})["left_out"]
    assert left_out.keys() == {"naive-bf16", "half-bf16", "half-compiled"}
    assert left_out["half-compiled"] == "RuntimeError: no C++ compiler"


def test_a_card_is_measured_by_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """No card here: the processor stands in for it."""
    small = SETTINGS["smoke"] | {"compile": False}
    found = training.on_card(small, "cpu")
    rows = {row["form"]: row for row in found["forms"]}
    assert rows["naive"]["ratio"] == 1
    assert rows.keys() | found["left_out"].keys() == training.CARD_FORMS.keys() and "spectral" not in rows
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="there is no GPU"):
        training.on_card()


def test_a_smoke_measurement_is_published_and_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENMODELS_CACHE", str(tmp_path))
    threads = torch.get_num_threads()
    stage = TrainingSpeed()
    stage.run("smoke")
    assert torch.get_num_threads() == threads
    assert all(check.passed for check in stage.verify("smoke"))
    metrics = stage.load("smoke").metrics
    rows = {row["form"]: row for row in metrics["forms"]}
    assert rows.keys() | metrics["left_out"].keys() == FORMS.keys() and rows["naive"]["ratio"] == 1
    assert 1.7 < rows["naive"]["flops"] / rows["half"]["flops"] <= 49 / 28
    assert all(row["ratio"] == pytest.approx(rows["naive"]["seconds"] / row["seconds"]) for row in rows.values())
    law = metrics["law"]
    assert [point["varied"] for point in law] == ["channels"] * 2 + ["layers"] * 2 + ["side"] * 2
    assert law[1]["seconds"] == law[2]["seconds"] == law[4]["seconds"]  # the base, measured once
    assert metrics["exponents"].keys() == {"flops", "channels", "layers", "side"}
