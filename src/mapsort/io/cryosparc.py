"""cryoSPARC's particle files (``.cs``) and their passthrough files → RELION's tables.

Field names, units and the sense of the rotation vector (it turns the view into the object: the
inverse of RELION's matrix) are facts of the format; see also Asarnow, Palovcak & Cheng, UCSF pyem,
doi:10.5281/zenodo.3576630.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Array, Float64
from mapsort.errors import FormatError
from mapsort.io.cryosparc_fields import Columns, CryosparcFields, read_records
from mapsort.io.cryosparc_poses import pose_columns
from mapsort.io.optics import GROUP, IMAGE_SIGN, PIXEL, group_optics

#: Column of the number that cryoSPARC knows a particle by.
UID = "cryosparc_uid"
#: Field to column: numbers as they are.
NUMBERS: Mapping[str, str] = {
    "ctf/df1_A": "rlnDefocusU",
    "ctf/df2_A": "rlnDefocusV",
    "ctf/accel_kv": "rlnVoltage",
    "ctf/cs_mm": "rlnSphericalAberration",
    "ctf/amp_contrast": "rlnAmplitudeContrast",
    "ctf/bfactor": "rlnCtfBfactor",
    "ctf/exp_group_id": GROUP,
}
#: Told by the fit of the CTF, and used by nothing here: not a number in any of them is no fault.
ONLY_KEPT: Mapping[str, str] = {
    "ctf/cross_corr_ctffind4": "rlnCtfFigureOfMerit",
    "ctf/ctf_fit_to_A": "rlnCtfMaxResolution",
}
#: Field [rad] to column [degrees].
ANGLES: Mapping[str, str] = {
    "ctf/df_angle_rad": "rlnDefocusAngle",
    "ctf/phase_shift_rad": "rlnPhaseShift",
}
_CTF_FIELDS = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm")
MM_IN_ANG = 1e7


def read_cryosparc(
    path: Path, passthrough: Sequence[str | Path] = (), *, apix: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Read a particle set of cryoSPARC as optics, particles and notes.

    Fields that the set itself lacks are taken from its passthrough files, particle by particle as
    ``uid`` says. Image names keep the project's relative paths; `apix` takes the place of the
    file's.

    Raises
    ------
    FormatError
        A file is missing, damaged or holds Python objects; images are not named in any of the
        files; a passthrough file does not know a particle; a value is not usable.
    """
    fields = CryosparcFields.read(path, passthrough)
    for name in ("blob/path", "blob/idx"):
        if name not in fields:
            raise FormatError(
                f"{path}: it has no {name}: its images are named in its passthrough file"
                f"{', not in the one given' if passthrough else ''}. "
                "Give that (…_passthrough_particles.cs) with --passthrough."
            )
    _refuse_volumes(fields)
    notes: list[str] = []
    table = pd.DataFrame({"rlnImageName": _image_names(fields)})
    table[PIXEL] = _pixel_sizes(fields) if apix is None else float(apix)
    table = table.assign(**_optics_and_ctf(fields, notes))
    table = table.assign(**pose_columns(fields, table[PIXEL].to_numpy(dtype=np.float64), notes))
    table = table.assign(**_places_on_micrographs(fields, notes), **_signs(fields, notes))
    table[UID] = fields.values["uid"].astype(np.uint64)
    optics, particles = group_optics(table)
    return optics, particles, notes


def field_names(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of particles of a ``.cs`` file and what it holds of each."""
    records = read_records(path)
    return len(records), records.dtype.names or ()


def _refuse_volumes(fields: CryosparcFields) -> None:
    shape = fields.values.get("blob/shape")
    if shape is not None and shape.ndim == 2 and shape.shape[1] > 2:
        raise FormatError(
            f"{fields.path}: blob/shape has {shape.shape[1]} sizes: these are volumes "
            "(subtomograms), not single particles, and are not read."
        )


def _pixel_sizes(fields: CryosparcFields) -> Float64:
    if "blob/psize_A" not in fields:
        raise FormatError(
            f"{fields.path}: it has no blob/psize_A; give the pixel size with --apix."
        )
    sizes = fields.numbers("blob/psize_A")
    if (sizes <= 0).any():
        raise FormatError(f"{fields.path}: blob/psize_A must be positive.")
    return _decimals(sizes)


def _signs(fields: CryosparcFields, notes: list[str]) -> Columns:
    """Tell which images hold dark density; where none does, nothing."""
    if "blob/sign" not in fields:
        return {}
    dark = fields.numbers("blob/sign") < 0
    if not dark.any():
        return {}
    which = "every image" if dark.all() else f"{int(dark.sum())} of {len(dark)} images"
    notes.append(
        f"{fields.path}: blob/sign is -1 for {which}: density is dark in the files and is made "
        "white as they are read; no --invert is needed"
    )
    return {IMAGE_SIGN: np.where(dark, -1, 1)}


def _image_names(fields: CryosparcFields) -> list[str]:
    path, indices = fields.path, fields.values["blob/idx"]
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or (indices > 1 << 40).any():
        raise FormatError(f"{path}: blob/idx is not a number of an image.")
    if indices.dtype.kind == "i" and (indices < 0).any():
        raise FormatError(f"{path}: particle {int(np.argmax(indices < 0)) + 1}: blob/idx is < 0.")
    # ">" marks a file that cryoSPARC made within its project.
    names = [name.removeprefix(">") for name in fields.texts("blob/path")]
    for name in dict.fromkeys(names):
        if not name.strip() or any(character < " " for character in name):
            row = names.index(name) + 1
            raise FormatError(f"{path}: particle {row}: blob/path {name!r} is no file name.")
    return [f"{index + 1:06d}@{name}" for index, name in zip(indices.tolist(), names, strict=True)]


def _optics_and_ctf(fields: CryosparcFields, notes: list[str]) -> Columns:
    path = fields.path
    has_ctf = all(name in fields for name in _CTF_FIELDS)
    if not has_ctf:
        missing = next(name for name in _CTF_FIELDS if name not in fields)
        notes.append(f"{path}: no CTF: it has no {missing}; a passthrough file may have it")
    columns: Columns = {}
    for name, label in NUMBERS.items():
        if name in fields and (has_ctf or label == GROUP):
            columns[label] = fields.numbers(name)
    for name, label in ONLY_KEPT.items():
        if name in fields and has_ctf:
            columns[label] = fields.any_numbers(name)
    for name, label in ANGLES.items():
        if name in fields and has_ctf:
            columns[label] = np.rad2deg(fields.numbers(name))
    if has_ctf and "rlnAmplitudeContrast" not in columns:
        raise FormatError(f"{path}: incomplete CTF: it has no ctf/amp_contrast.")
    for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        if label in columns:
            columns[label] = _decimals(columns[label])
    if GROUP in columns:
        columns[GROUP] = columns[GROUP].astype(np.int64)
    if has_ctf:
        columns |= _beam_tilt(fields, columns["rlnSphericalAberration"])
    return {label: values for label, values in columns.items() if _says_something(label, values)}


def _beam_tilt(fields: CryosparcFields, cs_mm: Float64) -> Columns:
    """Return the beam tilt [mrad]; nothing here uses it."""
    if "ctf/tilt_A" not in fields or not (cs_mm > 0).all():
        return {}
    sine = fields.any_numbers("ctf/tilt_A", 2) / (cs_mm[:, None] * MM_IN_ANG)
    tilt_mrad = 1e3 * np.arcsin(np.clip(sine, -1, 1))
    if not tilt_mrad.any():
        return {}
    return {"rlnBeamTiltX": tilt_mrad[:, 0], "rlnBeamTiltY": tilt_mrad[:, 1]}


def _says_something(label: str, values: Array) -> bool:
    return bool(values.any()) or label not in ("rlnCtfBfactor", "rlnPhaseShift")


def _decimals(values: Float64) -> Float64:
    """Drop what float32 added to decimals of seven digits."""
    distinct, place = np.unique(values, return_inverse=True)
    return np.array([float(f"{value:.7g}") for value in distinct.tolist()])[place]


def _places_on_micrographs(fields: CryosparcFields, notes: list[str]) -> Columns:
    columns: Columns = {}
    if "location/micrograph_path" in fields:
        names = fields.texts("location/micrograph_path")
        columns["rlnMicrographName"] = np.array([n.removeprefix(">") for n in names], dtype=object)
    wanted = ("location/center_x_frac", "location/center_y_frac", "location/micrograph_shape")
    if all(name in fields for name in wanted):
        rows, n_columns = fields.any_numbers("location/micrograph_shape", 2).T
        columns["rlnCoordinateX"] = fields.any_numbers("location/center_x_frac") * n_columns
        # cryoSPARC counts y from the bottom of the micrograph, RELION from the top.
        columns["rlnCoordinateY"] = (1 - fields.any_numbers("location/center_y_frac")) * rows
        notes.append(
            f"{fields.path}: rlnCoordinateY is (1 - location/center_y_frac) x rows: cryoSPARC "
            "counts from the bottom; it is the other way round on micrographs that another "
            "program motion-corrected without turning them upside down"
        )
    return columns
