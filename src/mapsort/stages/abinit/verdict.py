"""Signs that maps from particles alone are none: told, with what to try."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.stages.abinit.search import FoundMaps, Rival
from mapsort.stages.abinit.wide import views

#: A gain counts from so many standard errors.
_CLEAR = 3.0
#: A map of which less than this part of the power is no function of the radius is a ball.
_BALL = 0.1
#: Directions that views are counted in, how many of them may hold half of the particles at least.
_CELL_DEG, _FEW_CELLS = 15.0, 0.1
#: Starts are equally likely within so many standard errors, and different from this angle on.
_EQUAL, _DIFFERENT_DEG = 2.0, 45.0
#: Maps of a mixture that correlate so well as they lie are one.
_SAME = 0.95


def holds_structure(found: FoundMaps) -> bool:
    """Whether the maps explain particles that had no part in them."""
    return found.gain > _CLEAR * found.gain_error


def signs(found: FoundMaps) -> tuple[str, ...]:
    """Return what speaks against the maps, one line each."""
    if not holds_structure(found):
        return (
            "no structure: the maps do not explain particles that had no part in them (gain "
            f"{found.gain:.2f} +- {found.gain_error:.2f} nat a particle). Do the images hold "
            "particles? mapsort show pictures them; try --invert, or more particles",
        )
    lines = [
        f"map {number} is a ball: {1 - part:.0%} of it depends on the distance from the centre "
        "only. Try other --randomseed, --starts 10, or --diameter near the particle's own"
        for number, part in enumerate(map(uneven_part, found.maps), start=1)
        if part < _BALL
    ]
    cells = view_cells(found.rotations)
    if cells < _FEW_CELLS:
        lines.append(
            f"half of the particles are seen from {cells:.0%} of all directions: if the particles "
            "have no such preference the maps are wrong; try another --randomseed or --starts 10"
        )
    lines += [
        f"starts {found.best} and {name} are equally likely, but their views are "
        f"{rival.apart_deg:.0f} degrees apart: particles do not tell which is right; try "
        "--starts 10, or more particles"
        for name, rival in found.rivals.items()
        if name != found.best and _disagrees(rival, found)
    ]
    lines += [
        f"maps {a + 1} and {b + 1} are the same: the particles may be fewer kinds than --nmodels "
        f"{len(found.maps)}"
        for a, b in combinations(range(len(found.maps)), 2)
        if np.corrcoef(found.maps[a].ravel(), found.maps[b].ravel())[0, 1] > _SAME
    ]
    return tuple(lines)


def _disagrees(rival: Rival, found: FoundMaps) -> bool:
    """Whether a start that was as likely to the end has other views."""
    last = max(other.rings for other in found.rivals.values())
    return (
        rival.rings == last
        and rival.behind < _EQUAL * rival.error
        and rival.apart_deg is not None
        and rival.apart_deg > _DIFFERENT_DEG
    )


def uneven_part(volume: Float32) -> float:
    """Return the part of a map's power that is no function of the distance from its centre."""
    line = np.arange(len(volume)) - len(volume) // 2
    square = line[:, None, None] ** 2 + line[:, None] ** 2 + line**2
    shell = np.rint(np.sqrt(square)).astype(np.intp).ravel()
    values = volume.astype(np.float64).ravel()
    mean = np.bincount(shell, values) / np.maximum(np.bincount(shell), 1)
    power = float(np.sum(values**2))
    return float(np.sum((values - mean[shell]) ** 2)) / power if power > 0 else 0.0


def view_cells(rotations: Float64) -> float:
    """Return the part of all directions that half of the particles are seen from.

    A direction and its opposite show the same, mirrored.
    """
    axes = views(_CELL_DEG)[:, 2]
    axes = axes[axes[:, 2] > 0]
    cell = np.abs(rotations[:, 2] @ axes.T).argmax(axis=1)
    count = np.sort(np.bincount(cell, minlength=len(axes)))[::-1]
    needed = 1 + int(np.searchsorted(np.cumsum(count), 0.5 * count.sum()))
    return needed / len(axes)
