"""Comparators: how a particle is compared with the projections of the maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import ModuleKind, Parameter, Registry
from mapsort.physics.scoring import Comparator, Scoring

#: Every comparator of this version; each makes a `Scoring`.
COMPARATORS: Registry[..., Scoring] = Registry(
    ModuleKind.COMPARATOR, not_yet=("optvariance", "lod", "quadmindot", "vertical")
)

_BAND = (
    Parameter("minres", float, None, "coarsest resolution compared [A]"),
    Parameter("maxres", float, None, "finest resolution compared [A]"),
)


def _check_band(arguments: Mapping[str, Any]) -> None:
    """Refuse resolutions that are not positive or leave nothing between them."""
    minres, maxres = arguments["minres"], arguments["maxres"]
    for name, value in (("minres", minres), ("maxres", maxres)):
        if value is not None and not value > 0:
            raise ConfigError(f"comparator: {name}={value:g}: expected a resolution above 0 A")
    if minres is not None and maxres is not None and not minres > maxres:
        raise ConfigError(
            f"comparator: minres={minres:g}, maxres={maxres:g}: minres is the coarser of the two "
            "and must be the larger number"
        )


def comparator(spec: ModuleCall | str) -> Scoring:
    """Return the scoring that a specification names.

    Parameters
    ----------
    spec : ModuleCall or str
        For example ``"frc:maxres=10"``.

    Raises
    ------
    ConfigError
        Unknown name or parameter, or a wrong value.

    Examples
    --------
    >>> comparator("frc:maxres=10").highest_ang
    10.0
    """
    return COMPARATORS.bind(spec)()


def _declare(name: str, kind: Comparator, spread: float, help: str) -> None:
    """Declare a comparator without parameters of its own."""

    @COMPARATORS.register(name, help=help, parameters=_BAND, check=_check_band)
    def make(*, minres: float | None, maxres: float | None) -> Scoring:
        return Scoring(spread, kind, minres, maxres)


_declare(
    "loglik",
    Comparator.LOGLIK,
    float("inf"),
    "log-likelihood under Gaussian noise with the spectrum that the data show",
)
_declare("ccc", Comparator.CCC, float("inf"), "correlation coefficient, all terms alike")
_declare("frc", Comparator.FRC, float("inf"), "Fourier ring correlation, weighted by ring size")
_declare("phase", Comparator.PHASE, float("inf"), "agreement of phases, amplitudes left out")


@COMPARATORS.register(
    "dot",
    help="scalar product",
    parameters=(
        *_BAND,
        Parameter("normalize", bool, False, "divide by the norms, which makes it a correlation"),
    ),
    check=_check_band,
)
def _dot(*, minres: float | None, maxres: float | None, normalize: bool) -> Scoring:
    kind = Comparator.CCC if normalize else Comparator.DOT
    return Scoring(float("inf"), kind, minres, maxres)


@COMPARATORS.register(
    "sqeuclidean",
    help="squared distance to the projection",
    parameters=(
        *_BAND,
        Parameter("normto", bool, False, "fit the projection's scale to each particle first"),
    ),
    check=_check_band,
)
def _sqeuclidean(*, minres: float | None, maxres: float | None, normto: bool) -> Scoring:
    return Scoring(float("inf") if normto else 0.0, Comparator.SQEUCLIDEAN, minres, maxres)
