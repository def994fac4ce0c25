"""The narrowed matching of an iteration: particles near where they lay, on every map."""

from __future__ import annotations

from functools import partial

import numpy as np

from mapsort.array_types import Bool, Float32, Int32
from mapsort.engines.chunks import Rows
from mapsort.model.matches import Matches
from mapsort.modules.search_aligner import search_aligner
from mapsort.options.types import NARROW_FROM_SPEED
from mapsort.refinement.comparison import blocks_compared
from mapsort.refinement.matching import Found, Search, SyntheticNoise
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.search.candidates import Started
from mapsort.stages.search.match import match_chunk, match_near
from mapsort.stages.search.narrowing import (
    near_candidates,
    neighbours,
    searched_everywhere,
)
from mapsort.stages.search.settings import SearchSettings

#: Share of the particles that is searched everywhere where others are near their last matches.
EVERYWHERE_SHARE = 0.2


def narrows(run: Run, state: State, settings: SearchSettings) -> bool:
    """Whether this iteration looks only near the last matches.

    Fast ``--speed`` settings do, where classes, and so poses, are known before, and where there
    are particles that stood still. Never in the first iteration else, and not where references do
    not fit into memory together.
    """
    return (
        (always_narrow(run, state) or state.learnt.still is not None)
        and state.matches is not None
        and not search_aligner(run.options.simalign).exhaustive
        and len(blocks_compared(run, state, settings)) == 1
    )


def always_narrow(run: Run, state: State) -> bool:
    """Whether particles are looked for near their last matches wherever these were."""
    return run.options.speed >= NARROW_FROM_SPEED or state.known is not None


def match_narrowed(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Match particles near where they lay, on every map; a part of them everywhere.

    Those that have not stood still are searched everywhere, too, if that is what it depends on.
    """
    references = run.plan.references
    search = Search(run, state, settings, references)
    noise = SyntheticNoise.of(run, state)
    n = len(run.inputs.particles)
    table = neighbours(references, run.plan.symmetries)
    share = EVERYWHERE_SHARE if state.known is None else 0.0
    everywhere = searched_everywhere(n, share, seed=run.plan.seed, iteration=iteration)
    if state.learnt.still is not None and not always_narrow(run, state):
        everywhere |= ~state.learnt.still
    last, numbers = state.matches, run.numbers
    assert last is not None, "narrows() has said so"
    run.start("match", n, iteration)
    matches = run.gathered(
        Matches,
        partial(_match_rows, run, search, table),
        iteration=iteration,
        stage="match-near",
        # to each chunk its own part: workers are not sent all of it
        along=lambda own: (last.rows(numbers[own]), everywhere[numbers[own]]),
    )
    run.execution.progress.finish(
        f"{n} particles, {int((~everywhere).sum())} of them near their last match"
    )
    plan = search.plan.value
    best = noise.matched(run, plan).best if noise else None
    return Found(matches, None, plan.highest_ring, best, dear=plan.looks_first)


def _match_rows(
    run: Run,
    search: Search,
    table: Int32,
    where: Rows,
    raw: Float32,
    before: Matches,
    anywhere: Bool,
) -> Matches:
    """Match one chunk of particles; ``table`` holds the neighbours of each view, itself first."""
    spectra = run.spectra_of(raw, max_radius=search.plan.value.highest_ring)
    ctf, references = run.ctf_of(where), run.plan.references
    found, order = [], []
    for plan, rows in search.by_group(where):
        wide, near = rows[anywhere[rows]], rows[~anywhere[rows]]
        order += [wide, near]
        if len(wide):
            whole, _ = match_chunk(
                plan,
                spectra[wide],
                ctf[wide],
                last=Started(*near_candidates(before.rows(wide), references, table[:, :1])),
                refined=run.plan.refined,
                n_threads=run.plan.n_threads,
            )
            found.append(whole)
        if len(near):
            around = Started(*near_candidates(before.rows(near), references, table))
            some = match_near(
                plan,
                spectra[near],
                ctf[near],
                around.reference,
                around.origin,
                # of the neighbours on each map, the view itself is the first
                last=around.columns(slice(None, None, table.shape[1])),
                refined=run.plan.refined,
                n_threads=run.plan.n_threads,
            )
            found.append(some)
    ranked = np.argsort(np.concatenate(order), kind="stable")
    return search.ranked(raw, where, Matches.joined(found).rows(ranked))
