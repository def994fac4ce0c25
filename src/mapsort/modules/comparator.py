"""Comparators as the search over poses evaluates them: from the sums its kernels give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsort.errors import ConfigError
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.parameter import Argument
from mapsort.modules.registry import BoundModule
from mapsort.physics.scoring import Comparator, Scoring

__all__ = ["COMPARATORS", "SearchComparator", "pose_scoring", "search_comparator"]

_BLIND_TO_SCALE = float("inf")


@dataclass(frozen=True)
class SearchComparator:
    """How a comparator takes part in a search.

    Attributes
    ----------
    scoring : Scoring
        What the kernels evaluate for every pose.
    left : BoundModule or None
        The comparator itself, to be evaluated on the aligned pairs of the best poses, if the
        kernels' scoring does not hold all of it; None if it does.
    """

    scoring: Scoring
    left: BoundModule[..., float] | None


def _dot(arguments: Mapping[str, Any]) -> tuple[Comparator, float]:
    kind = Comparator.CCC if arguments["normalize"] else Comparator.DOT
    return kind, _BLIND_TO_SCALE


def _sqeuclidean(arguments: Mapping[str, Any]) -> tuple[Comparator, float]:
    return Comparator.SQEUCLIDEAN, _BLIND_TO_SCALE if arguments["normto"] else 0.0


def _always(kind: Comparator) -> Callable[[Mapping[str, Any]], tuple[Comparator, float]]:
    return lambda _: (kind, _BLIND_TO_SCALE)


#: What the kernels evaluate for a comparator, and the parameters that this honours besides the
#: range of resolutions.
_SCORINGS: Mapping[
    str, tuple[Callable[[Mapping[str, Any]], tuple[Comparator, float]], frozenset[str]]
] = {
    "loglik": (_always(Comparator.LOGLIK), frozenset()),
    "ccc": (_always(Comparator.CCC), frozenset()),
    "frc": (_always(Comparator.FRC), frozenset()),
    "phase": (_always(Comparator.PHASE), frozenset()),
    "dot": (_dot, frozenset({"normalize"})),
    "sqeuclidean": (_sqeuclidean, frozenset({"normto"})),
}
_BAND = frozenset({"minres", "maxres"})


def search_comparator(spec: ModuleCall | str) -> SearchComparator:
    """Return how the search takes a comparator, for example ``"frc:zeromask=1"``, into account.

    With the nearest scoring that the kernels know (the correlation coefficient for comparators that
    they do not) and, where that is not the whole comparator, the comparator.

    Raises
    ------
    ConfigError
        Unknown name or parameter, or a wrong value.
    """
    bound = COMPARATORS.bind(spec)
    arguments: Mapping[str, Any] = bound.arguments
    name = bound.module.name
    if name not in _SCORINGS:
        return SearchComparator(Scoring(_BLIND_TO_SCALE, Comparator.CCC), bound)
    make, honoured = _SCORINGS[name]
    kind, spread = make(arguments)
    # 0 is no limit, as None is
    band = (arguments["minres"] or None, arguments["maxres"] or None)
    return SearchComparator(
        Scoring(spread, kind, *band), bound if _left_out(bound, honoured) else None
    )


def pose_scoring(spec: ModuleCall | str) -> Scoring:
    """Return what a comparator means where poses are searched: what the kernels know of it.

    Parameters that only aligned pairs are compared by, as ``zeromask``, are checked and have no
    part in it.

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or a comparator of aligned pairs only.

    Examples
    --------
    >>> pose_scoring("frc:maxres=10").highest_ang
    10.0
    """
    found = search_comparator(spec)
    if found.left is not None and found.left.module.name not in _SCORINGS:
        raise ConfigError(
            f"comparator {found.left.module.name}: compares aligned pairs (--simcmp, --classcmp); "
            f"poses are searched by {', '.join(sorted(_SCORINGS))}"
        )
    return found.scoring


def _left_out(bound: BoundModule[..., float], honoured: frozenset[str]) -> list[str]:
    """Names of parameters with another value than their default that the kernels do not know."""
    return [
        parameter.name
        for parameter in bound.module.parameters
        if parameter.name not in honoured | _BAND
        and _differs(bound.arguments[parameter.name], parameter.default)
    ]


def _differs(value: Argument, default: Argument) -> bool:
    return isinstance(value, np.ndarray) or value != default
