"""EMAN2's lists of images in other files: ``#LST`` and ``#LSX``, with JSON columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.array_types import Int64
from mapsort.errors import FormatError, reading
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.image_stack import refuse_bdb

_COMMENT = "# made by mapsort; every line after the next has exactly as many bytes as it says"
_PADDING = 4  # blanks that leave room for EMAN2 to lengthen a record in place
_RECORD_BEHIND = re.compile(r"#\s*\d+\s+\S+\.\w+")  # a number and a file
_FREE_TEXT = "__default__"


@dataclass(frozen=True, eq=False)
class ImageList:
    """What a list says."""

    #: Position of each image in its file, from 0, (n,).
    indices: Int64
    #: File of each image, as written.
    names: list[str]
    #: Header items that replace those of the image's own file: numbers, text, lists,
    #: `EmanTransform`, and under ``ctf`` an `EmanCtf`.
    extras: list[dict[str, Any]]
    #: Records behind a ``#``, which EMAN2 passes over.
    n_commented: int = 0

    def __len__(self) -> int:
        return len(self.names)


def read_list(path: str | Path) -> ImageList:
    """Read a list of either form; its files are not looked for.

    Raises
    ------
    FormatError
        The file is missing, not a list, empty, cut off, or a record is not readable; lines are
        numbered from 1 in messages.
    """
    path = Path(path)
    lines = _lines(path)
    first = _first_record(path, lines)
    records = [
        _record(path, number, line)
        for number, line in enumerate(lines[first:], start=first + 1)
        if line.strip() and not line.startswith("#")
    ]
    if not records:
        raise FormatError(f"{path}: the list holds no image.")
    commented = sum(_RECORD_BEHIND.match(line) is not None for line in lines[first:])
    indices, names, extras = zip(*records, strict=True)
    return ImageList(np.array(indices, dtype=np.int64), list(names), list(extras), commented)


def write_list(
    path: str | Path,
    indices: Sequence[int] | Int64,
    names: Sequence[str],
    extras: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a list in the ``#LSX`` form; an existing file is replaced.

    Names are as seen from the directory that EMAN2 runs in; each image may have header items:
    numbers, text, lists, `EmanTransform`, `EmanCtf`.

    Raises
    ------
    ValueError
        The lengths differ.
    FormatError
        A file name holds blanks, which lists cannot keep.
    """
    extras = [{}] * len(names) if extras is None else extras
    records = [
        _written(path, index, name, extra)
        for index, name, extra in zip(indices, names, extras, strict=True)
    ]
    length = max((len(record.encode()) for record in records), default=0) + _PADDING
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"#LSX\n{_COMMENT}\n# {length + 1}\n")
        for record in records:
            file.write(record + " " * (length - len(record.encode())) + "\n")


def _lines(path: Path) -> list[str]:
    try:
        with reading(path):
            return path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise FormatError(f"{path}: not an EMAN2 list: it is not text.") from None


def _first_record(path: Path, lines: list[str]) -> int:
    """Return how many lines come before the records."""
    kind = lines[0].rstrip()
    if kind == "#LST":
        return 1
    if kind != "#LSX":
        raise FormatError(f"{path}: not an EMAN2 list: it does not begin with #LST or #LSX.")
    length = lines[2][1:].strip() if len(lines) > 2 and lines[2].startswith("#") else ""
    if not (length.isascii() and length.isdigit() and 0 < int(length[:18]) < 1 << 31):
        raise FormatError(f"{path}: line 3: the length of the records is missing.")
    last = lines[-1]
    if len(lines) > 3 and last and len(last.encode()) < int(length) - 1:
        raise FormatError(f"{path}: line {len(lines)}: the file is cut off. Copy it again.")
    return 3


def _record(path: Path, number: int, line: str) -> tuple[int, str, dict[str, Any]]:
    fields = line.split("\t", 2) if "\t" in line else line.split(None, 2)
    index, name = fields[0].strip(), fields[1].strip() if len(fields) > 1 else ""
    if not (index.isascii() and index.isdigit() and len(index) < 18) or not name or "\0" in name:
        raise FormatError(
            f"{path}: line {number}: expected the number of an image (from 0) and its file, "
            f"not {line.strip()[:60]!r}."
        )
    refuse_bdb(name, f"{path}: line {number}")
    extra = fields[2].strip() if len(fields) > 2 else ""
    if not extra.startswith("{"):
        # The old form allows a comment in this place.
        return int(index), name, {}
    try:
        return int(index), name, _items(json.loads(extra))
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"{path}: line {number}: unreadable third column: {reason}.") from error


def _items(record: dict[str, Any]) -> dict[str, Any]:
    return {key: _item(key, value) for key, value in record.items() if key != _FREE_TEXT}


def _item(key: str, value: Any) -> Any:
    if key == "ctf":
        return (
            EmanCtf.from_json(value) if isinstance(value, dict) else EmanCtf.from_text(str(value))
        )
    if isinstance(value, dict) and value.get("__class__") == "Transform":
        return EmanTransform(np.array(_numbers(value.get("matrix"))).reshape(3, 4))
    return value


def _numbers(matrix: Any) -> list[float]:
    """Read the twelve numbers of a transform: text in brackets, or a list."""
    words = matrix.strip("[] ").split(",") if isinstance(matrix, str) else matrix
    if not isinstance(words, list) or len(words) != 12:
        raise ValueError("a Transform has 12 numbers")
    return [float(word) for word in words]


def can_keep(name: str) -> bool:
    """Return whether a list can hold a file's name: EMAN2 reads it up to the first blank."""
    return name.split() == [name]


def _written(path: str | Path, index: int, name: str, extra: Mapping[str, Any]) -> str:
    if not can_keep(name):
        raise FormatError(f"{path}: not written: EMAN2 lists cannot keep the blanks of {name!r}.")
    record = f"{int(index)}\t{name}"
    if not extra:
        return record
    return f"{record}\t{json.dumps(dict(extra), default=_plain, separators=(',', ':'))}"


def _plain(value: Any) -> Any:
    if isinstance(value, EmanTransform):
        numbers = ",".join(f"{number:.9g}" for number in value.matrix.reshape(-1).tolist())
        return {"__class__": "Transform", "matrix": f"[{numbers}]"}
    if isinstance(value, EmanCtf):
        return value.json()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a list")
