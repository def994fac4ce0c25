"""Shells of equal spatial frequency in half-complex (rfft) Fourier layout.

Arrays are square or cubic with edge n; the last axis of a spectrum holds n // 2 + 1 terms.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64, Indices, Real
from mapsort.geometry.arrays import real_array


def fourier_radius(box: int, *, ndim: int) -> Float64:
    """Return the radius of each Fourier term [Fourier pixels], (n, n//2+1) or (n, n, n//2+1).

    Divide it by n for cycles per pixel, by n * apix for 1/Angstrom.

    Raises
    ------
    ValueError
        If `box` (the edge n, pixels) is not positive or `ndim` is not 2 or 3.
    """
    if box < 1 or ndim not in (2, 3):
        raise ValueError(f"expected box >= 1 and ndim 2 or 3, got {box} and {ndim}")
    full = scipy.fft.fftfreq(box, 1.0 / box) ** 2
    half = scipy.fft.rfftfreq(box, 1.0 / box) ** 2
    square = full[:, None] + half
    return np.asarray(np.sqrt(square if ndim == 2 else full[:, None, None] + square))


def shell_index(box: int, *, ndim: int) -> Indices:
    """Return the shell of each Fourier term, intp: `fourier_radius` rounded to whole numbers.

    They go up to round(sqrt(ndim) * n / 2); those above n // 2 are corners.
    """
    # the square of a radius is whole, so a radius is never halfway between two shells
    return np.rint(fourier_radius(box, ndim=ndim)).astype(np.intp)


def friedel_weight(box: int, *, ndim: int) -> Float32:
    """Return how many terms of the full spectrum each half-complex one stands for.

    Of shape (1, n//2+1) or (1, 1, n//2+1): 1 in the plane kx = 0 and, for even n, kx = n / 2; 2
    elsewhere.
    """
    weight = np.full(box // 2 + 1, 2.0, dtype=np.float32)
    weight[0] = 1.0
    if box % 2 == 0:
        weight[-1] = 1.0
    return weight.reshape((1,) * (ndim - 1) + (-1,))


def shell_means(power: Real, box: int) -> Float64:
    """Return means over rounded shells of spectra of images, (n, box//2 + 1)."""
    n_shells = box // 2 + 1
    shells = shell_index(box, ndim=2)
    weight = (friedel_weight(box, ndim=2) * (shells < n_shells)).ravel()
    shells = shells.ravel()
    place = np.minimum(shells, n_shells - 1)
    count = np.bincount(place, weight, n_shells)
    flat = power.reshape(len(power), -1)
    return np.stack([np.bincount(place, row * weight, n_shells) for row in flat]) / count


def box_of(array: Array, name: str) -> int:
    """Return the edge n of an image (n, n) or map (n, n, n).

    Raises
    ------
    ValueError
        If the array, called `name`, is neither, or holds no real numbers.
    """
    real_array(array, name, None, finite=False)
    if array.ndim not in (2, 3) or len(set(array.shape)) != 1 or array.shape[0] < 1:
        raise ValueError(f"{name}: expected a square image or cubic volume, got {array.shape}")
    return int(array.shape[0])


def box_of_spectrum(spectrum: Array, name: str) -> int:
    """Return the edge n in real space of a spectrum in rfft layout, (n, n//2+1) or (n, n, n//2+1).

    Raises
    ------
    ValueError
        If the shape of the spectrum, called `name`, is another.
    """
    n = int(spectrum.shape[0]) if spectrum.ndim in (2, 3) else 0
    if n < 1 or spectrum.shape != (n,) * (spectrum.ndim - 1) + (n // 2 + 1,):
        raise ValueError(
            f"{name}: expected shape (n, n//2+1) or (n, n, n//2+1), got {spectrum.shape}"
        )
    return n
