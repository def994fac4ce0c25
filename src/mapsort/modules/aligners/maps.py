"""Aligners of maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Float64
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.orientgen import orientations
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.registry import ALIGNERS, Pixels, Score, Transform
from mapsort.physics.registration3d import (
    Simplex3D,
    refine_map_pose,
    register_maps,
    rotation_grid,
    symmetry_pose,
)

_POSITIVE = Limits(above=0.0)
_NOT_NEGATIVE = Limits(low=0.0)
_STEP = Limits(low=1.0, high=180.0)
_Delta = Annotated[float, "step between directions [degrees]", _STEP]
_Dphi = Annotated[float, "step about each direction [degrees]", _STEP]


def _start(start: Transform | None, name: str) -> Transform3D:
    if start is None:
        return Transform3D()
    if not isinstance(start, Transform3D):
        raise ConfigError(f"aligner {name}: start: expected a Transform3D")
    return start


@ALIGNERS.register(
    "refine_3d",
    help="improve a map's pose by a simplex search on the comparator",
    ndim=3,
    parameters=(
        *(
            Parameter(f"step{axis}", float, 1.0, f"first step along {axis} [pixels]", _NOT_NEGATIVE)
            for axis in "xyz"
        ),
        *(
            Parameter(
                f"stepn{number}",
                float,
                1.0,
                f"first step of the rotation about {axis}, in units of spin_coeff",
                _NOT_NEGATIVE,
            )
            for number, axis in enumerate("xyz")
        ),
        Parameter("spin_coeff", float, 10.0, "unit of the rotation [degrees]", _POSITIVE),
        Parameter("precision", float, 0.01, "end, as a part of the first steps", _POSITIVE),
        Parameter("maxiter", int, 400, "iterations at most", Limits(low=1)),
        Parameter("maxshift", float, None, "largest change of the shift [pixels]; 0: no limit"),
    ),
)
def _refine_3d(
    moving: Pixels,
    fixed: Pixels,
    *,
    score: Score,
    start: Transform | None,
    spin_coeff: float,
    precision: float,
    maxiter: int,
    maxshift: float | None,
    **steps: float,
) -> Transform:
    simplex = Simplex3D(
        step_px=(steps["stepx"], steps["stepy"], steps["stepz"]),
        step_deg=(
            spin_coeff * steps["stepn0"],
            spin_coeff * steps["stepn1"],
            spin_coeff * steps["stepn2"],
        ),
        precision=precision,
        maxiter=maxiter,
        maxshift_px=maxshift if maxshift is not None and maxshift > 0 else None,
    )
    return refine_map_pose(moving, fixed, _start(start, "refine_3d"), score=score, simplex=simplex)


def _check_phi(low: str, high: str, arguments: Mapping[str, Any]) -> None:
    if not arguments[low] < arguments[high]:
        raise ConfigError(
            f"aligner: {low}={arguments[low]:g} must be below {high}={arguments[high]:g}"
        )


@ALIGNERS.register(
    "rotate_translate_3d",
    help="best rotation and shift of a map, by trying rotations in steps and polishing the best",
    ndim=3,
    check=lambda arguments: _check_phi("phi0", "phi1", arguments),
)
def _rotate_translate_3d(
    moving: Pixels,
    fixed: Pixels,
    *,
    score: Score,
    start: Transform | None,
    sym: Annotated[str, "point group of the fixed map, for example d7"] = "c1",
    orientgen: Annotated[str, "orientation generator of the directions"] = "eman",
    delta: _Delta = 10.0,
    n: Annotated[int | None, "number of directions, in place of delta", Limits(low=1)] = None,
    dphi: _Dphi = 10.0,
    phi0: Annotated[float, "first rotation about a direction [degrees]"] = 0.0,
    phi1: Annotated[float, "end of the rotations about a direction [degrees]"] = 360.0,
    search: Annotated[int, "largest shift along each axis [pixels]", Limits(low=0)] = 3,
    searchx: Annotated[int | None, "largest shift along x", Limits(low=0)] = None,
    searchy: Annotated[int | None, "largest shift along y", Limits(low=0)] = None,
    searchz: Annotated[int | None, "largest shift along z", Limits(low=0)] = None,
    dotrans: Annotated[bool, "search shifts, too"] = True,
) -> Transform:
    step: dict[str, int | float | str] = {"delta": delta} if n is None else {"n": n}
    call = ModuleCall(orientgen, {**step, "inc_mirror": 1})
    group = symmetry(sym)
    # S V is V for the fixed map: rotations S R are alike, that is, inverses R^-1 S^-1
    inverse = rotation_grid(orientations(call, group), np.arange(phi0, phi1 - 1e-6, dphi))
    rotations = np.swapaxes(inverse, 1, 2) @ _start(start, "rotate_translate_3d").rotation
    x, y, z = (
        (search if limit is None else limit) if dotrans else 0
        for limit in (searchx, searchy, searchz)
    )
    return register_maps(
        moving,
        fixed,
        rotations,
        reach_px=(x, y, z),
        score=score,
        step_deg=max(delta if n is None else 10.0, dphi),
        translate=dotrans,
    )


@ALIGNERS.register(
    "symalign",
    help="turn a map so that its symmetry lies on the standard axes (the fixed map is not used)",
    ndim=3,
    check=lambda arguments: _check_phi("lphi", "uphi", arguments),
)
def _symalign(
    moving: Pixels,
    fixed: Pixels,  # noqa: ARG001  (aligned to the axes)
    *,
    start: Transform | None,
    sym: Annotated[str, "point group, for example d7"],
    delta: _Delta = 10.0,
    dphi: _Dphi = 10.0,
    lphi: Annotated[float, "first rotation about a direction [degrees]"] = 0.0,
    uphi: Annotated[float, "end of the rotations about a direction [degrees]"] = 359.9,
) -> Transform:
    group = symmetry(sym)
    if group.order == 1:
        raise ConfigError("aligner symalign: sym=c1: there is no axis to align")
    directions = _directions(group, delta)
    inverse = rotation_grid(directions, np.arange(lphi, uphi + 1e-6, dphi))
    rotations = np.swapaxes(inverse, 1, 2) @ _start(start, "symalign").rotation
    return symmetry_pose(moving, group, rotations, step_deg=max(delta, dphi))


def _directions(group: Symmetry, delta: float) -> Float64:
    """Directions of the map's axes that differ for a group; about the axis of a c group none do."""
    if not group.name.startswith("c"):
        return orientations(ModuleCall("eman", {"delta": delta, "inc_mirror": 1}), group)
    # a rotation about the axis afterwards changes nothing, and upside down is as good
    altitudes = np.arange(0.0, 90.0 + 1e-6, delta)
    return np.column_stack([np.zeros(len(altitudes)), altitudes, np.zeros(len(altitudes))])
