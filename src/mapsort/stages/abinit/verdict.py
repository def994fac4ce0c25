"""Signs that maps from particles alone are none: told, with what to try."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.stages.abinit.rivals import Rival
from mapsort.stages.abinit.search import FoundMaps
from mapsort.stages.abinit.wide import views

#: A gain counts from so many standard errors, and from this on [nat]: what particles have without
#: maps, their mean power, is known from some hundred, and is off by hundredths of a nat.
_CLEAR, _LEAST_GAIN = 3.0, 0.1
#: A map of which less than this part of the power is no function of the radius is a ball.
_BALL = 0.1
#: Directions that views are counted in, how many of them may hold half of the particles at least.
_CELL_DEG, _FEW_CELLS = 15.0, 0.1
#: More junk than this part of all images is told.
_MUCH_JUNK = 0.5
#: Maps of a mixture that correlate so well as they lie are one.
_SAME = 0.95


def holds_structure(found: FoundMaps) -> bool:
    """Whether the maps explain particles that had no part in them."""
    return found.gain > max(_CLEAR * found.gain_error, _LEAST_GAIN)


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
    junk = float(found.is_junk.mean())
    if junk > _MUCH_JUNK:
        lines.append(
            f"{junk:.0%} of the images hold no particle of the maps: look at them (mapsort show), "
            "or try another --randomseed, or more --nmodels"
        )
    cells = view_cells(found.rotations[~found.is_junk])
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


def symmetry_hint(found: FoundMaps) -> str | None:
    """Return what starts that found the same map tell of its symmetry, or None."""
    last = max((other.rings for other in found.rivals.values()), default=0)
    for name, rival in found.rivals.items():
        if rival.turns == 1 or rival.rings < last:
            continue
        told = (
            f"starts {found.best} and {name} found the same map, whose views differ by "
            f"{rival.turns} turns of it onto itself"
        )
        if rival.symmetry is None:
            return f"{told}: it may have a symmetry"
        return (
            f"{told}: it looks like {rival.symmetry}; --latesym {rival.symmetry} with --resume of "
            f"this run imposes that, or --sym {rival.symmetry} from the start"
        )
    return None


def _disagrees(rival: Rival, found: FoundMaps) -> bool:
    """Whether a start that was as likely to the end has other views."""
    return rival.differs and rival.rings == max(other.rings for other in found.rivals.values())


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
