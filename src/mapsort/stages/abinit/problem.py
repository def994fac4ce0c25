"""What is sought, and where a start stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mapsort.array_types import Complex64, Float64, Indices
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.abinit.polar import BEYOND, PolarGrid
from mapsort.stages.abinit.schedule import Stage
from mapsort.stages.abinit.trailing import Trailing, centred, on_grid
from mapsort.stages.components.band import BandParticles

#: Particles that are kept out, at most, and the part of all that they are at most.
_HELD_OUT, _HELD_OUT_PART = 300, 0.1


@dataclass(frozen=True)
class Problem:
    """What all starts have in common."""

    particles: BandParticles
    n_models: int
    symmetry: Symmetry
    #: Radius of the sphere that holds the particle.
    radius_px: float
    #: [pixels].
    max_shift: float
    #: Part of the noise's power that the circle about the particles leaves.
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

    @cached_property
    def others(self) -> Indices:
        """Particles that maps are made of."""
        return self._order[self._n_held_out :]

    def batch(self, first: int, count: int) -> Indices:
        """Return the particles from the first on, in an order that begins anew at its end."""
        count = min(count, len(self.others))
        return self.others[(first + np.arange(count)) % len(self.others)]

    @property
    def box(self) -> int:
        """Edge of the images [pixels]."""
        return self.particles.band.box

    @cached_property
    def _grids(self) -> dict[tuple[int, int], PolarGrid]:
        """Those in use, which keep tables of their own."""
        return {}

    def grid(self, stage: Stage) -> PolarGrid:
        """Return the grid of a stage."""
        band = self.particles.band
        made = PolarGrid(band, stage.rings, self.radius_px, self.n_threads, angles=stage.angles)
        return self._grids.setdefault((stage.rings, stage.angles), made)

    @cached_property
    def power(self) -> Float64:
        """Mean power of some particles by ring, from ring 1 to the band's last."""
        grid = self.grid(Stage.at(self.particles.band.rings - BEYOND, self.box))
        found = grid.particles(self.particles, self.batch(0, _HELD_OUT)).power
        return np.asarray(found.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True)
class Standing:
    """Where a start stands."""

    #: Its number, from 0.
    start: int
    #: That it has gone through.
    stage: Stage
    #: (voxels, K).
    maps: Complex64
    sums: Trailing
    #: Of the halves of the batches, (rings + 1, K).
    correlation: Float64
    #: Particles that were taken.
    taken: int
    rounds: int


def at_stage(problem: Problem, standing: Standing, stage: Stage) -> Standing:
    """Return a start on the grid of a stage."""
    if stage.rings == standing.stage.rings:
        return replace(standing, stage=stage)
    before, grid = problem.grid(standing.stage), problem.grid(stage)
    maps = np.asarray(on_grid(standing.maps, before, grid), np.complex64)
    sums = standing.sums.on(before, grid, problem.power[: grid.rings])
    return replace(standing, stage=stage, maps=maps, sums=sums)


def centred_standing(problem: Problem, standing: Standing) -> Standing:
    """Return a start with its maps in the centre."""
    grid = problem.grid(standing.stage)
    maps, sums = centred(grid, standing.maps, standing.sums, problem.symmetry)
    return replace(standing, maps=maps, sums=sums)
