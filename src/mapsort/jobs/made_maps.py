"""Maps made of a run's particles alone: the search of ``mapsort abinit``, kept and told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from mapsort.engines.progress import warn
from mapsort.geometry.symmetry import symmetry
from mapsort.physics.masks import soft_sphere
from mapsort.refinement.band_images import band_particles
from mapsort.refinement.run import Run
from mapsort.rundir.log import stage
from mapsort.stages.abinit.polar import BEYOND
from mapsort.stages.abinit.problem import Problem
from mapsort.stages.abinit.schedule import schedule
from mapsort.stages.abinit.search import FoundMaps, find_maps
from mapsort.stages.abinit.verdict import signs
from mapsort.stages.components.band import CIRCLE_EDGE, Band

LOGGER = logging.getLogger(__name__)

#: Radius of the circle about a particle within which all is kept, and of the particle [boxes].
_CIRCLE, _RADIUS = 0.42, 0.4


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
    plan = schedule(run.plan.grid.box, run.inputs.apix, sought.target_ang)
    problem = _problem(run, sought, rings=plan.last[-1].rings + BEYOND)

    with stage("find maps"):
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


def _problem(run: Run, sought: Sought, *, rings: int) -> Problem:
    box = run.plan.grid.box
    n, circle = len(run.inputs.particles), _CIRCLE * box
    kept = soft_sphere(box, circle, CIRCLE_EDGE * box, ndim=2).astype(np.float64)
    radius = _RADIUS * box
    if sought.diameter_ang is not None:
        radius = min(0.5 * sought.diameter_ang / run.inputs.apix, 0.5 * box)
    banded = replace(run, plan=replace(run.plan, band=Band(box, rings)))
    return Problem(
        particles=band_particles(banded, np.zeros((n, 2)), circle_px=circle),
        n_models=sought.n_models,
        symmetry=symmetry(sought.symmetry),
        radius_px=radius,
        max_shift=run.plan.max_shift,
        circle=float(np.mean(kept**2)),
        seed=run.plan.seed,
        n_threads=run.plan.n_threads,
    )


def _told(found: FoundMaps, field_ang: float) -> list[str]:
    shares = "/".join(f"{share:.0%}" for share in found.share)
    lines = [f"maps up to ring {found.rings} ({field_ang / found.rings:.1f} A), shares {shares}"]
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
    return lines
