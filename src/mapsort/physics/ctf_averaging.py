"""Averages of phase-flipped images with their CTF: the original's ctf.* averagers.

Images are phase-flipped, so that the transfer of a term is |CTF|.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Complex128, Float32, Float64
from mapsort.physics.averaging import Average
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.fsc import fsc, ssnr_from_fsc
from mapsort.physics.radial_matching import shell_means
from mapsort.physics.shells import fourier_radius

Images = Array

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
    return shell_means(values, box=box, ndim=2)[: box // 2]
