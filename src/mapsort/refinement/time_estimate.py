"""How long a run will take: measured on a few of its particles, on this machine, now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.refinement.class_sums import average_all
from mapsort.refinement.iteration import reference_slices
from mapsort.refinement.matching import match_all
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.reconstruction import solved
from mapsort.refinement.run import Run, State
from mapsort.refinement.search_settings import comparison_settings
from mapsort.stages.classify.classify import classify
from mapsort.stages.reconstruct.class_reconstruction import MapSlices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid

#: Particles that are matched and averaged for the estimate, and the box of a trial map.
SAMPLE, TRIAL_BOX = 64, 32
#: Maps are solved so often: two halves, filtered alike, filtered each by itself.
_SOLUTIONS = 4


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds of one iteration by stage.

    Attributes
    ----------
    match, average, reconstruct : float
    """

    match: float
    average: float
    reconstruct: float

    @property
    def iteration(self) -> float:
        """Seconds of one iteration."""
        return self.match + self.average + self.reconstruct

    def line(self, iterations: int, *, at_most: bool) -> str:
        """Return what a user is told."""
        total = readable_time(iterations * self.iteration)
        stages = ", ".join(
            f"{name} {readable_time(seconds)}"
            for name, seconds in (
                ("match", self.match),
                ("average", self.average),
                ("reconstruct", self.reconstruct),
            )
        )
        return (
            f"time: {'at most ' if at_most else ''}about {total}, {readable_time(self.iteration)} "
            f"an iteration ({stages}); from a trial with {SAMPLE} particles"
        )


def estimated_time(run: Run) -> TimeEstimate:
    """Match and average a few particles, solve a small map, and scale up.

    What is done once an iteration (projections, the search's plan) is told from what each particle
    costs by two trials of different size.
    """
    n = len(run.inputs.particles)
    few, some = max(1, min(SAMPLE // 8, n // 4)), min(SAMPLE, n)
    sphere = run.sphere
    seeds = tuple(np.asarray(seed * sphere, np.float32) for seed in run.inputs.seeds)
    state = State(0, seeds, noise_floor(run.seen.averaged), None)
    settings = comparison_settings(run.options, 1)

    def matched(count: int) -> float:
        return _seconds(lambda: match_all(run, state, settings, iteration=0, n=count))

    # the first time, code and memory are fetched
    matched(few)
    match = _scaled(matched(few), matched(some), few, some, n)
    slices = reference_slices(run, seeds)
    found = match_all(run, state, replace(settings, pairs=None), iteration=0, n=some).matches
    members = classify(found, len(run.plan.references))
    once = _seconds(lambda: average_all(run, slices, found, members, iteration=0))
    rounds = 1 + 3 * run.options.classiter
    return TimeEstimate(match, once * n / some * rounds, _reconstruction(run))


def _reconstruction(run: Run) -> float:
    """Return the seconds of solving all maps, scaled up from one small map."""
    rng = np.random.default_rng(0)
    rotations = run.plan.references.rotations[: 2 * TRIAL_BOX]
    shape = (N_HALVES, len(rotations), TRIAL_BOX, TRIAL_BOX // 2 + 1)
    numerator = rng.normal(size=shape).astype(np.complex64)
    averages = ClassAverages(numerator, np.ones(shape, np.float32), np.ones(shape[1], np.int64))
    slices = MapSlices(
        averages,
        rotations,
        run.plan.symmetries[0],
        InsertionGrid.for_box(TRIAL_BOX),
        run.inputs.apix,
    )

    def trial() -> None:
        parts = slices.half_equations(n_threads=run.plan.n_threads)
        solved(run, parts[0])

    box = run.plan.grid.box
    growth = (box / TRIAL_BOX) ** 3 * math.log2(2 * box) / math.log2(2 * TRIAL_BOX)
    return _seconds(trial) * growth * _SOLUTIONS * run.plan.n_models


def _scaled(one: float, other: float, few: int, some: int, n: int) -> float:
    """Return the seconds of n particles from those of two trials: a constant and a share each.

    On a busy machine the trials hardly differ: at least a fifth of the larger one grows with n.
    """
    if some == few:
        return other * n / some
    each = max(other - one, 0.2 * other) / (some - few)
    return max(other - each * some, 0.0) + each * n


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def readable_time(seconds: float) -> str:
    """Return a time as people say it.

    Examples
    --------
    >>> readable_time(75), readable_time(7300)
    ('1 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
