"""The forms for training equal the direct one: outputs, every gradient, every kind of layer, whole networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.pixelcnn import spectral
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.masked_conv import MaskedConv2d, PlacedMaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, PixelModel, apply_directly, loss_nats

LAYERS = [
    ("A", 7, "raster"),
    ("B", 7, "raster"),
    ("B", 3, "raster"),
    ("A", 5, "above"),
    ("B", 5, "above"),
    ("B", 7, "left"),
    ("A", 7, "left"),
]


Form = Callable[[MaskedConv2d, torch.Tensor], torch.Tensor]


def both(conv: MaskedConv2d, x: torch.Tensor, other: Form = spectral.spectral) -> list[list[torch.Tensor]]:
    found = []
    for form in (conv, lambda images: other(conv, images)):
        images = x.clone().requires_grad_()
        out = form(images)
        weights = torch.linspace(-1, 1, out.numel(), dtype=x.dtype).view(out.shape).sin()
        found.append([out, *torch.autograd.grad((out * weights).sum(), [images, *conv.parameters()])])
    return found


KINDS = [MaskedConv2d, PlacedMaskedConv2d]
NAMES = ("output", "images", "weight", "bias", "slopes")


def layer(kind: type[MaskedConv2d], *shape: Any) -> MaskedConv2d:
    """In double precision, with a bias at every place."""
    torch.manual_seed(0)
    conv = kind(*shape).double()
    for name, parameter in conv.named_parameters():
        if name != "weight":
            torch.nn.init.normal_(parameter)
    return conv


@pytest.mark.parametrize("size", [(28, 28), (9, 12), (2, 3)])  # the last is smaller than the kernels
@pytest.mark.parametrize(("mask", "kernel", "part"), LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_of_a_layer(
    kind: type[MaskedConv2d], mask: str, kernel: int, part: str, size: tuple[int, int]
) -> None:
    conv = layer(kind, mask, 3, 5, kernel, part)
    direct, fourier = both(conv, torch.randn(2, 3, *size, dtype=torch.float64))
    for name, a, b in zip(NAMES, direct, fourier):
        assert (a - b).abs().max() < 1e-11 * (1 + a.abs().max()), name


@pytest.mark.parametrize("form", [spectral.spectral, spectral.along_row])
def test_a_second_derivative_is_refused(form: Form) -> None:
    """It is not written; silence would give another number."""
    conv, x = layer(MaskedConv2d, "B", 3, 3, 5, "left"), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    (grad,) = torch.autograd.grad(form(conv, x).square().sum(), conv.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_single_precision_is_as_exact_as_the_direct_form() -> None:
    torch.manual_seed(0)
    conv = MaskedConv2d("B", 32, 32, 7)
    x = torch.randn(8, 32, 28, 28)
    exact = both(conv.double(), x.double())[0]
    direct, fourier = both(conv.float(), x)
    for reference, a, b in zip(exact, direct, fourier):
        assert max((a - reference).norm(), (b - reference).norm()) < 1e-5 * reference.norm()


@pytest.mark.parametrize("size", [(28, 28), (9, 12), (2, 3), (1, 1)])
@pytest.mark.parametrize(
    ("form", "mask", "inputs", "kernel", "part"),
    [
        (spectral.along_row, "B", 3, 1, "raster"),
        (spectral.along_row, "B", 3, 7, "left"),
        (spectral.along_row, "B", 3, 3, "left"),
        (spectral.gathered, "A", 1, 7, "raster"),
        (spectral.gathered, "B", 1, 5, "raster"),
        (spectral.gathered, "A", 1, 5, "above"),
        (spectral.gathered, "B", 1, 5, "above"),
        (spectral.gathered, "A", 1, 7, "left"),
        (spectral.gathered, "B", 1, 3, "left"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_the_layer(
    kind: type[MaskedConv2d], form: Form, mask: str, inputs: int, kernel: int, part: str, size: tuple[int, int]
) -> None:
    conv = layer(kind, mask, inputs, 5, kernel, part)
    x = torch.randn(2, inputs, *size, dtype=torch.float64)
    for name, a, b in zip(NAMES, *both(conv, x, form)):
        assert (a - b).abs().max() < 1e-12 * (1 + a.abs().max()), name
    assert form(conv, x).permute(2, 3, 0, 1).is_contiguous()  # the order that the next layer wants


FORMS = ("spectral", "along_row", "gathered")
NETWORKS = {  # and how often each form occurs in it
    "spec": (lambda: PixelCNN(PixelCNNModelConfig(channels=6)), {"spectral": 5, "along_row": 1, "gathered": 1}),
    "gated": (  # five large kernels above; the row itself, a link and an output a layer, and the head; two layers that read the image
        lambda: GatedPixelCNN(GatedModelConfig(channels=6)),
        {"spectral": 5, "along_row": 18, "gathered": 2},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_in_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "WORTH_CHANNELS", 4)
    torch.manual_seed(0)
    build, expected = NETWORKS[name]
    network: PixelModel = build().double()
    for module in network.modules():  # at birth all-dark corners stand exactly on the kink of the ReLU
        if isinstance(module, MaskedConv2d):
            module.weight.data += 0.01 * torch.randn_like(module.weight) * module.mask
            module.bias.data += 0.01 * torch.randn_like(module.bias)
        if isinstance(module, PlacedMaskedConv2d):
            torch.nn.init.normal_(module.slopes)
    images = (torch.rand(8, 1, 28, 28) > 0.7).double()
    calls: list[str] = []
    for form in FORMS:

        def counted(
            conv: MaskedConv2d, x: torch.Tensor, form: str = form, way: Form = getattr(spectral, form)
        ) -> torch.Tensor:
            calls.append(form)
            return way(conv, x)

        monkeypatch.setattr(spectral, form, counted)
    grads = []
    for apply in (apply_directly, spectral.apply_fastest):
        loss = loss_nats(network(images, apply), images).mean()
        grads.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    assert Counter(calls) == expected
    assert all((a - b).norm() <= 1e-9 * (1 + a.norm()) for a, b in zip(*grads))


def test_where_it_pays() -> None:
    images = torch.zeros(8, 1, 28, 28)
    assert spectral.worth_spectral(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not spectral.worth_spectral(images)
    assert not spectral.worth_spectral(images.to("meta"))


def test_small_layers_stay_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "spectral", lambda conv, x: pytest.fail("not worth a transform"))
    for conv, batch in (
        (MaskedConv2d("B", 16, 16, 5), 8),
        (MaskedConv2d("B", 8, 32, 7), 8),
        (MaskedConv2d("B", 16, 16, 7), 4),
        (MaskedConv2d("A", 1, 8, 7), 8),
    ):
        x = torch.randn(batch, conv.in_channels, 9, 9)
        assert torch.equal(spectral.apply_fastest(conv, x), conv(x))
