"""Values of a particle table as this program needs them: finite, enabled, in Angstrom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Float64
from mapsort.errors import FormatError
from mapsort.io.optics import GROUP, PIXEL

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
