"""Comparing two aligned images pixel by pixel; smaller values are better.

``this`` is the particle, ``other`` the reference, in the terms of a search.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Bool, Float64
from mapsort.errors import NumericalError
from mapsort.physics.image_statistics import linear_density_fit, squared_radius
from mapsort.physics.radial_matching import match_amplitudes

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
