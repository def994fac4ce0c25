"""Where a new run may be written."""

from __future__ import annotations

import os
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.rundir.atomic import is_leftover
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.relion_job import is_of_manager


def check_new_run(path: Path | None) -> None:
    """Refuse a path of a new run that another run or other files are in, or that cannot be written.

    Parameters
    ----------
    path : Path or None
        As of ``--path``; None stands for a new directory in the working directory.

    Raises
    ------
    ConfigError
        Naming the option and what is there.
    """
    if path is None:
        check_writable(Path.cwd(), "the working directory")
        return
    if not os.path.lexists(path):
        check_writable(_nearest_existing(path), f"--path={path}")
        return
    if not path.is_dir():
        raise ConfigError(f"--path={path}: is a file; give a directory")
    if RunDirectory(path).parms.exists():
        raise ConfigError(
            f"--path={path}: holds a run already; give another directory, or go on with that "
            "run by --resume"
        )
    lock = RunDirectory(path).lock
    # What a run that was killed before its first file leaves is no reason to refuse, nor what
    # RELION puts there for a job.
    known = (
        entry == lock or is_leftover(entry) or is_of_manager(entry) for entry in path.iterdir()
    )
    if not all(known):
        raise ConfigError(f"--path={path}: is not empty; give a new or empty directory")
    check_writable(path, f"--path={path}")


def check_writable(directory: Path, words: str) -> None:
    """Refuse, beginning with ``words``, what is no directory or may not be written in."""
    if not directory.is_dir():
        raise ConfigError(f"{words}: {directory} is not a directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{words}: no permission to write in {directory}")


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if os.path.lexists(parent))
