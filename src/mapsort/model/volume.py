"""A map: densities on a cube and the pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.array_types import Array, Float32
from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_writer import write_images
from mapsort.io.image_stack import HDF_SUFFIXES, MRC_MAP_SUFFIXES
from mapsort.io.mrc import read_map, write_map
from mapsort.io.mrc_header import ISPG_VOLUME, read_header


@dataclass(frozen=True, eq=False)
class Volume:
    """A cubic map, density white (positive).

    Parameters
    ----------
    data : ndarray of shape (n, n, n), float32
        Densities in the order (z, y, x); other types are converted.
    apix : float
        Pixel size [A/pixel].

    Raises
    ------
    ValueError
        ``data`` is not a cube or ``apix`` is not positive.
    """

    data: Float32
    apix: float

    def __post_init__(self) -> None:
        data: Array = np.ascontiguousarray(self.data, dtype=np.float32)
        if data.ndim != 3 or len(set(data.shape)) != 1 or data.size == 0:
            raise ValueError(f"data: expected (n, n, n), got {data.shape}")
        if not (np.isfinite(self.apix) and self.apix > 0):
            raise ValueError(f"apix: expected a positive pixel size in A, got {self.apix}")
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "apix", float(self.apix))

    @property
    def box(self) -> int:
        """Side of the cube [pixel]."""
        return len(self.data)

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        """Return the densities: what takes an array takes a map."""
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        low, high = self.data.min(), self.data.max()
        return f"<Volume {self.box}^3 voxels, {self.apix:g} A/pixel, {low:.3g} to {high:.3g}>"

    @classmethod
    def open(
        cls, path: str | Path, *, apix: float | None = None, default_apix: float | None = None
    ) -> Volume:
        """Read a map.

        Parameters
        ----------
        path : str or Path
            MRC file (``.mrc``, ``.map`` …), or EMAN2 ``.hdf`` with one volume.
        apix : float, optional
            Pixel size [A/pixel] to use in place of the file's.
        default_apix : float, optional
            Pixel size [A/pixel] to use where the file states none.

        Returns
        -------
        Volume
            The map.

        Raises
        ------
        FormatError
            The file is missing, of another kind, not a cube, constant, without pixel size, or
            holds NaN or infinite values.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in MRC_MAP_SUFFIXES:
            data, stated = _read_mrc(path)
        elif suffix in HDF_SUFFIXES:
            data, stated = _read_hdf(path)
        else:
            raise FormatError(
                f"{path}: maps are read from {', '.join((*MRC_MAP_SUFFIXES, *HDF_SUFFIXES))}."
            )
        size = apix if apix is not None else stated
        if size is None:
            size = default_apix
        if size is None or not (np.isfinite(size) and size > 0):
            raise FormatError(f"{path}: no usable pixel size ({size}); give it with --apix.")
        if data.min() == data.max():
            raise FormatError(f"{path}: the map is constant ({data.min():g}): nothing to refine.")
        return cls(data, size)

    def write(self, path: str | Path, *, compressbits: int | None = None) -> None:
        """Write the map as MRC2014 or, by suffix, EMAN2 HDF5.

        Parameters
        ----------
        path : str or Path
            File to write; an existing one is replaced.
        compressbits : int, optional
            Bits of a voxel that an ``.hdf`` keeps; see `mapsort.io.hdf_writer.HdfWriter`.

        Raises
        ------
        ValueError
            The suffix is of no known format, or the number of bits is not one of 0 to 16.
        NumericalError
            The map holds NaN or infinite values.
        """
        suffix = Path(path).suffix.lower()
        if suffix in MRC_MAP_SUFFIXES:
            write_map(path, self.data, self.apix)
        elif suffix in HDF_SUFFIXES:
            write_images(path, [self.data], apix=self.apix, compressbits=compressbits)
        else:
            raise ValueError(f"{path}: a map is written as .mrc, .map or .hdf")


def is_map(path: Path) -> bool:
    """Return whether a file, by its header, holds one map rather than particles.

    Parameters
    ----------
    path : Path
        Any file; what is neither MRC nor HDF is no map.
    """
    suffix = path.suffix.lower()
    if suffix in HDF_SUFFIXES:
        with HdfReader(path) as reader:
            return reader.n_images == 1 and len(reader.shape(0)) == 3
    if suffix not in MRC_MAP_SUFFIXES or suffix == ".mrcs":
        return False
    header = read_header(path)
    return header.space_group >= ISPG_VOLUME and header.nx == header.ny == header.nz


def _read_mrc(path: Path) -> tuple[Float32, float | None]:
    data, _ = read_map(path, cubic=True)
    return data, read_header(path).apix


def _read_hdf(path: Path) -> tuple[Float32, float | None]:
    with HdfReader(path) as reader:
        if reader.n_images != 1:
            raise FormatError(f"{path}: {reader.n_images} images; a map is a file with one.")
        data, stated = reader.image(0), reader.header(0).get("apix_x")
    if data.ndim != 3 or len(set(data.shape)) != 1:
        shape = " x ".join(map(str, data.shape[::-1]))
        raise FormatError(f"{path}: the map is {shape} voxels; a cube is needed.")
    if not np.isfinite(data).all():
        raise FormatError(f"{path}: the map holds NaN or infinite values.")
    return data, float(stated) if isinstance(stated, int | float) else None
