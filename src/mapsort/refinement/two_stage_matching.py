"""The matching of one iteration in two stages: ``--twostage``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mapsort.array_types import Float32, Int32
from mapsort.engines.chunks import Rows
from mapsort.engines.made_anew import MadeAnew
from mapsort.model.matches import Matches
from mapsort.refinement.comparison import (
    compared_noise,
    highest_radius,
    reference_images,
    search_context,
)
from mapsort.refinement.matching import (
    Found,
    Search,
    SyntheticNoise,
    keeps_similarity,
)
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.search.match import match_chunk, match_near
from mapsort.stages.search.search_plan import MatchPlan, plan_image_match
from mapsort.stages.search.settings import SearchSettings
from mapsort.stages.search.similarity import Similarity
from mapsort.stages.search.two_stage import (
    LEAST_REFERENCES,
    VISITED,
    Clusters,
    FirstStage,
    cluster_candidates,
    cluster_references,
)


def in_two_stages(run: Run) -> bool:
    """Whether the search has a first stage: asked for, and there are enough references."""
    return (
        run.options.twostage > 0
        and len(run.plan.references) >= LEAST_REFERENCES
        and len(run.plan.reference_blocks) == 1
    )


@dataclass(frozen=True)
class TwoStageMatches:
    """What both stages found of some particles.

    ``n_compared``, (n,), int32, tells with how many references each was compared.
    """

    matches: Matches
    first: Similarity
    n_compared: Int32


def match_two_stage(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Match particles with clusters of references, then with the members of the best ones."""
    references, threads = run.plan.references, run.plan.n_threads
    images = reference_images(run, state, settings, references)
    first_radius = highest_radius(run, run.options.twostage)
    clusters = cluster_references(
        images,
        apix=run.inputs.apix,
        max_shift=run.plan.max_shift,
        max_radius=first_radius,
        n_threads=threads,
    )
    coarse = MadeAnew(
        partial(_cluster_plan, run, state.maps_only(), settings, clusters, first_radius)
    )
    search = Search(run, state, settings, references)
    noise = SyntheticNoise.of(run, state)
    n = len(run.inputs.particles)

    def match(where: Rows, raw: Float32) -> TwoStageMatches:
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        plan, threads = search.plan.value, run.plan.n_threads
        _, first = match_chunk(
            coarse.value, spectra, ctf, refined=VISITED, with_similarity=True, n_threads=threads
        )
        assert first is not None, "it was asked for"
        reference, origin = cluster_candidates(
            clusters, first, references, at_least=run.plan.refined
        )
        found = match_near(
            plan,
            spectra,
            ctf,
            reference,
            origin,
            reach_px=plan.levels[0].shift_step,
            refined=run.plan.refined,
            n_threads=threads,
        )
        n_compared = np.count_nonzero(reference >= 0, axis=1).astype(np.int32)
        return TwoStageMatches(search.ranked(raw, where, found), first, n_compared)

    run.start("match", n, iteration)
    both = run.gathered(TwoStageMatches, match, iteration=iteration, stage="match-two")
    compared = int(both.n_compared.sum(dtype=np.int64))
    run.execution.progress.finish(
        f"{n} particles with {len(clusters.members)} clusters, then {compared / n:.0f} projections"
    )
    plan = search.plan.value
    full = keeps_similarity(run)
    return Found(
        both.matches,
        Similarity.of_matches(both.matches, len(references)) if full else None,
        plan.highest_ring,
        noise.matched(run, plan).best if noise else None,
        first_stage=FirstStage(clusters, both.first),
    )


def _cluster_plan(
    run: Run, state: State, settings: SearchSettings, clusters: Clusters, max_radius: int | None
) -> MatchPlan:
    """Plan the search of the clusters' averages."""
    context = replace(search_context(run, compared_noise(run, state)), max_radius=max_radius)
    return plan_image_match(clusters.averages, context, settings)
