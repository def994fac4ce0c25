"""The matching of one iteration: particles with every map, everywhere or near their last poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import read_ahead
from mapsort.model.matches import Matches
from mapsort.model.poses import Poses
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
from mapsort.workflows.multi_state import Run, State, length
from mapsort.workflows.option_types import SearchMethod
from mapsort.workflows.options import MultiOptions

#: A plan of the matching, or of the local search.
AnyPlan = TypeVar("AnyPlan")
#: Seeds come on a scale of their own; maps made of the particles share theirs, but for the
#: thickness of the ice and the like.
UNKNOWN_SCALE, KNOWN_SCALE = float("inf"), 0.3
#: From this --speed on, iterations after the first search near the last matches; this share of
#: the particles is searched everywhere all the same.
NARROW_FROM_SPEED, EVERYWHERE_SHARE = 6, 0.2


def scoring_of(options: MultiOptions, iteration: int, scale_spread: float | None = None) -> Scoring:
    """Return how particles are scored: as asked for with --simcmp, with what is known of scales."""
    known = KNOWN_SCALE if scale_spread is None else scale_spread
    asked = comparator(options.simcmp)
    if asked.comparator is Comparator.LOGLIK:
        return replace(asked, scale_spread=(UNKNOWN_SCALE if iteration == 1 else known))
    return asked


def match_plan(
    run: Run,
    state: State,
    scoring: Scoring,
    references: References,
    volumes: tuple[Float32, ...],
) -> MatchPlan:
    """Project maps, the state's or one half-set's, at these orientations and plan the search."""
    plan = run.plan
    return plan_match(
        volumes,
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
        shift_spread=state.learnt.shift_spread,
        n_threads=plan.n_threads,
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
    noise_scores : ndarray of shape (m,) or None
        Best scores of synthetic noise, where junk is asked for and the noise is known.
    poses : Poses or None
        Of each match, where they are not those of the projections.
    """

    matches: Matches
    similarity: Similarity | None
    highest_ring: int
    noise_scores: npt.NDArray[np.floating] | None = None
    poses: Poses | None = None

    @classmethod
    def interleaved(cls, parts: Sequence[Found]) -> Found:
        """Return what was found of particles that were dealt out in turn to several parts."""
        similarities = [part.similarity for part in parts if part.similarity is not None]
        noise = [part.noise_scores for part in parts if part.noise_scores is not None]
        return cls(
            Matches.interleaved([part.matches for part in parts]),
            Similarity.interleaved(similarities) if similarities else None,
            max(part.highest_ring for part in parts),
            np.concatenate(noise) if noise else None,
        )


def match_all(
    run: Run, state: State, scoring: Scoring, *, iteration: int, n: int | None = None
) -> Found:
    """Match the first n (or all) particles, chunk by chunk, with all references, block by block.

    One block's projections are in memory at a time; most runs have one block. Half-sets meet their
    own references only.
    """
    n_particles = len(run.inputs.particles) if n is None else n
    n_blocks = len(run.plan.reference_blocks)
    full = (
        n is None
        and n_blocks == 1
        and similarity_bytes(run.plan, n_particles) <= FULL_SIMILARITY_BYTES
    )
    run.start("match", n_particles * n_blocks, iteration)
    n_sets = len(state.reference_sets)
    found = [
        _match_set(run, state, scoring, part, run.chunks(n, part=part, n_parts=n_sets), full)
        for part in range(n_sets)
    ]
    run.progress.finish(f"{n_particles} particles with {len(run.plan.references)} projections")
    return Found.interleaved(found)


def _match_set(
    run: Run, state: State, scoring: Scoring, part: int, chunks: list[slice], full: bool
) -> Found:
    """Match one set's particles with its references."""
    parts: list[Matches] = []
    similarity: Similarity | None = None
    highest_ring = 0
    noise = _Noise.of(run, state, part)
    volumes = state.reference_sets[part]
    for block in run.plan.reference_blocks:
        plan = match_plan(run, state, scoring, run.plan.references.part(block), volumes)
        if noise is not None:
            noise = noise.matched(run, plan)
        highest_ring = max(highest_ring, plan.highest_ring)
        plans = [plan.in_noise(ratio) for ratio in state.noise_ratios()]
        found, similarity = _match_block(run, plans, chunks, full)
        parts.append(found.renumbered(block.start))
    matches = parts[0]
    if len(parts) > 1:
        matches = Matches.merged(parts, run.plan.references, per_map=run.plan.refined)
    return Found(matches, similarity, highest_ring, noise.best if noise else None)


def _match_block(
    run: Run, plans: list[MatchPlan], chunks: list[slice], full: bool
) -> tuple[Matches, Similarity | None]:
    matches: list[Matches] = []
    similarities: list[Similarity] = []
    for where, raw in read_ahead(run.inputs.particles.images, chunks):
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        parts, part_similarities = [], []
        numbers = []
        for plan, rows in by_group(run, where, plans):
            found, similarity = match_chunk(
                plan,
                spectra[rows],
                ctf[rows],
                refined=run.plan.refined,
                with_similarity=full,
                n_threads=run.plan.n_threads,
            )
            parts.append(found)
            numbers.append(rows)
            part_similarities += [] if similarity is None else [similarity]
        order = np.argsort(np.concatenate(numbers), kind="stable")
        matches.append(Matches.joined(parts).rows(order))
        if part_similarities:
            similarities.append(Similarity.joined(part_similarities).rows(order))
        run.progress.advance(len(raw))
    return Matches.joined(matches), Similarity.joined(similarities) if similarities else None


def by_group(
    run: Run, where: slice, plans: Sequence[AnyPlan]
) -> list[tuple[AnyPlan, npt.NDArray[np.intp]]]:
    """Return the plan of each optics group with its particles in a range, groups without none."""
    if len(plans) == 1:
        return [(plans[0], np.arange(length(where)))]
    own = run.optics_group[where]
    rows = [np.flatnonzero(own == number) for number in range(len(plans))]
    return [(plan, these) for plan, these in zip(plans, rows, strict=True) if len(these)]


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
    n = len(run.inputs.particles)
    table = neighbours(run.plan.references, run.plan.symmetries)
    everywhere = searched_everywhere(n, EVERYWHERE_SHARE, seed=run.plan.seed, iteration=iteration)
    run.start("match", n, iteration)
    found = [
        _match_set_near(run, state, scoring, part, table, everywhere)
        for part in range(len(state.reference_sets))
    ]
    run.progress.finish(f"{n} particles, {int((~everywhere).sum())} of them near their last match")
    return Found.interleaved(found)


def _match_set_near(
    run: Run,
    state: State,
    scoring: Scoring,
    part: int,
    table: npt.NDArray[np.int32],
    everywhere: npt.NDArray[np.bool_],
) -> Found:
    """Match one set's particles near where they lay."""
    assert state.matches is not None, "narrows() has said so"
    references, threads = run.plan.references, run.plan.n_threads
    plan = match_plan(run, state, scoring, references, state.reference_sets[part])
    plans = [plan.in_noise(ratio) for ratio in state.noise_ratios()]
    noise = _Noise.of(run, state, part)
    numbers = np.arange(len(everywhere))
    chunks = run.chunks(part=part, n_parts=len(state.reference_sets))
    parts: list[Matches] = []
    for where, raw in read_ahead(run.inputs.particles.images, chunks):
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        found, order = [], []
        for own, rows in by_group(run, where, plans):
            wide = rows[everywhere[where][rows]]
            near = rows[~everywhere[where][rows]]
            order += [wide, near]
            if len(wide):
                whole, _ = match_chunk(
                    own, spectra[wide], ctf[wide], refined=run.plan.refined, n_threads=threads
                )
                found.append(whole)
            if len(near):
                last = state.matches.rows(numbers[where][near])
                reference, origin = near_candidates(last, references, table)
                found.append(
                    match_near(
                        own,
                        spectra[near],
                        ctf[near],
                        reference,
                        origin,
                        refined=run.plan.refined,
                        n_threads=threads,
                    )
                )
        ranked = np.argsort(np.concatenate(order), kind="stable")
        parts.append(Matches.joined(found).rows(ranked))
        run.progress.advance(len(raw))
    best = noise.matched(run, plan).best if noise else None
    return Found(Matches.joined(parts), None, plan.highest_ring, best)


@dataclass(frozen=True)
class _Noise:
    """Synthetic noise that is matched as the particles are, for telling junk from them."""

    spectra: Complex64
    ctf: Float32
    best: npt.NDArray[np.floating]

    @classmethod
    def of(cls, run: Run, state: State, part: int) -> _Noise | None:
        """Return noise of the particles' spectrum for one set's references, with particles' CTFs.

        None where junk is not asked for, and in the first iteration, when the noise is not known
        apart from the particles.
        """
        if not run.options.junk or state.matches is None:
            return None
        rng = np.random.default_rng([run.plan.seed, state.iteration, part])
        n, count = len(run.inputs.particles), NOISE_IMAGES // len(state.reference_sets)
        images = noise_images(count, run.plan.grid.box, state.noise_power, rng)
        every = np.sort(rng.choice(n, count, replace=n < count))
        ctf = run.ctf_of(slice(0, n))[every]
        return cls(run.spectra_of(images), ctf, np.full(count, -np.inf))

    def matched(self, run: Run, plan: MatchPlan) -> _Noise:
        """Return it with what it scores with one more block of references."""
        found, _ = match_chunk(plan, self.spectra, self.ctf, n_threads=run.plan.n_threads)
        return replace(self, best=np.maximum(self.best, found.score[:, 0]))
