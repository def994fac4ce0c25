"""A run that has begun: its log, progress and checkpoints, and how it ends, in its directory."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mapsort.engines.progress import warn
from mapsort.errors import FormatError, Interrupted, MapsortError, RunError
from mapsort.jobs.refinement import Watcher
from mapsort.options.fields import Options
from mapsort.refinement.requirements import plan_lines, symmetry_warnings
from mapsort.refinement.run import Run
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.relion_job import JobEnd, clear_ends, mark_end
from mapsort.rundir.run_lock import LockHolder
from mapsort.runfiles.input_watch import InputWatch
from mapsort.runfiles.progress_file import ProgressFile
from mapsort.runfiles.relion_files import write_job

LOGGER = logging.getLogger(__name__)

#: Begins the line of an error that tells the way on.
_GO_ON = "to continue:"


@contextmanager
def logged(
    command: str,
    asked: Options,
    run: Run,
    directory: RunDirectory,
    watcher: Watcher | None,
    *,
    killed: LockHolder | None = None,
    more: bool = False,
) -> Iterator[tuple[Run, ProgressFile]]:
    """Give a run that tells and keeps what it does in its directory, and its progress file.

    Parameters
    ----------
    command : str
        That of ``mapsort`` which goes on with it.
    asked : Options
        As the user has given them.
    killed : LockHolder, optional
        The process that was killed in this run.
    more : bool
        Whether the job goes on after the run: see `rest_of_job`.

    Raises
    ------
    Interrupted, RunError, MapsortError
        What ended the work in the block, with the way to go on.
    """
    json_log = directory.log_json if run.options.log_json else None
    with run_log(directory.log, json_path=json_log):
        told = ProgressFile(run.execution.progress, directory.progress)
        inputs = InputWatch(read_manifest(directory.parms).inputs)
        kept = Checkpoints(directory.checkpoint, inputs.check, run.execution.scratch)
        run = replace(run, execution=replace(run.execution, progress=told, checkpoints=kept))
        clear_ends(directory.path)
        write_job(command, asked, directory)
        try:
            for line in plan_lines(run, command):
                LOGGER.info("%s", line)
            for line in symmetry_warnings(run):
                LOGGER.warning("%s", line)
                warn(told, line)
            if killed is not None:
                LOGGER.warning("process %d on %s was killed in this run", killed.pid, killed.host)
            yield run, told
        except (MapsortError, OSError) as error:
            ended = _ending(error, directory, command)
            # A signal is no error.
            level = logging.INFO if isinstance(ended, Interrupted) else logging.ERROR
            LOGGER.log(level, "%s", ended)
            _tell_the_end(told, ended, directory)
            watch(watcher, directory)
            raise ended from error
        if not more:
            mark_end(directory.path, JobEnd.SUCCESS)


@contextmanager
def rest_of_job(command: str, path: Path) -> Iterator[None]:
    """Do what a job has to do after its run; at the end of the block its directory says so.

    An error tells how to go on with the job, not with the part in which it came.
    """
    try:
        yield
    except (MapsortError, OSError) as error:
        stopped = isinstance(error, Interrupted)
        mark_end(path, JobEnd.ABORTED if stopped else JobEnd.FAILURE)
        if not (stopped or _GO_ON in str(error)):
            raise
        words = str(error).partition(_GO_ON)[0].rstrip()
        raise type(error)(f"{words}\n{_how_to_go_on(command, path)}") from error
    mark_end(path, JobEnd.SUCCESS)


def _tell_the_end(told: ProgressFile, ended: MapsortError, directory: RunDirectory) -> None:
    stopped = isinstance(ended, Interrupted)
    try:
        told.end("interrupted" if stopped else "failed", str(ended))
        mark_end(directory.path, JobEnd.ABORTED if stopped else JobEnd.FAILURE)
    except OSError as error:
        # The disk that ended the run may not take this either; what ended it must come out.
        LOGGER.error("progress.json does not tell the end: %s", error)


def _ending(error: MapsortError | OSError, directory: RunDirectory, command: str) -> MapsortError:
    """Return what ends a run that had begun, with the way to go on."""
    how = _how_to_go_on(command, directory.path)
    if isinstance(error, Interrupted):
        return Interrupted(f"{error}\n{how}")
    if isinstance(error, OSError) and not isinstance(error, MapsortError):
        what = error.strerror or str(error)
        return RunError(f"{error.filename}: {what}\n{how}" if error.filename else f"{what}\n{how}")
    if isinstance(error, FormatError | RunError):
        return RunError(f"{error}\n{how}")
    return error


def _how_to_go_on(command: str, path: Path) -> str:
    return f"{_GO_ON} mapsort {command} --resume {shlex.quote(str(path))}"


def watch(watcher: Watcher | None, directory: RunDirectory) -> None:
    """Let a watcher see the run directory as it is now."""
    if watcher is not None:
        watcher(directory.path)
