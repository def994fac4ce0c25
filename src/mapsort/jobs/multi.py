"""Multi-map refinement: the whole run, from options to a run directory full of results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.engines.allocation import give_back_freed_memory
from mapsort.engines.memory import available_memory
from mapsort.engines.progress import Progress, SilentProgress, warn
from mapsort.jobs.cluster import engine_for
from mapsort.jobs.loop import MultiRun, Watcher, carried_out, looked_through
from mapsort.jobs.resume import record_going_on, resumed_options
from mapsort.jobs.run_place import at_home
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.choices import automatic_choices
from mapsort.refinement.inputs import MultiInputs, open_inputs
from mapsort.refinement.plan import MultiPlan, resolve
from mapsort.refinement.requirements import (
    plan_lines,
    run_disk,
    run_memory,
)
from mapsort.refinement.run import Run
from mapsort.refinement.symmetry_warnings import symmetry_warnings
from mapsort.refinement.time_estimate import estimated_time
from mapsort.rundir.atomic import remove_leftovers
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import make_manifest, write_manifest
from mapsort.rundir.outputs import existing_parent, free_bytes, refuse_full_disk
from mapsort.rundir.run_lock import run_lock
from mapsort.rundir.scratch import Scratch
from mapsort.rundir.text import read_convergence
from mapsort.rundir.wording import readable_size

__all__ = ["MultiRun", "Watcher", "plan_text", "refine_multi", "refine_multi_run"]


def plan_text(options: MultiOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do.

    Raises
    ------
    FormatError, ConfigError
        What is wrong with the request or its input.
    """
    shown = progress if progress is not None else SilentProgress()
    inputs = open_inputs(options)
    plan = resolve(options, inputs)
    _check_disk(options, inputs, plan)
    with threadpool_limits(plan.n_threads):
        run = looked_through(Run(options, inputs, plan, shown))
        estimate = estimated_time(run)
    lines = plan_lines(options, run.inputs, plan, free_disk=free_bytes(options.path or Path()))
    lines.append(estimate.line(options.n_iterations, at_most=options.iter is None))
    warnings = [*_memory_warnings(options, inputs, plan), *symmetry_warnings(options, inputs)]
    return "\n".join([*lines, *(f"warning: {line}" for line in warnings)])


def _memory_warnings(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> list[str]:
    need = sum(run_memory(options, plan, len(inputs.particles)).values())
    free = available_memory()
    if need <= free:
        return []
    hint = "" if options.lowmem else "; --lowmem takes less"
    sizes = f"{readable_size(need)} of memory, {readable_size(free)} are free"
    return [f"the run needs about {sizes}{hint}"]


def _check_disk(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> None:
    place, need = options.path or Path(), run_disk(options, plan, len(inputs.particles))
    refuse_full_disk(place, need, what=f"--path={place}: the run needs")


def refine_multi_run(
    options: MultiOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    volumes: Sequence[Volume] | None = None,
    watcher: Watcher | None = None,
) -> MultiRun:
    """Sort particles among maps while refining the maps.

    Parameters
    ----------
    options : MultiOptions
    progress : Progress, optional
        Told of every stage; may raise Interrupted between chunks.
    particles, volumes : optional
        Objects to use in place of ``options.input`` and ``options.models``.
    watcher : callable, optional
        Called with the run directory when the seeds and when each iteration has been written, and
        when the run fails; the report is made this way.

    Raises
    ------
    FormatError, ConfigError
        Before any work: what is wrong with the request or its input.
    NumericalError
        When the computation cannot go on.
    """
    shown = progress if progress is not None else SilentProgress()
    options = with_seed(options)
    inputs = open_inputs(options, particles=particles, volumes=volumes)
    for note in inputs.notes:
        warn(shown, note)
    plan = resolve(options, inputs)
    if options.resume is None:
        _check_disk(options, inputs, plan)
    in_files = particles is None and volumes is None
    give_back_freed_memory()
    scratch = Scratch(existing_parent(options.path or Path()))
    inputs = inputs.in_scratch(scratch)
    with threadpool_limits(plan.n_threads), engine_for(options, inputs) as engine:
        run = Run(options, inputs, plan, shown, scratch=scratch, engine=engine)
        if options.resume is not None:
            directory = RunDirectory(options.resume, map_suffix=options.map_suffix)
            with run_lock(directory.lock) as killed:
                remove_leftovers(directory.path)
                _record_going_on(run, directory)
                return carried_out(run, directory, watcher, killed=killed)
        run = looked_through(run)
        directory = _make_directory(options)
        with run_lock(directory.lock):
            _write_manifest(run, directory, in_files=in_files)
            return carried_out(run, directory, watcher)


def with_seed(options: MultiOptions) -> MultiOptions:
    """Return the options with a random seed, drawn when none is given."""
    if options.randomseed is not None:
        return options
    return replace(options, randomseed=int(np.random.SeedSequence().generate_state(1)[0]))


def _make_directory(options: MultiOptions) -> RunDirectory:
    if options.path is None:
        return RunDirectory.next_free(Path(), prefix="multi", map_suffix=options.map_suffix)
    options.path.mkdir(parents=True, exist_ok=True)
    return RunDirectory(options.path, map_suffix=options.map_suffix)


def _record_going_on(run: Run, directory: RunDirectory) -> None:
    n_done = len(read_convergence(directory.convergence))
    record = _resolved_record(run, directory)
    if record_going_on(directory, record, run.options.as_record(), n_done=n_done):
        Checkpoints(directory.checkpoint).drop_stages()


def _resolved_record(run: Run, directory: RunDirectory) -> dict[str, Any]:
    return run.options.as_record() | {
        "path": str(directory.path),
        "apix": run.inputs.apix,
        "orientgen": run.plan.orientgen,
        "maxshift": run.plan.max_shift,
        "pad": run.plan.map_grid.padded,
        "parallel": run.options.parallel if run.engine else f"thread:{run.plan.n_threads}",
        "randomseed": run.plan.seed,
        "sym": [group.name for group in run.plan.symmetries],
    }


def _write_manifest(run: Run, directory: RunDirectory, *, in_files: bool) -> None:
    record = _resolved_record(run, directory)
    choices = automatic_choices(run.options, run.inputs, run.plan)
    manifest = make_manifest(
        record,
        seed=run.plan.seed,
        inputs=run.inputs.files,
        command=sys.argv,
        choices=[choice.as_record() for choice in choices],
        asked=run.options.as_record() if in_files else None,
    )
    write_manifest(directory.parms, manifest)


def refine_multi(
    particles: str | Path | Particles,
    models: Sequence[str | Path | Volume],
    *,
    progress: Progress | None = None,
    **options: Any,
) -> MultiRun:
    """Classify particles and refine the maps they are compared with (``mapsort multi`` in Python).

    Parameters
    ----------
    particles : str, Path or Particles
    models : sequence of str, Path or Volume
        Starting maps, one per class.
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
    given = [m if isinstance(m, Volume) else None for m in models]
    paths = tuple(
        Path(f"map-{number}") if isinstance(m, Volume) else Path(m)
        for number, m in enumerate(models, start=1)
    )
    source = particles.source if isinstance(particles, Particles) else Path(particles)
    request = typed_options(MultiOptions, {"input": source, "models": paths} | options)
    if request.resume is not None:
        with at_home(request.resume) as resume:
            asked = {name: getattr(request, name) for name in options} | {"resume": resume}
            return refine_multi_run(resumed_options(asked), progress=progress)
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
