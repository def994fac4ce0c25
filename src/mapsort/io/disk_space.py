"""Disk space for HDF5 files, reserved before the library writes.

The HDF5 library does not survive a full disk: it keeps what could not be written, tries again when
the file is closed, and ends the process. Space that is reserved cannot run out.
"""

from __future__ import annotations

import os
from pathlib import Path

_STEP = 1 << 20


class DiskSpace:
    """Space of one file that another library writes; the file must be there.

    Parameters
    ----------
    path : str or Path
        The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._reserved = 0

    @classmethod
    def check(cls, path: str | Path, size_bytes: int) -> None:
        """Find out whether a file of this size can be made; it is left there, empty.

        Raises
        ------
        OSError
            The disk is full.
        """
        Path(path).write_bytes(b"")
        try:
            cls(path).reach(size_bytes)
        finally:
            os.truncate(path, 0)

    def reach(self, size_bytes: int) -> None:
        """Reserve the file's blocks up to a size that it may grow to, and some more.

        Raises
        ------
        OSError
            The disk is full.
        """
        # Not every system can: there the library meets the full disk itself.
        if size_bytes <= self._reserved or not hasattr(os, "posix_fallocate"):
            return
        size = (size_bytes // _STEP + 1) * _STEP
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, self._reserved, size - self._reserved)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        finally:
            os.close(descriptor)
        self._reserved = size

    def release_from(self, size_bytes: int) -> None:
        """Give back what lies beyond the size that the file has come to."""
        if self._path.stat().st_size > size_bytes:
            os.truncate(self._path, size_bytes)
