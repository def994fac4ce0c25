"""Maps made of a run's particles alone: the search of ``mapsort abinit``, kept and told."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.engines.progress import warn
from mapsort.geometry.symmetry import symmetry
from mapsort.refinement.band_images import band_particles
from mapsort.refinement.run import Run
from mapsort.rundir.log import stage
from mapsort.stages.abinit.polar import BEYOND
from mapsort.stages.abinit.problem import Problem
from mapsort.stages.abinit.rounds import begun, near_likely, through
from mapsort.stages.abinit.schedule import Schedule, schedule
from mapsort.stages.abinit.search import (
    AGAIN,
    MOST_REPEATS,
    FoundMaps,
    find_maps,
    starts_through,
)
from mapsort.stages.abinit.verdict import signs, symmetry_hint
from mapsort.stages.components.band import Band

LOGGER = logging.getLogger(__name__)

#: Radius of the circle about a particle within which all is kept, and of the particle [boxes].
_CIRCLE, _RADIUS = 0.42, 0.4
#: Particles of the trial that foretells the time of batches, and of rounds of all.
_TRIED, _TRIED_LAST = 450, 64


@dataclass(frozen=True)
class Sought:
    """What is sought."""

    n_models: int
    starts: int
    symmetry: str
    #: Of a sphere that holds the particle; None: 0.8 of the box.
    diameter_ang: float | None = None
    #: Resolution of the maps; None: 12 A.
    target_ang: float | None = None


def maps_from_particles(run: Run, sought: Sought) -> FoundMaps:
    """Make maps of the particles, and tell what there is to tell of them.

    Stages that are done are kept in the run's checkpoints.

    Parameters
    ----------
    run : Run
        Whose particles have been looked through; its maps are not used.
    """
    execution = run.execution
    plan = planned(run, sought)
    problem = _problem(run, sought, plan)

    # several threads of linear algebra would round otherwise than one
    with stage("find maps"), threadpool_limits(1, "blas"):
        found = find_maps(
            problem,
            plan,
            sought.starts,
            kept=execution.checkpoints.kept,
            started=lambda words, total: run.start(words, total, 0),
            told=execution.advance,
        )
    for line in _told(found, run.plan.grid.box * run.inputs.apix):
        LOGGER.info("%s", line)
        execution.progress.message(line)
    for line in signs(found):
        LOGGER.warning("%s", line)
        warn(execution.progress, line)
    return found


def planned(run: Run, sought: Sought) -> Schedule:
    """Return the stages of a search."""
    return schedule(run.plan.grid.box, run.inputs.apix, sought.target_ang)


def foretold_seconds(run: Run, sought: Sought) -> tuple[float, float]:
    """Return how long the search will take, by the first stage and a round of each other one.

    Parameters
    ----------
    run : Run
        Whose particles have been looked through.
    sought : Sought

    Returns
    -------
    usual, most : float
        Without repeats of the round in which poses are sought anew, and with all of them [s].
    """
    n, plan = len(run.inputs.particles), planned(run, sought)
    clock = _Clock()
    problem = _problem(run.only(np.arange(min(n, _TRIED))), sought, plan)
    total = clock.seconds() * n / len(problem.particles)
    at = begun(problem, plan.batches[0], 0)
    for number, batches in enumerate(plan.batches):
        # the first stage learns how far particles lie from the centre, which says how many shifts
        # all later ones try
        done = 1 if number else batches.rounds
        at = through(problem, at, replace(batches, rounds=done), lambda _: None)
        starts = starts_through(number, sought.starts, sought.n_models)
        total += clock.seconds() * starts * batches.rounds / done
    some, poses, repeated = np.arange(min(_TRIED_LAST, len(problem.particles))), None, 0.0
    for number, last in enumerate(plan.last):
        before = None if number == AGAIN else poses
        near = near_likely(problem, at, before, last, lambda _: None)
        # tables of a grid are made when it is first used
        near.poses(some[:1])
        clock.seconds()
        poses, _ = near.poses(some)
        seconds = clock.seconds() * n / len(some)
        total += seconds
        repeated += MOST_REPEATS * seconds if number == AGAIN else 0.0
    return total, total + repeated


class _Clock:
    """Tells the seconds since it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def seconds(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return self._last - before


def _problem(run: Run, sought: Sought, plan: Schedule) -> Problem:
    box, rings = run.plan.grid.box, plan.last[-1].rings + BEYOND
    n, radius = len(run.inputs.particles), _RADIUS * box
    if sought.diameter_ang is not None:
        radius = min(0.5 * sought.diameter_ang / run.inputs.apix, 0.5 * box)
    banded = replace(run, plan=replace(run.plan, band=Band(box, rings)))
    particles = band_particles(banded, np.zeros((n, 2)), circle_px=_CIRCLE * box)
    return Problem(
        particles=particles,
        n_models=sought.n_models,
        symmetry=symmetry(sought.symmetry),
        radius_px=radius,
        max_shift=run.plan.max_shift,
        circle=particles.noise_kept,
        seed=run.plan.seed,
        n_threads=run.plan.n_threads,
    )


def _told(found: FoundMaps, field_ang: float) -> list[str]:
    shares = "/".join(f"{share:.0%}" for share in found.share)
    junk = int(found.is_junk.sum())
    lines = [
        f"maps up to ring {found.rings} ({field_ang / found.rings:.1f} A), shares {shares}",
        f"junk: {junk} of {len(found.junk)} images ({junk / len(found.junk):.1%}) hold no particle "
        "of these maps",
    ]
    others = "; ".join(
        f"start {name}: {rival.words}"
        for name, rival in sorted(found.rivals.items())
        if name != found.best
    )
    if others:
        lines.append(
            f"start {found.best} is the likeliest; behind it when last compared [nat for each "
            f"held-out particle]: {others}"
        )
    hint = symmetry_hint(found)
    return lines if hint is None else [*lines, hint]
