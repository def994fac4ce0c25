"""Undo the decay of a map's amplitudes: the overall B factor."""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64, Real
from mapsort.physics.filters import apply_radial_curve, radial_power

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
