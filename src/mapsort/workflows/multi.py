"""Multi-map refinement: the whole run, from options to a run directory full of results."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from mapsort.engines.background import Background
from mapsort.engines.memory import available_memory_bytes
from mapsort.errors import ConfigError, MapsortError
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log, stage
from mapsort.rundir.manifest import make_manifest, write_manifest
from mapsort.rundir.text import write_convergence
from mapsort.workflows.choices import automatic_choices
from mapsort.workflows.convergence import convergence_entry
from mapsort.workflows.multi_files import (
    assignment_table,
    write_averages,
    write_best_matches,
    write_classification,
    write_first_stage,
    write_maps,
    write_projections,
    write_seeds,
    write_similarity,
    write_table,
)
from mapsort.workflows.multi_inputs import MultiInputs, open_inputs, scan_images
from mapsort.workflows.multi_iteration import iterate, prepare_seeds
from mapsort.workflows.multi_plan import (
    MultiPlan,
    existing_parent,
    plan_lines,
    readable_size,
    resolve,
    run_disk,
    run_memory,
)
from mapsort.workflows.multi_state import Outcome, ParticleSpectra, Run, State
from mapsort.workflows.option_fields import typed_options
from mapsort.workflows.option_types import KeptFiles
from mapsort.workflows.options import MultiOptions
from mapsort.workflows.progress import Progress, SilentProgress
from mapsort.workflows.stopping import reason_to_stop
from mapsort.workflows.symmetry_warnings import symmetry_warnings
from mapsort.workflows.time_estimate import estimated_time

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
    assignments : DataFrame
        One row per particle, RELION columns: class, pose, score, probability.
    convergence : list of dict
        One record per iteration, as in convergence.json.
    """

    path: Path
    maps: tuple[Volume, ...]
    assignments: pd.DataFrame
    convergence: list[dict[str, Any]]


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
        run = Run(options, inputs, plan, shown)
        run = replace(run, spectra_seen=_scan(run))
        estimate = estimated_time(run)
    lines = plan_lines(options, inputs, plan, free_disk=_free_disk(options))
    lines.append(estimate.line(options.n_iterations, at_most=options.iter is None))
    warnings = [*_memory_warnings(options, inputs, plan), *symmetry_warnings(options, inputs)]
    return "\n".join([*lines, *(f"warning: {line}" for line in warnings)])


def _memory_warnings(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> list[str]:
    need = sum(run_memory(options, plan, len(inputs.particles)).values())
    free = available_memory_bytes()
    if free is None or need <= free:
        return []
    hint = "" if options.lowmem else "; --lowmem takes less"
    sizes = f"{readable_size(need)} of memory, {readable_size(free)} are free"
    return [f"the run needs about {sizes}{hint}"]


def _free_disk(options: MultiOptions) -> int:
    return shutil.disk_usage(existing_parent(options.path or Path())).free


def _check_disk(options: MultiOptions, inputs: MultiInputs, plan: MultiPlan) -> None:
    need = run_disk(options, plan, len(inputs.particles))
    free = _free_disk(options)
    if need > free:
        raise ConfigError(
            f"--path={options.path or '.'}: the run needs about {readable_size(need)} of disk, "
            f"and {readable_size(free)} are free there"
        )


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
    inputs = open_inputs(options, particles=particles, volumes=volumes)
    for note in inputs.notes:
        shown.message(note)
    plan = resolve(options, inputs)
    _check_disk(options, inputs, plan)
    run = Run(options, inputs, plan, shown)
    with threadpool_limits(plan.n_threads):
        run = replace(run, spectra_seen=_scan(run))
        power = run.seen.averaged
        directory = _make_directory(options)
        with run_log(directory.log):
            for line in plan_lines(options, inputs, plan, free_disk=_free_disk(options)):
                LOGGER.info("%s", line)
            for line in symmetry_warnings(options, inputs):
                LOGGER.warning("%s", line)
                shown.message(line)
            _write_manifest(run, directory)
            try:
                with stage("prepare seeds"):
                    state = prepare_seeds(run, power)
                    write_seeds(run, directory, state)
                _watch(watcher, directory)
                return _refine(run, directory, state, watcher)
            except MapsortError as error:
                # The log must tell by itself why it ends here.
                LOGGER.error("%s", error)
                _watch(watcher, directory)
                raise


def _scan(run: Run) -> ParticleSpectra:
    """Read every image that the run uses once."""
    inputs, plan = run.inputs, run.plan
    sets = [inputs.particles] + ([] if inputs.filtered is None else [inputs.filtered])
    spectra = [
        scan_images(particles, plan.treatment, plan.chunk, run.progress, plan.n_threads)
        for particles in sets
    ]
    return ParticleSpectra(spectra[0], spectra[-1])


def _watch(watcher: Watcher | None, directory: RunDirectory) -> None:
    if watcher is not None:
        watcher(directory.path)


def _make_directory(options: MultiOptions) -> RunDirectory:
    if options.path is None:
        return RunDirectory.next_free(Path(), prefix="multi", map_suffix=options.map_suffix)
    options.path.mkdir(parents=True, exist_ok=True)
    return RunDirectory(options.path, map_suffix=options.map_suffix)


def _write_manifest(run: Run, directory: RunDirectory) -> None:
    record = run.options.as_record() | {
        "path": str(directory.path),
        "apix": run.inputs.apix,
        "orientgen": run.plan.orientgen,
        "maxshift": run.plan.max_shift,
        "pad": run.plan.map_grid.padded,
        "parallel": f"thread:{run.plan.n_threads}",
        "randomseed": run.plan.seed,
        "sym": [group.name for group in run.plan.symmetries],
    }
    choices = automatic_choices(run.options, run.inputs, run.plan)
    manifest = make_manifest(
        record,
        seed=run.plan.seed,
        inputs=run.inputs.files,
        command=sys.argv,
        choices=[choice.as_record() for choice in choices],
    )
    write_manifest(directory.parms, manifest)


def _refine(run: Run, directory: RunDirectory, state: State, watcher: Watcher | None) -> MultiRun:
    """Iterate; what an iteration found is written while the next one computes."""
    entries: list[dict[str, Any]] = []
    table = run.inputs.particles.table
    outcome: Outcome | None = None
    with Background() as background:
        for _ in range(run.options.n_iterations):
            outcome = iterate(run, state)
            _warn_of_empty_maps(run, outcome)
            entry = convergence_entry(run, state, outcome)
            table = assignment_table(run, outcome.matches, outcome.junk)
            _tell(run, entry)
            entries.append(entry)
            entry["end"] = reason_to_stop(entries, run.options.iter)
            job = partial(_write, run, directory, outcome, state, table, entries[:], watcher)
            background.submit(job)
            state = outcome.state
            if entry["end"] is not None:
                break
    assert outcome is not None, "there is at least one iteration"
    LOGGER.info("%s", entries[-1]["end"])
    if run.options.iter is None:
        run.progress.message(entries[-1]["end"])
    maps = tuple(Volume(volume, run.inputs.apix) for volume in outcome.maps)
    return MultiRun(directory.path, maps, table, entries)


def _warn_of_empty_maps(run: Run, outcome: Outcome) -> None:
    for model in outcome.reseeded:
        text = (
            f"map {model + 1} was dying; it restarts from the particles that the others explain "
            "worst"
        )
        LOGGER.warning("iteration %d: %s", outcome.state.iteration, text)
        run.progress.message(text)
    for model in outcome.empty:
        LOGGER.warning(
            "iteration %d: map %d received no particles; it stays as it was",
            outcome.state.iteration,
            model + 1,
        )
        run.progress.message(f"map {model + 1} received no particles; it stays as it was")


def _write(
    run: Run,
    directory: RunDirectory,
    outcome: Outcome,
    previous: State,
    table: pd.DataFrame,
    entries: list[dict[str, Any]],
    watcher: Watcher | None,
) -> None:
    """Write one iteration's files; convergence.json, which says that it is complete, last."""
    iteration = outcome.state.iteration
    with stage("write", iteration=iteration) as facts:
        write_projections(run, directory, outcome)
        if outcome.similarity is not None:
            write_similarity(directory.simmx(iteration), outcome.similarity)
        else:
            write_best_matches(directory, iteration, outcome.matches)
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
        write_table(run, directory, iteration, table)
    entries[-1]["seconds"]["write"] = round(float(str(facts["seconds"])), 3)
    write_convergence(directory.convergence, entries)
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
    shares = "/".join(str(count) for count in entry["occupancy"])
    resolutions = "/".join(f"{m['resolution_fsc_0143_ang']:.1f}" for m in entry["maps"])
    changed = entry["fraction_changed_map"]
    moved = "" if changed is None else f", {changed:.1%} changed map"
    seconds = sum(entry["seconds"].values())
    text = (
        f"iteration {entry['iteration']}{_of(run)}: particles {shares}{moved}, "
        f"resolution {resolutions} A, {seconds:.1f} s"
    )
    LOGGER.info("%s", text)
    run.progress.message(text)


def _of(run: Run) -> str:
    return "" if run.options.iter is None else f"/{run.options.iter}"


def refine_multi(
    particles: str | Path | Particles,
    models: Sequence[str | Path | Volume],
    *,
    progress: Progress | None = None,
    **options: Any,
) -> MultiRun:
    """Sort particles among maps while refining the maps (the Python face of ``mapsort multi``).

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
