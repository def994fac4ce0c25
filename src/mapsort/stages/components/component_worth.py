"""What components are worth to particles that had no part in them, and their principal axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Bool, Float64
from mapsort.stages.components.observed import Products

#: Steps in which the coordinates' covariance is learnt.
_STEPS = 15
#: Standard errors by which a component must gain.
_SIGNIFICANCE = 2.0
#: Variance of the scale to begin with.
_SCALE_VARIANCE = 0.04


@dataclass(frozen=True)
class PrincipalAxes:
    """Uncorrelated directions in the space of the components, the largest first.

    Attributes
    ----------
    basis : ndarray of shape (q + 1, q + 1), float64
        Maps times it are the mean, and components of coordinates of variance 1.
    gain : ndarray of shape (q + 1,), float64
        What 0, 1, ... components gain over the mean map [nat a particle kept out].
    count : int
        Components that gain beyond chance.
    """

    basis: Float64
    scale_variance: float
    gain: Float64
    count: int

    @classmethod
    def of(cls, products: Products, kept_out: Bool) -> PrincipalAxes:
        """Learn the axes from some particles, and their worth from the others.

        Parameters
        ----------
        products : Products
            With components in which those kept out had no part.
        kept_out : ndarray of shape (n,), bool
            None of them: the worth is that to all, which had a part.
        """
        if not kept_out.any():
            everyone = np.ones_like(kept_out)
            return cls._learnt(products, everyone, everyone)
        return cls._learnt(products, ~kept_out, kept_out)

    @classmethod
    def _learnt(cls, products: Products, own: Bool, others: Bool) -> PrincipalAxes:
        covariance = _coordinate_covariance(products.rows(own))
        power = products.precision[own].mean(axis=0)[1:, 1:]
        # components may be nothing
        power += (1e-6 * np.trace(power) + 1e-9) * np.eye(len(power))
        root = np.linalg.cholesky(power)
        variance, axes = np.linalg.eigh(root.T @ covariance[1:, 1:] @ root)
        axes = np.linalg.solve(root.T, axes)[:, ::-1]
        basis = np.eye(len(covariance))
        basis[1:, 1:] = axes * np.sqrt(np.maximum(variance[::-1], 0.0))
        signs = np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        basis[1:, 1:] *= signs
        scale_variance = float(covariance[0, 0])
        gains = _gains(products.rows(others).along(basis), scale_variance)
        error = np.diff(gains, axis=0).std(axis=1) / np.sqrt(max(1, gains.shape[1]))
        mean = gains.mean(axis=1)
        worth = np.diff(mean) > _SIGNIFICANCE * error
        count = len(worth) if worth.all() else int(np.argmin(worth))
        return cls(basis, scale_variance, mean - mean[0], count)


def _coordinate_covariance(products: Products) -> Float64:
    """Return the covariance of (scale, coordinates) that explains particles; the two apart."""
    q = products.target.shape[1]
    covariance = np.diag([_SCALE_VARIANCE] + [1.0] * (q - 1))
    centre = np.eye(q)[0]
    for _ in range(_STEPS):
        prior = np.linalg.inv(covariance + 1e-9 * np.eye(q))
        own = np.linalg.inv(products.precision + prior)
        found = np.einsum("nab,nb->na", own, products.target + prior @ centre) - centre
        covariance = np.einsum("na,nb->ab", found, found) / len(found) + own.mean(axis=0)
        covariance[0, 1:] = covariance[1:, 0] = 0.0
    return covariance


def _gains(products: Products, scale_variance: float) -> Float64:
    """Return the log evidence, (q + 1, n), of particles under 0, 1, ... q components."""
    q = products.target.shape[1]
    return np.stack(
        [
            _evidence(products.along(np.eye(q, k + 1)), np.r_[scale_variance, np.ones(k)])
            for k in range(q)
        ]
    )


def _evidence(products: Products, variance: Float64) -> Float64:
    """Return the log evidence of coordinates N((1, 0), diag(variance)), (n,)."""
    prior = 1 / variance
    target = products.target.copy()
    target[:, 0] += prior[0]
    precision = products.precision + np.diag(prior)
    found = np.linalg.solve(precision, target[..., None])[..., 0]
    fit = np.einsum("na,na->n", target, found) - prior[0]
    return np.asarray(0.5 * (fit - np.linalg.slogdet(precision)[1] + float(np.log(prior).sum())))
