"""Multi-map refinement: the whole run, from options to a run directory full of results."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.engines.resources import available_memory
from mapsort.errors import ConfigError
from mapsort.jobs.control import controlled
from mapsort.jobs.last_word import judged_by_others
from mapsort.jobs.logged_run import rest_of_job
from mapsort.jobs.loop import carried_out, check_disk
from mapsort.jobs.one_map import of_found_number, refuse_too_few
from mapsort.jobs.refinement import (
    Entry,
    MultiRun,
    Refinement,
    Watcher,
    final_maps,
    with_seed,
)
from mapsort.jobs.regions import posed, sorted_by_regions
from mapsort.jobs.replicates import replicated
from mapsort.jobs.resume import going_on
from mapsort.jobs.starts import prepared
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import refuse, takes_options, typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.choices import automatic_choices, of_smaller_box
from mapsort.refinement.contrast import tried_contrast, tried_moves
from mapsort.refinement.execution import Execution
from mapsort.refinement.half_maps import warn_of_exchanged_maps
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.iteration import Outcome, iterate, scanned
from mapsort.refinement.plan import resolve
from mapsort.refinement.requirements import plan_lines, run_memory, symmetry_warnings
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.refinement.suspect_images import Fingerprints
from mapsort.refinement.time_estimate import estimated_time
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.wording import readable_size
from mapsort.runfiles.entries import convergence_entry
from mapsort.runfiles.maps import write_averages, write_maps, write_mutual_fsc, write_projections
from mapsort.runfiles.matrices import (
    write_best_matches,
    write_classification,
    write_first_stage,
    write_similarity,
)
from mapsort.runfiles.tables import assignment_rows, write_table

__all__ = ["MultiRun", "Watcher", "plan_text", "refine_multi", "refine_multi_run"]

LOGGER = logging.getLogger(__name__)


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
        warn(run.execution.progress, note)
    notes = run.inputs.notes + found
    return replace(
        run, inputs=replace(run.inputs, seeds=seeds, notes=notes, contrast=contrast.finding)
    )


def _line(entry: Entry) -> str:
    """Return the particles of each map, how many changed map, and the resolutions."""
    resolutions = "/".join(f"{m['resolution_fsc_0143_ang']:.1f}" for m in entry["maps"])
    changed = entry["fraction_changed_map"]
    moved = "" if changed is None else f", {changed:.1%} changed class"
    shares = SetCounts.of_entry(entry).written()
    return f"particles {shares}{moved}, resolution {resolutions} A"


def _warn(run: Run, outcome: Outcome, ended: bool) -> None:
    """Tell of empty maps, of the change to probabilities, and of halves that differ."""
    iteration = outcome.state.iteration
    for model in outcome.classes.reseeded:
        text = (
            f"class {model + 1} was nearly empty and has been re-seeded from the worst-fitting "
            "particles"
        )
        LOGGER.warning("iteration %d: %s", iteration, text)
        warn(run.execution.progress, text)
    for model in outcome.rebuilt.empty:
        text = f"map {model + 1} received no particles; it stays as it was"
        LOGGER.warning("iteration %d: %s", iteration, text)
        warn(run.execution.progress, text)
    if outcome.state.soft_since == iteration:
        # This moves figures by itself.
        text = f"soft from iteration {iteration}: particles go to maps by their probabilities"
        LOGGER.info("%s", text)
        run.execution.progress.message(text)
    if ended and outcome.rebuilt.halves is not None:
        warn_of_exchanged_maps(run, outcome.rebuilt.halves)


def _write(
    run: Run, directory: RunDirectory, outcome: Outcome, previous: State, ended: bool
) -> None:
    """Write one iteration's files."""
    iteration, found = outcome.state.iteration, outcome.found
    write_projections(run, directory, outcome)
    if found.similarity is not None:
        write_similarity(directory.simmx(iteration), found.similarity, run.execution.scratch)
    else:
        write_best_matches(directory, iteration, outcome.averaged.matches, run.execution.scratch)
        LOGGER.info(
            "simmx_%02d.h5 holds the best matches of each particle only: the full matrix "
            "would exceed 256 MiB, was not searched, or --lowmem does without",
            iteration,
        )
    if found.first_stage is not None:
        write_first_stage(run, directory, iteration, found.first_stage)
    write_classification(run, directory, outcome)
    write_averages(run, directory, outcome)
    write_maps(run, directory, outcome.rebuilt, previous)
    write_mutual_fsc(run, directory, outcome, ended=ended)
    write_table(run, directory, iteration, assignment_rows(run, outcome))


def _result(
    run: Run, directory: RunDirectory, entries: list[Entry], _state: State | None
) -> MultiRun:
    """Return the finished run, as its files tell."""
    last = len(entries)
    paths = [directory.maps(last, model + 1) for model in range(run.plan.n_models)]
    return MultiRun(directory.path, final_maps(run, paths), directory.particles(last), entries)


MULTI = Refinement(
    command="multi",
    resolved=lambda run: {"orientgen": run.plan.orientgen},
    choices=lambda run: automatic_choices(run.options, run.inputs, run.plan),
    looked_through=looked_through,
    prepared=prepared,
    iterate=iterate,
    entry=convergence_entry,
    line=_line,
    warn=_warn,
    write=_write,
    result=_result,
    resumed=lambda run, state: of_found_number(run, state.known),
    last_word=judged_by_others,
)


def plan_text(options: MultiOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do."""
    run = opened(options, progress)
    check_disk(run)
    memory = _memory_warnings(run)
    if len(options.mask) > 1:
        run = posed(run)
    with thread_limits(run.plan.n_threads):
        run = looked_through(run)
        estimate = estimated_time(run)
    lines = plan_lines(run, MULTI.command)
    lines.append(estimate.line(options.n_iterations, at_most=options.iter is None))
    if (words := of_smaller_box(run.options, run.inputs)) is not None:
        lines.append(f"cheaper: {words}")
    warnings = [*memory, *symmetry_warnings(run)]
    return "\n".join([*lines, *(f"warning: {line}" for line in warnings)])


def opened(
    options: MultiOptions,
    progress: Progress | None,
    particles: Particles | None = None,
    volumes: Sequence[Volume] | None = None,
) -> Run:
    """Return the run that a request leads to: its files opened and checked, its plan made."""
    if options.replicates > 1 and options.usefilt is not None:
        words = "1 with --usefilt: replicates see some of the particles only"
        raise refuse("replicates", options.replicates, words)
    if options.control and options.usefilt is not None:
        raise ConfigError("--control: makes no twin of the filtered particles of --usefilt")
    inputs = open_inputs(options, particles=particles, volumes=volumes)
    refuse_too_few(options, len(inputs.particles))
    shown = progress or default_progress()
    return Run(options, inputs, resolve(options, inputs), Execution(shown))


def _memory_warnings(run: Run) -> list[str]:
    need, free = sum(run_memory(run).values()), available_memory()
    if need <= free:
        return []
    hint = "" if run.options.lowmem else "; --lowmem takes less"
    sizes = f"{readable_size(need)} of memory, {readable_size(free)} are free"
    return [f"the run needs about {sizes}{hint}"]


def refine_multi_run(
    options: MultiOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    volumes: Sequence[Volume] | None = None,
    watcher: Watcher | None = None,
) -> MultiRun:
    """Sort particles among maps while refining the maps."""
    options = with_seed(options)
    in_files = particles is None and volumes is None
    regions = len(options.mask) > 1
    several = len(options.models) > 1 and options.replicates > 1
    if not (regions or several or options.control):
        # Nothing here keeps the opened run: its particles' table would stay in memory to the end.
        return carried_out(
            MULTI, opened(options, progress, particles, volumes), watcher, in_files=in_files
        )
    run = opened(options, progress, particles, volumes)
    begun = posed(run) if regions else run
    finished = carried_out(replace(MULTI, more=True), begun, watcher, in_files=in_files)

    def again(asked: MultiOptions, some: Particles | None = None) -> MultiRun:
        return refine_multi_run(asked, progress=progress, particles=some, volumes=volumes)

    def watched(asked: MultiOptions) -> MultiRun:
        return refine_multi_run(asked, progress=progress, volumes=volumes, watcher=watcher)

    with rest_of_job(MULTI.command, finished.path):
        if regions:
            copies = run.inputs.halves.has_copies
            sorted_by_regions(finished, options, watched, copies=copies)
        else:
            if several:
                replicated(finished, options, run.inputs.particles, again)
            if options.control:
                controlled(run, finished, again)
    if watcher is not None:
        watcher(finished.path)
    return finished


@takes_options(MultiOptions, "input")
def refine_multi(
    particles: str | Path | Particles,
    models: Sequence[str | Path | Volume] | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> MultiRun:
    """Classify particles and refine the maps they are compared with (``mapsort multi`` in Python).

    Parameters
    ----------
    particles : str, Path or Particles
    models : sequence of str, Path or Volume, optional
        Starting maps, one per class; by default ``nmodels`` maps are made of the particles.
    progress : Progress, optional
    **options
        Any option of ``mapsort multi`` by its name, for example ``iter=4, sym=("d7", "c7")``; text
        is read as on the command line, ``sym="d7,c7"``.

    Returns
    -------
    MultiRun
        ``.maps``, ``.assignments``, ``.convergence``, ``.path``.

    Raises
    ------
    ConfigError, FormatError
        Before any work.
    """
    if models is not None and not (len(models) or options.keys() & {"model", "resume"}):
        raise ConfigError("--models is empty: give maps, or leave it out")
    models = models or ()
    given = [m if isinstance(m, Volume) else None for m in models]
    paths = tuple(
        Path(f"map-{number}") if isinstance(m, Volume) else Path(m)
        for number, m in enumerate(models, start=1)
    )
    source = particles.source if isinstance(particles, Particles) else Path(particles)
    request = typed_options(MultiOptions, {"input": source, "models": paths} | options)
    if request.resume is not None:
        with going_on(MultiOptions, {name: getattr(request, name) for name in options}) as begun:
            return refine_multi_run(begun, progress=progress)
    request = request.validated()
    volumes = None
    if any(given):
        volumes = [
            v if v is not None else Volume.open(path, default_apix=request.apix)
            for v, path in zip(given, paths, strict=True)
        ]
    return refine_multi_run(
        request,
        progress=progress,
        particles=particles if isinstance(particles, Particles) else None,
        volumes=volumes,
    )
