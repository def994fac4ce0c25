"""From spread slices to the maps of the next iteration: FSC of halves, Wiener filter, masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.fsc import fsc
from mapsort.stages.fourier_grid import Float32

#: An FSC that has once been this low says nothing about signal in higher shells.
NOISE_LEVEL = 0.05
#: Longest 1/SSNR in use: shells without signal are all but removed.
MAX_NOISE_TO_SIGNAL = 1e4


def half_map_fsc(even: Float32, odd: Float32, mask: Float32) -> npt.NDArray[np.float64]:
    """Return the FSC of two half maps under a soft mask, (box//2 + 1,)."""
    return fsc(even * mask, odd * mask)


def noise_to_signal(curves: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float64]:
    """Return 1/SSNR of full maps, (box//2 + 1,), from the FSC curves of their halves.

    One curve for all maps, from the mean of theirs, so that no map is filtered in another way
    than its rivals and wins by its filter. SSNR = 2 FSC / (1 - FSC) for the mean of two halves
    (Rosenthal & Henderson, J. Mol. Biol. 333 (2003) 721). Beyond the first shell where the curve
    falls to the level of noise it counts as zero.
    """
    mean = np.mean(curves, axis=0)
    mean[0] = max(mean[0], mean[1])
    below = np.flatnonzero(mean[1:] < NOISE_LEVEL)
    if len(below):
        mean[below[0] + 1 :] = 0.0
    clipped = np.clip(mean, 1e-6, 0.9999)
    ratio = (1.0 - clipped) / (2.0 * clipped)
    return np.asarray(np.minimum(ratio, MAX_NOISE_TO_SIGNAL))


def wiener_filtered(volume: Float32, ratio: npt.NDArray[np.floating]) -> Float32:
    """Return a map whose shells are divided by 1 + 1/SSNR, 1/SSNR (box//2 + 1,) being `ratio`."""
    return apply_radial_curve(volume, 1.0 / (1.0 + ratio))
