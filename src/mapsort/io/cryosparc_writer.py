"""RELION's tables → cryoSPARC's particle sets (``.cs``) and the group file that names them.

The reverse of `mapsort.io.cryosparc` and `mapsort.io.cryosparc_poses`; what is not known of a
particle has the value that changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from mapsort.array_types import Array, Float32, Float64, Int64
from mapsort.errors import FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.cryosparc import ANGLES, MM_IN_ANG, NUMBERS, ONLY_KEPT, UID
from mapsort.io.cryosparc_fields import Columns, family
from mapsort.io.optics import GROUP, IMAGE_SIGN, PIXEL
from mapsort.io.star import ANGLE_LABELS, ORIGIN_LABELS

#: The layout of records and group files that is written: that of this version of cryoSPARC.
_VERSION = "v4.6.0"
_ONE = "alignments3D"
_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
#: What cryoSPARC expects of a CTF beside the columns that RELION has, and means nothing.
_PLAIN_CTF: Mapping[str, ArrayLike] = {
    "phase_shift_rad": 0.0,
    "scale": 1.0,
    "scale_const": 0.0,
    "shift_A": [0.0] * 2,
    "trefoil_A": [0.0] * 2,
    "tetra_A": [0.0] * 4,
    "anisomag": [0.0] * 4,
    "bfactor": 0.0,
}
#: The same for a pose.
_PLAIN_POSE: Mapping[str, float] = {
    **dict.fromkeys(("error", "error_min", "resid_pow", "slice_pow", "image_pow"), 0.0),
    **dict.fromkeys(("cross_cor", "alpha_min", "weight", "pose_ess", "shift_ess"), 0.0),
    "alpha": 1.0,
    "class_ess": 1.0,
}


def fields_of_table(
    optics: pd.DataFrame, particles: pd.DataFrame, *, paths: Sequence[str], box: int
) -> Columns:
    """Return cryoSPARC's fields of particles.

    Parameters
    ----------
    optics, particles : DataFrame
        RELION's tables. ``cryosparc_uid`` keeps the numbers that particles of a ``.cs`` had;
        others have numbers made of their image names.
    paths : sequence of str
        File and number of each image, as ``000001@stack.mrc``.
    box : int
        Side of the images [pixels].

    Returns
    -------
    dict of str to ndarray
        Field to values: ``uid``, those of ``blob``, and of ``ctf`` and ``alignments3D`` where the
        tables have CTFs and poses.
    """
    of_group = optics.set_index(GROUP)
    shared = [str(name) for name in of_group if name not in particles]
    table = particles.assign(**{name: particles[GROUP].map(of_group[name]) for name in shared})
    names = [path.partition("@") for path in paths]
    fields: Columns = {"uid": _uids(table, paths)}
    fields["blob/path"] = np.array([name.encode() for _, _, name in names], dtype=np.bytes_)
    fields["blob/idx"] = np.array([int(number) - 1 for number, _, _ in names], dtype=np.uint32)
    fields["blob/shape"] = _repeated([box, box], len(table), np.uint32)
    fields["blob/psize_A"] = _floats(table[PIXEL])
    fields["blob/sign"] = _floats(table.get(IMAGE_SIGN, pd.Series(1.0, index=table.index)))
    return fields | _ctf(table) | _pose(table)


def write_records(path: Path, fields: Columns) -> None:
    """Write fields as one array of records, ``uid`` first."""
    layout = [(name, column.dtype, column.shape[1:]) for name, column in fields.items()]
    records = np.empty(len(fields["uid"]), dtype=layout)
    for name, column in fields.items():
        records[name] = column
    with path.open("wb") as file:
        np.save(file, records, allow_pickle=False)


def group_text(name: str, fields: Columns, *, created: str, title: str) -> str:
    """Return the text of the ``.csg`` by which cryoSPARC imports a ``.cs`` of this name."""
    slots = dict.fromkeys(field.split("/")[0] for field in fields if field != "uid")
    lines = [f"created: {created}", "group:", f"  description: {title}", "  name: particles"]
    lines += [f"  title: {title}", "  type: particle", "results:"]
    for slot in slots:
        lines += [f"  {slot}:", f"    metafile: '>{name}'", f"    num_items: {len(fields['uid'])}"]
        lines.append(f"    type: particle.{_slot_type(slot)}")
    return "\n".join([*lines, f"version: {_VERSION}", ""])


def rows_of(uids: Array, wanted: NDArray[np.uint64], path: Path) -> Int64:
    """Return where particles are in a set, by their numbers."""
    order = np.argsort(uids, kind="stable")
    at = np.searchsorted(uids[order], wanted).clip(max=len(order) - 1)
    rows = order[at]
    missing = uids[rows] != wanted
    if missing.any():
        raise FormatError(f"{path}: it does not hold the particle uid {wanted[missing][0]}.")
    found: Int64 = rows.astype(np.int64)
    return found


def _slot_type(slot: str) -> str:
    return _ONE if family(slot) in ("alignments_class_k", "alignments_class3D_k") else slot


def _uids(table: pd.DataFrame, paths: Sequence[str]) -> NDArray[np.uint64]:
    """Return a number for each row, no two alike: copies of a particle have their own."""
    known = table[UID].astype("uint64").tolist() if UID in table else [None] * len(table)
    seen: Counter[object] = Counter()
    uids = np.empty(len(table), dtype=np.uint64)
    for row, (uid, path) in enumerate(zip(known, paths, strict=True)):
        what = path if uid is None else uid
        again = seen[what]
        seen[what] += 1
        if uid is None or again:
            digest = hashlib.blake2b(f"{what}#{again}".encode(), digest_size=8).digest()
            uid = int.from_bytes(digest, "little")
        uids[row] = uid
    return uids


def _ctf(table: pd.DataFrame) -> Columns:
    if "rlnDefocusU" not in table:
        return {}
    n = len(table)
    fields: Columns = {"ctf/type": np.full(n, b"imported")}
    fields["ctf/exp_group_id"] = table[GROUP].to_numpy(dtype=np.uint32)
    for name, plain in _PLAIN_CTF.items():
        fields[f"ctf/{name}"] = _repeated(plain, n, np.float32)
    for name, label in {**NUMBERS, **ONLY_KEPT}.items():
        if label in table and label != GROUP:
            fields[name] = _floats(table[label])
    for name, label in ANGLES.items():
        if label in table:
            fields[name] = np.deg2rad(table[label].to_numpy(dtype=np.float64)).astype(np.float32)
    tilt = np.zeros((n, 2))
    if all(label in table for label in _TILT):
        cs_ang = table["rlnSphericalAberration"].to_numpy(dtype=np.float64) * MM_IN_ANG
        mrad = table[list(_TILT)].to_numpy(dtype=np.float64)
        tilt = np.sin(mrad / 1e3) * cs_ang[:, None]
    return fields | {"ctf/tilt_A": tilt.astype(np.float32)}


def _pose(table: pd.DataFrame) -> Columns:
    if not all(label in table for label in ANGLE_LABELS):
        return {}
    n, apix = len(table), table[PIXEL].to_numpy(dtype=np.float64)
    angles = table[list(ANGLE_LABELS)].to_numpy(dtype=np.float64)
    usable = np.isfinite(angles).all(axis=1)
    pose = np.full((n, 3), np.nan)
    turns = scipy.spatial.transform.Rotation.from_matrix(relion_to_matrix(angles[usable]))
    # RELION's matrix turns the object into the view, this vector the view into the object.
    pose[usable] = -turns.as_rotvec()
    shift = np.zeros((n, 2))
    if all(label in table for label in ORIGIN_LABELS):
        shift = table[list(ORIGIN_LABELS)].to_numpy(dtype=np.float64) / apix[:, None]
    number = _column(table, "rlnClassNumber", 1).clip(min=1)
    fields: Columns = {
        "split": (_column(table, "rlnRandomSubset", 1) - 1).astype(np.uint32),
        "shift": shift.astype(np.float32),
        "pose": pose.astype(np.float32),
        "psize_A": apix.astype(np.float32),
        **{name: np.full(n, value, dtype=np.float32) for name, value in _PLAIN_POSE.items()},
        "class_posterior": _column(table, "rlnMaxValueProbDistribution", 1).astype(np.float32),
        "class": (number - 1).astype(np.uint32),
    }
    return {f"{_ONE}/{name}": values for name, values in fields.items()}


def _column(table: pd.DataFrame, label: str, default: float) -> Float64:
    if label not in table:
        return np.full(len(table), float(default))
    return table[label].to_numpy(dtype=np.float64)


def _floats(column: pd.Series[Any]) -> Float32:
    return column.to_numpy(dtype=np.float32)


def _repeated(value: ArrayLike, n: int, dtype: type[Any]) -> Array:
    one = np.asarray(value, dtype=dtype)
    return np.broadcast_to(one, (n, *one.shape)).copy()
