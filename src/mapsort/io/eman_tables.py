"""EMAN2's image headers and lists ↔ RELION's tables.

``ctf`` becomes the defocus columns, ``xform.projection`` angles and origins, ``apix_x`` the pixel
size. Items named as RELION labels (``rln...``) are columns as they stand: this is how columns that
EMAN2 has no name for survive in its files; columns of neither program are items ``star_<name>``.
Other columns of lists are kept as ``eman_<name>``.

``xform.projection`` and RELION's angles mean the same rotation; EMAN2's translation says how the
projection of the map moves onto the particle, RELION's origin how the particle moves to the centre:
they are opposite. A mirrored transform, ``M (R x + t)`` with ``M = diag(-1, 1, 1)``, projects like
the rotation ``diag(-1, 1, -1) R``: turning the object over mirrors its projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mapsort.array_types import Array, Float64
from mapsort.errors import FormatError
from mapsort.geometry.euler import matrix_to_relion, relion_to_matrix
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.image_stack import HDF_SUFFIXES, MRC_SUFFIXES
from mapsort.io.lst import read_list
from mapsort.io.mrc_header import read_header
from mapsort.io.optics import FLIPPED, GROUP, PIXEL, group_optics
from mapsort.io.star import ANGLE_LABELS, ORIGIN_LABELS, ctf_values, resolve_stack

_ROTATION_TOLERANCE = 1e-3


def poses_from_eman(matrices: Array) -> tuple[Float64, Float64]:
    """Return RELION's poses of EMAN2's transforms (n, 3, 4), shifts in pixels.

    Angles rot, tilt, psi (n, 3) [degrees], and rlnOriginX, rlnOriginY (n, 2) in pixels.

    Raises
    ------
    ValueError
        A matrix is not a rotation or a mirrored one (it is scaled or sheared); the message gives
        its index.
    """
    values = np.asarray(matrices, dtype=np.float64)
    turn, shift = values[:, :, :3], values[:, :2, 3]
    with np.errstate(all="ignore"):
        error = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2), initial=0)
        usable = (error < _ROTATION_TOLERANCE) & np.isfinite(values).all(axis=(1, 2))
    if not usable.all():
        raise ValueError(f"transform {int(np.argmin(usable))} is not a rotation and a shift")
    mirrored = np.linalg.det(turn) < 0
    # M R has the mirror in its first row; the proper rotation that projects alike has M3 = M Mz.
    proper = np.where(mirrored[:, None, None], np.diag([1.0, 1.0, -1.0]) @ turn, turn)
    return matrix_to_relion(proper), -shift


def eman_from_poses(angles_deg: Array, origins_px: Array) -> Float64:
    """Return EMAN2's transforms (n, 3, 4), never mirrored, of RELION's poses in pixels."""
    matrices = np.zeros((len(angles_deg), 3, 4))
    matrices[:, :, :3] = relion_to_matrix(np.asarray(angles_deg, dtype=np.float64))
    matrices[:, :2, 3] = -np.asarray(origins_px, dtype=np.float64)
    return matrices


PREFIX = "eman_"
_OWN = "star_"  # marks items that are columns of neither program
_POSE = "xform.projection"
_NEEDED = ("ctf", _POSE, "apix_x", "ptcl_source_image", "ptcl_source_coord")
_DERIVED = (
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnCtfBfactor",
    *ANGLE_LABELS,
    *ORIGIN_LABELS,
    "rlnImageName",
    PIXEL,
    "rlnImageSize",
)
_AT_ONCE = 20_000

_Image = tuple[str, Mapping[str, Any], Mapping[str, Any]]  # name, header, what a list adds
Tables = tuple[pd.DataFrame, pd.DataFrame, list[str]]


def read_hdf_particles(path: Path, *, apix: float | None = None) -> Tables:
    """Read the headers of an EMAN2 stack of particles as optics, particles and notes.

    Raises
    ------
    FormatError
        The file or a header is damaged, or only some images have a CTF.
    """
    with HdfReader(path) as reader:
        if reader.n_images < 1:
            raise FormatError(f"{path}: the file holds no image.")
        rows: Iterator[_Image] = (
            (f"{index + 1:06d}@{path}", reader.header(index, wanted=_is_wanted), {})
            for index in range(reader.n_images)
        )
        return _tables(path, rows, apix)


def read_list_particles(
    path: Path, *, apix: float | None = None, datadir: str | Path | None = None
) -> Tables:
    """Read an EMAN2 list, and headers of images that it names, as optics, particles and notes.

    Stacks are looked for in `datadir` first.

    Raises
    ------
    FormatError
        The list, a stack or a header is missing or damaged, or only some images have a CTF.
    """
    listed = read_list(path)
    headers = _ListedHeaders(path, datadir)
    rows = (
        (f"{index + 1:06d}@{name}", headers.of(name, index), extra)
        for index, name, extra in zip(
            listed.indices.tolist(), listed.names, listed.extras, strict=True
        )
    )
    try:
        optics, particles, notes = _tables(path, rows, apix)
    finally:
        headers.close()
    if listed.n_commented:
        notes.append(f"{path}: {listed.n_commented} records behind # are left out, as EMAN2 does")
    return optics, particles, notes


def eman_headers(optics: pd.DataFrame, particles: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the header items that say of each particle what the tables say.

    ``ctf`` (`EmanCtf`), ``xform.projection`` (`EmanTransform`), ``apix_x`` and the items that keep
    the other columns; missing values are left out.

    Raises
    ------
    FormatError
        CTF columns are incomplete or unusable.
    """
    whole = particles.merge(
        optics[[c for c in optics if c == GROUP or c not in particles]], on=GROUP, how="left"
    )
    apix = whole[PIXEL].to_numpy(dtype=np.float64)
    ctf = ctf_values("output", optics, particles)
    poses = _eman_poses(whole, apix)
    kept = [label for label in whole if label not in _DERIVED]
    if ctf is not None and FLIPPED not in whole:
        whole[FLIPPED] = 0  # EMAN2's own images with a CTF are phase-flipped; these are not
        kept.append(FLIPPED)
    columns = {str(label): whole[label].tolist() for label in kept}
    for row in range(len(whole)):
        items: dict[str, Any] = {"apix_x": float(apix[row])}
        if ctf is not None:
            values = {label: float(column[row]) for label, column in ctf.items()}
            items["ctf"] = EmanCtf.from_parameters(values, float(apix[row]))
        if poses is not None:
            items[_POSE] = EmanTransform(poses[row])
        for label, column in columns.items():
            if not pd.isna(column[row]):
                items[_item_name(label)] = _storable(column[row])
        yield items


def _item_name(label: str) -> str:
    """Return what a column is called among header items; see `_column_name`."""
    if label.startswith(PREFIX):
        return label.removeprefix(PREFIX)
    return label if label.startswith("rln") else f"{_OWN}{label}"


def _column_name(item: str, *, listed: bool) -> str | None:
    """Return what column a header item is, None if it is none.

    A list has no items but those that somebody wanted, a header has dozens of EMAN2's.
    """
    if item.startswith(_OWN):
        return item.removeprefix(_OWN)
    if item.startswith("rln"):
        return item if item not in _DERIVED else None
    return f"{PREFIX}{item}" if listed and item not in _NEEDED else None


def _storable(value: Any) -> Any:
    """Keep integers that EMAN2's 32 bits cannot hold as text."""
    if isinstance(value, int) and not -(1 << 31) <= value < 1 << 31:
        return str(value)
    return value


class _ListedHeaders:
    """Headers of images in the stacks of a list; the file read last stays open."""

    def __init__(self, path: Path, datadir: str | Path | None) -> None:
        self._path, self._datadir = path, datadir
        self._name = ""
        self._reader: HdfReader | None = None
        self._apix: float | None = None

    def of(self, name: str, index: int) -> Mapping[str, Any]:
        if name != self._name:
            self._open(name)
        if self._reader is not None:
            return self._reader.header(index, wanted=_is_wanted)
        return {} if self._apix is None else {"apix_x": self._apix}

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _open(self, name: str) -> None:
        self.close()
        file = resolve_stack(name, self._path, datadir=self._datadir)
        suffix = file.suffix.lower()
        if suffix in HDF_SUFFIXES:
            self._reader = HdfReader(file)
        elif suffix in MRC_SUFFIXES:
            self._apix = read_header(file).apix
        else:
            raise FormatError(
                f"{self._path}: {name} is no stack ({', '.join((*HDF_SUFFIXES, *MRC_SUFFIXES))}); "
                "lists of lists are not read."
            )
        self._name = name


def _is_wanted(name: str) -> bool:
    return name in _NEEDED or name.startswith(("rln", _OWN))


@lru_cache(maxsize=4096)
def _parsed_ctf(text: str) -> EmanCtf:
    # Particles of one micrograph have one CTF text, and its curves are long.
    return EmanCtf.from_text(text)


def _tables(
    path: Path,
    images: Iterable[_Image],
    apix: float | None,
) -> Tables:
    numbered = enumerate(images)
    parts = []
    # A dictionary takes ten times the memory of a table's row.
    while part := [_row(path, number, *image) for number, image in islice(numbered, _AT_ONCE)]:
        parts.append(pd.DataFrame.from_records(part))
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    notes: list[str] = []
    table = _with_pixel_size(path, table, apix)
    table = _with_poses(path, table, notes)
    table = _with_ctf(path, table, notes)
    for label in ("rlnPhaseShift", "rlnCtfBfactor"):
        if label in table and not table[label].any():
            table = table.drop(columns=label)
    optics, particles = group_optics(table)
    return optics, particles, notes


def _row(
    path: Path, number: int, name: str, header: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    items = {**header, **extra}
    row: dict[str, Any] = {"rlnImageName": name}
    for item, value in items.items():
        label = _column_name(item, listed=item in extra)
        if label and isinstance(value, _SCALARS):
            row[label] = value
    try:
        return row | _facts(items)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: image {number}: {error}.") from error


_SCALARS = (int, float, str)


def _facts(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return what EMAN2's own items say, under RELION's labels."""
    facts: dict[str, Any] = {}
    if "apix_x" in items:
        facts[PIXEL] = float(items["apix_x"])
    if "ctf" in items:
        ctf = items["ctf"] if isinstance(items["ctf"], EmanCtf) else _parsed_ctf(str(items["ctf"]))
        facts |= ctf.parameters(items.get("rlnPhaseShift"))
    pose = items.get(_POSE)
    if isinstance(pose, EmanTransform):
        facts[_POSE] = pose.matrix
    if isinstance(items.get("ptcl_source_image"), str):
        facts.setdefault("rlnMicrographName", items["ptcl_source_image"])
    centre = items.get("ptcl_source_coord")
    if isinstance(centre, list) and len(centre) == 2:
        facts["rlnCoordinateX"], facts["rlnCoordinateY"] = map(float, centre)
    return {label: value for label, value in facts.items() if label not in _explicit(items)}


def _explicit(items: Mapping[str, Any]) -> set[str]:
    """Labels that stand in the header themselves and are more exact than what EMAN2 says."""
    return {"rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"} & set(items)


def _with_pixel_size(path: Path, table: pd.DataFrame, apix: float | None) -> pd.DataFrame:
    if apix is not None:
        return table.assign(**{PIXEL: float(apix)})
    if PIXEL not in table or table[PIXEL].isna().any():
        raise FormatError(f"{path}: not every image states its pixel size; give it with --apix.")
    sizes = table[PIXEL].to_numpy(dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise FormatError(f"{path}: the pixel size must be positive, not {sizes.min():g}.")
    # Seven digits: headers keep float32 or float64 of the same decimal.
    return table.assign(**{PIXEL: [float(f"{size:.7g}") for size in sizes]})


def _with_poses(path: Path, table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    if _POSE not in table:
        return table
    matrices = table.pop(_POSE)
    missing = matrices.isna().to_numpy()
    if missing.any():
        notes.append(f"{path}: {missing.sum()} images have no {_POSE}: all poses are left out")
        return table
    try:
        angles, origins = poses_from_eman(np.stack(matrices.to_list()))
    except ValueError as error:
        raise FormatError(f"{path}: {_POSE}: {error} (counted from 0).") from error
    apix = table[PIXEL].to_numpy(dtype=np.float64)
    columns = dict(zip(ANGLE_LABELS, angles.T, strict=True))
    columns |= dict(zip(ORIGIN_LABELS, (origins * apix[:, None]).T, strict=True))
    return table.assign(**columns)


def _with_ctf(path: Path, table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    if "rlnDefocusU" not in table:
        return table
    missing = np.flatnonzero(table["rlnDefocusU"].isna().to_numpy())
    if missing.size:
        raise FormatError(
            f"{path}: image {int(missing[0])} has no ctf and others have. Determine it for all."
        )
    if FLIPPED in table and not table[FLIPPED].isna().any():
        return table
    notes.append(
        f"{path}: images with EMAN2's ctf in their headers are taken for phase-flipped, as EMAN2 "
        "writes them; --ctf=apply if they are not"
    )
    return table.assign(**{FLIPPED: 1})


def _eman_poses(whole: pd.DataFrame, apix: Float64) -> Float64 | None:
    if not all(label in whole for label in ANGLE_LABELS):
        return None
    angles = whole[list(ANGLE_LABELS)].to_numpy(dtype=np.float64)
    origins = np.zeros((len(whole), 2))
    for axis, label in enumerate(ORIGIN_LABELS):
        if label in whole:
            origins[:, axis] = whole[label].to_numpy(dtype=np.float64) / apix
    return eman_from_poses(angles, origins)
