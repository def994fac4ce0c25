"""Carry out a refinement in its directory, from the beginning or from where it stands."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mapsort.engines.background import Background
from mapsort.engines.progress import warn
from mapsort.engines.resources import reuse_freed_memory
from mapsort.geometry.symmetry import symmetry
from mapsort.jobs.cluster import engine_for
from mapsort.jobs.logged_run import logged, watch
from mapsort.jobs.refinement import Entry, Outcome, Refinement, Result, Watcher, stops
from mapsort.jobs.resume import RunCheckpoint, record_going_on
from mapsort.jobs.thread_limits import thread_limits
from mapsort.jobs.verdict import judge
from mapsort.options.multi import MultiOptions
from mapsort.options.types import KeptFiles
from mapsort.refinement.execution import Execution
from mapsort.refinement.requirements import run_disk
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.atomic import remove_leftovers
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import timed
from mapsort.rundir.manifest import make_manifest, read_manifest, write_manifest
from mapsort.rundir.outputs import existing_parent, refuse_full_disk
from mapsort.rundir.run_lock import LockHolder, run_lock
from mapsort.rundir.scratch import Scratch
from mapsort.rundir.text import read_convergence, write_convergence
from mapsort.rundir.verdict_record import read_verdict
from mapsort.rundir.wording import readable_size
from mapsort.runfiles.maps import write_seeds
from mapsort.runfiles.relion_files import write_relion_files

LOGGER = logging.getLogger(__name__)


def check_disk(run: Run) -> None:
    """Refuse a run for which there is no room."""
    place = run.options.path or Path()
    need = run_disk(run)
    least = run_disk(replace(run, options=replace(run.options, keepfiles=KeptFiles.MAPS)))
    hint = f"; --keepfiles maps takes {readable_size(least)}" if least < need else ""
    refuse_full_disk(place, need, what=f"--path={place}: the run needs", hint=hint)


def carried_out(
    kind: Refinement[Outcome, Result], run: Run, watcher: Watcher | None, *, in_files: bool
) -> Result:
    """Carry out a run that has been opened, in a directory of its own or in that of ``--resume``.

    ``in_files`` says whether particles and maps are in files, so that the run can be resumed.
    """
    options = run.options
    with at_work(run) as run:
        if options.resume is not None:
            directory = RunDirectory(options.resume, map_suffix=options.map_suffix)
            with run_lock(directory.lock) as killed:
                remove_leftovers(directory.path)
                _go_back(run, directory)
                _record_going_on(kind, run, directory)
                return _logged(kind, run, directory, watcher, killed=killed)
        run = kind.looked_through(run)
        directory = make_directory(kind.command, options)
        with run_lock(directory.lock):
            _write_manifest(kind, run, directory, in_files=in_files)
            return _logged(kind, run, directory, watcher)


@contextmanager
def at_work(run: Run) -> Iterator[Run]:
    """Give an opened run with what it works in, a scratch file and its workers, for a block."""
    options = run.options
    for note in run.inputs.notes:
        warn(run.execution.progress, note)
    if options.resume is None:
        check_disk(run)
    reuse_freed_memory()
    scratch = Scratch(existing_parent(options.path or Path()))
    # the opened run, whose particles have their table in memory, is kept no longer
    run = replace(run, inputs=run.inputs.in_scratch(scratch))
    with thread_limits(run.plan.n_threads), engine_for(options, run.inputs) as engine:
        yield replace(
            run,
            execution=Execution(run.execution.progress, scratch=scratch, engine=engine),
        )


def make_directory(command: str, options: MultiOptions) -> RunDirectory:
    """Make the directory of ``--path``, or the next free one that is called as the command."""
    suffix = options.map_suffix
    if options.path is None:
        return RunDirectory.next_free(Path(), prefix=command, map_suffix=suffix)
    options.path.mkdir(parents=True, exist_ok=True)
    return RunDirectory(options.path, map_suffix=suffix)


def _go_back(run: Run, directory: RunDirectory) -> None:
    """Forget the iterations from ``--startiter`` on, which are to be made anew."""
    start = getattr(run.asked, "startiter", None)
    if start is not None:
        entries = read_convergence(directory.convergence)[: start - 1]
        write_convergence(directory.convergence, entries)
        Checkpoints(directory.checkpoint).drop_after(start - 1)


def _record_going_on(kind: Refinement[Any, Any], run: Run, directory: RunDirectory) -> None:
    n_done = len(read_convergence(directory.convergence))
    record, asked = _resolved_record(kind, run, directory), run.asked.as_record()
    if record_going_on(directory, record, asked, n_done=n_done):
        Checkpoints(directory.checkpoint).drop_stages()


def _resolved_record(
    kind: Refinement[Any, Any], run: Run, directory: RunDirectory
) -> dict[str, Any]:
    # of a run that is the first part of what was asked for, what it is itself
    own = run.asked if run.request is None else run.options
    record = own.as_record() | {
        "path": str(directory.path),
        "apix": run.inputs.particles.stored_apix,
        "maxshift": run.plan.max_shift,
        "pad": run.plan.map_grid.padded,
        "parallel": run.options.parallel
        if run.execution.engine
        else f"thread:{run.plan.n_threads}",
        "randomseed": run.plan.seed,
        "sym": [symmetry(name).name for name in run.options.symmetries],
    }
    return record | kind.resolved(run)


def _write_manifest(
    kind: Refinement[Any, Any], run: Run, directory: RunDirectory, *, in_files: bool
) -> None:
    manifest = make_manifest(
        _resolved_record(kind, run, directory),
        seed=run.plan.seed,
        inputs=run.inputs.files,
        command=sys.argv,
        choices=[choice.as_record() for choice in kind.choices(run)],
        asked=run.asked.as_record() if in_files else None,
    )
    write_manifest(directory.parms, manifest)


def _logged(
    kind: Refinement[Outcome, Result],
    run: Run,
    directory: RunDirectory,
    watcher: Watcher | None,
    *,
    killed: LockHolder | None = None,
) -> Result:
    """Carry out a run, from the beginning or from where it stands; its log tells how it ends."""
    begun = logged(kind.command, run.asked, run, directory, watcher, killed=killed, more=kind.more)
    with begun as (run, told):
        finished = _from_where_it_stands(kind, run, directory, watcher)
        entries = finished.convergence
        told.finish_run(
            str(entries[-1]["end"]), iteration=len(entries), n_iterations=run.options.n_iterations
        )
    return finished


def _from_where_it_stands(
    kind: Refinement[Outcome, Result], run: Run, directory: RunDirectory, watcher: Watcher | None
) -> Result:
    entries = read_convergence(directory.convergence)
    since = read_manifest(directory.parms).searched_since
    ended = entries and entries[-1]["end"] is not None
    if ended and stops(run.asked, entries, since):
        run.execution.progress.message(f"{directory.path} is finished: there is nothing to do")
        _remove_intermediate(run.options.keepfiles, directory, entries)
        if read_verdict(directory, len(entries)) is None:
            judge(kind.command, run, directory, entries)
        watch(watcher, directory)
        return kind.result(run, directory, entries, None)
    checkpoint = run.execution.checkpoints.latest("state", RunCheckpoint)
    if checkpoint is None:
        run = run if run.spectra_seen is not None else kind.looked_through(run)
        run, state = kind.prepared(run)
        write_seeds(run, directory, state)
        checkpoint = RunCheckpoint(state, [], run.seen, run.plan.references)
        run.execution.checkpoints.save(0, "state", checkpoint)
        watch(watcher, directory)
    else:
        run = kind.resumed(replace(run, spectra_seen=checkpoint.spectra), checkpoint.state)
        checkpoint = checkpoint.for_plan(run.plan)
        if checkpoint.entries:
            # It may have ended with this one before more was asked for.
            checkpoint.entries[-1]["end"] = None
            write_convergence(directory.convergence, checkpoint.entries)
        LOGGER.info("resumed after iteration %d", checkpoint.state.iteration)
        run.execution.progress.message(f"resumed after iteration {checkpoint.state.iteration}")
    return _iterations(kind, run, directory, checkpoint, watcher, since)


def _iterations(
    kind: Refinement[Outcome, Result],
    run: Run,
    directory: RunDirectory,
    begin: RunCheckpoint,
    watcher: Watcher | None,
    since: int,
) -> Result:
    """Iterate; what an iteration found is written while the next one computes."""
    state, entries = begin.state, begin.entries
    with Background() as background:
        while True:
            outcome = kind.iterate(run, state)
            entry = kind.entry(run, state, outcome)
            entries.append(entry)
            entry["end"] = stops(run.asked, entries, since)
            begins = _with_last_word(kind, run, outcome.state, entry)
            kind.warn(run, outcome, entry["end"] is not None)
            _tell(kind, run, entry)
            states = (state, begins)
            job = partial(_write, kind, run, directory, outcome, states, entries[:], watcher)
            background.submit(job)
            state = begins
            if entry["end"] is not None:
                break
    LOGGER.info("%s", entries[-1]["end"])
    if run.options.iter is None:
        run.execution.progress.message(entries[-1]["end"])
    judge(kind.command, run, directory, entries)
    watch(watcher, directory)
    return kind.result(run, directory, entries, state)


def _with_last_word(kind: Refinement[Any, Any], run: Run, state: State, entry: Entry) -> State:
    """Return what the next iteration begins with; after the last one, what its kind changes then.

    If it does, one more iteration follows: the entry says so, for a run that is resumed.
    """
    changed = None if entry["end"] is None else kind.last_word(run, state)
    if changed is None:
        return state
    entry["last_word_after"], entry["end"] = entry["end"], None
    return changed


def _write(
    kind: Refinement[Outcome, Any],
    run: Run,
    directory: RunDirectory,
    outcome: Outcome,
    states: tuple[State, State],
    entries: list[Entry],
    watcher: Watcher | None,
) -> None:
    """Write one iteration's files; convergence.json, which says that it is complete, last.

    The states are those that it and the next one begin with. Only then does a stopped run go on
    from the next one's: until it is there, the iteration is done again from the results of its
    stages, and writes the same files.
    """
    iteration = outcome.state.iteration
    with timed(entries[-1]["seconds"], "write", iteration=iteration):
        kind.write(run, directory, outcome, states[0], entries[-1]["end"] is not None)
        write_relion_files(run, directory, entries[-1])
    write_convergence(directory.convergence, entries)
    # The last one's stays, too: more iterations may be asked for.
    checkpoint = RunCheckpoint(states[1], entries, run.seen, run.plan.references)
    run.execution.checkpoints.save(iteration, "state", checkpoint)
    run.execution.checkpoints.drop_before(iteration, states=not kind.keeps_states)
    _remove_intermediate(run.options.keepfiles, directory, entries)
    watch(watcher, directory)


def _remove_intermediate(kept: KeptFiles, directory: RunDirectory, entries: list[Entry]) -> None:
    """Remove what ``--keepfiles`` does not keep.

    The last finished iteration's files stay until the next one is complete, or the run.
    """
    if kept is KeptFiles.ALL:
        return
    iteration = int(entries[-1]["iteration"])
    ended = entries[-1]["end"] is not None
    past = [iteration - 1]
    if kept is KeptFiles.MAPS and ended:
        past.append(iteration)
    for number in past:
        for path in directory.intermediate(number):
            path.unlink(missing_ok=True)


def _tell(kind: Refinement[Any, Any], run: Run, entry: Entry) -> None:
    """Tell the user one line about an iteration."""
    of = "" if run.options.iter is None else f"/{run.options.iter}"
    seconds = sum(entry["seconds"].values())
    text = f"iteration {entry['iteration']}{of}: {kind.line(entry)}, {seconds:.1f} s"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)
