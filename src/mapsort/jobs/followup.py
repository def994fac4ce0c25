"""Everything after a multi-map refinement, in one go: split, refine, measure, cross-validate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsort.engines.progress import Progress, default_progress
from mapsort.jobs.crossval.job import crossval_run
from mapsort.jobs.crossval.verdicts import Crossval
from mapsort.jobs.finished_run import open_finished, options_after
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.refine import RefinedMap
from mapsort.jobs.set_refinement import refine_set, refined_numbers
from mapsort.jobs.split import Split, split
from mapsort.options.after_run import FollowupOptions
from mapsort.options.fields import takes_options
from mapsort.physics.fsc import frequencies_per_ang
from mapsort.rundir.result_record import ResultCurves, ResultRecord, ResultTable, write_result


@dataclass(frozen=True)
class Followup:
    """What a run's followup has found.

    Attributes
    ----------
    path : Path
        The run directory.
    iteration : int
    split : Split
    refined : dict of int to RefinedMap
        Each set refined by itself, by the number of its map; sets too small to be are missing.
    multi_resolution_ang : dict of int to float
        What the run itself says of each map, at FSC 0.143.
    crossval : Crossval or None
        None if it was not wanted, or the run has one map.
    """

    path: Path
    iteration: int
    split: Split
    refined: dict[int, RefinedMap]
    multi_resolution_ang: dict[int, float]
    crossval: Crossval | None


@takes_options(FollowupOptions)
def followup(run: str | Path | MultiRun, **options: Any) -> Followup:
    """Split a run, refine each set, cross-validate (the Python face of ``mapsort followup``).

    Parameters
    ----------
    run : str, Path or MultiRun
        A run directory or the run itself.
    **options
        Options of ``mapsort followup`` by name: ``iter``, ``refineiter``, ``parallel``,
        ``no_crossval``.

    Raises
    ------
    ConfigError
        An option is wrong.
    FormatError
        The run directory lacks what is needed, or a file of it is damaged.
    """
    return followup_run(options_after(FollowupOptions, run, options))


def followup_run(options: FollowupOptions, *, progress: Progress | None = None) -> Followup:
    """Do it all: see `followup`."""
    shown = progress or default_progress()
    finished = open_finished(options.run[0])
    iteration = finished.iteration(options.iter)
    run = finished.directory.path
    sets = split(run, iter=iteration)
    directory = run / "followup"
    directory.mkdir(exist_ok=True)
    refined = {}
    for number in refined_numbers(sets, finished.n_models):
        shown.message(f"set {number}: {len(sets[f'm{number}'])} particles")
        refined[number] = refine_set(
            finished,
            iteration,
            sets,
            number,
            number,
            directory / f"refine_m{number}",
            n_iterations=options.refineiter,
            parallel=options.parallel,
            progress=shown,
        )
    before = {
        number: float(item["resolution_fsc_0143_ang"])
        for number, item in enumerate(finished.entry(iteration)["maps"], start=1)
    }
    write_result(run, "3_refine", _record(sets, refined, before))
    checked = None
    if not options.no_crossval and finished.n_models > 1:
        checked = crossval_run(options, progress=shown, made=sets, alone=refined)
    return Followup(run, iteration, sets, refined, before, checked)


def _record(sets: Split, refined: dict[int, RefinedMap], before: dict[int, float]) -> ResultRecord:
    small = [number for number in before if number not in refined]
    summary = [
        "Each set refined by itself, its halves kept apart from the start: resolutions are those "
        "of independent half maps, corrected for the mask. Those of the run itself are of halves "
        "that share references, and optimistic."
    ]
    if small:
        summary.append(f"Too few particles: set {', '.join(map(str, small))}.")
    last = {number: found.convergence[-1]["maps"][0] for number, found in refined.items()}
    table = ResultTable.of(
        "Resolution of each set",
        refined,
        {
            "set": lambda number: number,
            "particles": lambda number: len(sets[f"m{number}"]),
            "in the run, 0.143 [Å]": lambda number: before[number],
            "refined, 0.143 [Å]": lambda number: refined[number].resolution_ang,
            "refined, 0.5 [Å]": lambda number: float(last[number]["resolution_fsc_05_ang"]),
            "directory": lambda number: str(refined[number].path),
        },
    )
    curves: tuple[ResultCurves, ...] = ()
    if refined:
        some = next(iter(refined.values())).map
        halves = {f"set {number}": item["half_fsc"] for number, item in last.items()}
        frequency = frequencies_per_ang(some.box, some.apix)
        curves = (ResultCurves.of_fsc("Independent half maps of each set", frequency, halves),)
    return ResultRecord(
        title="Sets refined alone", summary=tuple(summary), tables=(table,), curves=curves
    )
