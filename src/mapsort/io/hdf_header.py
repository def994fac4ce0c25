"""Header items of EMAN2's HDF5 files: Python value ↔ HDF5 attribute of the type EMAN2 uses.

EMAN2 decides what an item is from the HDF5 type alone, so the types are fixed: int32 and float32
(one or many), float64 (one: EMAN2 reads a longer float64 array over the end of its buffer),
fixed-length string with its NUL, and a compound of twelve float32 for a transform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import h5py
import numpy as np
from h5py import h5a, h5f, h5p, h5s, h5t
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Int32

PREFIX = b"EMAN."
#: Read: files of a later version keep attributes of any size ("dense" storage), such as lists of
#: the millions of particles in a class.
_MAX_ATTRIBUTE = 1 << 26
#: Written: the oldest version, which every EMAN2 reads, keeps an attribute in a message of less
#: than 64 KiB, with its name, type and size.
_MAX_WRITTEN = (1 << 16) - 1024
_MAX_NAME = 127 - len(PREFIX)
_TRANSFORM_DTYPE = np.dtype([(f"{row}{column}", "<f4") for row in range(3) for column in range(4)])
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class EmanTransform:
    """A transform as EMAN2 stores it: rows of a 3 x 4 matrix, rotation·scale and translation.

    Parameters
    ----------
    matrix : array_like of shape (3, 4), float32
        Columns 0 to 2: linear part; column 3: translation [pixel].
    """

    matrix: Float32

    def __init__(self, matrix: ArrayLike) -> None:
        values = np.array(matrix, dtype=np.float32)
        if values.shape != (3, 4):
            raise ValueError(f"matrix: expected (3, 4), got {values.shape}")
        values.flags.writeable = False
        object.__setattr__(self, "matrix", values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EmanTransform) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())


HeaderValue = Union[  # noqa: UP007 (evaluated at run time)
    int, float, bool, str, EmanTransform, list[int], list[float]
]
Header = Mapping[str, Any]


def header_list(header: Header, key: str) -> list[Any]:
    """Return a header item as a list, which reads as one number if it has one element."""
    value = header.get(key, [])
    return list(value) if isinstance(value, list) else [value]


class AttributeWriter:
    """Writes header items through HDF5's low-level calls, types and spaces made once.

    The high-level ``attrs`` interface takes about 150 µs an item, this about 15 µs; a file of
    class averages has 25 items an image.
    """

    def __init__(self) -> None:
        self._one = h5s.create_simple((1,))
        self._scalar = h5s.create(h5s.SCALAR)
        self._types = {
            np.dtype(code): h5t.py_create(np.dtype(code)) for code in ("<i4", "<f4", "<f8")
        }
        self._types[_TRANSFORM_DTYPE] = h5t.py_create(_TRANSFORM_DTYPE)

    def write(self, group: h5py.h5g.GroupID, key: str, value: object) -> None:
        """Write one item of a name without ``EMAN.``; an empty list is left out, as EMAN2 does.

        A bool becomes an integer, as it does when given to EMAN2 from Python.

        Raises
        ------
        ValueError
            The value, or the name, has no place in an EMAN2 header.
        """
        if not 0 < len(key.encode()) <= _MAX_NAME:
            raise ValueError(f"header item {key!r}: the name must have 1 to {_MAX_NAME} bytes")
        name = PREFIX + key.encode()
        if isinstance(value, str):
            self._write_text(group, name, value)
            return
        data = _stored(key, value)
        if data.size:
            self.write_array(group, name, data)

    def rewrite(self, attribute: h5py.h5a.AttrID, key: str, value: object) -> None:
        """Give an item that is there, no text, another value of its type and length."""
        data = _stored(key, value)
        attribute.write(data, self._types[data.dtype])

    def write_array(self, group: h5py.h5g.GroupID, name: bytes, data: Array) -> None:
        """Write a one-dimensional int32, float32, float64 or transform array as attribute."""
        _refuse_large(name, data.nbytes)
        space = self._one if data.shape == (1,) else h5s.create_simple(data.shape)
        kind = self._types[data.dtype]
        h5a.create(group, name, kind, space).write(data, kind)

    def _write_text(self, group: h5py.h5g.GroupID, name: bytes, text: str) -> None:
        raw = text.encode()
        if b"\0" in raw:
            raise ValueError(f"header item {name.decode()}: the text holds a NUL character")
        _refuse_large(name, len(raw))
        kind = h5t.C_S1.copy()
        kind.set_size(len(raw) + 1)
        h5a.create(group, name, kind, self._scalar).write(
            np.array(raw, dtype=f"S{len(raw) + 1}"), kind
        )


def oldest_version() -> h5py.h5p.PropFAID:
    """Return how files are made so that every EMAN2 reads them."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    return access


def _refuse_large(name: bytes, n_bytes: int) -> None:
    if n_bytes > _MAX_WRITTEN:
        raise ValueError(
            f"header item {name.decode()}: {n_bytes} bytes, and {_MAX_WRITTEN} is the most"
        )


def read_attributes(
    group: h5py.h5g.GroupID, wanted: Callable[[str], bool] | None = None
) -> dict[str, HeaderValue]:
    """Read ``EMAN.`` items of an image's group, only those wanted; see `HdfReader.header`."""
    header: dict[str, HeaderValue] = {}
    for index in range(h5a.get_num_attrs(group)):
        attribute = h5a.open(group, index=index)
        if not attribute.name.startswith(PREFIX):
            continue
        name = attribute.name[len(PREFIX) :].decode()
        if wanted is None or wanted(name):
            header[name] = _value(attribute)
    return header


def _stored(key: str, value: object) -> Array:
    if isinstance(value, EmanTransform):
        return value.matrix.reshape(12).view(_TRANSFORM_DTYPE)
    if isinstance(value, bool | np.bool_ | int | np.integer):
        # most items are one number: the general way takes five times as long
        inside = _INT32.min <= value <= _INT32.max
        return np.array([value], dtype="<i4") if inside else _integers(key, [int(value)])
    if isinstance(value, np.float32):
        return np.array([value], dtype="<f4")
    if isinstance(value, float | np.floating):
        return np.array([value], dtype="<f8")
    if isinstance(value, Sequence | np.ndarray):
        return _array(key, value)
    raise ValueError(f"header item {key!r}: {type(value).__name__} cannot be kept in a header")


def _array(key: str, value: Sequence[Any] | Array) -> Array:
    array = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"header item {key!r}: expected one dimension, got {array.shape}")
    if array.dtype.kind in "iub" or not array.size:
        return _integers(key, array)
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, dtype="<f4")
    raise ValueError(f"header item {key!r}: a list may hold integers or floats only")


def _integers(key: str, values: ArrayLike) -> Int32:
    array = np.asarray(values, dtype=np.int64)
    if array.size and (array.min() < _INT32.min or array.max() > _INT32.max):
        raise ValueError(f"header item {key!r}: a number does not fit into 32 bits")
    return np.ascontiguousarray(array, dtype="<i4")


def _value(attribute: h5py.h5a.AttrID) -> HeaderValue:
    kind = attribute.get_type()
    # A damaged attribute may claim terabytes.
    if attribute.get_space().get_simple_extent_npoints() * kind.get_size() > _MAX_ATTRIBUTE:
        raise ValueError(
            f"the header item {attribute.name.decode(errors='replace')} claims an impossible size"
        )
    if isinstance(kind, h5t.TypeStringID):
        return _text(attribute, kind)
    transform = isinstance(kind, h5t.TypeCompoundID)
    # Before it is read: of fields that overlap, HDF5 writes over the end of the array.
    if transform and not _is_transform(attribute.dtype):
        raise ValueError(
            f"the header item {attribute.name.decode(errors='replace')} is of no known type"
        )
    data = np.empty(attribute.shape, dtype=attribute.dtype)
    attribute.read(data)
    data = data.reshape(-1)
    if not data.size:
        return []
    if transform:
        return EmanTransform(data.astype(_TRANSFORM_DTYPE).view("<f4").reshape(3, 4))
    if data.dtype.itemsize == 1:  # EMAN2's bool is the character T or F
        return bool(data[0] == ord("T"))
    values = data.tolist()
    return values[0] if len(values) == 1 else values  # type: ignore[no-any-return]


def _is_transform(dtype: np.dtype[Any]) -> bool:
    """Whether a compound is twelve 32-bit floats, one after the other."""
    fields = [(field[0].newbyteorder("<"), field[1]) for field in (dtype.fields or {}).values()]
    return dtype.itemsize == 48 and fields == [(np.dtype("<f4"), 4 * k) for k in range(12)]


def _text(attribute: h5py.h5a.AttrID, kind: h5py.h5t.TypeStringID) -> str:
    if kind.is_variable_str():
        # h5py's own type, not the file's: pointers must land where Python objects are expected.
        holder = np.empty(attribute.shape, dtype=attribute.dtype)
        attribute.read(holder, mtype=h5t.py_create(attribute.dtype))
        raw = holder.item()
        return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    fixed = np.empty((), dtype=f"S{kind.get_size()}")
    attribute.read(fixed, mtype=kind)
    return bytes(fixed.item()).split(b"\0", 1)[0].decode(errors="replace")
