"""Principal components of the volume: probabilistic PCA, each fold judged by the others.

Each particle is the slice of ``s V + sum_j z_j U_j`` with its scale s and coordinates z unknown.
E step: their posterior, from components made without the particle's fold. M step: all components
together, voxel by voxel, from sums of C^2 times the second moments of (s, z) (Tipping & Bishop,
J. R. Stat. Soc. B 61 (1999) 611; Tagare et al., J. Struct. Biol. 191 (2015) 245). The components'
prior is the Wiener filter that the correlation of the half-sets gives, shell by shell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.stages.components.class_maps import FoldMaps, mean_map
from mapsort.stages.components.observed import FoldSums, Observed, Piece, Products, power_of
from mapsort.stages.components.scale import LEAST_GAUGE, MORE_PROBABLE, ScaleModel
from mapsort.stages.components.shrinkage import shell_prior
from mapsort.stages.components.slice_grid import SliceGrid

#: Iterations, the first half of them at a coarser band.
ITERATIONS = 8
#: Bands of the two halves, as parts of that of the maps: their sums are as many as the square of
#: the components, and a mixture that is refined afterwards gains nothing from more.
COARSE, FINE = 0.4, 0.6
#: Inverse variance of the scale.
SCALE_PRECISION = 16.0
#: Amplitude of the random components to begin with, relative to the mean map.
FIRST_SIZE = 0.3
#: A prior from before is no more than this times the data's own weight.
_MOST_PRIOR = 10.0
_SCALE_ROUNDS = 20
#: Precision of coordinates that are all but free: components may be nothing.
_FREE_PRECISION = 1e-3
#: Voxels whose equations are solved together.
_VOXELS_AT_ONCE = 1024
#: Iterations in which the noise is learnt.
NOISE_STEPS = (ITERATIONS // 2, ITERATIONS - 2)


@dataclass(frozen=True)
class Components:
    """The mean map and q components, for each fold without it.

    Attributes
    ----------
    made : FoldMaps
        (voxels, q + 1).
    prior : ndarray of shape (rings + 1, q + 1), float64, or None
        Inverse variances, from the correlation of the half-sets.
    """

    grid: SliceGrid
    made: FoldMaps
    prior: Float64 | None = None

    def products(self, observed: Observed) -> Products:
        """Compare particles with the components without their fold."""
        return Products.of(observed, self.grid, self.made.maps)


@dataclass(frozen=True)
class Coordinates:
    """Posterior of each particle's (scale, coordinates)."""

    #: What the particles say of the components.
    products: Products
    #: (n, q + 1).
    mean: Float64
    #: The second moment is ``second``; both (n, q + 1, q + 1).
    covariance: Float64
    second: Float64

    @classmethod
    def of(cls, products: Products) -> Coordinates:
        """Return the posterior under the prior N((1, 0), diag(1/16, 1))."""
        prior = np.eye(products.target.shape[1])
        prior[0, 0] = SCALE_PRECISION
        covariance = np.linalg.inv(products.precision + prior)
        mean = np.einsum("nab,nb->na", covariance, products.target + prior[0])
        second = covariance + mean[:, :, None] * mean[:, None, :]
        return cls(products, np.asarray(mean), np.asarray(covariance), np.asarray(second))

    def gauged(self, weight: Float64) -> Coordinates:
        """Return the same with particles of median scale 1."""
        counted = self.mean[weight > MORE_PROBABLE, 0]
        gauge = float(np.median(counted)) if len(counted) else 1.0
        if gauge <= 0:
            return self
        mean, second = self.mean.copy(), self.second.copy()
        mean[:, 0] /= gauge
        second[:, 0] /= gauge
        second[:, :, 0] /= gauge
        return replace(self, mean=mean, second=second)


@dataclass(frozen=True)
class Subspace:
    """What the decomposition found."""

    #: Of all particles, with components made without their fold.
    products: Products
    #: Mean and components of all particles, (voxels, q + 1).
    whole: Complex64
    #: What they are on.
    grid: SliceGrid
    #: With the noise learnt on the way.
    observed: Observed

    @property
    def temperature(self) -> float:
        """What log likelihoods are divided by where they are counted.

        The noise is that of cut images, and neighbouring coefficients depend on each other: they
        would be counted as if each told something of its own. With the noise of whole images, the
        likelihood is that of all pixels.
        """
        return 1 / self.observed.particles.noise_kept

    @property
    def counted(self) -> Products:
        """What particles say, counted right."""
        return self.products.tempered(self.temperature)


@dataclass(frozen=True)
class Decomposition:
    """How components are sought."""

    #: coarse and fine: of the first and second half of the iterations.
    coarse: SliceGrid
    fine: SliceGrid
    #: q, from 1.
    n_components: int
    #: A fold that has no part in the components, so that it can tell their worth; -1 for none.
    kept_out: int
    #: Whether some images may hold no particle.
    junk: bool

    def run(
        self,
        observed: Observed,
        weight: Float64,
        rng: np.random.Generator,
        told: Callable[[], None],
    ) -> Subspace:
        """Find components, beginning with noise.

        Parameters
        ----------
        weight : ndarray of shape (n,)
            How much each particle counts; 0 for junk.
        told : callable
            Called after each iteration.
        """
        components = self._start(observed, weight, rng)
        for step in range(ITERATIONS):
            grid = self.coarse if step < ITERATIONS // 2 else self.fine
            found = Coordinates.of(components.products(observed))
            if step in NOISE_STEPS:
                observed = with_noise_left(observed, components, found)
            if self.junk and step > 1:
                weight = real_particles(found.products)
            counted = self._counted(observed, weight)
            components = maximised(observed, grid, found.gauged(weight), counted, components)
            told()
        products = components.products(observed)
        return Subspace(products, components.made.whole, self.fine, observed)

    def _counted(self, observed: Observed, weight: Float64) -> Float64:
        return np.asarray(weight * (observed.folds.number != self.kept_out))

    def _start(self, observed: Observed, weight: Float64, rng: np.random.Generator) -> Components:
        """Return the mean map, and noise of its spectrum."""
        grid, counted = self.coarse, self._counted(observed, weight)
        mean = mean_map(observed, grid, counted, np.ones(len(counted)), np.ones(len(counted)))
        white = rng.standard_normal((*(grid.side,) * 3, self.n_components), np.float32)
        amplitude = np.sqrt(grid.shell_means(power_of(mean.whole[grid.kept])))
        shells = np.minimum(grid.shell, grid.rings)
        noise = grid.fourier(white) * grid.inside * amplitude.astype(np.float32)[shells]
        noise = grid.focused(grid.masked(noise))
        sizes = np.sqrt(power_of(mean.whole).sum() / power_of(noise).sum(axis=0))
        noise *= FIRST_SIZE * sizes

        def with_noise(own: Complex64) -> Complex64:
            return np.concatenate([own, noise], axis=1)

        maps = FoldMaps([with_noise(own) for own in mean.maps], lambda: with_noise(mean.whole))
        return Components(grid, maps)


def maximised(
    observed: Observed,
    grid: SliceGrid,
    found: Coordinates,
    weight: Float64,
    before: Components,
) -> Components:
    """Return the components that explain the particles at their coordinates: the M step.

    Parameters
    ----------
    weight : ndarray of shape (n,)
    before : Components
        Whose prior is where this one begins, if they are on the same grid.
    """
    prior = before.prior if before.grid is grid else None
    row, column = np.triu_indices(found.mean.shape[1])
    sums = FoldSums.of(
        observed, grid, found.mean * weight[:, None], found.second[:, row, column] * weight[:, None]
    )
    whole = sums.of_all
    density = grid.shell_means(whole[1][:, row == column])
    first = 0.5 * density if prior is None else np.minimum(prior, _MOST_PRIOR * density)
    halves = [solved_together(grid, sums.of_half(half), 0.5 * first) for half in (0, 1)]
    learnt = shell_prior(grid, (halves[0], halves[1]), density)
    maps = [
        solved_together(grid, sums.without(whole, fold), learnt) for fold in range(sums.n_folds)
    ]
    return Components(grid, FoldMaps(maps, lambda: solved_together(grid, whole, learnt)), learnt)


def solved_together(grid: SliceGrid, sums: tuple[Complex64, Float32], prior: Real) -> Complex64:
    """Return maps (voxels, q) that explain sums together, within the window.

    The first is the mean map; the others, components, lie within the region if there is one.

    Parameters
    ----------
    sums : pair of ndarray
        Numerators (m, q) and upper triangles of the normal matrices (m, q (q + 1) / 2), of the
        voxels that the grid keeps.
    prior : ndarray of shape (rings + 1, q)
    """
    numerator, triangle = sums
    term, found = prior.astype(np.float32), np.empty_like(numerator)
    # what is in between stays in the nearest memory
    for part in chunk_ranges(len(numerator), _VOXELS_AT_ONCE):
        found[part] = _explaining(numerator[part], triangle[part], term[grid.shell_kept[part]])
    return grid.focused(grid.masked(grid.spread(found)), common=1)


def _explaining(numerator: Complex64, triangle: Float32, prior: Float32) -> Complex64:
    """Solve the equations of some voxels: (v, q), (v, q (q + 1) / 2) and, on the diagonal, (v, q).

    Gauss and Jordan's elimination of all at a time. Sums of squares and a positive prior make the
    matrices positive: no pivots are sought.
    """
    q = numerator.shape[1]
    # the matrices, and right of them real and imaginary parts of what they are to explain
    lines = np.empty((q, q + 2, len(numerator)), np.float32)
    first = 0
    for row in range(q):
        lines[row, row:q] = lines[row:q, row] = triangle[:, first : first + q - row].T
        lines[row, row] += prior[:, row]
        first += q - row
    lines[:, q], lines[:, q + 1] = numerator.real.T, numerator.imag.T
    for pivot in range(q):
        later = lines[:, pivot + 1 :]
        later[pivot] /= lines[pivot, pivot]
        for other in range(q):
            if other != pivot:
                later[other] -= lines[other, pivot] * later[pivot]
    found = np.empty_like(numerator)
    found.real, found.imag = lines[:, q].T, lines[:, q + 1].T
    return found


def with_noise_left(observed: Observed, components: Components, found: Coordinates) -> Observed:
    """Return particles with the noise that the components leave, and their own uncertainty."""
    grid = components.grid

    def power_left(piece: Piece) -> Float32:
        seen = grid.slices(components.made.maps[piece.fold], piece.rotations)
        seen *= piece.transfer[:, :, None]
        expected = np.einsum("kmq,kq->km", seen, found.mean[piece.rows].astype(np.float32))
        doubt = seen @ found.covariance[piece.rows].astype(np.float32)
        left = power_of(piece.data - expected)
        return np.asarray(left + (doubt * seen.conj()).real.sum(axis=2))

    return observed.with_noise_of(power_left, grid.rings)


def real_particles(products: Products) -> Float64:
    """Return each image's probability of being a particle, by its scale with all else free."""
    weak = _FREE_PRECISION * np.eye(products.target.shape[1])
    inverse = np.linalg.inv(products.precision + weak)
    norm = 1 / inverse[:, 0, 0]
    cross = norm * np.einsum("nb,nb->n", inverse[:, 0], products.target)
    gauge = max(float(np.median(cross / norm)), LEAST_GAUGE)
    columns = (norm * gauge**2)[:, None], (cross * gauge)[:, None]
    _, found = ScaleModel.start(junk=True).settled(*columns, np.ones(1), _SCALE_ROUNDS)
    return found.responsibilities[:, 0]
