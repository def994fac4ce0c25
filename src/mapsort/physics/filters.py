"""Low-pass curves, and radial filters of images and maps.

The curves take frequencies and cutoff in one unit, whichever it is (cycles per pixel, Fourier
pixels or 1/Angstrom), so they serve as radial curves and as transfer functions alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from mapsort.geometry.arrays import real_array
from mapsort.physics.shells import (
    box_of,
    box_of_spectrum,
    fourier_radius,
    friedel_weight,
    shell_index,
)


def gaussian_lowpass(frequency: ArrayLike, *, cutoff: float) -> NDArray[np.float64]:
    """Gaussian low-pass that falls to 1/e at the cutoff.

    Parameters
    ----------
    frequency : array_like
        Frequencies, in the unit of `cutoff`.
    cutoff : float
        Frequency at which the filter is 1/e.

    Returns
    -------
    ndarray of the shape of `frequency`, float64
        ``exp(-s^2 / cutoff^2)`` (EMAN2, filter.lowpass.gauss with a cutoff).

    Raises
    ------
    ValueError
        If the cutoff is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64) / _positive(cutoff)
    return np.exp(-np.square(s))


def tanh_lowpass(
    frequency: ArrayLike, *, cutoff: float, fall_off: float = 0.5
) -> NDArray[np.float64]:
    """Low-pass with hyperbolic tangent edge.

    Parameters
    ----------
    frequency : array_like
        Frequencies, in the unit of `cutoff`.
    cutoff : float
        Frequency c at the middle of the edge.
    fall_off : float
        Width of the edge as a fraction of the cutoff.

    Returns
    -------
    ndarray of the shape of `frequency`, float64
        ``(tanh(k (s + c)) - tanh(k (s - c))) / 2`` with ``k = pi / (2 fall_off c)`` (EMAN2,
        filter.lowpass.tanh).

    Raises
    ------
    ValueError
        If the cutoff or the fall-off is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64)
    k = np.pi / (2.0 * _positive(fall_off) * _positive(cutoff))
    return np.asarray(0.5 * (np.tanh(k * (s + cutoff)) - np.tanh(k * (s - cutoff))))


def tophat_lowpass(frequency: ArrayLike, *, cutoff: float) -> NDArray[np.float64]:
    """Low-pass that keeps everything up to the cutoff and nothing beyond.

    Parameters
    ----------
    frequency : array_like
        Frequencies, in the unit of `cutoff`.
    cutoff : float
        Last frequency that passes.

    Returns
    -------
    ndarray of the shape of `frequency`, float64
        0 or 1.

    Raises
    ------
    ValueError
        If the cutoff is not positive.
    """
    s = np.asarray(frequency, dtype=np.float64)
    return (s <= _positive(cutoff)).astype(np.float64)


def apply_transfer(volume: NDArray[Any], transfer: NDArray[Any]) -> NDArray[np.float32]:
    """Multiply the Fourier transform of an image or map.

    Parameters
    ----------
    volume : ndarray of shape (n, n) or (n, n, n)
        Real image or map.
    transfer : ndarray that broadcasts to the half-complex shape
        Factor per Fourier term.

    Returns
    -------
    ndarray of the shape of `volume`, float32

    Raises
    ------
    ValueError
        If the volume is not square or cubic or the factor does not fit it.
    """
    box_of(volume, "volume")
    spectrum = scipy.fft.rfftn(np.asarray(volume, dtype=np.float32))
    filtered = scipy.fft.irfftn(spectrum * transfer, s=volume.shape)
    return np.asarray(filtered, dtype=np.float32)


def apply_radial_curve(volume: NDArray[Any], curve: ArrayLike) -> NDArray[np.float32]:
    """Multiply the Fourier transform by an isotropic curve.

    Parameters
    ----------
    volume : ndarray of shape (n, n) or (n, n, n)
        Real image or map.
    curve : array_like of shape (m,)
        Factor at radius 0, 1, ... Fourier pixels; between them it is interpolated linearly, and
        beyond the last (in the corners, if m = n//2 + 1) it stays constant.

    Returns
    -------
    ndarray of the shape of `volume`, float32

    Raises
    ------
    ValueError
        If the volume is not square or cubic or the curve is not a non-empty 1-D array.
    """
    n = box_of(volume, "volume")
    values = real_array(curve, "curve", finite=False)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"curve: expected shape (m,), got {values.shape}")
    radius = fourier_radius(n, ndim=volume.ndim)
    return apply_transfer(volume, np.interp(radius, np.arange(len(values)), values))


def radial_power(spectrum: NDArray[Any]) -> NDArray[np.float64]:
    """Mean power per shell.

    Parameters
    ----------
    spectrum : ndarray of shape (n, n//2+1) or (n, n, n//2+1), complex
        ``scipy.fft.rfftn`` of an image or map.

    Returns
    -------
    ndarray of shape (n//2 + 1,), float64
        Mean of |F|^2 over all terms of the full spectrum whose radius rounds to the shell.

    Raises
    ------
    ValueError
        If the shape is not that of a half-complex spectrum.
    """
    n = box_of_spectrum(spectrum, "spectrum")
    shells = shell_index(n, ndim=spectrum.ndim)
    weight = np.broadcast_to(friedel_weight(n, ndim=spectrum.ndim), shells.shape)
    power = np.bincount(shells.ravel(), (weight * np.abs(spectrum) ** 2).ravel())
    count = np.bincount(shells.ravel(), weight.ravel())
    return np.asarray((power / count)[: n // 2 + 1])


def _positive(value: float) -> float:
    if not value > 0:
        raise ValueError(f"expected a positive cutoff and fall-off, got {value}")
    return value
