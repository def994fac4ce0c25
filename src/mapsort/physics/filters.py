"""Low-pass and band-pass curves, radial filters of images and maps, and the overall B factor.

The curves take frequencies and cutoffs in one unit, whichever it is (cycles per pixel, Fourier
pixels or 1/Angstrom), so they serve as radial curves and as transfer functions alike.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Float64, Real
from mapsort.errors import ConfigError
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
    spectrum *= np.asarray(transfer, dtype=np.float32)
    filtered = scipy.fft.irfftn(spectrum, s=volume.shape, overwrite_x=True)
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


# Ripple of the pass band and attenuation of the stop band (SPARX, EMAN2).
_EPSILON = 0.882
_ATTENUATION = 10.624


def butterworth_lowpass(frequency: ArrayLike, *, low: float, high: float) -> Float64:
    """Butterworth low-pass that passes frequencies up to ``low`` and stops those from ``high`` on.

    ``1 / sqrt(1 + (s / s0)^p)``, ``p = 2 log10(e / sqrt(a^2 - 1)) / log10(low / high)``, ``s0 = low
    / e^(2/p)``, e = 0.882, a = 10.624 (Penczek, Grassucci, Frank (1994), Ultramicroscopy 53, 251,
    doi:10.1016/0304-3991(94)90038-8).

    Raises
    ------
    ConfigError
        Unless 0 < low < high.
    """
    if not 0 < low < high:
        raise ConfigError(f"butterworth filter: expected 0 < low < high, got {low:g} and {high:g}")
    power = 2.0 * np.log10(_EPSILON / np.sqrt(_ATTENUATION**2 - 1.0)) / np.log10(low / high)
    half = low / _EPSILON ** (2.0 / power)
    s = np.asarray(frequency, dtype=np.float64)
    return np.asarray(1.0 / np.sqrt(1.0 + (s / half) ** power))


def butterworth_stop(cutoff: float) -> float:
    """Start of the stop band for a single cutoff c [cycles/pixel]: ``c + 0.15 log10(1/c)``."""
    return 0.15 * float(np.log10(1.0 / cutoff)) + cutoff


def gaussian_bandpass(frequency: ArrayLike, *, center: float, sigma: float) -> Float64:
    """Gaussian band about a frequency, ``exp(-(s - center)^2 / (2 sigma^2))``."""
    s = np.asarray(frequency, dtype=np.float64)
    return np.asarray(np.exp(-np.square(s - center) / (2.0 * sigma**2)))


def tophat_bandpass(frequency: ArrayLike, *, low: float, high: float) -> Float64:
    """1 for low <= s <= high, else 0."""
    s = np.asarray(frequency, dtype=np.float64)
    return ((s >= low) & (s <= high)).astype(np.float64)


def tanh_bandpass(
    frequency: ArrayLike, *, low: float, high: float, low_fall_off: float, high_fall_off: float
) -> Float64:
    """Band between two edges of hyperbolic tangent shape: the difference of two `tanh_lowpass`.

    ``low`` and ``high`` are the middles of the edges; the fall-offs are their widths as fractions
    of the band's.

    Raises
    ------
    ConfigError
        Unless low < high.
    """
    if not low < high:
        raise ConfigError(f"tanh band-pass: low {low:g} must be below high {high:g}")
    upper = tanh_lowpass(frequency, cutoff=high, fall_off=high_fall_off * (high - low) / high)
    lower = tanh_lowpass(frequency, cutoff=low, fall_off=low_fall_off * (high - low) / low)
    return np.asarray(upper - lower)


#: The fit begins here [A]: at lower resolution the molecule's shape rules the spectrum.
GUINIER_FROM_ANG = 10.0
#: Shells that a straight line needs.
GUINIER_SHELLS = 4


def guinier_bfactor(
    volume: Array, apix: float, *, resolution_ang: float, curve: Real
) -> float | None:
    """Fit the overall B factor of a map's amplitudes, the decay ``exp(-B s^2 / 4)`` [A^2].

    ln(F sqrt(2 FSC / (1 + FSC))) over s^2 has the slope -B/4 (Rosenthal & Henderson, J. Mol. Biol.
    333 (2003) 721, section on sharpening). None where fewer than four shells lie between 10 A and
    the resolution.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Unfiltered mean of two half maps, masked.
    apix, resolution_ang : float
        Pixel size, and end of the fit, Angstrom.
    curve : ndarray of shape (n//2 + 1,)
        FSC of the half maps, which tells the signal's share of the amplitudes.
    """
    line = guinier_line(signal_amplitudes(volume, curve), apix, resolution_ang=resolution_ang)
    return None if line is None else -4.0 * line[0]


def signal_amplitudes(volume: Array, curve: Real) -> Float64:
    """Return the amplitude of a map's signal in each shell, (n//2 + 1,): as `guinier_bfactor`."""
    amplitude = np.sqrt(radial_power(scipy.fft.rfftn(volume))[: len(volume) // 2 + 1])
    weight = np.sqrt(np.clip(2.0 * curve / (1.0 + np.abs(curve)), 0.0, 1.0))
    return np.asarray(amplitude * weight, np.float64)


def guinier_line(
    signal: Float64, apix: float, *, resolution_ang: float
) -> tuple[float, float] | None:
    """Fit slope [A^2] and height at 0 of ln(signal) over s^2, from 10 A to the resolution."""
    s = np.arange(len(signal)) / (2 * (len(signal) - 1) * apix)
    fitted = (s >= 1.0 / GUINIER_FROM_ANG) & (s <= 1.0 / resolution_ang) & (signal > 0)
    if np.count_nonzero(fitted) < GUINIER_SHELLS:
        return None
    slope, height = np.polyfit(s[fitted] ** 2, np.log(signal[fitted]), 1)
    return float(slope), float(height)


def sharpened(volume: Array, apix: float, bfactor_ang2: float, *, resolution_ang: float) -> Float32:
    """Return a map with its amplitudes multiplied by ``exp(B s^2 / 4)``; positive B [A^2] sharpens.

    Beyond the resolution the factor stays what it is there: noise is not raised further.
    """
    box = len(volume)
    s = np.minimum(np.arange(box // 2 + 1) / (box * apix), 1.0 / resolution_ang)
    return apply_radial_curve(volume, np.exp(bfactor_ang2 * s**2 / 4.0))
