"""Match particles with references: coarse to fine over rotation, mirror and shift.

Every particle meets every reference on the coarsest level (`search_plan`) and on a lattice of
shifts; the best references of *each* map go on to the next level and a finer lattice, and so on;
the best of those are refined continuously in the full band. No map can lose a particle before the
full band has been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Int32
from mapsort.model.matches import Matches
from mapsort.physics.scoring import Scoring, shift_log_prior
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.search.candidates import (
    CARRIED_NATS,
    Candidates,
    Started,
    best_of_each_map,
    far_below,
)
from mapsort.stages.search.first_look import likely
from mapsort.stages.search.search_levels import Level
from mapsort.stages.search.search_plan import MatchPlan, plan_image_match
from mapsort.stages.search.settings import SearchContext, SearchSettings, white_noise
from mapsort.stages.search.similarity import CoarseScores, Similarity

#: Matches of each map that are refined.
REFINED = 4


def _coarse(
    plan: MatchPlan, spectra: Complex64, ctf: Float32, n_threads: int, *, at_least: int
) -> tuple[Candidates, CoarseScores]:
    """Search everything on the first level; keep the best references of each map.

    An exhaustive search does so in the full band, on a lattice as fine as the band needs.
    """
    level = plan.first
    step, aligner = level.shift_step, plan.settings.aligner
    if plan.exhaustive:
        # nodes a fifth of a period apart at the highest frequency
        step = aligner.shift_step_px or min(step, 0.2 * plan.context.grid.box / plan.highest_ring)
    origins = plan.origins(step)
    cross, norm, code = _alignment(plan, level).search_pairs(
        _batch(plan, spectra, ctf), origins, n_threads=n_threads
    )
    scores = plan.settings.ranking.scores(cross, norm)
    # the best first: all others are searched about their shifts, too
    counts, window = plan.n_likely(at_least), plan.levels[0].window
    reference = likely(scores, plan.first_references, counts, window)
    code_kept = np.take_along_axis(code, np.maximum(reference, 0), axis=1)
    shift, turn = np.divmod(code_kept, 2 * level.bank.n_rotations)
    candidates = Candidates.at(reference, origins[shift])
    candidates.alpha[:] = turn // 2 * (2 * np.pi / level.bank.n_rotations)
    candidates.mirror[:] = turn % 2
    if plan.like is not None:
        scores, code = scores[:, plan.like.view], code[:, plan.like.view]
    return candidates, CoarseScores(scores, code, origins, level.bank.n_rotations)


def _alignment(plan: MatchPlan, level: Level) -> _core.Alignment:
    aligner = plan.settings.aligner
    return _core.Alignment(
        level.bank,
        level.ring_weight,
        rotate=aligner.rotate,
        translate=aligner.translate,
        mirror=aligner.mirror,
    )


def _batch(plan: MatchPlan, spectra: Complex64, ctf: Float32) -> _core.ParticleBatch:
    scale, apix = plan.context.grid.scale, plan.context.apix
    return _core.ParticleBatch(spectra, ctf, scale=scale, oversampling=scale, apix=apix)


def _search_level(
    plan: MatchPlan,
    level: Level,
    coarser_step: float,
    candidates: Candidates,
    spectra: Complex64,
    ctf: Float32,
    n_threads: int,
) -> Float32:
    """Search the candidates on one level around where they stand; return their scores there."""
    step = min(level.shift_step, 0.5 * coarser_step)
    beyond = 0.5 * plan.first.shift_step if plan.settings.aligner.translate else 0.0
    lattice = _core.ShiftLattice(
        step=step,
        reach=int(np.ceil(0.5 * coarser_step / step - 1e-6)),
        shared=plan.shared,
        max_origin=plan.max_shift + beyond,
    )
    _alignment(plan, level).search_candidates(
        _batch(plan, spectra, ctf), candidates.for_kernels(), lattice, n_threads=n_threads
    )
    return candidates.scores(plan.settings.ranking)


def match_chunk(
    plan: MatchPlan,
    spectra: Complex64,
    ctf: Float32,
    *,
    last: Started | None = None,
    refined: int = REFINED,
    with_similarity: bool = False,
    n_threads: int = 1,
) -> tuple[Matches, Similarity | None]:
    """Match one chunk of particles with all references.

    Parameters
    ----------
    spectra : ndarray of shape (n, padded, padded//2+1), complex64
        Padded transforms of the particles (``ParticleTreatment.spectra``).
    ctf : ndarray of shape (n, 7), float32
        CTF coefficients (``ctf_coefficients``).
    last : Started, optional
        Where the particles lay before: candidates besides what the first level finds.
    refined : int
        Matches of each map that are refined and returned.
    with_similarity : bool
        Whether to return all pairs, too.

    Returns
    -------
    Matches
        ``refined`` matches of each map, best first.
    Similarity or None
    """
    if last is not None:
        plan = plan.where_poses_are_known()
    candidates, every = _coarse(plan, spectra, ctf, n_threads, at_least=refined)
    views = plan.like is not None
    if last is not None and not plan.exhaustive and not views:
        candidates = candidates.after(last)
    step = plan.first.shift_step
    searched = () if plan.exhaustive else plan.levels[plan.first is plan.levels[0] : -1]
    candidates = _descend(
        plan, searched, step, candidates, spectra, ctf, refined, n_threads, views=views, last=last
    )
    matches = _matches(candidates, plan)
    return matches, every.similarity(matches) if with_similarity else None


def match_near(
    plan: MatchPlan,
    spectra: Complex64,
    ctf: Float32,
    reference: Int32,
    origin: Float32,
    *,
    last: Started | None = None,
    reach_px: float | None = None,
    refined: int = REFINED,
    n_threads: int = 1,
) -> Matches:
    """Match particles with given candidates only, over all rotations, mirror and nearby shifts.

    Parameters
    ----------
    plan, spectra, ctf, refined
        As for `match_chunk`.
    reference : ndarray of shape (n, k), int32
        Candidates of each particle; -1 for none.
    origin : ndarray of shape (n, k, 2), float32
        Where each candidate's search for the shift begins [pixels].
    last : Started, optional
        Where the particles lay on each map before, among the candidates: these are then compared
        on the first level, too, where searching is dear.
    reach_px : float, optional
        How far from there it looks; by default one step of the first lattice.

    Returns
    -------
    Matches
        ``refined`` matches of each map, best first.
    """
    levels = plan.levels[1:-1]
    if last is not None and plan.looks_first:
        plan = plan.where_poses_are_known()
        levels = plan.levels[:-1]
    views = plan.shares_views(levels[0])
    if plan.like is not None and views:
        started = plan.like.started(reference, origin)
        reference, origin = started.reference, started.origin
    candidates = Candidates.at(reference, origin)
    step = 2.0 * (reach_px or levels[0].shift_step)
    found = _descend(
        plan, levels, step, candidates, spectra, ctf, refined, n_threads, views=views, last=last
    )
    return _matches(found, plan)


def scored(
    plan: MatchPlan, spectra: Complex64, ctf: Float32, matches: Matches, *, n_threads: int = 1
) -> Matches:
    """Return known poses with the plan's scores, best first; nothing is searched or refined."""
    candidates = Candidates.at(matches.reference, matches.origin)
    candidates.alpha[:] = np.deg2rad(matches.alpha)
    candidates.mirror[:] = matches.mirror
    _evaluate(plan, plan.deciding, candidates, spectra, ctf, n_threads, steps=0)
    return _matches(candidates, plan)


def _descend(
    plan: MatchPlan,
    levels: Sequence[Level],
    step: float,
    candidates: Candidates,
    spectra: Complex64,
    ctf: Float32,
    refined: int,
    n_threads: int,
    *,
    views: bool,
    last: Started | None = None,
) -> Candidates:
    """Search candidates level by level, keeping the best of each map; refine what is left.

    Where they are ``views`` that like maps share, each goes on as every map's reference from the
    first level that compares the maps themselves; there each map's ``last`` pose joins them.
    """
    most = int(np.bincount(plan.references.model).max())
    for level in levels:
        if plan.like is not None and views and not plan.shares_views(level):
            views, candidates = False, plan.like.on_every_map(candidates)
            candidates = candidates if last is None else candidates.after(last)
            plan = replace(plan, shared=plan.shared * plan.like.members.shape[1])
        scores = _search_level(plan, level, step, candidates, spectra, ctf, n_threads)
        step = min(level.shift_step, 0.5 * step)
        count = refined if level is levels[-1] else level.n_carried(most, at_least=refined)
        compared = plan.first_references if views else plan.references
        candidates = best_of_each_map(candidates, scores, compared, count)
        if plan.looks_first and any(level is before for before in levels[-2:-1]):
            kept = candidates.scores(plan.settings.ranking)
            far = far_below(candidates, kept, compared, nats=CARRIED_NATS, at_least=refined)
            if last is not None and not views:
                far &= ~candidates.among(last)
            candidates.reference[far] = -1
    # lattices reach half a step beyond the limit; poses do not
    np.clip(candidates.origin, -plan.max_shift, plan.max_shift, out=candidates.origin)
    _polish(plan, candidates, spectra, ctf, n_threads)
    return candidates


def _polish(
    plan: MatchPlan,
    candidates: Candidates,
    spectra: Complex64,
    ctf: Float32,
    n_threads: int,
) -> None:
    """Refine the poses continuously, if asked for, and evaluate what decides among them.

    Where the search is dear, those that are out of the question stay as the last level found them.
    Strong signals leave more between a lattice's pose and the best one beside it than that margin.
    """
    polish = plan.settings.polish
    before = candidates.copied()
    steps = polish.max_steps if polish else 0
    if plan.looks_first and plan.polishing is plan.deciding is plan.full:
        scores = candidates.scores(plan.settings.ranking)
        candidates.reference[far_below(candidates, scores, plan.references)] = -1
    _evaluate(plan, plan.polishing, candidates, spectra, ctf, n_threads, steps=steps)
    undone = candidates.restored(before, polish.max_change_px) if polish else False
    if undone or plan.deciding is not plan.polishing:
        _evaluate(plan, plan.deciding, candidates, spectra, ctf, n_threads, steps=0)
    candidates.reference[:] = before.reference


def _evaluate(
    plan: MatchPlan,
    level: Level,
    candidates: Candidates,
    spectra: Complex64,
    ctf: Float32,
    n_threads: int,
    *,
    steps: int,
) -> None:
    """Evaluate the candidates on a level, after so many Newton steps towards a better pose."""
    _alignment(plan, level).refine_candidates(
        _batch(plan, spectra, ctf),
        candidates.for_kernels(),
        iterations=steps,
        max_origin=plan.max_shift,
        n_threads=n_threads,
    )


def _matches(candidates: Candidates, plan: MatchPlan) -> Matches:
    """Sort candidates by score and turn their origins into EMAN's translations.

    The prior on shifts counts here, among the refined candidates.
    """
    scores = candidates.scores(plan.settings.scoring)
    scores += shift_log_prior(candidates.origin, plan.context.shift_spread)
    ranked = candidates.taken(np.argsort(-scores, axis=1, kind="stable"))
    scores = -np.sort(-scores, axis=1, kind="stable")
    cos, sin = np.cos(ranked.alpha), np.sin(ranked.alpha)
    x, y = ranked.origin[..., 0], ranked.origin[..., 1]
    tiny = np.finfo(np.float32).tiny
    return Matches(
        reference=ranked.reference,
        score=scores,
        quality=np.asarray(ranked.cross / np.sqrt(np.maximum(ranked.norm, tiny)), np.float32),
        alpha=np.rad2deg(ranked.alpha % np.float32(2 * np.pi)).astype(np.float32),
        dx=np.asarray(cos * x + sin * y, np.float32),
        dy=np.asarray(-sin * x + cos * y, np.float32),
        mirror=ranked.mirror,
    )


def match_images(
    images: Float32,
    references: Float32,
    ctf: Float32,
    *,
    apix: float,
    max_shift: float,
    top: int,
    scoring: Scoring,
    n_threads: int = 1,
) -> Matches:
    """Match images with reference images, both (n, box, box), in white noise of unit variance.

    Other parameters as for `plan_match` and `match_chunk`.
    """
    grid = FourierGrid.for_box(images.shape[1])
    context = SearchContext(
        grid, apix, white_noise(grid.box), max_shift=max_shift, n_threads=n_threads
    )
    plan = plan_image_match(references, context, SearchSettings(scoring))
    spectra = grid.image_spectra(images, n_threads=n_threads)
    matches, _ = match_chunk(plan, spectra, ctf, refined=top, n_threads=n_threads)
    return matches
