"""EMAN2 ``.lst`` virtual stacks, the form with records of one length (``#LSX``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mapsort.errors import FormatError

_COMMENT = "# images of one set, from their original files"


def write_list(path: str | Path, indices: Iterable[int], names: Sequence[str]) -> None:
    """Write a list of images.

    Parameters
    ----------
    path : str or Path
        File to write; an existing one is replaced.
    indices : iterable of int
        Number of each image in its file, from 0.
    names : sequence of str
        File of each image, as seen from the project's directory, or absolute.

    Raises
    ------
    ValueError
        The lengths differ.
    FormatError
        A file's name holds a tab or line end, which the format cannot keep.

    Notes
    -----
    Line 1 is ``#LSX``, line 2 a comment, line 3 ``# N``: every record takes N bytes, its line end
    included, so that EMAN2 finds record i without reading the others.
    """
    bad = next((name for name in names if any(mark in name for mark in "\t\n\r")), None)
    if bad is not None:
        raise FormatError(f"{path}: the name {bad!r} holds a tab or line end; rename the file.")
    records = [f"{index}\t{name}" for index, name in zip(indices, names, strict=True)]
    sizes = [len(record.encode()) for record in records]
    length = max(sizes, default=0)
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"#LSX\n{_COMMENT}\n# {length + 1}\n")
        for record, size in zip(records, sizes, strict=True):
            file.write(record + " " * (length - size) + "\n")
