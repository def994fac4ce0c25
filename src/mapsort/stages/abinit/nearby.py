"""Views near likely ones: each particle's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its parts are loaded when they are used
import scipy.special

from mapsort.array_types import Complex64, Float32, Indices
from mapsort.engines.chunks import chunk_ranges, on_threads
from mapsort.stages.abinit.expectation import (
    Best,
    Poses,
    Slices,
    Sums,
    best_poses,
    chances,
    scored,
    sums_of,
    told_kinds,
)
from mapsort.stages.abinit.polar import PolarGrid
from mapsort.stages.abinit.problem import Problem, Standing
from mapsort.stages.abinit.trailing import Trailing, filled, stacked
from mapsort.stages.abinit.wide import Centres, shift_variance

#: Particles that are worked on together.
_PIECE = 48
#: Views that have less than this part of a particle add nothing to a map that is seen.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class _Piece:
    """What some particles have come to."""

    best: Best
    #: Without what fills the maps.
    sums: Sums
    #: What they add to each map and to its density, (voxels, 1) each.
    maps: list[tuple[Complex64, Float32]]


@dataclass(frozen=True)
class Near:
    """A start's maps, and the poses that are tried of each particle."""

    problem: Problem
    #: On the grid of the stage.
    standing: Standing
    #: Returns the poses near which some particles, by number, are tried.
    centres: Callable[[Indices], Centres]
    #: Called with the number of particles of each piece that is done.
    told: Callable[[int], None] = lambda _: None

    @property
    def _grid(self) -> PolarGrid:
        return self.problem.grid(self.standing.stage)

    def sums(self, rows: tuple[Indices, Indices]) -> tuple[Trailing, Best]:
        """Return the sums that the particles of two halves make, and their poses, half by half."""
        halves = self._gathered(rows[0]), self._gathered(rows[1])
        n_models = self.problem.n_models
        above, below = stacked([[half.maps[k] for half in halves] for k in range(n_models)])
        each = np.array([[[half.sums.count]] for half in halves], np.float32)
        whole = halves[0].sums + halves[1].sums
        found = Trailing(
            above / each,
            below / each,
            whole.residual / whole.count,
            whole.mean_shift_square,
            whole.share.reshape(n_models, -1).sum(axis=1) / whole.count,
            whole.misfit,
        )
        return found, Best.joined([half.best for half in halves])

    def poses(self, rows: Indices) -> tuple[Best, float]:
        """Return the likeliest poses of particles, and what half of them lose by the maps' errors.

        Which of them are junk is told with that.
        """
        found = self._gathered(rows)
        misfit = found.sums.misfit
        junk = scipy.special.expit(-found.sums.odds - misfit)
        return replace(found.best, junk=junk), misfit

    def _gathered(self, rows: Indices) -> _Piece:
        # pieces are worked on side by side, each by one thread
        grid = replace(self._grid, n_threads=1)

        def work(piece: Indices) -> _Piece:
            found = self._piece(grid, piece)
            self.told(len(piece))
            return found

        pieces = [rows[part] for part in chunk_ranges(len(rows), _PIECE)]
        found = on_threads(work, pieces, self.problem.n_threads)
        total = next(found)
        best, sums = [total.best], total.sums
        for more in found:
            best.append(more.best)
            sums = sums + more.sums
            for (above, below), added in zip(total.maps, more.maps, strict=True):
                above += added[0]
                below += added[1]
        return _Piece(Best.joined(best), sums, total.maps)

    def _piece(self, grid: PolarGrid, rows: Indices) -> _Piece:
        centres = self.centres(rows)
        poses = self._poses(centres)
        n, n_models, n_views = poses.rotations.shape[:3]
        own = (n, n_models, n_views)
        maps = self.standing.maps
        data = [
            grid.polar_slices(maps[:, k : k + 1], poses.rotations[:, k].reshape(-1, 3, 3))
            for k in range(n_models)
        ]
        at = np.stack([slices.reshape(n, n_views, grid.rings, -1) for slices in data], axis=1)
        slices = Slices(
            grid,
            at.reshape(n, n_models * n_views, grid.rings, -1),
            np.full(n_models * n_views, _part_of_sphere(centres.step_deg) - np.log(n_models)),
            self.standing.sums.noise,
            self.problem.circle,
            self.standing.sums.kinds,
        )
        seen = grid.particles(self.problem.particles, rows)
        found = scored(seen, slices, poses)
        chance = chances(found)
        kinds = told_kinds(seen, slices, chance)
        sums = sums_of(seen, slices, poses, found.orders, chance, kinds)
        some = sums.share.reshape(own) > _LEAST_SHARE
        numerator = sums.numerator.reshape(*own, grid.rings, -1)
        density = sums.density.reshape(*own, grid.rings)
        filling = [
            filled(
                grid,
                numerator[:, k][some[:, k]] * slices.weight[:, None],
                density[:, k][some[:, k]] * slices.weight,
                poses.rotations[:, k][some[:, k]],
                self.problem.symmetry.matrices,
            )
            for k in range(n_models)
        ]
        slim = replace(
            sums,
            numerator=sums.numerator[:0],
            density=sums.density[:0],
            share=sums.share.sum(axis=0),
        )
        return _Piece(best_poses(chance.pose, poses, kinds.junk), slim, filling)

    def _poses(self, centres: Centres) -> Poses:
        stage = self.standing.stage
        rotations = centres.tilts @ centres.rotations[:, :, :, None]
        line = stage.shift_step * np.arange(-1, 2)
        y, x = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
        origins = centres.origins[:, None] + np.stack([x, y], axis=1)
        variance = shift_variance(self.standing.sums.shift_square)
        prior = -0.5 * np.sum(origins**2, axis=2) / variance
        # of all shifts and views, not of these: what is told from junk is the evidence
        prior += np.log(stage.shift_step**2 / (2 * np.pi * variance))
        return Poses(rotations.reshape(*rotations.shape[:2], -1, 3, 3), origins, prior)


def _part_of_sphere(step_deg: float) -> float:
    """Return the logarithm of the part of all directions that is nearest to a hexagon's point."""
    return float(np.log(np.sqrt(0.75) * np.deg2rad(step_deg) ** 2 / (4 * np.pi)))
