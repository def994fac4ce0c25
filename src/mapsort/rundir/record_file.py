"""Typed results as files: nested dataclasses over arrays, whole or not at all, without pickle."""

from __future__ import annotations

import dataclasses
import json
import struct
import typing
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from mapsort.array_types import Array, Indices
from mapsort.errors import FormatError
from mapsort.rundir.atomic import atomic_path

T = TypeVar("T")

#: From 2 on, planes of large arrays that are zero are left out.
_FORMAT, _READABLE = 2, (1, 2)
# What a zip archive, a header of an array or JSON with wrong bytes in it leads to.
_DAMAGES = (
    LookupError,
    TypeError,
    ValueError,
    EOFError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
)
_TREE = "tree"
#: Larger arrays are written in parts of about this size.
_PART_BYTES = 2**24


def write_record(
    path: str | Path, record: object, *, written: Callable[[], None] = lambda: None
) -> None:
    """Write a dataclass with all it holds, whole or not at all.

    The file is an uncompressed ``.npz``: every array is an entry of it (with a checksum, as in any
    zip archive), and the entry ``tree`` says in JSON how they make up the record. Of a large array
    of planes those that are zero are left out: most classes are empty where particles are few.
    Nothing in it is executed when it is read.

    Parameters
    ----------
    path : str or Path
        File to write, ending in ``.npz``.
    record : dataclass
        Fields may hold arrays, numbers, text, None, tuples, lists, dicts with text keys, and
        dataclasses of such. Floats keep every bit.
    written : callable, optional
        Called when an array has been written.

    Raises
    ------
    TypeError
        A field holds something else.
    """
    arrays: list[_Stored] = []
    tree = {"format": _FORMAT, "record": _packed(record, arrays, written)}
    text = _Stored(np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8))
    entries = {_TREE: text} | {f"array_{number}": array for number, array in enumerate(arrays)}
    # As numpy.savez does it, but one array after the other.
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, stored in entries.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                stored.write(entry, written)


@dataclasses.dataclass(frozen=True)
class _Stored:
    """An array as it goes into a file: whole, or some of the items along its first axis."""

    array: Array
    items: Indices | None = None

    def write(self, entry: IO[bytes], written: Callable[[], None]) -> None:
        """Write it as numpy.save does, a large one in parts."""
        array, items = self.array, self.items
        if items is None and (array.nbytes <= _PART_BYTES or not array.flags.c_contiguous):
            np.lib.format.write_array(entry, array, allow_pickle=False)
            written()
            return
        header = np.lib.format.header_data_from_array_1_0(array)
        n_items = len(array) if items is None else len(items)
        header["shape"] = (n_items, *array.shape[1:])
        np.lib.format.write_array_header_1_0(entry, header)
        at_once = max(1, _PART_BYTES // array[0].nbytes)
        for first in range(0, n_items, at_once):
            part = slice(first, first + at_once)
            entry.write(array[part if items is None else items[part]].data)
            written()


def _filled_planes(planes: Array, written: Callable[[], None]) -> Indices:
    """Return the numbers of planes (n, .., ..) that are not zero."""
    at_once = max(1, _PART_BYTES // planes[0].nbytes)
    filled = np.empty(len(planes), bool)
    for first in range(0, len(planes), at_once):
        # as whole numbers, so that a zero's sign is kept
        part = planes[first : first + at_once].view(np.uint32)
        filled[first : first + at_once] = part.any(axis=(1, 2))
        written()
    return np.flatnonzero(filled)


def read_record(
    path: str | Path,
    kind: type[T],
    *,
    holding: tuple[type, ...] = (),
    place: Callable[[Array], Array] = lambda array: array,
) -> T:
    """Read what `write_record` wrote.

    Parameters
    ----------
    kind : type
        The dataclass; those inside it are found by its annotations.
    holding : tuple of type, optional
        Dataclasses inside it that its annotations do not name.
    place : callable, optional
        Puts each array where it is to be.

    Raises
    ------
    FormatError
        The file is missing or damaged, or holds something else (another version wrote it).
    """
    known = {item.__name__: item for item in _dataclasses_in((kind, *holding))}
    try:
        # Opened here: NumPy leaves a damaged file open.
        with Path(path).open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            tree = json.loads(file[_TREE].tobytes())
            if tree["format"] not in _READABLE:
                raise FormatError(f"{path}: written by another version of mapsort.")
            record = _unpacked(tree["record"], lambda item: place(_array_of(item, file)), known)
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file.") from None
    except FormatError:
        raise
    except _DAMAGES as error:
        raise FormatError(
            f"{path}: damaged, or written by another version of mapsort: {error}."
        ) from error
    if not isinstance(record, kind):
        raise FormatError(f"{path}: holds no {kind.__name__}.")
    return record


def _packed_array(
    value: Array | np.generic, arrays: list[_Stored], written: Callable[[], None]
) -> Any:
    """Return what tells of an array that is moved to the list, but for planes that are zero."""
    number = len(arrays)
    packed = {"array": number, "scalar": isinstance(value, np.generic)}
    array = np.asarray(value)
    of_planes = array.ndim >= 3 and array.nbytes > _PART_BYTES and array.flags.c_contiguous
    if not of_planes or array.itemsize % 4:
        arrays.append(_Stored(array))
        return packed
    planes = array.reshape(-1, *array.shape[-2:])
    filled = _filled_planes(planes, written)
    arrays.append(_Stored(planes, filled))
    arrays.append(_Stored(filled))
    return packed | {"planes": number + 1, "shape": list(array.shape)}


def _packed(value: object, arrays: list[_Stored], written: Callable[[], None]) -> Any:
    """Return a value as JSON, its arrays moved to the list."""
    if isinstance(value, np.ndarray | np.generic):
        return _packed_array(value, arrays, written)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_packed(item, arrays, written) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[str(key), _packed(item, arrays, written)] for key, item in value.items()]}
    if dataclasses.is_dataclass(value):
        fields = {
            item.name: _packed(getattr(value, item.name), arrays, written)
            for item in dataclasses.fields(value)
        }
        return {"record": type(value).__name__, "fields": fields}
    raise TypeError(f"a {type(value).__name__} cannot be kept in a record file")


def _array_of(item: dict[str, Any], file: Mapping[str, Array]) -> Array:
    """Return an array as it was, from what `_packed_array` told of it."""
    array = file[f"array_{item['array']}"]
    if "planes" not in item:
        return array
    whole = np.zeros(item["shape"], array.dtype)
    whole.reshape(-1, *array.shape[1:])[file[f"array_{item['planes']}"]] = array
    return whole


def _unpacked(tree: Any, read: Callable[[dict[str, Any]], Array], known: dict[str, type]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        array = read(tree)
        return array[()] if tree["scalar"] else array
    if "record" in tree:
        fields = {name: _unpacked(item, read, known) for name, item in tree["fields"].items()}
        return _made(known[tree["record"]], fields)
    if "dict" in tree:
        return {key: _unpacked(item, read, known) for key, item in tree["dict"]}
    if "tuple" in tree:
        return tuple(_unpacked(item, read, known) for item in tree["tuple"])
    return [_unpacked(item, read, known) for item in tree["list"]]


def _made(kind: type, fields: dict[str, Any]) -> Any:
    """Return a dataclass with these fields; those that its constructor does not take are set."""
    names = {item.name: item.init for item in dataclasses.fields(kind)}
    if set(names) != set(fields):
        odd = ", ".join(sorted(set(names) ^ set(fields)))
        raise ValueError(f"{kind.__name__} has other fields: {odd}")
    if all(names.values()):
        return kind(**fields)
    record: Any = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(record, name, value)
    return record


def _dataclasses_in(kinds: tuple[Any, ...]) -> set[type]:
    """Return the dataclasses that occur in types, these included."""
    found: set[type] = set()
    waiting = list(kinds)
    while waiting:
        this = waiting.pop()
        waiting.extend(typing.get_args(this))
        if isinstance(this, type) and dataclasses.is_dataclass(this) and this not in found:
            found.add(this)
            waiting.extend(typing.get_type_hints(this).values())
    return found
