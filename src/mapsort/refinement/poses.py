"""Poses that are not those of projections: the input's (``--skipalign``), or refined ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from mapsort.array_types import Complex64, Float32, Real
from mapsort.engines.chunks import Rows
from mapsort.model.poses import Poses
from mapsort.options.types import InputMode
from mapsort.physics.scoring import shift_log_prior
from mapsort.refinement.comparison import compared_maps, compared_noise, search_context
from mapsort.refinement.matching import Found, PlanInNoise
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.wording import counted
from mapsort.stages.classify.junk import NOISE_IMAGES, noise_images
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.search.local_search import (
    MAX_STEPS,
    LocalSearchPlan,
    plan_local_search,
    search_locally,
)
from mapsort.stages.search.nearest_references import nearest_references
from mapsort.stages.search.settings import SearchSettings

#: Copies of a particle's pose that are kept with each map: others are far less likely.
MOST_COPIES = 16


class PoseSearch(PlanInNoise[LocalSearchPlan]):
    """The search about poses, continuous in view, in-plane angle and shift.

    Parameters
    ----------
    reach : float
        Largest shift [pixels].
    """

    def __init__(self, run: Run, state: State, settings: SearchSettings, reach: float) -> None:
        super().__init__(run, state, partial(_plan, run, state.maps_only(), settings, reach))
        self._run = run

    def refined(
        self, started: Poses, *, iteration: int, max_steps: int = MAX_STEPS, kept: int | None = None
    ) -> Poses:
        """Return where this part's particles arrive from their candidates, best first.

        Parameters
        ----------
        started : Poses
            Candidates of each.
        max_steps : int
            As of `search_locally`; 0 only scores.
        kept : int, optional
            How many poses of each particle, by default as many as there are candidates; with
            ``--relax`` the likeliest copies of these.
        """
        run, n = self._run, len(started)
        run.start("refine poses" if max_steps else "score given poses", n, iteration)
        poses = run.gathered(
            Poses,
            partial(self._rows, max_steps, started.model.shape[1] if kept is None else kept),
            iteration=iteration,
            stage="poses",
            along=lambda own: (started.rows(own),),
        )
        run.execution.progress.finish(counted(n, "particle"))
        return poses

    def _rows(self, max_steps: int, kept: int, where: Rows, raw: Float32, started: Poses) -> Poses:
        """Search about the candidates of one chunk."""
        run, threads = self._run, self._run.plan.n_threads
        transforms = centred_transform(run.plan.treatment.images(raw), n_threads=threads)
        ctf, order, parts = run.ctf_of(where), [], []
        for plan, rows in self.by_group(where):
            images = transforms[rows], ctf[rows]
            found = search_locally(
                plan, *images, started.rows(rows), max_steps=max_steps, n_threads=threads
            )
            parts.append(_relaxed(run, plan, images, found.first(kept)))
            order.append(rows)
        return Poses.joined(parts).rows(np.argsort(np.concatenate(order)))


def _relaxed(
    run: Run, plan: LocalSearchPlan, images: tuple[Complex64, Float32], found: Poses
) -> Poses:
    """Return the copies (``--relax``) of poses, the likeliest of each map, best first.

    Poses stay where they are if no copies are weighed. Particles' transforms and CTF coefficients
    are as `search_locally` takes them.
    """
    copies = run.plan.copies
    if copies is None:
        return found
    every = search_locally(
        plan, *images, found.at_copies(copies), max_steps=0, n_threads=run.plan.n_threads
    )
    return every.best_of_each_map(run.plan.n_models, MOST_COPIES)


def match_given(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Score every particle with every map at the input's pose; nothing is searched."""
    given = _given(run)
    search = PoseSearch(run, state, settings, 0.5 * run.plan.grid.box)
    poses, plan = search.refined(given, iteration=iteration, max_steps=0), search.plan.value
    matches = nearest_references(poses, run.plan.references, run.plan.symmetries)
    return Found(
        matches, None, plan.highest_ring, _noise_scores(run, state, plan, given), None, poses
    )


def match_refined(
    run: Run, state: State, settings: SearchSettings, found: Found, *, iteration: int
) -> Found:
    """Refine each particle's best pose with every map beyond the projections' step.

    With ``--inputmode particles``; else only its copies are weighed (``--relax``). The similarity
    matrix keeps the scores of the projections.
    """
    references = run.plan.references
    started = Poses.of_matches(found.matches, references).best_of_each_map(references.n_models)
    search = PoseSearch(run, state, settings, run.plan.max_shift)
    steps = MAX_STEPS if run.options.inputmode is InputMode.PARTICLES else 0
    poses = _with_prior(search.refined(started, iteration=iteration, max_steps=steps), state)
    matches = nearest_references(poses, references, run.plan.symmetries)
    return replace(found, matches=matches, poses=poses)


def _given(run: Run) -> Poses:
    """Return the input's poses of this part's particles as candidates for every map."""
    assert run.inputs.poses is not None, "read with --skipalign"
    rotations, origins = (values[run.numbers] for values in run.inputs.poses)
    n, n_models = len(rotations), run.plan.n_models
    return Poses(
        np.tile(np.arange(n_models, dtype=np.int32), (n, 1)),
        np.repeat(rotations[:, None], n_models, axis=1),
        np.repeat(origins[:, None], n_models, axis=1),
        np.zeros((n, n_models), np.float32),
    )


def _plan(run: Run, state: State, settings: SearchSettings, reach: float) -> LocalSearchPlan:
    """Plan the search about poses with shifts up to ``reach`` pixels."""
    context = replace(search_context(run, compared_noise(run, state)), max_shift=reach)
    return plan_local_search(compared_maps(run, state), context, settings.scoring)


def _with_prior(poses: Poses, state: State) -> Poses:
    """Return poses whose scores include the prior on shifts, best first."""
    prior = shift_log_prior(poses.origin, state.learnt.shift_spread)
    return replace(poses, score=poses.score + prior).ranked()


def _noise_scores(run: Run, state: State, plan: LocalSearchPlan, given: Poses) -> Real | None:
    """Return what pure noise scores at the particles' poses, for telling junk from particles."""
    if not run.options.junk_sets or state.matches is None or state.known is not None:
        return None
    rng = np.random.default_rng([run.plan.seed, state.iteration, run.part])
    n, count = len(given), NOISE_IMAGES // run.n_parts
    rows = np.sort(rng.choice(n, count, replace=n < count))
    images = noise_images(count, run.plan.grid.box, state.noise_power, rng)
    treated = centred_transform(run.plan.treatment.images(images))
    seen = treated, run.ctf_of(run.numbers[rows])
    found = search_locally(plan, *seen, given.rows(rows), max_steps=0, n_threads=run.plan.n_threads)
    found = _relaxed(run, plan, seen, found)
    return np.asarray(found.score[:, 0])
