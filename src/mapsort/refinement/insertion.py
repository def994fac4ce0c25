"""Maps from particles (``--inputmode particles``): each is inserted at its own pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Int64
from mapsort.engines.chunks import Rows, chunk_ranges
from mapsort.model.half_sets import N_HALVES
from mapsort.model.membership import Membership
from mapsort.model.poses import Poses
from mapsort.refinement.run import Run
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.particle_slices import weighted_slices
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies


@dataclass(frozen=True)
class PosedMembers:
    """Who belongs to which map with what weight, and in which pose."""

    membership: Membership
    #: Row and column of a member are those of its match.
    poses: Poses

    def of_model(self, run: Run, model: int, half: int) -> tuple[Int64, Int64, Float32]:
        """Return particles, columns and weights of the members that one half of a map is of."""
        members = self.membership
        own = run.plan.references.model[members.class_of_member] == model
        with_half = run.inputs.halves.half[members.particle] == half
        chosen = np.flatnonzero(own & members.used & with_half)
        chosen = chosen[np.argsort(members.particle[chosen], kind="stable")]
        return members.particle[chosen], members.column[chosen], members.weight[chosen]


def particle_equations(run: Run, members: PosedMembers, model: int) -> list[NormalEquations]:
    """Return the normal equations of the two half-sets of a map's particles.

    One half's sums are in memory at a time; each image is read once for every map it belongs to.
    """
    return [
        NormalEquations.of(
            _sums(run, members.poses, model, *members.of_model(run, model, half)),
            n_threads=run.plan.n_threads,
        )
        for half in range(N_HALVES)
    ]


def _sums(
    run: Run, poses: Poses, model: int, particle: Int64, column: Int64, weight: Float32
) -> SliceSums:
    plan, apix = run.plan, run.inputs.apix
    box = plan.grid.box
    sums = SliceSums.empty(plan.map_grid, float(box // 2))

    def add(rows: Rows, raw: Float32, where: slice) -> None:
        columns = column[where]
        numerator, density = weighted_slices(
            plan.treatment.images(raw),
            shifts=-poses.origin[rows, columns],
            transfer=run.transfer_of(rows),
            weights=weight[where],
            n_threads=plan.n_threads,
        )
        insert_copies(
            sums,
            numerator,
            density,
            np.ascontiguousarray(poses.rotation[rows, columns]),
            plan.symmetries[model],
            apix=apix,
            n_threads=plan.n_threads,
        )

    ranges = chunk_ranges(len(particle), plan.chunk)
    for _ in run.over_chunks(add, [particle[own] for own in ranges], along=zip(ranges), here=True):
        run.execution.scratch.release()
    return sums
