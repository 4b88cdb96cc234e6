"""The measures of drawn images: distances with a known answer, neighbours by brute force, the classifier's shapes."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genmodels.config import ClassifierModelConfig, PixelCNNModelConfig
from genmodels.data import mnist
from genmodels.errors import UserError
from genmodels.pixelcnn.evaluation import nll_nats
from genmodels.pixelcnn.model import PixelCNN
from genmodels.pixelcnn.quality import (
    UNSURE,
    DigitClassifier,
    Gaussian,
    Reference,
    class_entropy_bits,
    class_shares,
    measured,
    measures,
    nearest,
    pixel_entropy_bits,
    sources,
    squared_distance,
)

SMALL = ClassifierModelConfig(channels=(4, 4, 4), features=8)


def bits(*shape: int, seed: int = 0, share: float = 0.3) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share).float()


def gaussian(rng: np.random.RandomState, size: int) -> Gaussian:
    root = rng.randn(size, size)
    return Gaussian(rng.randn(size), root @ root.T)


def rotation(rng: np.random.RandomState, size: int) -> np.ndarray:
    return np.linalg.qr(rng.randn(size, size))[0]


def turned(one: Gaussian, by: np.ndarray) -> Gaussian:
    return Gaussian(by @ one.mean, by @ one.covariance @ by.T)


# --- Fréchet distance -------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_covariances_that_commute_have_a_closed_form(seed: int, size: int) -> None:
    """Of diagonal covariances a and b the trace is the sum of (sqrt a - sqrt b)^2; a common rotation changes nothing."""
    rng = np.random.RandomState(seed)
    a, b, by = rng.rand(size) * 9, rng.rand(size) * 9, rotation(rng, size)
    one, other = Gaussian(rng.randn(size), np.diag(a)), Gaussian(rng.randn(size), np.diag(b))
    wanted = np.square(one.mean - other.mean).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert squared_distance(one, other) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    assert squared_distance(turned(one, by), turned(other, by)) == pytest.approx(wanted, rel=1e-7, abs=1e-7)


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_the_distance_is_one(seed: int, size: int) -> None:
    rng = np.random.RandomState(seed)
    one, other, third = (gaussian(rng, size) for _ in range(3))
    there, by = squared_distance(one, other), rotation(rng, size)
    assert squared_distance(one, one) == pytest.approx(0, abs=1e-8 * np.trace(one.covariance))
    assert squared_distance(other, one) == pytest.approx(there, rel=1e-7)
    assert squared_distance(turned(one, by), turned(other, by)) == pytest.approx(there, rel=1e-6)
    roads = (squared_distance(one, third), squared_distance(third, other))
    assert math.sqrt(there) <= sum(map(math.sqrt, roads)) * (1 + 1e-9)


def test_two_dimensions_by_hand() -> None:
    """C = [[2, 1], [1, 2]] (eigenvalues 3 and 1), D = 4 C, m = n: tr(C + D - 2 (C D)^{1/2}) = tr C = 4."""
    c = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert squared_distance(Gaussian(np.zeros(2), c), Gaussian(np.zeros(2), 4 * c)) == pytest.approx(4)


def test_singular_covariances_and_identical_sets() -> None:
    rows = np.random.RandomState(0).randn(5, 9)  # fewer images than features
    one = Gaussian.fit(rows)
    assert squared_distance(one, one) < 1e-9
    assert squared_distance(one, Gaussian.fit(rows[::-1] + 1.0)) == pytest.approx(9)
    assert np.allclose(one.covariance, np.cov(rows.T))
    with pytest.raises(UserError, match="at least 2"):
        Gaussian.fit(rows[:1])


def test_fewer_images_look_farther_away() -> None:
    """Both sets from one law: the truth is 0, N images give more, twice as many about half of it. Hence the same N for all."""
    rng = np.random.RandomState(1)
    reference = Gaussian(np.zeros(20), np.eye(20))
    rows = rng.randn(800, 20)
    whole, half = (squared_distance(Gaussian.fit(part), reference) for part in (rows, rows[:400]))
    assert whole > 0 and 1.5 < half / whole < 2.5


# --- neighbours -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=25)
def test_nearest_neighbours_are_those_of_brute_force(seed: int, ours: int, theirs: int) -> None:
    images, among = bits(ours, 1, 6, 5, seed=seed), bits(theirs, 1, 6, 5, seed=seed + 1)
    table = (images[:, None] != among[None]).flatten(2).sum(2)
    distances, places = nearest(images, among, batch_size=4)
    assert torch.equal(distances, table.min(1).values)
    assert torch.equal(table[torch.arange(ours), places], distances)


def test_an_image_is_its_own_neighbour_and_sizes_must_fit() -> None:
    images = bits(7, 1, 28, 28)
    distances, places = nearest(images, images)
    assert not distances.any() and places.tolist() == list(range(7))
    for among in (bits(3, 1, 27, 28), bits(0, 1, 28, 28)):
        with pytest.raises(UserError, match="no distance"):
            nearest(images, among)


def test_draws_find_the_grey_images_they_come_from() -> None:
    generator = torch.Generator().manual_seed(2)
    grey = torch.randint(0, 256, (40, 28, 28), dtype=torch.uint8, generator=generator)
    order = torch.randperm(40, generator=generator)
    drawn = mnist.binarize(grey[order], generator)
    assert torch.equal(sources(drawn, grey, batch_size=7), order)


@pytest.mark.skipif(not os.environ.get("GENMODELS_DATA"), reason="GENMODELS_DATA is not set: no real data")
def test_the_static_test_set_is_sorted_by_class() -> None:
    bits_, images = mnist.static_test_set(), mnist.load()
    if bits_ is None:
        pytest.skip("the static test set is not there")
    labels = images.test_labels[sources(bits_[::10], images.test_images)].int()
    assert bool((labels.diff() >= 0).all()) and len(labels) == 1000
    counts, true = torch.bincount(labels, minlength=10), torch.bincount(images.test_labels.int())
    assert (counts * 10 - true).abs().max() <= 20


# --- classifier and measures ------------------------------------------------------------------------------------------


def test_the_classifier_has_features_and_ten_classes() -> None:
    torch.manual_seed(0)
    model, images = DigitClassifier(SMALL), bits(5, 1, 28, 28)
    features, logs = measured(model, images, batch_size=2)
    assert features.shape == (5, 8) and logs.shape == (5, 10) and bool((features >= 0).all())
    assert torch.allclose(logs.exp().sum(1), torch.ones(5), atol=1e-5)
    assert torch.allclose(logs, torch.log_softmax(model(images), 1), atol=1e-5)
    for wrong in (bits(5, 28, 28), bits(5, 1, 27, 28), bits(5, 1, 28, 28).long()):
        with pytest.raises(UserError, match="classifier wants"):
            model(wrong)


def test_measures_of_the_reference_itself_are_the_best_there_are() -> None:
    torch.manual_seed(0)
    model, images = DigitClassifier(SMALL), bits(60, 1, 28, 28)
    reference = Reference.of(model, images)
    same = measures(model, images, reference)
    assert same["frechet"] < 1e-9 and same["classes_apart"] == 0 and 0.1 <= same["confidence"] <= 1
    other = measures(model, bits(60, 1, 28, 28, seed=5, share=0.6), reference)
    assert other["frechet"] > 100 * same["frechet"] and 0 <= other["classes_apart"] <= 1
    assert (same["unsure"] > 0) == bool((measured(model, images)[1].max(1).values.exp() < UNSURE).any())


def test_entropies_of_known_answers() -> None:
    logs = torch.log(torch.tensor([[0.5, 0.5] + [1e-30] * 8, [0.1] * 10, [1 - 9e-12] + [1e-12] * 9]))
    assert class_entropy_bits(logs).tolist() == pytest.approx([1, math.log2(10), 0], abs=1e-4)
    assert class_shares(torch.eye(10)[[3, 3, 7, 3]]).tolist() == [0, 0, 0, 0.75, 0, 0, 0, 0.25, 0, 0]


def test_surprise_sums_to_the_likelihood_and_entropy_is_its_mean() -> None:
    torch.manual_seed(0)
    model = PixelCNN(PixelCNNModelConfig(channels=4, kernels=(7, 3, 1)))
    image = bits(1, 1, 28, 28)
    entropy, surprise = pixel_entropy_bits(model, image)
    assert surprise.sum().item() * math.log(2) == pytest.approx(nll_nats(model, image).item(), rel=1e-5)
    p = model.probabilities(image).double()[0, 0]
    assert torch.allclose(entropy, -(p * p.log2() + (1 - p) * (1 - p).log2()), atol=1e-6)
