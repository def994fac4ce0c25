"""How long a run will take: measured on a few of its particles, on this machine, now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mapsort.array_types import Complex64
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.model.matches import Matches
from mapsort.options.types import CONSENSUS_ITERATIONS, VIEWS_ITERATIONS, VIEWS_SAMPLE
from mapsort.refinement.batches import batch_sizes
from mapsort.refinement.class_sums import average_all
from mapsort.refinement.comparison import blocks_compared, comparison_settings
from mapsort.refinement.iteration import reference_slices
from mapsort.refinement.matching import Search, matched_rows
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.poses import match_given
from mapsort.refinement.run import Run
from mapsort.refinement.solving import FSC_STEPS
from mapsort.refinement.state import State
from mapsort.rundir.wording import counted
from mapsort.stages.classify.assignment import classify
from mapsort.stages.components.band import Band
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import MOST_COMPONENTS
from mapsort.stages.components.held_out_split import MOST_JUDGED
from mapsort.stages.components.judged_classes import MAP_ROUNDS
from mapsort.stages.components.slice_grid import SliceGrid
from mapsort.stages.reconstruct.class_reconstruction import MapSlices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.search.settings import SearchSettings

#: Particles that are matched and averaged for the estimate, at most, and the box of a trial map.
SAMPLE, TRIAL_BOX = 64, 32
#: Passes over all particles that judging classes takes, and finding them beside.
JUDGING_PASSES, SEARCH_PASSES = 16, 24
#: Maps of the band for each class that the verdict solves and masks.
VERDICT_MAPS = 310
#: Part of the Nyquist frequency that maps are likely to reach, and steps that they are solved with.
LIKELY_BAND, WHOLE_STEPS = 0.75, 3
#: Iterations that runs take where they go on until they converge: 4 to 10.
USUAL_ITERATIONS = 8
#: No more particles are begun after so much processor time [s].
TRIAL_SECONDS = 4.0


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds of one iteration by stage."""

    match: float
    average: float
    reconstruct: float
    #: Particles of the trial.
    n_tried: int = SAMPLE
    #: Seconds of bringing all particles to one map, and of finding classes or judging them anew.
    classes: float = 0.0
    #: Seconds of judging the end.
    verdict: float = 0.0
    #: Seconds that searches for views add at most where those by the one map do not hold.
    views: float = 0.0
    #: Seconds of batches that improve the starting maps.
    batches: float = 0.0

    @property
    def iteration(self) -> float:
        """Seconds of one iteration."""
        return self.match + self.average + self.reconstruct

    def line(self, iterations: int, *, at_most: bool) -> str:
        """Return what a user is told."""
        total = self._total(iterations)
        if at_most:
            usual = min(USUAL_ITERATIONS, iterations)
            total = f"{self._total(usual)} if it converges in {usual} iterations, at most {total}"
        stages = ", ".join(
            f"{name} {readable_time(seconds)}"
            for name, seconds in (
                ("match", self.match),
                ("average", self.average),
                ("reconstruct", self.reconstruct),
            )
        )
        beside = f", {readable_time(self.verdict)} for the verdict" if self.verdict else ""
        beside += f", {readable_time(self.batches)} for batches before" if self.batches else ""
        beside += f", {readable_time(self.classes)} for classes beside" if self.classes else ""
        return (
            f"time: about {total}, {readable_time(self.iteration)} an iteration "
            f"({stages}){beside}; from a trial with "
            f"{counted(self.n_tried, 'particle')}{self._more}"
        )

    def _total(self, iterations: int) -> str:
        beside = self.batches + self.classes + self.verdict
        return readable_time(iterations * self.iteration + beside)

    @property
    def _more(self) -> str:
        if not self.views:
            return ""
        return (
            f"; up to {VIEWS_ITERATIONS} iterations before them, {readable_time(self.views)}, "
            "where particles of a class lie elsewhere in its own map than in --model"
        )


def estimated_time(run: Run) -> TimeEstimate:
    """Match and average some particles, solve a small map, and scale up.

    As many as `SAMPLE` particles are matched, fewer where they take more than `TRIAL_SECONDS` of
    processor time: a map that looks like noise is compared in full detail.
    """
    n = len(run.inputs.particles)
    seeds = tuple(np.asarray(seed * run.sphere, np.float32) for seed in run.inputs.seeds)
    state = State(0, seeds, noise_floor(run.seen.averaged), None)
    settings = comparison_settings(run.options, 1)
    blocks = blocks_compared(run, state, settings)
    block = replace(run.plan, references=run.plan.references.part(blocks[0]))
    trial = replace(run, plan=block, execution=replace(run.execution, engine=None))
    share = len(run.plan.references) / len(block.references)
    search = Search(trial, state, settings, block.references)
    trial.start("trial: project the maps", 1, 0)
    once = _seconds(lambda: search.plan.value)
    matches, each = _matched_some(trial, search)
    matched = share * (once + n * each)
    if run.options.skipalign:
        matched = _for_all(partial(_given, trial, state, settings), len(matches), n)
    averaging = partial(_averaged, trial, reference_slices(trial, seeds), matches)
    averaged = _for_all(averaging, len(matches), n)
    rounds = 1 + 3 * run.options.classiter
    trial.start("trial: make a map", 1, 0)
    found = TimeEstimate(matched, averaged * rounds, _reconstruction(trial), len(matches))
    return replace(
        found,
        classes=_consensus(run, found) + _classes(run),
        verdict=_verdict(run),
        views=VIEWS_ITERATIONS * found.iteration if _seeks_views(run) else 0.0,
        batches=_batches(run, found),
    )


def _batches(run: Run, found: TimeEstimate) -> float:
    """Return the seconds of one iteration of each batch."""
    n = len(run.inputs.particles)
    sizes = batch_sizes(run.options, n)
    return (found.match + found.average) * sum(sizes) / n + found.reconstruct * len(sizes)


def _seeks_views(run: Run) -> bool:
    """Whether all particles are brought to one map before classes are found."""
    return run.options.finds_classes and run.inputs.poses is None


def _for_all(job: Callable[[int], object], tried: int, n: int) -> float:
    """Return the seconds of a job on n particles, from those on one and on some that are tried."""
    one, some = _seconds(lambda: job(1)), _seconds(lambda: job(tried))
    return one + (n - 1) * max(some - one, 0.0) / max(tried - 1, 1)


def _given(run: Run, state: State, settings: SearchSettings, n: int) -> None:
    """Score n particles at the input's poses."""
    some = replace(run.only(np.arange(n)), spectra_seen=run.spectra_seen)
    match_given(some, state, settings, iteration=0)


def _averaged(run: Run, slices: Complex64, matches: Matches, n: int) -> None:
    """Average n particles."""
    own = matches.part(slice(0, n))
    average_all(run, slices, own, classify(own, slices.shape[-3]), iteration=0)


def _consensus(run: Run, found: TimeEstimate) -> float:
    """Return the seconds of bringing all particles to one map, and some to those of the classes."""
    if not _seeks_views(run):
        return 0.0
    one_map = found.average + (found.match + found.reconstruct) / run.plan.n_models
    n = len(run.inputs.particles)
    return CONSENSUS_ITERATIONS * one_map + found.match * min(VIEWS_SAMPLE, n) / n


def _classes(run: Run) -> float:
    """Return the seconds of finding classes, or of judging them anew: of passes over all particles.

    A pass reads slices of some maps and adds particles to as many; some are tried with noise.
    """
    band, n_maps = run.plan.band, run.plan.n_models
    if band is None:
        return 0.0
    passes = JUDGING_PASSES + (SEARCH_PASSES if run.options.finds_classes else 0)
    columns = n_maps + 1 if run.options.nmodels is not None else MOST_COMPONENTS
    return passes * _pass(run, _grid(run, band), columns) * len(run.inputs.particles)


def _verdict(run: Run) -> float:
    """Return the seconds of judging the end: passes over particles, and work on many small maps."""
    n_maps = run.plan.n_models
    if n_maps < 2:
        return 0.0
    grid = _grid(run, Band.widest(run.plan.grid.box, run.inputs.apix))
    some_map = np.ones((grid.voxels, 1), np.complex64)
    n_judged = min(len(run.inputs.particles), MOST_JUDGED)
    passes = (JUDGING_PASSES + MAP_ROUNDS) * _pass(run, grid, n_maps) * n_judged
    return passes + VERDICT_MAPS * n_maps * _seconds(lambda: grid.masked(some_map))


def _grid(run: Run, band: Band) -> SliceGrid:
    return ComponentSettings(n_threads=run.plan.n_threads).grid(band, band.rings)


def _pass(run: Run, grid: SliceGrid, columns: int) -> float:
    """Return the seconds that a pass takes for each particle."""
    rotations = run.plan.references.rotations[np.arange(SAMPLE) % len(run.plan.references)]
    maps = np.ones((grid.voxels, columns), np.complex64)
    weights = np.ones((SAMPLE, columns), np.float32)

    def one_pass() -> None:
        seen = np.ascontiguousarray(grid.slices(maps, rotations)[..., 0])
        grid.insert(seen, weights, seen.real.copy(), weights, rotations)

    run.start("trial: judge particles", 1, 0)
    one_pass()
    return _seconds(one_pass) / SAMPLE


def _matched_some(run: Run, search: Search) -> tuple[Matches, float]:
    """Match particles while there is time; return their matches and the seconds that each takes.

    In rounds, each of twice as many: the first one fetches code and memory, and does not count
    where there are others.
    """
    images, n = run.inputs.compared.images, min(SAMPLE, len(run.inputs.particles))
    run.start("trial: match", n, 0)
    began = time.process_time()
    found: list[Matches] = []
    seconds: list[float] = []
    done, size = 0, run.plan.n_threads
    while done < n and time.process_time() - began < TRIAL_SECONDS:
        where = slice(done, min(done + size, n))
        start = time.perf_counter()
        found.append(matched_rows(run, search, where, images(where), full=False).matches)
        seconds.append(time.perf_counter() - start)
        run.execution.advance(where.stop - done)
        done, size = where.stop, 2 * size
    run.execution.progress.finish(f"{done} particles")
    counted_from = 1 if len(found) > 1 else 0
    n_counted = sum(map(len, found[counted_from:]))
    return Matches.joined(found), sum(seconds[counted_from:]) / n_counted


def _reconstruction(run: Run) -> float:
    """Return the seconds of solving all maps, scaled up from one small map.

    In the band that they are likely to have: it is not known before.
    """
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
        even, odd = slices.half_equations(n_threads=run.plan.n_threads)
        whole = even + odd
        # two halves; for the masks, filtered alike, filtered each by itself
        for equations, steps in ((even, FSC_STEPS), (odd, FSC_STEPS), *((whole, WHOLE_STEPS),) * 3):
            solve(equations, max_steps=steps, n_threads=run.plan.n_threads)

    box = LIKELY_BAND * run.plan.grid.box
    growth = (box / TRIAL_BOX) ** 3 * math.log2(2 * box) / math.log2(2 * TRIAL_BOX)
    return _seconds(trial) * growth * run.plan.n_models


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
