"""Batches (``--batch``): which particles improve the starting maps before iterations take all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapsort.array_types import Indices, Int64
from mapsort.options.multi import MultiOptions
from mapsort.options.types import ALL_PARTICLES

#: Particles of the first batch for each map, and how many times as many each later one has.
PER_MAP, GROWTH = 1500, 2
#: Part of the particles that the largest batch holds at most: all batches together then cost no
#: more than half of an iteration of all.
LARGEST = 0.25
#: Maps that become finer by less than this part from one batch to the next are coarse no more.
FINER = 0.03
#: Share of an equal part of the particles below which a map of a batch is lost.
LOST = 0.1


def batch_sizes(options: MultiOptions, n: int) -> tuple[int, ...]:
    """Return the largest number of particles of each batch, in order; none where all are taken.

    Together they hold at most as many particles as there are: no particle is in two batches.

    Parameters
    ----------
    n : int
        Number of particles.
    """
    if options.batch == ALL_PARTICLES or not options.takes_batches:
        return ()
    if options.batch is not None:
        return (options.batch,) * (n // options.batch if options.batch < n else 0)
    if options.iter is not None:
        return ()
    sizes: list[int] = []
    size = PER_MAP * len(options.models)
    while size <= LARGEST * n and sum(sizes) + size <= n:
        sizes.append(size)
        size *= GROWTH
    return tuple(sizes)


def batches(image: Int64, sizes: Sequence[int], *, seed: int) -> list[Indices]:
    """Return the particles of each batch, in ascending order.

    Images are drawn at random, none twice, so that each batch has maps and views as all have;
    copies of one image stay together.

    Parameters
    ----------
    image : ndarray of shape (n,)
        Number of each particle's image, from 0.
    sizes : sequence of int
        Particles of each batch; a batch ends with the image that fills it.
    """
    order = np.random.default_rng([seed, len(sizes)]).permutation(int(image.max(initial=-1)) + 1)
    place = np.argsort(order)[image]
    by_place = np.argsort(place, kind="stable")
    ends = np.cumsum(sizes)
    number = np.searchsorted(ends, np.arange(len(image)), side="right")
    # all copies of an image go where its first one falls
    first = np.searchsorted(place[by_place], place[by_place])
    number = number[first]
    return [np.sort(by_place[number == batch]) for batch in range(len(sizes))]


def coarse_no_more(reached: Sequence[Sequence[float]]) -> bool:
    """Whether the last batch has not made any map finer.

    Parameters
    ----------
    reached : sequence of sequences of float
        Resolution of each map [A] after each batch.
    """
    if len(reached) < 2:
        return False
    before, after = np.asarray(reached[-2]), np.asarray(reached[-1])
    return bool(np.all(after > (1.0 - FINER) * before))


def lost_maps(shares: Sequence[float]) -> list[int]:
    """Return the maps (from 0) that a batch has left with (nearly) no particles."""
    share = np.asarray(shares)
    return [int(m) for m in np.flatnonzero(share * len(share) < LOST)]
