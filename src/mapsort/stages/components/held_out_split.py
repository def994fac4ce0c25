"""Whether particles that nothing was made of are explained better by several classes than by one.

At known poses and in the band of the signal, components are found without a fold, classes in their
space without it, too, and their maps are refined; the fold's particles judge. Nothing of the
classification that is to be judged goes in but its poses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.array_types import Float64, Indices
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.component_worth import gains, mean_worth
from mapsort.stages.components.decomposition import COARSE, FINE, Decomposition, Subspace
from mapsort.stages.components.folds import Folds
from mapsort.stages.components.found_classes import MOST_COMPONENTS
from mapsort.stages.components.judged_classes import map_rounds
from mapsort.stages.components.latent_mixture import FEW_MOVES, Mixture, fit_mixture
from mapsort.stages.components.observed import Observed, Products
from mapsort.stages.components.polishing import Polished, polished
from mapsort.stages.components.random_partitions import partition_p_value
from mapsort.stages.components.slice_grid import SliceGrid

#: Particles that are looked at, at most.
MOST_JUDGED = 20_000
#: The fold that judges.
JUDGES = 0
#: Components beyond as many as classes.
_MORE_COMPONENTS = 2


@dataclass(frozen=True)
class HeldOutSplit:
    """What m particles say that nothing was made of."""

    #: Their numbers, (m,); images that are rather junk are not among them.
    judges: Indices
    #: What each ring, from 1, adds to the log likelihood of each with K classes less that with one,
    #: once those below it have been seen [nat], (m, rings).
    gain_by_ring: Float64
    #: Of the rings, (rings,).
    resolution_ang: Float64
    #: The class that each is in most probably, from 0, (m,); numbers are arbitrary.
    classes: Indices
    #: How probable it is that a random partition explains them as well as the run's.
    p_value: float
    #: What the mean map is worth to one of them [nat].
    signal: float

    @property
    def gain_nats(self) -> Float64:
        """Log likelihood of each with K classes less that with one, (m,)."""
        return np.asarray(self.gain_by_ring.sum(axis=1))

    def gains(self, significance: float) -> bool:
        """Whether K classes explain them better than one, by so many standard errors."""
        return gains(self.gain_nats, self.signal, significance)


@dataclass(frozen=True)
class Seen:
    """Particles with noise, brightness and poses as their mean map tells, and their band."""

    polished: Polished
    #: Up to the last ring with signal.
    grid: SliceGrid
    settings: ComponentSettings

    @classmethod
    def of(cls, observed: Observed, settings: ComponentSettings) -> Seen:
        """Look at particles whose poses are known to a few degrees.

        The poses are corrected by the mean map: what is off in them would pass for a difference.

        Raises
        ------
        NumericalError
            The particles hold no signal that they agree on.
        """
        # sums by several threads of BLAS would depend on their number
        with threadpool_limits(1, "blas"):
            grid = settings.signal_grid(observed)
            polish = polished(
                observed, grid, junk=settings.junk, correct_poses=True, told=lambda: None
            )
        return cls(polish, grid, settings)

    def part(self, part: float) -> SliceGrid:
        """Return the grid of a part of the band."""
        return self.settings.grid(self.grid.band, round(part * self.grid.rings))


def held_out_split(seen: Seen, partition: Indices, *, seed: int) -> HeldOutSplit:
    """Let a fold judge K classes that are found without it, and a partition into as many.

    Parameters
    ----------
    partition : ndarray of shape (n,), intp
        Classes of all particles, from 0; none is empty.
    seed : int
        What is found depends on it.
    """
    n_classes, junk = int(partition.max()) + 1, seen.settings.junk
    n_components = min(n_classes + _MORE_COMPONENTS, MOST_COMPONENTS)
    search = Decomposition(seen.part(COARSE), seen.part(FINE), n_components, JUDGES, junk)
    rng = np.random.default_rng(seed)
    observed, counted = seen.polished.observed, seen.polished.brightness.counted
    spared = observed.folds.number == JUDGES
    with threadpool_limits(1, "blas"):
        first = search.run(observed, counted, rng, lambda: None)
        found = fit_mixture(first.counted.rows(~spared), n_classes, rng, junk=junk, moves=FEW_MOVES)
        subspace, several = refined(first, seen.grid, found, junk=junk)
        products = subspace.counted
        one = fit_mixture(products.rows(~spared), 1, rng, junk=junk)
        p_value = partition_p_value(products, spared, partition, one, rng)
        by_ring = gain_by_ring(subspace, several, one)
    judged, alone = (each.judge(products.rows(spared)) for each in (several, one))
    good = alone.particles
    particles, rings = observed.particles, np.arange(1, subspace.grid.rings + 1)
    return HeldOutSplit(
        judges=np.flatnonzero(spared)[good],
        gain_by_ring=by_ring[good],
        resolution_ang=particles.band.box * particles.apix / rings,
        classes=judged.responsibilities.argmax(axis=1)[good],
        p_value=p_value,
        signal=mean_worth(products.rows(spared).rows(good)),
    )


def refined(
    subspace: Subspace, grid: SliceGrid, mixture: Mixture, *, junk: bool
) -> tuple[Subspace, Mixture]:
    """Refine the maps by all but the judges, in the whole band; return the space that they span.

    Components end at a coarser band and hold more noise: of 1,500 particles, 90:10 in two states,
    they tell these apart with Cramer's V 0.3, maps of three rounds with 0.8, of six with 0.9.

    Parameters
    ----------
    mixture : Mixture
        First classes, in the space of the components.
    """
    observed = subspace.observed
    rounds = map_rounds(
        observed,
        grid,
        mixture.found,
        junk=junk,
        learnt=np.flatnonzero(observed.folds.number != JUDGES),
        temperature=subspace.temperature,
    )
    last = deque(rounds, maxlen=1).pop()
    return Subspace(last.products, last.span.whole, grid, observed), last.mixture


def gain_by_ring(subspace: Subspace, several: Mixture, one: Mixture) -> Float64:
    """Return what each ring tells the judges of several classes over one, (m, rings) [nat].

    By the chain rule of likelihoods: that of a ring is given the rings below it, so that all add up
    to the whole.
    """
    observed, rings = subspace.observed, subspace.grid.rings
    number = observed.folds.number
    # made without the judges, as none of them counted
    judges = replace(observed, folds=Folds(np.where(number == JUDGES, number, -1)))
    gain = np.zeros((len(observed), rings + 1))
    for piece in judges.pieces(rings):
        seen = Products.up_to_each_ring(piece, subspace.grid, subspace.whole)
        for ring, products in enumerate(seen, start=1):
            counted = products.tempered(subspace.temperature)
            told = (each.judge(counted).log_likelihood for each in (several, one))
            gain[piece.rows, ring] = np.subtract(*told)
    return np.diff(gain[number == JUDGES], axis=1)
