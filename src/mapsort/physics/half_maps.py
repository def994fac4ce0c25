"""What two half maps say of a map: their FSC, its resolution, and how to filter it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64, Real
from mapsort.errors import NumericalError
from mapsort.physics.filters import apply_radial_curve, randomise_phases
from mapsort.physics.fsc import fsc, resolution_at
from mapsort.physics.shells import box_of, fourier_radius

#: Phases are made random beyond the last shell whose unmasked FSC reaches this.
RANDOM_BELOW = 0.8
#: Shells by which the correction begins later: the mask smears the step into its neighbours.
STEP_SHELLS = 2
#: An FSC that has once been this low says nothing about signal in higher shells.
NOISE_LEVEL = 0.05
#: Longest 1/SSNR in use: shells without signal are all but removed.
MAX_NOISE_TO_SIGNAL = 1e4


@dataclass(frozen=True)
class HalfMapFsc:
    """FSC of two half maps, all curves of shape (box//2 + 1,), shell 0 first."""

    #: Of the maps as they are.
    unmasked: Float64
    #: Under the mask.
    masked: Float64
    #: Under the mask, after the phases of both were made random from ``random_from`` on: what the
    #: mask alone makes of maps that have nothing in common there.
    randomised: Float64
    #: The masked curve without the mask's part: the one to read resolutions from.
    corrected: Float64
    #: First shell with random phases; the number of shells if there is none.
    random_from: int

    def resolution(self, threshold: float, apix: float, *, box: int) -> float:
        """Return where the corrected curve falls below a threshold [A]; see `resolution_at`."""
        return resolution_at(self.corrected, threshold, apix, box=box)

    @property
    def named(self) -> dict[str, Float64]:
        """The curves by what they are, that to read first."""
        return {
            "corrected for the mask": self.corrected,
            "masked": self.masked,
            "unmasked": self.unmasked,
            "masked with random phases": self.randomised,
        }


def half_map_fsc(even: Array, odd: Array, mask: Array) -> Float64:
    """Return the FSC of two half maps under a soft mask, (box//2 + 1,)."""
    for array, name in ((even, "even"), (odd, "odd"), (mask, "mask")):
        box_of(array, name)
    if not even.shape == odd.shape == mask.shape:
        raise ValueError(f"shapes differ: even {even.shape}, odd {odd.shape}, mask {mask.shape}")
    return fsc(even * mask, odd * mask)


def half_map_curves(
    even: Array, odd: Array, mask: Array, *, rng: np.random.Generator
) -> HalfMapFsc:
    """Compare two half maps, and find out how much of their agreement a mask has made.

    Parameters
    ----------
    even, odd : ndarray of shape (n, n, n)
        Unfiltered maps of two independent halves of the data.
    mask : ndarray of shape (n, n, n)
        Multiplies both.
    rng : numpy.random.Generator
        Draws the phases.

    Raises
    ------
    NumericalError
        A map holds NaN or infinite values.

    Notes
    -----
    With FSC_m under the mask and FSC_r the same after phases beyond a shell are random, the
    agreement of the maps themselves is ``(FSC_m - FSC_r) / (1 - FSC_r)`` beyond that shell, and
    FSC_m below it (Chen et al., Ultramicroscopy 135 (2013) 24, eq. 4). Nothing can be learnt from
    a shell where random phases agree as well as the maps do: 0.
    """
    if not (np.isfinite(even).all() and np.isfinite(odd).all()):
        raise NumericalError("half maps hold NaN or infinite values")
    box = box_of(even, "even")
    unmasked, masked = fsc(even, odd), half_map_fsc(even, odd, mask)
    above = np.flatnonzero(unmasked[1:] >= RANDOM_BELOW)
    random_from = int(above[-1]) + 2 if len(above) else 1
    if random_from == len(unmasked):
        return HalfMapFsc(unmasked, masked, masked.copy(), masked.copy(), random_from)
    # Shell r holds the terms whose radius rounds to r.
    cutoff = (random_from - 0.5) / box
    a, b = (randomise_phases(volume, cutoff=cutoff, rng=rng) for volume in (even, odd))
    randomised = half_map_fsc(a, b, mask)
    return HalfMapFsc(
        unmasked, masked, randomised, _corrected(masked, randomised, random_from), random_from
    )


def _corrected(masked: Float64, randomised: Float64, random_from: int) -> Float64:
    corrected = masked.copy()
    beyond = slice(random_from + STEP_SHELLS, None)
    m, r = masked[beyond], np.clip(randomised[beyond], 0.0, 0.9999)
    corrected[beyond] = np.where(r < m, (m - r) / (1.0 - r), np.minimum(m, 0.0))
    return corrected


def noise_to_signal(curves: Sequence[Real]) -> Float64:
    """Return 1/SSNR of full maps, (box//2 + 1,), from the FSC curves of their halves.

    One curve for all maps, from the mean of theirs, so that no map is filtered in another way
    than its rivals and wins by its filter. SSNR = 2 FSC / (1 - FSC) for the mean of two halves
    (Rosenthal & Henderson, J. Mol. Biol. 333 (2003) 721). Beyond the first shell where the curve
    falls to the level of noise it counts as zero.
    """
    mean = np.mean(curves, axis=0)
    mean[0] = max(mean[0], mean[1])
    mean[first_of_noise(mean) :] = 0.0
    clipped = np.clip(mean, 1e-6, 0.9999)
    ratio = (1.0 - clipped) / (2.0 * clipped)
    return np.asarray(np.minimum(ratio, MAX_NOISE_TO_SIGNAL))


def first_of_noise(curve: Real) -> int:
    """Return the first shell from 1 on whose FSC is that of noise, else the number of shells."""
    below = np.flatnonzero(curve[1:] < NOISE_LEVEL)
    return int(below[0]) + 1 if len(below) else len(curve)


def wiener_filtered(volume: Float32, ratio: Real) -> Float32:
    """Return a map whose shells are divided by 1 + 1/SSNR, 1/SSNR (box//2 + 1,) being `ratio`."""
    return apply_radial_curve(volume, 1.0 / (1.0 + ratio))


def filtered_mean(even: Float32, odd: Float32, mask: Float32) -> tuple[Float32, Float64]:
    """Return the mean of two half maps, filtered by their FSC under a mask, and its 1/SSNR."""
    ratio = noise_to_signal([half_map_fsc(even, odd, mask)])
    return wiener_filtered(np.asarray(0.5 * (even + odd), np.float32), ratio), ratio


def joined_at_low_resolution(
    even: Float32, odd: Float32, *, cutoff: float
) -> tuple[Float32, Float32]:
    """Give two maps the mean of their Fourier terms below a frequency [cycles/pixel].

    Keeps two half maps from drifting apart in orientation and hand, at the price that their FSC
    says nothing below the cutoff (Scheres, J. Struct. Biol. 180 (2012) 519, section 2.5).
    """
    spectra = [scipy.fft.rfftn(volume) for volume in (even, odd)]
    box = box_of(even, "even")
    low = fourier_radius(box, ndim=even.ndim) / box < cutoff
    mean = 0.5 * (spectra[0][low] + spectra[1][low])
    joined = []
    for spectrum in spectra:
        spectrum[low] = mean
        joined.append(np.asarray(scipy.fft.irfftn(spectrum, s=even.shape), dtype=np.float32))
    return joined[0], joined[1]
