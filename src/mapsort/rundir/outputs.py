"""Whether what is to be written has a place, and room on its disk; where a new run may begin."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.rundir.atomic import is_leftover
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.relion_job import is_of_manager
from mapsort.rundir.wording import readable_size


def check_output(path: Path, *reads: Path) -> None:
    """Refuse a file to write that has no directory, is one, or is read."""
    parent = path.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"{path}: there is no directory {parent}")
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory; give a file")
    if path.resolve() in {read.resolve() for read in reads}:
        raise ConfigError(f"{path}: is read and cannot be written over; choose another name")


def existing_parent(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Return what is free on the disk where a path is or will be."""
    return shutil.disk_usage(existing_parent(path)).free


def refuse_full_disk(path: Path, need_bytes: int, *, what: str, hint: str = "") -> None:
    """Refuse what has no room where it is to be written.

    Parameters
    ----------
    path : Path
        Where it will be.
    need_bytes : int
        How much it takes.
    what : str
        What is written, and the option or file that says where, for the message.
    hint : str
        What takes less, for the end of the message.
    """
    free = free_bytes(path)
    if need_bytes > free:
        raise ConfigError(
            f"{what} about {readable_size(need_bytes)} of disk, and {readable_size(free)} are free "
            f"there{hint}"
        )


def check_new_run(path: Path | None) -> None:
    """Refuse a path of a new run that another run or other files are in, or that cannot be written.

    Parameters
    ----------
    path : Path or None
        As of ``--path``; None stands for a new directory in the working directory.
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
