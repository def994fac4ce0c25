"""Maps and image stacks in MRC files (MRC2014): whole maps read, maps and stacks written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mapsort.array_types import Array, Float32
from mapsort.errors import FormatError, NumericalError
from mapsort.io.mrc_header import (
    HEADER_BYTES,
    ISPG_IMAGES,
    ISPG_VOLUME,
    MrcHeader,
    encode_header,
    read_header,
)

_ISOTROPY = 0.01  # larger differences between the voxel's sides are refused as not cubic


def read_map(path: str | Path, *, cubic: bool = False) -> tuple[Float32, float]:
    """Read a whole map, (nz, ny, nx) float32, and its pixel size along x [A/pixel].

    Any real mode and byte order; files with permuted axes (``mapc``, ``mapr``, ``maps``) are
    brought into (z, y, x). The pixel size is 1.0 when the header states none (as EMAN2 does).
    ``cubic`` refuses a map whose three sides, or whose voxel's three sides, differ.

    Raises
    ------
    FormatError
        The file is missing, empty, not MRC, truncated, not cubic though asked to be, or holds
        NaN or infinite values.
    """
    header = read_header(path)
    if cubic:
        _check_cubic(header)
    stored = np.fromfile(
        header.path,
        dtype=header.dtype,
        count=header.nz * header.ny * header.row_items,
        offset=header.data_offset,
    ).reshape(header.nz, header.ny, header.row_items)
    data = header.decode(stored).astype(np.float32)
    if not np.isfinite(data).all():
        raise FormatError(f"{path}: the map holds NaN or infinite values.")
    return _standard_axes(data, header.axes), header.apix or 1.0


def write_map(
    path: str | Path,
    data: Array,
    apix: float,
    *,
    origin_ang: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write a map (nz, ny, nx) as MRC2014 float32 with voxel size, volume flag and statistics.

    ``origin_ang`` is the position of voxel 0 along x, y, z. An existing file is replaced.

    Raises
    ------
    ValueError
        ``data`` is not three-dimensional or ``apix`` is not positive.
    NumericalError
        ``data`` holds NaN or infinite values.
    """
    if data.ndim != 3 or data.size == 0:
        raise ValueError(f"data: expected (nz, ny, nx), got {data.shape}")
    pixels = np.ascontiguousarray(data, dtype="<f4")
    moments = _Moments(Path(path))
    moments.add(pixels)
    nz, ny, nx = pixels.shape
    with Path(path).open("wb") as file:
        file.write(
            encode_header(
                (nz, ny, nx),
                _positive(apix),
                space_group=ISPG_VOLUME,
                statistics=moments.statistics(),
                origin_ang=origin_ang,
            )
        )
        file.write(pixels.data)


def write_stack(path: str | Path, images: Iterable[Array] | Array, apix: float) -> int:
    """Write an image stack as MRC2014 float32; return the number of images.

    ``images`` (n, ny, nx), or an iterable of (ny, nx) or (m, ny, nx) arrays, which is never held in
    memory whole. An existing file is replaced.

    Raises
    ------
    ValueError
        There is no image, images differ in size, or ``apix`` is not positive.
    NumericalError
        An image holds NaN or infinite values.
    """
    _positive(apix)
    moments = _Moments(Path(path))
    count = 0
    box: tuple[int, ...] = ()
    with Path(path).open("wb") as file:
        file.write(bytes(HEADER_BYTES))
        for item in images:
            chunk = np.ascontiguousarray(item, dtype="<f4")
            chunk = chunk[np.newaxis] if chunk.ndim == 2 else chunk
            box = box or chunk.shape[1:]
            if chunk.ndim != 3 or chunk.shape[1:] != box:
                raise ValueError(f"images: expected {box} like the first, got {chunk.shape}")
            moments.add(chunk)
            file.write(chunk.data)
            count += len(chunk)
        if count == 0:
            raise ValueError(f"images: nothing to write to {path}")
        shape = (count, box[0], box[1])
        file.seek(0)
        file.write(
            encode_header(shape, apix, space_group=ISPG_IMAGES, statistics=moments.statistics())
        )
    return count


def _check_cubic(header: MrcHeader) -> None:
    if not header.nx == header.ny == header.nz:
        raise FormatError(
            f"{header.path}: the map is {header.nx} x {header.ny} x {header.nz} voxels; "
            "a cube is needed. Pad or clip it first."
        )
    sides = [side for side in header.voxel_ang if side > 0]
    if sides and max(sides) - min(sides) > _ISOTROPY * max(sides):
        listed = " x ".join(f"{side:g}" for side in header.voxel_ang)
        raise FormatError(f"{header.path}: the voxels are {listed} A; cubic ones are needed.")


def _standard_axes(data: Float32, axes: tuple[int, int, int]) -> Float32:
    """Bring stored (section, row, column) into (z, y, x); axes = (mapc, mapr, maps)."""
    stored = axes[::-1]
    return np.ascontiguousarray(np.transpose(data, [stored.index(axis) for axis in (3, 2, 1)]))


def _positive(apix: float) -> float:
    if not np.isfinite(apix) or apix <= 0:
        raise ValueError(f"apix: expected a positive pixel size in A, got {apix}")
    return apix


class _Moments:
    """Minimum, maximum, mean and standard deviation of pixels that pass by in chunks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._minimum, self._maximum = np.inf, -np.inf
        self._count, self._sum, self._square_sum = 0, 0.0, 0.0

    def add(self, pixels: Float32) -> None:
        low, high = float(pixels.min()), float(pixels.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise NumericalError(f"{self._path}: not written: NaN or infinite values in the data.")
        self._minimum, self._maximum = min(self._minimum, low), max(self._maximum, high)
        self._count += pixels.size
        self._sum += float(pixels.sum(dtype=np.float64))
        for plane in pixels:  # plane by plane: no float64 copy of the whole chunk
            self._square_sum += float(np.square(plane, dtype=np.float64).sum())

    def statistics(self) -> tuple[float, float, float, float]:
        mean = self._sum / self._count
        variance = max(0.0, self._square_sum / self._count - mean * mean)
        return self._minimum, self._maximum, mean, float(np.sqrt(variance))
