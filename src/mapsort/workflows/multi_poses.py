"""Poses that are not those of projections: the input's (``--skipalign``), or refined ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import read_ahead
from mapsort.model.poses import Poses
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import Float32, centred_transform
from mapsort.stages.junk import NOISE_IMAGES, noise_images
from mapsort.stages.local_search import (
    MAX_STEPS,
    LocalSearchPlan,
    plan_local_search,
    search_locally,
)
from mapsort.stages.nearest_references import nearest_references
from mapsort.stages.particle_fit import shift_log_prior
from mapsort.workflows.multi_matching import Found, by_group
from mapsort.workflows.multi_state import Run, State


def match_given(run: Run, state: State, scoring: Scoring, *, iteration: int) -> Found:
    """Score every particle with every map at the input's pose; nothing is searched."""
    given = _given(run)
    poses, highest_ring = _searched(run, state, scoring, given, iteration=iteration, max_steps=0)
    matches = nearest_references(poses, run.plan.references, run.plan.symmetries)
    noise = _noise_scores(run, state, scoring, given)
    return Found(matches, None, highest_ring, noise, poses)


def match_refined(
    run: Run, state: State, scoring: Scoring, found: Found, *, iteration: int
) -> Found:
    """Refine each particle's best pose with every map beyond the projections' step."""
    references = run.plan.references
    started = Poses.of_matches(found.matches, references).best_of_each_map(references.n_models)
    poses, _ = _searched(run, state, scoring, started, iteration=iteration, max_steps=MAX_STEPS)
    matches = nearest_references(poses, references, run.plan.symmetries)
    # The matrix holds the scores of the grid; those of refined poses would not be comparable.
    return replace(found, matches=matches, poses=poses)


def _given(run: Run) -> Poses:
    """Return the input's poses as a candidate for every map."""
    assert run.inputs.poses is not None, "read with --skipalign"
    rotations, origins = run.inputs.poses
    n, n_models = len(rotations), run.plan.n_models
    return Poses(
        np.tile(np.arange(n_models, dtype=np.int32), (n, 1)),
        np.repeat(rotations[:, None], n_models, axis=1),
        np.repeat(origins[:, None], n_models, axis=1),
        np.zeros((n, n_models), np.float32),
    )


def _plan(run: Run, state: State, scoring: Scoring, part: int) -> LocalSearchPlan:
    box = run.plan.grid.box
    # Poses of the input may lie farther out than a search would go.
    reach = box / 2 if run.options.skipalign else run.plan.max_shift
    return plan_local_search(
        state.reference_sets[part],
        state.noise_power,
        apix=run.inputs.apix,
        max_shift=reach,
        scoring=scoring,
        max_radius=run.plan.max_radius,
        n_threads=run.plan.n_threads,
    )


def _searched(
    run: Run, state: State, scoring: Scoring, started: Poses, *, iteration: int, max_steps: int
) -> tuple[Poses, int]:
    """Search about all candidates, each half-set with its own maps; return the highest ring too."""
    n, n_sets = len(run.inputs.particles), len(state.reference_sets)
    run.start("refine poses" if max_steps else "score given poses", n, iteration)
    numbers = np.arange(n)
    order, parts = [], []
    highest_ring = 0
    for part in range(n_sets):
        plan = _plan(run, state, scoring, part)
        highest_ring = max(highest_ring, plan.highest_ring)
        plans = [plan.in_noise(ratio) for ratio in state.noise_ratios()]
        chunks = run.chunks(part=part, n_parts=n_sets)
        for where, raw in read_ahead(run.inputs.particles.images, chunks):
            transforms = centred_transform(run.plan.treatment.images(raw))
            ctf, candidates = run.ctf_of(where), started.rows(where)
            for own, rows in by_group(run, where, plans):
                found = search_locally(
                    own,
                    transforms[rows],
                    ctf[rows],
                    candidates.rows(rows),
                    max_steps=max_steps,
                    n_threads=run.plan.n_threads,
                )
                parts.append(found if run.options.skipalign else _with_prior(found, state))
                order.append(numbers[where][rows])
            run.progress.advance(len(raw))
    run.progress.finish(f"{n} particles")
    return Poses.joined(parts).rows(np.argsort(np.concatenate(order))), highest_ring


def _with_prior(poses: Poses, state: State) -> Poses:
    """Return poses whose scores include the prior on shifts, best first."""
    prior = shift_log_prior(poses.origin, state.learnt.shift_spread)
    return replace(poses, score=poses.score + prior).ranked()


def _noise_scores(
    run: Run, state: State, scoring: Scoring, given: Poses
) -> npt.NDArray[np.floating] | None:
    """Return what pure noise scores at the particles' poses, for telling junk from particles."""
    if not run.options.junk or state.matches is None:
        return None
    rng = np.random.default_rng([run.plan.seed, state.iteration])
    n = len(given)
    rows = np.sort(rng.choice(n, NOISE_IMAGES, replace=n < NOISE_IMAGES))
    images = noise_images(NOISE_IMAGES, run.plan.grid.box, state.noise_power, rng)
    ctf: Float32 = run.ctf_of(slice(0, n))[rows]
    found = search_locally(
        _plan(run, state, scoring, 0),
        centred_transform(run.plan.treatment.images(images)),
        ctf,
        given.rows(rows),
        max_steps=0,
        n_threads=run.plan.n_threads,
    )
    return np.asarray(found.score[:, 0])
