"""How good drawn images are, in numbers that real images can be held to as well: what a classifier sees in them.

``measures`` gives the Fréchet distance (``frechet.py``), how far the classes are from their true shares, and how sure the
classifier is; ``pixel_entropy_bits`` how sure the model itself is while an image grows. Not here: drawing, likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genmodels.pixelcnn.classifier import CLASSES, DigitClassifier, measured
from genmodels.pixelcnn.frechet import Gaussian, squared_distance
from genmodels.pixelcnn.model import PixelCNN
from genmodels.system.ties import ROUNDING

UNSURE = 0.5  # the likeliest class has less than this: no digit that the classifier knows


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

    ``frechet``, the squared distance; ``classes_apart``, the total variation between shares of predicted classes, 0..1; ``confidence``, the mean probability of the likeliest class;
    ``unsure``, the share of images whose likeliest class has less than ``UNSURE``.
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
