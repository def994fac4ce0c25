"""Single-map refinement: two half-sets kept apart from the start, from options to results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsort.engines.progress import Progress, default_progress
from mapsort.jobs.loop import carried_out, check_disk
from mapsort.jobs.refinement import (
    Entry,
    MultiRun,
    Refinement,
    Watcher,
    final_maps,
    with_seed,
)
from mapsort.jobs.resume import asked_in_python
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.fields import takes_options
from mapsort.options.refine import AUTO, RefineOptions
from mapsort.refinement.choices import Choice, automatic_choices
from mapsort.refinement.halves.iteration import HalvesOutcome, iterate
from mapsort.refinement.halves.start import looked_through, open_halves, prepare_halves
from mapsort.refinement.requirements import plan_lines, symmetry_warnings
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import stage
from mapsort.runfiles.entries import halves_entry
from mapsort.runfiles.maps import write_maps
from mapsort.runfiles.tables import pose_rows, write_table

#: Decisions of the multi-map refinement that this one takes otherwise.
_NOT_HERE = ("--orientgen", "--startres", "mask", "similarity matrix", "--assign")


@dataclass(frozen=True)
class RefinedMap(MultiRun):
    """A finished single-map refinement.

    Attributes
    ----------
    sharpened : Volume
        The map with its amplitudes restored.
    half_maps : tuple of Volume
        Even and odd, unfiltered, not masked.
    mask : Volume
    resolution_ang : float
        Where the corrected FSC of the half maps falls below 0.143.
    """

    sharpened: Volume
    half_maps: tuple[Volume, ...]
    mask: Volume
    resolution_ang: float

    @property
    def map(self) -> Volume:
        """Mean of the half maps, filtered by their FSC, masked."""
        return self.maps[0]


def _resolved(run: Run) -> dict[str, Any]:
    return {"startres": run.policy.start_resolution_ang, "independent_halves": True}


def _choices(run: Run) -> tuple[Choice, ...]:
    """Return the decisions that were left to the program."""
    options = run.policy.asked
    every = automatic_choices(run.options, run.inputs, run.plan)
    chosen = [choice for choice in every if choice.name not in _NOT_HERE]
    if options.startres is None:
        reason = "a quarter of the particle's diameter: its shape, and no detail"
        if options.targetres is not None:
            reason = f"coarse enough beside --targetres {options.targetres:g} A"
        value = f"{run.policy.start_resolution_ang:.1f} A"
        chosen.append(Choice("--startres", value, reason))
    if options.orientgen == AUTO:
        reason = "the step follows the resolution; then about the last poses only"
        chosen.append(Choice("--orientgen", "chosen in each iteration", reason))
    if options.bfactor == AUTO and options.m3dsetsf is None:
        reason = "fitted beyond 10 A where there are shells enough, else none"
        chosen.append(Choice("--bfactor", "chosen in each iteration", reason))
    if options.automask3d is None:
        reason = "a soft envelope about the mean map for the FSC, about each half's own for it"
        chosen.append(Choice("mask", "automatic", reason))
    return tuple(chosen)


def _prepared(run: Run) -> tuple[Run, State]:
    with stage("prepare seeds"):
        return run, prepare_halves(run)


def _line(entry: Entry) -> str:
    """Return how was searched, the resolution, and how far poses turned."""
    step, turn = entry["angular_step_deg"], entry["mean_angle_change_deg"]
    search = "about the last poses" if step is None else f"grid of {step:.1f} degrees"
    turned = "" if turn is None else f", poses turned by {turn:.2f} degrees"
    return f"{search}, resolution {entry['maps'][0]['resolution_fsc_0143_ang']:.2f} A{turned}"


def _write(
    run: Run, directory: RunDirectory, outcome: HalvesOutcome, previous: State, _ended: bool
) -> None:
    """Write one iteration's files."""
    write_maps(run, directory, outcome.rebuilt, previous)
    poses = outcome.state.poses
    assert poses is not None, "there has been an iteration"
    write_table(run, directory, outcome.state.iteration, pose_rows(run, poses))


def _result(
    run: Run, directory: RunDirectory, entries: list[Entry], state: State | None
) -> RefinedMap:
    """Return the finished run, as its files tell."""
    last = len(entries)
    of_last = ("maps", "threed_filt", "threed_even", "threed_odd", "threed_mask")
    paths = [getattr(directory, name)(last, 1) for name in of_last]
    volume, sharpened, even, odd, mask = final_maps(run, paths)
    reached = float(entries[-1]["maps"][0]["resolution_fsc_0143_ang"])
    return RefinedMap(
        directory.path,
        (volume,),
        directory.particles(last),
        entries,
        sharpened,
        (even, odd),
        mask,
        resolution_ang=reached if state is None else state.resolution_ang,
    )


REFINE = Refinement(
    command="refine",
    resolved=_resolved,
    choices=_choices,
    looked_through=looked_through,
    prepared=_prepared,
    iterate=iterate,
    entry=halves_entry,
    line=_line,
    warn=lambda _run, _outcome, _ended: None,
    write=_write,
    result=_result,
    keeps_states=True,
)


def refine_plan_text(options: RefineOptions, *, progress: Progress | None = None) -> str:
    """Check a request as far as can be done without work, and say what it would do."""
    run = open_halves(options, progress or default_progress())
    check_disk(run)
    with thread_limits(run.plan.n_threads):
        run = looked_through(run)
    warnings = [f"warning: {line}" for line in symmetry_warnings(run)]
    return "\n".join([*plan_lines(run, REFINE.command), *warnings])


def refine_run(
    options: RefineOptions,
    *,
    progress: Progress | None = None,
    particles: Particles | None = None,
    volume: Volume | None = None,
    watcher: Watcher | None = None,
) -> RefinedMap:
    """Refine one map by two half-sets of the particles that never meet."""
    shown = progress or default_progress()
    in_files = particles is None and volume is None
    return carried_out(
        # not kept here: the particles' table would stay in memory to the end
        REFINE,
        open_halves(with_seed(options), shown, particles=particles, volume=volume),
        watcher,
        in_files=in_files,
    )


@takes_options(RefineOptions, "input")
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
    return asked_in_python(
        RefineOptions, refine_run, options, progress, particles=particles, model=model
    )
