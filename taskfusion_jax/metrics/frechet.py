"""Frechet distance between two sets of features, streamed: no feature is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taskfusion_jax.errors import UserError


@dataclass(frozen=True)
class Moments:
    """Mean and scatter of the feature vectors seen so far, in float64.

    Attributes:
      count: how many vectors.
      mean: `[D]`.
      scatter: `[D, D]`, the sum of outer products of deviations from the mean.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, dimension: int) -> Moments:
        """Returns the moments of no vectors of length `dimension`."""
        return cls(0, np.zeros(dimension), np.zeros((dimension, dimension)))

    def update(self, features: np.ndarray) -> Moments:
        """Returns the moments with the vectors `features` `[B, D]`, B >= 1, taken in."""
        features = np.asarray(features, np.float64)
        mean = features.mean(axis=0)
        deviations = features - mean
        return self + Moments(len(features), mean, deviations.T @ deviations)

    def __add__(self, other: Moments) -> Moments:
        """Returns the moments of both sets together (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.count * other.count / count)
        mean = self.mean + step * (other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance `[D, D]`.

        Raises:
          UserError: fewer than 2 samples.
        """
        if self.count < 2:
            raise UserError(f"a Frechet distance needs at least 2 images per set, got {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Returns the squared Frechet distance of the two Gaussians with these moments.

    |m_a - m_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)) (Dowson & Landau 1982; FID of
    Heusel et al. 2017). With C = F F^T the last trace is the nuclear norm of F_a^T F_b, which
    needs no matrix square root and bears covariances of deficient rank (fewer samples than D).

    Args:
      a: moments of one set, of features of length D.
      b: moments of the other, of the same features.

    Returns:
      A number >= 0, in squared units of the features; nan if a feature was not finite.

    Raises:
      UserError: a set has fewer than 2 samples.
    """
    cov_a, cov_b = a.covariance, b.covariance
    if not (np.isfinite(cov_a).all() and np.isfinite(cov_b).all()):
        return float("nan")
    overlap = np.linalg.norm(_factor(cov_a).T @ _factor(cov_b), ord="nuc")
    distance = np.sum((a.mean - b.mean) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return max(0.0, float(distance))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Returns F `[D, rank]` with F F^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # Below this an eigenvalue is rounding noise (the bound of np.linalg.matrix_rank), may be
    # negative, and its root would be far from small.
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])
