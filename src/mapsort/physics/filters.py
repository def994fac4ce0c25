"""Low-pass curves, and radial filters of images and maps.

The curves take frequencies and cutoff in one unit, whichever it is (cycles per pixel, Fourier
pixels or 1/Angstrom), so they serve as radial curves and as transfer functions alike.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Float64
from mapsort.geometry.arrays import real_array
from mapsort.physics.shells import (
    box_of,
    box_of_spectrum,
    fourier_radius,
    friedel_weight,
    shell_index,
)


def gaussian_lowpass(frequency: ArrayLike, *, cutoff: float) -> Float64:
    """Return ``exp(-s^2 / cutoff^2)``, 1/e at the cutoff (EMAN2's filter.lowpass.gauss).

    Raises
    ------
    ValueError
        If the cutoff is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64) / _positive(cutoff)
    return np.exp(-np.square(s))


def tanh_lowpass(frequency: ArrayLike, *, cutoff: float, fall_off: float = 0.5) -> Float64:
    """Return ``(tanh(k (s + c)) - tanh(k (s - c))) / 2``, k = pi / (2 fall_off c), c the cutoff.

    EMAN2's filter.lowpass.tanh; `fall_off` is the width of the edge as a fraction of the cutoff.

    Raises
    ------
    ValueError
        If the cutoff or the fall-off is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64)
    k = np.pi / (2.0 * _positive(fall_off) * _positive(cutoff))
    return np.asarray(0.5 * (np.tanh(k * (s + cutoff)) - np.tanh(k * (s - cutoff))))


def tophat_lowpass(frequency: ArrayLike, *, cutoff: float) -> Float64:
    """Return 1 up to the cutoff and 0 beyond.

    Raises
    ------
    ValueError
        If the cutoff is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64)
    return (s <= _positive(cutoff)).astype(np.float64)


def apply_transfer(volume: Array, transfer: Array) -> Float32:
    """Multiply the half-complex Fourier transform of an image by factors that broadcast to it.

    Raises
    ------
    ValueError
        If the image is not square or cubic or the factors do not fit it.
    """
    box_of(volume, "volume")
    spectrum = scipy.fft.rfftn(np.asarray(volume, dtype=np.float32))
    filtered = scipy.fft.irfftn(spectrum * transfer, s=volume.shape)
    return np.asarray(filtered, dtype=np.float32)


def apply_radial_curve(volume: Array, curve: ArrayLike) -> Float32:
    """Multiply the Fourier transform of an image by an isotropic curve.

    Parameters
    ----------
    volume : ndarray of shape (n, n) or (n, n, n)
    curve : array_like of shape (m,)
        Factor at radius 0, 1, ... Fourier pixels; linear between them, constant beyond the last.

    Raises
    ------
    ValueError
        If the image is not square or cubic or the curve is not a non-empty 1-D array.
    """
    n = box_of(volume, "volume")
    values = real_array(curve, "curve", finite=False)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"curve: expected shape (m,), got {values.shape}")
    radius = fourier_radius(n, ndim=volume.ndim)
    return apply_transfer(volume, np.interp(radius, np.arange(len(values)), values))


def cut_off(volume: Array, *, shell: float) -> Float32:
    """Return a cubic map without what lies beyond a shell, by a cosine edge of a shell each way.

    A Gaussian would leave faint detail, but free of noise, in every shell: the FSC with the map
    itself, which knows no amplitudes, would be 1 far beyond.
    """
    beyond = fourier_radius(len(volume), ndim=3) - shell
    return apply_transfer(volume, 0.5 - 0.5 * np.sin(0.5 * np.pi * np.clip(beyond, -1, 1)))


def radial_power(spectrum: Array) -> Float64:
    """Return the mean of |F|^2 of the full spectrum in each rounded shell, (n//2 + 1,) float64.

    Raises
    ------
    ValueError
        If the spectrum is not of shape (n, n//2+1) or (n, n, n//2+1), rfft layout.
    """
    n = box_of_spectrum(spectrum, "spectrum")
    shells = shell_index(n, ndim=spectrum.ndim)
    weight = np.broadcast_to(friedel_weight(n, ndim=spectrum.ndim), shells.shape)
    power = np.bincount(shells.ravel(), (weight * np.abs(spectrum) ** 2).ravel())
    count = np.bincount(shells.ravel(), weight.ravel())
    return np.asarray((power / count)[: n // 2 + 1])


def randomise_phases(image: Array, *, cutoff: float, rng: np.random.Generator) -> Float32:
    """Give Fourier terms from a frequency on [cycles/pixel] random phases, and keep amplitudes.

    The phases are those of white noise, whose transform has the symmetry of a real image's.
    """
    box = box_of(image, "image")
    spectrum = scipy.fft.rfftn(np.asarray(image, dtype=np.float64))
    noise = scipy.fft.rfftn(rng.standard_normal(image.shape))
    beyond = fourier_radius(box, ndim=image.ndim) / box >= cutoff
    spectrum[beyond] = np.abs(spectrum[beyond]) * np.exp(1j * np.angle(noise[beyond]))
    return np.asarray(scipy.fft.irfftn(spectrum, s=image.shape), dtype=np.float32)


def _positive(value: float) -> float:
    if not value > 0:
        raise ValueError(f"expected a positive cutoff and fall-off, got {value}")
    return value
