"""Particles as they are seen now: poses and noise known so far applied to stored coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np

from mapsort.array_types import Bool, Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import Rows
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.components.band import BandParticles
from mapsort.stages.components.folds import Folds
from mapsort.stages.components.noise import NoiseModel, PowerSums
from mapsort.stages.components.slice_grid import SliceGrid

#: A ring of an image has no more than this times the median power: the CTF, and the particle's
#: own strength, make less of a difference.
MOST_POWER = 25.0


@dataclass(frozen=True)
class Piece:
    """Some particles of one fold, up to a ring."""

    fold: int
    #: (k,).
    rows: Indices
    #: (k, m).
    data: Complex64
    #: (k, m).
    transfer: Float32
    #: (k, 3, 3).
    rotations: Float64


@dataclass(frozen=True)
class Observed:
    """All particles, with what is known of them."""

    #: Prepared, centred by the origins known so far.
    particles: BandParticles
    #: Parts that are judged by maps made without them; at least 2, none of them empty.
    folds: Folds
    #: Object to view, (n, 3, 3).
    rotations: Float64
    #: Shift that centres what is stored, x before y [pixels], (n, 2).
    origins: Float64
    noise: NoiseModel
    #: The orientation R is equivalent to R S for each of these, (g, 3, 3).
    symmetry: Float64
    #: Factor of each particle's rings from 1, (n, rings): below 1 where an image is far brighter
    #: than most.
    limited: Float32

    @classmethod
    def at_first(
        cls,
        particles: BandParticles,
        folds: Folds,
        rotations: Float64,
        group: Symmetry,
    ) -> Observed:
        """Return particles of which all power counts as noise.

        Raises
        ------
        ConfigError
            The symmetry is a helix.
        """
        if group.helical:
            raise ConfigError(
                f"symmetry {group.name}: classes of helices cannot be found from one map"
            )
        rings = particles.band.rings
        none = NoiseModel(np.ones(rings + 1), np.zeros(rings + 1))
        origins = np.zeros((len(particles), 2))
        limited = limiting_factors(particles, folds)
        observed = cls(particles, folds, rotations, origins, none, group.matrices, limited)
        return observed.with_noise_of(lambda piece: power_of(piece.data), rings)

    def __len__(self) -> int:
        return len(self.particles)

    def pieces(self, rings: int) -> Iterator[Piece]:
        """Yield whitened particles up to a ring: data and transfer over the noise's deviation."""
        ring = self.particles.band.ring[: self.particles.band.n_points(rings)]
        for piece in self.raw_pieces(rings):
            whitening = np.reciprocal(self.noise.deviation(ring, piece.transfer))
            yield replace(piece, data=piece.data * whitening, transfer=piece.transfer * whitening)

    def raw_pieces(self, rings: int) -> Iterator[Piece]:
        """Yield the same as they are, but centred."""
        band = self.particles.band
        n_points = band.n_points(rings)
        frequencies = (-2 * np.pi / band.box) * band.frequencies[:n_points].T
        for fold, rows in self.folds.chunks():
            # the first columns of what may be a file
            data = self.particles.spectra[rows, :n_points]
            data = data * self.limited[rows][:, band.ring[:n_points] - 1]
            transfer = self.particles.transfer[rows, :n_points]
            phase = self.origins[rows].astype(np.float32) @ frequencies
            yield Piece(fold, rows, data * _turns(phase), transfer, self.rotations[rows])

    def with_noise_of(self, power_left: Callable[[Piece], Float32], rings: int) -> Observed:
        """Return the same with noise of the power that a model leaves of raw pieces.

        Up to a ring; beyond it the noise stays what it is.
        """
        sums = PowerSums(self.particles.band.ring[: self.particles.band.n_points(rings)])
        for piece in self.raw_pieces(rings):
            sums.add(power_left(piece), piece.transfer)
        return replace(self, noise=self.noise.replaced(sums.fit()))

    def moved(self, turns: Float64, shifts: Float64) -> Observed:
        """Return the same with other poses.

        Parameters
        ----------
        turns : ndarray of shape (n, 3, 3)
            Rotations of each particle's view, applied after its own.
        shifts : ndarray of shape (n, 2)
            Added to the shifts that centre the particles [pixels].
        """
        return replace(self, rotations=turns @ self.rotations, origins=self.origins + shifts)


def limiting_factors(particles: BandParticles, folds: Folds) -> Float32:
    """Return factors (n, rings) that limit the power of images to a multiple of their median.

    An image of ice or carbon can have a thousand times the power of a particle: a few of them would
    pass for the noise of all.
    """
    ring = particles.band.ring
    first = np.searchsorted(ring, np.arange(1, particles.band.rings + 1))
    count = np.diff(np.append(first, len(ring)))
    power = np.zeros((len(particles), len(first)), np.float32)
    for _, rows in folds.chunks():
        power[rows] = np.add.reduceat(power_of(particles.spectra[rows]), first, axis=1) / count
    limit = np.maximum(MOST_POWER * np.median(power, axis=0), np.finfo(np.float32).tiny)
    return np.asarray(np.sqrt(limit / np.maximum(power, limit)), np.float32)


def _turns(phase: Float32) -> Complex64:
    """Return exp(i phase); sine and cosine are several times faster than the exponential."""
    turns = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=turns.real)
    np.sin(phase, out=turns.imag)
    return turns


def power_of(data: Complex64) -> Float32:
    """Return squared amplitudes."""
    return data.real**2 + data.imag**2


@dataclass(frozen=True)
class FoldSums:
    """Slices of the particles of each fold, summed into maps; those of several folds add up.

    Of the m voxels that a grid keeps: those beyond its last ring, half of all, are no part of maps.
    """

    #: Sums of C X / noise, times each particle's weights, (F, m, a).
    numerator: Complex64
    #: Sums of C^2 / noise, times each particle's other weights, (F, m, b).
    denominator: Float32

    @classmethod
    def of(
        cls, observed: Observed, grid: SliceGrid, weights: Float64, square_weights: Float64
    ) -> FoldSums:
        """Sum all particles with weights (n, a) and, for the denominator, (n, b)."""
        n_folds, kept = observed.folds.count, len(grid.kept)
        numerator = np.zeros((n_folds, kept, weights.shape[1]), np.complex64)
        denominator = np.zeros((n_folds, kept, square_weights.shape[1]), np.float32)
        sums = grid.no_sums(weights.shape[1], square_weights.shape[1])
        for fold, pieces in groupby(observed.pieces(grid.rings), lambda piece: piece.fold):
            for piece in pieces:
                data, density = piece.data * piece.transfer, np.square(piece.transfer)
                own = weights[piece.rows].astype(np.float32)
                own_square = square_weights[piece.rows].astype(np.float32)
                for copy in observed.symmetry:
                    grid.add(sums, data, own, density, own_square, piece.rotations @ copy)
            grid.add_mates(sums)
            for each, total in zip(sums, (numerator, denominator), strict=True):
                np.take(each, grid.kept, axis=0, out=total[fold], mode="clip")
                each[:] = 0
        return cls(numerator, denominator)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.numerator)

    def of_half(self, half: int) -> tuple[Complex64, Float32]:
        """Return numerator and denominator of a half-set, 0 or 1."""
        return self.numerator[half::2].sum(axis=0), self.denominator[half::2].sum(axis=0)

    @property
    def of_all(self) -> tuple[Complex64, Float32]:
        """Numerator and denominator of all folds."""
        return self.numerator.sum(axis=0), self.denominator.sum(axis=0)

    def without(self, total: tuple[Complex64, Float32], fold: int) -> tuple[Complex64, Float32]:
        """Return the total without a fold."""
        return total[0] - self.numerator[fold], total[1] - self.denominator[fold]


def _columns(piece: Piece, grid: SliceGrid, maps: Complex64) -> tuple[Float32, Float32]:
    """Return what particles see of maps, (k, q, 2 m), and their data, (k, 2 m), as real numbers."""
    columns = np.ascontiguousarray(grid.slices(maps, piece.rotations).transpose(0, 2, 1))
    columns *= piece.transfer[:, None]
    return columns.view(np.float32), np.ascontiguousarray(piece.data).view(np.float32)


@dataclass(frozen=True)
class Products:
    """What each particle says of q maps that were made without it.

    The log likelihood of ``sum_j x_j map_j`` is ``target.x - x.precision.x / 2`` and a constant.
    """

    #: (n, q, q).
    precision: Float64
    #: (n, q).
    target: Float64

    @classmethod
    def of(cls, observed: Observed, grid: SliceGrid, maps: list[Complex64]) -> Products:
        """Compare particles with maps (voxels, q), one array for each fold."""
        q = maps[0].shape[1]
        precision, target = np.empty((len(observed), q, q)), np.empty((len(observed), q))
        for piece in observed.pieces(grid.rings):
            made = cls._of_columns(*_columns(piece, grid, maps[piece.fold]))
            precision[piece.rows], target[piece.rows] = made.precision, made.target
        return cls(precision, target)

    @classmethod
    def up_to_each_ring(cls, piece: Piece, grid: SliceGrid, maps: Complex64) -> Iterator[Products]:
        """Yield what a piece says of maps (voxels, q) up to each ring, from the first to all."""
        seen, data = _columns(piece, grid, maps)
        # real and imaginary parts are columns of their own
        ends = [2 * grid.band.n_points(ring) for ring in range(grid.rings + 1)]
        q = maps.shape[1]
        precision, target = np.zeros((len(data), q, q)), np.zeros((len(data), q))
        for start, end in pairwise(ends):
            more = cls._of_columns(seen[..., start:end], data[:, start:end])
            precision, target = precision + more.precision, target + more.target
            yield cls(precision, target)

    @classmethod
    def _of_columns(cls, seen: Float32, data: Float32) -> Products:
        # half a plane stands for both halves
        precision, target = 2 * (seen @ seen.transpose(0, 2, 1)), 2 * (seen @ data[:, :, None])
        return cls(np.asarray(precision, np.float64), np.asarray(target[..., 0], np.float64))

    @property
    def norm(self) -> Float64:
        """The maps' own norms, (n, q)."""
        return np.diagonal(self.precision, axis1=1, axis2=2)

    def rows(self, which: Bool | Rows) -> Products:
        """Return those of some particles."""
        return Products(self.precision[which], self.target[which])

    def tempered(self, temperature: float) -> Products:
        """Return those of log likelihoods divided by a number."""
        return Products(self.precision / temperature, self.target / temperature)

    def along(self, basis: Float64) -> Products:
        """Return the same for maps that are sums of these: column j is ``maps @ basis[:, j]``."""
        return Products(basis.T @ self.precision @ basis, self.target @ basis)
