"""Single-map refinement: two half-sets kept apart from the start, from options to results."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from mapsort.engines.background import Background
from mapsort.engines.progress import Progress, SilentProgress, warn
from mapsort.errors import MapsortError
from mapsort.jobs.loop import ending, log_the_end
from mapsort.jobs.multi import Watcher
from mapsort.jobs.refine_plan import check_disk, single_choices, single_plan_lines
from mapsort.jobs.refine_result import RefinedMap
from mapsort.jobs.refine_resume import Stopped, open_stopped, state_of, write_poses
from mapsort.jobs.resume import record_going_on
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import typed_options
from mapsort.options.refine import RefineOptions
from mapsort.options.types import MOST_ITERATIONS
from mapsort.refinement.single_inputs import open_single
from mapsort.refinement.single_iteration import iterate
from mapsort.refinement.single_seeds import (
    prepare_halves,
    read_halves,
)
from mapsort.refinement.single_state import SingleOutcome, SingleRun, SingleState
from mapsort.refinement.stopping import reason_to_stop_single
from mapsort.refinement.symmetry_warnings import symmetry_warnings
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log, stage
from mapsort.rundir.manifest import make_manifest, write_manifest
from mapsort.rundir.run_lock import run_lock
from mapsort.rundir.text import write_convergence
from mapsort.runfiles.refine_maps import (
    single_entry,
    single_table,
    write_single_maps,
    write_single_table,
    write_starting_maps,
)

LOGGER = logging.getLogger(__name__)


def refine_plan_text(options: RefineOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do.

    Raises
    ------
    FormatError, ConfigError
        What is wrong with the request or its input.
    """
    run = open_single(options, progress if progress is not None else SilentProgress())
    check_disk(run)
    with threadpool_limits(run.whole.plan.n_threads):
        run = read_halves(run)
    warnings = [
        f"warning: {line}" for line in symmetry_warnings(run.whole.options, run.whole.inputs)
    ]
    return "\n".join([*single_plan_lines(run), *warnings])


def refine_run(
    options: RefineOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    volume: Volume | None = None,
    watcher: Watcher | None = None,
) -> RefinedMap:
    """Refine one map by two half-sets of the particles that never meet.

    Parameters
    ----------
    options : RefineOptions
    progress : Progress, optional
        Told of every stage; may raise Interrupted between chunks.
    particles, volume : optional
        Objects to use in place of ``options.input`` and ``options.model``.
    watcher : callable, optional
        Called with the run directory whenever an iteration has been written.

    Raises
    ------
    FormatError, ConfigError
        Before any work: what is wrong with the request or its input.
    NumericalError
        When the computation cannot go on.
    """
    shown = progress if progress is not None else SilentProgress()
    run = open_single(options, shown, particles=particles, volume=volume)
    check_disk(run)
    for note in run.whole.inputs.notes:
        warn(shown, note)
    with threadpool_limits(run.whole.plan.n_threads):
        run = read_halves(run)
        stopped = None if options.resume is None else open_stopped(options)
        directory = _make_directory(options) if stopped is None else stopped.directory
        with run_lock(directory.lock), run_log(directory.log):
            for line in single_plan_lines(run):
                LOGGER.info("%s", line)
            for line in symmetry_warnings(run.whole.options, run.whole.inputs):
                LOGGER.warning("%s", line)
                warn(shown, line)
            if stopped is None:
                _write_manifest(run, directory)
            else:
                record = _resolved_record(run, directory) | {"startiter": None}
                record_going_on(directory, record, {}, n_done=len(stopped.entries))
            try:
                state, entries = _beginning(run, directory, stopped)
                _watch(watcher, directory)
                return _refine(run, directory, state, entries, watcher)
            except (MapsortError, OSError) as error:
                ended = ending(error, directory, "refine")
                log_the_end(ended)
                _watch(watcher, directory)
                raise ended from error


def _beginning(
    run: SingleRun, directory: RunDirectory, stopped: Stopped | None
) -> tuple[SingleState, list[dict[str, Any]]]:
    """Return the prepared seeds, or the state from which a stopped run goes on."""
    if stopped is not None and stopped.entries:
        with stage("resume", iteration=len(stopped.entries)):
            return state_of(run, stopped), list(stopped.entries)
    with stage("prepare seeds"):
        state = prepare_halves(run)
        write_starting_maps(run, directory, state)
    return state, []


def _watch(watcher: Watcher | None, directory: RunDirectory) -> None:
    if watcher is not None:
        watcher(directory.path)


def _make_directory(options: RefineOptions) -> RunDirectory:
    if options.path is None:
        return RunDirectory.next_free(Path(), prefix="refine")
    options.path.mkdir(parents=True, exist_ok=True)
    return RunDirectory(options.path)


def _resolved_record(run: SingleRun, directory: RunDirectory) -> dict[str, Any]:
    plan = run.whole.plan
    return run.options.as_record() | {
        "path": str(directory.path),
        "apix": run.whole.inputs.apix,
        "startres": run.start_resolution_ang,
        "maxshift": plan.max_shift,
        "pad": plan.map_grid.padded,
        "parallel": f"thread:{plan.n_threads}",
        "randomseed": plan.seed,
        "sym": [group.name for group in plan.symmetries],
        "independent_halves": True,
    }


def _write_manifest(run: SingleRun, directory: RunDirectory) -> None:
    manifest = make_manifest(
        _resolved_record(run, directory),
        seed=run.whole.plan.seed,
        inputs=run.whole.inputs.files,
        command=sys.argv,
        choices=[choice.as_record() for choice in single_choices(run)],
    )
    write_manifest(directory.parms, manifest)


def _refine(
    run: SingleRun,
    directory: RunDirectory,
    state: SingleState,
    entries: list[dict[str, Any]],
    watcher: Watcher | None,
) -> RefinedMap:
    """Iterate; what an iteration found is written while the next one computes."""
    with Background() as background:
        while True:
            outcome = iterate(run, state)
            entry = single_entry(run, state, outcome)
            table = single_table(run, outcome)
            entries.append(entry)
            entry["end"] = reason_to_stop_single(entries, run.options.iter)
            _tell(run, entry)
            job = partial(_write, run, directory, outcome, state, table, entries[:], watcher)
            background.submit(job)
            state = outcome.state
            if entry["end"] is not None:
                break
    LOGGER.info("%s", entry["end"])
    run.whole.progress.message(entry["end"])
    apix = run.whole.inputs.apix
    return RefinedMap(
        path=directory.path,
        map=Volume(outcome.map, apix),
        sharpened=Volume(outcome.sharpened, apix),
        half_maps=tuple(Volume(half.volume, apix) for half in outcome.halves),
        mask=Volume(outcome.mask, apix),
        resolution_ang=outcome.state.resolution_ang,
        assignments=table,
        convergence=entries,
    )


def _write(
    run: SingleRun,
    directory: RunDirectory,
    outcome: SingleOutcome,
    previous: SingleState,
    table: pd.DataFrame,
    entries: list[dict[str, Any]],
    watcher: Watcher | None,
) -> None:
    """Write one iteration's files; convergence.json, which says that it is complete, last."""
    iteration = outcome.state.iteration
    with stage("write", iteration=iteration) as facts:
        write_single_maps(run, directory, outcome, previous)
        write_single_table(run, directory, iteration, table)
        write_poses(directory, outcome)
    entries[-1]["seconds"]["write"] = round(float(str(facts["seconds"])), 3)
    write_convergence(directory.convergence, entries)
    _watch(watcher, directory)


def _tell(run: SingleRun, entry: dict[str, Any]) -> None:
    """Tell the user one line about an iteration."""
    step = entry["angular_step_deg"]
    search = "about the last poses" if step is None else f"grid of {step:.1f} degrees"
    turn = entry["mean_angle_change_deg"]
    turned = "" if turn is None else f", poses turned by {turn:.2f} degrees"
    text = (
        f"iteration {entry['iteration']}/{run.options.iter or f'up to {MOST_ITERATIONS}'}: "
        f"{search}, resolution {entry['maps'][0]['resolution_fsc_0143_ang']:.2f} A{turned}, "
        f"{sum(entry['seconds'].values()):.1f} s"
    )
    LOGGER.info("%s", text)
    run.whole.progress.message(text)


def refine(
    particles: str | Path | Particles,
    model: str | Path | Volume,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> RefinedMap:
    """Refine one map by independent half-sets (the Python face of ``mapsort refine``).

    Parameters
    ----------
    particles : str, Path or Particles
    model : str, Path or Volume
        Starting map.
    progress : Progress, optional
    **options
        Any option of ``mapsort refine`` by its name, for example ``iter=5, sym="d7"``.

    Returns
    -------
    RefinedMap

    Raises
    ------
    ConfigError, FormatError
        Before any work.
    """
    given = model if isinstance(model, Volume) else None
    path = Path("map") if isinstance(model, Volume) else Path(model)
    source = particles.source if isinstance(particles, Particles) else Path(particles)
    request = typed_options(RefineOptions, {"input": source, "model": path} | options).validated()
    return refine_run(
        request,
        progress=progress,
        particles=particles if isinstance(particles, Particles) else None,
        volume=given,
    )
