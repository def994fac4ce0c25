"""Scores of particles against references, from the terms that the alignment kernels give."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mapsort.array_types import Float32, Real


class Comparator(Enum):
    """What is compared, and with which weights; all include the particle's CTF."""

    LOGLIK = "loglik"
    CCC = "ccc"
    DOT = "dot"
    SQEUCLIDEAN = "sqeuclidean"
    FRC = "frc"
    PHASE = "phase"

    @property
    def normalisation(self) -> str:
        """How Fourier terms are normalised before they are compared (the kernels' names)."""
        return {"frc": "rings", "phase": "phases"}.get(self.value, "none")

    @property
    def whitens(self) -> bool:
        """Whether rings are weighted by the inverse of the noise power; else all terms alike."""
        return self is Comparator.LOGLIK


@dataclass(frozen=True)
class Scoring:
    """How a cross term f and a reference norm g become a score; larger is better.

    f and g are sums over the Fourier terms of a particle, in units of the noise. For ``loglik`` the
    score is the log-likelihood [nat] of the particle under Gaussian noise relative to an empty
    image, maximised over the particle's scale s >= 0, whose prior is normal about 1:
    max_s s f - s^2 g / 2 - (s - 1)^2 / 2 spread^2. With an infinite spread this is f^2 / 2g: the
    ranking by correlation, which serves ``ccc``, ``frc`` and ``phase`` (there g is the same for all
    references); ``sqeuclidean`` is spread 0, f - g / 2; ``dot`` is f itself.
    """

    #: Standard deviation of the particles' scales; infinity makes the score blind to the scale of
    #: the maps, zero takes it as it is.
    scale_spread: float
    comparator: Comparator = Comparator.LOGLIK
    #: lowest_ang and highest_ang: range of resolutions compared [A], coarse and fine end
    #: (``minres``, ``maxres``).
    lowest_ang: float | None = None
    highest_ang: float | None = None

    @property
    def terms(self) -> tuple[object, ...]:
        """How Fourier terms are weighed: scorings alike in it prefer the same poses."""
        kind = self.comparator
        return (kind.normalisation, kind.whitens, self.lowest_ang, self.highest_ang)

    def scores(self, cross: Float32, norm: Float32) -> Float32:
        """Return scores of the same shape."""
        if self.comparator is Comparator.DOT:
            return np.array(cross, dtype=np.float32)
        if self.scale_spread == 0.0:
            return np.asarray(cross - 0.5 * norm, dtype=np.float32)
        stiffness = np.float32(self.scale_spread**-2 if np.isfinite(self.scale_spread) else 0.0)
        width = np.maximum(norm + stiffness, np.finfo(np.float32).tiny)
        gain = 0.5 * np.maximum(cross + stiffness, 0.0) ** 2 / width
        return np.asarray(gain - 0.5 * stiffness, dtype=np.float32)

    def ring_weight(
        self, signal_power: Real, noise_power: Real, n_rings: int, ang_per_ring: float
    ) -> Float32:
        """Return the weight of a Fourier term on rings 1 to n_rings.

        Parameters
        ----------
        signal_power, noise_power : ndarray of shape (box//2 + 1,)
            Mean power of the projections (without CTF) and of the noise on each ring.
        ang_per_ring : float
            box x apix: ring k has the resolution ang_per_ring / k [A].
        """
        rings = np.arange(1, n_rings + 1)
        power = noise_power[1 : n_rings + 1].astype(np.float64)
        if self.comparator.normalisation != "none":
            # the correlation that signal and noise let expect, at a mean squared CTF of 1/2:
            # rings without signal would only add their noise
            ratio = 0.5 * signal_power[1 : n_rings + 1] / power
            weight = np.sqrt(ratio / (1.0 + ratio))
        elif self.comparator.whitens:
            weight = 1.0 / power
        else:
            # one scale for all rings, so that scores stay in units of the noise
            weight = np.full(n_rings, np.sum(rings) / np.sum(rings * power))
        resolution = ang_per_ring / rings
        if self.lowest_ang is not None:
            weight = weight * (resolution <= self.lowest_ang)
        if self.highest_ang is not None:
            weight = weight * (resolution >= self.highest_ang)
        return np.ascontiguousarray(weight.astype(np.float32))


def shift_log_prior(origins: Real, spread: float) -> Float32:
    """Return -|origin|^2 / (2 spread^2) [nat] of shifts (..., 2) [pixels]; 0 without a prior."""
    if not np.isfinite(spread):
        return np.zeros(origins.shape[:-1], dtype=np.float32)
    return np.asarray(-np.sum(origins**2, axis=-1) / (2.0 * spread**2), dtype=np.float32)
