"""The matching of one iteration: particles with every map, everywhere or near their last poses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import read_ahead
from mapsort.model.matches import Matches
from mapsort.modules.search_aligner import search_aligner
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.junk import NOISE_IMAGES, noise_images
from mapsort.stages.match import match_chunk, match_near
from mapsort.stages.narrowing import near_candidates, neighbours, searched_everywhere
from mapsort.stages.search_plan import MatchPlan
from mapsort.stages.similarity import Similarity
from mapsort.stages.two_stage import FirstStage
from mapsort.workflows.multi_comparison import PairRanking, match_plan, pair_ranking
from mapsort.workflows.multi_plan import FULL_SIMILARITY_BYTES, similarity_bytes
from mapsort.workflows.multi_state import Run, State
from mapsort.workflows.search_settings import SearchSettings

#: From this --speed on, iterations after the first search near the last matches; this share of
#: the particles is searched everywhere all the same.
NARROW_FROM_SPEED, EVERYWHERE_SHARE = 6, 0.2


@dataclass(frozen=True)
class Found:
    """What matching found.

    Attributes
    ----------
    matches : Matches
        Of all particles.
    similarity : Similarity or None
        Every pair's score, if there is room.
    highest_ring : int
        End of the band compared, in Fourier pixels.
    noise_scores : ndarray of shape (NOISE_IMAGES,) or None
        Best scores of synthetic noise, where junk is asked for and the noise is known.
    first_stage : FirstStage or None
        Of a search in two stages.
    """

    matches: Matches
    similarity: Similarity | None
    highest_ring: int
    noise_scores: npt.NDArray[np.floating] | None = None
    first_stage: FirstStage | None = None


def match_all(
    run: Run, state: State, settings: SearchSettings, *, iteration: int, n: int | None = None
) -> Found:
    """Match the first n (or all) particles, chunk by chunk, with all references, block by block.

    One block's projections are in memory at a time; most runs have one block.
    """
    n_particles = len(run.inputs.particles) if n is None else n
    blocks = run.plan.reference_blocks
    full = n is None and keeps_similarity(run)
    run.start("match", n_particles * len(blocks), iteration)
    parts: list[Matches] = []
    similarity: Similarity | None = None
    highest_ring = 0
    noise = SyntheticNoise.of(run, state)
    for block in blocks:
        references = run.plan.references.part(block)
        plan = match_plan(run, state, settings, references)
        ranking = pair_ranking(run, state, settings, references)
        if noise is not None:
            noise = noise.matched(run, plan)
        highest_ring = max(highest_ring, plan.highest_ring)
        found, similarity = _match_block(run, plan, ranking, n, full)
        parts.append(found.renumbered(block.start))
    matches = parts[0]
    if len(parts) > 1:
        matches = Matches.merged(parts, run.plan.references, per_map=run.plan.refined)
    run.progress.finish(f"{n_particles} particles with {len(run.plan.references)} projections")
    return Found(matches, similarity, highest_ring, noise.best if noise else None)


def keeps_similarity(run: Run) -> bool:
    """Whether every pair's score is kept: if there is room, and all are compared at once."""
    return (
        not run.options.lowmem
        and len(run.plan.reference_blocks) == 1
        and similarity_bytes(run.plan, len(run.inputs.particles)) <= FULL_SIMILARITY_BYTES
    )


def compared_chunks(run: Run, n: int | None = None) -> Iterator[tuple[slice, Float32]]:
    """Yield ranges of particles with the raw images that are compared."""
    return read_ahead(run.inputs.compared.images, run.chunks(n))


def _match_block(
    run: Run, plan: MatchPlan, ranking: PairRanking | None, n: int | None, full: bool
) -> tuple[Matches, Similarity | None]:
    matches: list[Matches] = []
    similarities: list[Similarity] = []
    for where, raw in compared_chunks(run, n):
        found, similarity = match_chunk(
            plan,
            run.spectra_of(raw),
            run.ctf_of(where),
            refined=run.plan.refined,
            with_similarity=full,
            n_threads=run.plan.n_threads,
        )
        if ranking is not None:
            found = ranking.ranked(raw, where, found)
            similarity = similarity.with_matches(found) if similarity is not None else None
        matches.append(found)
        if similarity is not None:
            similarities.append(similarity)
        run.progress.advance(where.stop - where.start)
    return Matches.joined(matches), Similarity.joined(similarities) if similarities else None


def narrows(run: Run, state: State) -> bool:
    """Whether this iteration looks only near the last matches, as fast ``--speed`` settings do.

    Never in the first iteration, and not where references do not fit into memory together.
    """
    return (
        run.options.speed >= NARROW_FROM_SPEED
        and state.matches is not None
        and len(run.plan.reference_blocks) == 1
        and not search_aligner(run.options.simalign).exhaustive
    )


def match_narrowed(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Match particles near where they lay, on every map; a part of them everywhere."""
    assert state.matches is not None, "narrows() has said so"
    references, threads = run.plan.references, run.plan.n_threads
    plan = match_plan(run, state, settings, references)
    ranking = pair_ranking(run, state, settings, references)
    noise = SyntheticNoise.of(run, state)
    n = len(run.inputs.particles)
    table = neighbours(references, run.plan.symmetries)
    everywhere = searched_everywhere(n, EVERYWHERE_SHARE, seed=run.plan.seed, iteration=iteration)
    run.start("match", n, iteration)
    parts: list[Matches] = []
    for where, raw in compared_chunks(run):
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        wide = np.flatnonzero(everywhere[where])
        near = np.flatnonzero(~everywhere[where])
        found = []
        if len(wide):
            whole, _ = match_chunk(
                plan, spectra[wide], ctf[wide], refined=run.plan.refined, n_threads=threads
            )
            found.append(whole)
        if len(near):
            last = state.matches.rows(near + where.start)
            reference, origin = near_candidates(last, references, table)
            found.append(
                match_near(
                    plan,
                    spectra[near],
                    ctf[near],
                    reference,
                    origin,
                    refined=run.plan.refined,
                    n_threads=threads,
                )
            )
        order = np.argsort(np.concatenate([wide, near]), kind="stable")
        matches = Matches.joined(found).rows(order)
        parts.append(matches if ranking is None else ranking.ranked(raw, where, matches))
        run.progress.advance(where.stop - where.start)
    run.progress.finish(f"{n} particles, {int((~everywhere).sum())} of them near their last match")
    best = noise.matched(run, plan).best if noise else None
    return Found(Matches.joined(parts), None, plan.highest_ring, best)


@dataclass(frozen=True)
class SyntheticNoise:
    """Synthetic noise that is matched as the particles are, for telling junk from them."""

    spectra: Complex64
    ctf: Float32
    best: npt.NDArray[np.floating]

    @classmethod
    def of(cls, run: Run, state: State) -> SyntheticNoise | None:
        """Return noise of the particles' spectrum, with CTFs of theirs.

        None where junk is not asked for, and in the first iteration, when the noise is not known
        apart from the particles.
        """
        if not run.options.junk or state.matches is None:
            return None
        rng = np.random.default_rng([run.plan.seed, state.iteration])
        n = len(run.inputs.particles)
        images = noise_images(NOISE_IMAGES, run.plan.grid.box, state.noise_power, rng)
        every = np.sort(rng.choice(n, NOISE_IMAGES, replace=n < NOISE_IMAGES))
        ctf = run.ctf_of(slice(0, n))[every]
        return cls(run.spectra_of(images), ctf, np.full(NOISE_IMAGES, -np.inf))

    def matched(self, run: Run, plan: MatchPlan) -> SyntheticNoise:
        """Return it with what it scores with one more block of references."""
        found, _ = match_chunk(plan, self.spectra, self.ctf, n_threads=run.plan.n_threads)
        return replace(self, best=np.maximum(self.best, found.score[:, 0]))
