"""Maps and images to be pictured, from their files: for the report and ``mapsort show``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.mrc import read_map
from mapsort.io.mrc_header import read_header
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.particle_files import CRYOSPARC_SUFFIX, LIST_SUFFIXES, STAR_SUFFIX
from mapsort.model.particles import Particles

_TABLES = (STAR_SUFFIX, CRYOSPARC_SUFFIX, *LIST_SUFFIXES)


def read_volume(path: Path) -> npt.NDArray[np.float32]:
    """Read a map's densities (z, y, x).

    Raises
    ------
    FormatError
        The file is missing, damaged or not a map.
    """
    if path.suffix.lower() in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            data = reader.image(0)
    else:
        data, _ = read_map(path)
    if data.ndim != 3:
        raise FormatError(f"{path}: not a map: its first image has {data.ndim} dimensions.")
    return data


def read_stack(path: Path, first: int, count: int) -> npt.NDArray[np.float32]:
    """Read at most ``count`` images of a stack or table from number ``first`` (from 0) on.

    Raises
    ------
    FormatError
        The file is missing, damaged or has no such image.
    """
    if path.suffix.lower() in _TABLES:
        particles = Particles.open(path)
        if first >= len(particles):
            raise FormatError(f"{path}: holds {len(particles)} particles; {first} is not there.")
        return particles.images(slice(first, first + count))
    if path.suffix.lower() in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            last = min(first + count, reader.n_images)
            return reader.images(range(first, max(last, first + 1)))
    stack = MrcStack(path)
    return stack.read(np.arange(first, max(min(first + count, stack.n_images), first + 1)))


def is_map(path: Path) -> bool:
    """Return whether a file holds a map rather than a stack of images.

    An MRC file says so in its header (space group); where it does not, a cube is a map unless its
    name ends in .mrcs or .st. An HDF file is a map when its only image has three dimensions.
    """
    if path.suffix.lower() in _TABLES:
        return False
    if path.suffix.lower() in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            return reader.n_images == 1 and reader.image(0).ndim == 3
    header = read_header(path)
    return path.suffix.lower() not in (".mrcs", ".st") and header.nx == header.ny == header.nz
