"""Orientation generators: which directions a map is projected along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Float64
from mapsort.errors import ConfigError
from mapsort.geometry.orientations import broken_symmetry, eman_orientations, even_orientations
from mapsort.geometry.other_orientations import (
    random_orientations,
    repelled_orientations,
    spiral_orientations,
)
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.registry import ModuleKind, Registry

Angles = Float64

#: Every orientation generator of this version.
ORIENTATION_GENERATORS: Registry[..., Angles] = Registry(ModuleKind.ORIENTATION_GENERATOR)

_NUMBER = (
    Parameter("delta", float, None, "angular step [degrees]; this or n"),
    Parameter("n", int, None, "number of orientations, met as nearly as a step can; or delta"),
)
_MIRROR = Parameter("inc_mirror", bool, False, "also the mirror half of the asymmetric unit")
_PERTURB = Parameter("perturb", bool, False, "move each orientation by a random part of the step")
_PHI = (
    Parameter("phitoo", float, 0.0, "step of in-plane rotations of each [degrees]; 0: none"),
    Parameter("random_phi", bool, False, "a random in-plane rotation of each"),
)
_HALF_TURN = Limits(low=0.0, high=180.0)
_ALTITUDES = (
    Parameter("alt_min", float, 0.0, "smallest alt [degrees]", _HALF_TURN),
    Parameter("alt_max", float, 180.0, "largest alt [degrees]", _HALF_TURN),
)
_BREAKSYM = Parameter(
    "breaksym", bool, False, "copies of all at every operation of the symmetry: the whole sphere"
)
_GENERAL = (*_NUMBER, _MIRROR, *_PHI, *_ALTITUDES, _BREAKSYM)

# What rounding may do to angles in single precision [degrees].
_ROUNDING_DEG = 1e-3


def _check_step(arguments: Mapping[str, Any]) -> None:
    """Refuse all but exactly one of delta and n, and limits that leave nothing."""
    delta, n = arguments["delta"], arguments["n"]
    if (delta is None) == (n is None):
        raise ConfigError("orientation generator: give exactly one of delta=DEGREES and n=COUNT")
    if delta is not None and not 0 < delta <= 180:
        raise ConfigError(f"orientation generator: delta={delta:g}: expected above 0, up to 180")
    if n is not None and n < 1:
        raise ConfigError(f"orientation generator: n={n}: expected a whole number from 1")
    _check_phi(arguments)
    if arguments["alt_min"] > arguments["alt_max"]:
        raise ConfigError(
            f"orientation generator: alt_min={arguments['alt_min']:g} is above "
            f"alt_max={arguments['alt_max']:g}"
        )


def _check_phi(arguments: Mapping[str, Any]) -> None:
    phitoo = arguments["phitoo"]
    if phitoo != 0 and not 0.1 <= phitoo <= 360:
        raise ConfigError(f"orientation generator: phitoo={phitoo:g}: expected 0, or 0.1 to 360")
    if phitoo and arguments["random_phi"]:
        raise ConfigError("orientation generator: give phitoo or random_phi, not both")


def _check_even(arguments: Mapping[str, Any]) -> None:
    _check_step(arguments)
    if arguments["perturb"]:
        raise ConfigError("orientation generator even: perturb=1: only eman perturbs")


def orientations(
    spec: ModuleCall | str, sym: Symmetry | str, *, rng: np.random.Generator | None = None
) -> Angles:
    """Return the orientations of a specification over a symmetry's asymmetric unit.

    Parameters
    ----------
    spec : ModuleCall or str
        Generator and parameters, for example ``"eman:delta=10:inc_mirror=0:perturb=0"``.
    sym : Symmetry or str
        For example ``"c4"``.
    rng : numpy.random.Generator, optional
        Source of what is random: with ``perturb``, ``random_phi`` and the generator rand.

    Returns
    -------
    ndarray of shape (n, 3), float64
        EMAN az, alt, phi [degrees].

    Raises
    ------
    ConfigError
        Unknown name, parameter or symmetry, wrong value, or not exactly one of ``delta`` and ``n``.

    Examples
    --------
    >>> orientations("eman:delta=10", "c4").shape
    (59, 3)
    """
    group = symmetry(sym) if isinstance(sym, str) else sym
    return ORIENTATION_GENERATORS.bind(spec)(group, rng=rng)


def _completed(
    group: Symmetry,
    generate: Callable[..., Angles],
    *,
    rng: np.random.Generator | None,
    inc_mirror: bool,
    phitoo: float,
    random_phi: bool,
    alt_min: float,
    alt_max: float,
    breaksym: bool,
) -> Angles:
    """Generate, and do what all generators can do with their directions.

    With ``breaksym`` directions are generated with their mirrors, each operation S takes R to R S,
    and of the result the views from above are kept, or all with ``inc_mirror``.
    """
    angles = generate(inc_mirror=inc_mirror or breaksym)
    inside = (angles[:, 1] >= alt_min - _ROUNDING_DEG) & (angles[:, 1] <= alt_max + _ROUNDING_DEG)
    angles = angles[inside]
    if len(angles) == 0:
        raise ConfigError(
            f"orientation generator: alt_min={alt_min:g}, alt_max={alt_max:g}: no direction is left"
        )
    if breaksym:
        angles = broken_symmetry(angles, group, inc_mirror=inc_mirror)
    return _with_phi(angles, phitoo=phitoo, random_phi=random_phi, rng=rng)


def _with_phi(
    angles: Angles, *, phitoo: float, random_phi: bool, rng: np.random.Generator | None
) -> Angles:
    """Add in-plane rotations: a series for each direction, or a random one."""
    if phitoo:
        steps = np.arange(0.0, 360.0 - _ROUNDING_DEG, phitoo)
        result = np.repeat(angles, len(steps), axis=0)
        result[:, 2] = (result[:, 2] + np.tile(steps, len(angles))) % 360.0
        return result
    if random_phi:
        angles[:, 2] = _needed(rng, "random_phi").uniform(0.0, 360.0, len(angles))
    return angles


def _needed(rng: np.random.Generator | None, what: str) -> np.random.Generator:
    if rng is None:
        raise ConfigError(f"orientation generator: {what} needs a random generator (rng)")
    return rng


@ORIENTATION_GENERATORS.register(
    "eman",
    help="rings of equal altitude, spaced by the step along and between rings",
    parameters=(*_GENERAL, _PERTURB),
    check=_check_step,
)
def _eman(
    group: Symmetry,
    *,
    delta: float | None,
    n: int | None,
    perturb: bool,
    rng: np.random.Generator | None,
    **more: Any,
) -> Angles:
    """Scatter directions before they are copied by ``breaksym``."""
    generate = partial(
        eman_orientations, group, delta=delta, n=n, perturb=perturb, rng=rng if perturb else None
    )
    return _completed(group, generate, rng=rng, **more)


def _declare(
    name: str,
    help: str,
    generate: Callable[..., Angles],
    *own: Parameter,
    check: Callable[[Mapping[str, Any]], None] = _check_step,
) -> None:
    """Declare a generator; its own parameters are there for the original's sake and do nothing."""

    @ORIENTATION_GENERATORS.register(name, help=help, parameters=(*_GENERAL, *own), check=check)
    def run(
        group: Symmetry,
        *,
        delta: float | None,
        n: int | None,
        rng: np.random.Generator | None,
        **more: Any,
    ) -> Angles:
        for parameter in own:
            del more[parameter.name]
        return _completed(group, partial(generate, group, delta=delta, n=n), rng=rng, **more)


_declare(
    "even",
    "rings of equal altitude, each filled from its start at the step along the ring",
    even_orientations,
    _PERTURB,  # refused unless it is off
    check=_check_even,
)
_declare("saff", "a spiral from the pole with equal spacing in height", spiral_orientations)
_declare(
    "opt",
    "a spiral whose closest directions are pushed apart",
    repelled_orientations,
    Parameter("use", str, "saff", "what to start from", choices=("saff",)),
)


@ORIENTATION_GENERATORS.register("rand", help="directions that are uniformly random")
def _rand(
    group: Symmetry,
    *,
    rng: np.random.Generator | None,
    n: Annotated[int, "number of orientations", Limits(low=1)],
    inc_mirror: Annotated[bool, _MIRROR] = False,
    phitoo: Annotated[bool, "a random in-plane rotation of each, too"] = False,
) -> Angles:
    return random_orientations(
        group, n=n, inc_mirror=inc_mirror, random_phi=phitoo, rng=_needed(rng, "rand")
    )


@ORIENTATION_GENERATORS.register("single", help="one orientation")
def _single(
    group: Symmetry,  # noqa: ARG001  (one orientation, whatever the group)
    *,
    az: Annotated[float, "Euler angle az [degrees]"] = 0.0,
    alt: Annotated[float, "Euler angle alt [degrees]"] = 0.0,
    phi: Annotated[float, "Euler angle phi [degrees]"] = 0.0,
) -> Angles:
    return np.array([[az, alt, phi]])
