"""Stage ``speed-training``: one training step of the assignment's network in several forms, and what it costs by size.

All forms compute the same loss and the same gradients: the kernel times its mask (49 taps), the causal half (28 taps),
each in PyTorch's two memory layouts; the half by spectra (``spectral.py``); bf16 where the processor multiplies in it
by itself; ``torch.compile`` where a C++ compiler is found. A step is forward and backward, without the optimiser.

The cost law varies channels, layers and the image's side, one at a time from the assignment's network, in the direct
form of the causal half. FLOPs are those of matrix products and convolutions, two a multiply-add, counted while a step
runs. One thread, processor seconds, medians of interleaved rounds; a large matrix product in the same rounds is the
yardstick of what the core can reach.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genmodels.attention.growth import fitted_exponent
from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.masked_conv import to_naive
from genmodels.pixelcnn.model import Apply, PixelCNN, PixelModel, apply_directly, loss_nats
from genmodels.pixelcnn.spectral import apply_fastest
from genmodels.stages.base import Check
from genmodels.system.meters import card_seconds, count_flops, interleaved, one_thread
from genmodels.system.precision import autocast, bf16_is_native

ASSIGNED = {"channels": PixelCNNModelConfig().channels, "layers": len(PixelCNNModelConfig().kernels), "side": 28}
SETTINGS: dict[str, dict[str, Any]] = {
    "full": {
        "base": ASSIGNED,
        "batch": 32,
        "rounds": 5,
        "compile": True,
        "product_side": 1024,
        "law_batch": 16,
        "law_rounds": 3,
        "law": {"channels": [16, 32, 64, 96], "layers": [4, 6, 8, 11], "side": [14, 20, 28, 36]},
    },
    "smoke": {
        "base": {"channels": 16, "layers": 4, "side": 8},
        "batch": 8,
        "rounds": 1,
        "compile": False,
        "product_side": 64,
        "law_batch": 2,
        "law_rounds": 1,
        "law": {"channels": [4, 16], "layers": [4, 5], "side": [8, 10]},
    },
}
CARD = {"base": ASSIGNED, "batch": 512, "rounds": 5, "compile": True, "product_side": 8192}  # of the forms, on a GPU
TOLERANCE = 1e-10  # relative, in double precision

ModelT = TypeVar("ModelT", bound=PixelModel)


@dataclass(frozen=True)
class Form:
    """One way of computing the step."""

    naive: bool = False
    channels_last: bool = False
    apply: Apply = apply_directly
    bf16: bool = False
    compiled: bool = False


FORMS = {  # the first is what the ratios refer to; "half-last" evaluates, "spectral" trains in fp32
    "naive": Form(naive=True),
    "naive-last": Form(naive=True, channels_last=True),
    "half": Form(),
    "half-last": Form(channels_last=True),
    "spectral": Form(channels_last=True, apply=apply_fastest),
    "naive-bf16": Form(naive=True, bf16=True),
    "half-bf16": Form(channels_last=True, bf16=True),
    "half-compiled": Form(channels_last=True, compiled=True),
}
CARD_FORMS = {name: form for name, form in FORMS.items() if name != "spectral"} | {  # spectra are for processors
    "half-bf16-compiled": Form(channels_last=True, bf16=True, compiled=True),
}


def network(form: Form, channels: int, layers: int, side: int) -> PixelCNN:
    """The assignment's kind of network (7 x 7 kernels, then two of 1 x 1) at some size; equal sizes, equal weights."""
    torch.manual_seed(0)
    model = PixelCNN(PixelCNNModelConfig(channels, (7,) * (layers - 2) + (1, 1)), (side, side))
    if form.naive:
        model.convolutions = nn.ModuleList(map(to_naive, model.convolutions))
    order = torch.channels_last if form.channels_last else torch.contiguous_format
    for conv in model.convolutions:
        conv.weight.data = conv.weight.data.contiguous(memory_format=order)
    return model


def with_biases(model: ModelT, deviation: float) -> ModelT:
    """``model`` with all that is no weight drawn anew: zero at birth, it would hide who forgets it, and dark corners would
    stand on the kink of the ReLU."""
    for name, parameter in model.named_parameters():
        if not name.endswith("weight"):
            nn.init.normal_(parameter, std=deviation)
    return model


def random_bits(count: int, side: int) -> Tensor:
    """(count, 1, side, side) images of zeros and ones, a fifth of them ones, always the same."""
    return (torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(0)) < 0.2).float()


def stepper(model: PixelModel, form: Form, images: Tensor) -> Callable[[], Tensor]:
    """Forward and backward on ``images``; gives the mean loss, and leaves the gradients in the model."""
    run = torch.compile(model) if form.compiled else model

    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        with autocast(images.device.type, form.bf16):
            loss = loss_nats(run(images, form.apply), images).mean()
        loss.backward()
        return loss.detach()

    return step


def measure(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """``forms`` (rows), ``left_out`` (form -> why), ``product`` (GFLOP/s of a matrix product by precision), ``law`` (points
    with seconds and FLOPs of an image), ``exponents`` (seconds against FLOPs; seconds and FLOPs against each size) and
    ``differences`` of the forms."""
    with one_thread():
        return _forms(settings) | _law(settings) | {"differences": differences()}


def on_card(settings: dict[str, Any] = CARD, device: str = "cuda") -> dict[str, Any]:
    """``forms``, ``left_out`` and ``product`` of ``measure`` on a GPU; ``UserError`` where there is none.

    Seconds are the wall's. ``of_product``: the share of what a large matrix product of the same precision reaches there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no GPU that PyTorch can use; leave --device out to measure the processor")
    return _forms(settings, CARD_FORMS, device, card_seconds if device == "cuda" else time.perf_counter)


def _forms(
    settings: dict[str, Any],
    forms: Mapping[str, Form] = FORMS,
    device: str = "cpu",
    clock: Callable[[], float] | None = None,
) -> dict[str, Any]:
    images = random_bits(settings["batch"], settings["base"]["side"]).to(device)
    steps: dict[str, Callable[[], Any]] = {}
    flops, left_out = {}, {}
    for name, form in forms.items():
        step = stepper(network(form, **settings["base"]).to(device), form, images)
        if form.bf16 and not bf16_is_native(device):
            left_out[name] = "this processor does not multiply in bf16 by itself"
        elif form.compiled and (reason := _compiles(step) if settings["compile"] else "not asked for"):
            left_out[name] = reason
        else:
            steps[name] = step
            flops[name] = count_flops(steps["half-last"] if form.compiled else step) / len(images)
    side = settings["product_side"]
    kinds = {"fp32": torch.float32} | ({"bf16": torch.bfloat16} if bf16_is_native(device) else {})
    matrices = {
        kind: torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device, kinds[kind])
        for kind in kinds
    }
    products = {kind: lambda matrix=matrix: [matrix @ matrix for _ in range(8)] for kind, matrix in matrices.items()}
    seconds = interleaved(steps | products, 1, settings["rounds"], clock)
    product = {kind: 8 * 2 * side**3 / seconds[kind] / 1e9 for kind in kinds}
    rows = []
    for name in steps:
        each = seconds[name] / len(images)
        reached, kind = flops[name] / each / 1e9, "bf16" if forms[name].bf16 else "fp32"
        rows.append(
            {
                "form": name,
                "seconds": each,
                "images_per_second": 1 / each,
                "ratio": seconds["naive"] / seconds[name],
                "flops": flops[name],
                "gflops_per_second": reached,
                "of_product": reached / product[kind],
            }
        )
    return {"forms": rows, "left_out": left_out, "product": product}


def _compiles(step: Callable[[], Any]) -> str | None:
    """Why the compiled step does not run here; ``None`` where it does."""
    try:
        step()
    except Exception as error:  # without a compiler, or with one that fails, PyTorch raises what it likes
        torch.compiler.reset()
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
    return None


def _law(settings: dict[str, Any]) -> dict[str, Any]:
    batch, form = settings["law_batch"], FORMS["half-last"]
    points = [
        {"varied": name, **settings["base"], name: value}
        for name, values in settings["law"].items()
        for value in values
    ]
    sizes = {_size(point): {name: point[name] for name in settings["base"]} for point in points}
    steps = {key: stepper(network(form, **size), form, random_bits(batch, size["side"])) for key, size in sizes.items()}
    flops = {key: count_flops(step) / batch for key, step in steps.items()}
    seconds = {key: taken / batch for key, taken in interleaved(steps, 1, settings["law_rounds"]).items()}
    for point in points:
        point |= {"flops": flops[_size(point)], "seconds": seconds[_size(point)]}
    exponents: dict[str, Any] = {"flops": fitted_exponent(list(flops.values()), list(seconds.values()))}
    for name, values in settings["law"].items():
        found = [point for point in points if point["varied"] == name]
        exponents[name] = {
            what: fitted_exponent(values, [point[what] for point in found]) for what in ("seconds", "flops")
        }
    return {"law": points, "exponents": exponents}


def _size(point: dict[str, Any]) -> str:
    return f"{point['channels']} {point['layers']} {point['side']}"


def differences() -> dict[str, float]:
    """Form -> the largest relative difference from the naive form, over the loss and every gradient, in fp64; "two-stacks":
    of the spectral form of that kind of network from its direct one."""
    half = with_biases(network(FORMS["half-last"], channels=16, layers=4, side=10).double(), 0.1)
    naive = copy.deepcopy(half)
    naive.convolutions = nn.ModuleList(map(to_naive, half.convolutions))
    images = random_bits(8, 10).double()
    expected = [stepper(naive, FORMS["naive"], images)()]
    for fast, slow in zip(half.convolutions, naive.convolutions):
        expected += [fast.stored(slow.weight.grad), slow.bias.grad]
    found = {}
    for name in ("half-last", "spectral"):
        values = [stepper(half, FORMS[name], images)(), *(parameter.grad for parameter in half.parameters())]
        found[name] = _apart(values, expected)
    return found | {"two-stacks": _of_two_stacks(images)}


def _of_two_stacks(images: Tensor) -> float:
    """The same for two stacks whose biases know the place: the quickest form of every layer against its own."""
    torch.manual_seed(0)
    model = with_biases(GatedPixelCNN(GatedModelConfig(channels=16, layers=3, first_kernel=5), (10, 10)).double(), 0.1)
    expected, values = (
        [stepper(model, FORMS[form], images)(), *(parameter.grad for parameter in model.parameters())]
        for form in ("half", "spectral")
    )
    return _apart(values, expected)


def _apart(values: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest difference, relative to the largest number of each expected tensor."""
    return (
        torch.stack([(a - b).abs().max() / b.abs().max() for a, b in zip(values, expected, strict=True)]).max().item()
    )


def agree() -> list[Check]:
    """Fast forms and the slow one give the same loss and the same gradients."""
    return [
        Check(name, gap < TOLERANCE, f"loss and gradients differ from the naive form's by {gap:.1e} at most")
        for name, gap in differences().items()
    ]
