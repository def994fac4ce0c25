"""Averages of aligned images: pixel by pixel, or with their CTF (the original's ctf.*).

Images with a CTF are phase-flipped, so that the transfer of a term is |CTF|.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Complex128, Float32, Float64
from mapsort.errors import NumericalError
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import apply_radial_curve, apply_transfer, gaussian_lowpass
from mapsort.physics.fsc import fsc, ssnr_from_fsc
from mapsort.physics.normalization import sample_sigma
from mapsort.physics.radial_matching import linear_shell_means
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


# Terms near a zero of the CTF are not amplified by more than the inverse of this.
_LEAST_CTF = 0.05
# An unknown signal-to-noise ratio.
_LEAST_SNR = 0.001
# Envelope of the Wiener averager [A^2].
_WIENER_BFACTOR = 100.0


def snr_average(
    images: Images, weights: Float64, ctf: ContrastTransfer, *, apix: float, snr: Float64 | None
) -> Average:
    """Average weighed by signal-to-noise ratio, amplitudes corrected, not filtered (ctf.auto).

    ``sum F SNR / max(|CTF|, 0.05) / sum SNR``, CTF without envelope; terms with a sum of SNR below
    0.05 are multiplied by 20 only; ratios of 0 or less count as 0.001; radius up to n/2 - 1.

    Parameters
    ----------
    images : ndarray of shape (n, box, box)
        Phase-flipped.
    weights : ndarray of shape (n,), float64
        Factor of each image's ratio.
    ctf : ContrastTransfer
        Of length n.
    apix : float
        Pixel size, Angstrom.
    snr : ndarray of shape (n, m) or None
        Signal-to-noise ratio of each image at 0, 1, ... Fourier pixels, interpolated linearly and
        constant beyond; without it |CTF|^2.
    """
    ratios = _ratios(snr, ctf, images.shape[-1], apix)
    ratios = np.where(ratios > 0, ratios, _LEAST_SNR) * weights[:, None, None]
    total = ratios.sum(axis=0)
    corrected = _corrected_sum(images, ratios, ctf, apix=apix, bfactor_ang2=0.0)
    norm = np.maximum(total, _LEAST_CTF)
    image = _image(corrected / norm, images.shape[-1])
    return Average(image, _count(weights), _rings(total, images.shape[-1]), wiener_filtered=False)


def wiener_average(
    images: Images, weights: Float64, ctf: ContrastTransfer, *, apix: float, snr: Float64 | None
) -> Average:
    """Wiener-filtered average (ctfw.auto); arguments as for `snr_average`.

    ``sum F SNR / max(|CTF|, 0.05) / (1 + sum SNR)``, CTF with the envelope of B = 100 A^2; without
    a ratio at the origin the mean becomes 0.
    """
    ratios = _ratios(snr, ctf, images.shape[-1], apix)
    ratios = np.where(ratios < 0, _LEAST_SNR, ratios) * weights[:, None, None]
    total = 1.0 + ratios.sum(axis=0)
    corrected = _corrected_sum(images, ratios, ctf, apix=apix, bfactor_ang2=_WIENER_BFACTOR)
    image = _image(corrected / total, images.shape[-1])
    return Average(image, _count(weights), _rings(total, images.shape[-1]), wiener_filtered=True)


def squared_ctf_average(
    images: Images, weights: Float64, ctf: ContrastTransfer, *, apix: float
) -> Average:
    """Average ``sum F CTF^2 / sum CTF^2`` (ctf.weight), not corrected; see `snr_average`."""
    box = images.shape[-1]
    squares = ctf_images(_with_bfactor(ctf, 0.0), box, apix).astype(np.float64) ** 2
    squares *= weights[:, None, None]
    spectra = scipy.fft.rfft2(images.astype(np.float64))
    total = squares.sum(axis=0)
    average = (spectra * squares).sum(axis=0)
    average = np.divide(average, total, out=np.zeros_like(average), where=total > 0)
    image = np.asarray(scipy.fft.irfft2(average, s=(box, box)), dtype=np.float32)
    return Average(image, _count(weights), wiener_filtered=False)


def autofiltered_average(
    images: Images, weights: Float64, ctf: ContrastTransfer, *, apix: float
) -> Average:
    """Average as `squared_ctf_average`, filtered by the correlation f of its even and odd halves.

    Times ``SSNR / (SSNR + 1)``, ``SSNR = 2 f / (1 - f)`` (ctf.weight.autofilt).
    """
    whole = squared_ctf_average(images, weights, ctf, apix=apix)
    halves = [
        squared_ctf_average(images[k::2], weights[k::2], ctf[k::2], apix=apix).image
        for k in range(2)
        if len(images) > 1
    ]
    if len(halves) < 2:
        return replace(whole, wiener_filtered=True)
    ratio = ssnr_from_fsc(fsc(*halves))
    image = apply_radial_curve(whole.image, ratio / (ratio + 1.0))
    return replace(whole, image=image, wiener_filtered=True)


def ring_weighted_average(images: Images, weights: Float64, curves: Float64 | None) -> Average:
    """Mean of images weighted per ring by curves (n, m) at 0, 1, ... Fourier pixels."""
    box, ndim = images.shape[-1], images.ndim - 1
    radius = fourier_radius(box, ndim=ndim)
    total, norm = np.zeros(radius.shape, complex), np.zeros(radius.shape)
    for index, (image, weight) in enumerate(zip(images, weights, strict=True)):
        ring = np.full(radius.shape, weight)
        if curves is not None:
            ring *= np.interp(radius, np.arange(curves.shape[1]), curves[index])
        total += ring * scipy.fft.rfftn(image.astype(np.float64))
        norm += ring
    average = np.divide(total, norm, out=np.zeros_like(total), where=norm > 0)
    image = np.asarray(scipy.fft.irfftn(average, s=images.shape[1:]), dtype=np.float32)
    return Average(image, _count(weights))


def _count(weights: Float64) -> int:
    return int(np.count_nonzero(weights > 0))


def _with_bfactor(ctf: ContrastTransfer, bfactor_ang2: float) -> ContrastTransfer:
    return replace(ctf, bfactor_ang2=np.full(len(ctf), bfactor_ang2))


def _ratios(snr: Float64 | None, ctf: ContrastTransfer, box: int, apix: float) -> Float64:
    """Signal-to-noise ratio of each Fourier term of each image; 0 at the origin."""
    if snr is None:
        ratios = ctf_images(_with_bfactor(ctf, 0.0), box, apix).astype(np.float64) ** 2
    else:
        radius = fourier_radius(box, ndim=2)
        ratios = np.stack([np.interp(radius, np.arange(len(curve)), curve) for curve in snr])
    ratios[:, 0, 0] = 0.0
    return ratios


def _corrected_sum(
    images: Images, ratios: Float64, ctf: ContrastTransfer, *, apix: float, bfactor_ang2: float
) -> Complex128:
    box = images.shape[-1]
    transfer = np.abs(ctf_images(_with_bfactor(ctf, bfactor_ang2), box, apix))
    spectra = scipy.fft.rfft2(images.astype(np.float64))
    return np.asarray((spectra * ratios / np.maximum(transfer, _LEAST_CTF)).sum(axis=0))


def _image(spectrum: Complex128, box: int) -> Float32:
    """Image of a spectrum up to the radius n/2 - 1."""
    kept = np.where(fourier_radius(box, ndim=2) <= box / 2 - 1, spectrum, 0.0)
    return np.asarray(scipy.fft.irfft2(kept, s=(box, box)), dtype=np.float32)


def _rings(values: Float64, box: int) -> Float64:
    """Mean over rings 0 to n//2 - 1."""
    return linear_shell_means(values, box=box, ndim=2)[: box // 2]
