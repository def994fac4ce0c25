"""Rounds of one start: a batch of particles, soft assignment, new maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import chunk_ranges, on_threads
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.abinit.expectation import (
    Poses,
    Slices,
    Sums,
    best_poses,
    expected,
    likelihoods,
    without_map,
)
from mapsort.stages.abinit.polar import PolarGrid
from mapsort.stages.abinit.schedule import Stage
from mapsort.stages.abinit.trailing import (
    Trailing,
    centred,
    inserted,
    limited_noise,
    on_grid,
    solved,
)
from mapsort.stages.components.band import BandParticles

#: Scores of poses that are in memory together, for each thread.
_SCORES = 2**22
#: Maps are centred every so many rounds.
_CENTRED_EVERY = 3
#: Standard deviation of shifts along an axis, at least [pixels].
_LEAST_SHIFT = 0.5
#: Power of the random maps' projections relative to that of the particles.
_FIRST_POWER = 0.5
#: Shifts are searched up to so many standard deviations.
_REACH = 2.5
#: Particles that are kept out, at most, and the part of all that they are at most.
_HELD_OUT, _HELD_OUT_PART = 300, 0.1


@dataclass(frozen=True)
class Problem:
    """What all starts have in common.

    Attributes
    ----------
    radius_px : float
        Radius of the sphere that holds the particle.
    max_shift : float
        [pixels]
    circle : float
        Part of the noise's power that the circle about the particles leaves.
    """

    particles: BandParticles
    n_models: int
    symmetry: Symmetry
    radius_px: float
    max_shift: float
    circle: float
    seed: int
    n_threads: int

    @cached_property
    def _order(self) -> Indices:
        return np.random.default_rng([self.seed, 0]).permutation(len(self.particles))

    @property
    def _n_held_out(self) -> int:
        return min(_HELD_OUT, int(_HELD_OUT_PART * len(self.particles)))

    @property
    def held_out(self) -> Indices:
        """Particles that no map is made of."""
        return self._order[: self._n_held_out]

    def batch(self, first: int, count: int) -> Indices:
        """Return the particles from the first on, in an order that begins anew at its end."""
        others = self._order[self._n_held_out :]
        count = min(count, len(others))
        return others[(first + np.arange(count)) % len(others)]

    def grid(self, stage: Stage) -> PolarGrid:
        """Return the grid of a stage."""
        band = self.particles.band
        return PolarGrid(band, stage.rings, self.radius_px, self.n_threads, stage.angles)

    def power(self, grid: PolarGrid) -> Float64:
        """Return the mean power of some particles by ring, (rings,)."""
        some = grid.particles(self.particles, self.batch(0, _HELD_OUT))
        return np.asarray(some.power.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True)
class Standing:
    """Where a start stands.

    Attributes
    ----------
    stage : Stage
        That it has gone through.
    maps : ndarray of shape (voxels, K), complex64
    correlation : ndarray of shape (rings + 1, K), float64
        Of the halves of the batches.
    taken : int
        Particles that were taken.
    """

    stage: Stage
    maps: Complex64
    sums: Trailing
    correlation: Float64
    taken: int
    rounds: int


def views(step_deg: float, rng: np.random.Generator | None = None) -> Float64:
    """Return rotations to directions all over the sphere, (d, 3, 3): a Fibonacci lattice.

    Parameters
    ----------
    step_deg : float
        Between neighbours.
    rng : Generator, optional
        Turns all of them at random.
    """
    count = max(12, round(4 * np.pi / np.deg2rad(step_deg) ** 2))
    number = np.arange(count)
    z = 1.0 - (2 * number + 1) / count
    across = np.sqrt(1.0 - z**2)
    angle = number * np.pi * (3.0 - np.sqrt(5.0))
    cos, sin, none = np.cos(angle), np.sin(angle), np.zeros(count)
    # rows: the view's x and y axes and its direction
    rows = [
        np.stack([cos * z, sin * z, -across], axis=1),
        np.stack([-sin, cos, none], axis=1),
        np.stack([across * cos, across * sin, z], axis=1),
    ]
    found = np.stack(rows, axis=1)
    return found if rng is None else found @ Rotation.from_quat(rng.standard_normal(4)).as_matrix()


def _poses(problem: Problem, stage: Stage, shift_square: float, rotations: Float64) -> Poses:
    """Return poses with a normal prior of shifts, as far as it reaches."""
    deviation = max(np.sqrt(shift_square / 2), _LEAST_SHIFT)
    reach = min(problem.max_shift, max(_REACH * deviation, stage.shift_step))
    count = int(reach / stage.shift_step + 1e-6)
    line = stage.shift_step * np.arange(-count, count + 1)
    y, x = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    inside = np.hypot(x, y) <= reach + 1e-6
    origins = np.stack([x, y], axis=1)[inside]
    prior = -0.5 * np.sum(origins**2, axis=1) / (deviation**2 + (stage.shift_step / 4) ** 2)
    prior -= np.log(np.exp(prior).sum())
    return Poses(rotations, origins, prior)


def _slices(problem: Problem, grid: PolarGrid, standing: Standing, rotations: Float64) -> Slices:
    """Return slices of a start's maps, on a grid of no more rings than they have."""
    maps, noise = standing.maps, standing.sums.noise[: grid.rings]
    if grid.rings < standing.stage.rings:
        maps = np.asarray(on_grid(maps, problem.grid(standing.stage), grid), np.complex64)
    data = grid.polar_slices(maps, rotations)
    prior = np.full(len(data), -np.log(len(data)))
    return Slices(grid, data, prior, noise, problem.circle)


def _pieces(slices: Slices, poses: Poses, rows: Indices) -> list[Indices]:
    """Return particles in pieces whose size depends on that of the search only."""
    scores = len(slices.data) * len(poses.origins) * slices.grid.angles
    return [rows[part] for part in chunk_ranges(len(rows), max(1, _SCORES // scores))]


def begun(problem: Problem, stage: Stage, start: int) -> Standing:
    """Return the random maps that a start begins with: blobs within the sphere.

    Parameters
    ----------
    stage : Stage
        The first one.
    start : int
        Its number.
    """
    grid = problem.grid(stage)
    rng = np.random.default_rng([problem.seed, 1, start])
    white = rng.standard_normal((*(grid.side,) * 3, problem.n_models), np.float32)
    near = grid.window * np.exp(-0.5 * (2 * grid.distance / grid.radius_px) ** 2)
    near = near.astype(np.float32)[..., None]
    shell = np.minimum(grid.shell, grid.rings)
    smooth = np.exp(-2.0 * (shell / grid.rings) ** 2).astype(np.float32)[:, None] * grid.inside
    blobs = np.maximum(grid.real(grid.fourier(white * near) * smooth), 0) * near
    maps = grid.fourier(np.asarray(blobs, np.float32)) * grid.inside
    some = grid.particles(problem.particles, problem.batch(0, _HELD_OUT))
    seen = some.transfer_power.mean(axis=0)
    power = some.power.mean(axis=0, dtype=np.float64)
    slices = grid.polar_slices(maps, views(30.0))
    radius = np.arange(1, grid.rings + 1)
    own = np.sum(radius * seen * np.mean(np.abs(slices) ** 2, axis=(0, 2)))
    maps *= np.float32(np.sqrt(_FIRST_POWER * np.sum(radius * power) / own))
    none = np.zeros((2, grid.voxels, problem.n_models))
    sums = Trailing(
        none.astype(np.complex64),
        none.astype(np.float32),
        power,
        0.5 * problem.max_shift**2,
        np.full(problem.n_models, 1.0 / problem.n_models),
    )
    correlation = np.zeros((grid.rings + 1, problem.n_models))
    return Standing(stage, maps, sums, correlation, 0, 0)


def through(
    problem: Problem, standing: Standing, stage: Stage, start: int, told: Callable[[int], None]
) -> Standing:
    """Return a start after the rounds of a stage.

    Parameters
    ----------
    standing : Standing
        After the stage before.
    start : int
        Its number.
    told : callable
        Called with the number of particles after each round.
    """
    before, grid = problem.grid(standing.stage), problem.grid(stage)
    power = problem.power(grid)
    if stage.rings != before.rings:
        standing = replace(
            standing,
            stage=stage,
            maps=np.asarray(on_grid(standing.maps, before, grid), np.complex64),
            sums=standing.sums.on(before, grid, power),
        )
    for _ in range(stage.rounds):
        standing = _round(problem, standing, stage, grid, power, start)
        told(stage.batch)
    return standing


def _round(
    problem: Problem,
    standing: Standing,
    stage: Stage,
    grid: PolarGrid,
    power: Float64,
    start: int,
) -> Standing:
    rng = np.random.default_rng([problem.seed, 2, start, standing.rounds])
    rotations = views(stage.step_deg, rng)
    slices = _slices(problem, grid, standing, rotations)
    poses = _poses(problem, stage, standing.sums.shift_square, rotations)
    rows = problem.batch(standing.taken, stage.batch)
    halves = tuple(_summed(problem, slices, poses, rows[half::2]) for half in (0, 1))
    found = inserted(grid, (halves[0], halves[1]), slices.weight, rotations, problem.symmetry)
    part = stage.part if standing.rounds else 1.0
    noise = (1 - stage.part) * standing.sums.noise + stage.part * found.noise
    sums = replace(standing.sums.mixed(found, part), noise=limited_noise(noise, power))
    maps, correlation = solved(grid, sums)
    rounds = standing.rounds + 1
    if rounds % _CENTRED_EVERY == 0:
        maps, sums = centred(grid, maps, sums, problem.symmetry)
    return Standing(stage, maps, sums, correlation, standing.taken + len(rows), rounds)


def _summed(problem: Problem, slices: Slices, poses: Poses, rows: Indices) -> Sums:
    grid = slices.grid

    def work(piece: Indices) -> Sums:
        return expected(grid.particles(problem.particles, piece), slices, poses)

    found = on_threads(work, _pieces(slices, poses, rows), problem.n_threads)
    total = next(found)
    for more in found:
        total = total + more
    return total


@dataclass(frozen=True)
class Judged:
    """What held-out particles say of a start.

    Attributes
    ----------
    likelihood : ndarray of shape (n,), float64
        Of each [nat].
    gain : ndarray of shape (n,), float64
        Over noise alone [nat].
    """

    likelihood: Float64
    gain: Float64


def judged(problem: Problem, standing: Standing) -> Judged:
    """Return what the particles that were kept out say of a start."""
    stage, grid = standing.stage, problem.grid(standing.stage)
    rotations = views(stage.step_deg)
    slices = _slices(problem, grid, standing, rotations)
    poses = _poses(problem, stage, standing.sums.shift_square, rotations)
    nothing = problem.power(grid)

    def work(rows: Indices) -> tuple[Float64, Float32]:
        seen = grid.particles(problem.particles, rows)
        return likelihoods(seen, slices, poses), seen.power

    pieces = _pieces(slices, poses, problem.held_out)
    found, power = zip(*on_threads(work, pieces, problem.n_threads), strict=True)
    likelihood = np.concatenate(found)
    return Judged(
        likelihood, likelihood - without_map(np.concatenate(power), nothing, problem.circle)
    )


@dataclass(frozen=True)
class Placed:
    """The likeliest map and pose of each particle.

    Attributes
    ----------
    number : ndarray of shape (n,), intp
        Map, from 0.
    rotations : ndarray of shape (n, 3, 3), float64
    origins : ndarray of shape (n, 2), float64
        [pixels]
    """

    number: Indices
    rotations: Float64
    origins: Float64


def placed(
    problem: Problem, standing: Standing, stage: Stage, told: Callable[[int], None]
) -> Placed:
    """Return every particle's likeliest pose in a search as fine as a stage's.

    Parameters
    ----------
    standing : Standing
        Of no fewer rings than the stage.
    told : callable
        Called with the number of particles of each piece that is done.
    """
    grid, rotations = problem.grid(stage), views(stage.step_deg)
    slices = _slices(problem, grid, standing, rotations)
    poses = _poses(problem, stage, standing.sums.shift_square, rotations)

    def work(rows: Indices) -> Placed:
        found = best_poses(grid.particles(problem.particles, rows), slices, poses)
        told(len(rows))
        return Placed(*found)

    pieces = _pieces(slices, poses, np.arange(len(problem.particles)))
    parts = list(on_threads(work, pieces, problem.n_threads))
    return Placed(
        np.concatenate([part.number for part in parts]),
        np.concatenate([part.rotations for part in parts]),
        np.concatenate([part.origins for part in parts]),
    )
