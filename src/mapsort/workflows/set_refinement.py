"""Refine one set of a split by itself, from any of the run's maps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mapsort.errors import FormatError
from mapsort.workflows.finished_run import FinishedRun
from mapsort.workflows.options import MultiOptions
from mapsort.workflows.progress import Progress
from mapsort.workflows.single import RefinedMap, refine_run
from mapsort.workflows.single_options import RefineOptions
from mapsort.workflows.split import Split

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
    finished : FinishedRun
    iteration : int
        Whose maps are the starts.
    made : Split
    number, start : int
        Map numbers, from 1.
    path : Path
        Run directory of the refinement; an earlier one there is replaced.
    n_iterations : int or None
        None: until nothing moves.
    parallel : str
        As ``--parallel``.
    progress : Progress

    Raises
    ------
    FormatError
        The run has not kept the map.
    """
    model = finished.directory.maps(iteration, start)
    if not model.exists():
        raise FormatError(f"{model}: the run has not kept this map.")
    star = made[f"m{number}"].star
    assert star is not None, "refined_numbers() leaves out sets without particles"
    if path.exists():
        shutil.rmtree(path)
    asked = finished.request()
    options = RefineOptions(
        input=star,
        model=model,
        path=path,
        iter=n_iterations,
        sym=(asked.symmetries[number - 1],),
        parallel=parallel,
        randomseed=finished.manifest.seed,
        no_report=True,
        **_same(asked),
    )
    return refine_run(options.validated(), progress=progress)


def _same(asked: MultiOptions) -> dict[str, Any]:
    """Return what a single refinement takes over from the run."""
    comparator = asked.simcmp if asked.simcmp.startswith(("loglik", "ccc", "sqeu")) else "loglik"
    return {
        "targetres": asked.targetres,
        "speed": asked.speed,
        "ctf": asked.ctf,
        "invert": asked.invert,
        "maxshift": asked.maxshift,
        "pad": asked.pad,
        "simcmp": comparator,
        "breaksym": asked.breaksym,
    }
