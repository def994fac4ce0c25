"""Carry out a multi-map refinement in its directory, from the beginning or from where it stands."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from mapsort.engines.background import Background
from mapsort.engines.progress import warn
from mapsort.errors import FormatError, Interrupted, MapsortError, RunError
from mapsort.io.star import read_particles
from mapsort.jobs.resume import Standing
from mapsort.jobs.run_display import run_html
from mapsort.jobs.starts import prepared
from mapsort.model.volume import Volume
from mapsort.options.types import KeptFiles
from mapsort.refinement.assignment_choice import ends_soft
from mapsort.refinement.contrast import tried_contrast, tried_moves
from mapsort.refinement.copied_images import Fingerprints
from mapsort.refinement.half_maps import warn_of_exchanged_maps
from mapsort.refinement.iteration import iterate, scanned
from mapsort.refinement.requirements import plan_lines
from mapsort.refinement.run import Outcome, Run, State
from mapsort.refinement.stopping import reason_to_stop
from mapsort.refinement.symmetry_warnings import symmetry_warnings
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log, stage
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.outputs import free_bytes
from mapsort.rundir.run_lock import LockHolder
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.text import read_convergence, write_convergence
from mapsort.runfiles.entries import convergence_entry
from mapsort.runfiles.input_watch import InputWatch
from mapsort.runfiles.maps import (
    write_averages,
    write_halves,
    write_maps,
    write_projections,
    write_seeds,
)
from mapsort.runfiles.matrices import (
    write_best_matches,
    write_classification,
    write_first_stage,
    write_similarity,
)
from mapsort.runfiles.mutual_fsc import write_mutual_fsc
from mapsort.runfiles.progress_file import ProgressFile
from mapsort.runfiles.tables import write_table

LOGGER = logging.getLogger(__name__)

Watcher = Callable[[Path], None]


@dataclass(frozen=True)
class MultiRun:
    """A finished run.

    Attributes
    ----------
    path : Path
        The run directory.
    maps : tuple of Volume
        The last iteration's maps.
    particles : Path
        The table of all particles.
    convergence : list of dict
        One record per iteration, as in convergence.json.
    """

    path: Path
    maps: tuple[Volume, ...]
    particles: Path
    convergence: list[dict[str, Any]]

    @cached_property
    def assignments(self) -> pd.DataFrame:
        """One row per particle, RELION columns: class, pose, score, probability."""
        return read_particles(self.particles)[1]

    def _repr_html_(self) -> str:
        """Return what a notebook shows: each map with its share, resolution and slices."""
        return run_html(self.path, self.maps, self.convergence)


def carried_out(
    run: Run,
    directory: RunDirectory,
    watcher: Watcher | None,
    *,
    killed: LockHolder | None = None,
) -> MultiRun:
    """Carry out a run, from the beginning or from where it stands; its log tells how it ends."""
    json_log = directory.log_json if run.options.log_json else None
    with run_log(directory.log, json_path=json_log):
        told = ProgressFile(run.progress, directory.progress)
        watch = InputWatch(read_manifest(directory.parms).inputs)
        kept = Checkpoints(directory.checkpoint, watch.check, run.scratch)
        run = replace(run, progress=told, checkpoints=kept)
        try:
            for line in plan_lines(
                run.options, run.inputs, run.plan, free_disk=free_bytes(run.options.path or Path())
            ):
                LOGGER.info("%s", line)
            for line in symmetry_warnings(run.options, run.inputs):
                LOGGER.warning("%s", line)
                warn(told, line)
            if killed is not None:
                LOGGER.warning("process %d on %s was killed in this run", killed.pid, killed.host)
            finished = _from_where_it_stands(run, directory, watcher)
        except (MapsortError, OSError) as error:
            ended = ending(error, directory)
            log_the_end(ended)
            _tell_the_end(told, ended)
            _watch(watcher, directory)
            raise ended from error
        entries = finished.convergence
        told.finish_run(
            str(entries[-1]["end"]), iteration=len(entries), n_iterations=run.options.n_iterations
        )
        return finished


def log_the_end(ended: MapsortError) -> None:
    """Log why a run ends here: an error, or a signal, which is none."""
    level = logging.INFO if isinstance(ended, Interrupted) else logging.ERROR
    LOGGER.log(level, "%s", ended)


def _tell_the_end(told: ProgressFile, ended: MapsortError) -> None:
    try:
        told.end("interrupted" if isinstance(ended, Interrupted) else "failed", str(ended))
    except OSError as error:
        # The disk that ended the run may not take this either; what ended it must come out.
        LOGGER.error("progress.json does not tell the end: %s", error)


def _from_where_it_stands(run: Run, directory: RunDirectory, watcher: Watcher | None) -> MultiRun:
    entries = read_convergence(directory.convergence)
    since = read_manifest(directory.parms).searched_since
    ended = entries and entries[-1]["end"] is not None and _reason_to_stop(run, entries, since)
    if ended:
        run.progress.message(f"{directory.path} is finished: there is nothing to do")
        _remove_intermediate(run.options.keepfiles, directory, entries)
        _watch(watcher, directory)
        return finished_run(run, directory, entries)
    standing = run.checkpoints.latest("state", Standing)
    if standing is None:
        run = run if run.spectra_seen is not None else looked_through(run)
        run, state = prepared(run)
        standing = Standing(state, [], run.seen, run.plan.references)
        write_seeds(run, directory, standing.state)
        run.checkpoints.save(0, "state", standing)
        _watch(watcher, directory)
    else:
        run = replace(run, spectra_seen=standing.spectra)
        standing = standing.for_plan(run.plan)
        if standing.entries:
            # It may have ended with this one before more was asked for.
            standing.entries[-1]["end"] = None
            write_convergence(directory.convergence, standing.entries)
        LOGGER.info("resumed after iteration %d", standing.state.iteration)
        run.progress.message(f"resumed after iteration {standing.state.iteration}")
    return _refine(run, directory, standing, watcher, since)


def _reason_to_stop(run: Run, entries: list[dict[str, Any]], since: int) -> str | None:
    soft = ends_soft(run.options)
    return reason_to_stop(entries, run.options.iter, ends_soft=soft, since=since)


def looked_through(run: Run) -> Run:
    """Read every image once, and note copies under another name and the wrong contrast."""
    prints = Fingerprints(len(run.inputs.particles))
    run = scanned(run, look=prints.add)
    found = prints.copies_in_words(run.inputs.particles)
    contrast = tried_contrast(run)
    found += (contrast.note,) if contrast.note else ()
    seeds, moved = tried_moves(run)
    found += moved
    for note in found:
        LOGGER.info("%s", note)
        warn(run.progress, note)
    notes = run.inputs.notes + found
    return replace(
        run, inputs=replace(run.inputs, seeds=seeds, notes=notes, contrast=contrast.finding)
    )


def finished_run(run: Run, directory: RunDirectory, entries: list[dict[str, Any]]) -> MultiRun:
    """Return a run that had ended, as its files tell."""
    last = len(entries)
    maps = [Volume.open(directory.maps(last, m + 1)) for m in range(run.plan.n_models)]
    return MultiRun(directory.path, tuple(maps), directory.particles(last), entries)


def ending(
    error: MapsortError | OSError, directory: RunDirectory, command: str = "multi"
) -> MapsortError:
    """Return what ends a run that had begun, with the way to go on."""
    how = f"to go on: mapsort {command} --resume {shlex.quote(str(directory.path))}"
    if isinstance(error, Interrupted):
        return Interrupted(f"{error}\n{how}")
    if isinstance(error, OSError) and not isinstance(error, MapsortError):
        what = error.strerror or str(error)
        return RunError(f"{error.filename}: {what}\n{how}" if error.filename else f"{what}\n{how}")
    if isinstance(error, FormatError | RunError):
        return RunError(f"{error}\n{how}")
    return error


def _watch(watcher: Watcher | None, directory: RunDirectory) -> None:
    if watcher is not None:
        watcher(directory.path)


def _refine(
    run: Run, directory: RunDirectory, standing: Standing, watcher: Watcher | None, since: int
) -> MultiRun:
    """Iterate; what an iteration found is written while the next one computes."""
    state, entries = standing.state, standing.entries
    with Background() as background:
        while True:
            outcome = iterate(run, state)
            _warn_of_empty_maps(run, outcome)
            _tell_of_probabilities(run, outcome)
            entry = convergence_entry(run, state, outcome)
            _tell(run, entry)
            entries.append(entry)
            entry["end"] = _reason_to_stop(run, entries, since)
            job = partial(_write, run, directory, outcome, state, entries[:], watcher)
            background.submit(job)
            state = outcome.state
            if entry["end"] is not None:
                break
    LOGGER.info("%s", entries[-1]["end"])
    if outcome.halves is not None:
        warn_of_exchanged_maps(run, outcome.halves)
    if run.options.iter is None:
        run.progress.message(entries[-1]["end"])
    maps = tuple(Volume(volume, run.inputs.apix) for volume in outcome.maps)
    return MultiRun(directory.path, maps, directory.particles(len(entries)), entries)


def _warn_of_empty_maps(run: Run, outcome: Outcome) -> None:
    for model in outcome.reseeded:
        text = (
            f"class {model + 1} was nearly empty and has been re-seeded from the worst-fitting "
            "particles"
        )
        LOGGER.warning("iteration %d: %s", outcome.state.iteration, text)
        warn(run.progress, text)
    for model in outcome.empty:
        LOGGER.warning(
            "iteration %d: map %d received no particles; it stays as it was",
            outcome.state.iteration,
            model + 1,
        )
        warn(run.progress, f"map {model + 1} received no particles; it stays as it was")


def _tell_of_probabilities(run: Run, outcome: Outcome) -> None:
    """Tell when particles start to be shared among maps, which moves figures by itself."""
    iteration = outcome.state.iteration
    if outcome.state.soft_since != iteration:
        return
    text = f"soft from iteration {iteration}: particles go to maps by their probabilities"
    LOGGER.info("%s", text)
    run.progress.message(text)


def _write(
    run: Run,
    directory: RunDirectory,
    outcome: Outcome,
    previous: State,
    entries: list[dict[str, Any]],
    watcher: Watcher | None,
) -> None:
    """Write one iteration's files; convergence.json, which says that it is complete, last.

    Only then is its state what a stopped run goes on from: until it is there, the iteration is
    done again from the results of its stages, and writes the same files.
    """
    iteration = outcome.state.iteration
    with stage("write", iteration=iteration) as facts:
        write_projections(run, directory, outcome)
        if outcome.similarity is not None:
            write_similarity(directory.simmx(iteration), outcome.similarity, run.scratch)
        else:
            write_best_matches(directory, iteration, outcome.matches, run.scratch)
            LOGGER.info(
                "simmx_%02d.h5 holds the best matches of each particle only: the full matrix "
                "would exceed 256 MiB, was not searched, or --lowmem does without",
                iteration,
            )
        if outcome.first_stage is not None:
            write_first_stage(run, directory, iteration, outcome.first_stage)
        write_classification(run, directory, outcome)
        write_averages(run, directory, outcome)
        write_maps(run, directory, outcome, previous)
        write_mutual_fsc(run, directory, outcome, ended=entries[-1]["end"] is not None)
        write_halves(run, directory, outcome)
        write_table(run, directory, outcome)
    entries[-1]["seconds"]["write"] = round(float(str(facts["seconds"])), 3)
    write_convergence(directory.convergence, entries)
    # The last one's stays, too: more iterations may be asked for.
    standing = Standing(outcome.state, entries, run.seen, run.plan.references)
    run.checkpoints.save(iteration, "state", standing)
    run.checkpoints.drop_before(iteration)
    _remove_intermediate(run.options.keepfiles, directory, entries)
    _watch(watcher, directory)


def _remove_intermediate(
    kept: KeptFiles, directory: RunDirectory, entries: list[dict[str, Any]]
) -> None:
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


def _tell(run: Run, entry: dict[str, Any]) -> None:
    """Tell the user one line about an iteration."""
    shares = SetCounts.of_entry(entry).written()
    resolutions = "/".join(f"{m['resolution_fsc_0143_ang']:.1f}" for m in entry["maps"])
    changed = entry["fraction_changed_map"]
    moved = "" if changed is None else f", {changed:.1%} changed class"
    seconds = sum(entry["seconds"].values())
    text = (
        f"iteration {entry['iteration']}{_of(run)}: particles {shares}{moved}, "
        f"resolution {resolutions} A, {seconds:.1f} s"
    )
    LOGGER.info("%s", text)
    run.progress.message(text)


def _of(run: Run) -> str:
    return "" if run.options.iter is None else f"/{run.options.iter}"
