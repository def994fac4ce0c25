"""Whether particles that nothing was made of are explained better by several classes than by one.

At known poses and in the band of the signal, components are found without a fold, classes in their
space without it, too; the fold's particles judge. Nothing of the classification that is to be
judged goes in but its poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from mapsort.stages.components.band import Float64
from mapsort.stages.components.band_choice import FEWEST_RINGS, signal_band, signal_by_ring
from mapsort.stages.components.decomposition import COARSE, FINE, Decomposition
from mapsort.stages.components.found_classes import MOST_COMPONENTS, SPHERE
from mapsort.stages.components.latent_mixture import fit_mixture
from mapsort.stages.components.observed import Observed
from mapsort.stages.components.polishing import polished
from mapsort.stages.components.slice_grid import SliceGrid

#: The fold that judges.
JUDGES = 0
_STARTS = 3


@dataclass(frozen=True)
class HeldOutSplit:
    """What m particles say that nothing was made of.

    Attributes
    ----------
    judges : ndarray of shape (m,), intp
        Their numbers; images that are rather junk are not among them.
    gain_nats : ndarray of shape (m,), float64
        Log likelihood of each with K classes less that with one.
    classes : ndarray of shape (m,), intp
        The class that each is in most probably, from 0; numbers are arbitrary.
    rings : int
        Last ring in use.
    """

    judges: npt.NDArray[np.intp]
    gain_nats: Float64
    classes: npt.NDArray[np.intp]
    rings: int


def held_out_split(
    observed: Observed, n_classes: int, *, junk: bool, seed: int, n_threads: int
) -> HeldOutSplit:
    """Let a fold judge K classes found without it.

    Parameters
    ----------
    observed : Observed
        As at first, at poses known to a few degrees, which are corrected by the mean map: what is
        off in them would pass for a difference.
    n_classes : int
        K, from 2.
    junk : bool
        Whether some images may hold no particle.
    seed : int
        The result depends on it, and not on the number of threads.
    n_threads : int

    Raises
    ------
    NumericalError
        The particles hold no signal that they agree on.
    """
    band = observed.particles.band

    def grid(rings: int) -> SliceGrid:
        return SliceGrid(band, max(rings, FEWEST_RINGS), SPHERE * band.box, n_threads)

    # sums by several threads of BLAS would depend on their number
    with threadpool_limits(1, "blas"):
        rings = signal_band(signal_by_ring(observed, grid(band.rings)))
        found = polished(observed, grid(rings), junk=junk, correct_poses=True, told=lambda: None)
        search = Decomposition(
            grid(round(COARSE * rings)),
            grid(round(FINE * rings)),
            min(n_classes, MOST_COMPONENTS),
            JUDGES,
            junk,
        )
        rng = np.random.default_rng(seed)
        counted = found.brightness.counted
        products = search.run(found.observed, counted, rng, lambda: None).products
        spared = observed.folds.number == JUDGES
        judged = [
            fit_mixture(products.rows(~spared), count, rng, junk=junk, starts=_STARTS).judge(
                products.rows(spared)
            )
            for count in (n_classes, 1)
        ]
    several, one = judged
    good = one.junk <= 0.5
    return HeldOutSplit(
        judges=np.flatnonzero(spared)[good],
        gain_nats=(several.log_likelihood - one.log_likelihood)[good],
        classes=several.responsibilities.argmax(axis=1)[good],
        rings=rings,
    )
