"""Fourier shell (3-D) and ring (2-D) correlation: computed, read, drawn anew, and local.

Fourier terms of a masked map are correlated with their neighbours, and shells differ by nature: the
FSC falls with frequency. What can be exchanged to find its uncertainty are directions. The half
sphere is divided into sectors, and a curve is drawn anew from as many sectors, some taken twice and
some not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy  # its parts are loaded when they are used
import scipy.fft
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Bool, Complex64, Float32, Float64, Indices, Int64
from mapsort.errors import ConfigError, NumericalError
from mapsort.geometry.arrays import real_array
from mapsort.physics.filters import apply_transfer
from mapsort.physics.shells import (
    box_of,
    box_of_spectrum,
    fourier_radius,
    friedel_weight,
    shell_index,
)

#: Correlations at which resolutions are read: of half maps that are independent throughout, and of
#: maps that share what made them, or of a map with the truth (Rosenthal & Henderson 2003).
GOLD_STANDARD, ONE_HALF = 0.143, 0.5
# A correlation of 1 would mean an infinite signal-to-noise ratio.
_LARGEST_CORRELATION = 0.9999


def fsc(a: ArrayLike, b: ArrayLike) -> Float64:
    """Fourier shell correlation of two images or maps.

    Parameters
    ----------
    a, b : array_like of shape (n, n) or (n, n, n)
        Real images or maps of the same shape; `Volume` objects, too.

    Returns
    -------
    ndarray of shape (n//2 + 1,), float64
        Correlation per shell, shell 0 first; 0 where one of the two has no power.

    Raises
    ------
    ValueError
        If the shapes differ or are not square or cubic.

    Notes
    -----
    See `fsc_of_spectra`.
    """
    one, other = np.asarray(a), np.asarray(b)
    if one.shape != other.shape:
        raise ValueError(f"fsc: shapes differ: {one.shape} and {other.shape}")
    box_of(one, "a")
    box_of(other, "b")
    return fsc_of_spectra(scipy.fft.rfftn(one), scipy.fft.rfftn(other))


def fsc_of_spectra(a: Array, b: Array) -> Float64:
    """Return the FSC (n//2 + 1,) of half-complex spectra that the caller has already.

    ``sum Re(A B*) / sqrt(sum |A|^2 sum |B|^2)`` over the terms whose radius rounds to the shell,
    each Friedel pair of the plane kx = 0 counted once (Harauz & van Heel 1986, Optik 73, 146; the
    numbers are EMAN2's ``calc_fourier_shell_correlation``).

    Raises
    ------
    ValueError
        If the shapes differ or are not (n, n//2+1) or (n, n, n//2+1).
    """
    if a.shape != b.shape:
        raise ValueError(f"fsc_of_spectra: shapes differ: {a.shape} and {b.shape}")
    n = box_of_spectrum(a, "a")
    shells = shell_index(n, ndim=a.ndim)
    chosen = _independent(n, a.ndim) & (shells <= n // 2)
    index, fa, fb = shells[chosen], a[chosen], b[chosen]
    cross = np.bincount(index, (fa * fb.conj()).real, n // 2 + 1)
    power_a = np.bincount(index, np.abs(fa) ** 2, n // 2 + 1)
    power_b = np.bincount(index, np.abs(fb) ** 2, n // 2 + 1)
    norm = np.sqrt(power_a) * np.sqrt(power_b)
    curve = np.zeros(n // 2 + 1)
    np.divide(cross, norm, out=curve, where=norm > 0)
    return curve


def fsc_of_pairs(volumes: Iterable[Array]) -> Float64:
    """Fourier shell correlations of all pairs of several maps.

    Every map is transformed once, and its terms are kept in single precision; the sums over a
    shell are one matrix product for all pairs.

    Parameters
    ----------
    volumes : iterable of ndarray of shape (n, n, n)
        Taken one at a time.

    Returns
    -------
    ndarray of shape (k, k, n//2 + 1), float64
        As `fsc` of maps i and j; symmetric.
    """
    rows: list[Complex64] = []
    n, order, counts = 0, np.empty(0, np.intp), np.empty(0, np.intp)
    for volume in volumes:
        spectrum = scipy.fft.rfftn(volume)
        if not rows:
            n = len(volume)
            shells = shell_index(n, ndim=3)
            chosen = np.flatnonzero(_independent(n, 3) & (shells <= n // 2))
            index = shells.reshape(-1)[chosen]
            order = chosen[np.argsort(index, kind="stable")]
            counts = np.bincount(index, minlength=n // 2 + 1)
        rows.append(spectrum.reshape(-1)[order].astype(np.complex64))
    curves = np.zeros((len(rows), len(rows), n // 2 + 1))
    for shell, stop in enumerate(np.cumsum(counts)):
        terms = np.array([row[stop - counts[shell] : stop] for row in rows], np.complex128)
        # the real part of A B* is the product of the terms as pairs of real numbers
        flat = terms.view(np.float64)
        cross = flat @ flat.T
        norm = np.sqrt(np.outer(cross.diagonal(), cross.diagonal()))
        np.divide(cross, norm, out=curves[..., shell], where=norm > 0)
    return curves


def frequencies_per_ang(box: int, apix: float) -> Float64:
    """Return the spatial frequencies of the shells, ``r / (n apix)`` [1/A], (n//2 + 1,).

    Also for odd n, where EMAN2 writes r / (n - 1).

    Raises
    ------
    ValueError
        If `box` [pixels] or `apix` [A] is not positive.
    """
    if box < 1 or apix <= 0:
        raise ValueError(f"box and apix must be positive, got {box} and {apix}")
    return np.arange(box // 2 + 1) / (box * apix)


def resolution_at(
    curve: ArrayLike, threshold: float, apix: float, *, box: int | None = None
) -> float:
    """Return the resolution [A] at which a curve first falls below a threshold.

    Linear interpolation (in frequency) between the last shell above and the first below. If the
    curve is never below: that of the last shell (Nyquist, 2 apix, for even n). If shell 1 is below
    already: that of shell 1, box * apix, which reads "no better than the box". Shell 0 holds only
    the means and is not looked at.

    Parameters
    ----------
    curve : array_like of shape (n//2 + 1,)
        Fourier shell correlation, shell 0 first.
    threshold : float
        `GOLD_STANDARD` or `ONE_HALF`, for example.
    apix : float
        Pixel size, Angstrom.
    box : int, optional
        Edge n, pixels; by default the even one that fits the curve.

    Raises
    ------
    ValueError
        If the curve has fewer than two shells or does not fit the box.
    NumericalError
        If the curve holds NaN or infinity.
    """
    values = real_array(curve, "curve", finite=False)
    n = 2 * (values.size - 1) if box is None else box
    if values.ndim != 1 or len(values) < 2 or len(values) != n // 2 + 1:
        raise ValueError(f"curve: {values.shape} does not fit a box of {n} pixels")
    if not np.isfinite(values).all():
        raise NumericalError("the correlation curve holds NaN or infinity")
    below = np.flatnonzero(values[1:] < threshold) + 1
    if len(below) == 0:
        shell = float(len(values) - 1)
    elif below[0] == 1:
        shell = 1.0
    else:
        last, first = values[below[0] - 1], values[below[0]]
        shell = below[0] - 1 + (last - threshold) / (last - first)
    return float(n * apix / shell)


def ssnr_from_fsc(curve: ArrayLike, *, half_to_full: bool = True) -> Float64:
    """Return the spectral signal-to-noise ratio from a correlation f of half maps, at least 0.

    In the average of the two, ``2 f / (1 - f)``, or, without `half_to_full`, in each of them, ``f /
    (1 - f)``; f is capped at 0.9999 (Frank & Al-Ali (1975), Nature 256, 376, doi:10.1038/256376a0).
    """
    f = np.clip(np.asarray(curve, dtype=np.float64), 0.0, _LARGEST_CORRELATION)
    return np.asarray((2.0 if half_to_full else 1.0) * f / (1.0 - f))


def _independent(n: int, ndim: int) -> Bool:
    """Terms that are left when one of each Friedel pair of the plane kx = 0 is dropped.

    Nyquist counts as positive and, as in EMAN2, its own pairs (and those of kx = n/2) are kept:
    they weigh double in the last shell.
    """
    keep = np.ones((n,) * (ndim - 1) + (n // 2 + 1,), dtype=bool)
    frequency = np.rint(np.abs(scipy.fft.fftfreq(n, 1.0 / n))).astype(int)
    frequency[n // 2 + 1 :] *= -1
    if ndim == 2:
        keep[:, 0] = frequency >= 0
    else:
        z, y = frequency[:, None], frequency[None, :]
        keep[:, :, 0] = (z > 0) | ((z == 0) & (y >= 0))
    return keep


def independent_counts(box: int, *, ndim: int) -> Indices:
    """Return how many Fourier terms `fsc` sums in each shell, (n//2 + 1,)."""
    shells = shell_index(box, ndim=ndim)
    chosen = _independent(box, ndim) & (shells <= box // 2)
    return np.bincount(shells[chosen], minlength=box // 2 + 1)


#: Sectors of the half sphere: enough to draw from, each wider than a mask correlates terms.
N_SECTORS = 24


def sector_terms(a: Array, b: Array, *, n_sectors: int = N_SECTORS) -> Float64:
    """Return the sums that an FSC of two maps is made of, (3, n_sectors, n//2 + 1) float64.

    Re(A B*), |A|^2 and |B|^2 of the terms of each sector and rounded shell.
    """
    box = box_of(a, "a")
    place, weight = _places(box, n_sectors)
    fa, fb = scipy.fft.rfftn(a), scipy.fft.rfftn(b)
    n_shells = box // 2 + 1
    inside = place >= 0
    sums = [
        np.bincount(place[inside], (weight * values)[inside], n_sectors * n_shells)
        for values in ((fa * fb.conj()).real, np.abs(fa) ** 2, np.abs(fb) ** 2)
    ]
    return np.asarray(np.stack(sums).reshape(3, n_sectors, n_shells), dtype=np.float64)


def curve_of(terms: Float64, counts: Array) -> Float64:
    """Return the FSC (n//2 + 1,) with every sector taken ``counts`` (n_sectors,) times."""
    cross, power_a, power_b = np.einsum("s,tsk->tk", counts.astype(np.float64), terms)
    norm = np.sqrt(power_a * power_b)
    curve = np.zeros(len(cross))
    np.divide(cross, norm, out=curve, where=norm > 0)
    return curve


def drawn_counts(draws: int, *, n_sectors: int = N_SECTORS) -> Int64:
    """Return how often each sector is taken in every draw, (draws, n_sectors)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(n_sectors, np.full(n_sectors, 1.0 / n_sectors), size=draws)


def _places(box: int, n_sectors: int) -> tuple[Indices, Float32]:
    """Return sector x shell of each term of a half transform (-1: none), and its weight."""
    k = scipy.fft.fftfreq(box, 1.0 / box)
    z, y, x = np.meshgrid(k, k, np.arange(box // 2 + 1), indexing="ij")
    directions = np.stack([x, y, z], axis=-1)
    nearest = np.argmax(np.abs(directions @ _axes(n_sectors).T), axis=-1)
    shells = shell_index(box, ndim=3)
    place = np.where(shells <= box // 2, nearest * (box // 2 + 1) + shells, -1)
    weight = np.broadcast_to(friedel_weight(box, ndim=3), shells.shape)
    return place, np.asarray(weight)


def _axes(n: int) -> Float64:
    """Return axes that share the half sphere evenly, (n, 3): a spiral of equal areas."""
    z = (np.arange(n) + 0.5) / n
    turn = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(n)
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


#: Standard deviation of the window, in periods of what is compared, and its limits: pixels, box.
WINDOW_PERIODS, NARROWEST_PX, WIDEST = 1.0, 2.0, 0.125
#: So many bands at most are compared between shell 1 and the last.
MOST_BANDS = 24


def local_resolution(
    a: Array, b: Array, *, apix: float, threshold: float, last_shell: int
) -> Float32:
    """Return where the Fourier shell correlation about each voxel falls below a threshold [A].

    Parameters
    ----------
    a, b : ndarray of shape (n, n, n)
        Maps in register.
    apix : float
        Pixel size [A].
    last_shell : int
        Voxels whose maps agree up to this shell have its resolution.

    Returns
    -------
    ndarray of shape (n, n, n), float32

    Raises
    ------
    ConfigError
        The last shell is not one of 2 to n//2.

    Notes
    -----
    Both maps are filtered to one band of frequencies after another (Gaussian, as wide as the step)
    and correlated in a Gaussian window one period wide (Cardone, Heymann & Steven, J. Struct. Biol.
    184 (2013) 226, with windows that grow with the period).
    """
    box = box_of(a, "a")
    if not 2 <= last_shell <= box // 2:
        raise ConfigError(f"last shell {last_shell}: expected 2 to {box // 2}")
    step = max(1.0, (last_shell - 1) / MOST_BANDS)
    centres = np.arange(1.0, last_shell + 0.5 * step, step)
    radius = fourier_radius(box, ndim=3)
    reached = np.full(a.shape, float(last_shell))
    before = np.ones(a.shape)
    agrees = np.ones(a.shape, bool)
    for centre in centres:
        band = np.exp(-0.5 * ((radius - centre) / step) ** 2)
        width = min(max(WINDOW_PERIODS * box / centre, NARROWEST_PX), WIDEST * box)
        here = _correlation(apply_transfer(a, band), apply_transfer(b, band), width)
        falls = agrees & (here < threshold)
        part = (before - threshold) / np.maximum(before - here, 1e-9)
        reached[falls] = np.maximum(centre - step * (1.0 - part[falls]), 1.0)
        agrees &= ~falls
        before = here
    return np.asarray(box * apix / reached, np.float32)


def _correlation(a: Float32, b: Float32, width_px: float) -> Float64:
    """Return the correlation coefficient of two maps about each voxel."""
    cross, power_a, power_b = (
        scipy.ndimage.gaussian_filter((x * y).astype(np.float64), width_px)
        for x, y in ((a, b), (a, a), (b, b))
    )
    return np.asarray(cross / np.sqrt(np.maximum(power_a * power_b, 1e-60)))
