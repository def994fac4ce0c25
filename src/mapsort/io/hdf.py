"""Image stacks in EMAN2's HDF5 layout: group ``/MDF/images/i``, header and dataset ``image``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5s
from numpy.typing import NDArray

from mapsort.errors import FormatError, NumericalError
from mapsort.io.disk_space import DiskSpace
from mapsort.io.hdf_header import (
    AttributeWriter,
    EmanTransform,
    Header,
    HeaderValue,
    header_list,
    read_attributes,
)
from mapsort.io.hdf_heaps import refuse_looped_heaps
from mapsort.io.hdf_pixels import (
    MOST_BITS,
    is_scale,
    is_storage,
    plain_dataset,
    scaled_back,
    write_compressed,
    write_plain,
)

__all__ = [
    "EmanTransform",
    "HdfReader",
    "HdfWriter",
    "count",
    "header_list",
    "read_header",
    "read_image",
    "write_images",
]

_IMAGES = b"/MDF/images"
_HIGHEST = b"imageid_max"
_APIX = ("apix_x", "apix_y", "apix_z")
_MOST_DEFLATED = 1100
# Everything that h5py raises for files that are not what they should be.
_DAMAGES = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    AttributeError,
)
#: What an image's header and the file's own tables may take, with plenty to spare.
_MARGIN_BYTES = 1 << 16


def count(path: str | Path) -> int:
    """Give the number of images in an EMAN2 HDF5 file (highest index + 1); see `HdfReader`."""
    with HdfReader(path) as reader:
        return reader.n_images


def read_image(path: str | Path, index: int) -> NDArray[np.float32]:
    """Read image ``index`` (from 0), (ny, nx) or (nz, ny, nx) float32; see `HdfReader.image`."""
    with HdfReader(path) as reader:
        return reader.image(index)


def read_header(path: str | Path, index: int) -> dict[str, HeaderValue]:
    """Read the header of image ``index`` (from 0); see `HdfReader.header`."""
    with HdfReader(path) as reader:
        return reader.header(index)


def write_images(
    path: str | Path,
    images: Iterable[NDArray[Any]] | NDArray[Any],
    headers: Sequence[Header] | None = None,
    *,
    apix: float = 1.0,
    compressbits: int | None = None,
) -> None:
    """Write images with their headers as one EMAN2 HDF5 file.

    Parameters
    ----------
    path : str or Path
        File to write; an existing one is replaced.
    images : ndarray of shape (n, ny, nx) or (n, nz, ny, nx), or iterable of images
        Pixels, written as float32.
    headers : sequence of mappings, optional
        One header for each image.
    apix : float, optional
        Pixel size [A/pixel] where a header does not say ``apix_x``.
    compressbits : int, optional
        Bits of a pixel to keep; see `HdfWriter`.

    Raises
    ------
    ValueError
        There are not as many headers as images, an item has no place in a header, or the number
        of bits is not one of 0 to 16.
    NumericalError
        An image holds NaN or infinite values.
    """
    with HdfWriter(path, apix=apix, compressbits=compressbits) as writer:
        if headers is None:
            for image in images:
                writer.append(image)
            return
        for image, header in zip(images, headers, strict=True):
            writer.append(image, header)


class HdfWriter:
    """Writes a new EMAN2 HDF5 file, image by image.

    Parameters
    ----------
    path : str or Path
        File to write; an existing one is replaced.
    apix : float, optional
        Pixel size [A/pixel] where a header does not say ``apix_x``.
    compressbits : int, optional
        Bits of a pixel to keep, 1 to 16, in deflated integers; 0: deflated float32; None, the
        default: float32 as they are. See `mapsort.io.hdf_pixels.write_compressed`.

    Raises
    ------
    ValueError
        The number of bits is not one of 0 to 16.

    Notes
    -----
    The oldest HDF5 file version and EMAN2's own attribute types are used throughout, so that
    every EMAN2 opens the result.
    """

    def __init__(
        self, path: str | Path, *, apix: float = 1.0, compressbits: int | None = None
    ) -> None:
        if compressbits is not None and not 0 <= compressbits <= MOST_BITS:
            raise ValueError(f"compressbits: expected 0 to {MOST_BITS}, got {compressbits}")
        self._path = Path(path)
        self._bits = compressbits
        self._apix = apix
        self._attributes = AttributeWriter()
        self._count = 0
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_libver_bounds(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
        access.set_fclose_degree(h5f.CLOSE_STRONG)
        DiskSpace.check(self._path, _MARGIN_BYTES)
        self._file = h5f.create(bytes(self._path), h5f.ACC_TRUNC, fapl=access)
        self._space = DiskSpace(self._path)
        h5g.create(self._file, b"/MDF")
        self._images = h5g.create(self._file, _IMAGES)

    def __enter__(self) -> HdfWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def n_images(self) -> int:
        """Number of images written so far."""
        return self._count

    def append(self, image: NDArray[Any], header: Header | None = None) -> None:
        """Write one image after the last.

        Parameters
        ----------
        image : ndarray of shape (nx,), (ny, nx) or (nz, ny, nx)
            Pixels, taken as float32.
        header : mapping, optional
            Items: int, float, bool, str, `EmanTransform`, lists of int or of float. Sizes and
            statistics are computed here and win over items of the same name.

        Raises
        ------
        ValueError
            The image has no pixels or more than three dimensions, or an item has no place in a
            header.
        NumericalError
            The image holds NaN or infinite values.
        """
        pixels = np.ascontiguousarray(image, dtype="<f4")
        if not 1 <= pixels.ndim <= 3 or pixels.size == 0:
            raise ValueError(f"image: expected 1 to 3 dimensions, got {pixels.shape}")
        pixels = pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels
        group = self._begun(pixels.shape, [pixels], header)
        if self._bits is None:
            storage = write_plain(group, pixels)
        else:
            storage = write_compressed(group, pixels, self._bits)
        for key, value in storage.items():
            self._attributes.write(group, key, value)
        self._count += 1

    def append_rows(
        self, shape: tuple[int, int], rows: Callable[[slice], NDArray[Any]], *, at_once: int
    ) -> None:
        """Write one image after the last that is made some rows at a time, never compressed.

        Parameters
        ----------
        shape : tuple of two int
            (ny, nx).
        rows : callable
            Returns a range of rows, (n, nx); asked twice for each, the second time for writing.
        at_once : int
            How many rows it is asked for.

        Raises
        ------
        ValueError, NumericalError
            As `append`.
        """
        n_rows, n_columns = shape
        if n_rows < 1 or n_columns < 1:
            raise ValueError(f"image: expected rows and columns, got {shape}")
        every = [slice(a, min(a + at_once, n_rows)) for a in range(0, n_rows, at_once)]
        made = (np.ascontiguousarray(rows(where), dtype="<f4") for where in every)
        group = self._begun(shape, made, None)
        dataset, storage = plain_dataset(group, shape)
        for key, value in storage.items():
            self._attributes.write(group, key, value)
        for where in every:
            part = np.ascontiguousarray(rows(where), dtype="<f4")
            place = dataset.get_space()
            place.select_hyperslab((where.start, 0), part.shape)
            dataset.write(h5s.create_simple(part.shape), place, part)
        self._count += 1

    def _begun(
        self, shape: tuple[int, ...], parts: Iterable[NDArray[np.float32]], header: Header | None
    ) -> h5g.GroupID:
        """Begin the next image, whose pixels come in parts, with its header."""
        place = f"{self._path}: not written: image {self._count}"
        nz, ny, nx = (1,) * (3 - len(shape)) + shape
        sizes = {"nx": nx, "ny": ny, "nz": nz}
        facts = sizes | _statistics(parts, place)
        items = {**self._defaults(header or {}), **_kept(header or {}), **facts}
        listed = sum(len(item) for item in items.values() if isinstance(item, list | tuple | str))
        growth = 4 * math.prod(shape) + 16 * listed + _MARGIN_BYTES
        self._space.reach(self._file.get_filesize() + growth)
        group = h5g.create(self._images, str(self._count).encode())
        for key, value in items.items():
            self._attributes.write(group, key, value)
        return group

    def close(self) -> None:
        """Write the number of images and close the file."""
        if not self._file.valid:
            return
        highest = np.array([self._count - 1], dtype="<i4")
        self._attributes.write_array(self._images, _HIGHEST, highest)
        h5f.flush(self._file)
        size = self._file.get_filesize()
        self._file.close()
        self._space.release_from(size)

    def _defaults(self, header: Header) -> dict[str, object]:
        apix = float(header.get("apix_x", self._apix))
        return {
            "apix_x": apix,
            "apix_y": apix,
            "apix_z": apix,
            "is_complex": 0,
            "is_complex_ri": 0,
            "changecount": 0,
            "all_int": 0,
        }


class HdfReader:
    """Reads an EMAN2 HDF5 file, plain or compressed; a context manager.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FormatError
        The file is missing, damaged, not HDF5, or not in EMAN2's layout.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise FormatError(f"{path}: no such file.")
        self._size = self._path.stat().st_size
        refuse_looped_heaps(self._path)
        try:
            # Locks fail on many cluster file systems, and nobody writes a finished file.
            self._file = h5py.File(self._path, "r", locking="best-effort")
        except _DAMAGES as error:
            raise FormatError(f"{path}: not a readable HDF5 file: {error}.") from error
        with self._damage("the file"):
            self.n_images = self._number()

    def __enter__(self) -> HdfReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def header(
        self, index: int, *, wanted: Callable[[str], bool] | None = None
    ) -> dict[str, HeaderValue]:
        """Read the header of an image.

        Parameters
        ----------
        index : int
            Image number, from 0.
        wanted : callable, optional
            Whether to read the item of a name; all by default.

        Returns
        -------
        dict
            Item name (without ``EMAN.``) to value. Lists of one element come as a single value:
            see `header_list`. In compressed files the statistics describe the image before
            compression.

        Raises
        ------
        FormatError
            There is no such image, or its header is damaged.
        """
        with self._damage(f"the header of image {index}"):
            return read_attributes(self._group(index), wanted)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of an image, ``(ny, nx)`` or ``(nz, ny, nx)``; errors as `image`."""
        with self._damage(f"image {index}"):
            return self._sized(self._dataset(self._group(index), index).shape)

    def image(self, index: int) -> NDArray[np.float32]:
        """Read the pixels of an image.

        Parameters
        ----------
        index : int
            Image number, from 0.

        Returns
        -------
        ndarray of shape (nx,), (ny, nx) or (nz, ny, nx), float32
            Pixels; integers of a compressed file are scaled back:
            ``v / (2**bits - 1) * (max - min) + min``.

        Raises
        ------
        FormatError
            There is no such image, it has no pixels, or they are damaged.
        """
        with self._damage(f"image {index}"):
            group = self._group(index)
            dataset = self._dataset(group, index)
            stored = np.empty(self._sized(dataset.shape), dtype=dataset.dtype)
            dataset.read(h5s.ALL, h5s.ALL, stored)
            scale = read_attributes(group, is_scale) if stored.dtype.kind in "iu" else {}
            return scaled_back(stored, scale)

    def images(self, indices: Iterable[int] | None = None) -> NDArray[np.float32]:
        """Read images of one size.

        Parameters
        ----------
        indices : iterable of int, optional
            Which images, from 0; all by default.

        Returns
        -------
        ndarray of shape (n, ny, nx) or (n, nz, ny, nx), float32
            The images.

        Raises
        ------
        FormatError
            There is no image, one is missing, or they differ in size.
        """
        wanted = range(self.n_images) if indices is None else list(indices)
        read = [self.image(index) for index in wanted]
        if not read:
            raise FormatError(f"{self._path}: the file holds no image.")
        for index, image in zip(wanted, read, strict=True):
            if image.shape != read[0].shape:
                raise FormatError(
                    f"{self._path}: image {index} has shape {image.shape}, "
                    f"image {wanted[0]} {read[0].shape}; they must be equal."
                )
        return np.stack(read)

    @contextmanager
    def _damage(self, what: str) -> Iterator[None]:
        """Turn what the HDF5 library says of a damaged file into our error."""
        try:
            yield
        except FormatError:
            raise
        except _DAMAGES as error:
            reason = " ".join(str(error).split())
            raise FormatError(f"{self._path}: {what} is damaged: {reason}.") from error

    def _dataset(self, group: h5g.GroupID, index: int) -> h5d.DatasetID:
        if b"image" not in group:
            raise FormatError(f"{self._path}: image {index} has no pixels.")
        dataset = h5d.open(group, b"image")
        if dataset.dtype.kind not in "iuf" or not 1 <= len(dataset.shape) <= 3:
            raise FormatError(
                f"{self._path}: image {index} is no image: {dataset.shape} of {dataset.dtype}."
            )
        n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        plain = dataset.get_create_plist().get_layout() != h5d.CHUNKED
        stored = min(dataset.get_storage_size(), self._size)
        # Deflate makes no more than 1032 bytes of one. Beyond that the size itself is damaged, and
        # reading would fill memory with nothing.
        if n_bytes == 0 or n_bytes > stored * (1 if plain else _MOST_DEFLATED):
            raise FormatError(
                f"{self._path}: image {index} is damaged: {dataset.shape} pixels are announced "
                f"and {stored} bytes stored."
            )
        return dataset

    @staticmethod
    def _sized(shape: tuple[int, ...]) -> tuple[int, ...]:
        """Leave out the section axis of a single image."""
        return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape

    def _number(self) -> int:
        if not isinstance(self._file.get("/MDF/images"), h5py.Group):
            self._file.close()
            raise FormatError(f"{self._path}: not an EMAN2 file: it has no group /MDF/images.")
        images = self._file["/MDF/images"]
        if "imageid_max" in images.attrs:
            highest = np.ravel(images.attrs["imageid_max"])
            if highest.size != 1 or highest.dtype.kind not in "iu":
                raise ValueError("imageid_max is not a number")
            return int(highest[0]) + 1
        return 1 + max((int(name) for name in images if name.isdigit()), default=-1)

    def _group(self, index: int) -> h5g.GroupID:
        images = self._file["/MDF/images"].id
        name = str(index).encode()
        if not 0 <= index < self.n_images or name not in images:
            raise FormatError(
                f"{self._path}: image {index} was asked for; the file holds {self.n_images}, "
                "counted from 0."
            )
        return h5g.open(images, name)


def _kept(header: Header) -> dict[str, Any]:
    # A header may come from a file whose pixels were stored in another way.
    return {
        key: float(value) if key in _APIX else value
        for key, value in header.items()
        if not is_storage(key) and key != "datatype"
    }


def _statistics(parts: Iterable[NDArray[np.float32]], place: str) -> dict[str, object]:
    """Header statistics as EMAN2 defines them: standard deviations divide by n - 1."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    total = square_sum = 0.0
    number = n_nonzero = 0
    for pixels in parts:
        values = pixels.reshape(-1)
        low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise NumericalError(f"{place} holds NaN or infinite values.")
        wide = values.astype(np.float64)
        total, square_sum = total + float(wide.sum()), square_sum + float(wide @ wide)
        number, n_nonzero = number + values.size, n_nonzero + int(np.count_nonzero(values))
    mean, sigma = _mean_sigma(total, square_sum, number)
    mean_nonzero, sigma_nonzero = _mean_sigma(total, square_sum, n_nonzero)
    return {
        "mean": np.float32(mean),
        "sigma": np.float32(sigma),
        "minimum": low,
        "maximum": high,
        "square_sum": np.float32(square_sum),
        "mean_nonzero": np.float32(mean_nonzero),
        "sigma_nonzero": np.float32(sigma_nonzero),
    }


def _mean_sigma(total: float, square_sum: float, number: int) -> tuple[float, float]:
    if number == 0:
        return 0.0, 0.0
    mean = total / number
    variance = (square_sum - total * mean) / max(1, number - 1)
    return mean, max(0.0, variance) ** 0.5
