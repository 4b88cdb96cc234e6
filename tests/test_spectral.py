"""The Fourier form equals the direct one: outputs, every gradient, every kind of layer, whole networks."""

from __future__ import annotations

import pytest
import torch

from genmodels.config import PixelCNNModelConfig
from genmodels.pixelcnn import spectral
from genmodels.pixelcnn.masked_conv import MaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, loss_nats, whole

LAYERS = [
    ("A", 7, "raster"), ("B", 7, "raster"), ("B", 3, "raster"), ("A", 5, "above"), ("B", 5, "above"), ("B", 7, "left"), ("A", 7, "left"),
]


def both(conv: MaskedConv2d, x: torch.Tensor) -> list[list[torch.Tensor]]:
    found = []
    for form in (conv, lambda images: spectral.spectral(conv, images)):
        images = x.clone().requires_grad_()
        out = form(images)
        weights = torch.linspace(-1, 1, out.numel(), dtype=x.dtype).view(out.shape).sin()
        found.append([out, *torch.autograd.grad((out * weights).sum(), [images, conv.weight, conv.bias])])
    return found


@pytest.mark.parametrize("size", [(28, 28), (9, 12), (2, 3)])  # the last is smaller than the kernels
@pytest.mark.parametrize(("mask", "kernel", "part"), LAYERS)
def test_outputs_and_gradients_of_a_layer(mask: str, kernel: int, part: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = MaskedConv2d(mask, 3, 5, kernel, part).double()
    torch.nn.init.normal_(conv.bias)
    direct, fourier = both(conv, torch.randn(2, 3, *size, dtype=torch.float64))
    for name, a, b in zip(("output", "images", "weight", "bias"), direct, fourier):
        assert (a - b).abs().max() < 1e-11 * (1 + a.abs().max()), name


def test_single_precision_is_as_exact_as_the_direct_form() -> None:
    torch.manual_seed(0)
    conv = MaskedConv2d("B", 32, 32, 7)
    x = torch.randn(8, 32, 28, 28)
    exact = both(conv.double(), x.double())[0]
    direct, fourier = both(conv.float(), x)
    for reference, a, b in zip(exact, direct, fourier):
        assert (b - reference).norm() < 1e-6 * reference.norm() + 3 * (a - reference).norm()


def test_a_whole_network_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "WORTH_CHANNELS", 4)
    torch.manual_seed(0)
    network = PixelCNN(PixelCNNModelConfig(channels=6)).double()
    for parameter in network.parameters():  # at birth all-dark corners stand exactly on the kink of the ReLU
        parameter.data += 0.01 * torch.randn_like(parameter) * (parameter != 0 if parameter.ndim > 1 else 1)
    images = (torch.rand(8, 1, 28, 28) > 0.7).double()
    calls = []
    monkeypatch.setattr(spectral, "spectral", lambda conv, x, form=spectral.spectral: (calls.append(conv), form(conv, x))[1])
    grads = []
    for apply in (whole, spectral.quickest):
        loss = loss_nats(network(images, apply), images).mean()
        grads.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    assert len(calls) == 5  # the 7x7 layers of several channels
    assert all((a - b).norm() <= 1e-9 * (1 + a.norm()) for a, b in zip(*grads))


def test_where_it_pays() -> None:
    images = torch.zeros(8, 1, 28, 28)
    assert spectral.pays(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not spectral.pays(images)
    assert not spectral.pays(images.to("meta"))


def test_small_layers_stay_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "spectral", lambda conv, x: pytest.fail("not worth a transform"))
    for conv, batch in ((MaskedConv2d("B", 16, 16, 5), 8), (MaskedConv2d("B", 8, 32, 7), 8), (MaskedConv2d("B", 16, 16, 7), 4)):
        x = torch.randn(batch, conv.in_channels, 9, 9)
        assert torch.equal(spectral.quickest(conv, x), conv(x))
