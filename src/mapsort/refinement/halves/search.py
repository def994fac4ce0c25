"""The search of independent halves: a grid of views at first, then about the last poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.array_types import Float32, Float64
from mapsort.engines.chunks import Rows, chunk_ranges, length
from mapsort.geometry.orientations import angular_step
from mapsort.model.poses import Poses
from mapsort.options.refine import AUTO
from mapsort.refinement.comparison import comparison_settings
from mapsort.refinement.matching import Found, match_all
from mapsort.refinement.plan import noise_floor, resolve
from mapsort.refinement.poses import PoseSearch
from mapsort.refinement.run import Run
from mapsort.refinement.solving import SOLVED_TO
from mapsort.refinement.state import State
from mapsort.stages.reconstruct.pose_sums import PoseSums
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.search.local_search import LocalSearchPlan

#: Matches with the grid's projections from which the local search begins.
CANDIDATES = 3
#: Poses of each particle that are kept for the next iteration.
KEPT = 2
#: Beside the last poses, the best of them tilted by this share of the grid's step, in four
#: directions: so that a particle leaves a side maximum.
TILTED_SHARE = 0.5
#: Frequencies compared in the first iteration end where the starting map does, with this margin.
START_MARGIN = 1.1


@dataclass(frozen=True)
class HalfFound:
    """What an iteration found for one half."""

    #: Of this half's particles, the best and the next ones.
    poses: Poses
    #: Half map, unfiltered, not masked, (box, box, box).
    volume: Float32
    #: (box//2 + 1,).
    noise_power: Float64
    #: Least-squares scale of the reference in the particles.
    scale: float
    highest_ring: int


def grid_step(run: Run, state: State) -> float:
    """Return the step [degrees] of the grid of views that suits the resolution reached."""
    asked = run.policy.asked
    aim = max(state.resolution_ang, asked.targetres or 0.0)
    return angular_step(
        run.plan.grid.box, run.inputs.apix, target_resolution=aim, speed=asked.speed
    )


def with_grid(run: Run, state: State, step_deg: float) -> Run:
    """Return the run with the grid of views and the band of this iteration."""
    options, plan = replace(run.options, randomseed=run.plan.seed), run.plan
    if options.orientgen == AUTO:
        spec = f"eman:delta={step_deg:.4g}:inc_mirror=0:perturb=0"
        options = replace(options, orientgen=spec)
    max_radius = plan.max_radius
    if state.iteration == 0:
        end = plan.grid.box * run.inputs.apix / run.policy.start_resolution_ang
        start = int(np.ceil(START_MARGIN * end))
        max_radius = start if max_radius is None else min(start, max_radius)
    grid = resolve(options, run.inputs)
    return replace(run, plan=replace(grid, max_radius=max_radius, sphere_radius=plan.sphere_radius))


def search_half(half: Run, state: State, step_deg: float, *, iteration: int) -> HalfFound:
    """Find the poses of one half's particles and reconstruct its map.

    Nothing but this half's particles and its own reference goes in.
    """
    settings, threads = comparison_settings(half.options, iteration), half.plan.n_threads
    starts = _starts(half, state, step_deg, iteration=iteration)
    search = PoseSearch(half, state, settings, half.plan.max_shift)
    poses = search.refined(starts, kept=KEPT, iteration=iteration).first(KEPT)
    plan = search.plan.value
    sums = _sums(half, plan, poses, iteration=iteration)
    scale = sums.statistics.scale(state.noise_power)
    half.start("reconstruct", 1, iteration)
    volume = solve(sums.finish(n_threads=threads), tolerance=SOLVED_TO, n_threads=threads)
    half.execution.progress.finish(f"half map of {len(poses)} particles")
    noise = noise_floor(sums.statistics.residual_power(scale).astype(np.float32))
    return HalfFound(poses, volume, noise, scale, plan.highest_ring)


def _starts(half: Run, state: State, step_deg: float, *, iteration: int) -> Poses:
    """Return where the local search of each particle begins."""
    if state.settled and state.poses is not None:
        poses = state.poses.rows(half.numbers)
        return Poses.beside([poses, tilted(poses, TILTED_SHARE * step_deg)])
    settings = comparison_settings(half.options, iteration)
    found = half.execution.checkpoints.kept(
        iteration,
        f"match{half.part_name}",
        Found,
        lambda: match_all(half, state, settings, iteration=iteration, n=len(half.numbers)),
    )
    return Poses.of_matches(found.matches, half.plan.references).first(CANDIDATES)


def tilted(poses: Poses, angle_deg: float) -> Poses:
    """Return each particle's best pose tilted about the view's x and y axes, both ways, (n, 4)."""
    angle = np.deg2rad(angle_deg)
    vectors = angle * np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    turns = Rotation.from_rotvec(vectors).as_matrix()
    first = poses.taken(np.zeros((len(poses), len(turns)), dtype=np.intp))
    return replace(first, rotation=turns @ first.rotation)


def _sums(half: Run, plan: LocalSearchPlan, poses: Poses, *, iteration: int) -> PoseSums:
    """Sum the particles where they lie, chunk after chunk: here, for a sum is as large as a map."""
    threads, group = half.plan.n_threads, half.plan.symmetries[0]
    sums = PoseSums(half.plan.map_grid, group, half.inputs.apix, plan.projectors[0])
    half.start("insert particles", len(poses), iteration)

    def add(where: Rows, raw: Float32, own: slice) -> None:
        sums.add(
            half.plan.treatment.images(raw),
            poses.rotation[own, 0],
            poses.origin[own, 0],
            transfer=half.transfer_of(where),
            n_threads=threads,
        )

    ranges = chunk_ranges(len(poses), half.plan.chunk)
    for where, _ in half.over_chunks(add, half.chunks(), along=zip(ranges), here=True):
        half.execution.advance(length(where))
    half.execution.progress.finish(f"{len(poses)} particles")
    return sums
