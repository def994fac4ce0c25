"""Objects of an HDF5 file of the oldest version, as bytes: headers, attributes, groups, datasets.

The HDF5 library takes half a millisecond for an image with its 25 header items, most of it to look
up what it has just written; a run writes thousands of images an iteration. Here they are put
together (HDF5 File Format Specification 3.0: III.A "B-trees", version 1, III.B "Group Symbol Table
Nodes", III.D "Local Heaps", IV.A "Data Object Headers", version 1). All lengths and addresses have
eight bytes, and every object begins at a multiple of eight.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

import numpy as np
from h5py import h5t

from mapsort.array_types import Array

UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF
#: Entries of a symbol table node, and children of a B-tree's node, at most.
_LEAF, _CHILDREN = 8, 32
_SPACE, _TYPE, _FILL, _LAYOUT, _ATTRIBUTE, _SYMBOLS = 1, 3, 5, 8, 12, 17
#: Space is taken when pixels are written; where none are, they are zero.
_FILL_VALUE = bytes([2, 2, 2, 1, 0, 0, 0, 0])


def padded(data: bytes) -> bytes:
    """Return bytes with zeros up to a multiple of eight."""
    return data + bytes(-len(data) % 8)


def superblock(end: int, root: int) -> bytes:
    """Return the head of a file that ends at a byte and whose root group is at another."""
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0])
    head += struct.pack("<HHI", _LEAF // 2, _CHILDREN // 2, 0)
    head += struct.pack("<QQQQ", 0, UNDEFINED, end, UNDEFINED)
    return head + struct.pack("<QQII16x", 0, root, 0, 0)


SUPERBLOCK_BYTES = len(superblock(0, 0))


def _message(kind: int, data: bytes, flags: int = 0) -> bytes:
    return struct.pack("<HHB3x", kind, len(data), flags) + data


def _object(messages: Sequence[bytes]) -> bytes:
    """Return an object's header."""
    body = b"".join(messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def _dataspace(shape: tuple[int, ...]) -> bytes:
    rank = len(shape)
    return struct.pack("<BBB5x", 1, rank, int(rank > 0)) + struct.pack(f"<{2 * rank}Q", *shape * 2)


@cache
def _datatype(dtype: np.dtype[np.generic]) -> bytes:
    if dtype.kind == "S":  # a text that ends with its NUL
        return struct.pack("<B3xI", 0x13, dtype.itemsize)
    # the library's own description, after its number and version
    return bytes(h5t.py_create(dtype).encode()[2:])


@cache
def _attribute_head(name: bytes, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    kind, space, named = _datatype(dtype), _dataspace(shape), name + b"\0"
    sizes = struct.pack("<BxHHH", 1, len(named), len(kind), len(space))
    return sizes + padded(named) + padded(kind) + padded(space)


def attribute(name: bytes, data: Array) -> bytes:
    """Return the message of an attribute; texts are of a type S."""
    # the lengths of lists are many, and would fill the memory of heads
    head = _attribute_head if data.size == 1 else _attribute_head.__wrapped__
    return _message(_ATTRIBUTE, padded(head(name, data.dtype, data.shape) + data.tobytes()))


def dataset(shape: tuple[int, ...], dtype: np.dtype[np.generic], address: int, size: int) -> bytes:
    """Return the header of an array that lies at an address as it is, in so many bytes."""
    return _object(
        [
            _message(_SPACE, _dataspace(shape)),
            _message(_TYPE, padded(_datatype(dtype)), 1),
            _message(_FILL, _FILL_VALUE),
            _message(_LAYOUT, padded(struct.pack("<BBQQ", 3, 1, address, size))),
        ]
    )


def group(
    members: Sequence[tuple[bytes, int]], attributes: Sequence[bytes], at: int
) -> tuple[bytes, int]:
    """Return a group's bytes, which begin at an address, and the address of its header.

    Parameters
    ----------
    members : sequence of (bytes, int)
        Name and address of the header of each.
    attributes : sequence of bytes
        See `attribute`.
    """
    ordered = sorted(members)
    names = padded(b"\0")
    places = []
    for name, _ in ordered:
        places.append(len(names))
        names += padded(name + b"\0")
    heap, parts = at, [b"HEAP" + struct.pack("<4xQQQ", len(names), 1, at + 32), names]
    at += 32 + len(names)
    children, keys = [], [0]
    for first in range(0, max(1, len(ordered)), _LEAF):
        own = slice(first, first + _LEAF)
        entries = b"".join(
            struct.pack("<QQII16x", place, address, 0, 0)
            for place, (_, address) in zip(places[own], ordered[own], strict=True)
        )
        leaf = b"SNOD" + struct.pack("<BxH", 1, len(entries) // 40) + entries
        leaf += bytes(8 + 40 * _LEAF - len(leaf))
        children.append(at)
        keys.append(places[own][-1] if ordered else 0)
        parts.append(leaf)
        at += len(leaf)
    nodes, tree = _tree(children, keys, at)
    at += len(nodes)
    symbols = _message(_SYMBOLS, struct.pack("<QQ", tree, heap))
    return b"".join([*parts, nodes, _object([symbols, *attributes])]), at


def _tree(children: list[int], keys: list[int], at: int) -> tuple[bytes, int]:
    """Return the B-tree of a group's leaves, which begins at an address, and that of its root.

    Child i holds the names after the one at ``keys[i]`` up to the one at ``keys[i + 1]``.
    """
    nodes, level = b"", 0
    while True:
        firsts = range(0, len(children), _CHILDREN)
        size = 24 + 8 * _CHILDREN + 8 * (_CHILDREN + 1)
        above = [at + len(nodes) + size * number for number in range(len(firsts))]
        beside = [UNDEFINED, *above, UNDEFINED]
        for number, first in enumerate(firsts):
            own = children[first : first + _CHILDREN]
            node = b"TREE" + struct.pack("<BBH", 0, level, len(own))
            node += struct.pack("<QQ", beside[number], beside[number + 2])
            for key, child in zip(keys[first:], own, strict=False):
                node += struct.pack("<QQ", key, child)
            node += struct.pack("<Q", keys[first + len(own)])
            nodes += node + bytes(size - len(node))
        if len(above) == 1:
            return nodes, above[0]
        keys = [keys[first] for first in firsts] + [keys[-1]]
        children, level = above, level + 1
