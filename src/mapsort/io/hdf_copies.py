"""Images of a new HDF5 file that begin as copies of one before, in which little differs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5o, h5s

from mapsort.array_types import Float32
from mapsort.io.hdf_header import PREFIX, AttributeWriter, oldest_version
from mapsort.io.hdf_pixels import plain_dataset

#: Types of items that hold several values.
_SEVERAL = (list, tuple, np.ndarray)
#: Pixels of images larger than this take longer than their headers: they are not copied [bytes].
_MOST_COPIED = 1 << 18
#: Where texts differ from image to image, there are as many kinds as images: these are enough.
_MOST_KINDS = 64
_MEMORIES = itertools.count()
Items = dict[str, object]


@dataclass
class _Original:
    """What images of one kind begin as: an image in memory, kept open."""

    place: bytes
    #: Of its header.
    items: Items
    attributes: dict[str, h5a.AttrID]
    #: None for a header alone.
    pixels: h5d.DatasetID | None


class ImageCopies:
    """Begins images with copies of one of their kind, brought up to date before.

    HDF5 copies an image in the time that ten of its items take to make. Of one kind are images of
    one shape with the same header items of the same types, and the same texts. What is copied lies
    in a file in memory.
    """

    def __init__(self, attributes: AttributeWriter) -> None:
        self._attributes = attributes
        self._memory: h5f.FileID | None = None
        self._names = itertools.count()
        #: None: one image of this kind was seen, and it may be the only one.
        self._kinds: dict[tuple[object, ...], _Original | None] = {}

    def header(self, images: h5g.GroupID, name: bytes, items: Items) -> h5g.GroupID:
        """Return the group of an image with these header items; see `AttributeWriter.write`."""
        original = self._original(items, None)
        if original is None:
            return self._written(images, name, items)
        h5o.copy(self._place(), original.place, images, name)
        return self._with_several(h5g.open(images, name), items)

    def plain(self, images: h5g.GroupID, name: bytes, items: Items, pixels: Float32) -> None:
        """Write an image with these header items and its pixels as they are."""
        small = pixels.nbytes <= _MOST_COPIED
        original = self._original(items, pixels) if small else None
        if original is None or original.pixels is None:
            group = self._written(images, name, items)
            plain_dataset(group, pixels.shape).write(h5s.ALL, h5s.ALL, pixels)
            return
        original.pixels.write(h5s.ALL, h5s.ALL, pixels)
        h5o.copy(self._place(), original.place, images, name)
        if any(isinstance(value, _SEVERAL) for value in items.values()):
            self._with_several(h5g.open(images, name), items)

    def _original(self, items: Items, pixels: Float32 | None) -> _Original | None:
        """Return what has an image's items, but for those of several values; None for the first."""
        single = {key: value for key, value in items.items() if not isinstance(value, _SEVERAL)}
        shape = None if pixels is None else pixels.shape
        types = ((key, v if isinstance(v, str) else type(v)) for key, v in single.items())
        kind = (shape, *types)
        if kind not in self._kinds:
            if len(self._kinds) < _MOST_KINDS:
                self._kinds[kind] = None
            return None
        original = self._kinds[kind]
        if original is None:
            original = self._kinds[kind] = self._made(single, shape)
        for key, value in single.items():
            # of one type: but for the sign of 0., equal values are stored alike
            if value != original.items[key] or (value == 0 and type(value) is not int):
                self._attributes.rewrite(original.attributes[key], key, value)
                original.items[key] = value
        return original

    def _made(self, items: Items, shape: tuple[int, ...] | None) -> _Original:
        place = b"%d" % next(self._names)
        group = self._written(self._place(), place, items)
        attributes = {
            key: h5a.open(group, PREFIX + key.encode())
            for key, value in items.items()
            if not isinstance(value, str)
        }
        pixels = None if shape is None else plain_dataset(group, shape)
        return _Original(place, items, attributes, pixels)

    def _with_several(self, group: h5g.GroupID, items: Items) -> h5g.GroupID:
        for key, value in items.items():
            if isinstance(value, _SEVERAL):
                self._attributes.write(group, key, value)
        return group

    def _written(self, where: h5f.FileID | h5g.GroupID, name: bytes, items: Items) -> h5g.GroupID:
        group = h5g.create(where, name)
        for key, value in items.items():
            self._attributes.write(group, key, value)
        return group

    def _place(self) -> h5f.FileID:
        if self._memory is None:
            access = oldest_version()
            access.set_fapl_core(1 << 16, False)
            # runs in threads of one process have one each: HDF5 knows open files by their names
            name = b"headers %d" % next(_MEMORIES)
            self._memory = h5f.create(name, h5f.ACC_TRUNC, fapl=access)
        return self._memory
