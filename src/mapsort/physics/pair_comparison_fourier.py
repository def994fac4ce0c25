"""Comparing two aligned images ring by ring in Fourier space; smaller values are better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float64
from mapsort.physics.fsc import fsc_of_spectra, independent_counts
from mapsort.physics.pair_comparison import WORST_CORRELATION
from mapsort.physics.radial_matching import shell_means
from mapsort.physics.shells import fourier_radius, shell_index

Image = Array

# Less residual power than this part of the image's own is rounding.
_LEAST_RESIDUAL = 1e-6


@dataclass(frozen=True)
class SoftBand:
    """A range of shells with soft ends.

    Attributes
    ----------
    low_px, high_px : float
        Shells at which the weight is 1/2, Fourier pixels; 0 or less for no end.
    """

    low_px: float
    high_px: float

    @classmethod
    def of(
        cls,
        length_ang: float,
        minres: tuple[float | None, float],
        maxres: tuple[float | None, float],
        pmin: float | None,
        pmax: float | None,
    ) -> SoftBand:
        """Return the band between two resolutions [A], or two shells, which win.

        A resolution is what is asked for, or else a default; 0 or less is no limit.
        """
        coarse, fine = (default if asked is None else asked for asked, default in (minres, maxres))
        low = length_ang / coarse if coarse > 0 else 0.0
        high = length_ang / fine if fine > 0 else 0.0
        return cls(low if pmin is None else pmin, high if pmax is None else pmax)

    def weights(self, n_shells: int) -> Float64:
        """Return the weight of shells 0 to n_shells - 1.

        ``(tanh(5 (r - low) / low) + 1) / 2`` times ``(1 - tanh(r - high)) / 2``.
        """
        shell = np.arange(n_shells, dtype=np.float64)
        weight = np.ones(n_shells)
        if self.low_px > 0:
            weight *= 0.5 + 0.5 * np.tanh(5.0 * (shell - self.low_px) / self.low_px)
        if self.high_px > 0:
            weight *= 0.5 - 0.5 * np.tanh(shell - self.high_px)
        return weight


def masked_to_common(this: Image, other: Image) -> tuple[Image, Image]:
    """Set pixels that are zero in either image to zero in both."""
    both = (this != 0) & (other != 0)
    return np.where(both, this, 0), np.where(both, other, 0)


def ring_correlation(
    this: Image,
    other: Image,
    *,
    weights: Float64,
    by_count: bool = True,
    by_amplitude: bool = False,
    n_averaged: float | None = None,
) -> float:
    """Negative weighted mean of the Fourier ring (shell) correlation, -1 (best) to 1; 2 for none.

    Parameters
    ----------
    this, other : ndarray of shape (n, n) or (n, n, n)
    weights : ndarray of shape (n//2,), float64
        Weight of shells 0 to n//2 - 1.
    by_count, by_amplitude : bool
        Weigh shells by their number of terms, and by the mean amplitude of `this`, too.
    n_averaged : float, optional
        Number of images averaged in `other`: the mean correlation f becomes the one of a single
        image, whose signal-to-noise ratio is ``f / (1 - f) / n_averaged``.
    """
    n = this.shape[0]
    a, b = (scipy.fft.rfftn(np.asarray(m, dtype=np.float64)) for m in (this, other))
    curve = fsc_of_spectra(a, b)[: n // 2]
    weight = weights.copy()
    if by_count:
        weight *= independent_counts(n, ndim=this.ndim)[: n // 2]
    if by_amplitude:
        weight *= shell_means(np.abs(a), box=n, ndim=this.ndim)[: n // 2]
    total = float(weight.sum())
    mean = float(np.sum(weight * curve)) / total if total > 0 else np.nan
    if n_averaged is not None and 0.0 <= mean < 1.0:
        ratio = mean / (1.0 - mean) / n_averaged
        mean = ratio / (ratio + 1.0)
    return -mean if np.isfinite(mean) else WORST_CORRELATION


def mean_phase_difference(
    this: Image, other: Image, *, weights: Float64, by_amplitude: bool = False
) -> float:
    """Weighted mean of the absolute phase differences, 0 to pi [radians].

    pi if nothing has a weight. ``weights`` (n//2,) are those of terms on shells 0 to n//2 - 1: the
    rounded radius in 2-D, the truncated one in 3-D; `by_amplitude` multiplies them by the amplitude
    of `other`. Terms without amplitude count 0.
    """
    n = this.shape[0]
    a, b = (scipy.fft.rfftn(np.asarray(m, dtype=np.float64)) for m in (this, other))
    radius = fourier_radius(n, ndim=this.ndim)
    shell = (np.rint(radius) if this.ndim == 2 else radius).astype(np.intp)
    chosen = shell < len(weights)
    weight = weights[shell[chosen]]
    a, b = a[chosen], b[chosen]
    if by_amplitude:
        weight = weight * np.abs(b)
    difference = np.abs(np.angle(a * b.conj()))
    total = float(weight.sum())
    return float(np.sum(weight * difference)) / total if total > 0 else float(np.pi)


def negative_log_likelihood(
    this: Image, other: Image, *, transfer: Float64 | None, lowest: float, highest: float
) -> float:
    """Negative log-likelihood [nat] of an image given a reference, relative to no reference.

    Gaussian noise whose power on each ring is what the residual shows, maximised over it and over
    the scale of the reference: ``sum_r n_r / 2 ln(|A - s C B|_r^2 / |A|_r^2)``, n_r real terms on
    ring r; s is the least-squares scale, weighed by the inverse power of the image on each ring. C
    is ``transfer``, of half-complex shape; shells from ``lowest`` to ``highest`` are compared.
    """
    n = this.shape[0]
    a, b = (scipy.fft.rfftn(np.asarray(m, dtype=np.float64)) for m in (this, other))
    if transfer is not None:
        b = b * transfer
    shell = shell_index(n, ndim=this.ndim)
    chosen = (shell >= max(lowest, 1.0)) & (shell <= min(highest, n // 2))
    a, b, index = a[chosen], b[chosen], shell[chosen]
    power = np.bincount(index, np.abs(a) ** 2, n // 2 + 1)
    used = power > 0
    precision = np.divide(1.0, power, out=np.zeros_like(power), where=used)[index]
    norm = float(np.sum(precision * np.abs(b) ** 2))
    cross = float(np.sum(precision * (a * b.conj()).real))
    scale = max(cross / norm, 0.0) if norm > 0 else 0.0
    residual = np.bincount(index, np.abs(a - scale * b) ** 2, n // 2 + 1)
    ratio = np.maximum(residual[used] / power[used], _LEAST_RESIDUAL)
    terms = 2.0 * independent_counts(n, ndim=this.ndim)[used]
    return 0.5 * float(np.sum(terms * np.log(ratio)))
