"""``mapsort similarity``: every particle against every projection of a file."""

from __future__ import annotations

from dataclasses import replace

from threadpoolctl import threadpool_limits

from mapsort.array_types import Float32
from mapsort.engines.chunks import Rows
from mapsort.engines.progress import Progress
from mapsort.jobs.stage_inputs import Projections, stage_run
from mapsort.options.stages import SimilarityOptions
from mapsort.refinement.comparison import (
    PairRanking,
    highest_radius,
    pair_comparison,
    reference_power,
    search_context,
    search_mask,
)
from mapsort.refinement.run import Run
from mapsort.refinement.search_settings import comparison_settings
from mapsort.refinement.state import State
from mapsort.rundir.scratch import Scratch
from mapsort.runfiles.matrices import write_similarity
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.search_plan import plan_image_match, spectrally_matched
from mapsort.stages.search.similarity import Similarity


def similarity_matrix(
    options: SimilarityOptions, *, progress: Progress | None = None
) -> tuple[int, int]:
    """Compare particles with projections and write the matrix.

    Returns
    -------
    tuple of int
        Numbers of particles and of projections.

    Raises
    ------
    FormatError, ConfigError
        Before any work: what is wrong with the request or its input.
    """
    run, state, projections = stage_run(options, progress)
    with threadpool_limits(run.plan.n_threads):
        matrix = _compared(run, state, projections)
    write_similarity(options.out, matrix, Scratch())
    return matrix.score.shape[0], matrix.score.shape[1]


def _compared(run: Run, state: State, projections: Projections) -> Similarity:
    settings = comparison_settings(run.options, 1)
    threads, images = run.plan.n_threads, projections.images
    power, mask = reference_power(run), search_mask(run, settings)
    if power is not None:
        images = spectrally_matched(images, power, n_threads=threads)
    if mask is not None:
        images = images * mask
    context = replace(
        search_context(run, state.noise_power),
        max_radius=highest_radius(run, run.options.shrink),
    )
    plan = plan_image_match(images, context, settings, references=projections.references)
    ranking = None
    if settings.pairs is not None:
        ranking = PairRanking(run, pair_comparison(run, state, settings.pairs, images))

    def compared(where: Rows, raw: Float32) -> Similarity:
        found, every = match_chunk(
            plan,
            run.spectra_of(raw),
            run.ctf_of(where),
            refined=run.plan.refined,
            with_similarity=True,
            n_threads=threads,
        )
        assert every is not None, "it was asked for"
        return every if ranking is None else every.with_matches(ranking.ranked(raw, where, found))

    run.start("match", len(run.inputs.particles), 0)
    matrix = run.gathered(Similarity, compared, iteration=0, stage="match")
    run.execution.progress.finish(
        f"{len(run.inputs.particles)} particles with {len(images)} projections"
    )
    return matrix
