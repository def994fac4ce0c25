"""Averages of aligned images, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import NumericalError
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.image_statistics import sample_sigma
from mapsort.physics.shells import fourier_radius

Images = Array

# Local weights vary over distances larger than this [A].
_LOCAL_DISTANCE_ANG = 50.0
# Passes of the iterative average.
_PASSES = 4


@dataclass(frozen=True, eq=False)
class Average:
    """An average and what goes into its header.

    Attributes
    ----------
    image : ndarray of shape (n, n) or (n, n, n), float32
    n_averaged : int
        Number of images with a weight above 0 (``ptcl_repr``).
    snr_total : ndarray of shape (n//2,) or None
        Signal-to-noise ratio of the average per ring (``ctf_snr_total``).
    wiener_filtered : bool or None
        Whether a Wiener filter is applied already; None where that has no meaning.
    """

    image: Float32
    n_averaged: int
    snr_total: Float64 | None = None
    wiener_filtered: bool | None = None


def weighted_mean(images: Images, weights: Float64, *, ignore_zero: bool = False) -> Float32:
    """Mean of each pixel of images (n, ...) by weights (n,); 0 where nothing counts.

    With `ignore_zero` pixels that are exactly 0 do not count.
    """
    total = np.tensordot(weights, images.astype(np.float64), axes=1)
    if ignore_zero:
        count = np.tensordot(weights, (images != 0).astype(np.float64), axes=1)
    else:
        count = np.full(total.shape, weights.sum())
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0).astype(np.float32)


def pixel_sigma(images: Images, weights: Float64) -> Float32:
    """Weighted standard deviation of each pixel, with n in the denominator."""
    pixels = images.astype(np.float64)
    share = weights / weights.sum()
    mean = np.tensordot(share, pixels, axes=1)
    return np.sqrt(np.tensordot(share, (pixels - mean) ** 2, axes=1)).astype(np.float32)


def standardised(images: Images) -> Float64:
    """Give every image mean 0 and standard deviation 1.

    Raises
    ------
    NumericalError
        If an image is constant; the message gives its index.
    """
    result = np.empty(images.shape, dtype=np.float64)
    for index, image in enumerate(images):
        deviation = sample_sigma(image)
        if not deviation > 0:
            raise NumericalError(f"image {index} (counted from 0) is constant: cannot normalize it")
        result[index] = (image - image.mean(dtype=np.float64)) / deviation
    return result


def extreme(images: Images, *, largest: bool, by_absolute: bool) -> Float32:
    """Smallest or largest value of each pixel of images (n, ...), perhaps by absolute value."""
    measure = np.abs(images) if by_absolute else images
    index = np.argmax(measure, axis=0) if largest else np.argmin(measure, axis=0)
    return np.asarray(np.take_along_axis(images, index[None], axis=0)[0], dtype=np.float32)


def locally_weighted(
    images: Images, weights: Float64, *, apix: float, damp_noise: float = 0.5
) -> Float32:
    """Mean of images (n, ...) in which each counts where it agrees with the others.

    The local weight is the product with the mean of all images, low-passed (Gaussian, 1/e at
    0.02/A, `apix` in Angstrom) and clipped at 0, as in EMAN2's localweight averager. Where the sum
    of weights w is below its largest value, the mean is multiplied by ``(w / max w)^(1 -
    damp_noise)``: 1 gives the weighted mean, 0 leaves regions without agreement dark.
    """
    mean = weighted_mean(images, weights).astype(np.float64)
    n = images.shape[-1]
    radius = fourier_radius(n, ndim=mean.ndim) / (n * apix)
    lowpass = gaussian_lowpass(radius, cutoff=1.0 / _LOCAL_DISTANCE_ANG)
    total, norm = np.zeros(mean.shape), np.zeros(mean.shape)
    for image, weight in zip(images, weights, strict=True):
        local = weight * np.maximum(apply_transfer(image * mean, lowpass), 0.0)
        total += local * image
        norm += local
    return _damped(total, norm, damp_noise)


def locally_weighted_fourier(images: Images, weights: Float64, *, damp_noise: float) -> Float32:
    """As `locally_weighted`, each Fourier term weighed by its phase agreement with the mean.

    A term's weight in an image is the cosine of its phase difference from the mean, at least 0.
    """
    mean = scipy.fft.rfftn(weighted_mean(images, weights).astype(np.float64))
    total, norm = np.zeros(mean.shape, complex), np.zeros(mean.shape)
    for image, weight in zip(images, weights, strict=True):
        spectrum = scipy.fft.rfftn(image.astype(np.float64))
        local = weight * np.maximum(np.cos(np.angle(spectrum * mean.conj())), 0.0)
        total += local * spectrum
        norm += local
    # a real image's own term in the origin has no phase: it keeps the mean
    total.flat[0], norm.flat[0] = mean.flat[0] * weights.sum(), weights.sum()
    ratio = norm / norm.max()
    filtered = np.divide(total, norm, out=np.zeros_like(total), where=norm > 0)
    spectrum = filtered * ratio ** (1.0 - damp_noise)
    return np.asarray(scipy.fft.irfftn(spectrum, s=images.shape[1:]), dtype=np.float32)


def _damped(total: Float64, norm: Float64, damp_noise: float) -> Float32:
    """Quotient that falls with the weights where these are small."""
    largest = float(norm.max())
    if not largest > 0:
        return np.zeros(total.shape, dtype=np.float32)
    mean = np.divide(total, norm, out=np.zeros_like(total), where=norm > 0)
    return np.asarray(mean * (norm / largest) ** (1.0 - damp_noise), dtype=np.float32)


def iterated_mean(images: Images, weights: Float64) -> Float32:
    """Mean of images (n, box, box) whose Fourier terms are drawn towards those that agree with it.

    Four passes, as in EMAN2's iterative averager: each weighs every term of every image by its
    agreement with the last average, ``1 / (1 + |F - A|^2 / v)``, v the median of ``|F - A|^2`` over
    the images (the weights of a Cauchy distribution: outliers lose influence).
    """
    spectra = scipy.fft.rfftn(images.astype(np.float64), axes=range(1, images.ndim))
    share = weights.reshape((-1,) + (1,) * (images.ndim - 1))
    average = (share * spectra).sum(axis=0) / weights.sum()
    for _ in range(_PASSES):
        distance = np.abs(spectra - average) ** 2
        spread = np.median(distance[weights > 0], axis=0)
        ratio = np.divide(distance, spread, out=np.zeros_like(distance), where=spread > 0)
        influence = share / (1.0 + ratio)
        average = (influence * spectra).sum(axis=0) / influence.sum(axis=0)
    return np.asarray(scipy.fft.irfftn(average, s=images.shape[1:]), dtype=np.float32)
