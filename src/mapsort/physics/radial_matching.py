"""Filters that give an image a wanted radial spectrum: another image's, a curve's, a flat one.

All are isotropic: the curve is taken at the true radius of each Fourier term.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import ConfigError
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.shells import box_of, fourier_radius, friedel_weight

# The fit of an overall B factor starts here [A]: below, the molecule's shape rules the spectrum.
_GUINIER_START_ANG = 15.0
# Larger pixels leave no range to fit.
_GUINIER_LARGEST_APIX = 7.0


def linear_shell_sums(values: Array, *, box: int, ndim: int) -> Float64:
    """Sum real values of Fourier terms over shells, each shared linearly by the two nearest ones.

    Shell r, up to floor(n sqrt(ndim) / 2) - 1, has the weight ``1 - |radius - r|`` of every term;
    Friedel partners count.
    """
    radius = fourier_radius(box, ndim=ndim)
    lower = radius.astype(np.intp)
    share = radius - lower
    weighted = values * np.broadcast_to(friedel_weight(box, ndim=ndim), radius.shape)
    size = int(lower.max()) + 2
    sums = np.bincount(lower.ravel(), ((1.0 - share) * weighted).ravel(), size)
    sums += np.bincount(lower.ravel() + 1, (share * weighted).ravel(), size)
    return np.asarray(sums[: int(box * np.sqrt(ndim) / 2)])


def linear_shell_means(values: Array, *, box: int, ndim: int) -> Float64:
    """Average over shells with the weights of `linear_shell_sums`; same arguments and shape."""
    count = linear_shell_sums(np.ones(values.shape), box=box, ndim=ndim)
    return linear_shell_sums(values, box=box, ndim=ndim) / count


def shell_intensity(image: Array) -> Float64:
    """Return the mean of |F|^2 per shell of an image (n, n) or map (n, n, n)."""
    box = box_of(image, "image")
    spectrum = scipy.fft.rfftn(np.asarray(image, dtype=np.float64))
    return linear_shell_means(np.abs(spectrum) ** 2, box=box, ndim=image.ndim)


def match_amplitudes(
    image: Array,
    target: Array,
    *,
    by_dot: bool = False,
    keep_high_resolution: bool = False,
    interpolate: bool = True,
) -> Float32:
    """Filter an image so that its radial spectrum becomes that of another.

    EMAN2's filter.matchto, isotropic; with `by_dot` it goes towards the target, and without
    interpolation it takes the shell of the term (the original failed in both).

    Parameters
    ----------
    image, target : ndarray of shape (n, n) or (n, n, n)
    by_dot : bool
        Scale each shell to the least-squares distance from the target, ``Re(F T*) / |F|^2``, in
        place of equal intensity.
    keep_high_resolution : bool
        No factor below 1 % of the mean factor.
    interpolate : bool
        Interpolate the factor between shells; False: that of the nearest shell.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    factor = matching_factors(image, target, by_dot=by_dot)
    if keep_high_resolution:
        factor = np.maximum(factor, factor.mean() / 100.0)
    return _apply(image, factor, interpolate=interpolate)


def matching_factors(image: Array, target: Array, *, by_dot: bool = False) -> Float64:
    """Factor per shell that `match_amplitudes` applies; same arguments."""
    if image.shape != target.shape:
        raise ConfigError(f"the images to match differ in size: {image.shape}, {target.shape}")
    if not by_dot:
        power, wanted = shell_intensity(image), shell_intensity(target)
        return np.sqrt(_quotient(wanted, power))
    box = box_of(image, "image")
    a, b = (scipy.fft.rfftn(np.asarray(m, dtype=np.float64)) for m in (image, target))
    cross = linear_shell_sums((a * b.conj()).real, box=box, ndim=image.ndim)
    return _quotient(cross, linear_shell_sums(np.abs(a) ** 2, box=box, ndim=image.ndim))


def set_structure_factor(image: Array, curve: Array, *, apix: float, scale: float = 1.0) -> Float32:
    """Give an image or map the radial intensities of a structure factor.

    EMAN2's filter.setstrucfac: factor ``sqrt(n^3 scale SF(s) / I(r))`` (n^3 for images, too), 1 at
    r = 0, I as in `shell_intensity`. The curve (m, 2) holds frequency [1/A] and intensity; it is
    constant beyond its ends.

    Raises
    ------
    ConfigError
        If the curve is not two columns with rising frequency and no negative intensity.
    """
    box = box_of(image, "image")
    table = _curve(curve, "structure factor")
    if table[:, 1].min() < 0:
        raise ConfigError("structure factor: the curve has negative intensities")
    power = shell_intensity(image)
    s = np.arange(len(power)) / (box * apix)
    wanted = box**3 * scale * np.interp(s, table[:, 0], table[:, 1])
    factor = np.sqrt(_quotient(wanted, power))
    factor[0] = 1.0
    return apply_radial_curve(image, factor)


def flatten_spectrum(
    image: Array, *, apix: float, bfactor_ang2: float, noise_cutoff: float = 1.0 / 6.0
) -> Float32:
    """Remove the overall B factor of a map and apply another.

    B [A^2] is that of the envelope ``exp(-B s^2 / 4)``. EMAN2's filter.lowpass.autob: the slope m
    of ln I against s^2 is fitted from 15 A to the cutoff [1/A]; factor ``exp(-(B + 2 m) s^2 / 4)``,
    continued beyond the cutoff without jump by ``exp(-B s^2 / 4)``.

    Raises
    ------
    ConfigError
        If the pixel is above 7 A or too few shells lie between 15 A and the cutoff.
    """
    box = box_of(image, "image")
    if not 0 < apix <= _GUINIER_LARGEST_APIX:
        raise ConfigError(f"a fit of the B factor needs pixels of at most 7 A, not {apix:g}")
    power = shell_intensity(image)
    s2 = (np.arange(len(power)) / (box * apix)) ** 2
    first, last = int(box * apix / _GUINIER_START_ANG), int(box * apix * noise_cutoff)
    fitted = slice(first, min(last, box // 2 + 1))
    if len(s2[fitted]) < 3 or not power[fitted].all():
        raise ConfigError(
            f"a fit of the B factor needs three shells between 15 A and {1 / noise_cutoff:.3g} A"
        )
    slope = float(np.polyfit(s2[fitted], np.log(power[fitted]), 1)[0])
    flattened = np.minimum(s2, noise_cutoff**2)
    factor = np.exp(-bfactor_ang2 * s2 / 4.0 - slope * flattened / 2.0)
    return apply_radial_curve(image, factor)


def wiener_by_fsc(
    image: Array,
    curve: Array,
    *,
    apix: float,
    snr_factor: float = 1.5,
    stretch: float = 1.0,
    highest: float = 1.0,
) -> Float32:
    """Filter by the signal that a measured Fourier shell correlation f tells of.

    EMAN2's filter.wiener.byfsc: ``W = snr^2 / (snr^2 + 1)``, at least 0.001; from the first
    negative correlation on means over 5 points, from a negative mean on nothing; the frequency of a
    line is that of its first column (the original used the line's number for `highest`).

    Parameters
    ----------
    image : ndarray of shape (n, n) or (n, n, n)
    curve : ndarray of shape (m, 2)
        Frequency [1/A] and correlation.
    apix : float
        Pixel size, Angstrom.
    snr_factor, stretch : float
        Factors of ``f / (1 - f)`` and of the curve's frequencies.
    highest : float
        Frequency [1/A] beyond which the correlation may only fall.
    """
    box = box_of(image, "image")
    table = _curve(curve, "FSC")
    correlation = _falling(_past_noise(table[:, 1]), table[:, 0], highest)
    frequency = table[:, 0] * stretch
    frequency[0] = 0.0
    snr = snr_factor * correlation / (1.0 - correlation)
    gain = np.maximum(snr**2 / (snr**2 + 1.0), 1e-3)
    radius = np.arange(box)
    return apply_radial_curve(image, np.interp(radius / (box * apix), frequency, gain))


def zero_low_peak(image: Array, *, limit: float) -> Float32:
    """Remove the shells up to the first at which the intensity rises.

    No frequency above the limit [cycles/pixel] is removed. What EMAN2's filter.highpass.autopeak is
    meant to do; there the unit of the limit is wrong.
    """
    box = box_of(image, "image")
    power = shell_intensity(image)
    rises = np.flatnonzero(np.diff(power) > 0)
    minimum = int(rises[0]) if len(rises) else len(power)
    last = min(minimum, int(np.floor(limit * box)))
    factor = np.ones(len(power))
    factor[: last + 1] = 0.0
    return _apply(image, factor, interpolate=False)


def _apply(image: Array, factor: Float64, *, interpolate: bool) -> Float32:
    if interpolate:
        return apply_radial_curve(image, factor)
    box = box_of(image, "image")
    spectrum = scipy.fft.rfftn(np.asarray(image, dtype=np.float32))
    shell = np.rint(fourier_radius(box, ndim=image.ndim)).astype(np.intp)
    spectrum *= factor[np.minimum(shell, len(factor) - 1)].astype(np.float32)
    return np.asarray(scipy.fft.irfftn(spectrum, s=image.shape), dtype=np.float32)


def _quotient(a: Float64, b: Float64) -> Float64:
    """Shells without power stay without."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _curve(curve: Array, what: str) -> Float64:
    table = np.array(curve, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or len(table) < 2:
        raise ConfigError(f"{what}: expected a curve of shape (n, 2), got {table.shape}")
    if not np.isfinite(table).all() or np.any(np.diff(table[:, 0]) <= 0):
        raise ConfigError(f"{what}: expected finite numbers and rising frequencies")
    return table


def _past_noise(correlation: Float64) -> Float64:
    """Correlation with what follows its first negative value smoothed, then cut."""
    result = correlation.copy()
    negative = np.flatnonzero(correlation < 0)
    if len(negative):
        padded = np.pad(correlation, 2, mode="edge")
        means = np.convolve(padded, np.full(5, 0.2), mode="valid")
        result[negative[0] :] = means[negative[0] :]
        ended = np.flatnonzero((means < 0) & (np.arange(len(means)) >= negative[0]))
        if len(ended):
            result[ended[0] :] = 1e-5
    return np.clip(result, 1e-5, 0.9999)


def _falling(correlation: Float64, frequency: Float64, highest: float) -> Float64:
    result = correlation.copy()
    for i in range(1, len(result)):
        if frequency[i] > highest and result[i] > result[i - 1]:
            result[i] = 0.9 * result[i - 1]
    return result
