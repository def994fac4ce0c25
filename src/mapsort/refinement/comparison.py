"""What particles are compared with in one iteration, and how: as the options ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Float64, Real
from mapsort.engines.chunks import Rows
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.modules.comparator import pose_scoring, search_comparator
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.registry import BoundModule
from mapsort.modules.search_aligner import SearchAligner, polish, search_aligner
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.physics.shells import shell_means
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.project import project_images, signal_power
from mapsort.stages.search.pair_scores import PairComparison, reranked
from mapsort.stages.search.search_plan import MatchPlan, plan_match, spectrally_matched
from mapsort.stages.search.settings import SearchContext, SearchSettings

if TYPE_CHECKING:
    from mapsort.options.multi import MultiOptions

#: Seeds come on a scale of their own; maps made of the particles share theirs, but for the
#: thickness of the ice and the like.
UNKNOWN_SCALE, KNOWN_SCALE = float("inf"), 0.3
#: What an option says that leaves the choice to the program.
AUTO = "auto"


def comparison_settings(
    options: MultiOptions, iteration: int, scale_spread: float | None = None
) -> SearchSettings:
    """Return how particles are compared with projections (``--simcmp``, ``--simalign``, ...).

    The spread of the particles' scales counts from the second iteration on, as far as it is known.
    """
    asked, left = search_comparator(options.simcmp)
    scoring = _with_known_scale(asked, options, iteration, scale_spread)
    aligner = search_aligner(options.simalign)
    search = None if options.simaligncmp == AUTO else pose_scoring(options.simaligncmp)
    return SearchSettings(
        scoring,
        aligner,
        search=_limited(search, aligner, scoring),
        polish=polish(options.simralign),
        polish_by=None if options.simraligncmp == AUTO else pose_scoring(options.simraligncmp),
        pairs=left,
    )


def member_settings(options: MultiOptions) -> SearchSettings:
    """Return how members of a class are aligned with it and judged (``--classalign``, ...)."""
    of_search, _ = search_comparator(options.simcmp)
    scoring = replace(of_search, scale_spread=UNKNOWN_SCALE)
    spec = "rotate_translate_flip" if options.classalign == AUTO else options.classalign
    aligner = search_aligner(spec)
    by = options.simaligncmp if options.classaligncmp == AUTO else options.classaligncmp
    search = pose_scoring(by) if by != AUTO else of_search
    return SearchSettings(
        scoring,
        aligner,
        search=_limited(search, aligner, scoring),
        polish=polish(options.classralign),
        polish_by=None if options.classraligncmp == AUTO else pose_scoring(options.classraligncmp),
        pairs=None if options.classcmp == AUTO else COMPARATORS.bind(options.classcmp),
    )


def _with_known_scale(
    scoring: Scoring, options: MultiOptions, iteration: int, scale_spread: float | None
) -> Scoring:
    """Return a likelihood that knows how surely the maps have the particles' scale."""
    if scoring.comparator is not Comparator.LOGLIK:
        return scoring
    unknown = iteration == 1 or options.prefilt or options.usefilt is not None
    known = KNOWN_SCALE if scale_spread is None else scale_spread
    return replace(scoring, scale_spread=UNKNOWN_SCALE if unknown else known)


def _limited(search: Scoring | None, aligner: SearchAligner, final: Scoring) -> Scoring | None:
    """Return the search's scoring, cut off where the aligner says (``maxres``)."""
    if aligner.maxres_ang is None:
        return search
    return replace(search or final, highest_ang=aligner.maxres_ang)


#: Particles whose CTF stands for all where a mean is needed, and their size: shells are few.
_CTF_SAMPLE = 256


@dataclass(frozen=True)
class PairRanking:
    """Ranks the best matches of each particle by a comparator that sees the images."""

    run: Run
    comparison: PairComparison

    def ranked(self, raw: Float32, where: Rows, matches: Matches) -> Matches:
        """Return the matches of one chunk in the comparator's order."""
        run = self.run
        ctf = None if run.inputs.ctf is None else run.inputs.ctf[where]
        values = self.comparison.values(
            run.plan.treatment.images(raw), ctf, matches, n_threads=run.plan.n_threads
        )
        return reranked(matches, values)


def match_plan(
    run: Run,
    state: State,
    settings: SearchSettings,
    references: References,
    *,
    shrink: int | None = None,
) -> MatchPlan:
    """Project the maps at these orientations and plan the search.

    Parameters
    ----------
    shrink : int, optional
        Compare at this part of the size; by default ``--shrink``.
    """
    return plan_match(
        compared_maps(run, state),
        references,
        _state_context(run, state, run.options.shrink if shrink is None else shrink),
        settings,
        support_radius=run.plan.support_radius,
        mask=search_mask(run, settings),
        matched_to=reference_power(run),
        method=run.projection,
    )


def _state_context(run: Run, state: State, shrink: int) -> SearchContext:
    """Return what an iteration's searches share."""
    return replace(
        search_context(run, compared_noise(run, state)),
        max_radius=highest_radius(run, shrink),
        shift_spread=state.learnt.shift_spread,
    )


def blocks_compared(run: Run, state: State, settings: SearchSettings) -> list[slice]:
    """Return ranges of references whose projections are in memory together in an iteration.

    One that is low-passed takes little: most fit in together that would not with their full band.
    """
    blocks = run.plan.reference_blocks
    if len(blocks) == 1:
        return blocks
    context = _state_context(run, state, run.options.shrink)
    power = signal_power(compared_maps(run, state))
    wanted = [settings.scoring, settings.search, settings.polish_by]
    rings = [context.highest_ring(power, scoring) for scoring in wanted if scoring is not None]
    return run.plan.blocks_up_to(max(rings))


def search_context(run: Run, noise_power: Real) -> SearchContext:
    """Return what a run's images share for every search, in this noise."""
    plan = run.plan
    return SearchContext(
        plan.grid,
        run.inputs.apix,
        noise_power,
        max_shift=plan.max_shift,
        max_radius=plan.max_radius,
        n_threads=plan.n_threads,
    )


def highest_radius(run: Run, shrink: int) -> int | None:
    """Return the highest ring that images of 1/``shrink`` the size have; None for no limit."""
    limit = run.plan.max_radius
    if shrink <= 1:
        return limit
    shrunken = run.plan.grid.box // (2 * shrink)
    return shrunken if limit is None else min(limit, shrunken)


def compared_maps(run: Run, state: State) -> tuple[Float32, ...]:
    """Return the maps, filtered as the compared images are (``--usefilt``)."""
    response = run.comparison_filter
    if response is None:
        return state.references
    return tuple(apply_radial_curve(volume, response) for volume in state.references)


def compared_noise(run: Run, state: State) -> Float64:
    """Return the noise that weighs the compared images.

    Filtered images H X against filtered maps H P in noise H^2 N would give the same likelihood as
    without the filter, however much it holds back. What the user filters away is to count less:
    with the weight 1 / (c H N), c the largest H, terms enter the unfiltered likelihood H/c times.
    """
    response = run.comparison_filter
    if response is None:
        return state.noise_power
    return np.asarray(state.noise_power * response * response.max())


def search_mask(run: Run, settings: SearchSettings) -> Float32 | None:
    """Return what multiplies every projection: ``--simmask``, and radii that an aligner names."""
    aligner = settings.aligner
    mask = run.inputs.simmask
    if aligner.inner_px is None and aligner.outer_px is None:
        return mask
    box = run.plan.grid.box
    line = np.arange(box) - box // 2
    radius = np.hypot(line[:, None], line[None, :])
    ring = (radius >= (aligner.inner_px or 0.0)) & (radius <= (aligner.outer_px or np.inf))
    return np.asarray(ring if mask is None else ring * mask, dtype=np.float32)


def reference_power(run: Run) -> Float64 | None:
    """Return the power spectrum that references are filtered to (``--prefilt``).

    The particles' mean power over their mean squared CTF, for references are compared under it.
    """
    if not run.options.prefilt:
        return None
    box = run.plan.grid.box
    squared = mean_squared_ctf(run.inputs.ctf, box, run.inputs.apix)
    return np.asarray(run.seen.compared / np.maximum(squared, 0.1))


def mean_squared_ctf(ctf: ContrastTransfer | None, box: int, apix: float) -> Float64:
    """Return the mean squared CTF of the particles in each shell, (box//2 + 1,)."""
    if ctf is None:
        return np.ones(box // 2 + 1)
    some = ctf[np.unique(np.linspace(0, len(ctf) - 1, _CTF_SAMPLE).astype(np.intp))]
    squares = ctf_images(some, box, apix).astype(np.float64) ** 2
    return np.asarray(shell_means(squares, box).mean(axis=0))


def reference_images(
    run: Run, state: State, settings: SearchSettings, references: References
) -> Float32:
    """Return the projections as they are compared, (n, box, box)."""
    threads = run.plan.n_threads
    images = np.concatenate(
        [
            project_images(
                volume,
                references.rotations[references.block(model)],
                method=run.projection,
                n_threads=threads,
            )
            for model, volume in enumerate(compared_maps(run, state))
        ]
    )
    power = reference_power(run)
    if power is not None:
        images = spectrally_matched(images, power, n_threads=threads)
    mask = search_mask(run, settings)
    return images if mask is None else images * mask


def pair_ranking(
    run: Run, state: State, settings: SearchSettings, references: References
) -> PairRanking | None:
    """Return how matches are ranked anew, where the search cannot do it (``--simcmp``)."""
    if settings.pairs is None:
        return None
    images = reference_images(run, state, settings, references)
    return PairRanking(run, pair_comparison(run, state, settings.pairs, images))


def pair_comparison(
    run: Run, state: State, comparator: BoundModule[..., float], images: Float32
) -> PairComparison:
    """Return how particles are compared with these reference images by their pixels."""
    spectra = scipy.fft.rfft2(images, workers=run.plan.n_threads)
    power = shell_means(np.abs(spectra) ** 2, run.plan.grid.box)
    some = power[power.any(axis=1)]
    ratio = None if not len(some) else some.mean(axis=0) / state.noise_power
    return PairComparison(comparator, images, run.inputs.apix, run.plan.flipped, ratio)
