"""What is no set of single-particle images: subtomograms, in volumes or as tilt series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Indices
from mapsort.errors import FormatError
from mapsort.io.optics import GROUP

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
