"""Carry out a search whose result is one whole, without iterations: ``pca`` and ``abinit``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from mapsort.jobs.logged_run import logged, watch
from mapsort.jobs.loop import at_work, make_directory
from mapsort.jobs.multi import looked_through
from mapsort.jobs.refinement import Asked, Watcher
from mapsort.refinement.run import Run
from mapsort.rundir.atomic import remove_leftovers
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import make_manifest, write_manifest
from mapsort.rundir.run_lock import run_lock


class Told(Protocol):
    """What a search has found."""

    @property
    def words(self) -> str:
        """It in a sentence."""


Made = TypeVar("Made", bound=Told)


def searched(
    command: str,
    asked: Asked,
    run: Run,
    search: Callable[[Asked, Run, RunDirectory], Made],
    watcher: Watcher | None,
    *,
    in_files: bool,
    resolved: dict[str, Any],
) -> Made:
    """Carry out a search that has been opened, in a directory of its own or that of ``--resume``.

    Parameters
    ----------
    asked : Options
        As the user has given them, and the seed.
    search : callable
        Finds and writes the result.
    in_files : bool
        Whether particles and map are in files, so that the search can be resumed.
    resolved : dict
        Options of this command that the program has chosen.
    """
    with at_work(run) as run:
        run = looked_through(run)
        resumed = asked.resume
        directory = RunDirectory(resumed) if resumed else make_directory(command, run.options)
        with run_lock(directory.lock) as killed:
            if resumed:
                remove_leftovers(directory.path)
            else:
                chosen = {
                    "command": command,
                    "path": str(directory.path),
                    "apix": run.inputs.particles.stored_apix,
                    "maxshift": run.plan.max_shift,
                }
                manifest = make_manifest(
                    asked.as_record() | chosen | resolved,
                    seed=run.plan.seed,
                    inputs=run.inputs.files,
                    command=sys.argv,
                    asked=asked.as_record() if in_files else None,
                )
                write_manifest(directory.parms, manifest)
            with logged(command, asked, run, directory, watcher, killed=killed) as (run, told):
                made = search(asked, run, directory)
                told.finish_run(made.words, iteration=0, n_iterations=0)
            watch(watcher, directory)
    return made
