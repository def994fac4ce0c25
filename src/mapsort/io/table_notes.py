"""What a particle table says that is not done, or can hardly be meant: notes, one line each.

What is no set of single-particle images (subtomograms, in volumes or as tilt series) is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mapsort.array_types import Float64, Indices
from mapsort.errors import FormatError
from mapsort.io.optics import GROUP, PIXEL, PREMULTIPLIED

IMAGE_NAME = "rlnImageName"
_DIMENSIONS = "rlnImageDimensionality"
_AS_STACKS = "rlnTomoSubTomosAre2DStacks"
#: Columns that RELION 4 and later give to subtomograms, and to nothing else.
_OF_SUBTOMOGRAMS = ("rlnTomoVisibleFrames", "rlnTomoParticleName", "rlnTomoParticleId")
_REFUSED = (
    "{path}: these are subtomograms ({reason}), not single particles: a name stands for many "
    "images. They are not read."
)


def refuse_volumes(path: Path, optics: pd.DataFrame, particles: pd.DataFrame) -> None:
    """Refuse subtomograms: one of their names stands for many images, not for one.

    Groups that no particle has do not count.

    Raises
    ------
    FormatError
        Images have three dimensions, or columns say that they are subtomograms.
    """
    used = optics[optics[GROUP].isin(particles[GROUP])]
    reason = None
    if _DIMENSIONS in used:
        dimensions = pd.to_numeric(used[_DIMENSIONS], errors="coerce")
        if (dimensions > 2).any():
            reason = f"{_DIMENSIONS} is {dimensions.max():g}"
    named = [label for label in _OF_SUBTOMOGRAMS if label in particles]
    if reason is None and named:
        reason = f"it has a column {named[0]}"
    if reason is not None:
        raise FormatError(_REFUSED.format(path=path, reason=reason))


def refuse_tilt_series(path: Path, general: pd.DataFrame | None) -> None:
    """Refuse subtomograms that are stacks of a tilt series, as RELION 5's ``data_general`` says.

    Raises
    ------
    FormatError
        It does.
    """
    if general is not None and _AS_STACKS in general and general[_AS_STACKS].astype(bool).any():
        raise FormatError(_REFUSED.format(path=path, reason=f"{_AS_STACKS} in data_general"))


def refuse_unnumbered(
    source: Path, table: pd.DataFrame, rows: Indices, stack: Path, n_images: int
) -> None:
    """Refuse names without ``@`` of the particles (rows of a table) in a stack of many images.

    Raises
    ------
    FormatError
        A name gives no number, and the file holds more than one image.
    """
    if n_images == 1 or IMAGE_NAME not in table:
        return
    names = table[IMAGE_NAME].iloc[rows].astype(str)
    plain = ~names.str.contains("@", regex=False).to_numpy(dtype=np.bool_)
    if plain.any():
        first = int(np.argmax(plain))
        raise FormatError(
            f"{source}: particle {int(rows[first]) + 1}: {names.iloc[first]} gives no number of "
            f"an image, and {stack} holds {n_images}. An image is named 000001@{stack.name}; a "
            "name without @ is right for a file of one image only."
        )


#: Columns that RELION applies and this program does not, and the value that changes nothing.
_NEUTRAL: dict[str, float] = {
    "rlnMagMat00": 1.0,
    "rlnMagMat01": 0.0,
    "rlnMagMat10": 0.0,
    "rlnMagMat11": 1.0,
    "rlnBeamTiltX": 0.0,
    "rlnBeamTiltY": 0.0,
    "rlnOddZernike": 0.0,
    "rlnEvenZernike": 0.0,
    "rlnCtfScalefactor": 1.0,
}
_FEWEST = 20  # angles that all lie within pi are no chance from here on
_RADIANS = ("rlnAngleRot", "rlnAnglePsi", "rlnDefocusAngle")


class _Range(NamedTuple):
    """Values that a column has in practice, and what units are likely outside of them."""

    unit: str
    low: float
    high: float
    if_below: str
    if_above: str


# The values are medians of absolute values; 0 is nobody's wrong unit.
_DEFOCUS = _Range("A", 300.0, 150_000.0, "micrometres, 10,000 A each", "not Angstrom")
_RANGES = {
    PIXEL: _Range("A", 0.2, 30.0, "nanometres, 10 A each", "picometres, 0.01 A each"),
    "rlnDefocusU": _DEFOCUS,
    "rlnDefocusV": _DEFOCUS,
    "rlnVoltage": _Range("kV", 20.0, 3000.0, "megavolts, 1000 kV each", "volts, 0.001 kV each"),
    "rlnSphericalAberration": _Range(
        "mm", 0.0, 20.0, "not millimetres", "micrometres, 0.001 mm each"
    ),
    "rlnAmplitudeContrast": _Range("", 0.0, 0.6, "not a fraction", "percent, 0.01 each"),
}


def table_notes(path: Path, optics: pd.DataFrame, particles: pd.DataFrame) -> list[str]:
    """Return a line for each column that is not applied, and for values in other units."""
    columns: dict[str, pd.Series] = {}
    used = optics[optics[GROUP].isin(particles[GROUP])] if GROUP in particles else optics
    for table in (used, particles):  # what a particle says of itself counts
        columns |= {str(label): table[label] for label in table.columns}
    notes = [*_not_applied(columns), *_odd_units(columns), *_radians(columns)]
    return [f"{path}: {note}" for note in notes]


def _not_applied(columns: dict[str, pd.Series]) -> list[str]:
    present = [
        label
        for label, neutral in _NEUTRAL.items()
        if label in columns and _differs(columns[label], neutral)
    ]
    notes = []
    if present:
        notes.append(
            f"{', '.join(present)}: not applied; anisotropic magnification, beam tilt and higher "
            "aberrations are left as they are in the images"
        )
    if PREMULTIPLIED in columns and _differs(columns[PREMULTIPLIED], 0.0):
        notes.append(
            f"{PREMULTIPLIED} is 1: the images were multiplied with their CTF, which is not taken "
            "into account"
        )
    return notes


def _differs(column: pd.Series, neutral: float) -> bool:
    """Whether any value is another one; a list of numbers is compared number by number."""
    for value in column.dropna().unique():
        words = str(value).strip("[]()\"' ").replace(",", " ").split()
        if any(_number(word, neutral) != neutral for word in words):
            return True
    return False


def _number(word: str, otherwise: float) -> float:
    try:
        return float(word)
    except ValueError:
        return otherwise


def _odd_units(columns: dict[str, pd.Series]) -> list[str]:
    notes = []
    for label, usual in _RANGES.items():
        values = _numbers(columns, label)
        sizes = np.abs(values[values != 0])
        if not sizes.size or usual.low <= np.median(sizes) <= usual.high:
            continue
        guess = usual.if_below if np.median(sizes) < usual.low else usual.if_above
        least, most = values.min(), values.max()
        stated = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        taken = f", taken as {usual.unit}" if usual.unit else ""
        notes.append(f"{label} is {stated}{taken}; is it in another unit ({guess})?")
    return notes


def _radians(columns: dict[str, pd.Series]) -> list[str]:
    notes = []
    for label in _RADIANS:
        values = _numbers(columns, label)
        distinct = len(np.unique(values))
        if distinct >= _FEWEST and np.abs(values).max() <= np.pi * 1.001:
            notes.append(
                f"{label} lies between {values.min():.3g} and {values.max():.3g}, taken as "
                "degrees; is it in radians?"
            )
    return notes


def _numbers(columns: dict[str, pd.Series], label: str) -> Float64:
    if label not in columns:
        return np.zeros(0)
    values: Float64 = pd.to_numeric(columns[label], errors="coerce").to_numpy(dtype=np.float64)
    return np.asarray(values[np.isfinite(values)])
