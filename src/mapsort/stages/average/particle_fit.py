"""How each particle fits its map: its scale, and how unlike the others it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Array, Float64, Real

#: Standard deviation of a normal distribution over its median absolute deviation.
_DEVIATIONS = 1.4826
#: Bounds of the estimated spread of scales: what the ice's thickness does at least and at most.
SMALLEST_SPREAD, LARGEST_SPREAD = 0.05, 1.0
#: Particles whose misfit is this far off tell nothing about scales.
_SCALE_OUTLIERS = 5.0
#: Least width of the prior on shifts [pixels].
SMALLEST_SHIFT_PX = 1.0


@dataclass(frozen=True)
class ParticleFit:
    """Each particle against the projection of its best match, in units of the noise."""

    #: cross and reference, (n,): sums over the Fourier plane of Re conj(X) C P and C^2 |P|^2 over
    #: the noise's power.
    cross: Float64
    reference: Float64
    #: How far the spectrum of what is left is from that of the noise, (n,): see `misfit`.
    misfit: Float64

    @classmethod
    def empty(cls, n: int, *, room: Callable[..., Array] = np.zeros) -> ParticleFit:
        """Return the fit of particles that are not looked at yet.

        ``room`` makes arrays of zeros of a shape and type.
        """
        fit = cls(*(room((n,), np.float64) for _ in range(3)))
        fit.misfit[...] = 1.0
        return fit

    def place(self, first: int, other: ParticleFit) -> None:
        """Put the fit of consecutive particles, numbered from ``first``, in its place."""
        where = slice(first, first + len(other.misfit))
        self.cross[where] = other.cross
        self.reference[where] = other.reference
        self.misfit[where] = other.misfit

    @property
    def mean_scale(self) -> float:
        """Least-squares scale of all particles."""
        return float(self.cross.sum() / max(float(self.reference.sum()), 1e-12))

    @property
    def misfit_deviations(self) -> Float64:
        """By how many robust standard deviations each misfit's logarithm exceeds the median."""
        return deviations(np.log(np.maximum(self.misfit, 1e-6)))

    def scale_spread(self) -> float:
        """Return the standard deviation of the particles' scales, relative to the mean scale.

        A particle's own scale cross / reference has the variance 1 / reference of the noise on top
        of that of the scales: moments with weights (DerSimonian & Laird, Control. Clin. Trials 7
        (1986) 177, eq. 8). Bounded by `SMALLEST_SPREAD` and `LARGEST_SPREAD`.
        """
        chosen = (self.reference > 0) & (np.abs(self.misfit_deviations) < _SCALE_OUTLIERS)
        weight = self.reference[chosen]
        if len(weight) < 2:
            return LARGEST_SPREAD
        own = self.cross[chosen] / self.reference[chosen]
        mean = float(np.average(own, weights=weight))
        excess = float(np.sum(weight * (own - mean) ** 2)) - (len(own) - 1)
        room = float(weight.sum() - np.sum(weight**2) / weight.sum())
        spread = np.sqrt(max(excess, 0.0) / max(room, 1e-12)) / max(abs(mean), 1e-6)
        return float(np.clip(spread, SMALLEST_SPREAD, LARGEST_SPREAD))

    def scales(self) -> Float64:
        """Return each particle's scale, drawn towards the mean as far as its noise demands, (n,).

        The posterior mean of a normal prior with the spread of `scale_spread`, relative to the mean
        scale: 1 for a particle like the others.
        """
        mean = self.mean_scale
        stiffness = 1.0 / (self.scale_spread() * mean) ** 2 if mean > 0 else 1.0
        own = (self.cross + stiffness * mean) / (self.reference + stiffness)
        return np.asarray(own / mean if mean > 0 else np.ones_like(own))


def misfit(image: Real, cross: Real, reference: Real, noise_power: Real, terms: Real) -> Float64:
    """Return how far the spectra of residuals are from that of the noise, (n,).

    Parameters
    ----------
    image, cross, reference : ndarray of shape (n, n_shells)
        Sums over the terms of each shell of |X|^2, Re conj(X) C P and C^2 |P|^2.
    noise_power : ndarray of shape (n, n_shells)
    terms : ndarray of shape (n_shells,)
        Fourier terms in each shell, each with its Friedel mate.

    Notes
    -----
    With each particle's own least-squares scale s >= 0, r = |X - s C P|^2 / (terms x noise) has
    mean 1 and variance 2 / terms in each shell if what is left is noise; the misfit is the mean of
    (r - 1)^2 terms / 2 over the shells from 1, about 1 then. Both too much and too little count:
    images are brought to the same background variance, so that a bright streak makes the rest of
    its image too quiet.
    """
    inverse = 1.0 / noise_power
    up, down = np.sum(cross * inverse, axis=1), np.sum(reference * inverse, axis=1)
    own = np.maximum(up / np.maximum(down, 1e-12), 0.0)[:, None]
    left = (image - 2 * own * cross + own**2 * reference) * inverse
    ratio = left[:, 1:] / np.maximum(terms[1:], 1.0)
    return np.asarray(np.mean((ratio - 1.0) ** 2 * terms[1:] / 2.0, axis=1), dtype=np.float64)


def deviations(values: Real) -> Float64:
    """Return how far values (n,) lie above their median, in robust standard deviations."""
    centre = np.median(values)
    spread = _DEVIATIONS * float(np.median(np.abs(values - centre)))
    return np.asarray((values - centre) / max(spread, 1e-12), dtype=np.float64)


def outlier_scores(fit: ParticleFit, quality: Real) -> Float64:
    """Return how unlike the others each particle is, (n,), in standard deviations.

    The larger of two: by how much what is left when its map is taken from it is less like noise,
    and by how much less it correlates with its map (``quality``, in units of that of noise).
    """
    return np.asarray(np.maximum(fit.misfit_deviations, -deviations(quality)))


def shift_spread(origins: Real) -> float:
    """Return the width [pixels] of a normal prior on shifts (n, 2) along each axis.

    From the median of their squared length, which is 2 ln 2 times the variance; not the mean, which
    junk and wrong poses would widen. At least `SMALLEST_SHIFT_PX`.
    """
    square = float(np.median(np.sum(np.asarray(origins, dtype=np.float64) ** 2, axis=1)))
    return max(SMALLEST_SHIFT_PX, float(np.sqrt(square / (2.0 * np.log(2.0)))))
