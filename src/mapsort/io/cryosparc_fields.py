"""Fields of cryoSPARC's particle files: read, joined with those of passthrough files, checked.

A ``.cs`` file is one NumPy array of records; nothing in it is executed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy_format

from mapsort.array_types import Array, Float64
from mapsort.errors import FormatError, reading

Columns = dict[str, Array]

_HEADER_BYTES = 1 << 20  # a particle set has some hundred fields; NumPy's own limit is 10 kB
_STREAM_MAGIC = b"\x95CSDAT"
_DAMAGES = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError)


def family(name: str) -> str:
    """Return the group of a field, ``..._class_k`` for those of all numbered classes."""
    return re.sub(r"_\d+$", "_k", name.split("/")[0])


@dataclass(frozen=True, eq=False)
class CryosparcFields:
    """What a particle set and its passthrough files say of each particle.

    Attributes
    ----------
    path : Path
        The particle set, for messages.
    values : dict of str to ndarray
        Field name to its values, one per particle of the set.
    files : dict of str to Path
        Group of fields (`family`) to the first file that has it.
    left : tuple of (str, Path)
        Groups of alignments that a later file has as well: of an earlier job, and not taken.
    """

    path: Path
    values: Columns
    files: dict[str, Path]
    left: tuple[tuple[str, Path], ...]

    @classmethod
    def read(cls, path: Path, passthrough: Sequence[str | Path] = ()) -> CryosparcFields:
        """Read a particle set, in its order, and what it lacks from passthrough files.

        An alignment is taken whole from one file: the job's own, else that of the first passthrough
        file. What passthrough files carry along may be of an earlier job.

        Raises
        ------
        FormatError
            A file is missing, damaged or holds Python objects, or a passthrough file does not know
            a particle.
        """
        records = read_records(path)
        values = {name: records[name] for name in records.dtype.names or ()}
        files = dict.fromkeys(map(family, values), path)
        left: list[tuple[str, Path]] = []
        for extra in map(Path, passthrough):
            more = _in_order(path, values["uid"], extra)
            for group in dict.fromkeys(map(family, more)):
                if group not in files:
                    files[group] = extra
                elif group.startswith("alignments"):
                    left.append((group, extra))
            for name, column in more.items():
                mixed = family(name).startswith("alignments") and files[family(name)] != extra
                if name not in values and not mixed:
                    values[name] = column
        return cls(path, values, files, tuple(left))

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __len__(self) -> int:
        return len(self.values["uid"])

    def texts(self, name: str) -> list[str]:
        """Return a field of text."""
        values = self.values[name]
        if values.dtype.kind not in "SU" or values.ndim != 1:
            raise FormatError(f"{self.path}: {name} is not text.")
        try:
            # Distinct names are few; decoding each of a million is slow.
            distinct, place = np.unique(values, return_inverse=True)
            decoded = [v.decode() if isinstance(v, bytes) else str(v) for v in distinct.tolist()]
        except (UnicodeDecodeError, ValueError) as error:
            raise FormatError(f"{self.path}: {name} is not text: {error}.") from error
        if any("\0" in text for text in decoded):
            raise FormatError(f"{self.path}: {name} is not text.")
        return [decoded[i] for i in place.tolist()]

    def any_numbers(self, name: str, width: int = 1) -> Float64:
        """Return a field of numbers, (n,) or (n, width), that may hold NaN: nothing needs them."""
        values = self.values[name]
        shape = (len(values),) if width == 1 else (len(values), width)
        if values.dtype.kind not in "iuf" or values.shape != shape:
            raise FormatError(f"{self.path}: {name} is not {width} number(s) for each particle.")
        return values.astype(np.float64)

    def numbers(self, name: str, width: int = 1) -> Float64:
        """Return a field of numbers that are needed; otherwise as `any_numbers`.

        Raises
        ------
        FormatError
            They are no numbers, more or fewer, or not finite; the message names the particle.
        """
        numbers = self.any_numbers(name, width)
        bad = ~np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
        if bad.any():
            raise FormatError(
                f"{self.path}: particle {int(np.argmax(bad)) + 1}: {name} is not finite."
            )
        return numbers


def read_records(path: Path) -> Array:
    """Read one array of records with a field ``uid``, one per particle.

    Its size is checked against the file's before memory is taken.
    """
    try:
        with reading(path), path.open("rb") as file:
            _refuse_stream(path, file.read(len(_STREAM_MAGIC)))
            file.seek(0)
            version = npy_format.read_magic(file)
            read = {
                (1, 0): npy_format.read_array_header_1_0,
                (2, 0): npy_format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise ValueError(f"version {version} of the NumPy format")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the header of a hostile file may warn
                shape, _, dtype = read(file, max_header_size=_HEADER_BYTES)
            offset, size = file.tell(), path.stat().st_size
    except FormatError:
        raise
    except _DAMAGES as error:
        reason = " ".join(str(error).split())[:200]
        raise FormatError(f"{path}: not a cryoSPARC .cs file: {reason}.") from error
    if dtype.hasobject:
        raise FormatError(f"{path}: it holds Python objects, which are never loaded.")
    if dtype.names is None or len(shape) != 1 or "uid" not in dtype.names:
        raise FormatError(f"{path}: not a cryoSPARC .cs file: no records with a uid.")
    if not 0 < shape[0] * dtype.itemsize <= size - offset:
        whole = (size - offset) // max(1, dtype.itemsize)
        raise FormatError(
            f"{path}: it announces {shape[0]} particles and holds {whole}. Copy it again."
        )
    return np.fromfile(path, dtype=dtype, count=shape[0], offset=offset)


def _refuse_stream(path: Path, beginning: bytes) -> None:
    if beginning == _STREAM_MAGIC:
        raise FormatError(
            f"{path}: it is in cryoSPARC's compressed stream format. Save it as an array, with "
            "cryosparc-tools: Dataset.load('IN.cs').save('OUT.cs')."
        )


def _in_order(path: Path, uid: Array, extra: Path) -> Columns:
    """Read a passthrough file; its particles are put in the order of the set's."""
    records = read_records(extra)
    others = records["uid"]
    if others.ndim != 1 or uid.ndim != 1 or others.dtype.kind not in "iu":
        raise FormatError(f"{extra}: uid is not a number.")
    order = np.argsort(others, kind="stable")
    ascending = others[order]
    at = np.searchsorted(ascending, uid).clip(max=len(order) - 1)
    known = ascending[at] == uid
    if not known.all():
        row = int(np.argmin(known))
        raise FormatError(
            f"{extra}: {int((~known).sum())} particles of {path} are not in it, the first is "
            f"particle {row + 1} (uid {uid[row]}). Give the passthrough of the same job."
        )
    rows = order[at]
    return {name: records[name][rows] for name in records.dtype.names or () if name != "uid"}
