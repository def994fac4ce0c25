"""Maps of each half of the particles, every half sorted without the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from mapsort.array_types import Float32
from mapsort.engines.progress import Progress
from mapsort.errors import ConfigError
from mapsort.jobs.crossval.validation import half_alone, run_again
from mapsort.jobs.finished_run import FinishedRun
from mapsort.model.half_sets import N_HALVES
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.physics.map_difference import HalfPair
from mapsort.refinement.run import Run
from mapsort.refinement.solving import half_maps


def half_classes(
    finished: FinishedRun, iteration: int, progress: Progress, *, parallel: str = ""
) -> list[HalfPair]:
    """Return the half maps of every map of a run, made so that sorting makes no difference.

    Particles whose noise looks like the difference of two maps go to one of them, and show that
    difference again when they are averaged. So each half of the particles is classified by itself,
    from the maps that the run began with: what the halves of a map agree on, and their difference
    from another map's, is then of the particles. A run with ``--halves`` has done so.

    Parameters
    ----------
    parallel : str
        As ``--parallel``.

    Raises
    ------
    ConfigError
        A map has no particles in one of the halves.
    """
    directory, numbers = finished.directory, range(1, finished.n_models + 1)
    if finished.entry(iteration).get("independent_halves"):
        paths = [
            (directory.threed_even(iteration, n), directory.threed_odd(iteration, n))
            for n in numbers
        ]
        return [HalfPair(*(Volume.open(path).data for path in both)) for both in paths]
    table = Particles.open(directory.particles(iteration)).table
    good = np.flatnonzero(table["rlnClassNumber"].to_numpy(dtype=np.int64) <= finished.n_models)
    with run_again(finished, good, progress, parallel=parallel) as run:
        return _classified_by_halves(run, iteration)


def _classified_by_halves(run: Run, n_iterations: int) -> list[HalfPair]:
    """Classify each half of the particles alone; solve every map of either."""
    alone = []
    for half in range(N_HALVES):
        _, parts = half_alone(run, half, n_iterations)
        alone.append([even + odd for even, odd in parts])
    for number, both in enumerate(zip(*alone, strict=True), start=1):
        if not all(np.any(equations.circulant) for equations in both):
            raise ConfigError(f"map {number} has no particles in one half: nothing to compare")
    first, second = zip(
        *(half_maps(run, list(both), to_keep=True) for both in zip(*alone, strict=True)),
        strict=True,
    )
    return [HalfPair(first[i], second[j]) for i, j in enumerate(same_classes(first, second))]


def same_classes(first: Sequence[Float32], second: Sequence[Float32]) -> list[int]:
    """Return which map of the second half is which of the first: they may have changed places."""
    rows = [np.stack([volume.ravel() for volume in maps]) for maps in (first, second)]
    rows = [each - each.mean(axis=0) for each in rows]
    _, partner = linear_sum_assignment(-(rows[0] @ rows[1].T))
    return [int(number) for number in partner]
