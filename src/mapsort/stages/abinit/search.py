"""Maps from particles alone: several random starts side by side, the likeliest goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.stages.abinit.rounds import (
    Judged,
    Placed,
    Problem,
    Standing,
    begun,
    judged,
    placed,
    through,
)
from mapsort.stages.abinit.schedule import MOST_POSE_RINGS, Stage

#: After so many stages as many starts go on.
_GO_ON = {1: 2, 2: 1}
#: Makes a start's standing after a stage, or reads it where it was kept: (stage, start, make).
Kept = Callable[[int, int, Callable[[], Standing]], Standing]


@dataclass(frozen=True)
class FoundMaps:
    """What the particles alone tell.

    Attributes
    ----------
    maps : ndarray of shape (K, box, box, box), float32
        Low-passed to the last ring.
    correlation : ndarray of shape (rings + 1, K), float64
        Between maps of the halves of the last batches, which were assigned with the same maps.
    share : ndarray of shape (K,), float64
        Part of the particles in each map.
    behind : dict of int to float
        How much less likely than by the best start held-out particles were by each (from 0), when
        they were last compared [nat a particle].
    best : int
        The start that went on to the end.
    gain, gain_error : float
        What the maps explain of a particle that had no part in them, beyond noise alone, and the
        standard error [nat].
    placed : Placed
        Every particle's map and pose.
    """

    maps: Float32
    rings: int
    correlation: Float64
    share: Float64
    behind: dict[int, float]
    best: int
    gain: float
    gain_error: float
    placed: Placed


def find_maps(
    problem: Problem,
    stages: list[Stage],
    n_starts: int,
    *,
    kept: Kept,
    started: Callable[[str, int], None],
    told: Callable[[int], None],
) -> FoundMaps:
    """Find maps from random starts.

    Parameters
    ----------
    kept : callable
    started : callable
        Called with the words for what begins, and the number of particles that it takes.
    told : callable
        Called with the number of particles that are done.
    """
    at = {start: begun(problem, stages[0], start) for start in range(n_starts)}
    behind: dict[int, float] = {}
    for number, stage in enumerate(stages):
        for start, before in at.items():
            words = f"{stage.rings} rings" + (f", start {start + 1}" if len(at) > 1 else "")
            started(words, stage.rounds * stage.batch)

            make = partial(through, problem, before, stage, start, told)
            at[start] = kept(number, start, make)
        if len(at) > 1:
            found = {
                start: float(judged(problem, standing).likelihood.mean())
                for start, standing in at.items()
            }
            behind |= {start: max(found.values()) - own for start, own in found.items()}
            best = sorted(at, key=lambda start: (behind[start], start))
            at = {start: at[start] for start in best[: _GO_ON.get(number, len(at))]}
    best_start, standing = next(iter(at.items()))
    return _found(problem, standing, best_start, behind, started, told)


def _found(
    problem: Problem,
    standing: Standing,
    best: int,
    behind: dict[int, float],
    started: Callable[[str, int], None],
    told: Callable[[int], None],
) -> FoundMaps:
    last: Judged = judged(problem, standing)
    grid, box = problem.grid(standing.stage), problem.particles.band.box
    started("poses", len(problem.particles))
    poses = placed(
        problem, standing, Stage.at(min(standing.stage.rings, MOST_POSE_RINGS), box), told
    )
    return FoundMaps(
        maps=grid.boxed(standing.maps),
        rings=grid.rings,
        correlation=standing.correlation,
        share=standing.sums.share,
        behind=behind,
        best=best,
        gain=float(last.gain.mean()),
        gain_error=float(last.gain.std() / np.sqrt(max(1, len(last.gain)))),
        placed=poses,
    )
