"""Shells of equal spatial frequency in half-complex (rfft) Fourier layout.

Arrays are square or cubic with edge n; the last axis of a spectrum holds n // 2 + 1 terms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mapsort.geometry.arrays import real_array


def fourier_radius(box: int, *, ndim: int) -> NDArray[np.float64]:
    """Distance of each Fourier term from the origin.

    Parameters
    ----------
    box : int
        Edge n of the image or volume, pixels.
    ndim : int
        2 or 3.

    Returns
    -------
    ndarray of shape (n, n//2+1) or (n, n, n//2+1), float64
        Radius in Fourier pixels; divide by n for cycles per pixel, by n * apix for 1/Angstrom.

    Raises
    ------
    ValueError
        If `box` is not positive or `ndim` is not 2 or 3.
    """
    if box < 1 or ndim not in (2, 3):
        raise ValueError(f"expected box >= 1 and ndim 2 or 3, got {box} and {ndim}")
    full = scipy.fft.fftfreq(box, 1.0 / box) ** 2
    half = scipy.fft.rfftfreq(box, 1.0 / box) ** 2
    square = full[:, None] + half
    return np.asarray(np.sqrt(square if ndim == 2 else full[:, None, None] + square))


def shell_index(box: int, *, ndim: int) -> NDArray[np.intp]:
    """Shell of each Fourier term: the radius rounded to the nearest whole number.

    Parameters
    ----------
    box : int
        Edge n of the image or volume, pixels.
    ndim : int
        2 or 3.

    Returns
    -------
    ndarray of shape (n, n//2+1) or (n, n, n//2+1), intp
        Values up to round(sqrt(ndim) * n / 2); those above n // 2 are corners.

    Raises
    ------
    ValueError
        As for `fourier_radius`.
    """
    # the square of a radius is whole, so a radius is never halfway between two shells
    return np.rint(fourier_radius(box, ndim=ndim)).astype(np.intp)


def friedel_weight(box: int, *, ndim: int) -> NDArray[np.float32]:
    """How many terms of the full spectrum each term of the half-complex one stands for.

    Parameters
    ----------
    box : int
        Edge n of the image or volume, pixels.
    ndim : int
        2 or 3.

    Returns
    -------
    ndarray of shape (1, n//2+1) or (1, 1, n//2+1), float32
        1 in the plane kx = 0 and, for even n, kx = n / 2; 2 elsewhere.
    """
    weight = np.full(box // 2 + 1, 2.0, dtype=np.float32)
    weight[0] = 1.0
    if box % 2 == 0:
        weight[-1] = 1.0
    return weight.reshape((1,) * (ndim - 1) + (-1,))


def box_of(array: NDArray[Any], name: str) -> int:
    """Edge of a square image or cubic volume.

    Parameters
    ----------
    array : ndarray
        Real-space image (n, n) or volume (n, n, n).
    name : str
        What to call it in the error message.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the array is neither, or holds no real numbers.
    """
    real_array(array, name, None, finite=False)
    if array.ndim not in (2, 3) or len(set(array.shape)) != 1 or array.shape[0] < 1:
        raise ValueError(f"{name}: expected a square image or cubic volume, got {array.shape}")
    return int(array.shape[0])


def box_of_spectrum(spectrum: NDArray[Any], name: str) -> int:
    """Edge in real space of a half-complex spectrum.

    Parameters
    ----------
    spectrum : ndarray of shape (n, n//2+1) or (n, n, n//2+1)
        rfft layout.
    name : str
        What to call it in the error message.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the shape is not that of a half-complex spectrum.
    """
    n = int(spectrum.shape[0]) if spectrum.ndim in (2, 3) else 0
    if n < 1 or spectrum.shape != (n,) * (spectrum.ndim - 1) + (n // 2 + 1,):
        raise ValueError(
            f"{name}: expected shape (n, n//2+1) or (n, n, n//2+1), got {spectrum.shape}"
        )
    return n
