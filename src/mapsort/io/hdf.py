"""Reading image stacks in EMAN2's HDF5 layout, at once or when asked for.

Image i is group ``/MDF/images/i``: header and dataset ``image``; see `mapsort.io.hdf_writer`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5g, h5s

from mapsort.array_types import Float32, Int64
from mapsort.errors import FormatError
from mapsort.io.hdf_header import (
    HeaderValue,
    read_attributes,
)
from mapsort.io.hdf_heaps import refuse_looped_heaps
from mapsort.io.hdf_pixels import (
    is_scale,
    scaled_back,
)

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


def count(path: str | Path) -> int:
    """Give the number of images in an EMAN2 HDF5 file (highest index + 1); see `HdfReader`."""
    with HdfReader(path) as reader:
        return reader.n_images


def read_image(path: str | Path, index: int) -> Float32:
    """Read image ``index`` (from 0), (ny, nx) or (nz, ny, nx) float32; see `HdfReader.image`."""
    with HdfReader(path) as reader:
        return reader.image(index)


def read_header(path: str | Path, index: int) -> dict[str, HeaderValue]:
    """Read the header of image ``index`` (from 0); see `HdfReader.header`."""
    with HdfReader(path) as reader:
        return reader.header(index)


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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def header(
        self, index: int, *, wanted: Callable[[str], bool] | None = None
    ) -> dict[str, HeaderValue]:
        """Read the items of an image's header, by name without ``EMAN.``; only those wanted.

        EMAN2 stores a list of one element exactly as a single number, and so it comes; an empty one
        is not stored at all. In compressed files the statistics describe the image before
        compression.

        Raises
        ------
        FormatError
            There is no such image, or its header is damaged.
        """
        with self._damage(f"the header of image {index}"):
            return read_attributes(self._group(index), wanted)

    @property
    def first(self) -> int:
        """Number of the first image that is there: images can have been deleted; 0 if none is."""
        # of a file of a million images, the names are not read for this
        return 0 if "0" in self._file["/MDF/images"] else min(self._present(), default=0)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of an image, ``(ny, nx)`` or ``(nz, ny, nx)``; errors as `image`."""
        with self._damage(f"image {index}"):
            return self._sized(self._dataset(self._group(index), index).shape)

    def image(self, index: int) -> Float32:
        """Read the pixels of an image, (nx,), (ny, nx) or (nz, ny, nx) float32.

        Integers of a compressed file are scaled back: ``v / (2**bits - 1) * (max - min) + min``.

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

    def images(self, indices: Iterable[int] | None = None) -> Float32:
        """Read images of one size, all by default, (n, ny, nx) or (n, nz, ny, nx) float32.

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
        return 1 + max(_numbers(images), default=-1)

    def _present(self) -> set[int]:
        """Return the numbers of the images that are there."""
        return {n for n in _numbers(self._file["/MDF/images"]) if n < self.n_images}

    def _group(self, index: int) -> h5g.GroupID:
        images = self._file["/MDF/images"].id
        name = str(index).encode()
        if 0 <= index < self.n_images and name not in images:
            present = self._present()
            missing = self.n_images - len(present)
            # Lazily: a damaged file can claim 2^31 images.
            absent = (n for n in range(self.n_images) if n not in present)
            listed = ", ".join(map(str, islice(absent, 5))) + (", ..." if missing > 5 else "")
            raise FormatError(
                f"{self._path}: image {index} is missing: of images 0 to {self.n_images - 1}, "
                f"{missing} are not there ({listed}). Leave them out with a list (.lst)."
            )
        if not 0 <= index < self.n_images:
            raise FormatError(
                f"{self._path}: image {index} was asked for; the file holds {self.n_images}, "
                "counted from 0."
            )
        return h5g.open(images, name)


def _numbers(images: h5py.Group) -> Iterator[int]:
    """Return the numbers of a group's images, in the order of their names."""
    return (int(name) for name in images if re.fullmatch("0|[1-9][0-9]*", name))


class HdfStack:
    """A stack of images of one size in an EMAN2 HDF5 file.

    Picklable (the file is opened again on the other side) and safe to read from several threads,
    which take turns inside the HDF5 library.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FormatError
        The file is missing, damaged, not EMAN2's, empty, or holds a map.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.note: str | None = None  # an HDF5 file knows what is in it
        self._reader = HdfReader(path)
        self.n_images = self._reader.n_images
        if self.n_images < 1:
            raise FormatError(f"{path}: the file holds no image.")
        self._first = self._reader.first
        shape = self._reader.shape(self._first)
        if len(shape) != 2:
            sides = " x ".join(map(str, shape[::-1]))
            raise FormatError(
                f"{path}: image {self._first} is {sides} pixels; 2-D images are needed."
            )
        self.box = (shape[0], shape[1])

    def __repr__(self) -> str:
        return f"HdfStack({str(self.path)!r}, n_images={self.n_images}, box={self.box})"

    def __reduce__(self) -> tuple[type[HdfStack], tuple[Path]]:
        return HdfStack, (self.path,)

    @property
    def stated_apix(self) -> float | None:
        """Pixel size [A/pixel] that the first header states, None when it states none."""
        value = self._reader.header(self._first, wanted=lambda name: name == "apix_x").get("apix_x")
        usable = isinstance(value, int | float) and np.isfinite(value) and value > 0
        return float(value) if usable else None  # type: ignore[arg-type]

    def read_into(
        self, images: Float32, indices: Int64, *, inspect: Callable[[Float32], None] | None = None
    ) -> None:
        """Read images into an array that is there already; see `ImageStack.read_into`.

        Raises
        ------
        FormatError
            There is no such image, it is damaged, or of another size than the first.
        """
        for place, index in enumerate(indices.tolist()):
            image = self._reader.image(index)
            if image.shape != self.box:
                raise FormatError(
                    f"{self.path}: image {index} has shape {image.shape}, image "
                    f"{self._first} {self.box}; they must be equal."
                )
            images[place] = image
            if inspect is not None:
                inspect(images[place : place + 1])

    def header(self, index: int) -> dict[str, HeaderValue]:
        """Read the whole header of an image; see `HdfReader.header`."""
        return self._reader.header(index)
