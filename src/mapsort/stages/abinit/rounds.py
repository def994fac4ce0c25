"""Rounds of a start: some particles or all, soft assignment, new maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mapsort.array_types import Indices
from mapsort.stages.abinit.expectation import Best
from mapsort.stages.abinit.nearby import Near
from mapsort.stages.abinit.problem import Problem, Standing, at_stage, centred_standing
from mapsort.stages.abinit.schedule import Stage
from mapsort.stages.abinit.trailing import Trailing, limited_noise, solved
from mapsort.stages.abinit.wide import Centres, Judged, Wide, near_views, views

#: Maps are centred every so many rounds.
_CENTRED_EVERY = 3
#: Power of the random maps' projections relative to that of the particles.
_FIRST_POWER = 0.5
#: Part of the images that is junk, to begin with; a batch of fewer particles is tried once more.
_FIRST_JUNK, _LEAST_PARTICLES = 0.05, 0.2
#: Particles that a map is made anew of by another map's poses.
_BORROWING = 1200
#: Step between views near a particle's last one times rings [degrees].
_NEAR_STEP = 45.0


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
    some = grid.particles(problem.particles, problem.held_out)
    seen = some.transfer_power.mean(axis=0)
    power = problem.power[: grid.rings]
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
        np.full(problem.n_models, (1.0 - _FIRST_JUNK) / problem.n_models),
        0.0,
    )
    correlation = np.zeros((grid.rings + 1, problem.n_models))
    return Standing(start, stage, maps, sums, correlation, 0, 0)


def through(
    problem: Problem, standing: Standing, stage: Stage, told: Callable[[int], None]
) -> Standing:
    """Return a start after the rounds of a stage.

    Parameters
    ----------
    standing : Standing
        After the stage before.
    told : callable
        Called with the number of particles after each round.
    """
    standing = at_stage(problem, standing, stage)
    for _ in range(stage.rounds):
        standing = _round(problem, standing, stage)
        told(stage.batch)
    return standing


def _round(problem: Problem, standing: Standing, stage: Stage) -> Standing:
    rng = np.random.default_rng([problem.seed, 2, standing.start, standing.rounds])
    rows = problem.batch(standing.taken, stage.batch)
    halves = rows[::2], rows[1::2]
    found = _summed(problem, standing, halves, rng)
    if found.share.sum() < _LEAST_PARTICLES:
        # particles lose more by the maps' errors than they did, as rings were added
        found = _summed(problem, _with_misfit(standing, found.misfit), halves, rng)
    part = stage.part if standing.rounds else 1.0
    noise = (1 - stage.part) * standing.sums.noise + stage.part * found.noise
    sums = replace(standing.sums.mixed(found, part), noise=noise)
    after = _solved(problem, replace(standing, sums=sums))
    after = replace(after, taken=standing.taken + len(rows), rounds=standing.rounds + 1)
    return centred_standing(problem, after) if after.rounds % _CENTRED_EVERY == 0 else after


def _summed(
    problem: Problem,
    standing: Standing,
    halves: tuple[Indices, Indices],
    rng: np.random.Generator,
) -> Trailing:
    wide = Wide.of(problem, standing, standing.stage.coarse(problem.box), rng)
    if wide.grid.rings == standing.stage.rings:
        return wide.sums(halves)
    return Near(problem, standing, wide.likely).sums(halves)[0]


def _with_misfit(standing: Standing, misfit: float) -> Standing:
    """Return a start with what particles lose by its maps' errors [nat]."""
    return replace(standing, sums=replace(standing.sums, misfit=misfit))


def borrowed(problem: Problem, standing: Standing, donor: int) -> Standing:
    """Return a start whose other maps are made anew, of their particles as one map sees them.

    Of like molecules one map may be right and the other no more than the best of a wrong shape:
    poses in the right one are about right for both.

    Parameters
    ----------
    donor : int
        The map, from 0, that gives poses.
    """
    rows = problem.batch(standing.taken, _BORROWING)
    wide = Wide.of(problem, standing, standing.stage.coarse(problem.box))
    number, seen, sums = wide.numbers(rows), wide.of_map(donor), standing.sums
    for model in range(problem.n_models):
        own = rows[number == model]
        if model == donor or len(own) < 2:
            continue
        found = seen.sums((own[::2], own[1::2]))
        found = found.on(wide.grid, problem.grid(standing.stage), sums.noise)
        sums = sums.with_map(model, found, len(own) / len(rows))
    return _solved(problem, replace(standing, sums=sums))


def _solved(problem: Problem, standing: Standing) -> Standing:
    """Return a start with the maps that its sums make."""
    grid = problem.grid(standing.stage)
    noise = limited_noise(standing.sums.noise, problem.power[: grid.rings])
    sums = replace(standing.sums, noise=noise)
    maps, correlation = solved(grid, sums)
    return replace(standing, sums=sums, maps=maps, correlation=correlation)


@dataclass(frozen=True)
class Placed:
    """Maps, and the poses that particles have in them."""

    standing: Standing
    #: Of all particles in each map.
    best: Best


def of_all(
    problem: Problem,
    standing: Standing,
    before: Best | None,
    stage: Stage,
    told: Callable[[int], None],
) -> Placed:
    """Return maps and poses after a round of all particles.

    Parameters
    ----------
    before : Best or None
        Poses that are improved on; by default likely ones are sought among all.
    told : callable
        Called with the number of particles of each piece that is done.
    """
    near = near_likely(problem, standing, before, stage, told)
    halves = problem.others[::2], problem.others[1::2]
    held_out, misfit = near.poses(problem.held_out)
    near = replace(near, standing=_with_misfit(near.standing, misfit))
    found, best = near.sums(halves)
    rows = np.concatenate([*halves, problem.held_out])
    best = Best.joined([best, held_out])
    standing = _solved(problem, replace(near.standing, sums=found))
    return Placed(standing, best.of(np.argsort(rows)))


def near_likely(
    problem: Problem,
    standing: Standing,
    before: Best | None,
    stage: Stage,
    told: Callable[[int], None],
) -> Near:
    """Return the poses that a round of all particles tries, as of `of_all`."""
    standing = at_stage(problem, standing, stage)
    if before is None:
        centres = Wide.of(problem, standing, stage.coarse(problem.box)).likely
    else:
        centres = partial(_own, before, _NEAR_STEP / stage.rings)
    return Near(problem, standing, centres, told)


def _own(best: Best, step_deg: float, rows: Indices) -> Centres:
    own = best.of(rows)
    tilts = near_views(step_deg, 2)
    return Centres(own.rotations[:, :, None], own.likeliest[2], tilts, step_deg)


def judged(problem: Problem, standing: Standing) -> Judged:
    """Return what the particles that were kept out say of a start.

    At a coarse resolution: there it is told which start is right.
    """
    stage = standing.stage.coarse(problem.box)
    return Wide.of(problem, standing, stage).judged(problem.held_out)
