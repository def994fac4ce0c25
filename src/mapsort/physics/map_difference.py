"""Where two maps differ by more than their noise, voxel by voxel.

The difference is divided by its standard error, which half maps tell about each voxel, and voxels
are called significant so that of those called no more than a chosen part is false on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Array, Bool, Float32, Float64
from mapsort.errors import NumericalError
from mapsort.physics.filters import apply_radial_curve, radial_power
from mapsort.physics.fsc import GOLD_STANDARD, fsc
from mapsort.physics.half_maps import first_of_noise, noise_to_signal
from mapsort.physics.shells import box_of, fourier_radius, friedel_weight, shell_index

Mask = Bool

#: Independent pieces of noise that the local standard error is taken from, at least, and how wide
#: the window about a voxel may become to hold them, of the box.
FREEDOM, WIDEST_WINDOW = 100.0, 0.125
#: The maps' scales are compared so many times, without voxels that were called the time before.
ROUNDS = 3
#: Shells whose halves agree by this tell the scale.
_TELLS_SCALE = 0.3
#: Least noise over signal power of a shell that is believed.
_SUREST = 0.05
#: Variances below this part of the median one are those of a map that was cut out.
_CUT_OUT = 1e-4


@dataclass(frozen=True, eq=False)
class HalfPair:
    """Unfiltered half maps (n, n, n) of one map."""

    first: Float32
    second: Float32

    @property
    def mean(self) -> Float32:
        """The whole map."""
        return 0.5 * (self.first + self.second)

    @property
    def noise(self) -> Float32:
        """As much noise as the whole map has, without its signal."""
        return 0.5 * (self.first - self.second)

    def filtered(self, curve: Float64) -> HalfPair:
        """Return both with their shells multiplied by a curve (m,)."""
        return HalfPair(*(apply_radial_curve(half, curve) for half in (self.first, self.second)))


@dataclass(frozen=True, eq=False)
class MapDifference:
    """The second map less the first, on the first one's scale and at the resolution of both."""

    #: The difference over its standard error, (n, n, n).
    deviations: Float32
    #: (n, n, n) bool.
    significant: Mask
    #: (n, n, n) bool.
    tested: Mask
    #: Both as they were compared, each (n, n, n).
    maps: tuple[Float32, Float32]
    #: Degrees of freedom of the standard error.
    freedom: float
    #: Smallest deviation that was called; infinite if none was.
    least: float
    #: scale and bfactor_px2: the second map's shells were multiplied by ``scale * exp(-bfactor_px2
    #: s^2 / 4)``, s in cycles per pixel.
    scale: float
    bfactor_px2: float
    #: Last shell compared.
    shell: int


def map_difference(
    a: HalfPair, b: HalfPair, tested: Mask, *, false_rate: float, last_shell: int | None = None
) -> MapDifference:
    """Find where two maps in register differ.

    Parameters
    ----------
    a, b : HalfPair
        The noise of all four halves must be independent: also the particles that a half is made of
        must have been sorted without those of the other half, or sorting makes a difference.
    tested : ndarray of shape (n, n, n), bool
        Voxels that are looked at.
    false_rate : float
        Part of the voxels called that may be false.
    last_shell : int, optional
        Highest shell compared; by default the last where the halves of both maps agree (0.143).

    Raises
    ------
    NumericalError
        The halves of a map agree nowhere, or are alike.

    Notes
    -----
    Both maps are filtered by the smaller of their merits ``2 FSC / (1 + FSC)``. The squared noise
    is averaged with a Gaussian about each voxel, inside the tested region, as wide as it takes for
    100 degrees of freedom; p-values are two-sided ones of Student's t. The filter makes neighbours
    depend on each other, in both directions, and both signs count: the condition of Benjamini and
    Hochberg (positive dependence) does not hold, so the step-up procedure is that of Benjamini and
    Yekutieli (Ann. Stat. 29 (2001) 1165), which holds the rate under any dependence.
    """
    box = box_of(tested, "tested")
    curve, shell = _band(a, b, tested, last_shell)
    a, b = a.filtered(curve), b.filtered(curve)
    scale, bfactor, changed = 1.0, 0.0, np.zeros_like(tested)
    for _ in range(ROUNDS):
        scale, bfactor = _scale_of(a, b, tested & ~changed, shell)
        squared = (np.arange(box // 2 + 1) / box) ** 2
        scaled = b.filtered(scale * np.exp(-0.25 * bfactor * squared))
        error, freedom = _standard_error(a, scaled, tested)
        deviations = np.where(error > 0, (scaled.mean - a.mean) / np.maximum(error, 1e-30), 0.0)
        significant = _called(deviations, tested & (error > 0), freedom, false_rate)
        changed = scipy.ndimage.binary_dilation(significant, iterations=2)
    least = float(np.abs(deviations[significant]).min()) if significant.any() else float("inf")
    return MapDifference(
        deviations=np.asarray(deviations, np.float32),
        significant=significant,
        tested=tested,
        maps=(a.mean, scaled.mean),
        freedom=freedom,
        least=least,
        scale=scale,
        bfactor_px2=bfactor,
        shell=shell,
    )


def _band(a: HalfPair, b: HalfPair, tested: Mask, last_shell: int | None) -> tuple[Float64, int]:
    """Return the common filter of two maps, (box//2 + 1,), and its last shell."""
    soft = scipy.ndimage.gaussian_filter(tested.astype(np.float32), 1.5)
    curves = [fsc(pair.first * soft, pair.second * soft) for pair in (a, b)]
    lower = np.minimum(*curves)
    below = np.flatnonzero(lower[1:] < GOLD_STANDARD)
    shell = int(below[0]) if len(below) else len(lower) - 1
    if last_shell is not None:
        shell = min(last_shell, len(lower) - 1)
    if shell < 1 or first_of_noise(lower) < 2:
        raise NumericalError("the half maps of a map do not agree at any resolution")
    merit = 1.0 / (1.0 + np.maximum(*(noise_to_signal([curve]) for curve in curves)))
    # Half a shell of fall-off on either side of the last one.
    edge = np.clip(shell + 1.0 - np.arange(len(merit)), 0.0, 1.0)
    return np.asarray(merit * edge), shell


def _scale_of(a: HalfPair, b: HalfPair, where: Mask, shell: int) -> tuple[float, float]:
    """Return scale and B factor [pixel^2] that bring b to a, by what the halves have in common."""
    box = len(where)
    soft = scipy.ndimage.gaussian_filter(where.astype(np.float32), 1.5)
    power, agreement = [], []
    for pair in (a, b):
        spectra = [scipy.fft.rfftn(half * soft) for half in (pair.first, pair.second)]
        power.append(_radial_sum((spectra[0] * spectra[1].conj()).real, box))
        whole = _radial_sum(0.5 * (np.abs(spectra[0]) ** 2 + np.abs(spectra[1]) ** 2), box)
        agreement.append(power[-1] / np.maximum(whole, 1e-30))
    shells = np.arange(1, shell + 1)
    told = np.minimum(*agreement)[shells]
    shells = shells[told > _TELLS_SCALE]
    if len(shells) == 0:
        return 1.0, 0.0
    ratio = 0.5 * np.log(power[0][shells] / power[1][shells])
    # The signal being the same, the noise alone makes a ratio unsure.
    shared = np.minimum(*agreement)[shells]
    weight = shells * shared / np.sqrt(np.maximum(1.0 - shared**2, _SUREST))
    if len(shells) < 4:
        return float(np.exp(np.average(ratio, weights=weight**2))), 0.0
    slope, start = np.polyfit((shells / box) ** 2, ratio, 1, w=weight)
    return float(np.exp(start)), float(-4.0 * slope)


def _radial_sum(values: Array, box: int) -> Float64:
    shells = shell_index(box, ndim=3)
    return np.asarray(np.bincount(shells.ravel(), values.ravel())[: box // 2 + 1], np.float64)


def _standard_error(a: HalfPair, b: HalfPair, tested: Mask) -> tuple[Float64, float]:
    """Return the local standard error of a difference, 0 where not tested, and its freedom."""
    box = len(tested)
    noise = [pair.noise.astype(np.float64) for pair in (a, b)]
    spectrum = sum(radial_power(scipy.fft.rfftn(each)) for each in noise)
    if not np.any(spectrum):
        raise NumericalError("the half maps of both maps are alike: they tell no noise")
    width, freedom = _window(np.asarray(spectrum), box)
    inside = tested.astype(np.float64)
    weight = scipy.ndimage.gaussian_filter(inside, width, mode="constant")
    squared = inside * sum(each**2 for each in noise)
    smooth = scipy.ndimage.gaussian_filter(squared, width, mode="constant")
    variance = np.where(tested, smooth / np.maximum(weight, 1e-12), 0.0)
    variance[variance < _CUT_OUT * np.median(variance[tested])] = 0.0
    return np.sqrt(variance), freedom


def _window(power: Float64, box: int) -> tuple[float, float]:
    """Return the width [pixel] of the Gaussian to average squared noise with, and its freedom.

    The width is a standard deviation; the noise is that of two maps of this power by shell.
    """
    shells = np.interp(fourier_radius(box, ndim=3), np.arange(len(power)), power, right=0.0)
    correlation = scipy.fft.irfftn(shells, s=(box,) * 3)
    correlation /= correlation[0, 0, 0]
    pairs = scipy.fft.rfftn(correlation**2).real
    frequency = fourier_radius(box, ndim=3) / box
    double = friedel_weight(box, ndim=3)
    width, freedom = 1.0, 0.0
    while True:
        # Var(s^2) / sigma^4 = 2 sum_ij w_i w_j rho_ij^2 for one map, half as much for two.
        window = np.exp(-4.0 * np.pi**2 * width**2 * frequency**2)
        freedom = 2.0 / float(np.sum(double * window * pairs) / box**3)
        if freedom >= FREEDOM or width >= WIDEST_WINDOW * box:
            return width, freedom
        width *= 1.1


def _called(deviations: Float64, tested: Mask, freedom: float, false_rate: float) -> Mask:
    """Return the voxels that are called at a false discovery rate."""
    significant = np.zeros_like(tested)
    chances = 2.0 * scipy.stats.t.sf(np.abs(deviations[tested]), freedom)
    if len(chances):
        adjusted = scipy.stats.false_discovery_control(chances, method="by")
        significant[tested] = adjusted <= false_rate
    return significant
