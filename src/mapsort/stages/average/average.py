"""Average the particles of each class, CTF-weighted, halves apart, and learn the noise too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mapsort import _core
from mapsort.array_types import (
    Array,
    Bool,
    Complex64,
    Float32,
    Float64,
    Indices,
    Int64,
    Integer,
    Real,
    UInt8,
)
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.physics.shells import shell_means
from mapsort.stages.average.particle_fit import ParticleFit, misfit
from mapsort.stages.fourier_grid import FourierGrid, centred_images


@dataclass
class ShellStatistics:
    """Sums over all averaged particles in each rounded shell of the Fourier plane.

    ``image`` is |X|^2, ``cross`` Re conj(X) C P, ``reference`` C^2 |P|^2 and ``terms`` the number
    of Fourier terms, each (n_shells,), float64.
    """

    image: Float64
    cross: Float64
    reference: Float64
    terms: Float64

    @classmethod
    def empty(cls, n_shells: int) -> ShellStatistics:
        """Return the sums over no particles."""
        return cls(*(np.zeros(n_shells) for _ in range(4)))

    @classmethod
    def total(cls, parts: list[ShellStatistics]) -> ShellStatistics:
        """Return the sums over the particles of several groups."""
        names = ("image", "cross", "reference", "terms")
        return cls(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in names))

    def merge(self, other: ShellStatistics) -> None:
        """Add the sums over other particles."""
        self.image += other.image
        self.cross += other.cross
        self.reference += other.reference
        self.terms += other.terms

    def add(self, shells: list[Float32], weight: Float64, box: int) -> None:
        """Add |X|^2, Re conj(X) C P and C^2 |P|^2 of entries, (n, n_shells) each, by weight."""
        for total, values in zip((self.image, self.cross, self.reference), shells, strict=True):
            total += weight @ values.astype(np.float64)
        self.terms += weight.sum() * plane_terms(box)

    def residual_power(self, scale: float = 1.0) -> Float64:
        """Return mean |X - scale C P|^2 in each shell: the noise that the maps do not explain."""
        power = self.image - 2 * scale * self.cross + scale**2 * self.reference
        return np.asarray(power / np.maximum(self.terms, 1.0))

    def scale(self, noise_power: Real) -> float:
        """Return the least-squares scale of the maps' projections in the particles."""
        signal = np.sum(self.reference / noise_power)
        return float(np.sum(self.cross / noise_power) / signal) if signal > 0 else 1.0


@dataclass(frozen=True)
class PieceSums:
    """What consecutive particles add to the sums of their classes; little to send elsewhere."""

    #: Number of the first of them.
    first_particle: int
    #: Rows of the sums that they add to, (m,).
    slots: Indices
    #: numerator and density, (m, box, box//2+1): those rows.
    numerator: Complex64
    density: Float32
    #: (n_classes,).
    count: Int64
    of_groups: list[ShellStatistics]
    #: Of these particles.
    fit: ParticleFit


@dataclass
class ClassAccumulator:
    """Collects class sums chunk by chunk.

    Parameters
    ----------
    apix : float
        Pixel size [A].
    references : ndarray of shape (n_classes, box, box//2+1), complex64
        Slices of the maps that the classes were made with; of shape (2, n_classes, ...) where
        half-sets have their own.
    half : ndarray of shape (n,), uint8
        Half-set of each particle, from the first one on.
    noise_power : ndarray of shape (n_groups, n_shells), optional
        Power of the noise in each shell, in each group of particles, for `fit`.
    group : ndarray of shape (n_particles,), optional
        Group of each particle, from 0; one group by default.
    n_particles : int
        Of which `fit` tells; 0 for no fit.
    first_particle : int
        Number of the first of the particles that are added; matches, groups and fit begin there.
    n_groups : int
        Number of groups of particles.
    room : callable
        Makes arrays of zeros of a shape and type for what is collected.
    """

    grid: FourierGrid
    apix: float
    references: Complex64
    half: UInt8
    noise_power: Float64 | None = None
    group: Indices | None = None
    n_particles: int = 0
    first_particle: int = 0
    n_groups: int = 1
    room: Callable[[tuple[int, ...], npt.DTypeLike], Array] = np.zeros
    numerator: Complex64 = field(init=False)
    density: Float32 = field(init=False)
    count: Int64 = field(init=False)
    n_classes: int = field(init=False)
    of_groups: list[ShellStatistics] = field(init=False)
    _touched: Bool = field(init=False)
    #: How each particle fits the projection of its best match.
    fit: ParticleFit = field(init=False)

    def __post_init__(self) -> None:
        n, box, half = self.references.shape[-3:]
        self.references = self.references.reshape(-1, box, half)
        self.n_classes = n
        self.numerator = self.room((N_HALVES * n, box, half), np.complex64)
        self.density = self.room((N_HALVES * n, box, half), np.float32)
        self._touched = np.zeros(N_HALVES * n, dtype=bool)
        self.count = np.zeros(n, dtype=np.int64)
        if self.group is None:
            self.group = np.zeros(self.n_particles, dtype=np.intp)
        self.of_groups = [ShellStatistics.empty(self.n_shells) for _ in range(self.n_groups)]
        self.fit = ParticleFit.empty(self.n_particles, room=self.room)

    @property
    def statistics(self) -> ShellStatistics:
        """Sums over the particles of all groups."""
        return ShellStatistics.total(self.of_groups)

    @property
    def n_shells(self) -> int:
        """Number of shells up to the Nyquist frequency."""
        return self.grid.box // 2 + 1

    @property
    def max_radius(self) -> float:
        """Highest frequency averaged, in Fourier pixels."""
        return float(self.grid.box // 2)

    def add(
        self,
        spectra: Complex64,
        ctf: Float32,
        first_particle: int,
        matches: Matches,
        membership: Membership,
        *,
        n_threads: int,
    ) -> None:
        """Add the particles of one chunk, numbered from ``first_particle``, to their classes.

        The first row of the matches is of the particle that the accumulator begins with.
        """
        last = first_particle + len(spectra)
        entries = membership.used_entries(slice(first_particle, last))
        particle, column = membership.particle[entries], membership.column[entries]
        number, weight = membership.class_of_member[entries], membership.weight[entries]
        if self.n_particles:
            # Those whose best match is not averaged are only looked at.
            missing = np.ones(len(spectra), dtype=bool)
            missing[particle[column == 0] - first_particle] = False
            others = np.flatnonzero(missing) + first_particle
            particle = np.concatenate([particle, others])
            column = np.concatenate([column, np.zeros(len(others), column.dtype)])
            number = np.concatenate([number, matches.reference[others - self.first_particle, 0]])
            weight = np.concatenate([weight, np.zeros(len(others), weight.dtype)])
        half = self.half[particle - self.first_particle].astype(np.intp)
        row = half * self.n_classes + number
        order = np.lexsort((particle, row))
        particle, column, row, weight = particle[order], column[order], row[order], weight[order]
        slots, starts = np.unique(row, return_index=True)
        placed = matches.taken(particle - self.first_particle, column)
        placement = _core.Placement(
            order=(particle - first_particle).astype(np.int32),
            slot_start=np.append(starts, len(row)).astype(np.int32),
            slot=slots.astype(np.int32),
            alpha=np.deg2rad(placed.alpha[:, 0]).astype(np.float32),
            origin=np.ascontiguousarray(placed.origin[:, 0]),
            mirror=placed.mirror[:, 0].copy(),
            weight=np.ascontiguousarray(weight),
        )
        scale = self.grid.scale
        batch = _core.ParticleBatch(spectra, ctf, scale=scale, oversampling=scale, apix=self.apix)
        sums = _core.ClassSums(
            self.numerator, self.density, self.references, max_radius=self.max_radius
        )
        shells = sums.add(batch, placement, n_threads=n_threads)
        self._touched[slots] = True
        np.add.at(self.count, row[weight > 0] % self.n_classes, 1)
        self._add_shells(shells, particle, column, weight.astype(np.float64))

    def _add_shells(
        self, shells: Sequence[Float32], particle: Integer, column: Integer, weight: Float64
    ) -> None:
        """Add the shell sums of entries to those of the groups and of the particles."""
        assert self.group is not None, "set after construction"
        own = np.zeros(len(particle), np.intp)
        if self.n_particles:
            own = self.group[particle - self.first_particle]
        for number, statistics in enumerate(self.of_groups):
            chosen = np.flatnonzero(own == number)
            if len(chosen):
                statistics.add([values[chosen] for values in shells], weight[chosen], self.grid.box)
        if self.n_particles and self.noise_power is not None:
            best = np.flatnonzero(column == 0)
            noise = self.noise_power[own[best] % len(self.noise_power)]
            image, cross, reference = (values[best].astype(np.float64) for values in shells)
            rows = particle[best] - self.first_particle
            self.fit.cross[rows] = np.sum(cross / noise, axis=1)
            self.fit.reference[rows] = np.sum(reference / noise, axis=1)
            self.fit.misfit[rows] = misfit(
                image, cross, reference, noise, plane_terms(self.grid.box)
            )

    def piece(self) -> PieceSums:
        """Return what was added, but for what is zero."""
        slots = np.flatnonzero(self._touched)
        return PieceSums(
            self.first_particle,
            slots,
            self.numerator[slots],
            self.density[slots],
            self.count,
            self.of_groups,
            self.fit,
        )

    def merge(self, piece: PieceSums) -> None:
        """Add the sums of consecutive particles that were collected elsewhere."""
        self.numerator[piece.slots] += piece.numerator
        self.density[piece.slots] += piece.density
        self._touched[piece.slots] = True
        self.count += piece.count
        for own, other in zip(self.of_groups, piece.of_groups, strict=True):
            own.merge(other)
        if self.n_particles:
            first = piece.first_particle - self.first_particle
            self.fit.place(first, piece.fit)

    def finish(self) -> ClassAverages:
        """Return the sums."""
        shape = (N_HALVES, self.n_classes, *self.references.shape[1:])
        return ClassAverages(self.numerator.reshape(shape), self.density.reshape(shape), self.count)


def plane_terms(box: int) -> Float64:
    """Return how many terms of the Fourier plane the averaging kernel counts in each shell."""
    k = np.arange(-((box - 1) // 2), (box - 1) // 2 + 1)
    radius = np.hypot(k[:, None], k[None, :])
    inside = radius <= box // 2
    return np.bincount(np.rint(radius[inside]).astype(int), minlength=box // 2 + 1).astype(float)


def particle_noise_to_signal(slices: Complex64, noise: Float64) -> Float64:
    """Return noise over signal power of one particle (without CTF) in each shell."""
    some = slices[:: max(1, len(slices) // 64)]
    power = shell_means(np.abs(some) ** 2, slices.shape[1]).mean(axis=0)
    return np.asarray(np.minimum(noise / np.maximum(power, 1e-6 * noise), 1e4))


def wiener_images(
    averages: ClassAverages, noise_to_signal: Real, classes: slice, *, n_threads: int = 1
) -> Float32:
    """Return class averages as images, (n, box, box): sum N / (sum D + 1/SSNR of one particle).

    ``noise_to_signal`` (box//2 + 1,) is that 1/SSNR, without CTF.
    """
    box = averages.box
    k = np.minimum(np.arange(box), box - np.arange(box))
    radius = np.hypot(k[:, None], np.arange(box // 2 + 1)[None, :])
    term = np.interp(radius, np.arange(box // 2 + 1), noise_to_signal).astype(np.float32)
    count = averages.count[classes]
    filled = np.flatnonzero(count)
    rows = np.arange(len(averages.count))[classes][filled]
    numerator = averages.numerator[0, rows] + averages.numerator[1, rows]
    density = averages.density[0, rows] + averages.density[1, rows]
    images = np.zeros((len(count), box, box), dtype=np.float32)
    images[filled] = centred_images(numerator / (density + term), box, n_threads=n_threads)
    return images
