"""What is measured about the alignment: rates, growth, threads, agreement, accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from alignment_problem import MAX_SHIFT, STEP_DEG, Problem, noise_free_problem, noisy_problem
from threadpoolctl import threadpool_limits

from mapsort import _core
from mapsort.model.matches import Matches
from mapsort.stages.search.match import REFINED, match_chunk
from mapsort.stages.search.search_plan import MatchPlan

#: Two views this many angular steps apart are neighbours.
NEIGHBOUR_STEPS = 1.6
#: Shifts tried for each particle on the levels after the first (at most; most particles need it).
LATER_SHIFTS = 48
#: Particles that the kernel of a level is timed with.
KERNEL_PARTICLES = 40
#: The oracle's shift lattice, in waves of the highest frequency, and how many matches of each map
#: it refines: finer lattices and more matches find nothing better.
ORACLE_STEP, ORACLE_REFINED = 0.2, 40
#: Scores of one pose differ by less than this between searches [nat].
SCORE_TOLERANCE = 0.01

Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    boxes : sequence of int
        Boxes; the first one is that of growth and threads.
    particles : mapping of box to number of particles
    repeats : int
        Interleaved repetitions of every timing; the minimum counts.
    counts, steps_deg, max_shifts : sequence
        Numbers of particles, angular steps [degrees] and largest shifts [pixels] for growth.
    """

    boxes: Sequence[int]
    particles: Mapping[int, int]
    repeats: int
    counts: Sequence[int]
    steps_deg: Sequence[float]
    max_shifts: Sequence[float]


FULL = Effort(
    boxes=(64, 128, 256),
    particles={64: 1000, 128: 600, 256: 300},
    repeats=7,
    counts=(125, 250, 500, 1000),
    steps_deg=(15.0, 10.0, 7.5, 5.0),
    max_shifts=(1.0, 2.0, 3.0, 5.0, 8.0),
)
QUICK = Effort(
    boxes=(64,),
    particles={64: 40},
    repeats=2,
    counts=(20, 40),
    steps_deg=(30.0, 20.0),
    max_shifts=(2.0, 5.0),
)


@dataclass(frozen=True)
class Search:
    """A planned search with everything it reads ready."""

    problem: Problem
    plan: MatchPlan
    spectra: npt.NDArray[np.complex64]

    @classmethod
    def of(cls, problem: Problem, **options: Any) -> Search:
        """Plan the search of a problem; options as for ``Problem.plan``."""
        return cls(problem, problem.plan(**options), problem.spectra())

    @property
    def n_pairs(self) -> int:
        """Particles times references."""
        return len(self.problem) * len(self.problem.references)

    def run(self, *, n_threads: int = 1, refined: int = REFINED) -> Matches:
        """Match all particles."""
        matches, _ = match_chunk(
            self.plan, self.spectra, self.problem.ctf, refined=refined, n_threads=n_threads
        )
        return matches

    def oracle(self) -> Search:
        """Return the exhaustive search of the same, on a lattice that leaves nothing out."""
        plan = self.problem.plan(exhaustive=True)
        step = min(plan.full.shift_step, ORACLE_STEP * self.problem.box / plan.highest_ring)
        levels = (*plan.levels[:-1], replace(plan.full, shift_step=step))
        return Search(self.problem, replace(plan, levels=levels), self.spectra)


def interleaved(
    works: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> list[float]:
    """Return the shortest time of each work; they take turns, so that a busy spell hits all."""
    best = [float("inf")] * len(works)
    for work in works:  # first touch of memory and caches
        work()
    for _ in range(repeats):
        for number, work in enumerate(works):
            start = clock()
            work()
            best[number] = min(best[number], clock() - start)
    return best


def sgemm_gflops(effort: Effort) -> float:
    """Return what one core reaches in products of matrices: the rate to compare kernels with."""
    size = 512
    matrix = np.ones((size, size), np.float32)
    with threadpool_limits(1):
        (seconds,) = interleaved([lambda: matrix @ matrix], 20 * effort.repeats, time.process_time)
    return 2e-9 * size**3 / seconds


def kernel_rows(searches: Sequence[Search], peak: float, effort: Effort) -> list[Row]:
    """Return what the kernel of each level does: all its references at some shifts."""
    rows, works = [], []
    for search in searches:
        plan, few = search.plan, slice(0, KERNEL_PARTICLES)
        scale, apix = plan.context.grid.scale, plan.context.apix
        batch = _core.ParticleBatch(
            search.spectra[few], search.problem.ctf[few], scale=scale, oversampling=scale, apix=apix
        )
        for number, level in enumerate(plan.levels[:-1]):
            n_shifts = LATER_SHIFTS if number else len(plan.origins(level.shift_step))
            origins = np.resize(plan.origins(level.shift_step), (n_shifts, 2))
            kernel = _core.Alignment(level.bank, level.ring_weight)
            works.append(partial(kernel.search_pairs, batch, origins))
            rows.append(
                {
                    "box": plan.context.grid.box,
                    "level": number,
                    "rings": level.bank.n_rings,
                    "max_order": level.bank.max_order,
                    "entries": level.bank.n_entries,
                    "rotations": level.bank.n_rotations,
                    "shift_step_px": level.shift_step,
                    "shifts": n_shifts,
                    "pairs": len(search.spectra[few]) * len(level.bank) * n_shifts,
                }
            )
    for row, seconds in zip(
        rows, interleaved(works, effort.repeats, time.process_time), strict=True
    ):
        each = seconds / row.pop("pairs")
        row["ns_per_shift_pair"] = 1e9 * each
        row["gflops"] = 8e-9 * row["entries"] / each
        row["share_of_sgemm"] = row["gflops"] / peak
    return rows


def search_rows(searches: Sequence[Search], effort: Effort) -> list[Row]:
    """Pairs per second and core of the default search, and the images' FFT apart."""
    works: list[Callable[[], object]] = [search.run for search in searches]
    works += [search.problem.spectra for search in searches]
    seconds = interleaved(works, effort.repeats, time.process_time)
    rows = []
    for search, match, fft in zip(
        searches, seconds[: len(searches)], seconds[len(searches) :], strict=True
    ):
        rows.append(
            {
                "box": search.problem.box,
                "particles": len(search.problem),
                "references": len(search.problem.references),
                "highest_ring": search.plan.highest_ring,
                "pairs_per_second": search.n_pairs / match,
                "pairs_per_second_with_image_fft": search.n_pairs / (match + fft),
                "ms_per_particle": 1e3 * match / len(search.problem),
                "image_fft_ms_per_particle": 1e3 * fft / len(search.problem),
            }
        )
    return rows


def agreement_row(search: Search) -> Row:
    """Compare the default with the exhaustive search of the same particles."""
    problem = search.problem
    exhaustive = search.oracle()
    ours = search.run()
    start = time.process_time()
    oracle = exhaustive.run(refined=ORACLE_REFINED)
    seconds = time.process_time() - start
    views = [matches.poses(problem.references)[0][:, 2] for matches in (ours, oracle)]
    models = [problem.references.model[matches.reference[:, 0]] for matches in (ours, oracle)]
    cosine = np.clip(np.sum(views[0] * views[1], axis=1), -1, 1)
    same_map = models[0] == models[1]
    near = np.rad2deg(np.arccos(cosine)) <= NEIGHBOUR_STEPS * STEP_DEG
    same = ours.reference[:, 0] == oracle.reference[:, 0]
    lost = oracle.score[:, 0] - ours.score[:, 0]
    return {
        "box": problem.box,
        "particles": len(problem),
        "same_reference": float(np.mean(same)),
        "same_or_neighbour": float(np.mean(same | (near & same_map))),
        "map_changed": float(np.mean(~same_map)),
        "worse_score": float(np.mean(lost > SCORE_TOLERANCE)),
        "better_score": float(np.mean(lost < -SCORE_TOLERANCE)),
        "largest_loss_nats": float(lost.max()),
        "true_map": float(np.mean(models[0] == problem.model)),
        "true_map_exhaustive": float(np.mean(models[1] == problem.model)),
        "exhaustive_pairs_per_second": exhaustive.n_pairs / seconds,
    }


def accuracy_row(box: int, n: int) -> Row:
    """Errors of angle and shift where particles are noise-free views of references."""
    problem, chosen = noise_free_problem(box, n)
    matches = Search.of(problem).run()
    rotations, origins = matches.poses(problem.references)
    found = matches.reference[:, 0] == chosen
    # the trace of the rotation between two poses of one view is 1 + 2 cos(in-plane error); by the
    # sine of half the angle, which keeps its digits when small
    distance = np.linalg.norm(rotations - problem.rotations, axis=(1, 2))
    error = np.rad2deg(2 * np.arcsin(np.minimum(distance / np.sqrt(8.0), 1.0)))
    off = np.hypot(*(origins - problem.origins).T)
    return {
        "box": box,
        "particles": n,
        "right_reference": float(np.mean(found)),
        "median_in_plane_error_deg": float(np.median(error[found])),
        "p95_in_plane_error_deg": float(np.quantile(error[found], 0.95)),
        "median_shift_error_px": float(np.median(off[found])),
        "p95_shift_error_px": float(np.quantile(off[found], 0.95)),
    }


def growth(problem: Problem, effort: Effort) -> dict[str, list[Row]]:
    """CPU seconds per pair while one size at a time grows."""
    cases = [
        *[("particles", n, Search.of(problem.repeated(n))) for n in effort.counts],
        *[("step_deg", s, Search.of(problem.with_step(s))) for s in effort.steps_deg],
        *[("max_shift_px", m, Search.of(problem, max_shift=m)) for m in effort.max_shifts],
    ]
    seconds = interleaved([search.run for *_, search in cases], effort.repeats, time.process_time)
    tables: dict[str, list[Row]] = {}
    for (name, value, search), spent in zip(cases, seconds, strict=True):
        tables.setdefault(name, []).append(
            {
                name: value,
                "particles": len(search.problem),
                "references": len(search.problem.references),
                "coarse_shifts": len(search.plan.origins(search.plan.levels[0].shift_step)),
                "seconds": spent,
                "us_per_pair": 1e6 * spent / search.n_pairs,
            }
        )
    return tables


def thread_rows(search: Search, effort: Effort) -> list[Row]:
    """Wall time with one and two threads, and whether the results are the same bits."""
    works = [lambda n=n: search.run(n_threads=n) for n in (1, 2)]
    # many short runs: the shortest of them had the cores to itself if any had
    seconds = interleaved(works, 6 * effort.repeats, time.perf_counter)
    cpu = interleaved(works, effort.repeats, time.process_time)
    one = search.run(n_threads=1)
    rows = []
    for n_threads, wall, spent in zip((1, 2), seconds, cpu, strict=True):
        other = search.run(n_threads=n_threads)
        identical = all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))
        rows.append(
            {
                "threads": n_threads,
                "wall_seconds": wall,
                "cpu_seconds": spent,
                "speed_up": seconds[0] / wall,
                "identical": identical,
            }
        )
    return rows


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything, telling `say` what comes next."""
    say("making particles and maps")
    searches = [Search.of(noisy_problem(box, effort.particles[box])) for box in effort.boxes]
    first = searches[0]
    say("kernels")
    peak = sgemm_gflops(effort)
    kernels = kernel_rows(searches, peak, effort)
    say("default search")
    found = search_rows(searches, effort)
    say("growth")
    grown = growth(first.problem, effort)
    say("threads")
    threads = thread_rows(Search.of(first.problem.repeated(effort.counts[1])), effort)
    say("noise-free accuracy")
    accuracy = [accuracy_row(box, effort.particles[box]) for box in effort.boxes]
    agreement = []
    for search in searches:
        say(f"exhaustive search at {search.problem.box} px")
        agreement.append(agreement_row(search))
    return {
        "step_deg": STEP_DEG,
        "max_shift_px": MAX_SHIFT,
        "sgemm_gflops": peak,
        "kernels": kernels,
        "search": found,
        "agreement": agreement,
        "accuracy": accuracy,
        "growth": grown,
        "threads": threads,
    }
