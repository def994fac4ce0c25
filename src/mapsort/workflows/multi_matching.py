"""The matching of one iteration: particles with every map, everywhere or near their last poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from mapsort.engines.made_anew import MadeAnew
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.modules.comparator import comparator
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.junk import NOISE_IMAGES, noise_images
from mapsort.stages.match import match_chunk, match_near
from mapsort.stages.narrowing import near_candidates, neighbours, searched_everywhere
from mapsort.stages.search_plan import MatchPlan, plan_match
from mapsort.stages.similarity import Similarity
from mapsort.workflows.multi_plan import FULL_SIMILARITY_BYTES, similarity_bytes
from mapsort.workflows.multi_state import Run, State
from mapsort.workflows.options import MultiOptions, SearchMethod

#: Seeds come on a scale of their own; maps made of the particles share theirs, but for the
#: thickness of the ice and the like.
UNKNOWN_SCALE, KNOWN_SCALE = float("inf"), 0.3
#: From this --speed on, iterations after the first search near the last matches; this share of
#: the particles is searched everywhere all the same.
NARROW_FROM_SPEED, EVERYWHERE_SHARE = 6, 0.2


def scoring_of(options: MultiOptions, iteration: int) -> Scoring:
    """Return how particles are scored: as asked for with --simcmp, with what is known of scales."""
    asked = comparator(options.simcmp)
    if asked.comparator is Comparator.LOGLIK:
        return replace(asked, scale_spread=(UNKNOWN_SCALE if iteration == 1 else KNOWN_SCALE))
    return asked


def match_plan(run: Run, state: State, scoring: Scoring, references: References) -> MatchPlan:
    """Project the maps at these orientations and plan the search."""
    plan = run.plan
    return plan_match(
        state.references,
        references,
        state.noise_power,
        grid=plan.grid,
        apix=run.inputs.apix,
        max_shift=plan.max_shift,
        support_radius=plan.support_radius,
        scoring=scoring,
        max_radius=plan.max_radius,
        mask=run.inputs.simmask,
        method=run.projection,
        exhaustive=run.options.simalign is SearchMethod.EXHAUSTIVE,
        n_threads=plan.n_threads,
    )


@dataclass(frozen=True)
class Matched:
    """Matches of some particles, and every pair's score if there is room."""

    matches: Matches
    similarity: Similarity | None = None

    @classmethod
    def joined(cls, parts: Sequence[Matched]) -> Matched:
        """Return those of consecutive chunks of particles as one."""
        similarities = [part.similarity for part in parts if part.similarity is not None]
        return cls(
            Matches.joined([part.matches for part in parts]),
            Similarity.joined(similarities) if similarities else None,
        )


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
    """

    matches: Matches
    similarity: Similarity | None
    highest_ring: int
    noise_scores: npt.NDArray[np.floating] | None = None


def match_all(
    run: Run, state: State, scoring: Scoring, *, iteration: int, n: int | None = None
) -> Found:
    """Match the first n (or all) particles, chunk by chunk, with all references, block by block.

    One block's projections are in memory at a time; most runs have one block.
    """
    n_particles = len(run.inputs.particles) if n is None else n
    blocks = run.plan.reference_blocks
    full = (
        n is None
        and len(blocks) == 1
        and similarity_bytes(run.plan, n_particles) <= FULL_SIMILARITY_BYTES
    )
    run.start("match", n_particles * len(blocks), iteration)
    parts: list[Matches] = []
    similarity: Similarity | None = None
    highest_ring = 0
    noise = _Noise.of(run, state)
    for number, block in enumerate(blocks):
        references = run.plan.references.part(block)
        plan = MadeAnew(partial(match_plan, run, state.maps_only(), scoring, references))
        if noise is not None:
            noise = noise.matched(run, plan.value)
        highest_ring = max(highest_ring, plan.value.highest_ring)
        found = _match_block(run, plan, n, full=full, iteration=iteration, block=number)
        similarity = found.similarity
        parts.append(found.matches.renumbered(block.start))
    matches = parts[0]
    if len(parts) > 1:
        matches = Matches.merged(parts, run.plan.references, per_map=run.plan.refined)
    run.progress.finish(f"{n_particles} particles with {len(run.plan.references)} projections")
    return Found(matches, similarity, highest_ring, noise.best if noise else None)


def _match_block(
    run: Run, plan: MadeAnew[MatchPlan], n: int | None, *, full: bool, iteration: int, block: int
) -> Matched:
    def match(where: slice, raw: Float32) -> Matched:
        found, similarity = match_chunk(
            plan.value,
            run.spectra_of(raw),
            run.ctf_of(where),
            refined=run.plan.refined,
            with_similarity=full,
            n_threads=run.plan.n_threads,
        )
        return Matched(found, similarity)

    with run.checkpoints.chunks(iteration, f"match-b{block}", Matched) as found:
        for where, matched in run.over_chunks(match, run.chunks_after(len(found), n)):
            found.add(matched)
            run.progress.advance(where.stop - where.start)
    return Matched.joined(found.results)


def narrows(run: Run, state: State) -> bool:
    """Whether this iteration looks only near the last matches, as fast ``--speed`` settings do.

    Never in the first iteration, and not where references do not fit into memory together.
    """
    return (
        run.options.speed >= NARROW_FROM_SPEED
        and state.matches is not None
        and len(run.plan.reference_blocks) == 1
        and run.options.simalign is not SearchMethod.EXHAUSTIVE
    )


def match_narrowed(run: Run, state: State, scoring: Scoring, *, iteration: int) -> Found:
    """Match particles near where they lay, on every map; a part of them everywhere."""
    references = run.plan.references
    plan = MadeAnew(partial(match_plan, run, state.maps_only(), scoring, references))
    noise = _Noise.of(run, state)
    n = len(run.inputs.particles)
    table = neighbours(references, run.plan.symmetries)
    everywhere = searched_everywhere(n, EVERYWHERE_SHARE, seed=run.plan.seed, iteration=iteration)
    last = state.matches

    def match(where: slice, raw: Float32) -> Matches:
        assert last is not None, "narrows() has said so"
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        refined, threads = run.plan.refined, run.plan.n_threads
        wide = np.flatnonzero(everywhere[where])
        near = np.flatnonzero(~everywhere[where])
        found = []
        if len(wide):
            whole, _ = match_chunk(
                plan.value, spectra[wide], ctf[wide], refined=refined, n_threads=threads
            )
            found.append(whole)
        if len(near):
            before = last.rows(near + where.start)
            reference, origin = near_candidates(before, references, table)
            found.append(
                match_near(
                    plan.value,
                    spectra[near],
                    ctf[near],
                    reference,
                    origin,
                    refined=refined,
                    n_threads=threads,
                )
            )
        order = np.argsort(np.concatenate([wide, near]), kind="stable")
        return Matches.joined(found).rows(order)

    run.start("match", n, iteration)
    with run.checkpoints.chunks(iteration, "match-near", Matches) as done:
        for where, matches in run.over_chunks(match, run.chunks_after(len(done))):
            done.add(matches)
            run.progress.advance(where.stop - where.start)
    run.progress.finish(f"{n} particles, {int((~everywhere).sum())} of them near their last match")
    best = noise.matched(run, plan.value).best if noise else None
    return Found(Matches.joined(done.results), None, plan.value.highest_ring, best)


@dataclass(frozen=True)
class _Noise:
    """Synthetic noise that is matched as the particles are, for telling junk from them."""

    spectra: Complex64
    ctf: Float32
    best: npt.NDArray[np.floating]

    @classmethod
    def of(cls, run: Run, state: State) -> _Noise | None:
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

    def matched(self, run: Run, plan: MatchPlan) -> _Noise:
        """Return it with what it scores with one more block of references."""
        found, _ = match_chunk(plan, self.spectra, self.ctf, n_threads=run.plan.n_threads)
        return replace(self, best=np.maximum(self.best, found.score[:, 0]))
