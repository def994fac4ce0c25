"""Judge the maps of a run by particles that had no part in making them.

The particles of a set agree with their own map by selection alone: those whose noise looked like
the difference between two maps went to the one, the others to the other, and the maps' averages
show that difference again, in any half of the set and from any start. So no map of a set can show
that a split is real. Particles that were never looked at can: the run's classification is repeated
with every second image only, and the others are the judges. If two maps differ by more than
noise, the likelihood of the judges is higher with the two maps than with the one that all the
training particles of both make together; if not, two noisier maps predict them worse than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np

from mapsort.array_types import Float32, Float64, Indices, Int64
from mapsort.engines.chunks import Rows, chunk_ranges, length
from mapsort.engines.made_anew import MadeAnew
from mapsort.engines.progress import Progress
from mapsort.errors import NumericalError
from mapsort.jobs.cluster import engine_for
from mapsort.jobs.finished_run import FinishedRun
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.half_sets import N_HALVES
from mapsort.model.poses import Poses
from mapsort.physics.half_maps import filtered_mean
from mapsort.physics.scoring import Scoring
from mapsort.refinement.comparison import KNOWN_SCALE, search_context
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import open_inputs
from mapsort.refinement.iteration import iterate, prepare_seeds, scanned
from mapsort.refinement.map_masks import masks_of
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.refinement.solving import half_maps, solved
from mapsort.refinement.state import State
from mapsort.rundir.wording import counted
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.pose_sums import PoseSums
from mapsort.stages.search.local_search import LocalSearchPlan, plan_local_search, search_locally

#: The classification is repeated with so many iterations at most.
MOST_ITERATIONS = 8
#: Draws of the bootstrap, and how many standard errors a gain must exceed zero by.
DRAWS, SIGNIFICANT = 2000, 3.0


@dataclass(frozen=True)
class HeldOutPair:
    """What the judges say of two maps.

    Attributes
    ----------
    maps : tuple of int
        Numbers of the two maps, from 1.
    n_particles : int
        Judges of both folds.
    gain_nats : float
        Mean log-likelihood of a particle with the two maps less that with the one of both.
    error_nats : float
        Its standard error, by bootstrap over the particles.
    """

    maps: tuple[int, int]
    n_particles: int
    gain_nats: float
    error_nats: float

    @property
    def predicts(self) -> bool:
        """Whether the two maps predict particles better than one, beyond doubt."""
        return self.gain_nats > SIGNIFICANT * self.error_nats


@dataclass(frozen=True)
class JudgeGains:
    """By how much two maps explain particles better than one."""

    #: Numbers of the particles among the judges, (m,).
    members: Indices
    #: (m,).
    gain_nats: Float64

    def of_images(self, image: Int64) -> Float64:
        """Return sum of gains and number of particles of each image, (n_images, 2).

        Parameters
        ----------
        image : ndarray of shape (n,)
            Number of each judge's image.
        """
        _, number = np.unique(image[self.members], return_inverse=True)
        return np.stack([np.bincount(number, self.gain_nats), np.bincount(number)], axis=1)


def held_out_pairs(run: Run, known: Poses, *, n_iterations: int) -> list[HeldOutPair]:
    """Train on each half of the particles, judge by the other, for every pair of maps.

    Parameters
    ----------
    run : Run
        The run's own request, with the seeds it began with.
    known : Poses
        Pose and map of every particle in the run, (n, 1).
    n_iterations : int
        Of the run; the classification is repeated with as many, up to 8.

    Returns
    -------
    list of HeldOutPair
        A pair whose maps have no particles in one of the folds is left out.
    """
    pairs = list(combinations(range(run.plan.n_models), 2))
    gains: dict[tuple[int, int], list[Float64]] = {pair: [] for pair in pairs}
    image, half_of = run.inputs.particles.image_numbers(), run.inputs.halves.half
    for fold in range(N_HALVES):
        judging = np.flatnonzero(half_of != fold)
        state, parts = half_alone(run, fold, n_iterations)
        for pair in pairs:
            judges = run.only(judging)
            gain = _gain(judges, state, parts, pair, known.rows(judging))
            if gain is not None:
                gains[pair].append(gain.of_images(image[judging]))
    return [
        _summary((i + 1, j + 1), np.concatenate(found))
        for (i, j), found in gains.items()
        if len(found) == N_HALVES
    ]


@contextmanager
def run_again(
    finished: FinishedRun, good: Indices, progress: Progress, *, parallel: str
) -> Iterator[Run]:
    """Give a finished run to carry out again with some of its particles, which are no junk."""
    request = replace(finished.request(), parallel=parallel, junk=0)
    inputs = open_inputs(request)
    plan = resolve(request, inputs)
    with thread_limits(plan.n_threads), engine_for(request, inputs) as engine:
        yield Run(request, inputs, plan, Execution(progress, engine=engine)).only(good)


def half_alone(run: Run, half: int, n_iterations: int) -> tuple[State, list[list[NormalEquations]]]:
    """Repeat a run's classification with one half of its particles, 8 iterations at most.

    Returns
    -------
    State
        The last.
    list of list of NormalEquations
        Of each map: of the even and of the odd ones of its particles.
    """
    part = scanned(run.only(np.flatnonzero(run.inputs.halves.half == half)))
    state = prepare_seeds(part, part.seen.averaged)
    for _ in range(min(n_iterations, MOST_ITERATIONS)):
        state = iterate(part, state).state
    return state, _class_equations(part, state)


class _Climb:
    """The search about poses with these maps, in the noise of a state; here, or on workers."""

    def __init__(self, run: Run, maps: Sequence[Float32], state: State) -> None:
        self._run = run
        self.plan = MadeAnew(partial(_climb_plan, run, tuple(maps), state.noise_power))

    def over(self, chunks: Sequence[Rows], starts: Iterable[Poses]) -> Iterator[Poses]:
        """Yield where the particles of each chunk arrive."""
        along = ((poses,) for poses in starts)
        for where, found in self._run.over_chunks(self._rows, chunks, along=along):
            self._run.execution.advance(length(where))
            yield found

    def _rows(self, where: Rows, raw: Float32, starts: Poses) -> Poses:
        run, threads = self._run, self._run.plan.n_threads
        transforms = centred_transform(run.plan.treatment.images(raw), n_threads=threads)
        return search_locally(
            self.plan.value, transforms, run.ctf_of(where), starts, n_threads=threads
        )


def _climb_plan(run: Run, maps: Sequence[Float32], noise_power: Float64) -> LocalSearchPlan:
    return plan_local_search(maps, search_context(run, noise_power), Scoring(KNOWN_SCALE))


def _class_equations(run: Run, state: State) -> list[list[NormalEquations]]:
    """Return each map's equations, of the even and of the odd ones of its particles.

    Every particle is in the map it matches best, at the pose it has there.
    """
    assert state.matches is not None, "there was at least one iteration"
    threads, plan = run.plan.n_threads, run.plan
    best = state.matches.taken(np.arange(len(state.matches)), np.zeros(len(state.matches), int))
    poses = Poses.of_matches(best, plan.references)
    climb = _Climb(run, state.references, state)
    sums = [
        [PoseSums(plan.map_grid, group, run.inputs.apix, projector) for _ in range(2)]
        for group, projector in zip(plan.symmetries, climb.plan.value.projectors, strict=True)
    ]
    n = len(run.inputs.particles)
    run.start("train", n, state.iteration)

    def add(where: slice, raw: Float32, found: Poses) -> None:
        images = plan.treatment.images(raw)
        transfer = run.transfer_of(where)
        half = run.inputs.halves.half[where]
        for model in range(plan.n_models):
            for number in range(2):
                rows = np.flatnonzero((found.model[:, 0] == model) & (half == number))
                sums[model][number].add(
                    images[rows],
                    found.rotation[rows, 0],
                    found.origin[rows, 0],
                    transfer=None if transfer is None else transfer[rows],
                    n_threads=threads,
                )

    chunks = run.chunks()
    found = ((poses,) for poses in climb.over(chunks, map(poses.rows, chunks)))
    for _ in run.over_chunks(add, chunks, along=found, here=True):
        pass
    run.execution.progress.finish(f"{counted(n, 'particle')} in {counted(plan.n_models, 'map')}")
    return [[part.finish(n_threads=threads) for part in parts] for parts in sums]


def _gain(
    judges: Run,
    state: State,
    parts: list[list[NormalEquations]],
    pair: tuple[int, int],
    known: Poses,
) -> JudgeGains | None:
    """Return by how much two maps explain each judge better than the one of both [nat]."""
    i, j = pair
    if not all(np.any(part.circulant) for model in pair for part in parts[model]):
        return None
    both = [a + b for a, b in zip(parts[i], parts[j], strict=True)]
    volumes = [_map_of(judges, equations) for equations in (parts[i], parts[j], both)]
    members = np.flatnonzero(np.isin(known.model[:, 0], pair))
    if len(members) < 2:
        return None
    scores = _scores(judges, state, volumes, known, members)
    share = [float(np.mean(known.model[members, 0] == model)) for model in pair]
    weighted = scores[:, :2] + np.log(np.maximum(share, 1.0 / len(members)))
    return JudgeGains(members, np.logaddexp(weighted[:, 0], weighted[:, 1]) - scores[:, 2])


def _map_of(run: Run, parts: list[NormalEquations]) -> Float32:
    """Return the map of two halves, filtered by their FSC, masked: as good a prediction as any."""
    even, odd = half_maps(run, parts)
    first, _ = filtered_mean(even, odd, run.sphere)
    mask = masks_of(run, [first], run.sphere)[0]
    start, ratio = filtered_mean(even, odd, mask)
    volume = solved(run, parts[0] + parts[1], noise_to_signal=ratio, start=start) * mask
    if not np.isfinite(volume).all():
        raise NumericalError("a training map holds NaN or infinite values after reconstruction")
    return np.asarray(volume, np.float32)


def _scores(
    run: Run, state: State, volumes: list[Float32], known: Poses, members: Indices
) -> Float64:
    """Return the best log-likelihood of each of these particles with every map, (n, maps).

    All maps are looked at with the same noise, in the same band, from the same pose on.
    """
    run.start("judge", len(members), state.iteration)
    chunks = [members[where] for where in chunk_ranges(len(members), run.plan.chunk)]

    def with_every(rows: Indices) -> Poses:
        starts = known.rows(rows)
        models = range(len(volumes))
        return Poses.beside([replace(starts, model=np.full_like(starts.model, m)) for m in models])

    scores = [
        np.take_along_axis(found.score, np.argsort(found.model, axis=1), axis=1)
        for found in _Climb(run, volumes, state).over(chunks, map(with_every, chunks))
    ]
    run.execution.progress.finish(counted(len(members), "particle"))
    return np.concatenate(scores).astype(np.float64)


def _summary(maps: tuple[int, int], images: Float64) -> HeldOutPair:
    """Return the mean gain of a particle; images, with all their copies, are drawn for its error.

    Parameters
    ----------
    images : ndarray of shape (n_images, 2)
        Sum of the gains and number of the particles that are copies of each image.
    """
    rng = np.random.default_rng(0)
    gain, number = images.sum(axis=0)
    drawn = [rng.choice(images, len(images)).sum(axis=0) for _ in range(DRAWS)]
    means = [some / count for some, count in drawn]
    return HeldOutPair(maps, int(number), float(gain / number), float(np.std(means)))
