"""Types of parameters whose value is the content of a file: images, maps, curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.mrc import read_map
from mapsort.modules.parameter import ArrayKind


def read_image(path: str) -> Float32:
    """Read the one image or map of an MRC or EMAN2 HDF file, (ny, nx) or (nz, ny, nx) float32.

    Raises
    ------
    FormatError
        If the file is missing, of another kind, or holds several images.
    """
    if Path(path).suffix.lower() not in HDF_SUFFIXES:
        pixels, _ = read_map(path)
    else:
        with HdfReader(path) as reader:
            if reader.n_images != 1:
                raise FormatError(f"{path}: {reader.n_images} images; one image or map is needed.")
            pixels = reader.image(0)
    return pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels


def read_curve(path: str) -> Float64:
    """Read the first two columns of a text file, (n, 2) float64; # begins a comment.

    Raises
    ------
    FormatError
        If the file is missing or is not two columns of finite numbers.
    """
    try:
        table = np.loadtxt(path, ndmin=2, usecols=(0, 1))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: expected two columns of numbers: {error}") from error
    if len(table) < 2 or not np.isfinite(table).all():
        raise FormatError(f"{path}: expected at least two lines of finite numbers")
    return table


IMAGE = ArrayKind("a file with one image or map", read_image)
CURVE = ArrayKind("a text file with two columns", read_curve)
