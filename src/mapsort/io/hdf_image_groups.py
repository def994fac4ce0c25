"""The groups of an EMAN2 HDF5 file, one for each image: its header items and its pixels.

Pixels as they are, which runs write by the thousand, are written without the HDF5 library; what is
compressed, with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from h5py import h5f, h5g

from mapsort.array_types import Array, Float32
from mapsort.io import hdf_objects
from mapsort.io.hdf_header import oldest_version, stored_item, write_attribute
from mapsort.io.hdf_pixels import DATASET, PLAIN, write_compressed

_HIGHEST = b"imageid_max"
_PIXEL = np.dtype("<f4")


class ImageGroups(Protocol):
    """A file that is being written, image by image."""

    def add(
        self, items: Mapping[str, object], shape: tuple[int, ...], parts: Iterable[Float32]
    ) -> None:
        """Write the next image, whose pixels come in parts, one after the other in the file."""

    def get_filesize(self) -> int:
        """Return the size that the file has come to [bytes]."""

    def close(self) -> int:
        """Write how many images there are; return the size of the file [bytes]."""


class PlainGroups:
    """Writes pixels as they are.

    Parameters
    ----------
    path : Path
        An empty file.
    """

    def __init__(self, path: Path) -> None:
        self._images: list[tuple[bytes, int]] = []
        self._size = 0
        self._file = path.open("r+b")
        self._write(bytes(hdf_objects.SUPERBLOCK_BYTES))

    def get_filesize(self) -> int:
        """Return the size that the file has come to [bytes]."""
        return self._size

    def add(
        self, items: Mapping[str, object], shape: tuple[int, ...], parts: Iterable[Float32]
    ) -> None:
        """Write the next image, whose pixels come in parts, one after the other in the file."""
        stored = (stored_item(key, value) for key, value in {**items, **PLAIN}.items())
        attributes = [hdf_objects.attribute(*item) for item in stored if item is not None]
        place, n_bytes = self._size, _PIXEL.itemsize * math.prod(shape)
        for pixels in parts:
            self._write(pixels.tobytes())
        self._write(bytes(-self._size % 8))
        dataset = self._write(hdf_objects.dataset(shape, _PIXEL, place, n_bytes))
        group = self._group([(DATASET, dataset)], attributes)
        self._images.append((b"%d" % len(self._images), group))

    def close(self) -> int:
        """Write the tables of all images and the head of the file; return its size [bytes]."""
        highest = np.array([len(self._images) - 1], dtype="<i4")
        images = self._group(self._images, [hdf_objects.attribute(_HIGHEST, highest)])
        root = self._group([(b"MDF", self._group([(b"images", images)], []))], [])
        with self._file:
            self._file.seek(0)
            self._file.write(hdf_objects.superblock(self._size, root))
        return self._size

    def _group(self, members: list[tuple[bytes, int]], attributes: list[bytes]) -> int:
        data, header = hdf_objects.group(members, attributes, self._size)
        self._write(data)
        return header

    def _write(self, data: bytes) -> int:
        """Write at the end; return where that was."""
        at = self._size
        self._file.write(data)
        self._size += len(data)
        return at


class CompressedGroups:
    """Writes deflated pixels.

    Parameters
    ----------
    path : Path
        File to write.
    bits : int
        As of `write_compressed`.
    """

    def __init__(self, path: Path, bits: int) -> None:
        self._bits, self._count = bits, 0
        self._file = h5f.create(bytes(path), h5f.ACC_TRUNC, fapl=oldest_version())
        h5g.create(self._file, b"/MDF")
        self._images = h5g.create(self._file, b"/MDF/images")

    def get_filesize(self) -> int:
        """Return the size that the file has come to [bytes]."""
        return int(self._file.get_filesize())

    def add(
        self, items: Mapping[str, object], shape: tuple[int, ...], parts: Iterable[Float32]
    ) -> None:
        """Write the next image, whose pixels come in parts; all of them are in memory."""
        pixels = np.concatenate([part.reshape(-1) for part in parts]).reshape(shape)
        group = h5g.create(self._images, b"%d" % self._count)
        storage = write_compressed(group, pixels, self._bits)
        for key, value in {**items, **storage}.items():
            item = stored_item(key, value)
            if item is not None:
                write_attribute(group, *item)
        self._count += 1

    def close(self) -> int:
        """Write the number of images; return the size of the file [bytes]."""
        highest: Array = np.array([self._count - 1], dtype="<i4")
        write_attribute(self._images, _HIGHEST, highest)
        h5f.flush(self._file)
        size = self.get_filesize()
        self._file.close()
        return size
