"""Whether what is to be written has a place, and room on its disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.rundir.wording import readable_size


def check_output(path: Path, *reads: Path) -> None:
    """Refuse a file to write that has no directory, is one, or is read.

    Raises
    ------
    ConfigError
        Naming the file, and what is wrong with it.
    """
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

    Raises
    ------
    ConfigError
        Naming the need and what is free.
    """
    free = free_bytes(path)
    if need_bytes > free:
        raise ConfigError(
            f"{what} about {readable_size(need_bytes)} of disk, and {readable_size(free)} are free "
            f"there{hint}"
        )
