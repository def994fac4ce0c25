"""A look at the name heaps of an HDF5 file before the HDF5 library opens it.

A damaged free list that leads back to itself keeps the library (2.0 and earlier) in a loop that
takes memory for ever; nothing in the process can stop it. The lists are short and simple, so they
are followed here first (HDF5 File Format Specification 3.0, III.D "Local Heaps").
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from mapsort.errors import FormatError, reading

_SIGNATURE = b"HEAP\x00\x00\x00\x00"  # with version 0 and three reserved bytes
_HEAD = struct.Struct("<QQQ")  # size of the data segment, head of the free list, its address
_BLOCK = struct.Struct("<QQ")  # next free block, size of this one
_LAST = 1  # the offset that ends a list
#: Larger files are real data; looking through all of one would take longer than reading it.
_LARGEST_BYTES = 256 << 20


def refuse_looped_heaps(path: Path) -> None:
    """Refuse a file, unless above 256 MiB, in which a heap's free list leads back to itself.

    Raises
    ------
    FormatError
        There is such a list; or the file cannot be read.
    """
    with reading(path):
        size = path.stat().st_size
        if not 0 < size <= _LARGEST_BYTES:
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(_SIGNATURE)
            while at >= 0:
                if _is_looped(data, at + len(_SIGNATURE)):
                    raise FormatError(
                        f"{path}: damaged HDF5 file: the heap at byte {at} has a free list without "
                        "end. Copy the file again."
                    )
                at = data.find(_SIGNATURE, at + 1)


def _is_looped(data: mmap.mmap, at: int) -> bool:
    if at + _HEAD.size > len(data):
        return False
    segment, offset, address = _HEAD.unpack_from(data, at)
    seen: set[int] = set()
    while offset != _LAST:
        if offset in seen:
            return True
        seen.add(offset)
        # The library itself refuses what leads out of the segment.
        if offset + _BLOCK.size > segment or address + offset + _BLOCK.size > len(data):
            return False
        offset, _ = _BLOCK.unpack_from(data, address + offset)
    return False
