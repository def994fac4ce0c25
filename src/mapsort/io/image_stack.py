"""Stacks of images whatever their format: what they can do, which file is which, which are open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mapsort.array_types import Float32, Int64
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfStack
from mapsort.io.mrc_stack import MrcStack

#: MRC files by what they hold: images (``.st`` of tilt series and negative stains), or a map.
MRC_SUFFIXES = (".mrcs", ".mrc", ".st", ".map")
MRC_MAP_SUFFIXES = (".mrc", ".map", ".mrcs", ".ccp4", ".rec")
#: Of stacks and of maps.
ANY_MRC_SUFFIXES = tuple(dict.fromkeys((*MRC_MAP_SUFFIXES, *MRC_SUFFIXES)))
HDF_SUFFIXES = (".hdf", ".hdf5", ".h5")


class ImageStack(Protocol):
    """Images of one size in a file.

    Attributes
    ----------
    path : Path
    n_images : int
    box : tuple of int
        Size of an image (ny, nx) [pixel].
    note : str or None
        What is odd about the file, in words.
    """

    path: Path
    n_images: int
    box: tuple[int, int]
    note: str | None

    @property
    def stated_apix(self) -> float | None:
        """Pixel size [A/pixel] that the file states, None when it states none."""

    def read_into(
        self, images: Float32, indices: Int64, *, inspect: Callable[[Float32], None] | None = None
    ) -> None:
        """Fill ``images`` (n, ny, nx) float32 in the order of ``indices``, without a look at them.

        ``inspect`` is given every part of them when it has been read and is in the processor's
        cache.
        """


def open_stack(path: Path) -> ImageStack:
    """Open a stack: EMAN2 ``.hdf``, or MRC, which recognises its own files."""
    refuse_bdb(str(path), path)
    return HdfStack(path) if path.suffix.lower() in HDF_SUFFIXES else MrcStack(path)


def refuse_bdb(name: str, place: str | Path) -> None:
    """Refuse EMAN2's old data bases with the way out of them.

    Raises
    ------
    FormatError
        The name begins with ``bdb:``.
    """
    if name.startswith("bdb:"):
        raise FormatError(
            f"{place}: {name} is an EMAN2 bdb: data base, which is not read. "
            f"Convert it with EMAN2 first: e2proc2d.py {name} particles.hdf"
        )


class OpenStacks:
    """Keeps the stacks used last open, at most ``limit`` of them.

    A data set may lie in ten thousand files, and a process may open about a thousand. Pickling
    takes the limit along and no files.

    Parameters
    ----------
    limit : int, optional
        Largest number of open stacks.

    Raises
    ------
    ValueError
        The limit is less than one.
    """

    def __init__(self, limit: int = 64) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1, got {limit}")
        self._limit = limit
        self._stacks: OrderedDict[Path, ImageStack] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[OpenStacks], tuple[int]]:
        return OpenStacks, (self._limit,)

    def __len__(self) -> int:
        return len(self._stacks)

    def get(self, path: Path) -> ImageStack:
        """Return a stack, opening it if need be and forgetting the one not used for longest.

        It stays usable for who holds it, also after it was forgotten here.
        """
        with self._lock:
            stack = self._stacks.get(path)
            if stack is None:
                stack = open_stack(path)
                self._stacks[path] = stack
            self._stacks.move_to_end(path)
            while len(self._stacks) > self._limit:
                self._stacks.popitem(last=False)
            return stack
