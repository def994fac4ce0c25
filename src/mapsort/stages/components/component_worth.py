"""What components are worth to particles that had no part in them, and their principal axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Bool, Float64
from mapsort.stages.components.observed import Products

#: Steps in which the coordinates' covariance is learnt.
_STEPS = 15
#: Standard errors by which one component or class more must gain. One that is not there loses, for
#: it is learnt from noise: of 59 such classes in 30 sets of 2,000 particles the best gained by 0.2.
SIGNIFICANCE = 2.0
#: What it must gain at least, beside, as a part of what the mean map is worth to a particle: what
#: the model leaves out of CTF and background varies among particles, too, and grows with the
#: signal. Of 2,000 particles of one structure at a signal-to-noise ratio of 0.6 (two sets) a second
#: class gains -0.0002 and 0.0001 of it, a component up to 0.0004 (at 0.1 and 0.6); the last of two
#: or four states at 0.1 (28 sets) 0.0016 to 0.02.
LEAST_SHARE = 1e-3
#: Variance of the scale to begin with.
_SCALE_VARIANCE = 0.04


@dataclass(frozen=True)
class PrincipalAxes:
    """Uncorrelated directions in the space of the components, the largest first."""

    #: Maps times it are the mean, and components of coordinates of mean 0 and variance 1, (q + 1, q
    #: + 1).
    basis: Float64
    scale_variance: float
    #: What 0, 1, .. components gain over the mean map [nat a particle kept out], (q + 1,).
    gain: Float64
    #: Components that gain beyond chance.
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
        mean_coordinates, covariance = _coordinate_model(products.rows(own))
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
        basis[1:, 0] = mean_coordinates
        scale_variance = float(covariance[0, 0])
        judged = products.rows(others).along(basis)
        evidence = _evidence_of_each(judged, scale_variance)
        signal, count = mean_worth(judged), 0
        while count < len(evidence) - 1 and gains(
            evidence[count + 1] - evidence[count], signal, SIGNIFICANCE
        ):
            count += 1
        mean = evidence.mean(axis=1)
        return cls(basis, scale_variance, mean - mean[0], count)


def _coordinate_model(products: Products) -> tuple[Float64, Float64]:
    """Return the mean coordinates at scale 1, (q,), and the covariance that explains particles.

    That is of (scale, coordinates less the scale times their mean), the two apart. Components may
    hold a part of the mean map: expectation and maximisation shift it into that only slowly.
    """
    q = products.target.shape[1]
    covariance = np.diag([_SCALE_VARIANCE] + [1.0] * (q - 1))
    centre, shear = np.eye(q)[0], np.eye(q)
    for _ in range(_STEPS):
        seen = products.along(shear)
        prior = np.linalg.inv(covariance + 1e-9 * np.eye(q))
        own = np.linalg.inv(seen.precision + prior)
        found = np.einsum("nab,nb->na", own, seen.target + prior @ centre)
        second = np.einsum("na,nb->ab", found, found) / len(found) + own.mean(axis=0)
        further = np.eye(q)
        further[1:, 0] = second[1:, 0] / second[0, 0]
        shear = shear @ further
        back = np.linalg.inv(further)
        cross = np.outer(back @ found.mean(axis=0), centre)
        covariance = back @ second @ back.T - cross - cross.T + np.outer(centre, centre)
        covariance[0, 1:] = covariance[1:, 0] = 0.0
    return shear[1:, 0], covariance


def mean_worth(products: Products) -> float:
    """Return what the mean map is worth to a particle [nat]."""
    return 0.5 * float(np.median(products.precision[:, 0, 0]))


def gains(more: Float64, signal: float, significance: float) -> bool:
    """Whether something more in a model explains particles that had no part in it beyond chance.

    Parameters
    ----------
    more : ndarray of shape (m,)
        By how much the log likelihood of each of them grew [nat].
    signal : float
        As `mean_worth` tells.
    significance : float
        Standard errors that are beyond chance.
    """
    error = float(more.std()) / np.sqrt(max(1, len(more)))
    return bool(more.mean() > max(significance * error, LEAST_SHARE * signal))


def _evidence_of_each(products: Products, scale_variance: float) -> Float64:
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
