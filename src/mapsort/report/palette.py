"""Colours that people with any colour vision tell apart, and how a map is told from the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps

from mapsort.array_types import Float32, Float64, UInt8

#: Name, values (NaN leaves a gap), colour and line style.
Curve = tuple[str, Float64, str, str]

#: Okabe & Ito's palette (Wong, Nat. Methods 8 (2011) 441, doi:10.1038/nmeth.1618), without black
#: and with its yellow last, which is faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D1F", "#F0E442")
DASHES = ("solid", "dashed", "dotted", "dashdot")
#: Sets of junk.
_JUNK = ("#5C6470", "#A9B0BA")
#: For densities: even in lightness, and the same to colour-blind eyes.
SEQUENTIAL = "cividis"
#: Where the colours of a difference end, in standard deviations.
DEVIATIONS = 5.0


def colour_of(index: int) -> str:
    """Return the colour of map ``index`` (from 0); they repeat after eight."""
    return COLOURS[index % len(COLOURS)]


def set_colours(n_models: int, n_junk: int) -> list[str]:
    """Return the colours of all maps, then of all sets of junk, which are grey."""
    maps = [colour_of(model) for model in range(n_models)]
    return maps + [_JUNK[kind % len(_JUNK)] for kind in range(n_junk)]


def styled(curves: Iterable[tuple[str, npt.ArrayLike | Sequence[float | None]]]) -> list[Curve]:
    """Return named values as curves, in the colours and line styles of maps 0, 1 and so on."""
    return [
        (name, np.array(values, dtype=float), colour_of(i), dash_of(i))
        for i, (name, values) in enumerate(curves)
    ]


def difference_colours(difference: Float32, deviation: float) -> UInt8:
    """Return differences as colours (..., 3): white is none, red more, blue less.

    Parameters
    ----------
    difference : ndarray
    deviation : float
        The standard deviation, of which the colours span ``DEVIATIONS`` either way.
    """
    scaled = np.clip(difference / deviation / (2 * DEVIATIONS) + 0.5, 0, 1)
    return np.asarray(255 * colormaps["RdBu_r"](scaled)[..., :3], np.uint8)


def dash_of(index: int) -> str:
    """Return the line style of map ``index``: another one when colours start to repeat."""
    return DASHES[(index // len(COLOURS)) % len(DASHES)]
