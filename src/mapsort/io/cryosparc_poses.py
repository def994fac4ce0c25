"""Poses, classes and halves of cryoSPARC's jobs, whichever fields a job keeps them in.

``alignments3D``: one pose (refinements). ``alignments3D_multi``: a pose for each of K classes and
their posteriors, in one field each (heterogeneous refinement of version 4.5 and later).
``alignments_class_k`` and ``alignments_class3D_k``: the same in K groups of fields (ab-initio
reconstruction and heterogeneous refinement; 3D classification). Of several classes the most
probable counts, with the pose that the particle has in it. ``alignments2D``: classes only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import scipy

from mapsort.array_types import Array, Float64, Indices, Int64
from mapsort.errors import FormatError
from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.cryosparc_fields import Columns, CryosparcFields
from mapsort.io.star import ANGLE_LABELS, ORIGIN_LABELS

Floats = Float64

_ONE, _MULTI, _FLAT = "alignments3D", "alignments3D_multi", "alignments2D"
#: Of the groups of one file, the first that is there counts.
_PRECEDENCE = (_ONE, _MULTI, "alignments_class3D_k", "alignments_class_k", _FLAT)
_OF_ONE = ("pose", "shift", "psize_A", "split", "class", "class_posterior")
_WIDTHS = {"pose": 3, "shift": 2, "psize_A": 1, "split": 1, "class_posterior": 1, "class": 1}
_CLASS, _HALF = "rlnClassNumber", "rlnRandomSubset"
_POSTERIOR = "rlnMaxValueProbDistribution"


@dataclass(frozen=True, eq=False)
class _Alignment:
    """What a group of fields says of every particle, by the class that it is most probably in.

    ``classes`` counts from 0 and is -1 where there is none; ``values`` are those of that class.
    """

    group: str
    classes: Int64 | None
    n_classes: int
    values: dict[str, Floats]


def pose_columns(fields: CryosparcFields, apix: Floats, notes: list[str]) -> Columns:
    """Return RELION's columns of poses, classes and halves, those that are known.

    The job's own fields are looked at first, then those of each passthrough file; in a file
    ``alignments3D``, ``alignments3D_multi``, ``alignments_class3D_k``, ``alignments_class_k``.
    Shifts that state no pixel size have that of the images, ``apix`` (n,). What the user should
    know is added to the notes.
    """
    columns: Columns = {}
    taken: list[str] = []
    for group in _groups(fields):
        alignment = _alignment(fields, group)
        if alignment.classes is not None and _CLASS not in columns:
            columns[_CLASS] = alignment.classes + 1
            columns |= _posteriors(alignment)
            taken.append(group)
            _tell_classes(fields, alignment, notes)
        if "pose" in alignment.values:
            columns |= _poses(fields, alignment, apix, notes) | _halves(alignment)
            taken.append(group)
            break
    _tell_what_is_left(fields, taken, notes)
    return columns


def _groups(fields: CryosparcFields) -> list[str]:
    """Return the alignments that are there, that which counts first."""
    files = list(dict.fromkeys(fields.files.values()))
    there = [group for group in _PRECEDENCE if group in fields.files]
    return sorted(there, key=lambda g: (files.index(fields.files[g]), _PRECEDENCE.index(g)))


def _alignment(fields: CryosparcFields, group: str) -> _Alignment:
    if group in (_ONE, _FLAT):
        names = _OF_ONE if group == _ONE else ("class",)
        values = {
            name: fields.any_numbers(f"{group}/{name}", _WIDTHS[name])
            for name in names
            if f"{group}/{name}" in fields
        }
        number = values.get("class")
        return _Alignment(group, None if number is None else _whole(number), 1, values)
    every = _of_one_array(fields, group) if group == _MULTI else _of_groups(fields, group)
    numbers = _class_numbers(fields, group)
    n_classes = max((array.shape[1] for array in every.values()), default=0)
    if group == _MULTI:
        numbers = np.arange(n_classes)
    if "class_posterior" not in every or n_classes < 1:
        return _Alignment(group, None, n_classes, {})
    posterior = every["class_posterior"][:, :, 0]
    place = np.argmax(np.where(np.isfinite(posterior), posterior, -np.inf), axis=1)
    known = np.atleast_1d(np.isfinite(posterior).any(axis=1))
    chosen = {name: _of_class(array, place) for name, array in every.items()}
    if "pose" in chosen:
        chosen["pose"] = np.where(known[:, None], chosen["pose"], np.nan)
    classes = np.where(known, numbers[place], -1)
    return _Alignment(group, classes, n_classes, chosen)


def _whole(number: Floats) -> Int64:
    return np.where(np.isfinite(number), number, -1).astype(np.int64)


def _class_numbers(fields: CryosparcFields, group: str) -> Int64:
    pattern = re.compile(re.escape(group.removesuffix("k")) + r"(\d+)/")
    found = {int(m.group(1)) for m in map(pattern.match, fields.values) if m is not None}
    return np.array(sorted(found), dtype=np.int64)


def _of_groups(fields: CryosparcFields, group: str) -> dict[str, Floats]:
    """Read fields that every class has one of, as arrays (n, classes, width)."""
    ones = [f"{group.removesuffix('k')}{k}" for k in _class_numbers(fields, group)]
    return {
        name: np.stack(
            [
                fields.any_numbers(f"{one}/{name}", width).reshape(len(fields), width)
                for one in ones
            ],
            axis=1,
        )
        for name, width in _WIDTHS.items()
        if all(f"{one}/{name}" in fields for one in ones)
    }


def _of_one_array(fields: CryosparcFields, group: str) -> dict[str, Floats]:
    """Read fields that hold all classes, as arrays (n, classes, width)."""
    found: dict[str, Floats] = {}
    for name, width in _WIDTHS.items():
        values: Array | None = fields.values.get(f"{group}/{name}")
        if values is None:
            continue
        if values.dtype.kind not in "iuf" or (values[0].size % width):
            raise FormatError(
                f"{fields.path}: {group}/{name} is not {width} number(s) for each class."
            )
        found[name] = values.astype(np.float64).reshape(len(fields), -1, width)
    n_classes = {array.shape[1] for array in found.values()} - {1}
    if len(n_classes) > 1:
        counts = " and ".join(map(str, sorted(n_classes)))
        raise FormatError(f"{fields.path}: the fields of {group} are of {counts} classes.")
    return found


def _of_class(array: Floats, place: Indices) -> Floats:
    """Return the values of each particle's class; what is there once is of all classes."""
    rows = np.arange(len(array))
    values: Floats = array[rows, place] if array.shape[1] > 1 else array[:, 0]
    return values[:, 0] if values.shape[1] == 1 else values


def _poses(
    fields: CryosparcFields, alignment: _Alignment, apix: Floats, notes: list[str]
) -> Columns:
    pose = alignment.values["pose"]
    usable = np.isfinite(pose).all(axis=1)
    angles = np.full((len(pose), 3), np.nan)
    # The rotation vector turns view into object: RELION's matrix is the inverse.
    # SciPy loads its parts when they are used: most runs never read such a file
    turns = scipy.spatial.transform.Rotation.from_rotvec(-pose[usable]).as_matrix()
    angles[usable] = matrix_to_relion(turns)
    columns: Columns = dict(zip(ANGLE_LABELS, angles.T, strict=True))
    if "shift" in alignment.values:
        # Shifts are in pixels of the box that was aligned, which may be a downsampled one.
        size = alignment.values.get("psize_A", apix)
        origins = alignment.values["shift"] * size[:, None]
        columns |= dict(zip(ORIGIN_LABELS, origins.T, strict=True))
        usable &= np.isfinite(origins).all(axis=1)
    if not usable.all():
        notes.append(
            f"{fields.path}: {int((~usable).sum())} particles, the first is particle "
            f"{int(np.argmin(usable)) + 1}, have no pose in {alignment.group}: a search of all "
            "poses takes them, a run with given poses does not"
        )
    return columns


def _posteriors(alignment: _Alignment) -> Columns:
    posterior = alignment.values.get("class_posterior")
    if posterior is None or not np.isfinite(posterior).all() or not posterior.any():
        return {}
    return {_POSTERIOR: posterior}


def _halves(alignment: _Alignment) -> Columns:
    split = alignment.values.get("split")
    # A job that makes no halves writes 0 for every particle: that is no division.
    if split is None or not np.isfinite(split).all() or np.ptp(split) == 0:
        return {}
    return {_HALF: split.astype(np.int64) + 1}


def _tell_classes(fields: CryosparcFields, alignment: _Alignment, notes: list[str]) -> None:
    if alignment.n_classes > 1:
        pose = ", with its pose there" if "pose" in alignment.values else ""
        notes.append(
            f"{fields.path}: each particle is in the most probable of the {alignment.n_classes} "
            f"classes of {alignment.group}{pose}"
        )
    if alignment.group == _FLAT:
        notes.append(
            f"{fields.path}: classes are those of {_FLAT}; its angles in the plane and its shifts "
            "are not read"
        )
    assert alignment.classes is not None, "told where there are classes"
    lost = alignment.classes < 0
    if lost.any():
        notes.append(
            f"{fields.path}: {int(lost.sum())} particles, the first is particle "
            f"{int(np.argmax(lost)) + 1}, have no class in {alignment.group}: class 0"
        )


def _tell_what_is_left(fields: CryosparcFields, taken: list[str], notes: list[str]) -> None:
    """Name the alignments that are there and were not taken."""
    unread = [
        (group, file)
        for group, file in fields.files.items()
        if group.startswith("alignments") and group not in taken
    ]
    unread += fields.left
    if not unread:
        return
    words = ", ".join(f"{group} of {file.name}" for group, file in dict.fromkeys(unread))
    used = " and ".join(dict.fromkeys(f"{group} of {fields.files[group].name}" for group in taken))
    notes.append(
        f"{fields.path}: poses and classes are not read from {words}"
        f"{f'; they are those of {used}' if used else ''}"
    )
