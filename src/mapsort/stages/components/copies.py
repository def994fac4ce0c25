"""At which symmetry copy a particle lies, judged by maps that are made without it.

A map that is nearly symmetric is its symmetric mean, which is known well, and a deviation from it,
which is not: filtered with the map, the deviation's noise tells copies apart that are equal. So the
deviation is filtered by the correlation of its own halves, by shell and by place, and where it
holds nothing, no copy is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.array_types import Bool, Complex64, Float32, Float64
from mapsort.stages.components.class_maps import FoldMaps, compared, mean_map
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.observed import FoldSums, Observed
from mapsort.stages.components.polishing import Brightness, polished
from mapsort.stages.components.shrinkage import local_weight, quotients, shell_prior
from mapsort.stages.components.slice_grid import SliceGrid


@dataclass(frozen=True)
class JudgedCopies:
    """The copies of n particles."""

    #: Object to view, each at its most probable copy, (n, 3, 3).
    rotations: Float64
    #: Whether that is another one than where it lay, (n,).
    moved: Bool
    #: Of that copy, (n,).
    probability: Float64


def judged_copies(
    observed: Observed,
    copies: Float64,
    whole: Float64,
    settings: ComponentSettings,
) -> JudgedCopies:
    """Judge at which copy each particle lies.

    Parameters
    ----------
    observed : Observed
        With the part of the symmetry that is true.
    copies : ndarray of shape (c, 3, 3), float64
        Operations that bring a pose to each copy; the first leaves it.
    whole : ndarray of shape (g, 3, 3), float64
        The symmetry that is nearly true.

    Raises
    ------
    NumericalError
        The particles hold no signal that they agree on.
    """
    with threadpool_limits(1, "blas"):
        grid = settings.signal_grid(observed)
        polish = polished(observed, grid, junk=settings.junk, correct_poses=True, told=lambda: None)
        # once: in more rounds equal copies would part by what particles had chosen by chance
        maps = _deviating(polish.observed, whole, grid, polish.brightness)
        score = _scores(polish.observed, copies, grid, maps, polish.brightness)
    chosen = score.argmax(axis=1)
    likely = np.exp(score - score.max(axis=1, keepdims=True))
    # poses were corrected to judge by; those given stay, but for the copy
    return JudgedCopies(observed.rotations @ copies[chosen], chosen > 0, 1 / likely.sum(axis=1))


def _scores(
    observed: Observed, copies: Float64, grid: SliceGrid, maps: FoldMaps, brightness: Brightness
) -> Float64:
    """Return the log likelihood of each particle at each copy, but for a constant, (n, c)."""
    scores = []
    for operation in copies:
        there = replace(observed, rotations=observed.rotations @ operation)
        norm, cross = compared(there, grid, maps)
        scores.append(brightness.scale * cross[:, 0] - 0.5 * brightness.square * norm[:, 0])
    return np.stack(scores, axis=1)


def _deviating(
    observed: Observed, whole: Float64, grid: SliceGrid, brightness: Brightness
) -> FoldMaps:
    """Return maps without each fold: the symmetric mean, and what deviates from it beyond noise."""
    counted = brightness.counted
    weights = counted, brightness.scale, brightness.square
    mean = mean_map(replace(observed, symmetry=whole), grid, *weights)
    columns = (counted * brightness.scale)[:, None], (counted * brightness.square)[:, None]
    sums = FoldSums.of(observed, grid, *columns)
    every = sums.of_all
    density = grid.shell_means(every[1])

    def deviation(own: tuple[Complex64, Float32], common: Complex64, prior: Float64) -> Complex64:
        return grid.masked(quotients(grid, own, prior, common=common))

    def halves(prior: Float64) -> tuple[Complex64, Complex64]:
        first, second = (deviation(sums.of_half(half), mean.whole, prior) for half in (0, 1))
        return first, second

    prior = shell_prior(grid, halves(0.5 * density), density)
    first, second = (grid.in_cube(half) for half in halves(prior))
    where = local_weight(grid, (first, second))
    made = [
        common + grid.masked(deviation(sums.without(every, fold), common, prior), where)
        for fold, common in enumerate(mean.maps)
    ]
    return FoldMaps(made, lambda: mean.whole)
