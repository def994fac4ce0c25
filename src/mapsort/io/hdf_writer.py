"""Writing image stacks in EMAN2's HDF5 layout, image by image, on disk space reserved before."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5f, h5g, h5s

from mapsort.array_types import Array, Float32
from mapsort.errors import NumericalError
from mapsort.io.hdf_copies import ImageCopies
from mapsort.io.hdf_header import AttributeWriter, Header, oldest_version
from mapsort.io.hdf_pixels import (
    MOST_BITS,
    PLAIN,
    is_storage,
    plain_dataset,
    write_compressed,
)

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
        """Make an empty file, after the disk was seen to hold one of this size; else an OSError."""
        Path(path).write_bytes(b"")
        try:
            cls(path).reach(size_bytes)
        finally:
            os.truncate(path, 0)

    def reach(self, size_bytes: int) -> None:
        """Reserve the file's blocks up to a size that it may grow to, and some more."""
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


_IMAGES = b"/MDF/images"
_HIGHEST = b"imageid_max"
_APIX = ("apix_x", "apix_y", "apix_z")
#: What an image's header and the file's own tables may take, with plenty to spare.
_MARGIN_BYTES = 1 << 16
#: The square sum of huge values is more than its place in a header can hold.
_HIGHEST_FLOAT = float(np.finfo(np.float32).max)


def write_images(
    path: str | Path,
    images: Iterable[Array] | Array,
    headers: Sequence[Header] | None = None,
    *,
    apix: float = 1.0,
    compressbits: int | None = None,
) -> None:
    """Write images with their headers as one EMAN2 HDF5 file; see `HdfWriter`.

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
        self._copies = ImageCopies(self._attributes)
        self._count = 0
        DiskSpace.check(self._path, _MARGIN_BYTES)
        self._file = h5f.create(bytes(self._path), h5f.ACC_TRUNC, fapl=oldest_version())
        self._space = DiskSpace(self._path)
        h5g.create(self._file, b"/MDF")
        self._images = h5g.create(self._file, _IMAGES)

    def __enter__(self) -> HdfWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def n_images(self) -> int:
        """Number of images written so far."""
        return self._count

    def append(self, image: Array, header: Header | None = None) -> None:
        """Write one image (nx,), (ny, nx) or (nz, ny, nx) after the last.

        Header items are int, float, bool, str, `EmanTransform`, lists of int or of float; sizes and
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
        items = self._items(pixels.shape, [pixels], header)
        if self._bits is None:
            self._copies.plain(self._images, self._next, items | PLAIN, pixels)
        else:
            group = self._copies.header(self._images, self._next, items)
            for key, value in write_compressed(group, pixels, self._bits).items():
                self._attributes.write(group, key, value)
        self._count += 1

    def append_rows(
        self, shape: tuple[int, int], rows: Callable[[slice], Array], *, at_once: int
    ) -> None:
        """Write one image (ny, nx) after the last that is made some rows at a time, as float32.

        ``rows`` returns a range of rows, (n, nx), at most ``at_once``; it is asked twice for each,
        the second time for writing. Errors as for `append`.
        """
        n_rows, n_columns = shape
        if n_rows < 1 or n_columns < 1:
            raise ValueError(f"image: expected rows and columns, got {shape}")
        every = [slice(a, min(a + at_once, n_rows)) for a in range(0, n_rows, at_once)]
        made = (np.ascontiguousarray(rows(where), dtype="<f4") for where in every)
        items = self._items(shape, made, None)
        dataset = plain_dataset(self._copies.header(self._images, self._next, items | PLAIN), shape)
        for where in every:
            part = np.ascontiguousarray(rows(where), dtype="<f4")
            place = dataset.get_space()
            place.select_hyperslab((where.start, 0), part.shape)
            dataset.write(h5s.create_simple(part.shape), place, part)
        self._count += 1

    @property
    def _next(self) -> bytes:
        """Name of the next image."""
        return b"%d" % self._count

    def _items(
        self, shape: tuple[int, ...], parts: Iterable[Float32], header: Header | None
    ) -> dict[str, object]:
        """Return the header of the next image, whose pixels come in parts, and make room for it."""
        place = f"{self._path}: not written: image {self._count}"
        nz, ny, nx = (1,) * (3 - len(shape)) + shape
        sizes = {"nx": nx, "ny": ny, "nz": nz}
        facts = sizes | _statistics(parts, place)
        items = {**self._defaults(header or {}), **_kept(header or {}), **facts}
        listed = sum(len(item) for item in items.values() if isinstance(item, list | tuple | str))
        growth = 4 * math.prod(shape) + 16 * listed + _MARGIN_BYTES
        self._space.reach(self._file.get_filesize() + growth)
        return items

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


def _kept(header: Header) -> dict[str, Any]:
    # A header may come from a file whose pixels were stored in another way.
    return {
        key: float(value) if key in _APIX else value
        for key, value in header.items()
        if not is_storage(key) and key != "datatype"
    }


def _statistics(parts: Iterable[Float32], place: str) -> dict[str, object]:
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
        # not a product by BLAS, whose threads cost ten times an image this small
        squares = float(np.square(wide).sum())
        total, square_sum = total + float(wide.sum()), square_sum + squares
        number, n_nonzero = number + values.size, n_nonzero + int(np.count_nonzero(values))
    mean, sigma = _mean_sigma(total, square_sum, number)
    mean_nonzero, sigma_nonzero = _mean_sigma(total, square_sum, n_nonzero)
    return {
        "mean": _float32(mean),
        "sigma": _float32(sigma),
        "minimum": low,
        "maximum": high,
        "square_sum": _float32(square_sum),
        "mean_nonzero": _float32(mean_nonzero),
        "sigma_nonzero": _float32(sigma_nonzero),
    }


def _mean_sigma(total: float, square_sum: float, number: int) -> tuple[float, float]:
    if number == 0:
        return 0.0, 0.0
    mean = total / number
    variance = (square_sum - total * mean) / max(1, number - 1)
    return mean, max(0.0, variance) ** 0.5


def _float32(value: float) -> np.float32:
    """Return a finite number of single precision, the nearest one."""
    return np.float32(min(max(value, -_HIGHEST_FLOAT), _HIGHEST_FLOAT))
