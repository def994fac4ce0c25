"""What the refinements of several maps and of one differ in; all else is the loop's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pandas as pd

from mapsort.io.star import read_particles
from mapsort.jobs.run_display import run_html
from mapsort.model.volume import Volume
from mapsort.options.abinit import AbinitOptions
from mapsort.options.multi import MultiOptions
from mapsort.options.pca import PcaOptions
from mapsort.options.refine import RefineOptions
from mapsort.refinement.choices import Choice
from mapsort.refinement.classification import ends_soft
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.refinement.stopping import reason_to_stop, reason_to_stop_single
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.result_record import read_results
from mapsort.rundir.verdict_record import Verdict, read_verdict
from mapsort.rundir.wording import counted

Watcher = Callable[[Path], None]
Entry = dict[str, Any]
Asked = TypeVar("Asked", MultiOptions, RefineOptions, PcaOptions, AbinitOptions)

#: Figures of convergence.json that tell how much an iteration has changed.
_CHANGES = (
    "fraction_changed_map",
    "mean_angle_change_deg",
    "mean_shift_change_px",
    "mean_log_likelihood",
)


@dataclass(frozen=True, repr=False)
class MultiRun:
    """A run: finished, or as far as it has come.

    Attributes
    ----------
    path : Path
        The run directory.
    maps : tuple of Volume
        The last iteration's maps, as its files have them.
    particles : Path
        The table of all particles.
    convergence : list of dict
        One record per iteration, as in convergence.json.
    """

    path: Path
    maps: tuple[Volume, ...]
    particles: Path
    convergence: list[Entry]

    @cached_property
    def assignments(self) -> pd.DataFrame:
        """One row per particle, RELION columns: class, pose, score, probability."""
        return read_particles(self.particles)[1]

    @cached_property
    def course(self) -> pd.DataFrame:
        """One row per iteration: particles and resolution [A] of each map, and what changed."""
        rows = [
            {
                "iteration": entry["iteration"],
                **{f"particles_{n}": count for n, count in enumerate(entry["occupancy"], start=1)},
                **{
                    f"resolution_{n}_ang": item["resolution_fsc_0143_ang"]
                    for n, item in enumerate(entry["maps"], start=1)
                },
                **{name: entry[name] for name in _CHANGES},
                "seconds": sum(entry["seconds"].values()),
            }
            for entry in self.convergence
        ]
        return pd.DataFrame(rows).set_index("iteration")

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables of what was done with the run since (split, eotest, crossval ...), by caption."""
        return {
            table.caption: pd.DataFrame(table.rows, columns=list(table.columns))
            for result in read_results(self.path)
            for table in result.tables
        }

    @property
    def verdict(self) -> Verdict | None:
        """What to believe of the run; None while it is at work."""
        return read_verdict(RunDirectory(self.path), len(self.convergence))

    def __repr__(self) -> str:
        state = "not begun"
        if self.convergence:
            end = self.convergence[-1].get("end") or "not ended"
            state = f"{counted(len(self.convergence), 'iteration')}, {end}"
        kind = type(self).__name__
        return f"<{kind} {self.path}: {counted(len(self.maps), 'map')}, {state}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: each map with its share, resolution and slices."""
        return run_html(self.path, self.maps, self.convergence)


class Found(Protocol):
    """What an iteration of any kind of refinement has found."""

    @property
    def state(self) -> State:
        """Input of the next iteration."""


Outcome = TypeVar("Outcome", bound=Found)
Result = TypeVar("Result", bound=MultiRun)


@dataclass(frozen=True)
class Refinement(Generic[Outcome, Result]):
    """What one command's refinement does in its own way."""

    #: Its name, and the beginning of its run directories' names.
    command: str
    #: (run) -> options that it alone resolves, for the record.
    resolved: Callable[[Run], dict[str, Any]]
    #: (run) -> the decisions that were left to the program.
    choices: Callable[[Run], tuple[Choice, ...]]
    #: (run) -> the run, every image having been read once; what is doubtful of them is noted.
    looked_through: Callable[[Run], Run]
    #: (run) -> the run with its starting maps, and the state that they make.
    prepared: Callable[[Run], tuple[Run, State]]
    #: (run, state) -> what an iteration finds.
    iterate: Callable[[Run, State], Outcome]
    #: (run, state before, found) -> the iteration's record for convergence.json.
    entry: Callable[[Run, State, Outcome], Entry]
    #: (entry) -> what a user is told of it, between its number and its seconds.
    line: Callable[[Entry], str]
    #: (run, found, ended) tells what is doubtful about it.
    warn: Callable[[Run, Outcome, bool], None]
    #: (run, directory, found, state before, ended) writes its files.
    write: Callable[[Run, RunDirectory, Outcome, State, bool], None]
    #: (run, directory, entries, last state or None if it had ended before) -> the finished run, as
    #: its files tell.
    result: Callable[[Run, RunDirectory, list[Entry], State | None], Result]
    #: (run, state that it stands at) -> the run as the state has it.
    resumed: Callable[[Run, State], Run] = lambda run, _state: run
    #: (run, last state) -> the state that one more iteration begins with, or None.
    last_word: Callable[[Run, State], State | None] = lambda _run, _state: None
    #: Whether the states of all iterations are kept, to go on from any of them.
    keeps_states: bool = False
    #: Whether the job goes on after the run (`mapsort.jobs.logged_run.rest_of_job`).
    more: bool = False


def with_seed(options: Asked) -> Asked:
    """Return the options with a random seed, drawn when none is given."""
    if options.randomseed is not None:
        return options
    return replace(options, randomseed=int(np.random.SeedSequence().generate_state(1)[0]))


def stops(
    options: MultiOptions | RefineOptions, entries: Sequence[Entry], since: int
) -> str | None:
    """Return why a run with these options is over; see `mapsort.refinement.stopping`."""
    if isinstance(options, RefineOptions):
        return reason_to_stop_single(entries, options.iter, since=since)
    return reason_to_stop(entries, options.iter, ends_soft=ends_soft(options), since=since)


def final_maps(run: Run, paths: Sequence[Path]) -> tuple[Volume, ...]:
    """Return maps that a run has written, with the particles' pixel size as they have it."""
    return tuple(Volume(Volume.open(path).data, run.inputs.apix) for path in paths)
