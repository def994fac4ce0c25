"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mapsort.errors import MapsortError

#: In the names of files that are being written.
_MARK = ".tmp"


@contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to; on leaving the block it becomes the final file.

    The temporary file is in the same directory, is flushed to disk, and then replaces the final
    file in one step; the directory is flushed too. A run killed at any moment leaves the old file
    or the new one, never a part.

    Yields
    ------
    Path
        Where to write. It keeps the suffix of ``final``, because writers choose the format by it.

    Raises
    ------
    FileNotFoundError
        The block left no file at the temporary name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with atomic_path(Path(directory) / "fsc.txt") as path:
    ...         _ = path.write_text("0.1 1.0")
    ...     sorted(file.name for file in Path(directory).iterdir())
    ['fsc.txt']
    """
    final = Path(final)
    temporary = final.with_name(f".{final.stem}.{secrets.token_hex(6)}{_MARK}{final.suffix}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(final)
        _flush(final.parent)
    except OSError as error:
        # Writing, unlike opening, does not say which file it was about.
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(final)) from error
    except MapsortError as error:
        if str(temporary) not in str(error):
            raise
        raise type(error)(str(error).replace(str(temporary), str(final))) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether a file's name is one that `atomic_path` gives to what is being written."""
    return path.name.startswith(".") and _MARK in path.name


def remove_leftovers(directory: str | Path) -> None:
    """Remove what a killed process was writing, here and below; nobody may be writing there."""
    for path in Path(directory).rglob(".*"):
        if is_leftover(path):
            path.unlink()


def write_text(final: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; an existing one is replaced."""
    with atomic_path(final) as path:
        path.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    """Wait until a file or directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
