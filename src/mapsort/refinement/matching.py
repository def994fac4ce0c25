"""The matching of one iteration: particles with every map, everywhere or near their last poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from mapsort.array_types import Complex64, Float32, Indices, Real, UInt8
from mapsort.engines.chunks import Rows, chunk_ranges, length
from mapsort.engines.made_anew import MadeAnew
from mapsort.model.matches import Matches
from mapsort.model.poses import Poses
from mapsort.model.references import References
from mapsort.refinement.comparison import blocks_compared, match_plan, pair_ranking
from mapsort.refinement.memory_plan import FULL_SIMILARITY_BYTES, similarity_bytes
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.scratch import Gathered, Scratch
from mapsort.stages.classify.junk import NOISE_IMAGES, noise_images
from mapsort.stages.search.candidates import Started
from mapsort.stages.search.local_search import LocalSearchPlan
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.narrowing import near_candidates
from mapsort.stages.search.search_plan import MatchPlan
from mapsort.stages.search.settings import SearchSettings
from mapsort.stages.search.similarity import Similarity
from mapsort.stages.search.two_stage import FirstStage

#: A plan of the matching, or of the local search.
AnyPlan = TypeVar("AnyPlan", MatchPlan, LocalSearchPlan)


@dataclass(frozen=True)
class Matched:
    """Matches of some particles, and every pair's score if there is room."""

    matches: Matches
    similarity: Similarity | None = None


@dataclass(frozen=True)
class Found:
    """What matching found."""

    #: Of all particles.
    matches: Matches
    #: Every pair's score, if there is room.
    similarity: Similarity | None
    #: End of the band compared, in Fourier pixels.
    highest_ring: int
    #: Best scores of synthetic noise, where junk is asked for and the noise is known, (m,).
    noise_scores: Real | None = None
    #: Of a search in two stages; None where half-sets had one each.
    first_stage: FirstStage | None = None
    #: Of each match, where they are not those of the projections.
    poses: Poses | None = None
    #: Whether searching everywhere costs so much that it begins with a first look.
    dear: bool = False

    @classmethod
    def put_together(cls, parts: Sequence[Found], part_of: UInt8, scratch: Scratch) -> Found:
        """Return what was found of particles that were dealt out to parts, in their order."""
        if len(parts) == 1:
            return parts[0]
        similarities = [part.similarity for part in parts if part.similarity is not None]
        noise = [part.noise_scores for part in parts if part.noise_scores is not None]
        poses = [part.poses for part in parts if part.poses is not None]
        return cls(
            scratch.put_together([part.matches for part in parts], part_of),
            scratch.put_together(similarities, part_of) if similarities else None,
            max(part.highest_ring for part in parts),
            np.concatenate(noise) if noise else None,
            poses=scratch.put_together(poses, part_of) if poses else None,
            dear=any(part.dear for part in parts),
        )


def match_all(
    run: Run, state: State, settings: SearchSettings, *, iteration: int, n: int | None = None
) -> Found:
    """Match the first n (or all) particles, chunk by chunk, with all references, block by block.

    One block's projections are in memory at a time; most runs have one block. A half-set's run
    matches its own particles only.
    """
    n_particles = len(run.inputs.particles) if n is None else n
    blocks = blocks_compared(run, state, settings)
    full = n is None and keeps_similarity(run)
    run.start("match", n_particles * len(blocks), iteration)
    matches: Matches | None = None
    similarity: Similarity | None = None
    highest_ring = 0
    noise = SyntheticNoise.of(run, state)
    for number, block in enumerate(blocks):
        search = Search(run, state, settings, run.plan.references.part(block))
        if noise is not None:
            noise = noise.matched(run, search.plan.value)
        highest_ring = max(highest_ring, search.plan.value.highest_ring)
        dear = search.plan.value.looks_first
        last = None if n is not None or len(blocks) > 1 else _last_poses(run, state)
        match = partial(matched_rows, run, search, full=full)
        # what another partition left is not of these references
        stage = f"match-b{number}-{block.stop}"
        found = run.gathered(Matched, match, iteration=iteration, stage=stage, n=n, along=last)
        similarity = found.similarity
        matches = _merged(run, matches, found.matches, first_reference=block.start)
    assert matches is not None, "there is at least one block"
    run.execution.progress.finish(
        f"{n_particles} particles with {len(run.plan.references)} projections"
    )
    best = noise.best if noise else None
    return Found(matches, similarity, highest_ring, best, dear=dear and len(blocks) == 1)


def _merged(run: Run, best: Matches | None, found: Matches, *, first_reference: int) -> Matches:
    """Return the best matches so far with those of one more block of references."""
    if best is None:
        return found.renumbered(first_reference)
    merged: Gathered[Matches] = Gathered(run.execution.scratch)
    for where in chunk_ranges(len(found), run.plan.chunk):
        both = [best.part(where), found.part(where).renumbered(first_reference)]
        merged.add(Matches.merged(both, run.plan.references, per_map=run.plan.refined))
        run.execution.scratch.release()
    return merged.joined()


def keeps_similarity(run: Run) -> bool:
    """Whether every pair's score is kept: if there is room, and all are compared at once."""
    return (
        not run.options.lowmem
        and len(run.plan.reference_blocks) == 1
        and similarity_bytes(run.plan, len(run.inputs.particles)) <= FULL_SIMILARITY_BYTES
    )


class PlanInNoise(Generic[AnyPlan]):
    """A plan for the noise of each optics group; made anew in every process that needs it.

    Parameters
    ----------
    make : callable
        Makes the plan for the noise of all particles.
    """

    def __init__(self, run: Run, state: State, make: Callable[[], AnyPlan]) -> None:
        self.plan: MadeAnew[AnyPlan] = MadeAnew(make)
        self._ratios = state.noise_ratios()
        self._group = run.optics_group if len(self._ratios) > 1 else None

    def by_group(self, where: Rows) -> list[tuple[AnyPlan, Indices]]:
        """Return each optics group's plan, in its noise, with its particles in a range."""
        plan = self.plan.value
        if self._group is None:
            return [(plan, np.arange(length(where)))]
        own = self._group[where]
        rows = [np.flatnonzero(own == number) for number in range(len(self._ratios))]
        return [
            (plan.in_noise(ratio), these)
            for ratio, these in zip(self._ratios, rows, strict=True)
            if len(these)
        ]


class Search(PlanInNoise[MatchPlan]):
    """What particles are compared with."""

    def __init__(
        self, run: Run, state: State, settings: SearchSettings, references: References
    ) -> None:
        which = (run, state.maps_only(), settings, references)
        super().__init__(run, state, partial(match_plan, *which))
        self._ranking = MadeAnew(partial(pair_ranking, *which))

    def ranked(self, raw: Float32, where: Rows, matches: Matches) -> Matches:
        """Return the matches of one chunk in the order that ``--simcmp`` asks for."""
        ranking = self._ranking.value
        return matches if ranking is None else ranking.ranked(raw, where, matches)


def _last_poses(run: Run, state: State) -> Callable[[slice], tuple[Started]] | None:
    """Return what gives the last pose of a range of this part's particles on each map."""
    last, references, numbers = state.matches, run.plan.references, run.numbers
    if last is None:
        return None
    itself = np.arange(len(references), dtype=np.int32)[:, None]

    def started(where: slice) -> tuple[Started]:
        return (Started(*near_candidates(last.rows(numbers[where]), references, itself)),)

    return started


def matched_rows(
    run: Run,
    search: Search,
    where: Rows,
    raw: Float32,
    last: Started | None = None,
    *,
    full: bool,
) -> Matched:
    """Match one chunk of particles; with ``full``, every pair's score is kept.

    Parameters
    ----------
    where : slice or ndarray
        Rows of the particles.
    raw : ndarray of shape (n, box, box)
        Their images.
    last : Started, optional
        Where they lay before.
    """
    found, similarity = _match_groups(run, search, where, raw, last, full)
    ranked = search.ranked(raw, where, found)
    if ranked is not found and similarity is not None:
        similarity = similarity.with_matches(ranked)
    return Matched(ranked, similarity)


def _match_groups(
    run: Run, search: Search, where: Rows, raw: Float32, last: Started | None, full: bool
) -> tuple[Matches, Similarity | None]:
    """Match a range of particles, those of each optics group in its own noise."""
    highest = search.plan.value.highest_ring
    spectra, ctf = run.spectra_of(raw, max_radius=highest), run.ctf_of(where)
    numbers, matches, similarities = [], [], []
    for plan, rows in search.by_group(where):
        found, similarity = match_chunk(
            plan,
            spectra if len(rows) == len(spectra) else spectra[rows],
            ctf[rows],
            last=None if last is None else last.rows(rows),
            refined=run.plan.refined,
            with_similarity=full,
            n_threads=run.plan.n_threads,
        )
        numbers.append(rows)
        matches.append(found)
        similarities += [] if similarity is None else [similarity]
    order = np.argsort(np.concatenate(numbers), kind="stable")
    whole = Similarity.joined(similarities).rows(order) if similarities else None
    return Matches.joined(matches).rows(order), whole


@dataclass(frozen=True)
class SyntheticNoise:
    """Synthetic noise that is matched as the particles are, for telling junk from them."""

    spectra: Complex64
    ctf: Float32
    best: Real

    @classmethod
    def of(cls, run: Run, state: State) -> SyntheticNoise | None:
        """Return noise of the particles' spectrum, with CTFs of theirs.

        None where junk is not asked for or known already, and in the first iteration, when the
        noise is not known apart from the particles.
        """
        if not run.options.junk_sets or state.matches is None or state.known is not None:
            return None
        rng = np.random.default_rng([run.plan.seed, state.iteration, run.part])
        n, count = len(run.inputs.particles), NOISE_IMAGES // run.n_parts
        images = noise_images(count, run.plan.grid.box, state.noise_power, rng)
        every = np.sort(rng.choice(n, count, replace=n < count))
        return cls(run.spectra_of(images), run.ctf_of(every), np.full(count, -np.inf))

    def matched(self, run: Run, plan: MatchPlan) -> SyntheticNoise:
        """Return it with what it scores with one more block of references."""
        found, _ = match_chunk(plan, self.spectra, self.ctf, n_threads=run.plan.n_threads)
        return replace(self, best=np.maximum(self.best, found.score[:, 0]))
