"""Poses in a table of particles: read, checked particle by particle, and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Float64, Indices, Real
from mapsort.errors import FormatError
from mapsort.geometry.euler import matrix_to_relion, relion_to_matrix

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
_ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
_PIXEL_ORIGINS = ["rlnOriginX", "rlnOriginY"]


def table_poses(
    source: Path, table: pd.DataFrame, apix: float, *, purpose: str, rows: Indices | None = None
) -> tuple[Float64, Float64]:
    """Return the poses in a table of particles.

    Parameters
    ----------
    source : Path
        Where the table is from, for messages.
    table : DataFrame
        With RELION's columns; without origins, particles are taken as centred.
    apix : float
        Pixel size [A].
    purpose : str
        What needs the poses, for messages.
    rows : ndarray of shape (n,), optional
        Numbers of the particles in the file, from 0, where the table is a part of it.

    Returns
    -------
    rotations : ndarray of shape (n, 3, 3), float64
        Object to view.
    origins : ndarray of shape (n, 2), float64
        Shift that centres each particle [pixels].

    Raises
    ------
    FormatError
        An angle's column is missing, or a value is no number; the message names the particle.
    """
    missing = [name for name in ANGLES if name not in table]
    if missing:
        raise FormatError(
            f"{source}: no column {missing[0]}: {purpose} needs the particles' poses "
            "(rlnAngleRot, rlnAngleTilt, rlnAnglePsi), as a refinement writes them"
        )
    numbers = np.arange(len(table)) if rows is None else rows
    angles = _numbers(source, table, numbers, ANGLES)
    origins = np.zeros((len(table), 2))
    for names, unit in ((_ORIGINS, apix), (_PIXEL_ORIGINS, 1.0)):
        given = [name for name in names if name in table]
        if len(given) == 1:
            (lacking,) = set(names) - set(given)
            raise FormatError(f"{source}: column {given[0]} is there and {lacking} is not")
        if given:
            origins = _numbers(source, table, numbers, names) / unit
            break
    return np.ascontiguousarray(relion_to_matrix(angles)), origins


def pose_columns(rotations: Real, origins: Real, apix: float) -> dict[str, Float64]:
    """Return the columns that hold poses, by name, in their order.

    Parameters
    ----------
    rotations : ndarray of shape (n, 3, 3)
        Object to view.
    origins : ndarray of shape (n, 2)
        Shift that centres each particle [pixels].
    apix : float
        Pixel size [A].
    """
    angles = matrix_to_relion(rotations)
    return dict(zip(ANGLES, angles.T, strict=True)) | {
        name: origins[:, column] * apix for column, name in enumerate(_ORIGINS)
    }


def _numbers(source: Path, table: pd.DataFrame, rows: Indices, names: list[str]) -> Float64:
    columns = [pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) for name in names]
    for name, values in zip(names, columns, strict=True):
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise FormatError(
                f"{source}: {name} of particle {rows[wrong[0]] + 1} is "
                f"{table[name].iloc[wrong[0]]}; a number is needed"
            )
    return np.stack(columns, axis=1)
