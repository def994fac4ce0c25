"""Comparing two aligned images, by pixels or by Fourier rings; smaller values are better.

``this`` is the particle, ``other`` the reference, in the terms of a search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Bool, Float64
from mapsort.errors import NumericalError
from mapsort.physics.fsc import fsc_of_spectra, independent_counts
from mapsort.physics.normalization import linear_density_fit, squared_radius
from mapsort.physics.radial_matching import linear_shell_means, match_amplitudes
from mapsort.physics.shells import fourier_radius, shell_index

Image = Array

#: Value of correlations that cannot be computed: worse than any that can.
WORST_CORRELATION = 2.0


def correlation(this: Image, other: Image, chosen: Bool | None = None) -> float:
    """Negative correlation coefficient of some pixels, -1 (best) to 1; 2 for a constant image."""
    a, b = _pixels(this, other, chosen)
    a, b = a - a.mean(), b - b.mean()
    return _cosine(a, b)


def scalar_product(
    this: Image, other: Image, chosen: Bool | None = None, *, normalize: bool
) -> float:
    """Negative scalar product of some pixels over their number, or over both lengths."""
    a, b = _pixels(this, other, chosen)
    return _cosine(a, b) if normalize else -float(np.mean(a * b))


def mean_squared_difference(this: Image, other: Image, chosen: Bool | None = None) -> float:
    """Mean of the squared differences; arguments as for `correlation`."""
    a, b = _pixels(this, other, chosen)
    return float(np.mean((a - b) ** 2))


def fitted_to(this: Image, other: Image, *, ignore_zero: bool) -> Image:
    """Scale and shift the densities of `other` to be nearest to `this`.

    They stay where that would invert them. With `ignore_zero` the fit is where neither is zero.
    """
    chosen = (this != 0) & (other != 0) if ignore_zero else None
    if chosen is not None and not chosen.any():
        return other
    slope, offset = linear_density_fit(other, this, chosen)
    return slope * other.astype(np.float64) + offset if slope > 0 else other


def absolute_difference(
    this: Image, other: Image, chosen: Bool | None = None, *, normalize: bool
) -> float:
    """Half the sum of absolute differences of some pixels.

    `normalize` first subtracts each image's mean and divides by the sum of its absolute deviations.
    """
    a, b = _pixels(this, other, chosen)
    if normalize:
        a, b = a - a.mean(), b - b.mean()
        lengths = np.abs(a).sum(), np.abs(b).sum()
        if not all(lengths):
            return WORST_CORRELATION
        a, b = a / lengths[0], b / lengths[1]
    return 0.5 * float(np.abs(a - b).sum())


def least_quadrant_product(this: Image, other: Image, *, normalize: bool) -> float:
    """Negative of the smallest scalar product among the four quadrants of images (n, n).

    Each is divided by floor(n^2 / 4), or by the lengths of both quadrants with `normalize`; of an
    odd box the last row and column are not used.
    """
    n = this.shape[0]
    half, count = n // 2, n * n // 4
    products = []
    for rows in (slice(0, half), slice(half, 2 * half)):
        for columns in (slice(0, half), slice(half, 2 * half)):
            a = this[rows, columns].astype(np.float64).ravel()
            b = other[rows, columns].astype(np.float64).ravel()
            products.append(-_cosine(a, b) if normalize else float(np.sum(a * b)) / count)
    return -min(products)


def brightest_column(this: Image) -> float:
    """Negative of the largest column sum of an image (n, n)."""
    return -float(this.sum(axis=-2, dtype=np.float64).max())


def residual_variance(
    this: Image,
    other: Image,
    *,
    keep_zero: bool = True,
    invert: bool = False,
    match_spectrum: bool = True,
    match_each_amplitude: bool = False,
    weigh_by_radius: bool = False,
) -> float:
    """Mean squared difference after the reference is matched to the image.

    What EMAN2's optvariance is meant to be. There the amplitude factor is a ratio of intensities
    and the fitted line is applied inverted, so that ``other = 2 this + 1`` is not a match.

    Parameters
    ----------
    this, other : ndarray of shape (n, n) or (n, n, n)
        Noisy image and its reference.
    keep_zero : bool
        Pixels that are zero in `other` are not used in the fit and stay zero.
    invert : bool
        Fit and rescale `this` in place of `other`.
    match_spectrum, match_each_amplitude : bool
        First give `other` the radial spectrum, or every Fourier amplitude, of `this`.
    weigh_by_radius : bool
        Weigh squared differences by the distance from the centre.
    """
    a, b = this.astype(np.float64), other.astype(np.float64)
    zero = b == 0
    if match_each_amplitude:
        b = _with_amplitudes_of(a, b)
    elif match_spectrum:
        b = match_amplitudes(b, a).astype(np.float64)
    if keep_zero:
        b[zero] = 0.0
    used = ~zero if keep_zero and not zero.all() else None
    if invert:
        slope, offset = linear_density_fit(a, b, used)
        a = slope * a + offset
    else:
        slope, offset = linear_density_fit(b, a, used)
        b = np.where(zero, 0.0, slope * b + offset) if keep_zero else slope * b + offset
    square = (a - b) ** 2
    if not weigh_by_radius:
        return float(square.mean())
    weight = np.sqrt(squared_radius(len(a), ndim=a.ndim))
    return float(np.sum(weight * square) / weight.sum())


def _with_amplitudes_of(image: Float64, phases: Float64) -> Float64:
    amplitude = np.abs(scipy.fft.rfftn(image))
    spectrum = amplitude * np.exp(1j * np.angle(scipy.fft.rfftn(phases)))
    return np.asarray(scipy.fft.irfftn(spectrum, s=image.shape))


def _pixels(this: Image, other: Image, chosen: Bool | None) -> tuple[Float64, Float64]:
    a = (this if chosen is None else this[chosen]).astype(np.float64).ravel()
    b = (other if chosen is None else other[chosen]).astype(np.float64).ravel()
    if a.size == 0:
        raise NumericalError("comparison: the mask leaves no pixel")
    return a, b


def _cosine(a: Float64, b: Float64) -> float:
    # not a @ b: BLAS spreads it over threads, which costs more than the product and rounds by
    # their number
    norm = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    value = -float(np.sum(a * b)) / norm if norm > 0 else np.inf
    return value if np.isfinite(value) else WORST_CORRELATION


# Less residual power than this part of the image's own is rounding.
_LEAST_RESIDUAL = 1e-6


@dataclass(frozen=True)
class SoftBand:
    """A range of shells with soft ends."""

    #: low_px and high_px: shells at which the weight is 1/2, Fourier pixels; 0 or less for no end.
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
        weight *= linear_shell_means(np.abs(a), box=n, ndim=this.ndim)[: n // 2]
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
