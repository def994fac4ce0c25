"""The search of a single-map refinement: a grid of views at first, then about the last poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.engines.chunks import chunk_ranges, read_ahead
from mapsort.geometry.orientations import angular_step
from mapsort.model.poses import Poses
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import AUTO
from mapsort.refinement.comparison import search_context
from mapsort.refinement.matching import match_all
from mapsort.refinement.plan import noise_floor, resolve
from mapsort.refinement.reconstruction import SOLVED_TO
from mapsort.refinement.run import Run, State
from mapsort.refinement.search_settings import comparison_settings
from mapsort.refinement.single_state import HalfOutcome, HalfState, SingleRun, SingleState
from mapsort.stages.fourier_grid import Float32, centred_transform
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.pose_sums import PoseSums
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.search.local_search import LocalSearchPlan, plan_local_search, search_locally

#: Matches with the grid's projections from which the local search begins.
CANDIDATES = 3
#: Poses of each particle that are kept for the next iteration.
KEPT = 2
#: The grid of views is given up once half of the particles move by less than this share of its
#: step in an iteration: it can no longer tell more than their last poses do.
SETTLED_SHARE = 0.5
#: Beside the last poses, the best of them tilted by this share of the grid's step, in four
#: directions: so that a particle leaves a side maximum.
TILTED_SHARE = 0.5
#: Frequencies compared in the first iteration end where the starting map does, with this margin.
START_MARGIN = 1.1


@dataclass(frozen=True)
class Search:
    """How an iteration searches.

    Attributes
    ----------
    step_deg : float
        Step of the grid of views that suits the resolution.
    everywhere : bool
        Whether the whole grid is searched, or only about the last poses.
    max_radius : int or None
        Highest ring compared; None: as far as the maps hold signal.
    """

    step_deg: float
    everywhere: bool
    max_radius: int | None


def plan_search(run: SingleRun, state: SingleState) -> Search:
    """Choose grid, reach and band from the resolution that the last iteration has reached."""
    plan, apix = run.whole.plan, run.whole.inputs.apix
    box = plan.grid.box
    aim = state.resolution_ang
    if run.options.targetres is not None:
        aim = max(aim, run.options.targetres)
    step = angular_step(box, apix, target_resolution=aim, speed=run.options.speed)
    max_radius = plan.max_radius
    if state.iteration == 0:
        start = int(np.ceil(START_MARGIN * box * apix / run.start_resolution_ang))
        max_radius = start if max_radius is None else min(start, max_radius)
    return Search(step, not state.settled, max_radius)


def search_half(half: Run, state: HalfState, search: Search, *, iteration: int) -> HalfOutcome:
    """Find the poses of one half's particles and reconstruct its map.

    Nothing but this half's particles and its own reference goes in.
    """
    run = _at_step(half, search)
    plan = plan_local_search(
        [state.reference],
        search_context(run, state.noise_power),
        comparison_settings(run.options, iteration).scoring,
    )
    starts = _starts(run, state, search, iteration=iteration)
    poses, sums = _climb_and_sum(run, plan, starts, iteration=iteration)
    statistics, threads = sums.statistics, run.plan.n_threads
    scale = statistics.scale(state.noise_power)
    run.start("reconstruct", 1, iteration)
    volume = _solved(sums.finish(n_threads=threads), n_threads=threads)
    run.progress.finish(f"half map of {len(poses)} particles")
    noise = noise_floor(statistics.residual_power(scale).astype(np.float32))
    return HalfOutcome(poses, volume, noise, scale, plan.highest_ring)


def _solved(equations: NormalEquations, *, n_threads: int) -> Float32:
    return solve(equations, tolerance=SOLVED_TO, n_threads=n_threads)


def _at_step(half: Run, search: Search) -> Run:
    """Return the run with the grid of views of this iteration."""
    options: MultiOptions = half.options
    if options.orientgen == AUTO:
        spec = f"eman:delta={search.step_deg:.4g}:inc_mirror=0:perturb=0"
        options = replace(options, orientgen=spec)
    plan = resolve(replace(options, randomseed=half.plan.seed), half.inputs)
    sphere = half.plan.sphere_radius
    return replace(half, plan=replace(plan, max_radius=search.max_radius, sphere_radius=sphere))


def _starts(run: Run, state: HalfState, search: Search, *, iteration: int) -> Poses:
    """Return where the local search of each particle begins."""
    if search.everywhere or state.poses is None:
        matching = State(iteration - 1, (state.reference,), state.noise_power, None)
        settings = comparison_settings(run.options, iteration)
        n = len(run.inputs.particles)
        found = match_all(run, matching, settings, iteration=iteration, n=n)
        poses = Poses.of_matches(found.matches, run.plan.references)
        count = min(CANDIDATES, poses.model.shape[1])
        return poses.taken(np.broadcast_to(np.arange(count), (len(poses), count)))
    return Poses.beside([state.poses, tilted(state.poses, TILTED_SHARE * search.step_deg)])


def tilted(poses: Poses, angle_deg: float) -> Poses:
    """Return each particle's best pose tilted about the view's x and y axes, both ways, (n, 4)."""
    angle = np.deg2rad(angle_deg)
    vectors = angle * np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    turns = Rotation.from_rotvec(vectors).as_matrix()
    first = poses.taken(np.zeros((len(poses), len(turns)), dtype=np.intp))
    return replace(first, rotation=turns @ first.rotation)


def _climb_and_sum(
    run: Run, plan: LocalSearchPlan, starts: Poses, *, iteration: int
) -> tuple[Poses, PoseSums]:
    """Refine all particles' poses and sum the particles there, chunk by chunk."""
    threads, group = run.plan.n_threads, run.plan.symmetries[0]
    sums = PoseSums(run.plan.map_grid, group, run.inputs.apix, plan.projectors[0])
    n = len(run.inputs.particles)
    found = []
    run.start("refine poses", n, iteration)
    for where, raw in read_ahead(run.inputs.particles.images, chunk_ranges(n, run.plan.chunk)):
        images = run.plan.treatment.images(raw)
        poses = search_locally(
            plan,
            centred_transform(images, n_threads=threads),
            run.ctf_of(where),
            starts.rows(where),
            n_threads=threads,
        )
        kept = min(KEPT, poses.model.shape[1])
        found.append(poses.taken(np.broadcast_to(np.arange(kept), (len(poses), kept))))
        transfer = run.transfer_of(where)
        sums.add(
            images, poses.rotation[:, 0], poses.origin[:, 0], transfer=transfer, n_threads=threads
        )
        run.progress.advance(where.stop - where.start)
    run.progress.finish(f"{n} particles, {starts.model.shape[1]} starts each")
    return Poses.joined(found), sums
