"""How poses are searched, refined and scored, where that is more than one scoring throughout."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mapsort.geometry.pose import PoseFreedom
from mapsort.modules.search_aligner import Polish, SearchAligner
from mapsort.physics.scoring import Comparator, Scoring

#: Newton steps that a continuous refinement takes.
NEWTON_STEPS = 4
_ANY_POSE = SearchAligner(PoseFreedom())
_REFINED = Polish(NEWTON_STEPS)


@dataclass(frozen=True)
class PoseWays:
    """The ways of one search; by default all poses, one scoring for everything, and refinement.

    Attributes
    ----------
    aligner : SearchAligner
        What may differ between a particle and its reference, and how it is searched.
    search : Scoring or None
        What a pair's pose is chosen by; None: what the references are ranked by in the end.
    polish : Polish or None
        Continuous refinement of the best poses; None: they stay on the lattice.
    polish_by : Scoring or None
        What it improves; None: as ``search``.
    """

    aligner: SearchAligner = _ANY_POSE
    search: Scoring | None = None
    polish: Polish | None = _REFINED
    polish_by: Scoring | None = None


def same_terms(one: Scoring, other: Scoring) -> bool:
    """Whether two scorings weigh Fourier terms alike, so that they prefer the same poses."""
    return terms(one) == terms(other)


def terms(scoring: Scoring) -> tuple[object, ...]:
    """Return what makes two scorings weigh Fourier terms alike."""
    comparator = scoring.comparator
    band = (scoring.lowest_ang, scoring.highest_ang)
    return (comparator.normalisation, comparator.whitens, *band)


def ranking(search: Scoring, final: Scoring) -> Scoring:
    """Return what references are ranked by while their poses are searched with another scoring.

    Poses of one pair are the business of ``search``; references among each other are compared by
    correlation until the final scoring sees the best of them: a scalar product would prefer the
    strongest reference.
    """
    if same_terms(search, final):
        return final
    comparator = Comparator.CCC if search.comparator is Comparator.DOT else search.comparator
    return replace(search, comparator=comparator, scale_spread=float(np.inf))
