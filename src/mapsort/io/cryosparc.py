"""cryoSPARC's particle files (``.cs``) and their passthrough files → RELION's tables.

A ``.cs`` file is one NumPy array of records. Field names, units and the sense of the rotation
vector (it turns the view into the object: the inverse of RELION's matrix) are facts of the format;
see also Asarnow, Palovcak & Cheng, UCSF pyem, doi:10.5281/zenodo.3576630.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from mapsort.errors import FormatError
from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.optics import GROUP, PIXEL, group_optics
from mapsort.io.star import ANGLE_LABELS, ORIGIN_LABELS

Columns = dict[str, NDArray[Any]]

_HEADER_BYTES = 1 << 20  # a particle set has some hundred fields; NumPy's own limit is 10 kB
_DAMAGES = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError)
_NUMBERS: Mapping[str, str] = {
    "ctf/df1_A": "rlnDefocusU",
    "ctf/df2_A": "rlnDefocusV",
    "ctf/accel_kv": "rlnVoltage",
    "ctf/cs_mm": "rlnSphericalAberration",
    "ctf/amp_contrast": "rlnAmplitudeContrast",
    "ctf/cross_corr_ctffind4": "rlnCtfFigureOfMerit",
    "ctf/ctf_fit_to_A": "rlnCtfMaxResolution",
    "ctf/bfactor": "rlnCtfBfactor",
    "ctf/exp_group_id": GROUP,
    "blob/psize_A": PIXEL,
}
_ANGLES: Mapping[str, str] = {
    "ctf/df_angle_rad": "rlnDefocusAngle",
    "ctf/phase_shift_rad": "rlnPhaseShift",
}
_CTF_FIELDS = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm")
_MM_IN_ANG = 1e7


def read_cryosparc(
    path: Path, passthrough: Sequence[str | Path] = (), *, apix: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Read a particle set of cryoSPARC.

    Parameters
    ----------
    path : Path
        The ``.cs`` file.
    passthrough : sequence of str or Path, optional
        Its passthrough files: fields that the set itself lacks are taken from them, particle by
        particle as ``uid`` says.
    apix : float, optional
        Pixel size [A/pixel] to use in place of the file's.

    Returns
    -------
    optics, particles : DataFrame
        RELION 3.1 tables. Image names keep the project's relative paths.
    notes : list of str
        What the user should know.

    Raises
    ------
    FormatError
        A file is missing, damaged or holds Python objects; images are not named in any of the
        files; a passthrough file does not know a particle; a value is not usable.
    """
    fields = _fields(path)
    for extra in passthrough:
        _join(path, fields, Path(extra))
    for name in ("blob/path", "blob/idx"):
        if name not in fields:
            raise FormatError(
                f"{path}: it has no {name}: its images are named in its passthrough file"
                f"{', not in the one given' if passthrough else ''}. "
                "Give that (…_passthrough_particles.cs) with --passthrough."
            )
    notes: list[str] = []
    table = pd.DataFrame({"rlnImageName": _image_names(path, fields)})
    table = table.assign(**_optics_and_ctf(path, fields, notes))
    if apix is not None:
        table[PIXEL] = float(apix)
    if PIXEL not in table:
        raise FormatError(f"{path}: it has no blob/psize_A; give the pixel size with --apix.")
    table = table.assign(**_poses(path, fields, table[PIXEL].to_numpy(dtype=np.float64)))
    table = table.assign(**_origins_on_micrographs(path, fields))
    if "blob/sign" in fields and (_numbers(path, fields, "blob/sign") < 0).any():
        notes.append(f"{path}: blob/sign is -1: density is dark in the images; --invert if so")
    optics, particles = group_optics(table)
    return optics, particles, notes


def field_names(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of particles of a ``.cs`` file and what it holds of each.

    Raises
    ------
    FormatError
        The file is missing, damaged, or holds Python objects.
    """
    records = _records(path)
    return len(records), records.dtype.names or ()


def _fields(path: Path) -> Columns:
    records = _records(path)
    names = records.dtype.names or ()
    return {name: records[name] for name in names}


def _records(path: Path) -> NDArray[Any]:
    """Read one array of records; its size is checked against the file's before memory is taken."""
    try:
        with path.open("rb") as file:
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
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file.") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}.") from error
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


def _join(path: Path, fields: Columns, extra: Path) -> None:
    """Add the fields that are missing, in the order of the particles."""
    more = _fields(extra)
    if more["uid"].ndim != 1 or fields["uid"].ndim != 1 or more["uid"].dtype.kind not in "iu":
        raise FormatError(f"{extra}: uid is not a number.")
    order = np.argsort(more["uid"], kind="stable")
    ascending = more["uid"][order]
    at = np.searchsorted(ascending, fields["uid"]).clip(max=len(order) - 1)
    known = ascending[at] == fields["uid"]
    if not known.all():
        row = int(np.argmin(known))
        raise FormatError(
            f"{extra}: {int((~known).sum())} particles of {path} are not in it, the first is "
            f"particle {row + 1} (uid {fields['uid'][row]}). Give the passthrough of the same job."
        )
    rows = order[at]
    for name, values in more.items():
        if name not in fields:
            fields[name] = values[rows]


def _image_names(path: Path, fields: Columns) -> list[str]:
    indices = fields["blob/idx"]
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or (indices > 1 << 40).any():
        raise FormatError(f"{path}: blob/idx is not a number of an image.")
    if indices.dtype.kind == "i" and (indices < 0).any():
        raise FormatError(f"{path}: particle {int(np.argmax(indices < 0)) + 1}: blob/idx is < 0.")
    names = _texts(path, fields, "blob/path")
    # ">" marks a file that cryoSPARC made within its project.
    stripped = [name.removeprefix(">") for name in names]
    for row, name in enumerate(stripped):
        if not name or name.split() != [name] or "@" in name:
            raise FormatError(f"{path}: particle {row + 1}: blob/path {name!r} is no file name.")
    return [
        f"{index + 1:06d}@{name}" for index, name in zip(indices.tolist(), stripped, strict=True)
    ]


def _texts(path: Path, fields: Columns, name: str) -> list[str]:
    values = fields[name]
    if values.dtype.kind not in "SU" or values.ndim != 1:
        raise FormatError(f"{path}: {name} is not text.")
    try:
        # Distinct names are few; decoding each of a million is slow.
        distinct, place = np.unique(values, return_inverse=True)
        decoded = [v.decode() if isinstance(v, bytes) else str(v) for v in distinct.tolist()]
    except (UnicodeDecodeError, ValueError) as error:
        raise FormatError(f"{path}: {name} is not text: {error}.") from error
    if any("\0" in text for text in decoded):
        raise FormatError(f"{path}: {name} is not text.")
    return [decoded[i] for i in place.tolist()]


def _numbers(path: Path, fields: Columns, name: str, width: int = 1) -> NDArray[np.float64]:
    values = fields[name]
    shape = (len(values),) if width == 1 else (len(values), width)
    if values.dtype.kind not in "iuf" or values.shape != shape:
        raise FormatError(f"{path}: {name} is not {width} number(s) for each particle.")
    numbers = values.astype(np.float64)
    bad = ~np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if bad.any():
        raise FormatError(f"{path}: particle {int(np.argmax(bad)) + 1}: {name} is not finite.")
    return numbers


def _optics_and_ctf(path: Path, fields: Columns, notes: list[str]) -> Columns:
    has_ctf = all(name in fields for name in _CTF_FIELDS)
    if not has_ctf:
        missing = next(name for name in _CTF_FIELDS if name not in fields)
        notes.append(f"{path}: no CTF: it has no {missing}; a passthrough file may have it")
    columns: Columns = {}
    for name, label in _NUMBERS.items():
        if name in fields and (has_ctf or not name.startswith("ctf/") or label == GROUP):
            columns[label] = _numbers(path, fields, name)
    for name, label in _ANGLES.items():
        if name in fields and has_ctf:
            columns[label] = np.rad2deg(_numbers(path, fields, name))
    if has_ctf and "rlnAmplitudeContrast" not in columns:
        raise FormatError(f"{path}: incomplete CTF: it has no ctf/amp_contrast.")
    if PIXEL in columns:
        if (columns[PIXEL] <= 0).any():
            raise FormatError(f"{path}: blob/psize_A must be positive.")
        columns[PIXEL] = _decimals(columns[PIXEL])
    for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        if label in columns:
            columns[label] = _decimals(columns[label])
    if GROUP in columns:
        columns[GROUP] = columns[GROUP].astype(np.int64)
    if has_ctf and "ctf/tilt_A" in fields and (columns["rlnSphericalAberration"] > 0).all():
        cs_ang = columns["rlnSphericalAberration"][:, None] * _MM_IN_ANG
        sine = _numbers(path, fields, "ctf/tilt_A", 2) / cs_ang
        tilt_mrad = 1e3 * np.arcsin(np.clip(sine, -1, 1))
        if tilt_mrad.any():
            columns |= {"rlnBeamTiltX": tilt_mrad[:, 0], "rlnBeamTiltY": tilt_mrad[:, 1]}
    return {label: values for label, values in columns.items() if _says_something(label, values)}


def _says_something(label: str, values: NDArray[Any]) -> bool:
    return bool(values.any()) or label not in ("rlnCtfBfactor", "rlnPhaseShift")


def _decimals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop what float32 added to decimals of seven digits."""
    distinct, place = np.unique(values, return_inverse=True)
    return np.array([float(f"{value:.7g}") for value in distinct.tolist()])[place]


def _poses(path: Path, fields: Columns, apix: NDArray[np.float64]) -> Columns:
    group = _alignment(path, fields)
    if group is None:
        return {}
    prefix, classes = group
    columns: Columns = {} if classes is None else {"rlnClassNumber": classes + 1}

    def chosen(name: str, width: int) -> NDArray[np.float64]:
        if classes is None or "{}" not in prefix:
            return _numbers(path, fields, f"{prefix}/{name}", width)
        every = {
            int(k): _numbers(path, fields, f"{prefix.format(k)}/{name}", width)
            for k in np.unique(classes)
        }
        result = np.empty_like(next(iter(every.values())))
        for k, values in every.items():
            result[classes == k] = values[classes == k]
        return result

    one = prefix.format(0)
    if f"{one}/pose" in fields:
        # The rotation vector turns view into object: RELION's matrix is the inverse.
        # SciPy loads its parts when they are used: most runs never read such a file
        turns = scipy.spatial.transform.Rotation.from_rotvec(-chosen("pose", 3)).as_matrix()
        columns |= dict(zip(ANGLE_LABELS, matrix_to_relion(turns).T, strict=True))
        if f"{one}/shift" in fields:
            # Shifts are in pixels of the box that was aligned, which may be a downsampled one.
            size = chosen("psize_A", 1) if f"{one}/psize_A" in fields else apix
            origins = chosen("shift", 2) * size[:, None]
            columns |= dict(zip(ORIGIN_LABELS, origins.T, strict=True))
    if f"{one}/split" in fields:
        columns["rlnRandomSubset"] = chosen("split", 1).astype(np.int64) + 1
    return columns


def _alignment(path: Path, fields: Columns) -> tuple[str, NDArray[np.int64] | None] | None:
    """Say which fields hold the poses: one alignment, or the most probable of several classes."""
    probable: list[NDArray[np.float64]] = []
    while f"alignments_class_{len(probable)}/class_posterior" in fields:
        name = f"alignments_class_{len(probable)}/class_posterior"
        probable.append(_numbers(path, fields, name))
    if probable:
        return "alignments_class_{}", np.argmax(np.stack(probable), axis=0).astype(np.int64)
    if "alignments3D/pose" not in fields:
        return None
    classes = None
    if "alignments3D/class" in fields:
        classes = _numbers(path, fields, "alignments3D/class").astype(np.int64)
    return "alignments3D", classes


def _origins_on_micrographs(path: Path, fields: Columns) -> Columns:
    columns: Columns = {}
    if "location/micrograph_path" in fields:
        names = _texts(path, fields, "location/micrograph_path")
        columns["rlnMicrographName"] = np.array([n.removeprefix(">") for n in names], dtype=object)
    wanted = ("location/center_x_frac", "location/center_y_frac", "location/micrograph_shape")
    if all(name in fields for name in wanted):
        shape = _numbers(path, fields, "location/micrograph_shape", 2)
        for axis, label in enumerate(("rlnCoordinateX", "rlnCoordinateY")):
            columns[label] = _numbers(path, fields, wanted[axis]) * shape[:, 1 - axis]
    return columns
