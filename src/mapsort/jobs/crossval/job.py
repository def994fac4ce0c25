"""Cross-validation of a split: whether there is more than one structure in the particles."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.engines.progress import Progress, default_progress
from mapsort.errors import ConfigError
from mapsort.jobs.crossval.exchange import SetReturn, compare_return
from mapsort.jobs.crossval.validation import HeldOutPair, held_out_pairs, run_again
from mapsort.jobs.crossval.verdicts import Crossval, PairVerdict, crossval_record, write_crossval
from mapsort.jobs.finished_run import FinishedRun, open_finished, options_after
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.refine import RefinedMap
from mapsort.jobs.set_refinement import FEWEST_PARTICLES, refine_set, refined_numbers
from mapsort.jobs.split import Split, split
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.options.after_run import CrossvalOptions
from mapsort.options.fields import takes_options
from mapsort.refinement.table_poses import table_poses
from mapsort.rundir.result_record import write_result


@takes_options(CrossvalOptions)
def crossval(run: str | Path | MultiRun, **options: Any) -> Crossval:
    """Cross-validate the split of a run (the Python face of ``mapsort crossval``).

    Parameters
    ----------
    run : str, Path or MultiRun
        A run directory or the run itself.
    **options
        Options of ``mapsort crossval`` by name: ``iter``, ``refineiter``, ``parallel``.

    Raises
    ------
    ConfigError
        An option is wrong, or the run has one map only.
    FormatError
        The run directory lacks what is needed, or a file of it is damaged.
    """
    return crossval_run(options_after(CrossvalOptions, run, options))


def crossval_run(
    options: CrossvalOptions,
    *,
    progress: Progress | None = None,
    made: Split | None = None,
    alone: Mapping[int, RefinedMap] | None = None,
) -> Crossval:
    """Refine each set from each other set's map, and judge by particles unseen: see `crossval`.

    Parameters
    ----------
    made : Split, optional
        The run's sets, if they are there already.
    alone : mapping of int to RefinedMap, optional
        Each set refined from its own map, by the map's number, if that has been done already.
    """
    shown = progress or default_progress()
    finished = open_finished(options.run[0])
    if finished.n_models < 2:
        raise ConfigError(f"{options.run[0]}: has one map; cross-validation needs two at least")
    iteration = finished.iteration(options.iter)
    directory = finished.directory.path / "crossval"
    sets = made if made is not None else split(finished.directory.path, iter=iteration)
    directory.mkdir(exist_ok=True)
    found = _returns(finished, options, iteration, sets, directory, shown, alone)
    judged = {
        pair.maps: pair
        for pair in judged_pairs(finished, iteration, shown, parallel=options.parallel)
    }
    pairs = tuple(
        PairVerdict(
            maps,
            tuple(item for item in found if {item.number, item.start} == set(maps)),
            judged.get(maps),
        )
        for maps in combinations(range(1, finished.n_models + 1), 2)
    )
    result = Crossval(directory, iteration, pairs)
    write_crossval(result)
    write_result(finished.directory.path, "4_crossval", crossval_record(result))
    return result


def _returns(
    finished: FinishedRun,
    options: CrossvalOptions,
    iteration: int,
    sets: Split,
    directory: Path,
    progress: Progress,
    alone: Mapping[int, RefinedMap] | None,
) -> list[SetReturn]:
    """Refine every set from every map; compare."""

    def refined(number: int, start: int) -> RefinedMap:
        progress.message(f"set {number} from map {start}")
        return refine_set(
            finished,
            iteration,
            sets,
            number,
            start,
            directory / f"refine_m{number}_from_m{start}",
            n_iterations=options.refineiter,
            parallel=options.parallel,
            progress=progress,
        )

    numbers = refined_numbers(sets, finished.n_models)
    own = dict(alone) if alone is not None else {}
    own |= {number: refined(number, number) for number in numbers if number not in own}
    return [
        compare_return(number, start, refined(number, start), own[number], own[start])
        for number, start in permutations(numbers, 2)
    ]


def judged_pairs(
    finished: FinishedRun, iteration: int, progress: Progress, *, parallel: str = ""
) -> list[HeldOutPair]:
    """Repeat the run's classification with half of the particles each, judged by the others.

    Junk takes no part: it has no map.
    """
    path = finished.directory.particles(iteration)
    table = Particles.open(path).table
    numbers = table["rlnClassNumber"].to_numpy(dtype=np.int64)
    good = np.flatnonzero(numbers <= finished.n_models)
    if len(good) < FEWEST_PARTICLES:
        return []
    with run_again(finished, good, progress, parallel=parallel) as run:
        rotations, origins = table_poses(
            path, table.iloc[good], run.inputs.apix, rows=good, purpose="cross-validation"
        )
        known = Poses(
            numbers[good, None].astype(np.int32) - 1,
            rotations[:, None],
            origins[:, None],
            np.zeros((len(good), 1), dtype=np.float32),
        )
        return held_out_pairs(run, known, n_iterations=iteration)
