"""Grey pictures of maps and images as PNG, for the report and ``mapsort show``."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import MrcStack, read_map
from mapsort.io.mrc_header import read_header

Grey = npt.NDArray[np.uint8]
Real = npt.NDArray[np.floating]

#: Share of pixels at each end that may be cut off when densities become grey.
_TAIL = 0.001
#: Grey levels are multiples of this: the eye sees no difference, and files shrink by a third.
_STEP = 4
_WHITE = 255
HDF_SUFFIXES = (".hdf", ".hdf5", ".h5")


def grey_range(image: Real) -> tuple[float, float]:
    """Return the densities that become black and white."""
    low, high = np.quantile(image, [_TAIL, 1 - _TAIL])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def grey(image: Real, limits: tuple[float, float] | None = None) -> Grey:
    """Return densities as grey levels, high is bright; y grows upward in the picture."""
    low, high = grey_range(image) if limits is None else limits
    scaled = np.clip((np.asarray(image, np.float32) - low) / (high - low), 0, 1)
    levels = np.rint(scaled * (_WHITE // _STEP)) * _STEP
    return np.ascontiguousarray(levels.astype(np.uint8)[::-1])


def shrunk(picture: Grey, largest: int) -> Grey:
    """Return a picture of at most this side, averaged down if it is larger."""
    side = max(picture.shape)
    if side <= largest:
        return picture
    height, width = (max(1, round(n * largest / side)) for n in picture.shape)
    made = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    return np.asarray(made) // _STEP * _STEP


def montage(pictures: Sequence[Grey], *, columns: int, gap: int = 2) -> Grey:
    """Return pictures of one size side by side, row by row, with white between them."""
    height, width = pictures[0].shape
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) - gap, min(columns, len(pictures)) * (width + gap) - gap)
    sheet = np.full(shape, _WHITE, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        y, x = (number // columns) * (height + gap), (number % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def png(picture: Grey) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """Return a PNG as text that stands in an HTML file."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def central_slices(volume: Real) -> list[Real]:
    """Return the slices through pixel n//2: seen along z (y up), y (z up) and x (z up)."""
    z, y, x = (n // 2 for n in volume.shape)
    return [volume[z], volume[:, y], volume[:, :, x]]


def projections(volume: Real) -> list[Real]:
    """Return the sums along z, y and x."""
    # Summing each plane's columns first reads the map once for two of the three sums.
    along_y = volume.sum(axis=1)
    along_x = volume.sum(axis=2)
    along_z = volume.sum(axis=0)
    return [along_z, along_y, along_x]


def map_strips(volume: Real, largest: int) -> tuple[bytes, bytes]:
    """Return three central slices and three projections, each set as one PNG."""
    cut = central_slices(volume)
    limits = grey_range(np.concatenate([image.ravel() for image in cut]))
    slices = [shrunk(grey(image, limits), largest) for image in cut]
    sums = [shrunk(grey(image), largest) for image in projections(volume)]
    return png(montage(slices, columns=3)), png(montage(sums, columns=3))


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
    """Read at most ``count`` images of a stack from number ``first`` (from 0) on.

    Raises
    ------
    FormatError
        The file is missing, damaged or has no such image.
    """
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
    if path.suffix.lower() in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            return reader.n_images == 1 and reader.image(0).ndim == 3
    header = read_header(path)
    return path.suffix.lower() not in (".mrcs", ".st") and header.nx == header.ny == header.nz
