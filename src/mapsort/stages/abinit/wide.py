"""Views all over the sphere, the same for all particles, and all shifts that are likely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.array_types import Float64, Indices
from mapsort.engines.chunks import chunk_ranges, on_threads
from mapsort.stages.abinit.expectation import (
    Best,
    Poses,
    Scored,
    Slices,
    Sums,
    best_poses,
    chances,
    expected,
    scored,
    told_kinds,
)
from mapsort.stages.abinit.junk import (
    ALL_PARTICLES,
    MORE_PROBABLE,
    Prior,
    junk_evidence,
    without_map,
)
from mapsort.stages.abinit.polar import PolarGrid, PolarParticles
from mapsort.stages.abinit.problem import Problem, Standing, at_stage
from mapsort.stages.abinit.schedule import Stage
from mapsort.stages.abinit.trailing import Trailing, inserted

#: Scores of poses that are in memory together, for each thread.
_SCORES = 2**21
#: Standard deviation of shifts along an axis, at least [pixels].
_LEAST_SHIFT = 0.5
#: Shifts are searched up to so many standard deviations.
_REACH = 2.5
#: Views of each map that a particle is tried near.
_LIKELY = 8


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


def shift_variance(shift_square: float) -> float:
    """Return the variance of shifts along an axis [pixels^2], of squares along both."""
    return max(shift_square / 2, _LEAST_SHIFT**2)


@dataclass(frozen=True)
class Wide:
    """Slices of a start's maps at all views, and all poses that are likely before they are seen."""

    problem: Problem
    slices: Slices
    poses: Poses
    step_deg: float

    @classmethod
    def of(
        cls,
        problem: Problem,
        standing: Standing,
        stage: Stage,
        rng: np.random.Generator | None = None,
    ) -> Wide:
        """Return what a stage's rings tell of a start.

        Parameters
        ----------
        rng : Generator, optional
            Turns all views at random.
        """
        standing, rotations = at_stage(problem, standing, stage), views(stage.step_deg, rng)
        grid = problem.grid(stage)
        data = grid.polar_slices(standing.maps, rotations)
        prior = np.full(len(data), -np.log(len(data)))
        sums = standing.sums
        slices = Slices(grid, data[None], prior, sums.noise, problem.circle, sums.kinds)
        shifts = _shifts(problem, stage, standing.sums.shift_square)
        poses = Poses(rotations[None, None], *shifts)
        return cls(problem, slices, poses, stage.step_deg)

    @property
    def grid(self) -> PolarGrid:
        """Of the slices."""
        return self.slices.grid

    def pieces(self, rows: Indices) -> list[Indices]:
        """Return particles in pieces whose size depends on that of the search only."""
        scores = self.slices.data.shape[1] * self.poses.origins.shape[1] * self.grid.angles
        return [rows[part] for part in chunk_ranges(len(rows), max(1, _SCORES // scores))]

    def sums(self, rows: tuple[Indices, Indices]) -> Trailing:
        """Return the sums that the particles of two halves make."""
        rotations = self.poses.rotations[0, 0]
        halves = self._summed(rows[0]), self._summed(rows[1])
        return inserted(self.grid, halves, self.slices.weight, rotations, self.problem.symmetry)

    def _summed(self, rows: Indices) -> Sums:
        def work(piece: Indices) -> Sums:
            return expected(self._seen(piece), self.slices, self.poses)

        found = on_threads(work, self.pieces(rows), self.problem.n_threads)
        total = next(found)
        for more in found:
            total = total + more
        return total

    def _seen(self, rows: Indices) -> PolarParticles:
        return self.grid.particles(self.problem.particles, rows)

    def judged(self, rows: Indices) -> Judged:
        """Return what particles say of the maps."""
        nothing = self.problem.power[: self.grid.rings]

        def work(piece: Indices) -> tuple[Float64, Float64, Float64, Best]:
            seen, circle = self._seen(piece), self.problem.circle
            found = scored(seen, self.slices, self.poses)
            best = best_poses(found.score, self.poses)
            junk = junk_evidence(seen.power, self.slices.noise, circle)
            return chances(found).evidence, without_map(seen.power, nothing, circle), junk, best

        parts = on_threads(work, self.pieces(rows), self.problem.n_threads)
        particle, alone, junk, best = zip(*parts, strict=True)
        return Judged(
            np.concatenate(particle),
            np.concatenate(alone),
            np.concatenate(junk),
            Best.joined(list(best)),
            self.slices.kinds,
        )

    def numbers(self, rows: Indices) -> Indices:
        """Return the likeliest map of each particle, from 0; -1 is junk."""

        def work(piece: Indices) -> Indices:
            seen = self._seen(piece)
            found = scored(seen, self.slices, self.poses)
            number = best_poses(found.score, self.poses).likeliest[0]
            kinds = told_kinds(seen, self.slices, chances(found))
            return np.where(kinds.junk > MORE_PROBABLE, -1, number)

        return np.concatenate(list(on_threads(work, self.pieces(rows), self.problem.n_threads)))

    def of_map(self, number: int) -> Wide:
        """Return the slices of one map, in which all images are particles."""
        views = self.poses.rotations.shape[2]
        own = slice(number * views, (number + 1) * views)
        data, prior = self.slices.data[:, own], self.slices.prior[own]
        return replace(
            self, slices=replace(self.slices, data=data, prior=prior, kinds=ALL_PARTICLES)
        )

    def _scored(self, rows: Indices) -> Scored:
        return scored(self._seen(rows), self.slices, self.poses)

    def likely(self, rows: Indices) -> Centres:
        """Return the likeliest views of each map, and the likeliest shift."""
        score = self._scored(rows).score
        n, rotations = len(rows), self.poses.rotations[0, 0]
        by_view = score.max(axis=(1, 2)).reshape(n, -1, len(rotations))
        best = np.argsort(-by_view, axis=2, kind="stable")[:, :, :_LIKELY]
        shift = score.max(axis=(2, 3)).argmax(axis=1)
        step = self.step_deg / 2
        return Centres(rotations[best], self.poses.origins[0, shift], near_views(step, 1), step)


@dataclass(frozen=True)
class Centres:
    """Views and shifts that particles are tried near."""

    #: Some views of each map, (n, K, q, 3, 3).
    rotations: Float64
    #: [pixels], (n, 2).
    origins: Float64
    #: Turns of these views to the ones that are tried, (t, 3, 3), and the step between them.
    tilts: Float64
    step_deg: float


@dataclass(frozen=True)
class Judged:
    """What images say of maps."""

    #: Log likelihood of each as a particle of the maps, as one without, of which only the power is
    #: known, and as junk, (n,) each [nat].
    particle: Float64
    alone: Float64
    junk: Float64
    best: Best
    kinds: Prior

    @property
    def likelihood(self) -> Float64:
        """Of each image [nat], (n,)."""
        return np.asarray(np.logaddexp(*self.kinds.told(self.particle, self.junk)))

    @property
    def gain(self) -> Float64:
        """Of each image over its power alone, if that is no junk, [nat], (n,)."""
        fit = replace(self.kinds, misfit=0.0)
        own, none = (np.logaddexp(*fit.told(of, self.junk)) for of in (self.particle, self.alone))
        return np.asarray(own - none)


def near_views(step_deg: float, reach: int) -> Float64:
    """Return turns to directions about a view's own, (t, 3, 3): a hexagon of some steps."""
    line = range(-reach, reach + 1)
    place = [(x + y / 2, np.sqrt(0.75) * y) for y in line for x in line if abs(x + y) <= reach]
    turns = np.deg2rad(step_deg) * np.array([(x, y, 0.0) for x, y in place])
    return np.asarray(Rotation.from_rotvec(turns).as_matrix())


def _shifts(problem: Problem, stage: Stage, shift_square: float) -> tuple[Float64, Float64]:
    """Return shifts as far as a normal prior reaches, (1, s, 2), and its logarithm."""
    variance = shift_variance(shift_square)
    reach = min(problem.max_shift, max(_REACH * float(np.sqrt(variance)), stage.shift_step))
    count = int(reach / stage.shift_step + 1e-6)
    line = stage.shift_step * np.arange(-count, count + 1)
    y, x = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    inside = np.hypot(x, y) <= reach + 1e-6
    origins = np.stack([x, y], axis=1)[inside]
    prior = -0.5 * np.sum(origins**2, axis=1) / (variance + (stage.shift_step / 4) ** 2)
    prior -= np.log(np.exp(prior).sum())
    return origins[None], prior[None]
