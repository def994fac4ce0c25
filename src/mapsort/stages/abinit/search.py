"""Maps from particles alone: several random starts side by side, the likeliest goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from mapsort.array_types import Bool, Float32, Float64, Indices
from mapsort.stages.abinit.agreement import frame
from mapsort.stages.abinit.expectation import Best
from mapsort.stages.abinit.junk import Prior
from mapsort.stages.abinit.problem import Problem, Standing, centred_standing
from mapsort.stages.abinit.rivals import Rival, turns_onto_itself
from mapsort.stages.abinit.rounds import Placed, begun, borrowed, judged, of_all, through
from mapsort.stages.abinit.schedule import Schedule, Stage
from mapsort.stages.abinit.wide import Judged
from mapsort.stages.classify.junk import JUNK_FROM

T = TypeVar("T")
#: After so many stages as many starts go on.
_GO_ON = {1: 2, 2: 1, 3: 1}
#: After which one map makes others anew.
_BORROWS = 2

#: The round of all particles, from 0, in which poses are sought anew.
AGAIN = 2
#: It is repeated, so many times at most, as long as those particles of any map that are kept out
#: become likelier by this [nat] and so many standard errors.
MOST_REPEATS, _RISE, _CLEAR = 10, 0.03, 2.0


def starts_through(number: int, n_starts: int, n_models: int) -> int:
    """Return how many starts go through a stage of batches, by its number from 0."""
    left = n_starts
    for before in range(number):
        left = min(left, _GO_ON.get(before, left))
        if before == _BORROWS and n_models > 1:
            left *= 1 + n_models
    return left


class Kept(Protocol):
    """Makes the record of a stage, or reads it where it was kept."""

    def __call__(self, stage: int, name: str, kind: type[T], make: Callable[[], T], /) -> T:
        """Return the record."""


@dataclass(frozen=True)
class FoundMaps:
    """What the particles alone tell."""

    #: Low-passed to the last ring, (K, box, box, box).
    maps: Float32
    rings: int
    #: Between maps of the halves of the last batches, which were assigned with the same maps,
    #: (rings + 1, K).
    correlation: Float64
    #: Part of the particles in each map, (K,).
    share: Float64
    #: What the others were, beside the best, when they were last compared. "1" is the first start;
    #: "1 by map 2" is the first with its other maps made anew by poses in map 2.
    rivals: dict[str, Rival]
    #: The start that went on to the end.
    best: str
    #: gain and gain_error: what the maps explain of a particle that had no part in them, beyond
    #: noise alone, and the standard error [nat].
    gain: float
    gain_error: float
    #: Every particle's likeliest map, from 0, (n,).
    number: Indices
    #: Its view there, (n, 3, 3).
    rotations: Float64
    #: [pixels], (n, 2).
    origins: Float64
    #: Probability that an image holds no particle, (n,).
    junk: Float64

    @property
    def is_junk(self) -> Bool:
        """Which images most probably hold no particle, (n,)."""
        return np.asarray(self.junk > JUNK_FROM)

    @property
    def labels(self) -> Indices:
        """Every image's map, from 0, or K for junk, (n,)."""
        return np.where(self.is_junk, len(self.maps), self.number)


def find_maps(
    problem: Problem,
    schedule: Schedule,
    n_starts: int,
    *,
    kept: Kept,
    started: Callable[[str, int], None],
    told: Callable[[int], None],
) -> FoundMaps:
    """Find maps from random starts.

    Parameters
    ----------
    started : callable
        Called with the words for what begins, and the number of particles that it takes.
    told : callable
        Called with the number of particles that are done.
    """
    at = _race(problem, schedule.batches, n_starts, kept=kept, started=started, told=told)
    standing, poses = centred_standing(problem, at.standing), None
    rounds = _RoundsOfAll(problem, kept, started, told)
    for number, stage in enumerate(schedule.last, start=len(schedule.batches)):
        # once more among all, as the maps have become better
        again = number - len(schedule.batches) == AGAIN
        here = rounds.placed(number, stage, "all", standing, None if again else poses)
        if again:
            here = rounds.settled(number, stage, standing, here)
        standing, poses = here.standing, here.best
    return _found(problem, here, at)


@dataclass(frozen=True)
class _RoundsOfAll:
    """Rounds of all particles, kept and told; see `find_maps`."""

    problem: Problem
    kept: Kept
    started: Callable[[str, int], None]
    told: Callable[[int], None]

    def placed(
        self, number: int, stage: Stage, name: str, before: Standing, poses: Best | None
    ) -> Placed:
        """Return maps and poses after a round, by poses before, or sought among all."""
        self.started(f"{stage.rings} rings, {name}", len(self.problem.particles))
        make = partial(of_all, self.problem, before, poses, stage, self.told)
        return self.kept(number, name.replace(" ", ""), Placed, make)

    def settled(self, number: int, stage: Stage, before: Standing, here: Placed) -> Placed:
        """Return maps and poses after rounds among all poses, until they are no gain.

        Of a round molecule half of the views may be wrong although the map is nearly right: round
        by round some of them are found, and the map becomes better. One such map among several is
        enough.
        """
        for repeat in range(1, MOST_REPEATS + 1):
            found = _compared(self.problem, {"before": before, "after": here.standing})
            after = found["after"].judged
            rise = after.likelihood - found["before"].judged.likelihood
            own = after.best.likeliest[0]
            if not any(_clear(rise[own == k]) for k in range(self.problem.n_models)):
                break
            before = here.standing
            here = self.placed(number, stage, f"all again {repeat}", before, None)
        return here


@dataclass(frozen=True)
class _Won:
    """The start that is left."""

    standing: Standing
    name: str
    rivals: dict[str, Rival]


def _race(
    problem: Problem,
    stages: list[Stage],
    n_starts: int,
    *,
    kept: Kept,
    started: Callable[[str, int], None],
    told: Callable[[int], None],
) -> _Won:
    """Take starts through the stages side by side; those that are behind are given up.

    When one is left, and it has several maps, it goes on beside ones whose maps one of them has
    made anew.
    """
    at = {str(start + 1): begun(problem, stages[0], start) for start in range(n_starts)}
    rivals: dict[str, Rival] = {}
    for number, stage in enumerate(stages):
        for name, before in at.items():
            words = f"{stage.rings} rings" + (f", start {name}" if len(at) > 1 else "")
            started(words, stage.rounds * stage.batch)
            make = partial(through, problem, before, stage, told)
            at[name] = kept(number, f"start{name.replace(' ', '')}", Standing, make)
        if len(at) > 1:
            found = _compared(problem, at)
            best = sorted(at, key=lambda name: (-found[name].judged.likelihood.mean(), name))
            rivals |= {name: _rival(problem, found[best[0]], found[name]) for name in best}
            at = {name: at[name] for name in best[: _GO_ON.get(number, len(at))]}
        if number == _BORROWS and problem.n_models > 1 and len(stages) > number + 1:
            at |= {
                f"{name} by map {donor + 1}": borrowed(problem, standing, donor)
                for name, standing in list(at.items())
                for donor in range(problem.n_models)
            }
    name, standing = next(iter(at.items()))
    return _Won(standing, name, rivals)


@dataclass(frozen=True)
class _Compared:
    """A start, and what the particles that are kept out say of it."""

    standing: Standing
    judged: Judged


def _compared(problem: Problem, at: dict[str, Standing]) -> dict[str, _Compared]:
    """Return what the particles that are kept out say of starts, all with the same prior."""
    found = {name: judged(problem, standing) for name, standing in at.items()}
    kinds = [one.kinds for one in found.values()]
    same = Prior(max(one.junk for one in kinds), max(one.misfit for one in kinds))
    return {name: _Compared(at[name], replace(one, kinds=same)) for name, one in found.items()}


def _rival(problem: Problem, best: _Compared, own: _Compared) -> Rival:
    behind = best.judged.likelihood - own.judged.likelihood
    error = _standard_error(behind)
    rings = own.standing.stage.rings
    if problem.n_models > 1:
        return Rival(float(behind.mean()), error, None, rings)
    views = own.judged.best.likeliest[1], best.judged.best.likeliest[1]
    apart = frame(*views, problem.symmetry.matrices).error_deg
    found = Rival(float(behind.mean()), error, apart, rings)
    if not found.differs:
        return found
    grid = problem.grid(own.standing.stage)
    maps = grid.boxed(own.standing.maps)[0], grid.boxed(best.standing.maps)[0]
    same = turns_onto_itself(maps, views, rings)
    if same is None or len(same.turns) == 1:
        return found
    return replace(found, apart_deg=same.apart_deg, turns=len(same.turns), symmetry=same.group)


def _clear(rise: Float64) -> bool:
    """Tell whether a map's particles, that are kept out, have become likelier."""
    return len(rise) > 1 and bool(rise.mean() > max(_RISE, _CLEAR * _standard_error(rise)))


def _standard_error(values: Float64) -> float:
    """Return the standard error of the mean of values (n,)."""
    return float(values.std() / np.sqrt(max(1, len(values))))


def _found(problem: Problem, last: Placed, won: _Won) -> FoundMaps:
    standing = last.standing
    gain = judged(problem, standing).gain
    grid = problem.grid(standing.stage)
    number, rotations, origins = last.best.likeliest
    return FoundMaps(
        maps=grid.boxed(standing.maps),
        rings=grid.rings,
        correlation=standing.correlation,
        share=standing.sums.share / standing.sums.share.sum(),
        rivals=won.rivals,
        best=won.name,
        gain=float(gain.mean()),
        gain_error=_standard_error(gain),
        number=number,
        rotations=rotations,
        origins=origins,
        junk=last.best.junk,
    )
