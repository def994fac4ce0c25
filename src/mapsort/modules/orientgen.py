"""Orientation generators: which directions a map is projected along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsort.errors import ConfigError
from mapsort.geometry.orientations import (
    broken_symmetry,
    eman_orientations,
    even_orientations,
)
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import BoundModule, ModuleKind, Parameter, Registry

Angles = NDArray[np.float64]

#: Every orientation generator of this version.
ORIENTATION_GENERATORS: Registry[..., Angles] = Registry(
    ModuleKind.ORIENTATION_GENERATOR, not_yet=("saff", "rand", "opt", "single")
)

_PARAMETERS = (
    Parameter("delta", float, None, "angular step [degrees]; this or n"),
    Parameter("n", int, None, "number of orientations, met as nearly as a step can; or delta"),
    Parameter("inc_mirror", bool, False, "also the mirror half of the asymmetric unit"),
    Parameter("breaksym", bool, False, "every copy by symmetry, for maps nearly symmetric"),
    Parameter("perturb", bool, False, "move each orientation by a random part of the step"),
)


def _check_step(arguments: Mapping[str, Any]) -> None:
    """Refuse all but exactly one of delta and n."""
    delta, n = arguments["delta"], arguments["n"]
    if (delta is None) == (n is None):
        raise ConfigError("orientation generator: give exactly one of delta=DEGREES and n=COUNT")
    if delta is not None and not 0 < delta <= 180:
        raise ConfigError(f"orientation generator: delta={delta:g}: expected above 0, up to 180")
    if n is not None and n < 1:
        raise ConfigError(f"orientation generator: n={n}: expected a whole number from 1")


def _check_even(arguments: Mapping[str, Any]) -> None:
    _check_step(arguments)
    if arguments["perturb"]:
        raise ConfigError("orientation generator even: perturb=1: only eman perturbs")


def orientation_generator(spec: ModuleCall | str) -> BoundModule[..., Angles]:
    """Return the generator that a specification names.

    Parameters
    ----------
    spec : ModuleCall or str
        For example ``"eman:delta=7.5:inc_mirror=1"``.

    Returns
    -------
    BoundModule
        Call it with a `Symmetry` and ``rng=``.

    Raises
    ------
    ConfigError
        Unknown name or parameter, wrong value, or not exactly one of ``delta`` and ``n``.
    """
    return ORIENTATION_GENERATORS.bind(spec)


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
        Source of the perturbation when ``perturb=1``.

    Returns
    -------
    ndarray of shape (n, 3), float64
        EMAN az, alt, phi [degrees].

    Raises
    ------
    ConfigError
        As `orientation_generator`, and for a bad symmetry name.

    Examples
    --------
    >>> orientations("eman:delta=10", "c4").shape
    (59, 3)
    """
    group = symmetry(sym) if isinstance(sym, str) else sym
    return orientation_generator(spec)(group, rng=rng)


@ORIENTATION_GENERATORS.register(
    "eman",
    help="rings of equal altitude, spaced by the step along and between rings",
    parameters=_PARAMETERS,
    check=_check_step,
)
def _eman(
    group: Symmetry,
    *,
    delta: float | None,
    n: int | None,
    inc_mirror: bool,
    breaksym: bool,
    perturb: bool,
    rng: np.random.Generator | None,
) -> Angles:
    """Generate, and copy where the symmetry is to be broken."""
    unit = eman_orientations(
        group, delta=delta, n=n, inc_mirror=inc_mirror or breaksym, perturb=perturb, rng=rng
    )
    return broken_symmetry(unit, group, inc_mirror=inc_mirror) if breaksym else unit


@ORIENTATION_GENERATORS.register(
    "even",
    help="rings of equal altitude, each filled from its start at the step along the ring",
    parameters=_PARAMETERS,
    check=_check_even,
)
def _even(
    group: Symmetry,
    *,
    delta: float | None,
    n: int | None,
    inc_mirror: bool,
    breaksym: bool,
    perturb: bool,  # noqa: ARG001  (always False: checked)
    rng: np.random.Generator | None,  # noqa: ARG001
) -> Angles:
    """Generate without the perturbation that only ``eman`` has."""
    unit = even_orientations(group, delta=delta, n=n, inc_mirror=inc_mirror or breaksym)
    return broken_symmetry(unit, group, inc_mirror=inc_mirror) if breaksym else unit
