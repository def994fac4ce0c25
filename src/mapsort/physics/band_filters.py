"""Transfer curves with two frequencies: band-pass filters and the Butterworth low-pass.

Frequencies and cutoffs have one unit, whichever it is, as in `mapsort.physics.filters`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64
from mapsort.errors import ConfigError
from mapsort.physics.filters import tanh_lowpass

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
