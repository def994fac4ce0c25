"""Comparators as the search over poses evaluates them: from the sums its kernels give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsort.errors import ConfigError
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.parameter import Argument
from mapsort.modules.registry import BoundModule
from mapsort.physics.scoring import Comparator, Scoring

__all__ = ["COMPARATORS", "pose_scoring", "search_comparator"]

_BLIND_TO_SCALE = float("inf")


#: Parameters that the kernels' scoring of a comparator honours.
_HONOURED: Mapping[str, frozenset[str]] = {
    **{kind.value: frozenset({"minres", "maxres"}) for kind in Comparator},
    "dot": frozenset({"minres", "maxres", "normalize"}),
    "sqeuclidean": frozenset({"minres", "maxres", "normto"}),
}


def search_comparator(spec: ModuleCall | str) -> tuple[Scoring, BoundModule[..., float] | None]:
    """Return what the kernels evaluate of a comparator, as ``"frc:zeromask=1"``, and what is left.

    That is the nearest scoring that they know (the correlation coefficient for comparators that
    they do not) and, if it is not the whole comparator, the comparator itself, to be evaluated on
    the aligned pairs of the best poses.
    """
    bound = COMPARATORS.bind(spec)
    arguments: Mapping[str, Any] = bound.arguments
    name = bound.module.name
    if name not in _HONOURED:
        return Scoring(_BLIND_TO_SCALE, Comparator.CCC), bound
    kind, spread = Comparator(name), _BLIND_TO_SCALE
    if kind is Comparator.DOT and arguments["normalize"]:
        kind = Comparator.CCC
    elif kind is Comparator.SQEUCLIDEAN and not arguments["normto"]:
        spread = 0.0
    # 0 is no limit, as None is
    band = (arguments["minres"] or None, arguments["maxres"] or None)
    whole = not any(
        parameter.name not in _HONOURED[name]
        and _differs(arguments[parameter.name], parameter.default)
        for parameter in bound.module.parameters
    )
    return Scoring(spread, kind, *band), None if whole else bound


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
    scoring, left = search_comparator(spec)
    if left is not None and left.module.name not in _HONOURED:
        raise ConfigError(
            f"comparator {left.module.name}: compares aligned pairs (--simcmp, --classcmp); "
            f"poses are searched by {', '.join(sorted(_HONOURED))}"
        )
    return scoring


def _differs(value: Argument, default: Argument) -> bool:
    return isinstance(value, np.ndarray) or value != default
