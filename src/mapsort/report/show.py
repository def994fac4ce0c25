"""Picture a map or stack as PNG on demand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mapsort.io.png import (
    Grey,
    central_slices,
    grey,
    grey_range,
    montage,
    png,
    projections,
    shrunk,
)
from mapsort.report.pictures import is_map, read_stack, read_volume
from mapsort.rundir.atomic import atomic_path


def show(
    source: str | Path, output: str | Path, *, first: int = 0, count: int = 100, size: int = 256
) -> str:
    """Write a picture of a map or an image stack.

    A map is shown as three central slices (perpendicular to z, y and x, one grey scale) above its
    projections along these axes; a stack as a montage, row by row from the top left.

    Parameters
    ----------
    source : str or Path
        Map or stack: MRC or EMAN2 HDF.
    output : str or Path
        PNG to write, whole or not at all.
    first, count : int
        Images of a stack that are shown: from ``first`` (from 0), at most ``count``.
    size : int
        Images larger than this are averaged down [pixel].

    Returns
    -------
    str
        What the picture shows, in words.

    Raises
    ------
    FormatError
        The file cannot be read, or the stack has no image ``first``.
    """
    source = Path(source)
    if is_map(source):
        volume = read_volume(source)
        cut = central_slices(volume)
        limits = grey_range(np.concatenate([image.ravel() for image in cut]))
        pictures = [grey(image, limits) for image in cut]
        pictures += [grey(image) for image in projections(volume)]
        side = max(max(picture.shape) for picture in pictures)
        sheet = montage([_framed(shrunk(p, size), min(side, size)) for p in pictures], columns=3)
        words = "slices (top) and projections perpendicular to z, y and x"
    else:
        images = read_stack(source, first, count)
        columns = math.ceil(math.sqrt(len(images)))
        sheet = montage([shrunk(grey(image), size) for image in images], columns=columns)
        words = f"images {first} to {first + len(images) - 1}, row by row"
    with atomic_path(output) as part:
        part.write_bytes(png(sheet))
    return words


def _framed(picture: Grey, side: int) -> Grey:
    """Return a picture in a black square: a map that is no cube has pictures of several shapes."""
    height, width = picture.shape
    square = np.zeros((max(side, height), max(side, width)), dtype=np.uint8)
    y, x = (square.shape[0] - height) // 2, (square.shape[1] - width) // 2
    square[y : y + height, x : x + width] = picture
    return square
