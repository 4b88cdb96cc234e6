"""How good drawn images are, in numbers that real images can be held to as well.

What a classifier sees in them: how far the classes are from their true shares, how sure it is, and the Fréchet distance of
its features, as Gaussians (Heusel et al. 2017, arXiv 1706.08500, eq. 6, after Dowson and Landau 1982). For means m, n and
covariances C, D:

    d^2 = |m - n|^2 + tr(C + D - 2 (C D)^{1/2}),

where tr (C D)^{1/2} is the sum of the square roots of the eigenvalues of C^{1/2} D C^{1/2}: symmetric, so that no complex
square root arises. The features are those of our own classifier, so that values compare with each other and with the floor
of real images only, never with published ones (those use Inception's features). Of N images the estimate is biased upwards
by about a constant over N (Chong and Forsyth 2020, arXiv 1911.07023): compare at the same N.

Whether a model copies: ``nearest``, whose distances are read beside those of test images, which nobody can have copied.
How sure the model itself is while an image grows: ``pixel_entropy_bits``. Not here: drawing, likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genmodels.config import ClassifierModelConfig
from genmodels.errors import UserError
from genmodels.pixelcnn.model import PixelCNN
from genmodels.system.proof import ROUNDING

CLASSES = 10
SIDE = 28


class Convolution(nn.Module):
    """A plain convolution, He initialisation: (B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        deviation = math.sqrt(2.0 / (in_channels * kernel * kernel))
        weight = torch.randn(out_channels, in_channels, kernel, kernel) * deviation
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))  # the fast order on CPUs
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.weight.shape[-1] // 2)


class DigitClassifier(nn.Module):
    """Binary images (B, 1, 28, 28) of zeros and ones to logits (B, 10): the measuring instrument, not an answer itself.

    Three convolutions (the first with stride 2), ReLU, a pooling, two linear maps; after LeCun et al. 1998. What is wanted
    of it is its penultimate layer: there images of a kind lie close together. Trained by ``stages/classifier.py``.
    """

    def __init__(self, config: ClassifierModelConfig = ClassifierModelConfig()) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        self.convolutions = nn.ModuleList(
            [Convolution(1, first, kernel=5, stride=2), Convolution(first, second), Convolution(second, third)]
        )
        self.gather = nn.Linear(third * (SIDE // 4) ** 2, config.features)
        self.decide = nn.Linear(config.features, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer, (B, ``config.features``), not negative. ``UserError`` for images of another shape."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (1, SIDE, SIDE) or not x.is_floating_point():
            wanted = f"wants float images (B, 1, {SIDE}, {SIDE})"
            raise UserError(f"the classifier {wanted}, not {x.dtype} of shape {tuple(x.shape)}")
        first, second, third = self.convolutions
        x = F.relu(first(x))  # (B, C, 14, 14)
        x = F.relu(F.max_pool2d(second(x), 2))  # (B, C, 7, 7); the order is all one, but this is a quarter of the work
        x = F.relu(third(x))
        return F.relu(self.gather(x.flatten(1)))  # (B, features)

    def forward(self, x: Tensor) -> Tensor:
        return self.decide(self.features(x))  # (B, 10)


@torch.no_grad()
def measured(model: DigitClassifier, images: Tensor, batch_size: int = 100) -> tuple[Tensor, Tensor]:
    """Features (N, D) and log-probabilities (N, 10) of images, fp32 on the CPU, in batches."""
    features, logs = [], []
    for batch in images.split(batch_size):
        found = model.features(batch.to(model.decide.weight.device))
        features.append(found.cpu())
        logs.append(F.log_softmax(model.decide(found), dim=1).cpu())
    return torch.cat(features), torch.cat(logs)


QUANTILE = 0.01  # "nearer than almost any test image": this quantile of the test images' distances
UNSURE = 0.5  # the likeliest class has less than this: no digit that the classifier knows


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D) of features, fp64."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Gaussian:
        """From features (N, D); ``UserError`` for fewer than two rows."""
        rows = np.asarray(features, dtype=np.float64)
        if rows.ndim != 2 or len(rows) < 2:
            raise UserError(f"a covariance wants features (N, D) of at least 2 images, not of shape {rows.shape}")
        return cls(rows.mean(0), np.cov(rows, rowvar=False).reshape(rows.shape[1], rows.shape[1]))


def squared_distance(one: Gaussian, other: Gaussian) -> float:
    """d^2 between two Gaussians, not negative."""
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T  # C^{1/2}
    inner = np.linalg.eigvalsh(root @ other.covariance @ root)
    traces = np.trace(one.covariance) + np.trace(other.covariance) - 2 * np.sqrt(inner.clip(min=0)).sum()
    return max(0.0, float(np.square(one.mean - other.mean).sum() + traces))


@dataclass(frozen=True)
class Reference:
    """What drawn images are held to: features and classes of the training images, binarised in one way."""

    gaussian: Gaussian
    shares: np.ndarray  # (10,) of the predicted classes

    @classmethod
    def of(cls, classifier: DigitClassifier, images: Tensor) -> Reference:
        features, logs = measured(classifier, images)
        return cls(Gaussian.fit(features.numpy()), class_shares(logs))


def measures(classifier: DigitClassifier, images: Tensor, reference: Reference) -> dict[str, float]:
    """Numbers of images (N, 1, 28, 28) of zeros and ones beside ``reference``.

    ``frechet``, the squared distance; ``classes_apart``, the total variation between shares of predicted classes, 0..1;
    ``confidence``, the mean probability of the likeliest class; ``unsure``, the share of images whose likeliest class has
    less than ``UNSURE``.
    """
    return measures_of(*measured(classifier, images), reference)


def measures_of(features: Tensor, logs: Tensor, reference: Reference) -> dict[str, float]:
    """``measures`` from what the classifier gives: features (N, F), log-probabilities (N, 10)."""
    confidence = logs.max(1).values.exp()
    return {
        "frechet": squared_distance(Gaussian.fit(features.numpy()), reference.gaussian),
        "classes_apart": 0.5 * float(np.abs(class_shares(logs) - reference.shares).sum()),
        "confidence": confidence.mean().item(),
        "unsure": (confidence < UNSURE).float().mean().item(),
    }


def undecided(logs: Tensor) -> float:
    """The share of images that rounding may count otherwise: two classes as likely, or the likeliest at ``UNSURE``."""
    first, second = logs.topk(2, dim=1).values.exp().unbind(1)
    return ((first - second <= ROUNDING) | ((first - UNSURE).abs() <= ROUNDING)).float().mean().item()


def class_shares(logs: Tensor) -> np.ndarray:
    """Shares of the predicted classes (10,), from log-probabilities (N, 10)."""
    return torch.bincount(logs.argmax(1), minlength=CLASSES).double().numpy() / len(logs)


def class_entropy_bits(logs: Tensor) -> Tensor:
    """Entropy of the classifier's answer on each image, (N,) bits, from log-probabilities (N, 10)."""
    return -(logs.exp() * logs).sum(1) / math.log(2)


def least_certain(logs: Tensor, count: int) -> dict[str, list[Any]]:
    """Places of the ``count`` images whose class the classifier knows least, with the entropy of its answer in bits."""
    entropy = class_entropy_bits(logs)
    places = entropy.argsort(descending=True, stable=True)[:count]
    return {"places": places.tolist(), "entropy_bits": entropy[places].tolist()}


@torch.no_grad()
def pixel_entropy_bits(model: PixelCNN, image: Tensor) -> tuple[Tensor, Tensor]:
    """Of each pixel of ``image`` (1, 1, H, W), given those before it: (entropy, surprise), both (H, W) in bits.

    The entropy is what the model expects to be told by the pixel, the surprise -log2 p what it was told. Over images drawn
    from the model itself both have the same mean.
    """
    z = model(image).double()
    x = image.double()
    surprise = F.binary_cross_entropy_with_logits(z, x, reduction="none")
    p = torch.sigmoid(z)
    entropy = p * F.softplus(-z) + (1 - p) * F.softplus(z)
    return entropy[0, 0] / math.log(2), surprise[0, 0] / math.log(2)


def nearest(images: Tensor, among: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Hamming distance (N,) int64, in pixels, to the nearest image of ``among``, and its place (N,): the first of equals.

    Both are zeros and ones in any shape, (N, …) and (M, …). ``UserError`` where their sizes differ.
    """
    ours, theirs = images.flatten(1).float(), among.flatten(1).float()
    if ours.shape[1] != theirs.shape[1] or not len(theirs):
        raise UserError(f"no distance between images of shapes {tuple(images.shape)} and {tuple(among.shape)}")
    ink = theirs.sum(1)  # |x - y| = |x| + |y| - 2 x·y for zeros and ones
    distances, places = [], []
    for batch in ours.split(batch_size):
        apart, place = (ink - 2 * batch @ theirs.T).min(1)  # (B, M): whole numbers, exact in fp32
        distances.append((apart + batch.sum(1)).long())
        places.append(place)
    return torch.cat(distances), torch.cat(places)


def sources(bits: Tensor, grey: Tensor, batch_size: int = 500) -> Tensor:
    """Place in ``grey`` (M, 28, 28) uint8 of the image that each of ``bits`` (N, …) most likely was drawn from: (N,).

    What gives the static test set its labels: the published files have none and another order than MNIST. The likelihood of a Bernoulli draw of each pixel; a pixel that is lit where the source is black costs so much that no
    number of likely pixels makes up for it.
    """
    p = (grey.flatten(1).double() / 255).clamp(1e-9, 1 - 1e-9)
    gain, base = (p.log() - (-p).log1p()).float(), (-p).log1p().sum(1).float()  # x log p + (1 - x) log(1 - p)
    flat = bits.flatten(1).float()
    return torch.cat([(batch @ gain.T + base).argmax(1) for batch in flat.split(batch_size)])


def near(distances: np.ndarray, floor: np.ndarray) -> dict[str, float]:
    """Median distance to the training images, and how many lie nearer than nearly all real test images (``floor``) do."""
    limit = np.quantile(floor, QUANTILE)
    return {"distance_median": float(np.median(distances)), "distance_below": float((distances < limit).mean())}
