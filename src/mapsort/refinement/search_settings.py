"""What the options of the comparison say to the search, and those of class averaging likewise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mapsort.modules.comparator import pose_scoring, search_comparator
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.search_aligner import SearchAligner, polish, search_aligner
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.search.settings import SearchSettings

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
