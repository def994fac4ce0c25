"""Refine one set of a split by itself, from any of the run's maps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mapsort.engines.progress import Progress
from mapsort.errors import FormatError
from mapsort.jobs.finished_run import FinishedRun
from mapsort.jobs.refine import RefinedMap, refine_run
from mapsort.jobs.split import Split
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.multi import POSE_COMPARATORS, MultiOptions
from mapsort.options.refine import RefineOptions
from mapsort.physics.masks import envelope_radius
from mapsort.refinement.plan import SPHERE_MARGIN

#: Refined from another set's map, a set begins with that map up to its resolution times this: what
#: both structures have in common is then seen sharply, and the rest can be found about it. Nobody
#: takes half maps from there for a measure of resolution.
OTHER_START = 1.25
#: Sets with fewer particles are not refined: halves of them hold no map.
FEWEST_PARTICLES = 40


def refined_numbers(made: Split, n_models: int) -> list[int]:
    """Return the numbers of the maps whose sets are large enough to be refined."""
    return [n for n in range(1, n_models + 1) if len(made[f"m{n}"]) >= FEWEST_PARTICLES]


def refine_set(
    finished: FinishedRun,
    iteration: int,
    made: Split,
    number: int,
    start: int,
    path: Path,
    *,
    n_iterations: int | None,
    parallel: str,
    progress: Progress,
) -> RefinedMap:
    """Refine the set of map ``number`` starting from map ``start``, as the run saw the particles.

    Parameters
    ----------
    iteration : int
        Whose maps are the starts.
    number, start : int
        Map numbers, from 1.
    path : Path
        Run directory of the refinement; an earlier one there is replaced.
    n_iterations : int or None
        None: until nothing moves.
    parallel : str
        As ``--parallel``.
    """
    model = finished.directory.maps(iteration, start)
    if not model.exists():
        raise FormatError(f"{model}: the run has not kept this map.")
    apix, reached = _resolution(finished, iteration, start)
    star = made[f"m{number}"].star
    assert star is not None, "refined_numbers() leaves out sets without particles"
    if path.exists():
        shutil.rmtree(path)
    asked = finished.request()
    searched, imposed = asked.searched[number - 1], asked.imposed[number - 1]
    options = RefineOptions(
        input=star,
        model=model,
        path=path,
        iter=n_iterations,
        sym=(imposed,),
        relax=() if searched == imposed else (searched,),
        diameter=_diameter(finished, iteration),
        startres=None if start == number else max(OTHER_START * reached, 3.0 * apix),
        parallel=parallel,
        randomseed=finished.manifest.seed,
        no_report=True,
        **_same(asked, apix / Particles.open(star).apix),
    )
    return refine_run(options.validated(), progress=progress)


def _resolution(finished: FinishedRun, iteration: int, number: int) -> tuple[float, float]:
    """Return pixel size and resolution [A] of one of the run's maps."""
    entry = finished.entry(iteration)
    return finished.apix, float(entry["maps"][number - 1]["resolution_fsc_0143_ang"])


def _diameter(finished: FinishedRun, iteration: int) -> float:
    """Return the diameter [A] of a sphere that holds all of the run's maps, with a margin.

    A set's structure may be larger than the map it begins with.
    """
    radii, apix, largest = [], 1.0, 0.0
    for number in range(1, finished.n_models + 1):
        volume = Volume.open(finished.directory.maps(iteration, number))
        apix, largest = volume.apix, 0.5 * volume.box - 2.0
        radii.append(envelope_radius(volume.data) + SPHERE_MARGIN * volume.box)
    return 2.0 * min(max(radii), largest) * apix


def _same(asked: MultiOptions, larger: float) -> dict[str, Any]:
    """Return what a single refinement takes over from the run.

    It takes images as they are, also where the run's had pixels that were so much ``larger``.
    """
    known = asked.simcmp.partition(":")[0] in POSE_COMPARATORS
    comparator = asked.simcmp if known else "loglik"
    return {
        "targetres": asked.targetres,
        "speed": asked.speed,
        "ctf": asked.ctf,
        "invert": asked.invert,
        "maxshift": None if asked.maxshift is None else asked.maxshift * larger,
        "pad": asked.pad and round(asked.pad * larger),
        "simcmp": comparator,
    }
