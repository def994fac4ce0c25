"""Maps from soft assignments that judge no particle that they were made of.

A particle's own noise is in the map of its class: at 14 rings a random split of 4,000 particles
makes each particle prefer its class by 4 nat, and keeps 70 % of them there. So particles are judged
by maps made without their fold, and the maps are kept to the band that carries signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.stages.components.observed import FoldSums, Observed
from mapsort.stages.components.scale import Judgement
from mapsort.stages.components.shrinkage import (
    local_weight,
    quotients,
    shared_combinations,
    shell_prior,
    solved,
)
from mapsort.stages.components.slice_grid import SliceGrid


@dataclass(frozen=True)
class FoldMaps:
    """K maps for each fold, made without it.

    Attributes
    ----------
    maps : list of ndarray of shape (voxels, K), complex64
        One array for each fold.
    make_whole : callable
        Makes the maps of all folds, (voxels, K); few ask for them.
    """

    maps: list[Complex64]
    make_whole: Callable[[], Complex64]

    @cached_property
    def whole(self) -> Complex64:
        """The maps of all folds, (voxels, K)."""
        return self.make_whole()

    @property
    def count(self) -> int:
        """Number of maps, K."""
        return int(self.maps[0].shape[1])

    def scaled(self, factor: float) -> FoldMaps:
        """Return the maps times a number."""
        return FoldMaps([m * np.float32(factor) for m in self.maps], lambda: self.whole * factor)

    def combined(self, templates: Float64) -> FoldMaps:
        """Return sums of the maps by weights (k, K): as many as there are rows."""
        weights = templates.T.astype(np.float32)
        return FoldMaps([m @ weights for m in self.maps], lambda: self.whole @ weights)


def mean_map(
    observed: Observed, grid: SliceGrid, weight: Float64, scale: Float64, square: Float64
) -> FoldMaps:
    """Return the mean of all particles, Wiener-filtered by its halves.

    Parameters
    ----------
    weight, scale, square : ndarray of shape (n,)
        How much each particle counts; its scale and the scale's square.
    """
    columns = (weight * scale)[:, None], (weight * square)[:, None]
    sums = FoldSums.of(observed, grid, *columns)
    whole = sums.of_all
    density = grid.shell_means(whole[1])
    first, second = (solved(grid, sums.of_half(half), 0.1 * density) for half in (0, 1))
    prior = shell_prior(grid, (first, second), density)
    maps = [solved(grid, sums.without(whole, fold), prior) for fold in range(sums.n_folds)]
    return FoldMaps(maps, lambda: solved(grid, whole, prior))


@dataclass
class SpanFilter:
    """Makes maps that K classes are sums of: a common one, and ways in which they differ from it.

    The common map is known far better than what tells the classes apart. Differences are weighed by
    the correlation of their halves in each shell, one curve for all, and at each place, and reduced
    to their combinations that hold signal. All this shrinks them, those of small classes the most:
    by such maps of their own, particles would leave these round by round.
    """

    grid: SliceGrid
    #: Of the differences, from the round before, (rings + 1, 1).
    prior: Float64 | None = None
    #: Whether the difference of each class stays, whatever it holds.
    every: bool = False

    def maps(self, sums: FoldSums) -> FoldMaps:
        """Return the 1 + q maps without each fold, and of all, from the sums of K classes."""
        whole = sums.of_all
        density = self.grid.shell_means(whole[1])
        common_prior, commons = self._common(sums, density.sum(axis=1, keepdims=True))
        ways = self._ways(sums, commons, density.mean(axis=1, keepdims=True))
        made = [
            self._made(sums.without(whole, fold), common_prior, ways)
            for fold in range(sums.n_folds)
        ]
        return FoldMaps(made, lambda: self._made(whole, common_prior, ways))

    def _common(self, sums: FoldSums, density: Float64) -> tuple[Float64, list[Complex64]]:
        """Return the common map's prior, and the common maps of the halves."""
        halves = [self._mean(sums.of_half(half), 0.02 * density) for half in (0, 1)]
        return shell_prior(self.grid, (halves[0], halves[1]), density), halves

    def _ways(self, sums: FoldSums, commons: list[Complex64], density: Float64) -> _Ways:
        """Learn the differences' prior, and where and in which combinations they are signal."""
        halves = [sums.of_half(half) for half in (0, 1)]
        start = 0.5 * density if self.prior is None else self.prior

        def placed(prior: Float64) -> list[Float32]:
            pairs = zip(halves, commons, strict=True)
            return [self._placed(own, common, prior) for own, common in pairs]

        raw = [self.grid.of_cube(maps) for maps in placed(start)]
        self.prior = shell_prior(self.grid, (raw[0], raw[1]), density, pooled=True)
        first, second = placed(self.prior)
        where = self.grid.cube_window * local_weight(self.grid, (first, second))
        if self.every:
            return _Ways(self.prior, where, None)
        return _Ways(self.prior, where, shared_combinations((first, second), where))

    def _mean(self, sums: tuple[Complex64, Float32], prior: Float64) -> Complex64:
        numerator, denominator = sums
        # as products: sums along a short last axis take five times as long
        ones = np.ones((numerator.shape[1], 1), np.float32)
        return solved(self.grid, (numerator @ ones, denominator @ ones), prior)

    def _placed(
        self,
        sums: tuple[Complex64, Float32],
        common: Complex64,
        prior: Float64,
        combinations: Float32 | None = None,
    ) -> Float32:
        """Return the classes' differences from the common map, or combinations, in the cube."""
        differences = quotients(self.grid, sums, prior, common=common, combinations=combinations)
        return self.grid.placed(differences)

    def _made(
        self, sums: tuple[Complex64, Float32], common_prior: Float64, ways: _Ways
    ) -> Complex64:
        common = self._mean(sums, common_prior)
        # few combinations of many differences: only they are transformed
        apart = self._placed(sums, common, ways.prior, ways.combinations)
        apart *= ways.where[..., None]
        return np.concatenate([common, self.grid.of_cube(apart)], axis=1)


@dataclass(frozen=True)
class _Ways:
    """How differences are told from noise."""

    #: Inverse variance by shell, (rings + 1, 1).
    prior: Float64
    #: How far they can be trusted at each place of the cube, the window's part in it, (c, c, c).
    where: Float32
    #: Those of the K classes that hold signal, (K, q); None for all.
    combinations: Float32 | None


def own_maps(observed: Observed, grid: SliceGrid, found: Judgement) -> FoldMaps:
    """Return the maps of K classes, each of its own particles."""
    n_classes = found.responsibilities.shape[1]
    span = SpanFilter(grid, every=True).maps(class_sums(observed, grid, found))
    return span.combined(np.column_stack([np.ones(n_classes), np.eye(n_classes)]))


def class_sums(observed: Observed, grid: SliceGrid, found: Judgement) -> FoldSums:
    """Sum the particles of each class."""
    own = found.responsibilities
    return FoldSums.of(observed, grid, own * found.scale, own * found.square)


def compared(observed: Observed, grid: SliceGrid, fold_maps: FoldMaps) -> tuple[Float64, Float64]:
    """Return norms and cross terms (n, K): log likelihood ``cross s - norm s^2 / 2`` at scale s."""
    norm, cross = (np.empty((len(observed), fold_maps.count)) for _ in range(2))
    for piece in observed.pieces(grid.rings):
        seen = grid.slices(fold_maps.maps[piece.fold], piece.rotations)
        seen *= piece.transfer[:, :, None]
        # half a plane stands for both halves
        norm[piece.rows] = 2 * np.sum(seen.real**2 + seen.imag**2, axis=1)
        product = np.einsum("kmq,km->kq", seen.conj(), piece.data)
        cross[piece.rows] = 2 * product.real
    return norm, cross
