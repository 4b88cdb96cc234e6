"""Fréchet distance between two sets of images, as Gaussians in a classifier's feature space.

Heusel et al. 2017 (arXiv 1706.08500, eq. 6), after Dowson and Landau 1982. For means m, n and covariances C, D:

    d^2 = |m - n|^2 + tr(C + D - 2 (C D)^{1/2}),

where tr (C D)^{1/2} is the sum of the square roots of the eigenvalues of C^{1/2} D C^{1/2}: symmetric, so that no complex
square root arises. The features are those of our own classifier, so that values compare with each other and with the floor
of real images only, never with published ones (those use Inception's features). Of N images the estimate is biased upwards
by about a constant over N (Chong and Forsyth 2020, arXiv 1911.07023): compare at the same N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genmodels.errors import UserError


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
