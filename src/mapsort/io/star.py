"""RELION particle tables: read (3.0, 3.1, 4, 5) and checked, in Angstrom, written as 3.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Float64, Int64
from mapsort.errors import FormatError
from mapsort.io.optics import GROUP, PIXEL, group_optics
from mapsort.io.star_tables import read_noted_tables, write_tables
from mapsort.io.table_notes import refuse_tilt_series

_ENABLED = "rlnEnabled"  # Scipion's: 1, or -1 or 0 for what its user has disabled
_AGREE_PX = 0.01  # origins in pixels and Angstrom that differ by less were rounded


def finite_numbers(
    path: str | Path, label: str, column: pd.Series, *, what: str = "particle"
) -> Float64:
    """Return a column as numbers, (n,) float64; messages call a row ``what``.

    Raises
    ------
    FormatError
        A value is no number, NaN or infinite.
    """
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise FormatError(
            f"{path}: {what} {row + 1}: {label} is {column.iloc[row]}, not a usable number."
        )
    return values


def enabled_only(path: Path, particles: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Leave out what Scipion's user has disabled, and note how many.

    Raises
    ------
    FormatError
        None is enabled.
    """
    if _ENABLED not in particles:
        return particles
    used = finite_numbers(path, _ENABLED, particles[_ENABLED]) > 0
    if used.all():
        return particles
    if not used.any():
        raise FormatError(f"{path}: {_ENABLED} is 0 or -1 for all {len(used)} particles.")
    notes.append(
        f"{path}: {np.count_nonzero(~used)} of {len(used)} particles are left out: {_ENABLED} is "
        "0 or -1"
    )
    return particles[used].reset_index(drop=True)


def in_angstrom(
    path: Path, optics: pd.DataFrame, particles: pd.DataFrame, notes: list[str]
) -> pd.DataFrame:
    """Bring origins in pixels to Angstrom; where there are both, those in Angstrom count.

    Where they disagree there is a note.

    Raises
    ------
    FormatError
        An origin is not a usable number.
    """
    in_pixels = [label for label in ("rlnOriginX", "rlnOriginY") if label in particles]
    if not in_pixels:
        return particles
    pixel = particles[GROUP].map(optics.set_index(GROUP)[PIXEL]).to_numpy(dtype=np.float64)
    new: dict[str, Float64] = {}
    for label in in_pixels:
        target = f"{label}Angst"
        origin = finite_numbers(path, label, particles[label]) * pixel
        if target not in particles:
            new[target] = origin
            continue
        stated = finite_numbers(path, target, particles[target])
        far = np.abs(origin - stated) > _AGREE_PX * pixel
        if far.any():
            row = int(np.argmax(far))
            notes.append(
                f"{path}: {label} and {target} disagree for {np.count_nonzero(far)} of "
                f"{len(far)} particles (particle {row + 1}: {origin[row]:g} and {stated[row]:g} "
                f"A); {target} is used"
            )
    return particles.drop(columns=in_pixels).assign(**new)


DEFOCUS_LABELS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
SCOPE_LABELS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
ANGLE_LABELS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGIN_LABELS = ("rlnOriginXAngst", "rlnOriginYAngst")
OPTIONAL_CTF_LABELS = ("rlnPhaseShift", "rlnCtfBfactor")

_IMAGE = "rlnImageName"


def read_particles(
    path: str | Path, *, apix: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read optics and particles of a RELION STAR file.

    RELION 3.1 or later (blocks ``optics`` and ``particles``), or 3.0 (one table), which is brought
    to 3.1: optics groups are made from the distinct voltages, aberrations, amplitude contrasts and
    pixel sizes, and origins become Angstrom. Columns that mapsort does not know are kept; `apix`
    takes the place of the file's.

    Raises
    ------
    FormatError
        The file is not a STAR file, a needed column is missing, an optics group is unknown or
        twice there, CTF columns are incomplete, or a value is not a usable number.
    """
    optics, particles, _ = read_noted_particles(path, apix=apix)
    return optics, particles


def read_noted_particles(
    path: str | Path, *, apix: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Read the particles of a RELION STAR file, as `read_particles`, and say what was assumed.

    Particles that Scipion has disabled are left out.
    """
    path = Path(path)
    tables, notes = read_noted_tables(path)
    refuse_tilt_series(path, tables.get("general"))
    particles = enabled_only(path, _particle_table(path, tables), notes)
    if "optics" in tables:
        optics = tables["optics"]
    else:
        optics, particles = _from_relion_30(path, particles, apix)
    if apix is not None:
        optics = optics.assign(**{PIXEL: float(apix)})
    _check_optics(path, optics, particles)
    ctf_values(path, optics, particles)
    particles = in_angstrom(path, optics, particles, notes)
    return optics, particles, notes


def write_particles(
    path: str | Path, optics: pd.DataFrame, particles: pd.DataFrame | Iterable[pd.DataFrame]
) -> None:
    """Write a RELION 3.1 particle STAR file, whole or not at all.

    The particles may come as consecutive rows of their table.

    Raises
    ------
    FormatError
        The tables lack ``rlnImageName`` or ``rlnOpticsGroup``, or a text cannot be kept in a STAR
        file.
    """
    path = Path(path)
    _need(path, optics, (GROUP,), "optics")
    if isinstance(particles, pd.DataFrame):
        _need(path, particles, (_IMAGE, GROUP), "particles")
        write_tables(path, {"optics": optics, "particles": particles})
        return
    write_tables(path, {"optics": optics, "particles": _with_places(path, particles)})


def _with_places(path: Path, parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield parts of a particle table that say where the images are."""
    for part in parts:
        _need(path, part, (_IMAGE, GROUP), "particles")
        yield part


def ctf_values(
    path: str | Path, optics: pd.DataFrame, particles: pd.DataFrame
) -> dict[str, Float64] | None:
    """Return the contrast transfer parameters of every particle, (n,) each; None without defocus.

    RELION label to value: ``rlnDefocusU``, ``rlnDefocusV`` [A], ``rlnDefocusAngle`` [deg],
    ``rlnVoltage`` [kV], ``rlnSphericalAberration`` [mm], ``rlnAmplitudeContrast``,
    ``rlnPhaseShift`` [deg] and ``rlnCtfBfactor`` [A^2] (0 where not given).

    Raises
    ------
    FormatError
        Some but not all columns are there, or a value is not a usable number.
    """
    if not any(label in particles for label in DEFOCUS_LABELS):
        return None
    values: dict[str, Float64] = {}
    for label in (*DEFOCUS_LABELS, *SCOPE_LABELS, *OPTIONAL_CTF_LABELS):
        column = _joined(label, optics, particles)
        if column is None and label in OPTIONAL_CTF_LABELS:
            values[label] = np.zeros(len(particles))
            continue
        if column is None:
            raise FormatError(
                f"{path}: incomplete CTF information: column {label} is missing. "
                "Add it, or remove the defocus columns to work without CTF."
            )
        values[label] = finite_numbers(path, label, column)
    bad = np.flatnonzero(values["rlnVoltage"] <= 0)
    if bad.size:
        raise FormatError(f"{path}: particle {int(bad[0]) + 1}: rlnVoltage must be positive.")
    bad = np.flatnonzero(np.abs(values["rlnAmplitudeContrast"]) > 1)
    if bad.size:
        raise FormatError(
            f"{path}: particle {int(bad[0]) + 1}: rlnAmplitudeContrast must be between -1 and 1 "
            "(10 % is 0.1)."
        )
    return values


def split_image_names(
    path: str | Path, names: Sequence[str] | pd.Series
) -> tuple[Int64, list[str]]:
    """Take RELION image names ``000001@stack.mrcs`` apart: positions (n,), from 0, and files.

    A name without ``@`` means image 1 of that file.

    Raises
    ------
    FormatError
        The part before ``@`` is not a number from 1, or no file follows.
    """
    indices = np.zeros(len(names), dtype=np.int64)
    stacks: list[str] = []
    for row, name in enumerate(names):
        number, at, stack = str(name).partition("@")
        if not at:
            number, stack = "1", number
        if not (number.isascii() and number.isdigit() and int(number) > 0) or not stack:
            raise FormatError(
                f"{path}: particle {row + 1}: {str(name)!r} is not an image name like "
                "000001@stack.mrcs (images count from 1)."
            )
        indices[row] = int(number) - 1
        stacks.append(stack)
    return indices, stacks


def resolve_stack(name: str, star_path: str | Path, *, datadir: str | Path | None = None) -> Path:
    """Find the file that a STAR file names.

    The first that exists: in ``datadir``, by the path and then by the bare name; relative to the
    working directory (RELION's project directory); relative to the STAR file's directory and its
    parents.

    Raises
    ------
    FormatError
        It is in none of these places; the message lists them.
    """
    places: list[Path] = []
    if datadir is not None:
        places += [Path(datadir) / name.lstrip("/"), Path(datadir) / Path(name).name]
    if Path(name).is_absolute():
        places.append(Path(name))
    else:
        here = Path(star_path).resolve().parent
        places += [Path(name), *(parent / name for parent in (here, *here.parents))]
    for place in places:
        if _is_file(place):
            return place
    tried = ", ".join(str(place) for place in dict.fromkeys(places))
    raise FormatError(
        f"{star_path}: the image file {name} is not found; looked for {tried}. "
        "Start in the project's directory or give --datadir."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL
        return False


def _particle_table(path: Path, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    with_images = [name for name, table in tables.items() if _IMAGE in table]
    if "particles" in tables and set(with_images) <= {"particles"}:
        table = tables["particles"]
    else:
        if len(with_images) != 1:
            rows = ", ".join(f"data_{name} {len(table)} rows" for name, table in tables.items())
            found = f"{len(with_images)} particle tables" if with_images else "no particle table"
            raise FormatError(
                f"{path}: {found} ({rows}); exactly one block with a column {_IMAGE} is needed."
            )
        table = tables[with_images[0]]
    _need(path, table, (_IMAGE,), "particles")
    if table.empty:
        raise FormatError(f"{path}: the particle table has no rows.")
    missing = np.flatnonzero(table[_IMAGE].isna().to_numpy())
    if missing.size:
        raise FormatError(f"{path}: particle {int(missing[0]) + 1}: {_IMAGE} is missing.")
    return table.assign(**{_IMAGE: table[_IMAGE].astype(str)})


def _need(path: Path, table: pd.DataFrame, labels: Sequence[str], block: str) -> None:
    for label in labels:
        if label not in table:
            raise FormatError(f"{path}: column {label} is missing from data_{block}.")


def _check_optics(path: Path, optics: pd.DataFrame, particles: pd.DataFrame) -> None:
    _need(path, optics, (GROUP, PIXEL), "optics")
    _need(path, particles, (GROUP,), "particles")
    groups = optics[GROUP]
    if groups.duplicated().any():
        twice = groups[groups.duplicated()].iloc[0]
        raise FormatError(f"{path}: optics group {twice} is there twice in data_optics.")
    unknown = np.flatnonzero(~particles[GROUP].isin(groups).to_numpy())
    if unknown.size:
        row = int(unknown[0])
        raise FormatError(
            f"{path}: particle {row + 1}: optics group {particles[GROUP].iloc[row]} is not in "
            "data_optics."
        )
    sizes = finite_numbers(path, PIXEL, optics[PIXEL], what="optics group")
    if (sizes <= 0).any():
        raise FormatError(f"{path}: {PIXEL} must be positive.")


def _joined(label: str, optics: pd.DataFrame, particles: pd.DataFrame) -> pd.Series | None:
    if label in particles:
        return particles[label]
    if label in optics:
        return particles[GROUP].map(optics.set_index(GROUP)[label])
    return None


def _from_relion_30(
    path: Path, table: pd.DataFrame, apix: float | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    pixel = _pixel_size_30(path, table, apix)
    # Old tables may carry a group column without an optics block: it has no meaning any more.
    gone = [GROUP, "rlnMagnification", "rlnDetectorPixelSize", "rlnPixelSize", PIXEL]
    kept = table.drop(columns=[label for label in gone if label in table])
    optics, particles = group_optics(kept.assign(**{PIXEL: pixel}), (*SCOPE_LABELS, PIXEL))
    return optics, particles


def _pixel_size_30(path: Path, table: pd.DataFrame, apix: float | None) -> Float64:
    if apix is not None:
        return np.full(len(table), float(apix))
    for label in (PIXEL, "rlnPixelSize"):
        if label in table:
            return finite_numbers(path, label, table[label])
    for label in ("rlnDetectorPixelSize", "rlnMagnification"):
        if label not in table:
            raise FormatError(
                f"{path}: no data_optics and no column {label}: the pixel size is unknown. "
                "Give it with --apix."
            )
    detector_um = finite_numbers(path, "rlnDetectorPixelSize", table["rlnDetectorPixelSize"])
    magnification = finite_numbers(path, "rlnMagnification", table["rlnMagnification"])
    if (magnification <= 0).any():
        raise FormatError(f"{path}: rlnMagnification must be positive.")
    # Ten digits: the quotient of two decimals, without the noise of the division.
    return np.array([float(f"{size:.10g}") for size in detector_um * 1e4 / magnification])
