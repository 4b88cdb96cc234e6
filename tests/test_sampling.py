"""Sampling: three methods, one result; the model's own distribution; completion; refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from genmodels.config import GatedModelConfig, PixelCNNModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.gated import GatedPixelCNN
from genmodels.pixelcnn.masked_conv import MaskedConv2d, PlacedMaskedConv2d
from genmodels.pixelcnn.model import PixelCNN, PixelModel, loss_nats
from genmodels.pixelcnn.sampling import METHODS, gaps, replay, sample

ASSIGNMENT = (7, 7, 7, 7, 7, 7, 1, 1)


def build(kernels: tuple[int, ...] = (3, 3, 1), channels: int = 4, size: tuple[int, int] = (28, 28)) -> PixelCNN:
    torch.manual_seed(2)
    return with_biases(PixelCNN(PixelCNNModelConfig(channels=channels, kernels=kernels), image_size=size))


def build_gated(size: tuple[int, int] = (28, 28), **changes: int) -> GatedPixelCNN:
    torch.manual_seed(2)
    config = GatedModelConfig(**{"channels": 4, "layers": 3, "first_kernel": 5, "kernel": 3} | changes)
    return with_biases(GatedPixelCNN(config, image_size=size))


def with_biases(model: PixelModel) -> PixelModel:
    for conv in model.modules():
        if isinstance(conv, MaskedConv2d):
            torch.nn.init.normal_(conv.bias, std=0.3)
        if isinstance(conv, PlacedMaskedConv2d):
            torch.nn.init.normal_(conv.slopes)
    return model


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("method", ["cropped", "incremental"])
@pytest.mark.parametrize(
    ("kernels", "size"),
    [
        ((3, 1), (5, 7)),
        ((3, 3, 1), (6, 4)),
        ((7, 7, 1, 1), (9, 8)),
        ((7, 5, 3), (4, 11)),
        ((5, 1, 5, 1), (7, 7)),
        ((7, 3), (1, 6)),
        ((7, 3), (6, 1)),
        ((3,), (5, 5)),
        ((7, 7, 7, 1), (2, 2)),
    ],
)
def test_methods_equal_the_naive_reference(method: str, kernels: tuple[int, ...], size: tuple[int, int]) -> None:
    model = build(kernels, size=size).double()  # fp64: a uniform cannot fall into the rounding gap
    for temperature in (1.0, 0.5):
        reference = sample(model, 6, generator(), "naive", temperature)
        assert torch.equal(sample(model, 6, generator(), method, temperature), reference)
        assert 0.02 < reference.mean() < 0.98 or size[0] * size[1] < 10


@pytest.mark.parametrize("method", ["cropped", "incremental"])
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (9, 8)),
        ({"layers": 1}, (4, 5)),
        ({"kernel": 5, "layers": 2}, (6, 11)),
        ({"kernel": 1}, (5, 5)),
        ({"first_kernel": 3}, (1, 7)),
        ({"first_kernel": 7, "kernel": 7}, (7, 1)),
        ({"layers": 5}, (12, 7)),
    ],
)
@pytest.mark.parametrize(("residual", "placed"), [(True, False), (False, True)])
def test_methods_equal_the_naive_reference_on_two_stacks(
    method: str, changes: dict[str, int], size: tuple[int, int], residual: bool, placed: bool
) -> None:
    model = build_gated(size, residual=residual, placed=placed, **changes).double()
    for temperature in (1.0, 0.5):
        reference = sample(model, 6, generator(), "naive", temperature)
        assert torch.equal(sample(model, 6, generator(), method, temperature), reference)
        assert 0.02 < reference.mean() < 0.98 or size[0] * size[1] < 10


@pytest.mark.parametrize("model", [build(ASSIGNMENT, channels=6), build_gated(layers=4)], ids=["spec", "gated"])
def test_methods_agree_on_whole_images(model: PixelModel) -> None:
    for method in METHODS:
        assert replay(model, sample(model, 2, generator(), method), generator()).holds


@pytest.mark.parametrize(
    "model", [build(ASSIGNMENT, channels=64), with_biases(GatedPixelCNN(GatedModelConfig()))], ids=["spec", "gated"]
)
def test_incremental_is_exact_at_full_size(model: PixelModel) -> None:
    images = sample(model, 12, generator(), "incremental")
    assert replay(model, images, generator()).holds  # hence 784 full passes would draw the same
    assert 0.005 < images.mean() < 0.98


def test_replay_finds_a_wrong_pixel() -> None:
    model = build()
    images = sample(model, 3, generator())
    images[1, 0, 9, 9] = 1 - images[1, 0, 9, 9]
    again = replay(model, images, generator())
    assert not again.holds and again.differing >= 1


def test_samples_follow_the_models_own_probabilities() -> None:
    model = build((3, 1), size=(2, 2))
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).view(16, 1, 2, 2)
    exact = torch.exp(-loss_nats(model, every)).detach()
    drawn = sample(model, 40_000, generator()).flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0])
    frequency = torch.bincount(drawn.long(), minlength=16) / 40_000
    assert (frequency - exact).abs().max() < 5 * 0.5 / 40_000**0.5  # five standard errors at most


def test_seed_decides_and_method_reads_the_generator_alike() -> None:
    model = build()
    first = sample(model, 4, generator(1))
    assert torch.equal(first, sample(model, 4, generator(1))) and not torch.equal(first, sample(model, 4, generator(2)))
    shared = [generator(1) for _ in METHODS]
    for source, method in zip(shared, METHODS):
        sample(build((3, 1), size=(4, 4)), 2, source, method)
    assert len({torch.rand(1, generator=source).item() for source in shared}) == 1


def test_form_of_the_result() -> None:
    images = sample(build(), 3, generator())
    assert images.shape == (3, 1, 28, 28) and images.dtype == torch.float32
    assert set(images.unique().tolist()) <= {0.0, 1.0} and not images.requires_grad


def test_temperature_sharpens() -> None:
    model = build((3, 1), size=(6, 6))
    cold = [sample(model, 5, generator(seed), temperature=1e-4) for seed in (1, 2)]
    assert torch.equal(*cold)  # next to zero: the likelier value always, whatever the seed
    hot = sample(model, 200, generator(), temperature=1e4)
    assert hot.mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "make", [lambda: build((5, 3, 1), size=(8, 8)), lambda: build_gated((8, 8))], ids=["spec", "gated"]
)
@pytest.mark.parametrize("method", METHODS)
def test_completion_keeps_what_is_given(method: str, make: Callable[[], PixelModel]) -> None:
    model = make().double()
    given = (torch.rand(4, 1, 8, 8, generator=generator(9)) < 0.5).float()
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:4] = True
    images = sample(model, 4, generator(), method, given=given, mask=mask)
    assert torch.equal(images[:, :, :4], given[:, :, :4])
    assert not torch.equal(images[:, :, 4:], given[:, :, 4:])
    assert gaps(model, images, generator())[:, :, 4:].max() == 0  # the rest is drawn from the model


def test_completion_accepts_one_mask_an_image_and_scattered_pixels() -> None:
    model = build((5, 3, 1), size=(8, 8)).double()
    given = (torch.rand(3, 1, 8, 8, generator=generator(9)) < 0.5).float()
    mask = torch.rand(3, 1, 8, 8, generator=generator(8)) < 0.5
    drawn = [sample(model, 3, generator(), method, given=given, mask=mask) for method in METHODS]
    assert all(torch.equal(images[mask], given[mask]) and torch.equal(images, drawn[0]) for images in drawn)
    everything = torch.ones(8, 8, dtype=torch.bool)
    assert torch.equal(sample(model, 3, generator(), given=given, mask=everything), given)
    one = sample(model, 2, generator(), given=given[0, 0], mask=everything)
    assert torch.equal(one, given[:1].expand(2, 1, 8, 8))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature"):
        sample(build(), 1, generator(), temperature=temperature)


def test_bad_arguments_are_refused_in_one_line() -> None:
    model, picture, keep = build(), torch.zeros(28, 28), torch.ones(28, 28, dtype=torch.bool)
    cases = [
        ({"method": "fast"}, "incremental"),
        ({"count": 0}, "at least 1"),
        ({"given": picture}, "both"),
        ({"mask": keep}, "both"),
        ({"given": picture, "mask": keep[:14]}, r"\(14, 28\)"),
        ({"given": torch.zeros(3, 1, 28, 28), "mask": keep}, r"\(3, 1, 28, 28\)"),
        ({"given": picture, "mask": keep.float()}, "float32"),
        ({"given": picture + 0.5, "mask": keep}, "0 or 1"),
    ]
    for changes, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            sample(**{"model": model, "count": 2, "generator": generator(), **changes})
        assert "\n" not in str(caught.value)
